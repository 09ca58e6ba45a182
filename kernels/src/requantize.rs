//! From the accumulator to the output: multiplication by a real scale, in integers.
//!
//! A scale `s` is stored as `multiplier × 2^(shift − 31)` with `multiplier` in `[2^30, 2^31)`, a
//! Q0.31 number, and `shift` in `[-31, 30]`; `shift > 0` is a left shift. Runtimes agree on that
//! but not on how the product is rounded, so each way is a type of its own that implements
//! [`Rounding`]. `docs/numerics.md` says which runtime follows which.

#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
use crate::{conv2d::Conv2dI8, tiles::Tiled};

/// Calls `$body` with `$r` bound to the [`Rescale`] that a [`Requantize`] stands for, so that
/// what is inside never branches on it.
macro_rules! with_rescale {
    ($requantize:expr, |$r:ident| $body:expr) => {
        match $requantize {
            $crate::requantize::Requantize::Double(scales) => {
                let $r = $crate::requantize::Fixed::<$crate::requantize::Double>::new(scales);
                $body
            }
            $crate::requantize::Requantize::DoubleUp(scales) => {
                let $r = $crate::requantize::Fixed::<$crate::requantize::DoubleUp>::new(scales);
                $body
            }
            $crate::requantize::Requantize::Single(scales) => {
                let $r = $crate::requantize::Fixed::<$crate::requantize::Single>::new(scales);
                $body
            }
            $crate::requantize::Requantize::Float32(scales) => {
                let $r = $crate::requantize::Float32(scales);
                $body
            }
            $crate::requantize::Requantize::Float64(scales) => {
                let $r = $crate::requantize::Float64(scales);
                $body
            }
        }
    };
}

#[cfg_attr(not(simd), expect(unused_imports, reason = "for kernels with vectors"))]
pub(crate) use with_rescale;

/// Largest shift, to either side, that a stored scale may have.
pub const MAX_SHIFT: i32 = 31;

