//! The output stage of sums of int16 by int8, for blocks of channels, in loops that compilers make vectors
//! of: scales are looked up once for all positions.

use core::marker::PhantomData;

use crate::requantize::{FixedScales, Rounding, reduced_multiplier, wide_shift};

/// Most channels of a block.
pub(super) const CHANNELS: usize = 128;

/// The output stage of up to [`CHANNELS`] channels.
pub(super) trait Scale {
    /// Scales, clamps and stores the sums of one position.
    fn store(&self, sums: &[i32], range: [i16; 2], y: &mut [i16]);
}

/// What channels from `start` on have, or the only one where it serves all; of the default behind the
/// last.
#[inline(always)]
fn fill<T: Copy + Default, U>(to: &mut [U], all: &[T], start: usize, of: impl Fn(T) -> U) {
    match (all, all.get(start..start + to.len())) {
        ([only], _) => to.fill_with(|| of(*only)),
        (_, Some(all)) => to.iter_mut().zip(all).for_each(|(to, from)| *to = of(*from)),
        (_, None) => {
            for (i, to) in to.iter_mut().enumerate() {
                *to = of(all.get(start + i).copied().unwrap_or_default());
            }
        }
    }
}

/// What is scaled, within 16 bits and then within the range.
#[inline(always)]
fn clamped(scaled: i32, [min, max]: [i16; 2]) -> i16 {
    // Not `clamp`, as a range may be empty.
    (scaled.clamp(i16::MIN.into(), i16::MAX.into()) as i16).min(max).max(min)
}

/// [`crate::requantize::requantize_i64`] of some channels, in f64.
///
/// It is `(acc·m + 2^(s−1)) >> s`, with `m` of 16 bits and `s` in `[1, 62]`. A sum with its bias is at
/// most `2^36`, so that `acc·m·2^−s` is exact, and so is `(2·acc·m + 1)·2^−(s+1)`, which is never half
/// of an odd number: rounded to the nearest integer, it is the shifted sum. Adding `1.5·2^52` rounds
/// so, and has the integer in its lowest bits, of which 32 count.
pub(super) struct Wide {
    bias: [f64; CHANNELS],
    /// `m·2^−s`.
    scale: [f64; CHANNELS],
    /// `2^−(s+1)`.
    half: [f64; CHANNELS],
}

/// Floats around it are integers, up to `2^51` away.
const INTEGERS: f64 = 6_755_399_441_055_744.0;

impl Wide {
    /// Whether all biases leave sums within `2^36`, of which products are less than `2^31`.
    pub(super) fn fits(bias: &[i64]) -> bool {
        bias.iter().all(|bias| bias.unsigned_abs() <= 1 << 35)
    }

    #[inline(always)]
    pub(super) fn new(bias: &[i64], scales: FixedScales<'_>, start: usize, count: usize) -> Self {
        let power = |exponent: i32| f64::from_bits(((1023 + exponent) as u64) << 52);
        let mut all = Self { bias: [0.0; CHANNELS], scale: [0.0; CHANNELS], half: [0.0; CHANNELS] };
        fill(&mut all.bias[..count], bias, start, |bias| bias as f64);
        fill(&mut all.scale[..count], scales.multiplier, start, |m| reduced_multiplier(m).into());
        fill(&mut all.half[..count], scales.shift, start, |s| power(-1 - wide_shift(s.into())));
        for (scale, half) in all.scale.iter_mut().zip(&all.half) {
            *scale *= 2.0 * half;
        }
        all
    }
}

impl Scale for Wide {
    #[inline(always)]
    fn store(&self, sums: &[i32], range: [i16; 2], y: &mut [i16]) {
        let count = sums.len();
        let y = &mut y[..count];
        let (bias, scale, half) = (&self.bias[..count], &self.scale[..count], &self.half[..count]);
        for i in 0..count {
            let scaled = (f64::from(sums[i]) + bias[i]) * scale[i] + half[i] + INTEGERS;
            y[i] = clamped(scaled.to_bits() as i32, range);
        }
    }
}

/// Whether all scales are below 1/2.
pub(super) fn right(scales: FixedScales<'_>) -> bool {
    scales.shift.iter().all(|shift| (-31..0).contains(shift))
}

/// Sums of 32 bits, by scales below 1/2.
pub(super) struct Narrow<R> {
    bias: [i32; CHANNELS],
    multiplier: [i32; CHANNELS],
    right: [u32; CHANNELS],
    rounding: PhantomData<R>,
}

impl<R> Narrow<R> {
    #[inline(always)]
    pub(super) fn new(bias: &[i32], scales: FixedScales<'_>, start: usize, count: usize) -> Self {
        let mut all = Self {
            bias: [0; CHANNELS],
            multiplier: [0; CHANNELS],
            right: [0; CHANNELS],
            rounding: PhantomData,
        };
        fill(&mut all.bias[..count], bias, start, |bias| bias);
        fill(&mut all.multiplier[..count], scales.multiplier, start, |multiplier| multiplier);
        // A scale that is missing is 0, whatever its shift.
        fill(&mut all.right[..count], scales.shift, start, |s| s.unsigned_abs().max(1).into());
        all
    }
}

impl<R: Rounding> Scale for Narrow<R> {
    #[inline(always)]
    fn store(&self, sums: &[i32], range: [i16; 2], y: &mut [i16]) {
        let count = sums.len();
        let y = &mut y[..count];
        let (bias, multiplier) = (&self.bias[..count], &self.multiplier[..count]);
        let right = &self.right[..count];
        for i in 0..count {
            let acc = sums[i].wrapping_add(bias[i]);
            y[i] = clamped(R::requantize_right(acc, multiplier[i], right[i]), range);
        }
    }
}
