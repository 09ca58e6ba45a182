//! BATCH_MATMUL: `x [.., m, k]` times `w [.., k, n]` gives `y [.., m, n]`, over leading dimensions
//! that broadcast. Either matrix may be stored transposed (`adj_x`, `adj_y`).
//!
//! Both operands are activations, so nothing can be folded: zero points are taken off as the
//! elements are read.
//!
//! Source: `reference_ops::BatchMatMul` of LiteRT and TFLite Micro, which swap and transpose the
//! operands first; the sums are the same.

use crate::Mismatch;
use crate::arch;
use crate::convolve::{part, volume};
use crate::requantize::{Output, RequantizeWide, Rescale};

/// Leading dimensions that a product may have.
pub const BATCH_DIMS: usize = 4;

/// The shapes of a product of matrices.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct BatchMatMulShape {
    /// Leading dimensions of `x`, ones in front; each is 1 or that of the output.
    pub x_batches: [usize; BATCH_DIMS],
    /// Leading dimensions of `w`, ones in front; each is 1 or that of the output.
    pub w_batches: [usize; BATCH_DIMS],
    /// Leading dimensions of the output: the larger of both.
    pub batches: [usize; BATCH_DIMS],
    /// Rows of `x` and of the output.
    pub m: usize,
    /// Columns of `x` and rows of `w`.
    pub k: usize,
    /// Columns of `w` and of the output.
    pub n: usize,
    /// `x` is stored as `[.., k, m]`.
    pub adj_x: bool,
    /// `w` is stored as `[.., n, k]`.
    pub adj_y: bool,
}

impl BatchMatMulShape {
    /// Elements of a matrix of `x`, of `w` and of the output, of which all have these lengths.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] where they do not, or where dimensions do not broadcast.
    pub(crate) fn check(&self, x: usize, w: usize, y: usize) -> Result<[usize; 3], Mismatch> {
        let &Self { m, k, n, .. } = self;
        let matrices = [volume([m, k, 1])?, volume([k, n, 1])?, volume([m, n, 1])?];
        let [x_matrix, w_matrix, out] = matrices;
        let fits = total(&self.x_batches, x_matrix)? == x
            && total(&self.w_batches, w_matrix)? == w
            && total(&self.batches, out)? == y
            && broadcasts(&self.x_batches, &self.batches)
            && broadcasts(&self.w_batches, &self.batches);
        if fits { Ok(matrices) } else { Err(Mismatch) }
    }
}

/// An int8 product.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct BatchMatMulI8<R> {
    /// What is multiplied.
    pub shape: BatchMatMulShape,
    /// Zero point of `x`, in `[-128, 127]`.
    pub x_zero_point: i32,
    /// Zero point of `w`, in `[-128, 127]`.
    pub w_zero_point: i32,
    /// From accumulator to output, one scale for all.
    pub requantize: R,
    /// Offset and clamp.
    pub output_stage: Output,
}

/// `y = clamp(rescale(Σ (x − x_zero_point)·(w − w_zero_point)) + output_offset)`.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn batch_matmul_i8<R: Rescale>(
    p: &BatchMatMulI8<R>,
    x: &[i8],
    w: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::batch_matmul_i8(p, x, w, y)
}

/// The definition of [`batch_matmul_i8`].
#[inline(always)]
pub(crate) fn portable<R: Rescale>(
    p: &BatchMatMulI8<R>,
    x: &[i8],
    w: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let (x_zero, w_zero) = (p.x_zero_point as i16, p.w_zero_point as i16);
    let multiply_add = move |acc: i32, x: i8, w: i8| {
        let x = i16::from(x).wrapping_sub(x_zero);
        acc.wrapping_add(i32::from(x) * i32::from(i16::from(w).wrapping_sub(w_zero)))
    };
    let finish = |acc| p.output_stage.apply(p.requantize.rescale(acc, 0)) as i8;
    multiply(&p.shape, x, w, y, multiply_add, finish)
}

/// A product of int16 activations with int16 or int8; neither has a zero point.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct BatchMatMulI16<'a> {
    /// What is multiplied.
    pub shape: BatchMatMulShape,
    /// From accumulator to output, one scale for all.
    pub requantize: RequantizeWide<'a>,
    /// Offset (0) and clamp.
    pub output_stage: Output,
}

