//! From sums to int8, sixteen channels at a time, all roundings.
//!
//! Products of 32 by 32 bits exist for the even lanes of a vector, so the odd ones are moved to
//! their places and back: of two products of 64 bits the high halves are the sixteen results. What
//! follows is cheaper the narrower it is: sums are packed to 16 bits before the last halving, the
//! offset, and packed to 8 bits before the clamp. Saturation on the way changes nothing, as the
//! clamp is within int8.

use core::arch::x86_64::*;

use crate::arch::output::{BLOCK, OutputStage, lanes};
use crate::requantize::{Output, Requantize};

/// Vectors of a block.
const VECTORS: usize = BLOCK / 16;

/// Which rounding a function is compiled for.
pub(super) const DOUBLE: u8 = 0;
pub(super) const DOUBLE_UP: u8 = 1;
pub(super) const SINGLE: u8 = 2;
const FLOAT32: u8 = 3;
const FLOAT64: u8 = 4;

/// Any fixed-point rounding that never looks at a sign, see [`OutputStage::folds`].
pub(super) const FOLDED: u8 = 5;

/// Scales of sixteen channels.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    /// Q0.31 of the even channels at their places; or sixteen f32; or eight f64.
    even: __m512i,
    /// Q0.31 of the odd channels, at the places of the even ones; or eight more f64.
    odd: __m512i,
    /// The shift to the right, less one.
    right: __m512i,
    /// What rounds the products of the even channels and of the odd ones.
    round_even: __m512i,
    round_odd: __m512i,
    /// The shift to the left, of scales that are 1/2 or more.
    left: __m512i,
}

/// The scales of a block of channels.
pub(super) struct Block {
    /// `None` where one of them is not ordinary.
    scales: Option<[Scales; VECTORS]>,
    /// Whether scales are below 1/2 and sums may be doubled.
    ordinary: bool,
    /// Whether they are for [`FOLDED`].
    folded: bool,
    order: Order,
}

/// Channels of half a vector.
const HALF: usize = 8;

/// Which channel of a block is in which lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Sixteen neighbours in a vector.
    Natural,
    /// Four neighbours in each 128 bits of a vector; the next four in the next vector. So bytes come
    /// out of shuffles that widen, and so shuffles that narrow take them.
    Interleaved,
    /// Four positions of sixteen channels: in each vector four neighbouring channels, in each 128 bits
    /// of it a position.
    Repeated,
}

impl Order {
    /// The channel that is at place `i` of a block's sums.
    pub fn channel(self, i: usize) -> usize {
        match self {
            Self::Natural => i,
            Self::Interleaved => i % 16 / 4 * 16 + i / 16 * 4 + i % 4,
            Self::Repeated => i / 16 * 4 + i % 4,
        }
    }

    /// A block's values, 32 bits each, put from the natural order into this.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn arrange(self, natural: [__m512i; VECTORS]) -> [__m512i; VECTORS] {
        let [a, b, c, d] = natural;
        match self {
            Self::Natural => natural,
            // 128 bits are elements of a matrix, which is transposed.
            Self::Interleaved => {
                let (ab, ab_high) =
                    (_mm512_shuffle_i64x2::<0x44>(a, b), _mm512_shuffle_i64x2::<0xEE>(a, b));
                let (cd, cd_high) =
                    (_mm512_shuffle_i64x2::<0x44>(c, d), _mm512_shuffle_i64x2::<0xEE>(c, d));
                [
                    _mm512_shuffle_i64x2::<0x88>(ab, cd),
                    _mm512_shuffle_i64x2::<0xDD>(ab, cd),
                    _mm512_shuffle_i64x2::<0x88>(ab_high, cd_high),
                    _mm512_shuffle_i64x2::<0xDD>(ab_high, cd_high),
                ]
            }
            Self::Repeated => [
                _mm512_shuffle_i64x2::<0x00>(a, a),
                _mm512_shuffle_i64x2::<0x55>(a, a),
                _mm512_shuffle_i64x2::<0xAA>(a, a),
                _mm512_shuffle_i64x2::<0xFF>(a, a),
            ],
        }
    }
}

