//! AVERAGE_POOL_2D and MAX_POOL_2D of int8: 64 channels at a time, then 32, then 16.
//!
//! Departures from the definitions:
//!
//! 1. The number of channels at a time is a constant, so that their sums stay in registers while the
//!    taps pass by. The last channels are taken together with some that are done already.
//! 2. Sums are in 16 bits, which hold 255 taps. Windows of more are left to the definition.
//! 3. A sum is multiplied by the reciprocal of the number of taps, of which the high half of 32 bits
//!    is the quotient, exactly: see [`Reciprocal`].

use crate::Mismatch;
use crate::average_pool_2d::{self, AveragePool2d, AverageRounding};
use crate::max_pool_2d::MaxPool2d;
use crate::pool::{ActivationRange, Taps, for_each_window};

/// Most taps whose sums fit 16 bits and whose quotients [`Reciprocal`] gives.
const MOST_TAPS: usize = 255;

/// The same where ties go up: numerators are twice as large.
const MOST_TAPS_UP: usize = 128;

/// [`average_pool_2d::average_pool_2d_i8`].
#[inline(always)]
pub(super) fn average_pool_2d_i8(
    p: &AveragePool2d,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let [kernel_h, kernel_w] = p.pool.kernel;
    let most = match p.rounding {
        AverageRounding::HalfAwayFromZero => MOST_TAPS,
        AverageRounding::HalfUp => MOST_TAPS_UP,
    };
    if kernel_h.saturating_mul(kernel_w) > most {
        return average_pool_2d::portable(p, x, y);
    }
    let ActivationRange { min, max } = p.activation;
    // Beyond int8, but not beyond 16 bits: saturating comes last.
    let range = [min, max].map(|bound| bound.clamp(-256, 256) as i16);
    let up = p.rounding == AverageRounding::HalfUp;
    let mut reciprocal = Reciprocal::new(1);
    for_each_window(&p.pool, x, y, |taps, out| {
        // A window without taps counts as one of a zero.
        let count = taps.count().max(1) as u16;
        if reciprocal.count != count {
            reciprocal = Reciprocal::new(count);
        }
        if up {
            for_each_block(&Average::<true> { reciprocal, range }, taps, out);
        } else {
            for_each_block(&Average::<false> { reciprocal, range }, taps, out);
        }
    })
}

/// [`crate::max_pool_2d::max_pool_2d_i8`].
#[inline(always)]
pub(super) fn max_pool_2d_i8(p: &MaxPool2d<i8>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    let max = Max { range: p.activation };
    for_each_window(&p.pool, x, y, |taps, out| for_each_block(&max, taps, out))
}

/// What becomes of the taps of `C` channels.
trait Pooling {
    type Acc: Copy;
    const START: Self::Acc;

    fn step(acc: Self::Acc, x: i8) -> Self::Acc;

    fn finish(&self, acc: Self::Acc) -> i8;
}

/// One window, all channels.
#[inline(always)]
fn for_each_block<P: Pooling>(p: &P, taps: &Taps<'_, i8>, out: &mut [i8]) {
    let mut first = 0;
    while out.len() - first >= 64 {
        block::<P, 64>(p, taps, first, out);
        first += 64;
    }
    if out.len() - first >= 32 {
        block::<P, 32>(p, taps, first, out);
        first += 32;
    }
    while first < out.len() {
        block::<P, 16>(p, taps, first.min(out.len().saturating_sub(16)), out);
        first += 16;
    }
}

/// One window, `C` channels from `first` on, or as many as there are.
#[inline(always)]
fn block<P: Pooling, const C: usize>(p: &P, taps: &Taps<'_, i8>, first: usize, out: &mut [i8]) {
    let mut accs = [P::START; C];
    taps.for_each(first, |tap| {
        let x: [i8; C] = match tap.first_chunk() {
            Some(x) => *x,
            None => partial(tap),
        };
        for (acc, x) in accs.iter_mut().zip(x) {
            *acc = P::step(*acc, x);
        }
    });
    let results = accs.map(|acc| p.finish(acc));
    let out = out.get_mut(first..).unwrap_or_default();
    match out.first_chunk_mut() {
        Some(out) => *out = results,
        None => {
            for (out, result) in out.iter_mut().zip(results) {
                *out = result;
            }
        }
    }
}

/// The last elements of an image of fewer channels than are read, and zeros.
#[cold]
fn partial<const C: usize>(tap: &[i8]) -> [i8; C] {
    let mut x = [0; C];
    for (to, from) in x.iter_mut().zip(tap) {
        *to = *from;
    }
    x
}

struct Max {
    range: ActivationRange<i8>,
}

impl Pooling for Max {
    type Acc = i8;
    const START: i8 = i8::MIN;

    #[inline(always)]
    fn step(acc: i8, x: i8) -> i8 {
        acc.max(x)
    }

    #[inline(always)]
    fn finish(&self, acc: i8) -> i8 {
        self.range.clamp(acc)
    }
}

/// The mean, ties away from zero, or up.
struct Average<const UP: bool> {
    reciprocal: Reciprocal,
    range: [i16; 2],
}

impl<const UP: bool> Pooling for Average<UP> {
    type Acc = i16;
    const START: i16 = 0;

    #[inline(always)]
    fn step(acc: i16, x: i8) -> i16 {
        acc.wrapping_add(x.into())
    }

    #[inline(always)]
    fn finish(&self, acc: i16) -> i8 {
        let Reciprocal { count, .. } = self.reciprocal;
        let mean = if UP {
            // No sum of so many bytes, 128 added to each, is negative.
            let sum = (acc as u16).wrapping_add(count.wrapping_mul(128));
            self.reciprocal.divide(sum.wrapping_add(count / 2)).wrapping_sub(128)
        } else {
            let sign = acc >> 15;
            let sum = ((acc ^ sign).wrapping_sub(sign)) as u16;
            (self.reciprocal.divide(sum.wrapping_add(count / 2)) ^ sign).wrapping_sub(sign)
        };
        let [min, max] = self.range;
        mean.max(min).min(max).clamp(i8::MIN.into(), i8::MAX.into()) as i8
    }
}

/// Division of 16 bits by a count of taps, as a multiplication.
///
/// With `m = ⌊2^k / d⌋ + 1` the product `n·m` is `n·2^k/d` and up to `n` more, which does not change
/// the integer part of `n·m / 2^k` while `n·d < 2^k`. `k = 16 + ⌊log2 (d − 1)⌋` keeps `m` in 16 bits
/// and has `2^k ≥ 2^15·d`, and numerators are at most `128.5·d`, or `255.5·d` where ties go up.
#[derive(Clone, Copy)]
struct Reciprocal {
    count: u16,
    multiplier: u16,
    /// What is left of `k` behind the 16 bits of the high half.
    shift: u16,
    /// 1 where there is one tap, whose numerator is doubled, as 1 is no multiplier of 16 bits.
    left: u16,
}

impl Reciprocal {
    fn new(count: u16) -> Self {
        if count <= 1 {
            return Self { count, multiplier: 1 << 15, shift: 0, left: 1 };
        }
        let shift = (count - 1).ilog2() as u16;
        let multiplier = (1_u32 << (16 + shift)) / u32::from(count) + 1;
        Self { count, multiplier: multiplier as u16, shift, left: 0 }
    }

    #[inline(always)]
    fn divide(&self, n: u16) -> i16 {
        let product = u32::from(n << self.left) * u32::from(self.multiplier);
        ((product >> 16) as u16 >> self.shift) as i16
    }
}