/// `y = clamp(rescale(Σ x·w))`, summed in 64 bits.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn batch_matmul_i16<W: Copy + Into<i16>>(
    p: &BatchMatMulI16<'_>,
    x: &[i16],
    w: &[W],
    y: &mut [i16],
) -> Result<(), Mismatch> {
    let multiply_add = |acc: i64, x: i16, w: W| {
        // At most `2^30`, so the product itself fits 32 bits.
        acc.wrapping_add(i64::from(i32::from(x) * i32::from(w.into())))
    };
    let finish = |acc| p.output_stage.apply(p.requantize.rescale(acc, 0)) as i16;
    multiply(&p.shape, x, w, y, multiply_add, finish)
}

/// A product in f32: `y = Σ x·w`, summed in the order of `k`.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn batch_matmul_f32(
    shape: &BatchMatMulShape,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    multiply(shape, x, w, y, |acc: f32, x, w| acc + x * w, |acc| acc)
}

/// Columns of the output whose sums are held at once.
const BLOCK: usize = 8;

/// Stores `finish(Σ x·w)`, summed by `multiply_add`, to each output.
#[inline(always)]
pub(crate) fn multiply<X: Copy, W: Copy, Acc: Copy + Default, Y>(
    shape: &BatchMatMulShape,
    x: &[X],
    w: &[W],
    y: &mut [Y],
    multiply_add: impl Fn(Acc, X, W) -> Acc,
    finish: impl Fn(Acc) -> Y,
) -> Result<(), Mismatch> {
    let &BatchMatMulShape { m, k, n, adj_x, adj_y, .. } = shape;
    let [x_matrix, w_matrix, out] = shape.check(x.len(), w.len(), y.len())?;
    for (batch, y) in y.chunks_exact_mut(out.max(1)).enumerate() {
        let x_start = source(batch, &shape.batches, &shape.x_batches) * x_matrix;
        let w_start = source(batch, &shape.batches, &shape.w_batches) * w_matrix;
        let x = part(x, x_start, x_matrix).ok_or(Mismatch)?;
        let w = part(w, w_start, w_matrix).ok_or(Mismatch)?;
        for (i, y) in y.chunks_exact_mut(n.max(1)).enumerate() {
            let filled = if adj_x {
                let row = x.get(i..).ok_or(Mismatch)?.iter().step_by(m.max(1));
                product_row(row, w, adj_y, k, y, &multiply_add, &finish)
            } else {
                let row = part(x, i * k, k).ok_or(Mismatch)?.iter();
                product_row(row, w, adj_y, k, y, &multiply_add, &finish)
            };
            filled.ok_or(Mismatch)?;
        }
    }
    Ok(())
}

/// One row of the output: the products of a row of `x` with all columns of `w`.
#[inline(always)]
fn product_row<'a, X: Copy + 'a, W: Copy, Acc: Copy + Default, Y>(
    x: impl Iterator<Item = &'a X> + Clone,
    w: &[W],
    adj_y: bool,
    k: usize,
    y: &mut [Y],
    multiply_add: &impl Fn(Acc, X, W) -> Acc,
    finish: &impl Fn(Acc) -> Y,
) -> Option<()> {
    let n = y.len();
    if adj_y {
        for (j, y) in y.iter_mut().enumerate() {
            let column = part(w, j * k, k)?.iter();
            let terms = x.clone().zip(column);
            *y = finish(terms.fold(Acc::default(), |acc, (&x, &w)| multiply_add(acc, x, w)));
        }
        return Some(());
    }
    let (blocks, rest) = y.as_chunks_mut::<BLOCK>();
    let mut column = 0;
    for y in blocks {
        *y = columns::<BLOCK, X, W, Acc>(x.clone(), w, column, n, multiply_add)?.map(finish);
        column += BLOCK;
    }
    for y in rest {
        let [acc] = columns::<1, X, W, Acc>(x.clone(), w, column, n, multiply_add)?;
        *y = finish(acc);
        column += 1;
    }
    Some(())
}

/// The sums of `B` neighbouring columns of `w`, whose rows have `n` elements.
#[inline(always)]
fn columns<'a, const B: usize, X: Copy + 'a, W: Copy, Acc: Copy + Default>(
    x: impl Iterator<Item = &'a X>,
    w: &[W],
    column: usize,
    n: usize,
    multiply_add: &impl Fn(Acc, X, W) -> Acc,
) -> Option<[Acc; B]> {
    let mut accs = [Acc::default(); B];
    let mut rows = w.chunks_exact(n.max(1));
    for &x in x {
        let row = rows.next()?.get(column..)?.first_chunk::<B>()?;
        for (acc, &w) in accs.iter_mut().zip(row) {
            *acc = multiply_add(*acc, x, w);
        }
    }
    Some(accs)
}

