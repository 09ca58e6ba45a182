//! Products of rows of activations by tiles of weights: `gemm-i16i8-6x16c2/avx2`,
//! `gemm-u8i8-6x16c4/avx_vnni`.
//!
//! The plain loop multiplies one activation by one weight. This one
//!
//! 1. takes two or four products of one output at once, and eight outputs, half a tile: the
//!    activations of a row are broadcast to all of them;
//! 2. holds the sums of several rows in registers over the whole depth, so that weights that are
//!    loaded, and with AVX2 widened, meet all rows.
//!
//! With AVX2, [`Fours`], six rows by half a tile are 12 of the 16 registers, as an output's sum is in
//! two lanes until the end. A step is 2 `vpmovsxbw` that load weights, 6 broadcasts that load
//! activations, 12 `vpmaddwd` and 12 `vpaddd`; Zen 3 begins two `vpmaddwd` a cycle, and four of all but
//! the loads:
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
//! Adding those lanes takes as long as a step or two. Where there are few steps, [`Pairs`] takes two
//! activations at once, half a step: an output's sum is in one lane, and 10 registers have five rows by
//! a tile. In return weights are widened by a shuffle and a shift, which of six rows would leave no
//! register for them.
//!
//! With AVX-VNNI `vpdpbusd` multiplies bytes: an output has one lane, and six rows meet a whole tile.

use core::arch::x86_64::*;

use super::dot::{Fours, Pairs, Product};
use crate::arch::output::BLOCK;
use crate::arch::tiled::{Rows, Sums};
use crate::tiles::{STEP, TILE};

/// Outputs that are summed in one go.
const EIGHT: usize = 8;

/// Rows that are multiplied at once, at most.
pub(in crate::arch) const ROWS: usize = 6;

/// Bytes ahead of those that are multiplied that weights are fetched, of one row.
const AHEAD: usize = 1 << 11;

/// Steps up to which making sums ready costs more than what widening weights by shuffles takes.
const SHALLOW: usize = 8;

/// What rows are multiplied by.
#[derive(Clone, Copy)]
struct Weights<'a> {
    tiles: &'a [i8],
    /// Taken off each.
    zero_point: i32,
    bias: &'a [i32; BLOCK],
    /// Of the first so many sums are asked for.
    outputs: usize,
}

/// [`super::dot::Dot::multiply`] with AVX2.
///
/// # Safety
///
/// As there.
#[inline(always)]
pub(super) unsafe fn multiply_widened<const OFFSET: bool>(
    rows: Rows<'_, i16>,
    tiles: &[i8],
    zero_point: i32,
    bias: &[i32; BLOCK],
    outputs: usize,
    acc: &mut Sums,
) -> usize {
    let weights = Weights { tiles, zero_point, bias, outputs };
    let shallow = rows.segments * rows.steps <= SHALLOW;
    // SAFETY: there are so many rows.
    unsafe {
        match at_once(rows.count, if shallow { 5 } else { ROWS }) {
            0 => 0,
            1 => outputs_of::<Fours, 1, 4, OFFSET>(rows, weights, acc),
            2 => outputs_of::<Fours, 2, 2, OFFSET>(rows, weights, acc),
            3 => outputs_of::<Fours, 3, 2, OFFSET>(rows, weights, acc),
            4 if shallow => outputs_of::<Pairs, 4, 2, OFFSET>(rows, weights, acc),
            5 if shallow => outputs_of::<Pairs, 5, 2, OFFSET>(rows, weights, acc),
            4 => outputs_of::<Fours, 4, 1, OFFSET>(rows, weights, acc),
            5 => outputs_of::<Fours, 5, 1, OFFSET>(rows, weights, acc),
            _ => outputs_of::<Fours, 6, 1, OFFSET>(rows, weights, acc),
        }
    }
}

/// How many of `count` rows to take: at most `most`, and of the last that are more the half, as one or
/// two that are left take as long as several.
fn at_once(count: usize, most: usize) -> usize {
    match count {
        _ if count <= most => count,
        _ if count < 2 * most => count.div_ceil(2),
        _ => most,
    }
}

/// [`super::dot::Dot::multiply`] with products that have a lane for each output, of weights whose zero
/// point is 0.
///
/// # Safety
///
/// As there.
#[inline(always)]
pub(in crate::arch) unsafe fn multiply<P: Product>(
    rows: Rows<'_, P::Element>,
    tiles: &[i8],
    bias: &[i32; BLOCK],
    outputs: usize,
    acc: &mut Sums,
) -> usize {
    let weights = Weights { tiles, zero_point: 0, bias, outputs };
    // SAFETY: there are so many rows.
    unsafe {
        match at_once(rows.count, ROWS) {
            0 => 0,
            1 => outputs_of::<P, 1, 4, false>(rows, weights, acc),
            2 => outputs_of::<P, 2, 2, false>(rows, weights, acc),
            3 => outputs_of::<P, 3, 2, false>(rows, weights, acc),
            4 => outputs_of::<P, 4, 2, false>(rows, weights, acc),
            5 => outputs_of::<P, 5, 2, false>(rows, weights, acc),
            _ => outputs_of::<P, 6, 2, false>(rows, weights, acc),
        }
    }
}

