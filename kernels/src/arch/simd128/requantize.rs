//! From sums to int8, four channels at a time, all roundings.
//!
//! There is a product of 32 by 32 bits, two to a vector, but no shift by another count in each lane. So
//! what is left to shift is first multiplied by a power of two, so that the shift is the same for
//! all: with a scale of `m × 2^(shift − 31)`
//!
//! ```text
//! double   round(acc × m / 2^31) × 2^(16 + shift), shifted by 16, half away from zero
//! single   acc × 2^(16 + shift) × m, shifted by 47, half up
//! ```
//!
//! That loses nothing where results have 16 bits, as all have but those of layers whose sums can be
//! beyond any int8; there, what is too large is cut off before. Scales below 2^-17 belong to channels
//! without weights, whose biases are as large as int32 has room for; their products are shifted by 16
//! before the power of two is multiplied.

use core::arch::wasm32::*;

use crate::arch::output::{BLOCK, OutputStage, lanes};
use crate::requantize::{FixedScales, Output, Requantize};

/// Vectors of a block.
const VECTORS: usize = BLOCK / 4;

/// Which rounding a function is compiled for.
pub(super) const DOUBLE: u8 = 0;
pub(super) const DOUBLE_UP: u8 = 1;
pub(super) const SINGLE: u8 = 2;
const FLOAT32: u8 = 3;
const FLOAT64: u8 = 4;

/// The shift that all lanes have in common.
const COMMON: i32 = 16;

/// The largest number before that shift, which leaves room for what rounds it.
const LARGEST: i32 = 0x7FFE_0000;

/// The largest product of an activation and a weight with its zero point.
const PRODUCT: u64 = 128 * 255;

/// The scales of a block of channels.
pub(super) struct Block {
    scales: [Scales; VECTORS],
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Scales are from 2^-17 to below 1/2, and no sum's result has more than 16 bits.
    Ordinary,
    /// Results may have more, or scales be smaller or larger.
    Any,
    /// What only the definition is made for.
    Rare,
}

/// Scales of four channels.
#[derive(Clone, Copy)]
struct Scales {
    /// Q0.31; or four f32; or two f64.
    factor: v128,
    /// `2^(16 + shift)`, or 2^16 where the shift is to the left; for [`Scales::deep`] ones
    /// `2^(32 + shift)`. Or two more f64.
    power: v128,
    /// `2^shift` where the shift is to the left, else 1.
    left: v128,
    /// The largest number that may be multiplied by `power`.
    limit: v128,
    /// All ones where the shift is to the right by more than 16.
    deep: v128,
    /// What rounds the product under `single`: nothing where it is shifted further, which rounds.
    round: v128,
}

impl Block {
    /// Those of `count` channels from `channel` on, at most [`BLOCK`].
    pub fn new(stage: &OutputStage<'_>, channel: usize, count: usize) -> Self {
        let mut this = Self { scales: [Scales::zero(); VECTORS], kind: Kind::Rare };
        if !stage.ordinary {
            return this;
        }
        this.kind = match stage.requantize {
            Requantize::Double(s) | Requantize::DoubleUp(s) => {
                this.fixed(stage, s, channel, count, stage.small)
            }
            Requantize::Single(s) => this.fixed(stage, s, channel, count, true),
            Requantize::Float32(s) => {
                let factors: [f32; BLOCK] = lanes(s, channel, count);
                let most = factors.iter().fold(0.0, |most: f32, factor| most.max(factor.abs()));
                for (scales, factors) in this.scales.iter_mut().zip(factors.as_chunks().0) {
                    let [a, b, c, d] = *factors;
                    scales.factor = f32x4(a, b, c, d);
                }
                // Where floats have a bit behind the point, and the sum of any rounding.
                match stage.bound(PRODUCT) as f32 * most < 4_000_000.0 {
                    true => Kind::Ordinary,
                    false => Kind::Any,
                }
            }
            Requantize::Float64(s) => {
                let factors: [f64; BLOCK] = lanes(s, channel, count);
                for (scales, factors) in this.scales.iter_mut().zip(factors.as_chunks().0) {
                    let [a, b, c, d] = *factors;
                    (scales.factor, scales.power) = (f64x2(a, b), f64x2(c, d));
                }
                Kind::Ordinary
            }
        };
        this
    }

