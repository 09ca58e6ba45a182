//! Products of rows of activations by tiles of weights: `gemm-i8-4x16c8/neon_i8mm`.
//!
//! `smmla` multiplies two rows of eight activations by eight weights of two outputs, and adds to a
//! matrix of 2 by 2: twice the products of `sdot`. Two steps of a tile make its operands, of which each
//! zip makes two outputs:
//!
//! ```text
//!  step 0  a0..3 b0..3 c0..3 d0..3         zip    a0..3 a4..7 b0..3 b4..7
//!  step 1  a4..7 b4..7 c4..7 d4..7          ►     c0..3 c4..7 d0..3 d4..7
//! ```
//!
//! Rows are brought together in pairs, eight bytes of each. Four rows by sixteen outputs are 16
//! registers; sixteen deep there are 4 loads and 4 zips of activations, 16 loads of weights, which the
//! compiler pairs, 16 zips of them, and 32 `smmla`. Six rows would leave none for what is zipped. One row
//! is left to `sdot`.

use core::arch::aarch64::*;

use super::smmla::smmla;
use crate::arch::neon::Product;
use crate::arch::neon::gemm as loops;
use crate::arch::neon_dot::Sdot;
use crate::arch::output::BLOCK;
use crate::arch::tiled::{Rows, Sums};
use crate::tiles::{OUTPUTS, STEP, TILE};

/// Products of small matrices.
pub(super) struct Smmla;

impl Product for Smmla {
    #[inline(always)]
    unsafe fn multiply(
        rows: Rows<'_, i8>,
        tiles: &[i8],
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        // SAFETY: as the caller says.
        unsafe { multiply(rows, tiles, bias, outputs, acc) }
    }
}

/// [`super::super::tiled::Isa::multiply`].
///
/// # Safety
///
/// As there.
#[target_feature(enable = "neon,dotprod,i8mm")]
unsafe fn multiply(
    rows: Rows<'_, i8>,
    tiles: &[i8],
    bias: &[i32; BLOCK],
    outputs: usize,
    acc: &mut Sums,
) -> usize {
    let taken = match rows.count {
        count @ 0..=1 => count,
        2 | 3 => 2,
        _ => 4,
    };
    let block = rows.segments * rows.steps * TILE;
    // SAFETY: as the caller says; there are so many rows.
    unsafe {
        if taken < 2 {
            return loops::multiply::<Sdot>(rows, tiles, bias, outputs, acc);
        }
        for (i, bias) in bias.as_chunks::<OUTPUTS>().0.iter().enumerate() {
            let left = outputs.saturating_sub(i * OUTPUTS);
            if left == 0 {
                break;
            }
            let tiles = tiles.as_ptr().wrapping_add(i * block);
            match (taken, left > OUTPUTS / 2) {
                (2, true) => product::<1, 4>(rows, tiles, bias, i, acc),
                (2, false) => product::<1, 2>(rows, tiles, bias, i, acc),
                (_, true) => product::<2, 4>(rows, tiles, bias, i, acc),
                (_, false) => product::<2, 2>(rows, tiles, bias, i, acc),
            }
        }
    }
    taken
}