/// The values of `count` channels from `channel` on, or of all the only one that there is; 0 where there
/// are fewer than a block's.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn dwords<T: Dword>(all: &[T], channel: usize, count: usize) -> [__m512i; VECTORS] {
    if let [only] = all {
        return [_mm512_set1_epi32(only.bits()); VECTORS];
    }
    let all = all.get(channel..channel + count).unwrap_or_default();
    // A bit for each; shifts by 64 are none.
    let mask = u64::MAX.checked_shr(64 - all.len().min(64) as u32).unwrap_or(0);
    core::array::from_fn(|v| {
        let from = all.as_ptr().wrapping_add(16 * v).cast();
        // SAFETY: of this vector's elements of 32 bits the mask has those that there are.
        unsafe { _mm512_maskz_loadu_epi32((mask >> (16 * v)) as u16, from) }
    })
}

/// What has 32 bits.
pub(super) trait Dword: Copy {
    fn bits(self) -> i32;
}

impl Dword for i32 {
    #[inline(always)]
    fn bits(self) -> i32 {
        self
    }
}

impl Dword for f32 {
    #[inline(always)]
    fn bits(self) -> i32 {
        self.to_bits() as i32
    }
}

/// [`dwords`] of bytes, widened with their signs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn bytes(all: &[i8], channel: usize, count: usize) -> [__m512i; VECTORS] {
    if let [only] = all {
        return [_mm512_set1_epi32((*only).into()); VECTORS];
    }
    let all = all.get(channel..channel + count).unwrap_or_default();
    let mask = u64::MAX.checked_shr(64 - all.len().min(64) as u32).unwrap_or(0);
    // SAFETY: the mask has as many bits as there are elements.
    let all = unsafe { _mm512_maskz_loadu_epi8(mask, all.as_ptr()) };
    [
        _mm512_cvtepi8_epi32(_mm512_castsi512_si128(all)),
        _mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32::<1>(all)),
        _mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32::<2>(all)),
        _mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32::<3>(all)),
    ]
}

impl Block {
    /// Those of `count` channels from `channel` on, at most [`BLOCK`].
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub fn new(stage: &OutputStage<'_>, channel: usize, count: usize, order: Order) -> Self {
        if !stage.ordinary {
            return Self { scales: None, ordinary: false, folded: false, order };
        }
        let folded = stage.folds();
        let arranged = |natural| match order {
            Order::Natural if count <= HALF => twice(natural),
            _ => order.arrange(natural),
        };
        let mut scales = [Scales::zero(); VECTORS];
        match stage.requantize {
            Requantize::Double(s) | Requantize::DoubleUp(s) | Requantize::Single(s) => {
                let single = matches!(stage.requantize, Requantize::Single(_));
                let multiplier = arranged(dwords(s.multiplier, channel, count));
                let shift = arranged(bytes(s.shift, channel, count));
                for (scales, (multiplier, shift)) in
                    scales.iter_mut().zip(multiplier.into_iter().zip(shift))
                {
                    *scales = match folded {
                        true => Scales::folded(multiplier, shift, single, &stage.output),
                        false => Scales::fixed(multiplier, shift, single),
                    };
                }
            }
            Requantize::Float32(s) => {
                let factors = arranged(dwords(s, channel, count));
                for (scales, even) in scales.iter_mut().zip(factors) {
                    *scales = Scales { even, ..Scales::zero() };
                }
            }
            Requantize::Float64(s) => {
                let natural: [f64; BLOCK] = lanes(s, channel, count);
                let factors: [f64; BLOCK] = core::array::from_fn(|i| natural[order.channel(i)]);
                for (scales, factors) in scales.iter_mut().zip(factors.as_chunks().0) {
                    *scales = Scales::float64(factors);
                }
            }
        }
        let ordinary = stage.small && stage.below_half();
        Self { scales: Some(scales), ordinary, folded, order }
    }

