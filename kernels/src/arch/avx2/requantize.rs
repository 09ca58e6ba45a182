//! From sums to int8, eight channels at a time, all roundings.
//!
//! Products of 32 by 32 bits exist for the even lanes of a vector, so the odd ones are moved to
//! their places; of two products of 64 bits the high halves are the eight results, even channels in
//! front of odd ones in each 128 bits, until one shuffle of 32 bytes puts them in order. What follows
//! is cheaper the narrower it is: sums are packed to 16 bits before the last halving and the offset,
//! and to 8 bits before the clamp. Saturation on the way changes nothing, as the clamp is within
//! int8.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

pub(in crate::arch) use super::last::{BYTES, Last, copy_few, in_order, put};
use crate::arch::output::{BLOCK, OutputStage, lanes};
use crate::requantize::{FixedScales, Requantize};

/// Vectors of a block.
pub(in crate::arch) const VECTORS: usize = BLOCK / 8;

/// Which rounding a function is compiled for. Those up to [`SINGLE`] are for scales below 1/2.
pub(in crate::arch) const DOUBLE: u8 = 0;
pub(in crate::arch) const DOUBLE_UP: u8 = 1;
pub(in crate::arch) const SINGLE: u8 = 2;
/// The same for any scales.
pub(in crate::arch) const DOUBLE_ANY: u8 = 3;
pub(in crate::arch) const DOUBLE_UP_ANY: u8 = 4;
pub(in crate::arch) const SINGLE_ANY: u8 = 5;
pub(in crate::arch) const FLOAT32: u8 = 6;
pub(in crate::arch) const FLOAT64: u8 = 7;
/// Any fixed-point rounding that never looks at a sign, see [`OutputStage::folds`].
pub(in crate::arch) const FOLDED: u8 = 8;

/// Calls a function of a [`Block`]'s rounding, the constant in front of its others.
macro_rules! with_rounding {
    ($rounding:expr, $name:ident => $call:expr) => {
        crate::arch::avx2::requantize::with_rounding!(
            $rounding, $name => $call;
            DOUBLE, DOUBLE_UP, SINGLE, DOUBLE_ANY, DOUBLE_UP_ANY, SINGLE_ANY, FLOAT32, FLOAT64, FOLDED
        )
    };
    ($rounding:expr, $name:ident => $call:expr; $($known:ident),*) => {
        match $rounding {
            $(crate::arch::avx2::requantize::$known => {
                const $name: u8 = crate::arch::avx2::requantize::$known;
                $call
            })*
            _ => {}
        }
    };
}

pub(in crate::arch) use with_rounding;

/// Scales of eight channels.
#[derive(Clone, Copy)]
pub(in crate::arch) struct Scales {
    /// Q0.31 of the even channels at their places; or eight f32; or four f64.
    even: __m256i,
    /// Q0.31 of the odd channels, at the places of the even ones; or four more f64.
    odd: __m256i,
    /// The shift to the right, less one, in the order of [`high_halves`].
    right: __m256i,
    /// What [`DOUBLE`] and [`DOUBLE_UP`] do without; of others written.
    rare: MaybeUninit<Rare>,
}

/// What some roundings need, too.
#[derive(Clone, Copy)]
struct Rare {
    /// Of [`SINGLE`] and [`FOLDED`], what rounds the products of the even channels and of the odd ones.
    round_even: __m256i,
    round_odd: __m256i,
    /// The shift to the left of scales of 1/2 and more: of the sum, or of [`SINGLE_ANY`] of the product.
    left: __m256i,
    /// 1 for such scales, in the order of [`high_halves`].
    large: __m256i,
}

/// Which channel of a block is in which lane.
#[derive(Debug, Clone, Copy)]
pub(in crate::arch) enum Order {
    /// Eight neighbours in a vector.
    Natural,
    /// Four vectors, which packing turns into 32 bytes: so many channels, over and over.
    Packed(usize),
}