    /// Fixed-point scales; whether sums are `small` enough for the ordinary ones.
    fn fixed(
        &mut self,
        stage: &OutputStage<'_>,
        s: FixedScales<'_>,
        channel: usize,
        count: usize,
        small: bool,
    ) -> Kind {
        let bound = stage.bound(PRODUCT);
        let mut multiplier: [i32; BLOCK] = lanes(s.multiplier, channel, count);
        let shift: [i8; BLOCK] = lanes(s.shift, channel, count);
        let [mut power, mut left, mut limit, mut deep, mut round] = [[0; BLOCK]; 5];
        let (mut largest, mut smallest) = (i32::from(i8::MIN), i32::from(i8::MAX));
        for i in 0..count {
            let shift = i32::from(shift[i]);
            // No sum is large enough for a result other than 0.
            let none = shift < -COMMON && bound < 1 << (-1 - shift);
            let shift = if none { -COMMON } else { shift };
            multiplier[i] = if none { 0 } else { multiplier[i] };
            (largest, smallest) = (largest.max(shift), smallest.min(shift));
            deep[i] = if shift < -COMMON { -1 } else { 0 };
            let bits = if shift < -COMMON { 2 * COMMON + shift } else { COMMON + shift.min(0) };
            power[i] = 1_i32.wrapping_shl(bits as u32);
            left[i] = 1_i32.wrapping_shl(shift.max(0) as u32);
            limit[i] = LARGEST >> bits;
            round[i] = if shift < 0 { 0 } else { 1 << 30 };
        }
        let normal = |m: &i32| *m == 0 || *m >= 1 << 30;
        if !multiplier[..count].iter().all(normal) {
            return Kind::Rare;
        }
        let of = |numbers: &[i32; BLOCK], i: usize| vector(&numbers.as_chunks().0[i]);
        for (i, scales) in self.scales.iter_mut().enumerate() {
            *scales = Scales {
                factor: of(&multiplier, i),
                power: of(&power, i),
                left: of(&left, i),
                limit: of(&limit, i),
                deep: of(&deep, i),
                round: of(&round, i),
            };
        }
        let shifted = |bound: u64, shift: i32| bound.saturating_mul(1 << shift.clamp(0, 63));
        let within = shifted(bound, COMMON + largest) < LARGEST as u64;
        match smallest >= -COMMON && largest < 0 && within && small {
            true => Kind::Ordinary,
            false if shifted(bound, largest.max(0)) < 1 << 31 => Kind::Any,
            false => Kind::Rare,
        }
    }

    /// Requantizes the sums of the block's `count` channels from `channel` on, of a position each, and
    /// stores them to `y`, which begins with the first position's channel 0.
    pub fn store(
        &self,
        stage: &OutputStage<'_>,
        acc: &[[i32; BLOCK]],
        y: &mut [i8],
        channel: usize,
        count: usize,
    ) {
        if self.kind == Kind::Rare {
            for (acc, y) in acc.iter().zip(y.chunks_mut(stage.channels)) {
                stage.one_by_one(acc, y, channel, count);
            }
            return;
        }
        match (stage.requantize, self.kind) {
            (Requantize::Double(_), Kind::Ordinary) => {
                self.rows::<DOUBLE, true>(stage, acc, y, channel, count)
            }
            (Requantize::Double(_), _) => {
                self.rows::<DOUBLE, false>(stage, acc, y, channel, count);
            }
            (Requantize::DoubleUp(_), Kind::Ordinary) => {
                self.rows::<DOUBLE_UP, true>(stage, acc, y, channel, count)
            }
            (Requantize::DoubleUp(_), _) => {
                self.rows::<DOUBLE_UP, false>(stage, acc, y, channel, count)
            }
            (Requantize::Single(_), Kind::Ordinary) => {
                self.rows::<SINGLE, true>(stage, acc, y, channel, count)
            }
            (Requantize::Single(_), _) => self.rows::<SINGLE, false>(stage, acc, y, channel, count),
            (Requantize::Float32(_), Kind::Ordinary) => {
                self.rows::<FLOAT32, true>(stage, acc, y, channel, count)
            }
            (Requantize::Float32(_), _) => {
                self.rows::<FLOAT32, false>(stage, acc, y, channel, count)
            }
            (Requantize::Float64(_), _) => {
                self.rows::<FLOAT64, false>(stage, acc, y, channel, count)
            }
        }
    }

