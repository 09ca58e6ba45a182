//! The inner loops that convolution and fully connected share: one or two runs of activations
//! against the weights of two output channels. [`dot_i8`] and [`dots_i8`] define what those of
//! `arch/` compute.

use core::slice::from_ref;

use crate::Mismatch;
use crate::arch;

/// Output channels that are summed at once.
pub(crate) const ROWS: usize = 2;

/// How activations `X` and weights `W` are multiplied and summed. Integers wrap.
pub(crate) trait Arithmetic: Copy {
    /// An activation.
    type X: Copy;
    /// A weight.
    type W: Copy;
    /// The sum of products. Its default is zero.
    type Acc: Copy + Default;
    /// An activation of 0.
    const ZERO: Self::X;

    /// `acc[o] + Σ x·w[o]`; the runs have one length.
    fn dot(self, acc: [Self::Acc; ROWS], x: &[Self::X], w: [&[Self::W]; ROWS])
    -> [Self::Acc; ROWS];

    /// `Σ x[p]·w[o]`; the runs have one length.
    #[inline(always)]
    fn dots(self, x: [&[Self::X]; 2], w: [&[Self::W]; ROWS]) -> [[Self::Acc; ROWS]; 2] {
        x.map(|x| self.dot(Default::default(), x, w))
    }

    /// `acc[o] + x·Σ w[o]`: what taps outside the image add, where the activation is `x` throughout.
    #[inline(always)]
    fn constant(
        self,
        acc: [Self::Acc; ROWS],
        x: Self::X,
        [w0, w1]: [&[Self::W]; ROWS],
    ) -> [Self::Acc; ROWS] {
        w0.iter()
            .zip(w1)
            .fold(acc, |acc, (w0, w1)| self.dot(acc, &[x], [from_ref(w0), from_ref(w1)]))
    }

    /// `acc − offset`, which is 0 in an arithmetic whose weights have no zero point.
    #[inline(always)]
    fn less(self, acc: Self::Acc, _: i32) -> Self::Acc {
        acc
    }

    /// `Σ x`, or 0 in an arithmetic whose weights have no zero point.
    #[inline(always)]
    fn sum(self, _: &[Self::X]) -> i32 {
        0
    }
}

/// int8 activations, int8 weights, int32 sums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct I8;

impl Arithmetic for I8 {
    type X = i8;
    type W = i8;
    type Acc = i32;
    const ZERO: Self::X = 0;

    #[inline(always)]
    fn dot(self, acc: [i32; ROWS], x: &[i8], w: [&[i8]; ROWS]) -> [i32; ROWS] {
        arch::dot::dot_i8(acc, x, w)
    }

    #[inline(always)]
    fn dots(self, x: [&[i8]; 2], w: [&[i8]; ROWS]) -> [[i32; ROWS]; 2] {
        arch::dot::dots_i8([[0; ROWS]; 2], x, w)
    }

    #[inline(always)]
    fn constant(self, mut acc: [i32; ROWS], x: i8, w: [&[i8]; ROWS]) -> [i32; ROWS] {
        for (acc, w) in acc.iter_mut().zip(w) {
            *acc = acc.wrapping_add(self.sum(w).wrapping_mul(x.into()));
        }
        acc
    }

    #[inline(always)]
    fn less(self, acc: i32, offset: i32) -> i32 {
        acc.wrapping_sub(offset)
    }

    #[inline(always)]
    fn sum(self, x: &[i8]) -> i32 {
        x.iter().fold(0_i32, |sum, &x| sum.wrapping_add(i32::from(x)))
    }
}

/// The product of two int8, which fits 16 bits: at most `(−128)² = 2^14`.
#[inline(always)]
fn product(x: i8, w: i8) -> i32 {
    i32::from(i16::from(x) * i16::from(w))
}

/// `acc[o] + Σ x·w[o]`, a product at a time; the runs have one length.
#[inline(always)]
pub fn dot_i8([mut acc0, mut acc1]: [i32; 2], x: &[i8], [w0, w1]: [&[i8]; 2]) -> [i32; 2] {
    for ((&x, &w0), &w1) in x.iter().zip(w0).zip(w1) {
        acc0 = acc0.wrapping_add(product(x, w0));
        acc1 = acc1.wrapping_add(product(x, w1));
    }
    [acc0, acc1]
}