impl Order {
    /// The values of the channels of a vector.
    #[inline(always)]
    fn vector<T: Copy>(self, natural: &[T; BLOCK], vector: usize) -> [T; 8] {
        match self {
            Self::Natural => natural.as_chunks().0[vector],
            // Four channels in each half.
            Self::Packed(channels) => {
                let fours = natural.as_chunks::<4>().0;
                let last = (channels / 4).max(1) - 1;
                let ([a, b, c, d], [e, f, g, h]) =
                    (fours[vector & last], fours[(4 + vector) & last]);
                [a, b, c, d, e, f, g, h]
            }
        }
    }
}

/// The scales of a block of channels.
pub(in crate::arch) struct Block {
    /// Of the constants above; `None` where a scale is not ordinary.
    pub rounding: Option<u8>,
    /// Of which the first `used` have been written.
    scales: [MaybeUninit<Scales>; VECTORS],
    used: usize,
}

impl Block {
    /// None, for [`Block::fill`].
    #[inline(always)]
    pub fn empty() -> Self {
        Self { rounding: None, scales: [const { MaybeUninit::uninit() }; VECTORS], used: 0 }
    }

    /// Those of `count` channels from `channel` on, at most [`BLOCK`]. In place: copies take longer.
    #[target_feature(enable = "avx2")]
    pub fn fill(&mut self, stage: &OutputStage<'_>, channel: usize, count: usize, order: Order) {
        self.rounding = rounding(stage);
        let Self { rounding, scales, used } = self;
        *used = match order {
            Order::Natural => count.div_ceil(8),
            Order::Packed(_) => 4,
        };
        let vectors = scales.iter_mut().take(*used).enumerate();
        let zero = _mm256_setzero_si256();
        let name = rounding.unwrap_or(FLOAT32);
        let fixed = |multiplier: &[i32; 8], shift: &[i8; 8]| match name {
            FOLDED => Scales::folded(multiplier, shift, stage),
            _ => Scales::fixed(multiplier, shift, name),
        };
        match stage.requantize {
            Requantize::Double(FixedScales { multiplier: &[multiplier], shift: &[shift] })
            | Requantize::DoubleUp(FixedScales { multiplier: &[multiplier], shift: &[shift] })
            | Requantize::Single(FixedScales { multiplier: &[multiplier], shift: &[shift] }) => {
                let all = fixed(&[multiplier; 8], &[shift; 8]);
                for scales in scales.iter_mut().take(*used) {
                    // SAFETY: they were made for it.
                    unsafe { all.put(name, scales) };
                }
            }
            Requantize::Double(s) | Requantize::DoubleUp(s) | Requantize::Single(s)
                if matches!(order, Order::Natural) =>
            {
                for (v, scales) in vectors {
                    let (channel, count) = (channel + v * 8, count - v * 8);
                    let multiplier = lanes(s.multiplier, channel, count.min(8));
                    let shift = lanes(s.shift, channel, count.min(8));
                    // SAFETY: they were made for it.
                    unsafe { fixed(&multiplier, &shift).put(name, scales) };
                }
            }
            Requantize::Double(s) | Requantize::DoubleUp(s) | Requantize::Single(s) => {
                let multiplier = lanes(s.multiplier, channel, count);
                let shift = lanes(s.shift, channel, count);
                for (v, scales) in vectors {
                    let (multiplier, shift) =
                        (order.vector(&multiplier, v), order.vector(&shift, v));
                    // SAFETY: they were made for it.
                    unsafe { fixed(&multiplier, &shift).put(name, scales) };
                }
            }
            Requantize::Float32(s) => {
                let factors = lanes(s, channel, count);
                for (v, scales) in vectors {
                    let factors = order.vector(&factors, v);
                    // SAFETY: eight f32.
                    let factors = unsafe { _mm256_loadu_si256(factors.as_ptr().cast()) };
                    // SAFETY: they were made for it.
                    unsafe { Scales::real(factors, zero).put(name, scales) };
                }
            }
            Requantize::Float64(s) => {
                let factors = lanes(s, channel, count);
                for (v, scales) in vectors {
                    let factors = order.vector(&factors, v);
                    // SAFETY: eight f64, of which a vector has four.
                    let (low, high) = unsafe {
                        (
                            _mm256_loadu_si256(factors.as_ptr().cast()),
                            _mm256_loadu_si256(factors.as_ptr().add(4).cast()),
                        )
                    };
                    // SAFETY: they were made for it.
                    unsafe { Scales::real(low, high).put(name, scales) };
                }
            }
        }
    }