    /// Requantizes the sums of the block's `count` channels from `channel` on, of a position each, and
    /// stores them to `y`, which begins with the first position's channel 0.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub fn store(
        &self,
        stage: &OutputStage<'_>,
        acc: &[[i32; BLOCK]],
        y: &mut [i8],
        channel: usize,
        count: usize,
    ) {
        let Some(scales) = &self.scales else {
            return self.one_by_one(stage, acc, y, channel, count);
        };
        match stage.requantize {
            _ if self.folded => self.vectors::<FOLDED>(scales, stage, acc, y, channel, count),
            Requantize::Double(_) => self.vectors::<DOUBLE>(scales, stage, acc, y, channel, count),
            Requantize::DoubleUp(_) => {
                self.vectors::<DOUBLE_UP>(scales, stage, acc, y, channel, count)
            }
            Requantize::Single(_) => self.vectors::<SINGLE>(scales, stage, acc, y, channel, count),
            Requantize::Float32(_) => {
                self.vectors::<FLOAT32>(scales, stage, acc, y, channel, count)
            }
            Requantize::Float64(_) => {
                self.vectors::<FLOAT64>(scales, stage, acc, y, channel, count)
            }
        }
    }

    /// The definition: for scales that no valid file has.
    #[cold]
    fn one_by_one(
        &self,
        stage: &OutputStage<'_>,
        acc: &[[i32; BLOCK]],
        y: &mut [i8],
        channel: usize,
        count: usize,
    ) {
        let positions = if self.order == Order::Repeated { 4 } else { 1 };
        for (acc, y) in acc.iter().zip(y.chunks_mut(positions * stage.channels)) {
            for (position, y) in y.chunks_mut(stage.channels).enumerate() {
                let mut natural = [0; BLOCK];
                for (i, acc) in acc.iter().enumerate() {
                    if positions == 1 || i % 16 / 4 == position {
                        natural[self.order.channel(i)] = *acc;
                    }
                }
                stage.one_by_one(&natural, y, channel, count);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn vectors<const ROUNDING: u8>(
        &self,
        scales: &[Scales; VECTORS],
        stage: &OutputStage<'_>,
        acc: &[[i32; BLOCK]],
        y: &mut [i8],
        channel: usize,
        count: usize,
    ) {
        let vectors = count.div_ceil(16);
        match (self.order, vectors, self.ordinary) {
            (Order::Interleaved, _, true) => {
                rows::<ROUNDING, 4, true, true>(scales, stage, acc, y, channel, count)
            }
            (Order::Interleaved, _, false) => {
                rows::<ROUNDING, 4, true, false>(scales, stage, acc, y, channel, count)
            }
            (Order::Repeated, _, true) => {
                four_rows::<ROUNDING, true>(scales, stage, acc, y, channel, count)
            }
            (Order::Repeated, _, false) => {
                four_rows::<ROUNDING, false>(scales, stage, acc, y, channel, count)
            }
            (_, 1, true) if count <= HALF && ROUNDING != FLOAT64 => {
                half_vectors::<ROUNDING>(&scales[0], stage, acc, y, channel, count)
            }
            (_, 1, true) => single_vectors::<ROUNDING>(&scales[0], stage, acc, y, channel, count),
            (_, 2, true) => rows::<ROUNDING, 2, false, true>(scales, stage, acc, y, channel, count),
            (_, 3, true) => rows::<ROUNDING, 3, false, true>(scales, stage, acc, y, channel, count),
            (_, _, true) => rows::<ROUNDING, 4, false, true>(scales, stage, acc, y, channel, count),
            _ => rows::<ROUNDING, 4, false, false>(scales, stage, acc, y, channel, count),
        }
    }
}

/// A bit for each of the first `count` of 64.
#[inline(always)]
pub(super) fn first(count: usize) -> u64 {
    u64::MAX.checked_shr(64 - count.min(64) as u32).unwrap_or(0)
}

// The loops below are functions of their own: put together into one, registers would not do.

/// The first `V` vectors of each position's sums to bytes. The last position may have fewer channels.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn rows<const ROUNDING: u8, const V: usize, const INTERLEAVED: bool, const ORDINARY: bool>(
    scales: &[Scales; VECTORS],
    stage: &OutputStage<'_>,
    acc: &[[i32; BLOCK]],
    y: &mut [i8],
    channel: usize,
    count: usize,
) {
    let last = Last::new(&stage.output);
    // Packing works within each 128 bits; the dwords it leaves are put in order.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let mask = u64::MAX >> (64 - count.clamp(1, 64));
    for (acc, y) in acc.iter().zip(y.chunks_mut(stage.channels)) {
        let bytes = last.bytes::<ROUNDING, V, ORDINARY>(scales, acc);
        let bytes = if INTERLEAVED { bytes } else { _mm512_permutexvar_epi32(order, bytes) };
        let y = y.get_mut(channel..).unwrap_or_default();
        let mask = if y.len() < count { first(y.len()) } else { mask };
        // SAFETY: the mask has as many bits as `y` has elements, at most.
        unsafe { _mm512_mask_storeu_epi8(y.as_mut_ptr(), mask, bytes) };
    }
}

/// The first vector of each position's sums to bytes, of four positions at once.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn single_vectors<const ROUNDING: u8>(
    scales: &Scales,
    stage: &OutputStage<'_>,
    acc: &[[i32; BLOCK]],
    y: &mut [i8],
    channel: usize,
    count: usize,
) {
    let last = Last::new(&stage.output);
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let scaled = |acc: &[i32; BLOCK]| {
        // SAFETY: sixteen int32 of 64.
        scales.apply::<ROUNDING>(unsafe { _mm512_loadu_si512(acc.as_ptr().cast()) })
    };
    let bytes = |[a, b, c, d]: &[[i32; BLOCK]; 4]| {
        let sums = [scaled(a), scaled(b), scaled(c), scaled(d)];
        _mm512_permutexvar_epi32(order, last.packed::<ROUNDING>(sums))
    };
    // Four whole positions, again and again; then those that are left.
    let (whole, rest) = acc.as_chunks::<4>();
    let mut outputs = y.chunks_mut(4 * stage.channels);
    for (acc, y) in whole.iter().zip(&mut outputs) {
        store_four(bytes(acc), stage, y, channel, count);
    }
    if let (Some(y), true) = (outputs.next(), !rest.is_empty()) {
        let mut acc = [[0; BLOCK]; 4];
        acc[..rest.len()].copy_from_slice(rest);
        let len = y.len().min(rest.len() * stage.channels);
        store_four(bytes(&acc), stage, &mut y[..len], channel, count);
    }
}

