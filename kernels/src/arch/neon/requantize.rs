//! From sums to int8, sixteen channels at a time, all roundings.
//!
//! `SQRDMULH` is the doubling high multiply of the definition, its rounding and saturation included;
//! `SRSHL` by a negative number is a shift to the right that rounds half up, without overflow. So, of
//! scales below 1/2, which almost all are, with `right > 0`:
//!
//! - `double`: `SQRDMULH`, `SSRA`, `SRSHL`. Half away from zero is half up after one less for negative
//!   numbers, which is the number plus its sign bits.
//! - `double_up`: `SQRDMULH`, `SRSHL`.
//! - `single`: `SQDMULH`, `SRSHL`. The definition shifts the product by `31 + right` after adding half of
//!   that, a multiple of 2^31: the lowest 31 bits may as well go first, rounded down, as `SQDMULH` does.
//! - `float32`: `SCVTF`, `FMUL`, `FCVTNS`, which rounds to even.
//! - `float64`: the same of twice as many vectors with `FCVTAS`, which rounds half away from zero.
//!
//! Then sums are packed to 16 bits, the offset is added, and they are packed to 8 bits. Saturation on
//! the way changes nothing, as the clamp is within int8.

use core::arch::aarch64::*;

use crate::arch::output::{BLOCK, OutputStage, lanes};
use crate::requantize::{Output, Requantize};

/// Channels that are requantized at once, four vectors.
pub(super) const SIXTEEN: usize = 16;

/// Which rounding a function is compiled for.
pub(super) const DOUBLE: u8 = 0;
pub(super) const DOUBLE_UP: u8 = 1;
pub(super) const SINGLE: u8 = 2;
const FLOAT32: u8 = 3;
const FLOAT64: u8 = 4;

/// Scales of four channels.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    /// Q0.31; or four f32; or two f64.
    multiplier: int32x4_t,
    /// Of two; or two more f64.
    shift: int32x4_t,
}

/// Scales of sixteen channels; `None` where one of them is not ordinary.
#[derive(Clone, Copy)]
pub(super) struct Sixteen {
    scales: Option<[Scales; 4]>,
    /// Whether all are below 1/2.
    below_half: bool,
}

/// The scales of a block of channels.
pub(in crate::arch) struct Block([Sixteen; BLOCK / SIXTEEN]);

impl Block {
    /// Those of `count` channels from `channel` on, at most [`BLOCK`].
    #[target_feature(enable = "neon")]
    pub fn new(stage: &OutputStage<'_>, channel: usize, count: usize) -> Self {
        let mut block = [Sixteen { scales: None, below_half: false }; BLOCK / SIXTEEN];
        for (i, sixteen) in block.iter_mut().enumerate().take(count.div_ceil(SIXTEEN)) {
            let first = i * SIXTEEN;
            *sixteen = Sixteen::new(stage, channel + first, SIXTEEN.min(count - first));
        }
        Self(block)
    }

    /// Requantizes the sums of the block's `count` channels from `channel` on, of a position each, and
    /// stores them to `y`, which begins with the first position's channel 0.
    #[target_feature(enable = "neon")]
    pub fn store(
        &self,
        stage: &OutputStage<'_>,
        acc: &[[i32; BLOCK]],
        y: &mut [i8],
        channel: usize,
        count: usize,
    ) {
        for (i, sixteen) in self.0.iter().enumerate().take(count.div_ceil(SIXTEEN)) {
            let first = i * SIXTEEN;
            sixteen.store(stage, acc, first, y, channel + first, SIXTEEN.min(count - first));
        }
    }
}

impl Sixteen {
    /// Those of `count` channels from `channel` on, at most sixteen.
    #[target_feature(enable = "neon")]
    pub fn new(stage: &OutputStage<'_>, channel: usize, count: usize) -> Self {
        if !stage.ordinary {
            return Self { scales: None, below_half: false };
        }
        let mut scales = [Scales { multiplier: vdupq_n_s32(0), shift: vdupq_n_s32(0) }; 4];
        match stage.requantize {
            Requantize::Double(s) | Requantize::DoubleUp(s) | Requantize::Single(s) => {
                let multiplier: [i32; SIXTEEN] = lanes(s.multiplier, channel, count);
                // The definition does not saturate where they are negative, as no valid file's are.
                if multiplier.iter().any(|&multiplier| multiplier < 0) {
                    return Self { scales: None, below_half: false };
                }
                let shift: [i8; SIXTEEN] = lanes(s.shift, channel, count);
                let parts = multiplier.as_chunks().0.iter().zip(shift.as_chunks().0);
                for (scales, (multiplier, shift)) in scales.iter_mut().zip(parts) {
                    *scales = Scales::fixed(multiplier, &shift.map(i32::from));
                }
            }
            Requantize::Float32(s) => {
                let factors: [f32; SIXTEEN] = lanes(s, channel, count);
                for (scales, factors) in scales.iter_mut().zip(factors.as_chunks::<4>().0) {
                    // SAFETY: four f32.
                    let factors = unsafe { vld1q_f32(factors.as_ptr()) };
                    scales.multiplier = vreinterpretq_s32_f32(factors);
                }
            }
            Requantize::Float64(s) => {
                let factors: [f64; SIXTEEN] = lanes(s, channel, count);
                for (scales, factors) in scales.iter_mut().zip(factors.as_chunks::<4>().0) {
                    // SAFETY: four f64.
                    let (low, high) =
                        unsafe { (vld1q_f64(factors.as_ptr()), vld1q_f64(factors[2..].as_ptr())) };
                    scales.multiplier = vreinterpretq_s32_f64(low);
                    scales.shift = vreinterpretq_s32_f64(high);
                }
            }
        }
        Self { scales: Some(scales), below_half: stage.below_half() }
    }