    /// Those of the channels that there are.
    pub fn scales(&self) -> &[Scales] {
        // SAFETY: as many have been written.
        unsafe { self.scales[..self.used].assume_init_ref() }
    }

    /// Requantizes the sums of the block's `count` channels from `channel` on, of a position each, and
    /// stores them to `y`, which begins with the first position's channel 0. The block's order is
    /// natural.
    #[target_feature(enable = "avx2")]
    pub fn store(
        &self,
        stage: &OutputStage<'_>,
        acc: &[[i32; BLOCK]],
        y: &mut [i8],
        channel: usize,
        count: usize,
    ) {
        let Some(rounding) = self.rounding else {
            for (acc, y) in acc.iter().zip(y.chunks_mut(stage.channels)) {
                stage.one_by_one(acc, y, channel, count);
            }
            return;
        };
        with_rounding!(rounding, R => {
            // SAFETY: they were made for it.
            unsafe { rows::<R>(self.scales(), stage, acc, y, channel, count) }
        });
    }
}

/// Which of the constants serves these channels.
#[inline(always)]
fn rounding(stage: &OutputStage<'_>) -> Option<u8> {
    if stage.folds() {
        return Some(FOLDED);
    }
    let (any, below) = match stage.requantize {
        // What is negative becomes the minimum, however it is rounded.
        Requantize::Double(_) if stage.is_relu() => {
            (DOUBLE_UP_ANY, stage.small.then_some(DOUBLE_UP))
        }
        Requantize::Double(_) => (DOUBLE_ANY, stage.small.then_some(DOUBLE)),
        Requantize::DoubleUp(_) => (DOUBLE_UP_ANY, stage.small.then_some(DOUBLE_UP)),
        Requantize::Single(_) => (SINGLE_ANY, Some(SINGLE)),
        Requantize::Float32(_) => return stage.ordinary.then_some(FLOAT32),
        Requantize::Float64(_) => return stage.ordinary.then_some(FLOAT64),
    };
    let [_, most] = stage.shifts?;
    Some(below.filter(|_| most < 0).unwrap_or(any))
}

/// Sums of some positions to bytes, 32 channels at a time, and what is left.
///
/// # Safety
///
/// The processor has AVX2; the scales were made for this rounding.
#[target_feature(enable = "avx2")]
unsafe fn rows<const ROUNDING: u8>(
    scales: &[Scales],
    stage: &OutputStage<'_>,
    acc: &[[i32; BLOCK]],
    y: &mut [i8],
    channel: usize,
    count: usize,
) {
    let last = Last::new(&stage.output);
    let whole = count / BYTES;
    if whole > 0 {
        for (acc, y) in acc.iter().zip(y.chunks_exact_mut(stage.channels)) {
            for (i, y) in y[channel..].as_chunks_mut::<BYTES>().0.iter_mut().enumerate().take(whole)
            {
                let scales = &scales[i * 4..][..4];
                let mut sums = [_mm256_setzero_si256(); 4];
                for (v, (sum, scales)) in sums.iter_mut().zip(scales).enumerate() {
                    // SAFETY: as the caller says.
                    *sum = unsafe { scales.apply::<ROUNDING>(vector(acc, i * 4 + v)) };
                }
                let bytes = in_order(last.packed::<ROUNDING>(sums));
                // SAFETY: 32 bytes.
                unsafe { _mm256_storeu_si256(y.as_mut_ptr().cast(), bytes) };
            }
        }
    }
    let done = whole * BYTES;
    let rest = Rest { stage, acc, channel: channel + done, count: count - done, first: done / 8 };
    // SAFETY: as the caller says.
    unsafe {
        match rest.count.div_ceil(8) {
            0 => {}
            1 => rest.store::<ROUNDING, 1>(scales, y),
            2 => rest.store::<ROUNDING, 2>(scales, y),
            3 => rest.store::<ROUNDING, 3>(scales, y),
            _ => rest.store::<ROUNDING, 4>(scales, y),
        }
    }
}