/// One way to compute `round(x × multiplier × 2^(shift − 31))`.
pub trait Rounding {
    /// These scales under this rounding.
    fn of(scales: FixedScales<'_>) -> Requantize<'_>;

    /// `x` scaled; `multiplier` is Q0.31 and not negative, `shift` is in `[-31, 30]`.
    ///
    /// Shifts outside the range are clamped to it; overflow wraps or saturates as the type says,
    /// it never panics.
    fn requantize(x: i32, multiplier: i32, shift: i32) -> i32;

    /// The same where the shift is known to be in the range, as those of files are; other shifts
    /// give some value.
    #[inline(always)]
    fn requantize_stored(x: i32, multiplier: i32, shift: i32) -> i32 {
        Self::requantize(x, multiplier, shift)
    }

    /// The same where the shift is `-right`, with `right` in `[1, 31]`: almost all scales of almost
    /// all models.
    #[inline(always)]
    fn requantize_right(x: i32, multiplier: i32, right: u32) -> i32 {
        Self::requantize_stored(x, multiplier, (right as i32).wrapping_neg())
    }
}

/// Two roundings, the second half away from zero: gemmlowp's `SaturatingRoundingDoublingHighMul`
/// followed by `RoundingDivideByPOT`. TFLite Micro, CMSIS-NN and most of LiteRT's reference
/// kernels.
#[derive(Debug, Clone, Copy)]
pub struct Double;

/// Two roundings, the second half up (an arithmetic shift of `x + 2^(n−1)`). LiteRT's optimized
/// built-in kernels on convolution.
#[derive(Debug, Clone, Copy)]
pub struct DoubleUp;

/// One rounding of the 64-bit product, half up. CMSIS-NN and TFLite when built with
/// `TFLITE_SINGLE_ROUNDING`; Systole's own choice for models that it quantizes.
#[derive(Debug, Clone, Copy)]
pub struct Single;

impl Rounding for Double {
    fn of(scales: FixedScales<'_>) -> Requantize<'_> {
        Requantize::Double(scales)
    }

    #[inline(always)]
    fn requantize(x: i32, multiplier: i32, shift: i32) -> i32 {
        Self::requantize_stored(x, multiplier, shift.clamp(-MAX_SHIFT, MAX_SHIFT))
    }

    #[inline(always)]
    fn requantize_stored(x: i32, multiplier: i32, shift: i32) -> i32 {
        let high = high_mul(x.wrapping_shl(shift.max(0) as u32), multiplier);
        divide_by_power_of_two(high, shift.min(0).wrapping_neg())
    }

    #[inline(always)]
    fn requantize_right(x: i32, multiplier: i32, right: u32) -> i32 {
        let high = high_mul(x, multiplier);
        // Half up, after one less for negative numbers: half away from zero. The last halving is
        // apart because half up would overflow before it.
        let doubled = high.wrapping_add(high >> 31).wrapping_shr(right.wrapping_sub(1));
        (doubled >> 1) + (doubled & 1)
    }
}

/// [`doubling_high_mul`] by a multiplier that is not negative, which needs no saturation.
#[inline(always)]
fn high_mul(x: i32, multiplier: i32) -> i32 {
    ((i64::from(x) * i64::from(multiplier) + (1 << 30)) >> 31) as i32
}

impl Rounding for DoubleUp {
    fn of(scales: FixedScales<'_>) -> Requantize<'_> {
        Requantize::DoubleUp(scales)
    }

    #[inline(always)]
    fn requantize(x: i32, multiplier: i32, shift: i32) -> i32 {
        let shift = shift.clamp(-MAX_SHIFT, MAX_SHIFT);
        let (left, right) = if shift > 0 { (shift, 0) } else { (0, -shift) };
        let high = doubling_high_mul(x.wrapping_shl(left as u32), multiplier);
        if right == 0 {
            return high;
        }
        ((i64::from(high) + (1 << (right - 1))) >> right) as i32
    }
}

impl Rounding for Single {
    fn of(scales: FixedScales<'_>) -> Requantize<'_> {
        Requantize::Single(scales)
    }

    #[inline(always)]
    fn requantize(x: i32, multiplier: i32, shift: i32) -> i32 {
        let total_shift = 31 - shift.clamp(-MAX_SHIFT, 30);
        let product = i64::from(x) * i64::from(multiplier);
        (product.wrapping_add(1 << (total_shift - 1)) >> total_shift) as i32
    }
}

/// The high 32 bits of `2 × a × b`, rounded half up: gemmlowp's `SaturatingRoundingDoublingHighMul`,
/// and Arm's `SQRDMULH`.
///
/// "Doubling" because the product of two Q0.31 numbers is Q0.62, and its high half Q0.30. The one
/// input that overflows, `i32::MIN × i32::MIN`, saturates.
#[inline(always)]
pub fn doubling_high_mul(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    // gemmlowp divides, rounding toward zero, after a nudge that depends on the sign; that is this
    // shift for every product, ties of negative ones included.
    ((i64::from(a) * i64::from(b) + (1 << 30)) >> 31) as i32
}

/// `x / 2^exponent` rounded to the nearest, ties away from zero: gemmlowp's `RoundingDivideByPOT`.
/// `exponent` is in `[0, 31]`, or taken modulo 32.
#[inline(always)]
pub fn divide_by_power_of_two(x: i32, exponent: i32) -> i32 {
    let exponent = exponent as u32;
    let mask = 1_i32.wrapping_shl(exponent).wrapping_sub(1);
    // Without a branch, because the exponent differs from channel to channel.
    let threshold = (mask >> 1).wrapping_add(i32::from(x < 0));
    x.wrapping_shr(exponent).wrapping_add(i32::from(x & mask > threshold))
}

/// Requantization of a 64-bit accumulator, as TFLite's 16x8 kernels do it: the multiplier is cut to
/// 16 bits, the product rounded once, half up. `shift` is in `[-31, 7]`.
///
/// Source: `MultiplyByQuantizedMultiplier(int64_t, …)` of LiteRT and TFLite Micro; it is the same
/// under single and double rounding.
#[inline(always)]
pub fn requantize_i64(x: i64, multiplier: i32, shift: i32) -> i32 {
    let total_shift = wide_shift(shift);
    let product = x.wrapping_mul(i64::from(reduced_multiplier(multiplier)));
    (product.wrapping_add(1 << (total_shift - 1)) >> total_shift) as i32
}

/// A multiplier cut to 16 bits.
#[inline(always)]
pub(crate) fn reduced_multiplier(multiplier: i32) -> i32 {
    if multiplier < 0x7FFF_0000 { (multiplier.wrapping_add(1 << 15)) >> 16 } else { 0x7FFF }
}

/// Bits by which a product with a [`reduced_multiplier`] is shifted to the right, in `[1, 62]`.
#[inline(always)]
pub(crate) fn wide_shift(shift: i32) -> i32 {
    (15 - shift).clamp(1, 62)
}

/// The scales of an operator's output channels and how they are applied.
///
/// Slices hold one element per output channel, or a single one that serves all channels.
#[derive(Debug, Clone, Copy)]
pub enum Requantize<'a> {
    /// [`Double`] rounding.
    Double(FixedScales<'a>),
    /// [`DoubleUp`] rounding.
    DoubleUp(FixedScales<'a>),
    /// [`Single`] rounding.
    Single(FixedScales<'a>),
    /// `f32` multiplication, rounded half to even: XNNPACK and ONNX Runtime.
    Float32(&'a [f32]),
    /// `f64` multiplication, rounded half away from zero: LiteRT's reference fully connected.
    Float64(&'a [f64]),
}

/// Fixed-point scales: `multiplier × 2^(shift − 31)`, a pair per channel or one for all.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct FixedScales<'a> {
    /// Q0.31, in `[2^30, 2^31)`, or 0.
    pub multiplier: &'a [i32],
    /// Powers of two, in `[-31, 30]`, as long as `multiplier`.
    pub shift: &'a [i8],
}

/// What a kernel's output stage calls: the accumulator of `channel`, scaled and rounded.
///
/// Kernels are generic over it: a session passes [`Requantize`], which chooses the rounding while it
/// runs, a model that is compiled in the type of the one rounding, and links no other.
pub trait Rescale: Copy {
    /// The scaled accumulator, without output offset. A channel without a scale gives 0.
    fn rescale(&self, acc: i32, channel: usize) -> i32;

    /// The same, to be chosen while it runs: for kernels that are compiled once for all.
    fn any(&self) -> Requantize<'_>;

    /// Runs a layer with its rounding chosen while it runs: a copy of it, or itself where that is so already.
    #[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
    #[inline(always)]
    fn run_tiled<T>(
        p: &Tiled<'_, Conv2dI8<'_, Self>>,
        run: impl FnOnce(&Tiled<'_, Conv2dI8<'_>>) -> T,
    ) -> T {
        run(&Tiled { weights: p.weights, layer: p.layer.with_any_rounding() })
    }

    /// The scales of `C` neighbouring channels.
    type Block<const C: usize>;

    /// Looks up the scales of channels from `channel` on; 0 behind the last.
    fn block<const C: usize>(&self, channel: usize) -> Self::Block<C>;

    /// The scaled accumulators of a block's channels.
    fn rescale_block<const C: usize>(block: &Self::Block<C>, accs: [i32; C]) -> [i32; C];
}

/// The scaled accumulators of channels from `channel` on.
#[inline(always)]
fn rescale_block_of<R: Rescale, const C: usize>(
    scales: R,
    channel: usize,
    accs: [i32; C],
) -> [i32; C] {
    R::rescale_block(&scales.block(channel), accs)
}

/// The rounding is chosen once per block: a predicted branch, and one copy of each loop nest in the
/// program instead of one per rounding.
impl<'a> Rescale for Requantize<'a> {
    /// Itself, and the first channel.
    type Block<const C: usize> = (Self, usize);

    fn rescale(&self, acc: i32, channel: usize) -> i32 {
        with_rescale!(*self, |rescale| rescale.rescale(acc, channel))
    }

    fn any(&self) -> Requantize<'_> {
        *self
    }

    #[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
    #[inline(always)]
    fn run_tiled<T>(
        p: &Tiled<'_, Conv2dI8<'_, Self>>,
        run: impl FnOnce(&Tiled<'_, Conv2dI8<'_>>) -> T,
    ) -> T {
        run(p)
    }

    #[inline(always)]
    fn block<const C: usize>(&self, channel: usize) -> (Self, usize) {
        (*self, channel)
    }

    #[inline(never)]
    fn rescale_block<const C: usize>(
        &(scales, channel): &(Self, usize),
        accs: [i32; C],
    ) -> [i32; C] {
        with_rescale!(scales, |rescale| rescale_block_of(rescale, channel, accs))
    }
}

/// [`FixedScales`] under one [`Rounding`].
#[derive(Debug)]
pub struct Fixed<'a, R> {
    scales: FixedScales<'a>,
    rounding: core::marker::PhantomData<R>,
}

impl<R> Clone for Fixed<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Fixed<'_, R> {}

impl<'a, R> Fixed<'a, R> {
    /// The scales, to be applied with rounding `R`.
    pub const fn new(scales: FixedScales<'a>) -> Self {
        Self { scales, rounding: core::marker::PhantomData }
    }
}

/// `all[channel]`, or the only element where one serves all channels.
#[inline(always)]
fn of_channel<T: Copy + Default>(all: &[T], channel: usize) -> T {
    let channel = if all.len() == 1 { 0 } else { channel };
    all.get(channel).copied().unwrap_or_default()
}

/// `all[channel + c]` for a block of channels, or the only element where one serves all; 0 behind
/// the last.
#[inline(always)]
pub(crate) fn of_channels<T: Copy + Default, const C: usize>(all: &[T], channel: usize) -> [T; C] {
    // Looked up as a whole, so that channels are not checked one by one.
    match (all.get(channel..).and_then(|rest| rest.first_chunk()), all) {
        (Some(block), _) => *block,
        (None, [only]) => [*only; C],
        (None, _) => of_some_channels(all, channel),
    }
}

/// [`of_channels`] where not all of the channels have a value of their own.
#[cold]
#[inline(never)]
fn of_some_channels<T: Copy + Default, const C: usize>(all: &[T], channel: usize) -> [T; C] {
    let mut block = [T::default(); C];
    for (c, to) in block.iter_mut().enumerate() {
        *to = of_channel(all, channel.saturating_add(c));
    }
    block
}

impl<R: Rounding> Rescale for Fixed<'_, R> {
    #[inline(always)]
    fn rescale(&self, acc: i32, channel: usize) -> i32 {
        let multiplier = of_channel(self.scales.multiplier, channel);
        let shift = of_channel(self.scales.shift, channel);
        R::requantize(acc, multiplier, i32::from(shift))
    }

    fn any(&self) -> Requantize<'_> {
        R::of(self.scales)
    }

