//! Products of rows of activations by tiles of weights: `gemm-i8-3x16c4/neon`, and the loops of
//! `gemm-i8-6x16c4/neon_dot`.
//!
//! The plain loop multiplies one activation by one weight. These loops
//!
//! 1. take four products of each of four outputs at once: a quarter of a tile is a vector, and four
//!    activations of a row meet all of its outputs;
//! 2. load sixteen activations of a row at once, four steps, of which instructions pick one;
//! 3. hold the sums of several rows by a tile in registers over the whole depth, so that each vector of
//!    weights that is loaded meets all rows.
//!
//! With [`super::super::neon_dot`], where a sum is one vector, six rows by sixteen outputs are 24 of
//! the 32 registers, their activations 6 more:
//!
//! ```text
//!                     tile    w0        w1        w2        w3     4 outputs each, 4 deep
//!                           ┌─────────┬─────────┬─────────┬─────────┐
//!  row 0  x (4 steps of 4)  │ acc 0 0 │ acc 0 1 │ acc 0 2 │ acc 0 3 │
//!  row 1  x                 │ acc 1 0 │   …     │         │         │
//!   …                       │         │         │         │         │
//!  row 5  x                 │ acc 5 0 │         │         │ acc 5 3 │
//!                           └─────────┴─────────┴─────────┴─────────┘
//! ```
//!
//! Four steps are 6 loads of activations, 16 of weights, which the compiler pairs, and 96 `sdot`.
//! Without dot products, [`Pairs`], a sum is two vectors, so that there are three rows.

use core::arch::aarch64::*;

use super::Product;
use crate::arch::output::BLOCK;
use crate::arch::tiled::{Rows, Sums};
use crate::tiles::{Activations, OUTPUTS, STEP, TILE};

/// Outputs of a vector of weights.
const LANES: usize = OUTPUTS / 4;

/// Steps that are loaded at once.
const QUAD: usize = 4;

/// How four activations are multiplied by the weights of four outputs.
pub(in crate::arch) trait Dot {
    /// The sums of four outputs.
    type Sum: Copy;

    /// Rows whose sums by a tile are held at once: 3 or 6.
    const ROWS: usize;

    /// Sums that begin with `bias`.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions.
    unsafe fn start(bias: int32x4_t) -> Self::Sum;

    /// Adds the products of the weights `w`, four of each output, by the four activations at `LANE`
    /// of `x`.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions.
    unsafe fn add<const LANE: i32>(sum: Self::Sum, w: int8x16_t, x: int8x16_t) -> Self::Sum;

    /// The sums in their order.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions.
    unsafe fn end(sum: Self::Sum) -> int32x4_t;
}

/// Products of bytes in 16 bits, of which pairs are added to 32: `smull`, `sadalp`.
pub(in crate::arch) struct Pairs;

impl Dot for Pairs {
    /// Two halves of each sum: of outputs 0 and 1, and of 2 and 3.
    type Sum = [int32x4_t; 2];

    const ROWS: usize = 3;

    #[inline(always)]
    unsafe fn start(bias: int32x4_t) -> [int32x4_t; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let zero = vdupq_n_s32(0);
            [vzip1q_s32(bias, zero), vzip2q_s32(bias, zero)]
        }
    }

    #[inline(always)]
    unsafe fn add<const LANE: i32>(
        [low, high]: [int32x4_t; 2],
        w: int8x16_t,
        x: int8x16_t,
    ) -> [int32x4_t; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let x = vreinterpretq_s8_s32(vdupq_laneq_s32::<LANE>(vreinterpretq_s32_s8(x)));
            // Two products may be 2^15, which is why 16 bits are for one.
            let products = vmull_s8(vget_low_s8(w), vget_low_s8(x));
            [vpadalq_s16(low, products), vpadalq_s16(high, vmull_high_s8(w, x))]
        }
    }

    #[inline(always)]
    unsafe fn end([low, high]: [int32x4_t; 2]) -> int32x4_t {
        // SAFETY: as the caller says.
        unsafe { vpaddq_s32(low, high) }
    }
}

impl Product for Pairs {
    const ACTIVATIONS: Activations = Activations::Signed;

    const ROWS: usize = <Self as Dot>::ROWS;

    #[inline(always)]
    unsafe fn multiply(
        rows: Rows<'_, i8>,
        tiles: &[i8],
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        // SAFETY: as the caller says.
        unsafe { multiply::<Self>(rows, tiles, bias, outputs, acc) }
    }
}

/// [`super::super::tiled::Isa::multiply`].
///
/// # Safety
///
/// As there, for the instructions of `D`.
#[inline(always)]
pub(in crate::arch) unsafe fn multiply<D: Dot>(
    rows: Rows<'_, i8>,
    tiles: &[i8],
    bias: &[i32; BLOCK],
    outputs: usize,
    acc: &mut Sums,
) -> usize {
    let vectors = outputs.div_ceil(LANES).min(BLOCK / LANES);
    let of = Operands { rows, tiles, bias, vectors };
    // So that few rows are left over in the end, or none.
    let taken = match (D::ROWS, rows.count) {
        (_, count @ 0..=3) => count,
        (3, 4) => 2,
        (3, _) => 3,
        (_, 4 | 7 | 8 | 11) => 4,
        (_, 5) => 3,
        _ => 6,
    };
    // SAFETY: as the caller says; there are so many rows.
    unsafe {
        match taken {
            0 => {}
            1 => by_vectors::<D, 1>(&of, acc),
            2 => by_vectors::<D, 2>(&of, acc),
            3 => by_vectors::<D, 3>(&of, acc),
            4 => by_vectors::<D, 4>(&of, acc),
            _ => by_vectors::<D, 6>(&of, acc),
        }
    }
    taken
}

