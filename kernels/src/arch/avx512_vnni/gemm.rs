//! Products of rows of activations by tiles of weights: `gemm-u8i8-6x64c4/avx512_vnni`.
//!
//! The plain loop multiplies one activation by one weight. This one
//!
//! 1. takes four products of one output at once, `vpdpbusd`, and sixteen outputs in a vector: a tile of
//!    weights is a vector, four activations of a row are broadcast to all its lanes;
//! 2. holds the sums of several rows by several tiles in registers over the whole depth, so that each
//!    tile that is loaded meets all rows, and each broadcast all tiles.
//!
//! Six rows by four tiles are 24 of the 32 registers; a step is 4 loads of tiles, 6 broadcasts and 24
//! `vpdpbusd`, of which the processor begins two a cycle:
//!
//! ```text
//!              tiles    w0        w1        w2        w3     16 outputs each, 4 deep
//!                    ┌─────────┬─────────┬─────────┬─────────┐
//!  row 0  x (4 deep) │ acc 0 0 │ acc 0 1 │ acc 0 2 │ acc 0 3 │
//!  row 1  x          │ acc 1 0 │   …     │         │         │
//!   …                │         │         │         │         │
//!  row 5  x          │ acc 5 0 │         │         │ acc 5 3 │
//!                    └─────────┴─────────┴─────────┴─────────┘
//! ```
//!
//! Where outputs are few there are more rows instead. A sum takes five cycles, so with few rows even
//! and odd steps have sums of their own.

use core::arch::x86_64::*;

use crate::arch::output::BLOCK;
use crate::arch::tiled::{Rows, Sums};
use crate::tiles::{STEP, TILE};

/// Bytes of tiles that are asked for ahead.
const AHEAD: usize = 1 << 14;

/// [`super::super::tiled::Isa::multiply`].
///
/// # Safety
///
/// The processor has the level's instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn multiply(
    rows: Rows<'_>,
    tiles: &[i8],
    bias: &[i32; BLOCK],
    acc: &mut Sums,
) -> usize {
    let block = rows.segments * rows.steps * TILE;
    let blocks = tiles.len().checked_div(block).unwrap_or(0);
    macro_rules! take {
        ($($rows:literal $unroll:literal),*; $blocks:literal) => {
            match rows.count {
                0 => 0,
                // SAFETY: there are at least so many rows and blocks, and `acc` has more.
                $($rows.. => unsafe {
                    product::<$rows, $blocks, $unroll>(rows, tiles, bias, acc)
                },)*
            }
        };
    }
    match blocks {
        0 => 0,
        1 => take!(16 1, 8 1, 4 2, 2 4, 1 4; 1),
        2 => take!(12 1, 8 1, 4 1, 2 2, 1 4; 2),
        3 => take!(8 1, 4 1, 2 2, 1 2; 3),
        _ => take!(6 1, 5 1, 4 1, 3 1, 2 1, 1 2; 4),
    }
}

/// Takes off what the weights' zero point has added to the first rows: of models that were uint8.
///
/// # Safety
///
/// The processor has the level's instructions.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn take_off(rows: &Rows<'_>, zero_point: i32, acc: &mut Sums) {
    let zero = _mm512_setzero_si512();
    for (row, acc) in acc.iter_mut().enumerate() {
        let mut total = zero;
        for segment in 0..rows.segments {
            // What the row is padded with is zero.
            let start = row * rows.stride + segment * rows.pitch;
            for run in rows.x[start..][..rows.steps * STEP].chunks(64) {
                let mask = u64::MAX >> (64 - run.len());
                // SAFETY: the mask has as many bits as there are activations.
                let run = unsafe { _mm512_maskz_loadu_epi8(mask, run.as_ptr().cast()) };
                total = _mm512_add_epi64(total, _mm512_sad_epu8(run, zero));
            }
        }
        let total = _mm512_reduce_add_epi64(total) as i32;
        let taken = _mm512_set1_epi32(total.wrapping_mul(zero_point));
        for acc in acc.as_chunks_mut::<16>().0 {
            // SAFETY: sixteen int32.
            unsafe {
                let sum = _mm512_loadu_si512(acc.as_ptr().cast());
                _mm512_storeu_si512(acc.as_mut_ptr().cast(), _mm512_sub_epi32(sum, taken));
            }
        }
    }
}

