//! Products of rows of activations by tiles of weights: `gemm-i16i8-6x8c4/avx2`,
//! `gemm-u8i8-6x16c4/avx_vnni`.
//!
//! The plain loop multiplies one activation by one weight. This one
//!
//! 1. takes four products of one output at once, and eight outputs, half a tile: four activations of
//!    a row are broadcast to all of them;
//! 2. holds the sums of several rows in registers over the whole depth, so that weights that are
//!    loaded, and with AVX2 widened, meet all rows.
//!
//! With AVX2 six rows by half a tile are 12 of the 16 registers, as an output's sum is in two lanes
//! until the end. A step is 2 `vpmovsxbw` that load weights, 6 broadcasts that load activations, 12
//! `vpmaddwd` and 12 `vpaddd`; Zen 3 begins two `vpmaddwd` a cycle, and four of all but the loads:
//!
//! ```text
//!                        w0                w1            4 outputs each, 4 deep, 16 bits
//!                    ┌───────────────┬───────────────┐
//!  row 0  x (4 deep) │ acc 0 0: a a b b c c d d      │   two lanes of 32 bits for each output
//!  row 1  x          │ acc 1 0       │ acc 1 1       │
//!   …                │       …       │               │
//!  row 5  x          │ acc 5 0       │ acc 5 1       │
//!                    └───────────────┴───────────────┘
//! ```
//!
//! With AVX-VNNI `vpdpbusd` does the same to bytes, an output has one lane, and six rows meet a whole
//! tile.

use core::arch::x86_64::*;

use super::dot::Dot;
use crate::arch::output::BLOCK;
use crate::arch::tiled::{Rows, Sums};
use crate::tiles::{STEP, TILE};

/// Outputs that are summed in one go.
const EIGHT: usize = 8;

/// [`super::super::tiled::Isa::multiply`].
///
/// # Safety
///
/// As there.
#[inline(always)]
pub(in crate::arch) unsafe fn multiply<D: Dot<A>, const A: usize>(
    rows: Rows<'_, D::Element>,
    tiles: &[i8],
    bias: &[i32; BLOCK],
    outputs: usize,
    acc: &mut Sums,
) -> usize {
    // SAFETY: there are so many rows.
    unsafe {
        match (rows.count, D::SIDE) {
            (0, _) => 0,
            (1, _) => outputs_of::<D, A, 1, 4>(rows, tiles, bias, outputs, acc),
            (2, _) => outputs_of::<D, A, 2, 2>(rows, tiles, bias, outputs, acc),
            (3, _) => outputs_of::<D, A, 3, 2>(rows, tiles, bias, outputs, acc),
            (4, 1) => outputs_of::<D, A, 4, 1>(rows, tiles, bias, outputs, acc),
            (4, _) => outputs_of::<D, A, 4, 2>(rows, tiles, bias, outputs, acc),
            (5, 1) => outputs_of::<D, A, 5, 1>(rows, tiles, bias, outputs, acc),
            (5, _) => outputs_of::<D, A, 5, 2>(rows, tiles, bias, outputs, acc),
            (_, 1) => outputs_of::<D, A, 6, 1>(rows, tiles, bias, outputs, acc),
            _ => outputs_of::<D, A, 6, 2>(rows, tiles, bias, outputs, acc),
        }
    }
}

/// The sums of `R` rows, of `S` times eight outputs at once.
///
/// # Safety
///
/// As [`multiply`]; there are `R` rows.
#[inline(always)]
unsafe fn outputs_of<D: Dot<A>, const A: usize, const R: usize, const S: usize>(
    rows: Rows<'_, D::Element>,
    tiles: &[i8],
    bias: &[i32; BLOCK],
    outputs: usize,
    acc: &mut Sums,
) -> usize {
    let block = rows.segments * rows.steps * TILE;
    // What a whole block of tiles has is enough.
    let eights = outputs.div_ceil(EIGHT).min(BLOCK / EIGHT).min(tiles.len() / block.max(1) * 2);
    let mut eight = 0;
    // SAFETY: there are `R` rows, and so many halves of blocks.
    unsafe {
        while eight + S <= eights {
            product::<D, A, R, S>(rows, tiles, eight, bias, acc);
            eight += S;
        }
        while eight < eights {
            product::<D, A, R, 1>(rows, tiles, eight, bias, acc);
            eight += 1;
        }
    }
    R
}

/// The sums of `R` rows by `S` halves of blocks, from half `first` on.
///
/// # Safety
///
/// As [`multiply`]; there are `R` rows, and the halves, of which a block of `acc` has eight.
#[inline(always)]
unsafe fn product<D: Dot<A>, const A: usize, const R: usize, const S: usize>(
    rows: Rows<'_, D::Element>,
    tiles: &[i8],
    first: usize,
    bias: &[i32; BLOCK],
    acc: &mut Sums,
) {
    let Rows { x, stride, segments, pitch, steps, .. } = rows;
    let block = segments * steps * TILE;
    let half = |eight: usize| eight / 2 * block + eight % 2 * (TILE / 2);
    let (mut x, mut w) = (x.as_ptr(), tiles.as_ptr().wrapping_add(half(first)));
    let next: [usize; S] = core::array::from_fn(|s| half(first + s) - half(first));
    // SAFETY: each row has the steps of each segment, and each half block as many halves of tiles;
    // sums are stored to lanes of `acc` that there are.
    unsafe {
        let mut sums = [[[_mm256_setzero_si256(); A]; S]; R];
        for _ in 0..segments {
            for _ in 0..steps {
                let mut weights = [[_mm256_setzero_si256(); A]; S];
                for (weights, next) in weights.iter_mut().zip(next) {
                    *weights = D::weights(w.add(next));
                }
                for (r, row) in sums.iter_mut().enumerate() {
                    let four = D::broadcast(x.add(r * stride));
                    for (sums, weights) in row.iter_mut().zip(weights) {
                        for (sum, weights) in sums.iter_mut().zip(weights) {
                            *sum = D::dot(*sum, four, weights);
                        }
                    }
                }
                (x, w) = (x.wrapping_add(STEP), w.wrapping_add(TILE));
            }
            x = x.wrapping_add(pitch).wrapping_sub(steps * STEP);
        }
        for (s, bias) in bias[first * EIGHT..].as_chunks::<EIGHT>().0.iter().enumerate().take(S) {
            let bias = _mm256_loadu_si256(bias.as_ptr().cast());
            for (r, row) in sums.iter().enumerate() {
                let sum = _mm256_add_epi32(D::outputs(row[s]), bias);
                let to = acc[r][(first + s) * EIGHT..].as_mut_ptr();
                _mm256_storeu_si256(to.cast(), sum);
            }
        }
    }
}
