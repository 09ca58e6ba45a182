//! One row of activations by tiles of weights: `gemv-u8i8-1x32c4/avx2`.
//!
//! Each weight is needed once, so that widening it costs as much as multiplying it. `vpmaddubsw` takes
//! bytes, two products at once, but saturates beyond 16 bits. Of an activation `a = x + 128` the upper
//! five bits leave room: `31 × 128 × 2` four times, and so do the lower three, 18 times. So
//!
//! ```text
//! Σ w × a  =  8 × Σ w × (a >> 3)  +  Σ w × (a & 7)
//! ```
//!
//! of which either sum stays within 16 bits for some steps. With what brings them to 32 bits that is four
//! and a half instructions for 32 products; to widen weights takes six, two of them shuffles.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::positions::EIGHT;
use super::requantize::{BYTES, DOUBLE, DOUBLE_UP, Last, SINGLE, Scales, in_order, put};
use crate::arch::output::{OutputStage, lanes};
use crate::conv2d::Conv2dI8;
use crate::requantize::{FixedScales, Requantize};
use crate::tiles::{self, Activations, STEP, TILE, Tiled};

/// Activations of a row, at most.
const DEPTH: usize = 2048;

/// Vectors of sums at once.
const AT_ONCE: usize = 4;

/// Lower bits of activations.
const LOWER: i32 = 3;

/// Steps whose upper bits are summed in 16 bits, and those whose lower bits are.
const UPPER_STEPS: usize = 4;
const LOWER_STEPS: usize = 16;

/// Bytes ahead of those that are multiplied that weights are fetched.
const AHEAD: usize = 1 << 10;

/// Four activations: their upper bits, and their lower ones.
#[derive(Clone, Copy)]
#[repr(C)]
struct Four {
    upper: i32,
    lower: i32,
}

/// A layer of one row.
struct Row<'a> {
    stage: OutputStage<'a>,
    scales: FixedScales<'a>,
    bias: &'a [i32],
    tiles: &'a [i8],
    fours: &'a [Four],
}

/// Whether the layer, one row of so many activations by so many outputs, could be done here.
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn row(
    p: &Tiled<'_, Conv2dI8<'_>>,
    [depth, channels]: [usize; 2],
    x: &[i8],
    y: &mut [i8],
) -> bool {
    let Conv2dI8 { requantize, output_stage, bias, weights_zero_point, .. } = p.layer;
    let (Requantize::Double(scales) | Requantize::DoubleUp(scales) | Requantize::Single(scales)) =
        requantize
    else {
        return false;
    };
    if !(1..=DEPTH).contains(&depth) || weights_zero_point != 0 {
        return false;
    }
    let stage = OutputStage::new(requantize, output_stage, bias, depth);
    if x.len() != depth
        || y.len() != channels
        || bias.len() != channels
        || tiles::bytes(Activations::Unsigned, channels, depth) != Some(p.weights.tiles.len())
        || p.weights.activations != Activations::Unsigned
        || !(stage.fits() && stage.small && stage.below_half())
    {
        return false;
    }
    let mut fours = [const { MaybeUninit::uninit() }; DEPTH / STEP];
    split(x, &mut fours);
    // SAFETY: as many have been written.
    let fours = unsafe { fours[..depth.div_ceil(STEP)].assume_init_ref() };
    let row = Row { stage, scales, bias, tiles: p.weights.tiles, fours };
    // SAFETY: as the caller says; tiles have the steps.
    unsafe {
        match requantize {
            // What is negative becomes the minimum, however it is rounded.
            Requantize::Double(_) if !stage.is_relu() => row.outputs::<DOUBLE>(y),
            Requantize::Double(_) | Requantize::DoubleUp(_) => row.outputs::<DOUBLE_UP>(y),
            _ => row.outputs::<SINGLE>(y),
        }
    }
    true
}