    /// The sums of each position to bytes, sixteen channels at a time.
    #[inline(never)]
    fn rows<const ROUNDING: u8, const ORDINARY: bool>(
        &self,
        stage: &OutputStage<'_>,
        acc: &[[i32; BLOCK]],
        y: &mut [i8],
        channel: usize,
        count: usize,
    ) {
        let last = &Last::new(&stage.output);
        for (acc, y) in acc.iter().zip(y.chunks_mut(stage.channels)) {
            let Some(y) = y.get_mut(channel..channel + count) else { continue };
            let groups = self.scales.as_chunks::<4>().0.iter().zip(acc.as_chunks::<16>().0);
            let (sixteens, rest) = y.as_chunks_mut::<16>();
            let mut groups = groups;
            for (y, (scales, acc)) in sixteens.iter_mut().zip(groups.by_ref()) {
                let bytes = last.bytes::<ROUNDING, ORDINARY, 4>(scales, acc);
                // SAFETY: sixteen int8.
                unsafe { v128_store(y.as_mut_ptr().cast(), bytes) };
            }
            let (Some((scales, acc)), false) = (groups.next(), rest.is_empty()) else { continue };
            let bytes = match rest.len() {
                ..9 => last.bytes::<ROUNDING, ORDINARY, 2>(scales, acc),
                _ => last.bytes::<ROUNDING, ORDINARY, 4>(scales, acc),
            };
            store_first(rest, bytes);
        }
    }
}

/// Stores the first bytes, of which there are fewer than sixteen.
#[inline]
fn store_first(y: &mut [i8], mut bytes: v128) {
    let (count, mut to) = (y.len(), y.as_mut_ptr().cast::<u8>());
    // SAFETY: each adds up the bits of `count`, which is how many there are.
    unsafe {
        if count & 8 != 0 {
            v128_store64_lane::<0>(bytes, to.cast());
            (bytes, to) = (i64x2_shuffle::<1, 1>(bytes, bytes), to.add(8));
        }
        if count & 4 != 0 {
            v128_store32_lane::<0>(bytes, to.cast());
            (bytes, to) = (u64x2_shr(bytes, 32), to.add(4));
        }
        if count & 2 != 0 {
            v128_store16_lane::<0>(bytes, to.cast());
            (bytes, to) = (u64x2_shr(bytes, 16), to.add(2));
        }
        if count & 1 != 0 {
            v128_store8_lane::<0>(bytes, to);
        }
    }
}

/// The offset and the clamp.
pub(super) struct Last {
    offset: v128,
    min: v128,
    max: v128,
}

impl Last {
    #[inline]
    pub fn new(output: &Output) -> Self {
        Self {
            offset: i16x8_splat(output.output_offset as i16),
            min: i8x16_splat(output.activation_min as i8),
            max: i8x16_splat(output.activation_max as i8),
        }
    }

    /// The first `V` vectors of sums as bytes.
    #[inline(always)]
    fn bytes<const ROUNDING: u8, const ORDINARY: bool, const V: usize>(
        &self,
        scales: &[Scales; 4],
        acc: &[i32; 16],
    ) -> v128 {
        let mut sums = [i32x4_splat(0); 4];
        for ((sum, scales), acc) in sums.iter_mut().zip(scales).zip(acc.as_chunks::<4>().0).take(V)
        {
            *sum = scales.apply::<ROUNDING, ORDINARY>(vector(acc));
        }
        self.packed(sums)
    }

    /// Scaled sums as bytes.
    #[inline(always)]
    pub fn packed(&self, [a, b, c, d]: [v128; 4]) -> v128 {
        let ab = i16x8_add_sat(i16x8_narrow_i32x4(a, b), self.offset);
        let cd = i16x8_add_sat(i16x8_narrow_i32x4(c, d), self.offset);
        i8x16_max(i8x16_min(i8x16_narrow_i16x8(ab, cd), self.max), self.min)
    }
}

impl Scales {
    fn zero() -> Self {
        let zero = i32x4_splat(0);
        Self { factor: zero, power: zero, left: zero, limit: zero, deep: zero, round: zero }
    }

    /// Four sums scaled; what is beyond 16 bits stays beyond those of a byte and an offset.
    #[inline(always)]
    fn apply<const ROUNDING: u8, const ORDINARY: bool>(&self, acc: v128) -> v128 {
        match ROUNDING {
            FLOAT32 => {
                let scaled = f32x4_mul(f32x4_convert_i32x4(acc), self.factor);
                round_to_even::<ORDINARY>(scaled)
            }
            FLOAT64 => {
                let high = i64x2_shuffle::<1, 1>(acc, acc);
                let low = round_away(f64x2_mul(f64x2_convert_low_i32x4(acc), self.factor));
                let high = round_away(f64x2_mul(f64x2_convert_low_i32x4(high), self.power));
                i32x4_shuffle::<0, 2, 4, 6>(low, high)
            }
            _ if !ORDINARY => self.apply_any::<ROUNDING>(acc),
            SINGLE => {
                let acc = i32x4_mul(acc, self.power);
                i32x4_shr(high_halves(acc, self.factor, i64x2_splat(1 << 46)), 15)
            }
            _ => {
                let high = high_halves(i32x4_shl(acc, 1), self.factor, i64x2_splat(1 << 31));
                let high = i32x4_mul(high, self.power);
                let half = i32x4_splat(1 << (COMMON - 1));
                let half = i32x4_add(half, sign::<ROUNDING>(high));
                i32x4_shr(i32x4_add(high, half), COMMON as u32)
            }
        }
    }