/// What is multiplied.
struct Operands<'a> {
    rows: Rows<'a, i8>,
    tiles: &'a [i8],
    bias: &'a [i32; BLOCK],
    /// Vectors of outputs that are asked for.
    vectors: usize,
}

/// The sums of the first `R` rows.
///
/// # Safety
///
/// The processor has the instructions of `D`; there are `R` rows, at most [`super::super::tiled::MOST`],
/// and the tiles of all vectors.
#[inline(always)]
unsafe fn by_vectors<D: Dot, const R: usize>(of: &Operands<'_>, acc: &mut Sums) {
    // Vectors of a row whose sums are held at once where rows are few.
    let (many, several) = (D::ROWS >= 6 && R == 1, R <= D::ROWS / 2);
    let mut first = 0;
    while first < of.vectors {
        // SAFETY: as the caller says; so many vectors are left.
        first += unsafe {
            match of.vectors - first {
                16.. if many => product::<D, R, 16>(of, first, acc),
                8.. if several => product::<D, R, 8>(of, first, acc),
                4.. => product::<D, R, 4>(of, first, acc),
                3 => product::<D, R, 3>(of, first, acc),
                2 => product::<D, R, 2>(of, first, acc),
                _ => product::<D, R, 1>(of, first, acc),
            }
        };
    }
}

/// The sums of the first `R` rows by `V` vectors of outputs from `first` on, a multiple of four; `V`.
///
/// # Safety
///
/// As of [`by_vectors`]; there are so many vectors.
#[inline(always)]
unsafe fn product<D: Dot, const R: usize, const V: usize>(
    of: &Operands<'_>,
    first: usize,
    acc: &mut Sums,
) -> usize {
    let Rows { x, stride, segments, pitch, steps, .. } = of.rows;
    let block = segments * steps * TILE;
    let mut x = x.as_ptr();
    let mut w = of.tiles.as_ptr().wrapping_add(first / 4 * block);
    // SAFETY: there are so many outputs; all pointers are to the steps of rows and of tiles that
    // there are; the processor has the instructions.
    unsafe {
        let mut sums = [[D::start(vdupq_n_s32(0)); V]; R];
        for v in 0..V {
            let bias = D::start(vld1q_s32(of.bias[first * LANES..].as_ptr().add(v * LANES)));
            for row in &mut sums {
                row[v] = bias;
            }
        }
        for _ in 0..segments {
            for _ in 0..steps / QUAD {
                let mut quads = [vdupq_n_s8(0); R];
                for (r, quad) in quads.iter_mut().enumerate() {
                    *quad = vld1q_s8(x.wrapping_add(r * stride));
                }
                step::<D, 0, R, V>(&mut sums, &quads, w, block);
                step::<D, 1, R, V>(&mut sums, &quads, w.wrapping_add(TILE), block);
                step::<D, 2, R, V>(&mut sums, &quads, w.wrapping_add(2 * TILE), block);
                step::<D, 3, R, V>(&mut sums, &quads, w.wrapping_add(3 * TILE), block);
                (x, w) = (x.wrapping_add(QUAD * STEP), w.wrapping_add(QUAD * TILE));
            }
            for _ in 0..steps % QUAD {
                let mut fours = [vdupq_n_s8(0); R];
                for (r, four) in fours.iter_mut().enumerate() {
                    let at = x.wrapping_add(r * stride).cast::<i32>();
                    *four = vreinterpretq_s8_s32(vdupq_n_s32(at.read_unaligned()));
                }
                step::<D, 0, R, V>(&mut sums, &fours, w, block);
                (x, w) = (x.wrapping_add(STEP), w.wrapping_add(TILE));
            }
            x = x.wrapping_add(pitch).wrapping_sub(steps * STEP);
        }
        for (acc, row) in acc.iter_mut().zip(sums) {
            for (v, sum) in row.into_iter().enumerate() {
                vst1q_s32(acc[first * LANES..].as_mut_ptr().add(v * LANES), D::end(sum));
            }
        }
    }
    V
}

/// Adds a step: of each row the activations at `LANE`, by `V` vectors of weights, of which the first
/// four are at `w`, and the next in the next block.
///
/// # Safety
///
/// The processor has the instructions of `D`, and the vectors are there.
#[inline(always)]
unsafe fn step<D: Dot, const LANE: i32, const R: usize, const V: usize>(
    sums: &mut [[D::Sum; V]; R],
    x: &[int8x16_t; R],
    w: *const i8,
    block: usize,
) {
    for v in 0..V {
        // SAFETY: as the caller says.
        unsafe {
            let w = vld1q_s8(w.wrapping_add(v / 4 * block + v % 4 * 16));
            for (row, x) in sums.iter_mut().zip(x) {
                row[v] = D::add::<LANE>(row[v], w, *x);
            }
        }
    }
}