    type Block<const C: usize> = FixedBlock<C>;

    #[inline(always)]
    fn block<const C: usize>(&self, channel: usize) -> FixedBlock<C> {
        let multiplier = of_channels(self.scales.multiplier, channel);
        let shift: [i8; C] = of_channels(self.scales.shift, channel);
        FixedBlock { multiplier, shift, right: shift.iter().all(|&shift| shift < 0) }
    }

    #[inline(always)]
    fn rescale_block<const C: usize>(block: &FixedBlock<C>, mut accs: [i32; C]) -> [i32; C] {
        if !block.right {
            return rescale_any::<R, C>(block, accs);
        }
        for ((acc, multiplier), shift) in accs.iter_mut().zip(block.multiplier).zip(block.shift) {
            let right = i32::from(shift).wrapping_neg() as u32;
            *acc = R::requantize_right(*acc, multiplier, right);
        }
        accs
    }
}

/// Scales of `C` neighbouring channels.
#[derive(Debug, Clone, Copy)]
pub struct FixedBlock<const C: usize> {
    multiplier: [i32; C],
    shift: [i8; C],
    /// Whether all of them shift to the right.
    right: bool,
}

/// Scales that are rare: those of which some are 1/2 and more. By value, so that sums may stay in
/// registers.
#[cold]
#[inline(never)]
fn rescale_any<R: Rounding, const C: usize>(block: &FixedBlock<C>, mut accs: [i32; C]) -> [i32; C] {
    for ((acc, multiplier), shift) in accs.iter_mut().zip(block.multiplier).zip(block.shift) {
        *acc = R::requantize_stored(*acc, multiplier, i32::from(shift));
    }
    accs
}

/// [`Requantize::Float32`] as a [`Rescale`].
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Float32<'a>(pub &'a [f32]);

/// [`Requantize::Float64`] as a [`Rescale`].
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Float64<'a>(pub &'a [f64]);

macro_rules! real_scales {
    ($scales:ident of $real:ty: $scaled:expr) => {
        impl Rescale for $scales<'_> {
            /// The scales themselves.
            type Block<const C: usize> = [$real; C];

            #[inline(always)]
            fn rescale(&self, acc: i32, channel: usize) -> i32 {
                $scaled(acc, of_channel(self.0, channel))
            }

            fn any(&self) -> Requantize<'_> {
                Requantize::$scales(self.0)
            }

            #[inline(always)]
            fn block<const C: usize>(&self, channel: usize) -> Self::Block<C> {
                of_channels(self.0, channel)
            }

            #[inline(always)]
            fn rescale_block<const C: usize>(
                scales: &Self::Block<C>,
                mut accs: [i32; C],
            ) -> [i32; C] {
                for (acc, scale) in accs.iter_mut().zip(scales) {
                    *acc = $scaled(*acc, *scale);
                }
                accs
            }
        }
    };
}