/// The sums of the first `P` pairs of rows by `V` vectors of the outputs of block `i`, whose tiles begin
/// at `w`.
///
/// # Safety
///
/// The processor has the instructions; there are so many rows and outputs.
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn product<const P: usize, const V: usize>(
    rows: Rows<'_, i8>,
    mut w: *const i8,
    bias: &[i32; OUTPUTS],
    i: usize,
    acc: &mut Sums,
) {
    let Rows { x, stride, segments, pitch, steps, .. } = rows;
    let mut x = x.as_ptr();
    // SAFETY: all pointers are to the steps of rows and of tiles that there are, and to sums.
    unsafe {
        // Of each pair of rows and each vector of outputs: two outputs each.
        let mut sums = [[[vdupq_n_s32(0); 2]; V]; P];
        for v in 0..V {
            let bias = vreinterpretq_s64_s32(vld1q_s32(bias.as_ptr().add(4 * v)));
            let twice = [vdupq_laneq_s64::<0>(bias), vdupq_laneq_s64::<1>(bias)];
            for pair in &mut sums {
                pair[v] = twice.map(|bias| vreinterpretq_s32_s64(bias));
            }
        }
        for _ in 0..segments {
            for _ in 0..steps / 4 {
                let mut pairs = [[vdupq_n_s8(0); 2]; P];
                for (p, pair) in pairs.iter_mut().enumerate() {
                    let a = vreinterpretq_s64_s8(vld1q_s8(x.wrapping_add(2 * p * stride)));
                    let b = vreinterpretq_s64_s8(vld1q_s8(x.wrapping_add((2 * p + 1) * stride)));
                    *pair = [vzip1q_s64(a, b), vzip2q_s64(a, b)].map(|x| vreinterpretq_s8_s64(x));
                }
                two_steps(&mut sums, &pairs.map(|[pair, _]| pair), w, TILE);
                two_steps(&mut sums, &pairs.map(|[_, pair]| pair), w.wrapping_add(2 * TILE), TILE);
                (x, w) = (x.wrapping_add(4 * STEP), w.wrapping_add(4 * TILE));
            }
            // What is left: two steps, and one, of which the other half is zero.
            if steps & 2 != 0 {
                let mut pairs = [vdupq_n_s8(0); P];
                for (p, pair) in pairs.iter_mut().enumerate() {
                    let a = vld1_s8(x.wrapping_add(2 * p * stride));
                    *pair = vcombine_s8(a, vld1_s8(x.wrapping_add((2 * p + 1) * stride)));
                }
                two_steps(&mut sums, &pairs, w, TILE);
                (x, w) = (x.wrapping_add(2 * STEP), w.wrapping_add(2 * TILE));
            }
            if steps & 1 != 0 {
                let mut pairs = [vdupq_n_s8(0); P];
                for (p, pair) in pairs.iter_mut().enumerate() {
                    let a = x.wrapping_add(2 * p * stride).cast::<i32>().read_unaligned();
                    let b = x.wrapping_add((2 * p + 1) * stride).cast::<i32>().read_unaligned();
                    let four = vsetq_lane_s32::<2>(b, vsetq_lane_s32::<0>(a, vdupq_n_s32(0)));
                    *pair = vreinterpretq_s8_s32(four);
                }
                // The weights of the same step again, by zero.
                two_steps(&mut sums, &pairs, w, 0);
                (x, w) = (x.wrapping_add(STEP), w.wrapping_add(TILE));
            }
            x = x.wrapping_add(pitch).wrapping_sub(steps * STEP);
        }
        for (pair, rows) in sums.into_iter().zip(acc.as_chunks_mut::<2>().0) {
            for (v, [low, high]) in pair.into_iter().enumerate() {
                let (low, high) = (vreinterpretq_s64_s32(low), vreinterpretq_s64_s32(high));
                let sums = [vzip1q_s64(low, high), vzip2q_s64(low, high)];
                for (row, sum) in rows.iter_mut().zip(sums) {
                    let to = row[i * OUTPUTS..].as_mut_ptr().add(4 * v);
                    vst1q_s32(to, vreinterpretq_s32_s64(sum));
                }
            }
        }
    }
}

/// Adds two steps: of `P` pairs of rows eight activations each, by `V` vectors of weights at `w` and
/// `next` bytes further on.
///
/// # Safety
///
/// The processor has the instructions, and the vectors are there.
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn two_steps<const P: usize, const V: usize>(
    sums: &mut [[[int32x4_t; 2]; V]; P],
    x: &[int8x16_t; P],
    w: *const i8,
    next: usize,
) {
    for v in 0..V {
        // SAFETY: as the caller says.
        unsafe {
            let first = vreinterpretq_s32_s8(vld1q_s8(w.wrapping_add(16 * v)));
            let second = vreinterpretq_s32_s8(vld1q_s8(w.wrapping_add(next + 16 * v)));
            let low = vreinterpretq_s8_s32(vzip1q_s32(first, second));
            let high = vreinterpretq_s8_s32(vzip2q_s32(first, second));
            for (pair, x) in sums.iter_mut().zip(x) {
                pair[v] = [smmla(pair[v][0], *x, low), smmla(pair[v][1], *x, high)];
            }
        }
    }
}