    /// The same with any fixed-point scales. Under `single` a product that is shifted further is not
    /// rounded before, so that what is left is `double_up`.
    #[inline(always)]
    fn apply_any<const ROUNDING: u8>(&self, acc: v128) -> v128 {
        let acc = i32x4_mul(acc, self.left);
        let round = if ROUNDING == SINGLE { self.round } else { i32x4_splat(1 << 30) };
        let low = i64x2_extmul_low_i32x4(acc, self.factor);
        let high = i64x2_extmul_high_i32x4(acc, self.factor);
        let low = u64x2_shr(i64x2_add(low, i64x2_extend_low_i32x4(round)), 31);
        let high = u64x2_shr(i64x2_add(high, i64x2_extend_high_i32x4(round)), 31);
        let product = i32x4_shuffle::<0, 2, 4, 6>(low, high);
        let sign = sign::<ROUNDING>(product);
        let deep = i32x4_shr(i32x4_add(product, sign), COMMON as u32);
        let x = v128_bitselect(deep, product, self.deep);
        // No larger than `power` can multiply.
        let x = i32x4_max(i32x4_min(x, self.limit), i32x4_neg(self.limit));
        let half = i32x4_add(i32x4_splat(1 << (COMMON - 1)), v128_andnot(sign, self.deep));
        i32x4_shr(i32x4_add(i32x4_mul(x, self.power), half), COMMON as u32)
    }
}

/// What is added before numbers are rounded half up: half away from zero is half up after one less
/// for negative numbers.
#[inline(always)]
fn sign<const ROUNDING: u8>(of: v128) -> v128 {
    if ROUNDING == DOUBLE { i32x4_shr(of, 31) } else { i32x4_splat(0) }
}

/// The high halves of `a × b + round`, in 64 bits.
#[inline(always)]
pub(super) fn high_halves(a: v128, b: v128, round: v128) -> v128 {
    let low = i64x2_add(i64x2_extmul_low_i32x4(a, b), round);
    let high = i64x2_add(i64x2_extmul_high_i32x4(a, b), round);
    i32x4_shuffle::<1, 3, 5, 7>(low, high)
}

/// The nearest integers, ties to even, of numbers within ±2^22; others are cut off, unless there are
/// none.
#[inline(always)]
fn round_to_even<const WITHIN: bool>(x: v128) -> v128 {
    let bound = f32x4_splat(4_194_304.0);
    let x = if WITHIN { x } else { f32x4_pmax(f32x4_pmin(x, bound), f32x4_neg(bound)) };
    // Floats of this size have no bits behind the point, and differ as their bits do.
    let integers = f32x4_splat(12_582_912.0);
    i32x4_sub(f32x4_add(x, integers), integers)
}

/// The nearest integers, ties away from zero, in the low halves; cut off at ±2^20.
#[inline(always)]
fn round_away(x: v128) -> v128 {
    let bound = f64x2_splat(1_048_576.0);
    let x = f64x2_pmax(f64x2_pmin(x, bound), f64x2_neg(bound));
    let whole = f64x2_trunc(x);
    // Exact: both have few bits in front of the point.
    let rest = f64x2_sub(x, whole);
    let half = f64x2_ge(f64x2_abs(rest), f64x2_splat(0.5));
    let sign = v128_and(x, f64x2_splat(-0.0));
    let whole = f64x2_add(whole, v128_and(half, v128_or(f64x2_splat(1.0), sign)));
    // Floats of this size have no bits behind the point; those before it are the lowest.
    f64x2_add(whole, f64x2_splat(6_755_399_441_055_744.0))
}

/// Four numbers.
#[inline(always)]
fn vector(of: &[i32; 4]) -> v128 {
    // SAFETY: four int32.
    unsafe { v128_load(of.as_ptr().cast()) }
}