/// The first vector, with its first half in both of its own.
#[inline]
#[target_feature(enable = "avx512f")]
fn twice(natural: [__m512i; VECTORS]) -> [__m512i; VECTORS] {
    natural.map(|it| _mm512_shuffle_i64x2::<0x44>(it, it))
}

/// Half a vector of each position's sums to bytes, of eight positions at once. The last may have fewer
/// channels.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn half_vectors<const ROUNDING: u8>(
    scales: &Scales,
    stage: &OutputStage<'_>,
    acc: &[[i32; BLOCK]],
    y: &mut [i8],
    channel: usize,
    count: usize,
) {
    let last = Last::new(&stage.output);
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (acc, y) in acc.chunks(8).zip(y.chunks_mut(8 * stage.channels)) {
        // Of fewer positions the last stands for those that there are not.
        let half = |i: usize| {
            let acc = acc.get(i).or(acc.last()).map_or(&[0; BLOCK], |acc| acc);
            // SAFETY: eight int32 of 64.
            unsafe { _mm256_loadu_si256(acc.as_ptr().cast()) }
        };
        let vector = |i: usize| {
            let low = _mm512_castsi256_si512(half(2 * i));
            scales.apply::<ROUNDING>(_mm512_inserti64x4::<1>(low, half(2 * i + 1)))
        };
        let sums = [vector(0), vector(1), vector(2), vector(3)];
        let bytes = _mm512_permutexvar_epi32(order, last.packed::<ROUNDING>(sums));
        let len = y.len().min(acc.len() * stage.channels);
        if (len, stage.channels) == (64, HALF) {
            // SAFETY: `y` has 64 elements.
            unsafe { _mm512_storeu_si512(y.as_mut_ptr().cast(), bytes) };
            continue;
        }
        let mut all = [0_i8; 64];
        // SAFETY: 64 bytes.
        unsafe { _mm512_storeu_si512(all.as_mut_ptr().cast(), bytes) };
        for (y, all) in y[..len].chunks_mut(stage.channels).zip(all.chunks_exact(HALF)) {
            for (y, byte) in y.iter_mut().skip(channel).zip(&all[..count]) {
                *y = *byte;
            }
        }
    }
}