/// Beyond this what is rounded to even or away from zero stays where it is: beyond whatever is stored
/// in 16 bits.
const LIMIT: f32 = 4_194_304.0;

/// 1.5 times the double of [`LIMIT`]. Floats around it are integers, up to [`LIMIT`] away: adding it
/// rounds, and the sum's bits count from its own.
const INTEGERS: f32 = 3.0 * LIMIT;

/// The nearest integer, ties to even, within ±2²²; 0 of what is not a number.
#[inline(always)]
pub fn round_to_even(x: f32) -> i32 {
    let bits = (x.clamp(-LIMIT, LIMIT) + INTEGERS).to_bits();
    let rounded = bits.wrapping_sub(INTEGERS.to_bits()) as i32;
    if x.is_nan() { 0 } else { rounded }
}

/// The nearest integer, ties away from zero, within ±2²²; 0 of what is not a number.
#[inline(always)]
pub fn round_half_away(x: f32) -> i32 {
    let x = x.clamp(-LIMIT, LIMIT);
    let sum = x + INTEGERS;
    let even = sum.to_bits().wrapping_sub(INTEGERS.to_bits()) as i32;
    // Exact: 1/2 where a tie went the other way.
    let rest = x - (sum - INTEGERS);
    let up = i32::from(rest == 0.5 && x > 0.0);
    let down = i32::from(rest == -0.5 && x < 0.0);
    if x.is_nan() { 0 } else { even.wrapping_add(up).wrapping_sub(down) }
}

