//! Products of rows of activations by tiles of weights: `gemm-i8-6x16c8/neon_i8mm`.
//!
//! `smmla` multiplies two rows of eight activations by eight weights of two outputs, and adds to a
//! matrix of 2 by 2: twice the products of `sdot`. Tiles are eight deep, [`Activations::Eights`], so
//! that an eighth of one is an operand as it is. Rows are loaded in pairs, eight bytes of each into a
//! half of a register. Six rows by sixteen outputs are 24 registers, their activations 3 more:
//!
//! ```text
//!                  tile    w0       w1      …      w7      2 outputs each, 8 deep
//!                        ┌────────┬────────┬─────┬────────┐
//!  rows 0, 1   x         │ a0 a1  │ a2 a3  │  …  │    a15 │
//!                        │ b0 b1  │ b2 b3  │     │    b15 │
//!  rows 2, 3   x         │ c0 c1  │   …    │     │        │
//!  rows 4, 5   x         │ e0 e1  │        │     │    f15 │
//!                        └────────┴────────┴─────┴────────┘
//! ```
//!
//! A step is 6 loads of activations, 8 of weights, which the compiler pairs, and 24 `smmla`. In the end
//! a zip of two matrices makes four outputs of a row. Where rows are odd the last one is its own
//! neighbour, which costs nothing but the products.

use core::arch::aarch64::*;

use super::smmla::{load_pair, smmla};
use crate::arch::neon::Product;
use crate::arch::output::BLOCK;
use crate::arch::tiled::{Rows, Sums};
use crate::tiles::{Activations, OUTPUTS, STEP, TILE};

/// Most rows whose sums are held at once.
const ROWS: usize = 6;

/// Activations of a row that are multiplied at once.
const EIGHT: usize = Activations::Eights.step();

/// Weights of a vector: those of two outputs.
const VECTOR: usize = 2 * EIGHT;

/// Products of small matrices.
pub(super) struct Smmla;

impl Product for Smmla {
    const ACTIVATIONS: Activations = Activations::Eights;

    const ROWS: usize = ROWS;

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
#[target_feature(enable = "neon,i8mm")]
unsafe fn multiply(
    rows: Rows<'_, i8>,
    tiles: &[i8],
    bias: &[i32; BLOCK],
    outputs: usize,
    acc: &mut Sums,
) -> usize {
    let taken = rows.count.min(ROWS);
    let block = rows.segments * rows.steps * TILE;
    for (i, bias) in bias.as_chunks::<OUTPUTS>().0.iter().enumerate() {
        let left = outputs.saturating_sub(i * OUTPUTS);
        if left == 0 {
            break;
        }
        let tiles = tiles.as_ptr().wrapping_add(i * block);
        // SAFETY: as the caller says; there are so many rows, and the tiles of all outputs.
        unsafe {
            match (taken, left > OUTPUTS / 2) {
                (..=2, true) => product::<1, 8>(rows, tiles, bias, i, acc),
                (..=2, false) => product::<1, 4>(rows, tiles, bias, i, acc),
                (3..=4, true) => product::<2, 8>(rows, tiles, bias, i, acc),
                (3..=4, false) => product::<2, 4>(rows, tiles, bias, i, acc),
                (_, true) => product::<3, 8>(rows, tiles, bias, i, acc),
                (_, false) => product::<3, 4>(rows, tiles, bias, i, acc),
            }
        }
    }
    taken
}

/// The sums of the first `P` pairs of rows, of which the last row may be missing, by `V` vectors of the
/// outputs of block `i`, whose tiles begin at `w`.
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
    let Rows { x, count, stride, segments, pitch, steps } = rows;
    let mut pairs = [[x.as_ptr(); 2]; P];
    for (p, [first, second]) in pairs.iter_mut().enumerate() {
        *first = first.wrapping_add(2 * p * stride);
        *second = first.wrapping_add(if 2 * p + 1 < count { stride } else { 0 });
    }
    let next = pitch.wrapping_sub(steps * STEP);
    // SAFETY: all pointers are to the steps of rows and of tiles that there are, and to sums.
    unsafe {
        // Of each pair of rows and each vector of weights: two outputs.
        let mut sums = [[vdupq_n_s32(0); V]; P];
        for v in 0..V {
            let bias = bias.as_ptr().add(2 * v).cast::<i64>().read_unaligned();
            for pair in &mut sums {
                pair[v] = vreinterpretq_s32_s64(vdupq_n_s64(bias));
            }
        }
        for _ in 0..segments {
            for _ in 0..steps * STEP / EIGHT {
                let mut x = [vdupq_n_s8(0); P];
                for (x, [first, second]) in x.iter_mut().zip(&mut pairs) {
                    *x = load_pair(first, second);
                }
                for v in 0..V {
                    let w = vld1q_s8(w.wrapping_add(v * VECTOR));
                    for (pair, x) in sums.iter_mut().zip(&x) {
                        pair[v] = smmla(pair[v], *x, w);
                    }
                }
                w = w.wrapping_add(OUTPUTS * EIGHT);
            }
            for row in pairs.as_flattened_mut() {
                *row = row.wrapping_add(next);
            }
        }
        for (pair, rows) in sums.into_iter().zip(acc.chunks_mut(2)) {
            for (v, [low, high]) in pair.as_chunks().0.iter().enumerate() {
                let (low, high) = (vreinterpretq_s64_s32(*low), vreinterpretq_s64_s32(*high));
                let sums = [vzip1q_s64(low, high), vzip2q_s64(low, high)];
                for (row, sum) in rows.iter_mut().zip(sums) {
                    let to = row[i * OUTPUTS..].as_mut_ptr().add(4 * v);
                    vst1q_s32(to, vreinterpretq_s32_s64(sum));
                }
            }
        }
    }
}
