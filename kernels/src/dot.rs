//! The inner loops that convolution and fully connected share: blocks of dot products.
//!
//! A block is `P` runs of activations (output positions) against two runs of weights (output
//! channels), all of one length. Two by two needs four loads for four multiplications where a
//! single dot product needs two for one, and its four sums fit the registers of a Cortex-M as well
//! as the vectors of a larger machine.

/// How activations `X` and weights `W` are multiplied and summed. Integers wrap.
pub(crate) trait Arithmetic: Copy {
    /// An activation.
    type X: Copy;
    /// A weight.
    type W: Copy;
    /// The sum of products. Its default is zero.
    type Acc: Copy + Default;

    /// `acc[o] + Σ x·w[o]`; the runs have one length.
    fn row(acc: [Self::Acc; 2], x: &[Self::X], w: [&[Self::W]; 2]) -> [Self::Acc; 2];

    /// Each of `acc[p][o] + Σ x[p]·w[o]`; the runs have one length.
    #[inline(always)]
    fn block<const P: usize>(
        acc: &mut [[Self::Acc; 2]; P],
        x: [&[Self::X]; P],
        w: [&[Self::W]; 2],
    ) {
        for (acc, x) in acc.iter_mut().zip(x) {
            *acc = Self::row(*acc, x, w);
        }
    }

    /// `acc + x·Σ w`: what taps outside the image add, where the activation is `x` throughout.
    fn constant(acc: Self::Acc, x: Self::X, w: &[Self::W]) -> Self::Acc;

    /// `Σ x`, for integer weights with a zero point.
    fn sum(x: &[Self::X]) -> i32;
}

/// int8 activations, int8 weights, int32 sums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct I8;

impl Arithmetic for I8 {
    type X = i8;
    type W = i8;
    type Acc = i32;

    #[inline(always)]
    fn row([mut acc0, mut acc1]: [i32; 2], x: &[i8], [w0, w1]: [&[i8]; 2]) -> [i32; 2] {
        for ((&x, &w0), &w1) in x.iter().zip(w0).zip(w1) {
            acc0 = acc0.wrapping_add(product(x, w0));
            acc1 = acc1.wrapping_add(product(x, w1));
        }
        [acc0, acc1]
    }

    #[inline(always)]
    fn block<const P: usize>(acc: &mut [[i32; 2]; P], x: [&[i8]; P], w: [&[i8]; 2]) {
        if let ([acc0, acc1], [x0, x1]) = (acc.as_mut_slice(), x.as_slice()) {
            [*acc0, *acc1] = two_by_two([*acc0, *acc1], [x0, x1], w);
            return;
        }
        for (acc, x) in acc.iter_mut().zip(x) {
            *acc = Self::row(*acc, x, w);
        }
    }

    #[inline(always)]
    fn constant(acc: i32, x: i8, w: &[i8]) -> i32 {
        acc.wrapping_add(Self::sum(w).wrapping_mul(i32::from(x)))
    }

    #[inline(always)]
    fn sum(x: &[i8]) -> i32 {
        x.iter().fold(0_i32, |sum, &x| sum.wrapping_add(i32::from(x)))
    }
}

/// The product of two int8, which fits 16 bits: at most `(−128)² = 2^14`.
#[inline(always)]
fn product(x: i8, w: i8) -> i32 {
    i32::from(i16::from(x) * i16::from(w))
}

/// `acc[p][o] + Σ x[p]·w[o]`. Not inlined: every rounding of every operator shares this code.
#[inline(never)]
fn two_by_two(acc: [[i32; 2]; 2], [x0, x1]: [&[i8]; 2], [w0, w1]: [&[i8]; 2]) -> [[i32; 2]; 2] {
    let [[mut acc00, mut acc01], [mut acc10, mut acc11]] = acc;
    for (((&x0, &x1), &w0), &w1) in x0.iter().zip(x1).zip(w0).zip(w1) {
        acc00 = acc00.wrapping_add(product(x0, w0));
        acc01 = acc01.wrapping_add(product(x0, w1));
        acc10 = acc10.wrapping_add(product(x1, w0));
        acc11 = acc11.wrapping_add(product(x1, w1));
    }
    [[acc00, acc01], [acc10, acc11]]
}