    /// Requantizes the sums at `from..from + count` of each position and stores them as its channels
    /// from `channel` on to `y`, which begins with the first position's channel 0.
    #[target_feature(enable = "neon")]
    pub fn store<const N: usize>(
        &self,
        stage: &OutputStage<'_>,
        acc: &[[i32; N]],
        from: usize,
        y: &mut [i8],
        channel: usize,
        count: usize,
    ) {
        let Some(scales) = &self.scales else {
            for (acc, y) in acc.iter().zip(y.chunks_mut(stage.channels)) {
                let mut block = [0; BLOCK];
                block[..count].copy_from_slice(&acc[from..from + count]);
                stage.one_by_one(&block, y, channel, count);
            }
            return;
        };
        let to = To { y, channels: stage.channels, channel, count };
        let last = Last::new(&stage.output);
        match (stage.requantize, self.below_half) {
            (Requantize::Double(_), true) => last.rows::<DOUBLE, true, N>(scales, acc, from, to),
            (Requantize::Double(_), false) => last.rows::<DOUBLE, false, N>(scales, acc, from, to),
            (Requantize::DoubleUp(_), true) => {
                last.rows::<DOUBLE_UP, true, N>(scales, acc, from, to)
            }
            (Requantize::DoubleUp(_), false) => {
                last.rows::<DOUBLE_UP, false, N>(scales, acc, from, to)
            }
            (Requantize::Single(_), true) => last.rows::<SINGLE, true, N>(scales, acc, from, to),
            (Requantize::Single(_), false) => last.rows::<SINGLE, false, N>(scales, acc, from, to),
            (Requantize::Float32(_), _) => last.rows::<FLOAT32, true, N>(scales, acc, from, to),
            (Requantize::Float64(_), _) => last.rows::<FLOAT64, true, N>(scales, acc, from, to),
        }
    }
}

/// Where outputs go: channels `channel..channel + count` of each position of `channels`.
struct To<'a> {
    /// From the first position's channel 0 on.
    y: &'a mut [i8],
    channels: usize,
    channel: usize,
    count: usize,
}

/// The offset and the clamp.
pub(super) struct Last {
    offset: int16x8_t,
    min: int8x16_t,
    max: int8x16_t,
}

impl Last {
    /// Those of `output`, all of them within int8.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn new(output: &Output) -> Self {
        Self {
            offset: vdupq_n_s16(output.output_offset as i16),
            min: vdupq_n_s8(output.activation_min as i8),
            max: vdupq_n_s8(output.activation_max as i8),
        }
    }

    /// Sixteen sums of each position, at `from`, to bytes.
    #[inline(never)]
    #[target_feature(enable = "neon")]
    fn rows<const ROUNDING: u8, const BELOW_HALF: bool, const N: usize>(
        &self,
        scales: &[Scales; 4],
        acc: &[[i32; N]],
        from: usize,
        to: To<'_>,
    ) {
        let To { y, channels, channel, count } = to;
        // Positions that there is room for.
        let room = y.len().saturating_sub(channel + count) / channels + 1;
        let positions = acc.len().min(if y.len() < channel + count { 0 } else { room });
        assert!(from + SIXTEEN <= N && count <= SIXTEEN);
        let mut y = y.as_mut_ptr().wrapping_add(channel);
        for acc in &acc[..positions] {
            let mut sums = [vdupq_n_s32(0); 4];
            for (v, (sum, scales)) in sums.iter_mut().zip(scales).enumerate() {
                // SAFETY: sixteen int32 from `from` on, which a position has.
                let acc = unsafe { vld1q_s32(acc.as_ptr().add(from + 4 * v)) };
                *sum = match BELOW_HALF {
                    true => scales.apply::<ROUNDING>(acc),
                    false => scales.apply_any::<ROUNDING>(acc),
                };
            }
            let bytes = self.packed(sums);
            // SAFETY: `y` has so many elements at each of the positions.
            unsafe { store(bytes, y, count) };
            y = y.wrapping_add(channels);
        }
    }

    /// Scaled sums as bytes.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn packed(&self, [a, b, c, d]: [int32x4_t; 4]) -> int8x16_t {
        let ab = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(a), b), self.offset);
        let cd = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(c), d), self.offset);
        let bytes = vqmovn_high_s16(vqmovn_s16(ab), cd);
        vmaxq_s8(vminq_s8(bytes, self.max), self.min)
    }
}