/// The sums of four positions each to bytes, of which the last may have fewer.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn four_rows<const ROUNDING: u8, const ORDINARY: bool>(
    scales: &[Scales; VECTORS],
    stage: &OutputStage<'_>,
    acc: &[[i32; BLOCK]],
    y: &mut [i8],
    channel: usize,
    count: usize,
) {
    let last = Last::new(&stage.output);
    for (acc, y) in acc.iter().zip(y.chunks_mut(4 * stage.channels)) {
        let bytes = last.bytes::<ROUNDING, 4, ORDINARY>(scales, acc);
        store_four(bytes, stage, y, channel, count);
    }
}

/// Stores up to sixteen channels of up to four positions, each 128 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn store_four(bytes: __m512i, stage: &OutputStage<'_>, y: &mut [i8], channel: usize, count: usize) {
    if let (64, 16) = (y.len(), stage.channels) {
        // SAFETY: `y` has 64 elements.
        unsafe { _mm512_storeu_si512(y.as_mut_ptr().cast(), bytes) };
        return;
    }
    let mask = u16::MAX >> (16 - count.clamp(1, 16));
    if y.len() == 4 * stage.channels && channel + count <= stage.channels {
        let first = y.as_mut_ptr();
        let to = |position: usize| first.wrapping_add(position * stage.channels + channel);
        // SAFETY: each of the four positions has `count` channels from `channel` on, and the mask as many
        // bits.
        unsafe {
            _mm_mask_storeu_epi8(to(0), mask, _mm512_castsi512_si128(bytes));
            _mm_mask_storeu_epi8(to(1), mask, _mm512_extracti32x4_epi32::<1>(bytes));
            _mm_mask_storeu_epi8(to(2), mask, _mm512_extracti32x4_epi32::<2>(bytes));
            _mm_mask_storeu_epi8(to(3), mask, _mm512_extracti32x4_epi32::<3>(bytes));
        }
        return;
    }
    let positions = [
        _mm512_castsi512_si128(bytes),
        _mm512_extracti32x4_epi32::<1>(bytes),
        _mm512_extracti32x4_epi32::<2>(bytes),
        _mm512_extracti32x4_epi32::<3>(bytes),
    ];
    for (y, bytes) in y.chunks_mut(stage.channels).zip(positions) {
        let y = y.get_mut(channel..).unwrap_or_default();
        let mask = if y.len() < count { first(y.len()) as u16 } else { mask };
        // SAFETY: the mask has as many bits as `y` has elements, at most.
        unsafe { _mm_mask_storeu_epi8(y.as_mut_ptr(), mask, bytes) };
    }
}

/// The offset and the clamp.
pub(super) struct Last {
    offset: __m512i,
    min: __m512i,
    max: __m512i,
}

impl Last {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn new(output: &Output) -> Self {
        Self {
            offset: _mm512_set1_epi16(output.output_offset as i16),
            min: _mm512_set1_epi8(output.activation_min as i8),
            max: _mm512_set1_epi8(output.activation_max as i8),
        }
    }

    /// The first `V` vectors of sums as bytes: in each 128 bits, a dword of each vector.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    fn bytes<const ROUNDING: u8, const V: usize, const ORDINARY: bool>(
        &self,
        scales: &[Scales; VECTORS],
        acc: &[i32; BLOCK],
    ) -> __m512i {
        let mut sums = [_mm512_setzero_si512(); VECTORS];
        for v in 0..V {
            // SAFETY: sixteen int32 of 64.
            let acc = unsafe { _mm512_loadu_si512(acc.as_ptr().add(v * 16).cast()) };
            sums[v] = match ORDINARY {
                true => scales[v].apply::<ROUNDING>(acc),
                false => scales[v].apply_any::<ROUNDING>(acc),
            };
        }
        self.packed::<ROUNDING>(sums)
    }

    /// Scaled sums as bytes: in each 128 bits, a dword of each vector.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn packed<const ROUNDING: u8>(&self, [a, b, c, d]: [__m512i; VECTORS]) -> __m512i {
        let ab = narrow::<ROUNDING>(_mm512_packs_epi32(a, b), self.offset);
        let cd = narrow::<ROUNDING>(_mm512_packs_epi32(c, d), self.offset);
        let bytes = _mm512_packs_epi16(ab, cd);
        _mm512_max_epi8(_mm512_min_epi8(bytes, self.max), self.min)
    }
}