impl Row<'_> {
    /// All outputs.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; tiles have the steps.
    #[target_feature(enable = "avx2")]
    unsafe fn outputs<const ROUNDING: u8>(&self, y: &mut [i8]) {
        let last = Last::new(&self.stage.output);
        let one = self.scales.multiplier.len() == 1 && self.scales.shift.len() == 1;
        let one = one.then(|| self.scales::<ROUNDING>(0));
        for (i, y) in y.chunks_mut(BYTES).enumerate() {
            let (first, count) = (i * AT_ONCE, y.len());
            let mut sums = [_mm256_setzero_si256(); AT_ONCE];
            // SAFETY: as the caller says; there are so many halves of tiles. Scales are for the rounding.
            unsafe {
                if count > BYTES - EIGHT {
                    sums = self.sums(first);
                } else {
                    for (v, sum) in sums.iter_mut().enumerate().take(count.div_ceil(EIGHT)) {
                        [*sum] = self.sums(first + v);
                    }
                }
                match &one {
                    Some(one) => sums = sums.map(|sum| one.apply::<ROUNDING>(sum)),
                    None => {
                        let sums = sums.iter_mut().enumerate();
                        for (v, sum) in sums.take(count.div_ceil(EIGHT)) {
                            let scales = self.scales::<ROUNDING>(first + v);
                            *sum = scales.apply::<ROUNDING>(*sum);
                        }
                    }
                }
                put(in_order(last.packed::<ROUNDING>(sums)), BYTES, y, count, 0, count);
            }
        }
    }

    /// The first of eight channels, and how many of them there are.
    #[inline(always)]
    fn eight(&self, eight: usize) -> (usize, usize) {
        let channel = eight * EIGHT;
        (channel, EIGHT.min(self.bias.len() - channel))
    }

    /// The scales of eight outputs.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn scales<const ROUNDING: u8>(&self, eight: usize) -> Scales {
        let (channel, count) = self.eight(eight);
        let multiplier = lanes(self.scales.multiplier, channel, count);
        let shift = lanes(self.scales.shift, channel, count);
        Scales::fixed(&multiplier, &shift, ROUNDING)
    }

    /// The sums of `S` times eight outputs, from half of a tile `first` on.
    ///
    /// # Safety
    ///
    /// As [`Row::outputs`]; there are so many halves of tiles.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sums<const S: usize>(&self, first: usize) -> [__m256i; S] {
        let block = self.fours.len() * TILE;
        let half = |eight: usize| eight / 2 * block + eight % 2 * (TILE / 2);
        let next: [usize; S] = core::array::from_fn(|s| half(first + s) - half(first));
        let mut sums = [_mm256_setzero_si256(); S];
        for (s, sum) in sums.iter_mut().enumerate() {
            let (channel, count) = self.eight(first + s);
            let bias: [i32; EIGHT] = lanes(self.bias, channel, count);
            // SAFETY: eight int32.
            *sum = unsafe { _mm256_loadu_si256(bias.as_ptr().cast()) };
        }
        let mut w = self.tiles.as_ptr().wrapping_add(half(first));
        for fours in self.fours.chunks(LOWER_STEPS) {
            let mut lower = [_mm256_setzero_si256(); S];
            let (whole, rest) = fours.as_chunks::<UPPER_STEPS>();
            // SAFETY: as the caller says; each half has as many steps.
            unsafe {
                for fours in whole {
                    w = steps(fours, (w, &next), &mut sums, &mut lower);
                }
                w = steps(rest, (w, &next), &mut sums, &mut lower);
            }
            for (sum, lower) in sums.iter_mut().zip(lower) {
                let lower = _mm256_madd_epi16(lower, _mm256_set1_epi16(1));
                *sum = _mm256_add_epi32(*sum, lower);
            }
        }
        sums
    }
}

/// Adds the products of up to [`UPPER_STEPS`] steps by `S` halves of tiles, which are `next` behind the
/// first; those of lower bits apart. Returns where the weights of the next step are.
///
/// # Safety
///
/// The processor has AVX2; there are as many steps' weights.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn steps<const S: usize>(
    fours: &[Four],
    (mut w, next): (*const i8, &[usize; S]),
    sums: &mut [__m256i; S],
    lower: &mut [__m256i; S],
) -> *const i8 {
    let mut upper = [_mm256_setzero_si256(); S];
    for four in fours {
        let (a, b) = (_mm256_set1_epi32(four.upper), _mm256_set1_epi32(four.lower));
        for s in 0..S {
            let weights = w.wrapping_add(next[s]);
            // SAFETY: as the caller says.
            let weights = unsafe {
                // Once for both halves of a tile.
                if s % 2 == 0 {
                    _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(AHEAD).cast());
                }
                _mm256_loadu_si256(weights.cast())
            };
            upper[s] = _mm256_add_epi16(upper[s], _mm256_maddubs_epi16(a, weights));
            lower[s] = _mm256_add_epi16(lower[s], _mm256_maddubs_epi16(b, weights));
        }
        w = w.wrapping_add(TILE);
    }
    for (sum, upper) in sums.iter_mut().zip(upper) {
        let upper = _mm256_madd_epi16(upper, _mm256_set1_epi16(1 << LOWER));
        *sum = _mm256_add_epi32(*sum, upper);
    }
    w
}

/// Splits activations, as `x + 128`, to as many elements of `to` as steps have them; behind the last
/// activation there are zeros.
#[inline]
#[target_feature(enable = "avx2")]
fn split(x: &[i8], to: &mut [MaybeUninit<Four>; DEPTH / STEP]) {
    let (low, high) =
        (_mm256_set1_epi8((1 << LOWER) - 1), _mm256_set1_epi8((1 << (8 - LOWER)) - 1));
    let vectors = to.as_chunks_mut::<{ BYTES / STEP }>().0;
    for (to, x) in vectors.iter_mut().zip(x.chunks(BYTES)) {
        let mut last = [i8::MIN; BYTES];
        let x: &[i8; BYTES] = match x.first_chunk() {
            Some(x) => x,
            None => {
                last[..x.len()].copy_from_slice(x);
                &last
            }
        };
        // SAFETY: 32 bytes, and as many elements of eight bytes as four vectors have dwords of each.
        unsafe {
            let a =
                _mm256_xor_si256(_mm256_loadu_si256(x.as_ptr().cast()), _mm256_set1_epi8(i8::MIN));
            let upper = _mm256_and_si256(_mm256_srli_epi16::<LOWER>(a), high);
            let lower = _mm256_and_si256(a, low);
            // Within each 128 bits.
            let front = _mm256_unpacklo_epi32(upper, lower);
            let back = _mm256_unpackhi_epi32(upper, lower);
            let to = to.as_mut_ptr().cast::<__m256i>();
            to.write_unaligned(_mm256_permute2x128_si256::<0x20>(front, back));
            to.add(1).write_unaligned(_mm256_permute2x128_si256::<0x31>(front, back));
        }
    }
}