/// The sums of `R` rows, of `S` times eight outputs at once. With `OFFSET`, weights have a zero point.
///
/// # Safety
///
/// As [`multiply`]; there are `R` rows.
#[inline(always)]
unsafe fn outputs_of<P: Product, const R: usize, const S: usize, const OFFSET: bool>(
    rows: Rows<'_, P::Element>,
    weights: Weights<'_>,
    acc: &mut Sums,
) -> usize {
    let block = rows.segments * rows.steps * TILE;
    // What a whole block of tiles has is enough.
    let eights = weights.outputs.div_ceil(EIGHT).min(BLOCK / EIGHT);
    let eights = eights.min(weights.tiles.len() / block.max(1) * 2);
    let mut eight = 0;
    // SAFETY: there are `R` rows, and so many halves of blocks.
    unsafe {
        while eight + S <= eights {
            product::<P, R, S, OFFSET>(rows, weights, eight, acc);
            eight += S;
        }
        while eight < eights {
            product::<P, R, 1, OFFSET>(rows, weights, eight, acc);
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
unsafe fn product<P: Product, const R: usize, const S: usize, const OFFSET: bool>(
    rows: Rows<'_, P::Element>,
    weights: Weights<'_>,
    first: usize,
    acc: &mut Sums,
) {
    let Rows { x, stride, segments, pitch, steps, .. } = rows;
    let block = segments * steps * TILE;
    let half = |eight: usize| eight / 2 * block + eight % 2 * (TILE / 2);
    let (mut x, mut w) = (x.as_ptr(), weights.tiles.as_ptr().wrapping_add(half(first)));
    let mut next = [0; S];
    for (s, next) in next.iter_mut().enumerate() {
        *next = half(first + s) - half(first);
    }
    // SAFETY: vectors may be zero. Each row has the steps of each segment, and each half block as many
    // halves of tiles; biases are loaded from, and sums stored to, lanes that there are.
    unsafe {
        let zero_points = _mm256_set1_epi16(weights.zero_point as i16);
        let mut biases = [_mm256_setzero_si256(); S];
        for (s, bias) in biases.iter_mut().enumerate() {
            *bias = _mm256_loadu_si256(weights.bias.as_ptr().add((first + s) * EIGHT).cast());
        }
        // Written as a whole, so that the compiler takes it apart.
        let mut sums: [[P::Sum; S]; R] = core::mem::zeroed();
        for row in &mut sums {
            for (sum, bias) in row.iter_mut().zip(&biases) {
                P::start(sum, *bias);
            }
        }
        for _ in 0..segments {
            for _ in 0..steps {
                // Weights that one row meets come from afar, and each is needed once.
                if R == 1 {
                    for block in next.iter().step_by(2) {
                        let ahead = w.wrapping_add(block + AHEAD);
                        _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                    }
                }
                add::<P, R, S, OFFSET, 0>(&mut sums, (x, stride), (w, &next), zero_points);
                if P::PARTS > 1 {
                    add::<P, R, S, OFFSET, 1>(&mut sums, (x, stride), (w, &next), zero_points);
                }
                (x, w) = (x.wrapping_add(STEP), w.wrapping_add(TILE));
            }
            x = x.wrapping_add(pitch).wrapping_sub(steps * STEP);
        }
        // So many that the compiler knows, else it would keep sums in memory.
        let Some(acc) = acc.first_chunk_mut::<R>() else { return };
        for (row, acc) in sums.iter().zip(acc) {
            for (s, (sum, bias)) in row.iter().zip(biases).enumerate() {
                let to = acc.as_mut_ptr().add((first + s) * EIGHT);
                _mm256_storeu_si256(to.cast(), P::outputs(*sum, bias));
            }
        }
    }
}

/// Adds the products of a part of a step: of `R` rows, which are `stride` apart, by `S` halves of tiles,
/// which are `next` behind the first.
///
/// # Safety
///
/// The processor has the level's instructions; each row has a step, and each half a tile's.
#[inline(always)]
unsafe fn add<P: Product, const R: usize, const S: usize, const OFFSET: bool, const PART: usize>(
    sums: &mut [[P::Sum; S]; R],
    (x, stride): (*const P::Element, usize),
    (w, next): (*const i8, &[usize; S]),
    zero_points: __m256i,
) {
    // SAFETY: as the caller says.
    unsafe {
        let mut weights = [P::weights(w, PART); S];
        for (weights, next) in weights.iter_mut().zip(next) {
            *weights = P::weights(w.add(*next), PART);
            if OFFSET {
                P::offset(weights, zero_points);
            }
        }
        for (r, row) in sums.iter_mut().enumerate() {
            let x = P::activations(x.add(r * stride), PART);
            for (sum, weights) in row.iter_mut().zip(&weights) {
                P::add(sum, x, weights);
            }
        }
    }
}