/// 16-bit results of the rounding's last step, and the offset.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn narrow<const ROUNDING: u8>(sums: __m512i, offset: __m512i) -> __m512i {
    let sums = match ROUNDING {
        FOLDED => return sums,
        // They are twice the result, to be halved, half up.
        DOUBLE | DOUBLE_UP => _mm512_srai_epi16::<1>(_mm512_adds_epi16(sums, _mm512_set1_epi16(1))),
        _ => sums,
    };
    _mm512_adds_epi16(sums, offset)
}

impl Scales {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> Self {
        let zero = _mm512_setzero_si512();
        Self { even: zero, odd: zero, right: zero, round_even: zero, round_odd: zero, left: zero }
    }

    /// Fixed-point scales, multipliers and shifts; of channels that there are not, any.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn fixed(even: __m512i, shift: __m512i, single: bool) -> Self {
        let zero = _mm512_setzero_si512();
        // −1 where the scale is 1/2 or more.
        let right = _mm512_sub_epi32(_mm512_set1_epi32(-1), shift);
        let right = _mm512_max_epi32(right, _mm512_set1_epi32(-1));
        // Half of what the last bit of the sum is worth: 2^(30 − shift), or 2^31 where sums are
        // doubled.
        let half = _mm512_sub_epi32(_mm512_set1_epi32(30), shift);
        let round = |half| match single {
            true => _mm512_sllv_epi64(_mm512_set1_epi64(1), half),
            false => _mm512_set1_epi64(1 << 31),
        };
        let low = _mm512_and_si512(half, _mm512_set1_epi64(0xFFFF_FFFF));
        Self {
            even,
            odd: _mm512_srli_epi64::<32>(even),
            right,
            round_even: round(low),
            round_odd: round(_mm512_srli_epi64::<32>(half)),
            left: _mm512_max_epi32(shift, zero),
        }
    }

    /// The same for [`FOLDED`]; `single` says whether sums are rounded once.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn folded(multiplier: __m512i, shift: __m512i, single: bool, output: &Output) -> Self {
        let nearest = _mm512_set1_epi64(if single { 0 } else { 1 << 30 });
        // Half of what the last bit of the result is worth, and the offset: each of these is worth two.
        let halves = _mm512_set1_epi64(1 + 2 * i64::from(output.output_offset));
        let round = |shift| {
            let half = _mm512_sub_epi64(_mm512_set1_epi64(30), shift);
            _mm512_add_epi64(_mm512_sllv_epi64(halves, half), nearest)
        };
        // Shifts with their signs in 64 bits.
        let even = _mm512_srai_epi64::<32>(_mm512_slli_epi64::<32>(shift));
        let odd = _mm512_srai_epi64::<32>(shift);
        let fixed = Self::fixed(multiplier, shift, single);
        Self { round_even: round(even), round_odd: round(odd), ..fixed }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn float64(factors: &[f64; 16]) -> Self {
        // SAFETY: sixteen f64, of which a vector has eight.
        let [even, odd] =
            unsafe { [0, 8].map(|i| _mm512_loadu_si512(factors.as_ptr().add(i).cast())) };
        Self { even, odd, ..Self::zero() }
    }

    /// Sixteen sums scaled, or twice that where [`narrow`] halves them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    pub fn apply<const ROUNDING: u8>(&self, acc: __m512i) -> __m512i {
        match ROUNDING {
            FLOAT32 => {
                let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_castsi512_ps(self.even));
                // So that what does not fit 32 bits saturates.
                let bound = _mm512_set1_ps(65536.0);
                let scaled = _mm512_min_ps(scaled, bound);
                let scaled = _mm512_max_ps(scaled, _mm512_sub_ps(_mm512_setzero_ps(), bound));
                _mm512_cvtps_epi32(scaled)
            }
            FLOAT64 => {
                let low = round_away(_mm512_castsi512_si256(acc), self.even);
                let high = round_away(_mm512_extracti64x4_epi64::<1>(acc), self.odd);
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
            }
            SINGLE | FOLDED => _mm512_srav_epi32(high_halves(self.products(acc)), self.right),
            // The high half of twice the product.
            _ => self
                .halve_later::<ROUNDING>(high_halves(self.products(_mm512_slli_epi32::<1>(acc)))),
        }
    }

    /// [`Scales::apply`] of any sums and scales.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    pub fn apply_any<const ROUNDING: u8>(&self, acc: __m512i) -> __m512i {
        // Where there is no shift to the right, −1 stands for it.
        let whole = _mm512_cmplt_epi32_mask(self.right, _mm512_setzero_si512());
        match ROUNDING {
            FLOAT32 | FLOAT64 => self.apply::<ROUNDING>(acc),
            SINGLE => {
                let [even, odd] = self.products(acc);
                // Of 64 bits, 31 − shift.
                let right = _mm512_add_epi32(self.right, _mm512_set1_epi32(32));
                let right = _mm512_sub_epi32(right, self.left);
                let low = _mm512_and_si512(right, _mm512_set1_epi64(0xFFFF_FFFF));
                let even = _mm512_srav_epi64(even, low);
                let odd = _mm512_srav_epi64(odd, _mm512_srli_epi64::<32>(right));
                _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64::<32>(odd))
            }
            _ => {
                let acc = _mm512_sllv_epi32(acc, self.left);
                let doubled = |product| {
                    let product = _mm512_add_epi64(product, _mm512_set1_epi64(1 << 30));
                    _mm512_add_epi64(product, product)
                };
                let even = doubled(_mm512_mul_epi32(acc, self.even));
                let odd = doubled(_mm512_mul_epi32(_mm512_srli_epi64::<32>(acc), self.odd));
                let high = high_halves([even, odd]);
                let halved = self.halve_later::<ROUNDING>(high);
                // Twice the result where there is no second rounding; what is beyond 16 bits then
                // is beyond them before.
                let bound = _mm512_set1_epi32(1 << 20);
                let clamped = _mm512_min_epi32(high, bound);
                let least = _mm512_sub_epi32(_mm512_setzero_si512(), bound);
                let clamped = _mm512_max_epi32(clamped, least);
                _mm512_mask_add_epi32(halved, whole, clamped, clamped)
            }
        }
    }

    /// High halves, shifted by one less than the shift: [`narrow`] does the rest.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn halve_later<const ROUNDING: u8>(&self, high: __m512i) -> __m512i {
        let high = match ROUNDING {
            // Half away from zero is half up after one less for negative numbers.
            DOUBLE => _mm512_add_epi32(high, _mm512_srai_epi32::<31>(high)),
            _ => high,
        };
        _mm512_srav_epi32(high, self.right)
    }

    /// `acc × multiplier + round` of the even channels and of the odd ones, in 64 bits.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn products(&self, acc: __m512i) -> [__m512i; 2] {
        let even = _mm512_mul_epi32(acc, self.even);
        let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(acc), self.odd);
        [_mm512_add_epi64(even, self.round_even), _mm512_add_epi64(odd, self.round_odd)]
    }
}