/// [`sums`] of a bias in memory, and to memory. Returns `R`.
///
/// # Safety
///
/// As there; `acc` has `R` rows, `B` is at most 4.
#[expect(clippy::needless_range_loop, reason = "iterators over arrays may keep these in memory")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn product<const R: usize, const B: usize, const U: usize>(
    rows: Rows<'_>,
    tiles: &[i8],
    bias: &[i32; BLOCK],
    acc: &mut Sums,
) -> usize {
    let mut start = [_mm512_setzero_si512(); B];
    for (start, bias) in start.iter_mut().zip(bias.as_chunks::<16>().0) {
        // SAFETY: `bias` is sixteen int32.
        *start = unsafe { _mm512_loadu_si512(bias.as_ptr().cast()) };
    }
    // SAFETY: as the caller says.
    let sums = unsafe { sums::<R, B, U>(rows, tiles, start) };
    let acc = &mut acc[..R];
    for r in 0..R {
        for b in 0..B {
            let to = acc[r].as_mut_ptr().wrapping_add(16 * b);
            // SAFETY: sixteen int32, of `B` times as many that a row has.
            unsafe { _mm512_storeu_si512(to.cast(), sums[r][b]) };
        }
    }
    R
}

/// The sums of `R` rows by `B` blocks, and a bias of each block; `U` steps have sums of their own.
///
/// # Safety
///
/// The processor has the level's instructions, and the caller is compiled for them; there are `R` rows and
/// `B` blocks.
// Always inlined: else sums are returned through memory.
#[expect(clippy::needless_range_loop, reason = "iterators over arrays may keep these in memory")]
#[inline(always)]
pub(super) unsafe fn sums<const R: usize, const B: usize, const U: usize>(
    rows: Rows<'_>,
    tiles: &[i8],
    bias: [__m512i; B],
) -> [[__m512i; B]; R] {
    let Rows { x, stride, segments, pitch, steps, .. } = rows;
    let (mut x, mut w) = (x.as_ptr(), tiles.as_ptr());
    let block = segments * steps * TILE;
    // A single row waits for memory: the blocks that follow are asked for, if they fit the first cache
    // beside these. The processor itself sees long ones coming.
    let ahead = if B * block <= AHEAD { B * block } else { 0 };
    // SAFETY: the processor has the instructions. There are `R` rows, of which each segment has these
    // steps, and `B` blocks of as many tiles; behind the last block there may be anything, which asking
    // does not touch.
    unsafe {
        let mut sums = [[[_mm512_setzero_si512(); B]; R]; U];
        sums[0] = [bias; R];
        // Adds the step at `x` and `w` to the sums `u`.
        let add = |sums: &mut [[__m512i; B]; R], x: *const u8, w: *const i8| {
            let mut tile = [_mm512_setzero_si512(); B];
            for (b, tile) in tile.iter_mut().enumerate() {
                *tile = _mm512_loadu_si512(w.add(b * block).cast());
                if R == 1 {
                    _mm_prefetch::<_MM_HINT_T0>(w.wrapping_add(b * block + ahead));
                }
            }
            for (r, row) in sums.iter_mut().enumerate() {
                let four = x.add(r * stride).cast::<i32>().read_unaligned();
                let four = _mm512_set1_epi32(four);
                for (sum, tile) in row.iter_mut().zip(tile) {
                    *sum = _mm512_dpbusd_epi32(*sum, four, tile);
                }
            }
        };
        for _ in 0..segments {
            for _ in 0..steps / U {
                for sums in &mut sums {
                    add(sums, x, w);
                    (x, w) = (x.wrapping_add(STEP), w.wrapping_add(TILE));
                }
            }
            for _ in 0..steps % U {
                add(&mut sums[0], x, w);
                (x, w) = (x.wrapping_add(STEP), w.wrapping_add(TILE));
            }
            x = x.wrapping_add(pitch).wrapping_sub(steps * STEP);
        }
        let mut all = sums[0];
        for u in 1..U {
            for r in 0..R {
                for b in 0..B {
                    all[r][b] = _mm512_add_epi32(all[r][b], sums[u][r][b]);
                }
            }
        }
        all
    }
}