/// `acc[p][o] + Σ x[p]·w[o]`, a product at a time; the runs have one length.
#[inline(always)]
pub fn dots_i8(acc: [[i32; 2]; 2], [x0, x1]: [&[i8]; 2], [w0, w1]: [&[i8]; 2]) -> [[i32; 2]; 2] {
    let [[mut acc00, mut acc01], [mut acc10, mut acc11]] = acc;
    for (((&x0, &x1), &w0), &w1) in x0.iter().zip(x1).zip(w0).zip(w1) {
        acc00 = acc00.wrapping_add(product(x0, w0));
        acc10 = acc10.wrapping_add(product(x1, w0));
        acc01 = acc01.wrapping_add(product(x0, w1));
        acc11 = acc11.wrapping_add(product(x1, w1));
    }
    [[acc00, acc01], [acc10, acc11]]
}

/// int8 activations and weights, each with a zero point that is taken off before they are
/// multiplied: for operators in which it cannot be folded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct I8Centred {
    /// Of the activations, in `[-128, 127]`.
    pub input_zero_point: i16,
    /// Of the weights, in `[-128, 127]`.
    pub weights_zero_point: i16,
}

impl Arithmetic for I8Centred {
    type X = i8;
    type W = i8;
    type Acc = i32;
    const ZERO: Self::X = 0;

    #[inline(always)]
    fn dot(self, acc: [i32; ROWS], x: &[i8], [w0, w1]: [&[i8]; ROWS]) -> [i32; ROWS] {
        let [mut acc0, mut acc1] = acc;
        for ((&x, &w0), &w1) in x.iter().zip(w0).zip(w1) {
            let x = i32::from(i16::from(x).wrapping_sub(self.input_zero_point));
            let w0 = i32::from(i16::from(w0).wrapping_sub(self.weights_zero_point));
            let w1 = i32::from(i16::from(w1).wrapping_sub(self.weights_zero_point));
            acc0 = acc0.wrapping_add(x * w0);
            acc1 = acc1.wrapping_add(x * w1);
        }
        [acc0, acc1]
    }
}

/// int16 activations, int8 weights, int32 sums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct I16;

impl Arithmetic for I16 {
    type X = i16;
    type W = i8;
    type Acc = i32;
    const ZERO: Self::X = 0;

    #[inline(always)]
    fn dot(self, acc: [i32; ROWS], x: &[i16], [w0, w1]: [&[i8]; ROWS]) -> [i32; ROWS] {
        let [mut acc0, mut acc1] = acc;
        for ((&x, &w0), &w1) in x.iter().zip(w0).zip(w1) {
            acc0 = acc0.wrapping_add(i32::from(x) * i32::from(w0));
            acc1 = acc1.wrapping_add(i32::from(x) * i32::from(w1));
        }
        [acc0, acc1]
    }

    #[inline(always)]
    fn dots(self, x: [&[i16]; 2], w: [&[i8]; ROWS]) -> [[i32; ROWS]; 2] {
        let mut sums = Default::default();
        // No kernel of it fails.
        let _done = arch::dots_i16(x, w, &mut sums);
        sums
    }
}

/// Writes `Σ x[p]·w[o]` to `sums[p][o]`; the runs have one length.
///
/// # Errors
///
/// None: kernels of a table have one form.
pub(crate) fn dots_i16_definition(
    x: [&[i16]; 2],
    w: [&[i8]; ROWS],
    sums: &mut [[i32; ROWS]; 2],
) -> Result<(), Mismatch> {
    *sums = x.map(|x| I16.dot([0; ROWS], x, w));
    Ok(())
}

/// int16 activations, int8 weights, int64 sums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct I16Wide;

/// Products of int16 and int8 that are summed in 32 bits: each is at most `2^22`, all `2^30`.
const NARROW_RUN: usize = 256;