/// Stores the first `count` bytes, at most sixteen.
///
/// # Safety
///
/// There are so many elements at `y`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store(bytes: int8x16_t, mut y: *mut i8, count: usize) {
    // SAFETY: each store is of elements that `count` has.
    unsafe {
        if count >= 16 {
            return vst1q_s8(y, bytes);
        }
        let mut left = bytes;
        if count & 8 != 0 {
            vst1_s8(y, vget_low_s8(left));
            (y, left) = (y.add(8), vextq_s8::<8>(left, left));
        }
        if count & 4 != 0 {
            let four = vgetq_lane_s32::<0>(vreinterpretq_s32_s8(left));
            y.cast::<i32>().write_unaligned(four);
            (y, left) = (y.add(4), vextq_s8::<4>(left, left));
        }
        if count & 2 != 0 {
            let two = vgetq_lane_s16::<0>(vreinterpretq_s16_s8(left));
            y.cast::<i16>().write_unaligned(two);
            (y, left) = (y.add(2), vextq_s8::<2>(left, left));
        }
        if count & 1 != 0 {
            y.write(vgetq_lane_s8::<0>(left));
        }
    }
}

impl Scales {
    /// Fixed-point scales.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn fixed(multiplier: &[i32; 4], shift: &[i32; 4]) -> Self {
        // SAFETY: four int32 each.
        unsafe {
            Self { multiplier: vld1q_s32(multiplier.as_ptr()), shift: vld1q_s32(shift.as_ptr()) }
        }
    }

    /// Four sums, scaled; fixed-point scales are below 1/2.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn apply<const ROUNDING: u8>(&self, acc: int32x4_t) -> int32x4_t {
        match ROUNDING {
            FLOAT32 => {
                let factors = vreinterpretq_f32_s32(self.multiplier);
                vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(acc), factors))
            }
            FLOAT64 => {
                let low = round_away(vmovl_s32(vget_low_s32(acc)), self.multiplier);
                let high = round_away(vmovl_high_s32(acc), self.shift);
                vqmovn_high_s64(vqmovn_s64(low), high)
            }
            SINGLE => vrshlq_s32(vqdmulhq_s32(acc, self.multiplier), self.shift),
            DOUBLE_UP => vrshlq_s32(vqrdmulhq_s32(acc, self.multiplier), self.shift),
            _ => {
                // At least −2^31 + 1, as multipliers are below 2^31.
                let high = vqrdmulhq_s32(acc, self.multiplier);
                vrshlq_s32(vsraq_n_s32::<31>(high, high), self.shift)
            }
        }
    }

    /// [`Scales::apply`] of any scales.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn apply_any<const ROUNDING: u8>(&self, acc: int32x4_t) -> int32x4_t {
        let zero = vdupq_n_s32(0);
        let acc_left = || vshlq_s32(acc, vmaxq_s32(self.shift, zero));
        let right = vminq_s32(self.shift, zero);
        match ROUNDING {
            FLOAT32 | FLOAT64 => self.apply::<ROUNDING>(acc),
            SINGLE => {
                // The product of 64 bits, shifted once, and cut to its low half.
                let right = vsubq_s32(self.shift, vdupq_n_s32(31));
                let low = vmull_s32(vget_low_s32(acc), vget_low_s32(self.multiplier));
                let high = vmull_high_s32(acc, self.multiplier);
                let low = vrshlq_s64(low, vmovl_s32(vget_low_s32(right)));
                let high = vrshlq_s64(high, vmovl_high_s32(right));
                vmovn_high_s64(vmovn_s64(low), high)
            }
            DOUBLE_UP => vrshlq_s32(vqrdmulhq_s32(acc_left(), self.multiplier), right),
            _ => halve_away(vqrdmulhq_s32(acc_left(), self.multiplier), right),
        }
    }
}

/// `x × 2^shift` for shifts of at most 0, rounded half away from zero.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn halve_away(x: int32x4_t, shift: int32x4_t) -> int32x4_t {
    // One less where both are negative: without a shift, nothing is rounded.
    vrshlq_s32(vsraq_n_s32::<31>(x, vandq_s32(x, shift)), shift)
}

/// `round(acc × scale)` of two sums, half away from zero; `scale` has the bits of two f64.
#[inline]
#[target_feature(enable = "neon")]
fn round_away(acc: int64x2_t, scale: int32x4_t) -> int64x2_t {
    vcvtaq_s64_f64(vmulq_f64(vcvtq_f64_s64(acc), vreinterpretq_f64_s32(scale)))
}