/// The channels of a block behind the last 32.
struct Rest<'a> {
    stage: &'a OutputStage<'a>,
    acc: &'a [[i32; BLOCK]],
    channel: usize,
    count: usize,
    /// The first of the block's vectors.
    first: usize,
}

impl Rest<'_> {
    /// Where `V` vectors have them, of as many positions at once as four vectors have.
    ///
    /// # Safety
    ///
    /// As [`rows`].
    #[target_feature(enable = "avx2")]
    unsafe fn store<const ROUNDING: u8, const V: usize>(&self, all: &[Scales], y: &mut [i8]) {
        let last = Last::new(&self.stage.output);
        let Some(scales) = all[self.first..].first_chunk::<V>() else { return };
        let (together, channels) = (4 / V, self.stage.channels);
        let positions = self.acc.len();
        let mut position = 0;
        while position < positions {
            let mut sums = [_mm256_setzero_si256(); 4];
            for p in 0..together {
                // Behind the last, the last once more.
                let acc = &self.acc[(position + p).min(positions - 1)];
                for v in 0..V {
                    let acc = vector(acc, self.first + v);
                    // SAFETY: as the caller says.
                    sums[p * V + v] = unsafe { scales[v].apply::<ROUNDING>(acc) };
                }
            }
            let bytes = in_order(last.packed::<ROUNDING>(sums));
            let count = together.min(positions - position);
            let y = &mut y[position * channels..][..count * channels];
            put(bytes, V * 8, y, channels, self.channel, self.count);
            position += together;
        }
    }
}

/// A vector of a position's sums.
#[inline]
#[target_feature(enable = "avx2")]
fn vector(acc: &[i32; BLOCK], v: usize) -> __m256i {
    let eight = &acc.as_chunks::<8>().0[v];
    // SAFETY: eight int32.
    unsafe { _mm256_loadu_si256(eight.as_ptr().cast()) }
}