impl Arithmetic for I16Wide {
    type X = i16;
    type W = i8;
    type Acc = i64;
    const ZERO: Self::X = 0;

    #[inline(always)]
    fn dot(self, acc: [i64; ROWS], x: &[i16], [w0, w1]: [&[i8]; ROWS]) -> [i64; ROWS] {
        let [mut acc0, mut acc1] = acc;
        let weights = w0.chunks(NARROW_RUN).zip(w1.chunks(NARROW_RUN));
        for (x, (w0, w1)) in x.chunks(NARROW_RUN).zip(weights) {
            let [sum0, sum1] = I16.dot([0; ROWS], x, [w0, w1]);
            acc0 = acc0.wrapping_add(i64::from(sum0));
            acc1 = acc1.wrapping_add(i64::from(sum1));
        }
        [acc0, acc1]
    }

    #[inline(always)]
    fn dots(self, [x0, x1]: [&[i16]; 2], [w0, w1]: [&[i8]; ROWS]) -> [[i64; ROWS]; 2] {
        let mut accs = [[0_i64; ROWS]; 2];
        let runs = x0.chunks(NARROW_RUN).zip(x1.chunks(NARROW_RUN));
        let weights = w0.chunks(NARROW_RUN).zip(w1.chunks(NARROW_RUN));
        for ((x0, x1), (w0, w1)) in runs.zip(weights) {
            let sums = I16.dots([x0, x1], [w0, w1]);
            for (acc, sum) in accs.iter_mut().flatten().zip(sums.iter().flatten()) {
                *acc = acc.wrapping_add(i64::from(*sum));
            }
        }
        accs
    }
}

/// f32 throughout, each sum in the order of its products.
#[derive(Debug, Clone, Copy)]
pub(crate) struct F32;

impl Arithmetic for F32 {
    type X = f32;
    type W = f32;
    type Acc = f32;
    const ZERO: Self::X = 0.0;

    #[inline(always)]
    fn dot(self, acc: [f32; ROWS], x: &[f32], [w0, w1]: [&[f32]; ROWS]) -> [f32; ROWS] {
        let [mut acc0, mut acc1] = acc;
        for ((&x, &w0), &w1) in x.iter().zip(w0).zip(w1) {
            acc0 += x * w0;
            acc1 += x * w1;
        }
        [acc0, acc1]
    }

    #[inline(always)]
    fn dots(self, x: [&[f32]; 2], w: [&[f32]; ROWS]) -> [[f32; ROWS]; 2] {
        dots_f32(x, w)
    }
}

/// Four sums that do not wait for each other.
#[inline(never)]
fn dots_f32([x0, x1]: [&[f32]; 2], [w0, w1]: [&[f32]; 2]) -> [[f32; 2]; 2] {
    let [[mut acc00, mut acc01], [mut acc10, mut acc11]] = [[0.0; 2]; 2];
    for (((&x0, &x1), &w0), &w1) in x0.iter().zip(x1).zip(w0).zip(w1) {
        acc00 += x0 * w0;
        acc01 += x0 * w1;
        acc10 += x1 * w0;
        acc11 += x1 * w1;
    }
    [[acc00, acc01], [acc10, acc11]]
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arch::{DotsI16, Kernels};
    use crate::testing::{Values, check};

    /// Holds a level's kernel against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let strategy = (0..600_usize, any::<u64>(), any::<bool>());
        check(kernels.level, cases, strategy, |(len, seed, extreme)| {
            let mut values = Values::new(seed);
            let mut x = [values.i16s(len), values.i16s(len)];
            let mut w = [values.i8s(len), values.i8s(len)];
            if extreme {
                // 2^22 each: sums of 512 and more wrap.
                x.iter_mut().for_each(|x| x.fill(i16::MIN));
                w.iter_mut().for_each(|w| w.fill(i8::MIN));
            }
            let run = |kernel: DotsI16| {
                let mut sums = [[7; ROWS]; 2];
                kernel([&x[0], &x[1]], [&w[0], &w[1]], &mut sums).map(|()| sums)
            };
            prop_assert_eq!(run(kernels.dots_i16), run(dots_i16_definition));
            Ok(())
        });
    }
}
