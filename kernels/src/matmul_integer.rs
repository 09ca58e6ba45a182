//! MATMUL_INTEGER: `x [.., m, k]` times `w [.., k, n]` gives the sums `y [.., m, n]` themselves, in
//! int32. Zero points may be known only when the network runs: they are inputs.
//!
//! Source: ONNX's MatMulInteger. Sums wrap around.

use crate::batch_matmul::{BatchMatMulShape, multiply, source};
use crate::convolve::part;
use crate::error::Mismatch;

/// `y = Σ (x − x_zero)·(w − w_zero)`; `x_zero` has one element, `w_zero` one or, of an `x` that is not
/// stored transposed, one per column.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn matmul_integer(
    shape: &BatchMatMulShape,
    x: &[i8],
    w: &[i8],
    x_zero: &[i8],
    w_zero: &[i8],
    y: &mut [i32],
) -> Result<(), Mismatch> {
    let &[x_zero] = x_zero else { return Err(Mismatch) };
    let x_zero = i16::from(x_zero);
    let &[w_zero] = w_zero else { return by_columns(shape, x, w, x_zero, w_zero, y) };
    let w_zero = i16::from(w_zero);
    let multiply_add = move |acc: i32, x: i8, w: i8| {
        let x = i16::from(x).wrapping_sub(x_zero);
        acc.wrapping_add(i32::from(x) * i32::from(i16::from(w).wrapping_sub(w_zero)))
    };
    multiply(shape, x, w, y, multiply_add, |acc| acc)
}

/// With a zero point per column: `Σ (x − x_zero)·w − w_zero × Σ (x − x_zero)`.
#[inline(never)]
fn by_columns(
    shape: &BatchMatMulShape,
    x: &[i8],
    w: &[i8],
    x_zero: i16,
    w_zero: &[i8],
    y: &mut [i32],
) -> Result<(), Mismatch> {
    let &BatchMatMulShape { m, k, n, .. } = shape;
    if w_zero.len() != n || shape.adj_x {
        return Err(Mismatch);
    }
    let multiply_add = move |acc: i32, x: i8, w: i8| {
        let x = i32::from(i16::from(x).wrapping_sub(x_zero));
        acc.wrapping_add(x * i32::from(w))
    };
    // Checks all lengths.
    multiply(shape, x, w, y, multiply_add, |acc| acc)?;
    for (batch, y) in y.chunks_exact_mut((m * n).max(1)).enumerate() {
        let start = source(batch, &shape.batches, &shape.x_batches) * (m * k);
        for (row, y) in y.chunks_exact_mut(n.max(1)).enumerate() {
            let x = part(x, start + row * k, k).ok_or(Mismatch)?;
            let sum = x.iter().fold(0, |acc, &x| multiply_add(acc, x, 1));
            for (y, &zero) in y.iter_mut().zip(w_zero) {
                *y = y.wrapping_sub(sum.wrapping_mul(zero.into()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch_matmul::BATCH_DIMS;
    use proptest::prelude::*;
    use std::vec;

    proptest! {
        #[test]
        fn it_is_the_sum_of_products(
            m in 1_usize..4, k in 1_usize..20, n in 1_usize..12, adj_y: bool, zeros: [i8; 2],
            seed: u64,
        ) {
            let noise = crate::pool::tests::noise(m * k + k * n, seed);
            let (x, w): (vec::Vec<i8>, vec::Vec<i8>) = (
                noise[..m * k].iter().map(|&x| x as i8).collect(),
                noise[m * k..].iter().map(|&x| x as i8).collect(),
            );
            let batches = [1; BATCH_DIMS];
            let shape = BatchMatMulShape {
                x_batches: batches, w_batches: batches, batches, m, k, n, adj_x: false, adj_y,
            };
            let mut y = vec![0; m * n];
            matmul_integer(&shape, &x, &w, &zeros[..1], &zeros[1..], &mut y).unwrap();
            for (at, &y) in y.iter().enumerate() {
                let (row, column) = (at / n, at % n);
                let wanted: i32 = (0..k).map(|i| {
                    let w = if adj_y { w[column * k + i] } else { w[i * n + column] };
                    (i32::from(x[row * k + i]) - i32::from(zeros[0]))
                        * (i32::from(w) - i32::from(zeros[1]))
                }).sum();
                prop_assert_eq!(y, wanted);
            }
        }
    }

    #[test]
    fn columns_may_have_zero_points_of_their_own() {
        let shape = BatchMatMulShape {
            x_batches: [1, 1, 1, 2],
            w_batches: [1; BATCH_DIMS],
            batches: [1, 1, 1, 2],
            m: 1,
            k: 2,
            n: 3,
            adj_x: false,
            adj_y: false,
        };
        let (x, w, mut y) = ([3, -5, 7, 9], [1, 2, 3, 4, 5, 6], [0; 6]);
        matmul_integer(&shape, &x, &w, &[1], &[0, 10, -3], &mut y).unwrap();
        // (2, −6) and (6, 8) by (1, 4), (2 − 10, 5 − 10), (3 + 3, 6 + 3).
        assert_eq!(y, [2 - 24, -16 + 30, 12 - 54, 6 + 32, -48 - 40, 36 + 72]);
    }

    #[test]
    fn zero_points_are_one_number_or_one_per_column() {
        let batches = [1; BATCH_DIMS];
        let shape = BatchMatMulShape {
            x_batches: batches,
            w_batches: batches,
            batches,
            m: 1,
            k: 1,
            n: 1,
            adj_x: false,
            adj_y: false,
        };
        let run = |x_zero: &[i8], w_zero: &[i8]| {
            matmul_integer(&shape, &[3], &[5], x_zero, w_zero, &mut [0])
        };
        assert_eq!(run(&[1], &[2]), Ok(()));
        assert_eq!(run(&[], &[2]), Err(Mismatch));
        assert_eq!(run(&[1], &[1, 2]), Err(Mismatch));
    }
}