/// Elements of all matrices.
fn total(batches: &[usize; BATCH_DIMS], matrix: usize) -> Result<usize, Mismatch> {
    batches.iter().try_fold(matrix, |total, &dim| total.checked_mul(dim)).ok_or(Mismatch)
}

/// Whether each dimension is 1 or that of the output.
fn broadcasts(own: &[usize; BATCH_DIMS], output: &[usize; BATCH_DIMS]) -> bool {
    own.iter().zip(output).all(|(&own, &output)| own == 1 || own == output)
}

/// Which matrix of an operand goes into matrix `batch` of the output.
pub(crate) fn source(
    batch: usize,
    output: &[usize; BATCH_DIMS],
    own: &[usize; BATCH_DIMS],
) -> usize {
    let (mut rest, mut index, mut stride) = (batch, 0, 1);
    for (&dim, &own) in output.iter().zip(own).rev() {
        let dim = dim.max(1);
        if own != 1 {
            index += rest % dim * stride;
            stride *= own;
        }
        rest /= dim;
    }
    index
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arch::Kernels;
    use crate::testing::shapes::sizes;
    use crate::testing::{Scales, Values, check, output_stage, real, requantized};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn shape() -> impl Strategy<Value = BatchMatMulShape> {
        let dims = prop::array::uniform4((1..4_usize, 0..3));
        let sizes = (1..6_usize, 1..20_usize, 1..20_usize);
        (dims, sizes, any::<bool>(), any::<bool>()).prop_map(|(dims, (m, k, n), adj_x, adj_y)| {
            let side = |one| dims.map(|(dim, which)| if which == one { 1 } else { dim });
            BatchMatMulShape {
                x_batches: side(1),
                w_batches: side(2),
                batches: dims.map(|(dim, _)| dim),
                m,
                k,
                n,
                adj_x,
                adj_y,
            }
        })
    }

    /// Lengths of `x`, `w` and the output.
    fn lengths(s: &BatchMatMulShape) -> [usize; 3] {
        let count = |batches: [usize; 4]| batches.iter().product::<usize>();
        [
            count(s.x_batches) * s.m * s.k,
            count(s.w_batches) * s.k * s.n,
            count(s.batches) * s.m * s.n,
        ]
    }

    fn naive(s: &BatchMatMulShape, x: &[f64], w: &[f64]) -> Vec<f64> {
        let mut y = Vec::new();
        for index in crate::testing::indices(s.batches) {
            let matrix = |own: [usize; 4]| {
                (0..4).fold(0, |at, d| at * own[d] + if own[d] == 1 { 0 } else { index[d] })
            };
            let x = &x[matrix(s.x_batches) * s.m * s.k..];
            let w = &w[matrix(s.w_batches) * s.k * s.n..];
            for i in 0..s.m {
                for j in 0..s.n {
                    let term = |k: usize| {
                        let x = if s.adj_x { x[k * s.m + i] } else { x[i * s.k + k] };
                        x * if s.adj_y { w[j * s.k + k] } else { w[k * s.n + j] }
                    };
                    y.push((0..s.k).map(term).sum());
                }
            }
        }
        y
    }

    /// Holds a level's kernels against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let dims = [(1..3_usize, 0..3), (1..3, 0..3), (1..2, 0..3), (1..3, 0..3)];
        // One in four about as deep as tiles may be, and one wider than they are.
        let matrices =
            (sizes(20_000), 0..4, 509..514_usize).prop_map(|([m, k, n], kind, deep)| match kind {
                0 => (m, deep, n.min(60_000 / (m * deep)).max(1)),
                1 => (m, k, (2 * n).min(40_000 / (m * k))),
                _ => (m, k, n),
            });
        let strategy = (dims, matrices, any::<[bool; 2]>(), (-128..128, -128..128), any::<u64>());
        check(kernels.level, cases, strategy, |(dims, (m, k, n), [adj_x, adj_y], zero, seed)| {
            let side = |one| dims.map(|(dim, which)| if which == one { 1 } else { dim });
            let batches = dims.map(|(dim, _)| dim);
            let (x_batches, w_batches) = (side(1), side(2));
            let shape = BatchMatMulShape { x_batches, w_batches, batches, m, k, n, adj_x, adj_y };
            let mut values = Values::new(seed);
            let [x, w, y_len] = lengths(&shape);
            let (x, w) = (values.i8s(x), values.i8s(w));
            let output_stage = output_stage(&mut values);
            let scales = Scales::new(&mut values, 1);
            for requantize in scales.all() {
                let (x_zero_point, w_zero_point) = zero;
                let p =
                    BatchMatMulI8 { shape, x_zero_point, w_zero_point, requantize, output_stage };
                let (mut y, mut wanted) = (vec![99; y_len], vec![0; y_len]);
                portable(&p, &x, &w, &mut wanted).unwrap();
                arch::batch_matmul_with(kernels, &p, &x, &w, &mut y).unwrap();
                prop_assert_eq!(&y, &wanted);
            }
            Ok(())
        });
    }

    proptest! {
        #[test]
        fn batch_matmul_i8_is_its_formula(
            shape in shape(), x_zero_point in -128..128, w_zero_point in -128..128, seed: u64,
        ) {
            let mut values = Values::new(seed);
            let [x, w, y_len] = lengths(&shape);
            let (x, w) = (values.i8s(x), values.i8s(w));
            let output_stage = output_stage(&mut values);
            let scales = Scales::new(&mut values, 1);
            let sums = naive(&shape, &real(&x, x_zero_point), &real(&w, w_zero_point));
            for requantize in scales.all() {
                let p = BatchMatMulI8 {
                    shape, x_zero_point, w_zero_point, requantize, output_stage,
                };
                let mut y = vec![0; y_len];
                batch_matmul_i8(&p, &x, &w, &mut y).unwrap();
                let y: Vec<i32> = y.into_iter().map(i32::from).collect();
                prop_assert_eq!(y, requantized(&sums, &[0], requantize, &output_stage));
            }
        }

        #[test]
        fn batch_matmul_i16_is_its_formula(shape in shape(), seed: u64, narrow: bool) {
            let mut values = Values::new(seed);
            let [x, w_len, y_len] = lengths(&shape);
            let (x, w) = (values.i16s(x), values.i16s(w_len));
            let bytes = values.i8s(w_len);
            let w_real = if narrow { real(&bytes, 0) } else { real(&w, 0) };
            let sums = naive(&shape, &real(&x, 0), &w_real);
            let scales = Scales::new(&mut values, 1);
            let output_stage =
                Output { output_offset: 0, activation_min: -32768, activation_max: 32767 };
            for requantize in scales.wide() {
                let p = BatchMatMulI16 { shape, requantize, output_stage };
                let mut y = vec![0; y_len];
                if narrow {
                    batch_matmul_i16(&p, &x, &bytes, &mut y).unwrap();
                } else {
                    batch_matmul_i16(&p, &x, &w, &mut y).unwrap();
                }
                for (y, &sum) in y.into_iter().zip(&sums) {
                    let wanted = requantize.rescale(sum as i64, 0).clamp(-32768, 32767);
                    prop_assert_eq!(i32::from(y), wanted);
                }
            }
        }

        #[test]
        fn batch_matmul_f32_is_its_formula(shape in shape(), seed: u64) {
            let mut values = Values::new(seed);
            let [x, w, y] = lengths(&shape);
            let (x, w, mut y) = (values.f32s(x), values.f32s(w), vec![0.0; y]);
            batch_matmul_f32(&shape, &x, &w, &mut y).unwrap();
            for (y, wanted) in y.iter().zip(naive(&shape, &real(&x, 0), &real(&w, 0))) {
                prop_assert!((f64::from(*y) - wanted).abs() < 1e-5, "{} for {}", y, wanted);
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let shape = BatchMatMulShape {
            x_batches: [1; 4],
            w_batches: [1; 4],
            batches: [1; 4],
            m: 1,
            k: 2,
            n: 2,
            adj_x: false,
            adj_y: false,
        };
        let mut y = [0.0; 2];
        let (x, w) = ([1.0, 2.0], [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(batch_matmul_f32(&shape, &x, &w, &mut y), Ok(()));
        assert_eq!(y, [7.0, 10.0]);
        assert_eq!(batch_matmul_f32(&shape, &x[1..], &w, &mut y), Err(Mismatch));
        assert_eq!(batch_matmul_f32(&shape, &x, &w[1..], &mut y), Err(Mismatch));
        assert_eq!(batch_matmul_f32(&shape, &x, &w, &mut y[1..]), Err(Mismatch));
        let wider = BatchMatMulShape { batches: [2, 1, 1, 1], x_batches: [3, 1, 1, 1], ..shape };
        assert_eq!(batch_matmul_f32(&wider, &[0.0; 6], &w, &mut [0.0; 4]), Err(Mismatch));
        let huge = BatchMatMulShape { k: usize::MAX, ..shape };
        assert_eq!(batch_matmul_f32(&huge, &x, &w, &mut y), Err(Mismatch));
    }
}