impl Scales {
    /// Scales that are floats, in one or two vectors.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn real(even: __m256i, odd: __m256i) -> Self {
        Self { even, odd, right: _mm256_setzero_si256(), rare: MaybeUninit::uninit() }
    }

    /// Fixed-point scales, for a rounding; of channels that there are not, any.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn fixed(multiplier: &[i32; 8], shift: &[i8; 8], rounding: u8) -> Self {
        // SAFETY: eight int32, and eight int8.
        let (even, shift) = unsafe {
            (
                _mm256_loadu_si256(multiplier.as_ptr().cast()),
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(shift.as_ptr().cast())),
            )
        };
        let (zero, one) = (_mm256_setzero_si256(), _mm256_set1_epi32(1));
        let right = _mm256_max_epi32(_mm256_sub_epi32(_mm256_set1_epi32(-1), shift), zero);
        let rare = match rounding {
            DOUBLE | DOUBLE_UP => MaybeUninit::uninit(),
            _ => {
                let above = _mm256_max_epi32(_mm256_add_epi32(shift, one), zero);
                // Half of what the last bit of the sum is worth: 2^(30 − shift).
                let half = _mm256_sub_epi32(_mm256_set1_epi32(30), shift);
                let bit = _mm256_set1_epi64x(1);
                let single = matches!(rounding, SINGLE | SINGLE_ANY);
                MaybeUninit::new(Rare {
                    round_even: _mm256_sllv_epi64(bit, low_halves(half)),
                    round_odd: _mm256_sllv_epi64(bit, _mm256_srli_epi64::<32>(half)),
                    left: if single { above } else { _mm256_max_epi32(shift, zero) },
                    large: halves_apart(_mm256_min_epi32(above, one)),
                })
            }
        };
        Self { even, odd: _mm256_srli_epi64::<32>(even), right: halves_apart(right), rare }
    }

    /// Puts them where a block has them: each vector by itself, as copies of so many bytes are calls.
    ///
    /// # Safety
    ///
    /// They were made for this rounding.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn put(self, rounding: u8, to: &mut MaybeUninit<Self>) {
        let Self { even, odd, right, rare } = self;
        let to = to.as_mut_ptr();
        // SAFETY: all are parts of what is referred to; other roundings have written the rest.
        unsafe {
            (&raw mut (*to).even).write(even);
            (&raw mut (*to).odd).write(odd);
            (&raw mut (*to).right).write(right);
            if !matches!(rounding, DOUBLE | DOUBLE_UP | FLOAT32 | FLOAT64) {
                let Rare { round_even, round_odd, left, large } = rare.assume_init();
                let to = (&raw mut (*to).rare).cast::<Rare>();
                (&raw mut (*to).round_even).write(round_even);
                (&raw mut (*to).round_odd).write(round_odd);
                (&raw mut (*to).left).write(left);
                (&raw mut (*to).large).write(large);
            }
        }
    }

    /// The rest of the scales.
    ///
    /// # Safety
    ///
    /// They were made for a rounding that is neither [`DOUBLE`] nor [`DOUBLE_UP`], of fixed-point scales.
    #[inline(always)]
    unsafe fn rare(&self) -> Rare {
        // SAFETY: as the caller says.
        unsafe { self.rare.assume_init() }
    }

    /// The same for [`FOLDED`].
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn folded(multiplier: &[i32; 8], shift: &[i8; 8], stage: &OutputStage<'_>) -> Self {
        let single = matches!(stage.requantize, Requantize::Single(_));
        let nearest = _mm256_set1_epi64x(if single { 0 } else { 1 << 30 });
        // Half of what the last bit of the result is worth, and the offset: each of these is worth two.
        let halves = _mm256_set1_epi64x(1 + 2 * i64::from(stage.output.output_offset));
        let round = |half| _mm256_add_epi64(_mm256_sllv_epi64(halves, half), nearest);
        // SAFETY: eight int8.
        let shift = unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(shift.as_ptr().cast())) };
        let half = _mm256_sub_epi32(_mm256_set1_epi32(30), shift);
        let rare = Rare {
            round_even: round(low_halves(half)),
            round_odd: round(_mm256_srli_epi64::<32>(half)),
            left: _mm256_setzero_si256(),
            large: _mm256_setzero_si256(),
        };
        // SAFETY: eight int32.
        let even = unsafe { _mm256_loadu_si256(multiplier.as_ptr().cast()) };
        Self {
            even,
            odd: _mm256_srli_epi64::<32>(even),
            right: halves_apart(_mm256_sub_epi32(_mm256_set1_epi32(-1), shift)),
            rare: MaybeUninit::new(rare),
        }
    }

    /// Eight sums scaled, or twice that where `last::narrow` halves them; in fixed point, in the order of
    /// [`high_halves`].
    ///
    /// # Safety
    ///
    /// The scales were made for this rounding.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub unsafe fn apply<const ROUNDING: u8>(&self, acc: __m256i) -> __m256i {
        match ROUNDING {
            FLOAT32 => {
                let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_castsi256_ps(self.even));
                // So that what does not fit 32 bits saturates.
                let bound = _mm256_set1_ps(65536.0);
                let scaled = _mm256_min_ps(scaled, bound);
                let scaled = _mm256_max_ps(scaled, _mm256_set1_ps(-65536.0));
                _mm256_cvtps_epi32(scaled)
            }
            FLOAT64 => {
                let low = round_away(_mm256_castsi256_si128(acc), self.even);
                let high = round_away(_mm256_extracti128_si256::<1>(acc), self.odd);
                _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
            }
            SINGLE | FOLDED => {
                let products = self.products(acc);
                // SAFETY: as the caller says.
                let Rare { round_even, round_odd, .. } = unsafe { self.rare() };
                let high = high_halves(added(products, [round_even, round_odd]));
                _mm256_srav_epi32(high, self.right)
            }
            SINGLE_ANY => {
                // SAFETY: as the caller says.
                let Rare { round_even, round_odd, left, .. } = unsafe { self.rare() };
                let [even, odd] = added(self.products(acc), [round_even, round_odd]);
                let even = _mm256_sllv_epi64(even, low_halves(left));
                let odd = _mm256_sllv_epi64(odd, _mm256_srli_epi64::<32>(left));
                _mm256_srav_epi32(high_halves([even, odd]), self.right)
            }
            // The high half of twice the product.
            DOUBLE | DOUBLE_UP => {
                let products = self.products(_mm256_add_epi32(acc, acc));
                let high = high_halves(added(products, [_mm256_set1_epi64x(1 << 31); 2]));
                let high = match ROUNDING {
                    // Half away from zero is half up after one less for negative numbers.
                    DOUBLE => _mm256_add_epi32(high, _mm256_srai_epi32::<31>(high)),
                    _ => high,
                };
                _mm256_srav_epi32(high, self.right)
            }
            _ => {
                // SAFETY: as the caller says.
                let Rare { left, large, .. } = unsafe { self.rare() };
                // Sums may be too large to be doubled; their products are not.
                let products = self.products(_mm256_sllv_epi32(acc, left));
                let doubled = added(products, products);
                let high = high_halves(added(doubled, [_mm256_set1_epi64x(1 << 31); 2]));
                let high = match ROUNDING {
                    DOUBLE_ANY => {
                        let halved = _mm256_cmpeq_epi32(large, _mm256_setzero_si256());
                        let sign = _mm256_and_si256(_mm256_srai_epi32::<31>(high), halved);
                        _mm256_add_epi32(high, sign)
                    }
                    _ => high,
                };
                // Where the scale is large there is no last halving, so twice the number is what is
                // asked for: of one that fits, as all that is beyond 16 bits is the same.
                let bound = _mm256_set1_epi32(1 << 20);
                let scaled = _mm256_min_epi32(_mm256_srav_epi32(high, self.right), bound);
                let scaled =
                    _mm256_max_epi32(scaled, _mm256_sub_epi32(_mm256_setzero_si256(), bound));
                _mm256_sllv_epi32(scaled, large)
            }
        }
    }

    /// The products of the even sums and of the odd ones by their multipliers.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn products(&self, acc: __m256i) -> [__m256i; 2] {
        let odd = _mm256_srli_epi64::<32>(acc);
        [_mm256_mul_epi32(acc, self.even), _mm256_mul_epi32(odd, self.odd)]
    }
}