// `as` saturates, and turns NaN into 0.
real_scales!(Float32 of f32: |acc: i32, scale: f32| round_to_even(acc as f32 * scale));
real_scales!(Float64 of f64: |acc: i32, scale: f64| libm::round(f64::from(acc) * scale) as i32);

/// The scales of an operator that sums int16 activations in 64 bits.
///
/// Slices hold one element per output channel, or a single one that serves all channels.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub enum RequantizeWide<'a> {
    /// [`requantize_i64`].
    Fixed(FixedScales<'a>),
    /// `f64` multiplication, rounded half away from zero: LiteRT's reference fully connected.
    Float64(&'a [f64]),
}

impl RequantizeWide<'_> {
    /// The scaled accumulator of `channel`. A channel without a scale gives 0.
    #[inline(always)]
    pub fn rescale(&self, acc: i64, channel: usize) -> i32 {
        match *self {
            Self::Fixed(scales) => {
                let multiplier = of_channel(scales.multiplier, channel);
                let shift = of_channel(scales.shift, channel);
                requantize_i64(acc, multiplier, i32::from(shift))
            }
            // `as` saturates, and turns NaN into 0.
            Self::Float64(scales) => libm::round(acc as f64 * of_channel(scales, channel)) as i32,
        }
    }
}