/// The high halves of the even channels' numbers and of the odd ones', in order.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn high_halves([even, odd]: [__m512i; 2]) -> __m512i {
    _mm512_mask_shuffle_epi32::<_MM_PERM_DDBB>(odd, 0x5555, even)
}

/// `round(acc × scale)` of eight sums, half away from zero.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn round_away(acc: __m256i, scale: __m512i) -> __m256i {
    let scaled = _mm512_mul_pd(_mm512_cvtepi32_pd(acc), _mm512_castsi512_pd(scale));
    // So that what does not fit 32 bits saturates.
    let bound = _mm512_set1_pd(65536.0);
    let scaled = _mm512_min_pd(scaled, bound);
    let scaled = _mm512_max_pd(scaled, _mm512_sub_pd(_mm512_setzero_pd(), bound));
    let whole = _mm512_roundscale_pd::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(scaled);
    // Exact: both have few bits in front of the point.
    let rest = _mm512_sub_pd(scaled, whole);
    let half = _mm512_set1_pd(0.5);
    let up = _mm512_cmp_pd_mask::<_CMP_GE_OQ>(rest, half);
    let down = _mm512_cmp_pd_mask::<_CMP_LE_OQ>(rest, _mm512_sub_pd(_mm512_setzero_pd(), half));
    let one = _mm512_set1_pd(1.0);
    let whole = _mm512_mask_add_pd(whole, up, whole, one);
    _mm512_cvttpd_epi32(_mm512_mask_sub_pd(whole, down, whole, one))
}