/// Sums of 64 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn added([a, b]: [__m256i; 2], [c, d]: [__m256i; 2]) -> [__m256i; 2] {
    [_mm256_add_epi64(a, c), _mm256_add_epi64(b, d)]
}

/// The low halves of numbers of 64 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn low_halves(natural: __m256i) -> __m256i {
    _mm256_and_si256(natural, _mm256_set1_epi64x(0xFFFF_FFFF))
}

/// Numbers of channels in the order of [`high_halves`].
#[inline]
#[target_feature(enable = "avx2")]
fn halves_apart(natural: __m256i) -> __m256i {
    _mm256_shuffle_epi32::<0b11_01_10_00>(natural)
}

/// The high halves of the even channels' numbers and, behind them in each 128 bits, of the odd ones'.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::arch) fn high_halves([even, odd]: [__m256i; 2]) -> __m256i {
    let (even, odd) = (_mm256_castsi256_ps(even), _mm256_castsi256_ps(odd));
    _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(even, odd))
}

/// `round(acc × scale)` of four sums, half away from zero.
#[inline]
#[target_feature(enable = "avx2")]
fn round_away(acc: __m128i, scale: __m256i) -> __m128i {
    let scaled = _mm256_mul_pd(_mm256_cvtepi32_pd(acc), _mm256_castsi256_pd(scale));
    // So that what does not fit 32 bits saturates.
    let scaled = _mm256_min_pd(scaled, _mm256_set1_pd(65536.0));
    let scaled = _mm256_max_pd(scaled, _mm256_set1_pd(-65536.0));
    // The number before 1/2: of what is less than half the sum is less than one, and what is half is
    // rounded up by the addition.
    let half = _mm256_set1_pd(0.5_f64.next_down());
    let sign = _mm256_and_pd(scaled, _mm256_set1_pd(-0.0));
    _mm256_cvttpd_epi32(_mm256_add_pd(scaled, _mm256_or_pd(sign, half)))
}