/// How an operator with int16 activations and int8 weights sums and scales.
#[derive(Debug, Clone, Copy)]
pub enum Accumulate16<'a, R = Requantize<'a>> {
    /// In 32 bits, from one bias per output channel: files whose bias is int32.
    Narrow(&'a [i32], R),
    /// In 64 bits, from one bias per output channel: files whose bias is int64, or absent.
    Wide(&'a [i64], RequantizeWide<'a>),
}

impl<R> Accumulate16<'_, R> {
    /// Whether there is a bias for each of `channels`.
    pub(crate) fn fits(&self, channels: usize) -> bool {
        match self {
            Self::Narrow(bias, _) => bias.len() == channels,
            Self::Wide(bias, _) => bias.len() == channels,
        }
    }
}

/// The output stage: scaled accumulator plus zero point, clamped to the fused activation's range.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Output {
    /// The output's zero point, added after scaling.
    pub output_offset: i32,
    /// Smallest output value, in `[-128, 127]` for int8.
    pub activation_min: i32,
    /// Largest output value, not below `activation_min`.
    pub activation_max: i32,
}

impl Output {
    /// `scaled + output_offset`, clamped. A range that is empty gives `activation_min`.
    #[inline(always)]
    pub fn apply(&self, scaled: i32) -> i32 {
        scaled.saturating_add(self.output_offset).min(self.activation_max).max(self.activation_min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `round(x × multiplier × 2^(shift − 31))` in 128-bit integers, ties as `tie_up` says.
    fn exact(x: i32, multiplier: i32, shift: i32) -> f64 {
        f64::from(x) * f64::from(multiplier) * libm::exp2(f64::from(shift - 31))
    }

    proptest! {
        #[test]
        fn single_is_the_nearest_integer(x in -(1 << 20)..(1 << 20), m in (1 << 30)..i32::MAX, s in -31..=6) {
            let got = f64::from(Single::requantize(x, m, s));
            prop_assert!((got - exact(x, m, s)).abs() <= 0.5);
        }

        #[test]
        fn double_is_within_one_of_the_exact_product(x in -(1 << 20)..(1 << 20), m in (1 << 30)..i32::MAX, s in -31..=6) {
            let got = f64::from(Double::requantize(x, m, s));
            prop_assert!((got - exact(x, m, s)).abs() <= 1.0);
            let up = f64::from(DoubleUp::requantize(x, m, s));
            prop_assert!((up - exact(x, m, s)).abs() <= 1.0);
        }

        #[test]
        fn doubling_high_mul_is_gemmlowps(a: i32, b: i32, k in -(1_i64 << 29)..(1 << 29)) {
            let gemmlowp = |product: i64| {
                let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
                ((product + nudge) / (1 << 31)) as i32
            };
            prop_assert_eq!(doubling_high_mul(a, b), gemmlowp(i64::from(a) * i64::from(b)));
            // Ties: (2k + 1) × 2^30.
            let tie = (2 * k + 1) as i32;
            prop_assert_eq!(doubling_high_mul(tie, 1 << 30), gemmlowp(i64::from(tie) << 30));
        }

        #[test]
        fn divide_by_power_of_two_is_gemmlowps(x: i32, k: i32, exponent in 0..=31) {
            let gemmlowp = |x: i32| {
                let mask = ((1_i64 << exponent) - 1) as i32;
                let threshold = (mask >> 1) + i32::from(x < 0);
                (x >> exponent) + i32::from((x & mask) > threshold)
            };
            let tie = (i64::from(k) << exponent | (1_i64 << exponent >> 1)) as i32;
            for x in [x, tie, tie.wrapping_add(1), tie.wrapping_sub(1), i32::MIN, i32::MAX] {
                // At 31 the mask is the whole positive range.
                prop_assert_eq!(divide_by_power_of_two(x, exponent), gemmlowp(x), "{}", x);
            }
        }

        #[test]
        fn to_even_is_what_ieee_754_says(bits: u32, near in -5e6_f32..5e6) {
            for x in [f32::from_bits(bits), near, near.trunc() + 0.5, f32::NAN, f32::INFINITY] {
                let wanted = (libm::rintf(x) as i32).clamp(-(1 << 22), 1 << 22);
                prop_assert_eq!(round_to_even(x), wanted, "{}", x);
            }
        }

        #[test]
        fn away_is_what_c_says(bits: u32, near in -5e6_f32..5e6, small in -9.0_f32..9.0) {
            let ties = [near.trunc() + 0.5, small.trunc() - 0.5, 0.499_999_97, -0.499_999_97];
            let others = [f32::from_bits(bits), near, small, f32::NAN, f32::NEG_INFINITY];
            for x in ties.into_iter().chain(others) {
                let wanted = (libm::roundf(x) as i32).clamp(-(1 << 22), 1 << 22);
                prop_assert_eq!(round_half_away(x), wanted, "{}", x);
            }
        }

        #[test]
        fn no_rounding_panics(x: i32, m: i32, s: i32, wide: i64) {
            Double::requantize(x, m, s);
            DoubleUp::requantize(x, m, s);
            Single::requantize(x, m, s);
            requantize_i64(wide, m, s);
        }
    }

    #[test]
    fn ties_go_where_the_rounding_says() {
        // 3 × 0.5 = 1.5 and -1.5: multiplier 2^30 is 0.5, the shift adds nothing.
        let half = 1 << 30;
        assert_eq!([Single::requantize(3, half, 0), Single::requantize(-3, half, 0)], [2, -1]);
        // Double rounding does the same tie in its second step: 6 × 0.5 = 3, then 3 / 2.
        assert_eq!([Double::requantize(6, half, -1), Double::requantize(-6, half, -1)], [2, -2]);
        assert_eq!(
            [DoubleUp::requantize(6, half, -1), DoubleUp::requantize(-6, half, -1)],
            [2, -1]
        );
        assert_eq!([Float32(&[0.5]).rescale(5, 0), Float32(&[0.5]).rescale(-5, 0)], [2, -2]);
        assert_eq!([Float64(&[0.5]).rescale(5, 0), Float64(&[0.5]).rescale(-5, 0)], [3, -3]);
    }

    #[test]
    fn double_rounding_differs_from_single_where_the_first_step_makes_a_tie() {
        // 0.4999… rounds to a tie in the high multiply and from there away from zero.
        let x = 3;
        let multiplier = i32::MAX;
        assert_eq!(Single::requantize(x, multiplier, -1), 1);
        assert_eq!(Double::requantize(x, multiplier, -1), 2);
    }

    #[test]
    fn the_saturating_input_saturates() {
        assert_eq!(doubling_high_mul(i32::MIN, i32::MIN), i32::MAX);
        assert_eq!(divide_by_power_of_two(i32::MIN, 31), -1);
        assert_eq!(divide_by_power_of_two(i32::MAX, 31), 1);
    }
}
