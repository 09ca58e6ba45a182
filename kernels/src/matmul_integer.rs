//! MATMUL_INTEGER: `x [.., m, k]` times `w [.., k, n]` gives the sums `y [.., m, n]` themselves, in
//! int32. Zero points may be known only when the network runs: they are inputs.
//!
//! Source: ONNX's MatMulInteger. Sums wrap around.

use crate::batch_matmul::{BatchMatMulShape, multiply};
use crate::error::Mismatch;

/// `y = Σ (x − x_zero)·(w − w_zero)`; both zero points have one element.
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
    let (&[x_zero], &[w_zero]) = (x_zero, w_zero) else { return Err(Mismatch) };
    let (x_zero, w_zero) = (i16::from(x_zero), i16::from(w_zero));
    let multiply_add = move |acc: i32, x: i8, w: i8| {
        let x = i16::from(x).wrapping_sub(x_zero);
        acc.wrapping_add(i32::from(x) * i32::from(i16::from(w).wrapping_sub(w_zero)))
    };
    multiply(shape, x, w, y, multiply_add, |acc| acc)
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
    fn a_zero_point_is_one_number() {
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
