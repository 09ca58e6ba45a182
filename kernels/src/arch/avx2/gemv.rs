//! One row of activations by tiles of weights: `gemv-u8i8-1x32c4/avx2`.
//!
//! Each weight is needed once, so that widening it costs as much as multiplying it. `vpmaddubsw` takes
//! bytes, two products at once, but saturates beyond 16 bits. Of an activation `a = x + 128` the upper
//! seven bits do not: `127 × 128 × 2` fits. So
//!
//! ```text
//! Σ w × a  =  2 × Σ w × (a >> 1)  +  Σ w × (a & 1)
//! ```
//!
//! of which the second sum stays within 16 bits for many steps. That is five instructions for 32
//! products; to widen weights takes six, two of them shuffles.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::requantize::{Block, Order};
use crate::arch::output::{BLOCK, OutputStage, lanes};
use crate::conv2d::Conv2dI8;
use crate::tiles::{self, Activations, OUTPUTS, STEP, TILE, Tiled};

/// Activations of a row, at most.
const DEPTH: usize = 2048;

/// Bytes of a vector.
const BYTES: usize = 32;

/// Outputs of a vector of sums, of which half a tile has the weights.
const EIGHT: usize = 8;

/// Vectors of sums at once.
const AT_ONCE: usize = 4;

/// Steps whose lowest bits are summed in 16 bits: two products of at most 128 each.
const STEPS: usize = 127;

/// Bytes ahead of those that are multiplied that weights are fetched.
const AHEAD: usize = 1 << 10;

/// Four activations: their upper seven bits, and their lowest.
#[derive(Clone, Copy)]
#[repr(C)]
struct Four {
    upper: i32,
    lowest: i32,
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
    if !(1..=DEPTH).contains(&depth) || weights_zero_point != 0 {
        return false;
    }
    let stage = OutputStage::new(requantize, output_stage, bias, depth).of_positions(1);
    if x.len() != depth
        || y.len() != channels
        || bias.len() != channels
        || tiles::bytes(Activations::Unsigned, channels, depth) != Some(p.weights.tiles.len())
        || p.weights.activations != Activations::Unsigned
        || !(stage.fits() && stage.ordinary)
    {
        return false;
    }
    let mut fours = [const { MaybeUninit::uninit() }; DEPTH / STEP];
    let steps = depth.div_ceil(STEP);
    // SAFETY: as many are written.
    let fours = unsafe {
        split(x, &mut fours);
        fours[..steps].assume_init_ref()
    };
    let block = steps * TILE;
    for channel in (0..channels).step_by(BLOCK) {
        let count = BLOCK.min(channels - channel);
        let tiles = &p.weights.tiles[channel / OUTPUTS * block..];
        let bias: [i32; BLOCK] = lanes(bias, channel, count);
        let mut acc = [bias; 1];
        let halves = count.div_ceil(EIGHT);
        let mut first = 0;
        // SAFETY: as the caller says; there are so many halves of tiles.
        unsafe {
            while first + AT_ONCE <= halves {
                sums::<AT_ONCE>(fours, tiles, first, &mut acc[0]);
                first += AT_ONCE;
            }
            while first < halves {
                sums::<1>(fours, tiles, first, &mut acc[0]);
                first += 1;
            }
            let mut scales = Block::empty();
            scales.fill(&stage, channel, count, Order::Natural);
            scales.store(&stage, &acc, y, channel, count);
        }
    }
    true
}

/// Splits activations, as `x + 128`, to as many elements of `to` as steps have them; behind the last
/// activation there are zeros.
#[inline]
#[target_feature(enable = "avx2")]
fn split(x: &[i8], to: &mut [MaybeUninit<Four>; DEPTH / STEP]) {
    let (low, high) = (_mm256_set1_epi8(1), _mm256_set1_epi8(127));
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
            let upper = _mm256_and_si256(_mm256_srli_epi16::<1>(a), high);
            let lowest = _mm256_and_si256(a, low);
            // Within each 128 bits.
            let front = _mm256_unpacklo_epi32(upper, lowest);
            let back = _mm256_unpackhi_epi32(upper, lowest);
            let to = to.as_mut_ptr().cast::<__m256i>();
            to.write_unaligned(_mm256_permute2x128_si256::<0x20>(front, back));
            to.add(1).write_unaligned(_mm256_permute2x128_si256::<0x31>(front, back));
        }
    }
}

/// Adds the sums of `S` times eight outputs, from half of a tile `first` on, to those in `acc`.
///
/// # Safety
///
/// The processor has AVX2; there are so many halves of tiles, of which a block of `acc` has eight.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums<const S: usize>(fours: &[Four], tiles: &[i8], first: usize, acc: &mut [i32; BLOCK]) {
    let block = fours.len() * TILE;
    let half = |eight: usize| eight / 2 * block + eight % 2 * (TILE / 2);
    let mut w = tiles.as_ptr().wrapping_add(half(first));
    let next: [usize; S] = core::array::from_fn(|s| half(first + s) - half(first));
    let (one, two) = (_mm256_set1_epi16(1), _mm256_set1_epi16(2));
    // SAFETY: as the caller says; each half has as many steps.
    unsafe {
        let to = acc.as_mut_ptr().add(first * EIGHT).cast::<__m256i>();
        let mut sums: [__m256i; S] = core::array::from_fn(|s| to.add(s).read_unaligned());
        for fours in fours.chunks(STEPS) {
            let mut lowest = [_mm256_setzero_si256(); S];
            for four in fours {
                let (a, b) = (_mm256_set1_epi32(four.upper), _mm256_set1_epi32(four.lowest));
                for s in 0..S {
                    let weights = w.wrapping_add(next[s]);
                    // Once for both halves of a tile.
                    if s % 2 == 0 {
                        _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(AHEAD).cast());
                    }
                    let weights = _mm256_loadu_si256(weights.cast());
                    let products = _mm256_madd_epi16(_mm256_maddubs_epi16(a, weights), two);
                    sums[s] = _mm256_add_epi32(sums[s], products);
                    lowest[s] = _mm256_add_epi16(lowest[s], _mm256_maddubs_epi16(b, weights));
                }
                w = w.wrapping_add(TILE);
            }
            for (sum, lowest) in sums.iter_mut().zip(lowest) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(lowest, one));
            }
        }
        for (s, sum) in sums.into_iter().enumerate() {
            to.add(s).write_unaligned(sum);
        }
    }
}
