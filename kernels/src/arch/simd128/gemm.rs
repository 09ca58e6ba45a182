//! Products of rows of activations by tiles of weights: `gemm-i16i8-4x4c4/simd128`.
//!
//! The plain loop multiplies one activation by one weight. This one
//!
//! 1. multiplies eight numbers of 16 bits at once and adds neighbours, `i32x4.dot_i16x8_s`: weights are
//!    widened as they are loaded, activations have been when they were copied;
//! 2. takes eight weights of a tile at once, four of one output and four of the next, and four
//!    activations of a row twice, so that a sum is two lanes, which are added at the end;
//! 3. holds the sums of four rows by four outputs in registers over the whole depth.
//!
//! A step of four is 2 loads of weights, 4 of activations, 8 products and 8 additions:
//!
//! ```text
//!               w   o0: w0 w1 w2 w3  o1: w0 w1 w2 w3     o2: w0 w1 w2 w3  o3: …
//!                 ┌─────────────────────────────────┬─────────────────────────────┐
//!  row 0  x0…x3 ×2│ acc 0 0: o0 o0 o1 o1            │ acc 0 1: o2 o2 o3 o3        │
//!   …             │  …                              │                             │
//!  row 3          │ acc 3 0                         │ acc 3 1                     │
//!                 └─────────────────────────────────┴─────────────────────────────┘
//! ```
//!
//! Engines have sixteen registers on x86-64. Where rows are few there are more outputs instead.

use core::arch::wasm32::*;

use crate::arch::output::BLOCK;
use crate::arch::tiled::{MOST, Rows, Sums};
use crate::tiles::{OUTPUTS, STEP, TILE};

/// Rows of a product.
const ROWS: usize = 4;

/// [`super::super::tiled::Isa::multiply`].
///
/// # Safety
///
/// There is a row; `tiles` has the `outputs`, and `rows` fit.
pub(super) unsafe fn multiply(
    rows: Rows<'_, i16>,
    tiles: &[i8],
    bias: &[i32; BLOCK],
    outputs: usize,
    acc: &mut Sums,
) -> usize {
    let block = rows.segments * rows.steps * TILE;
    let count = rows.count.min(MOST);
    // SAFETY: as the caller says; each call is for rows that there are, and for outputs of a tile.
    unsafe {
        let mut row = 0;
        while count - row >= ROWS {
            products::<ROWS, 2>(&rows, row, tiles, block, bias, outputs, acc);
            row += ROWS;
        }
        match count - row {
            0 => {}
            1 => products::<1, 8>(&rows, row, tiles, block, bias, outputs, acc),
            2 => products::<2, 4>(&rows, row, tiles, block, bias, outputs, acc),
            _ => products::<3, 2>(&rows, row, tiles, block, bias, outputs, acc),
        }
    }
    count
}

/// The sums of `R` rows from `row` on, `V` vectors of two outputs at a time.
///
/// # Safety
///
/// There are so many rows; `tiles` has the `outputs`, in blocks of so many bytes; `V` divides 8.
unsafe fn products<const R: usize, const V: usize>(
    rows: &Rows<'_, i16>,
    row: usize,
    tiles: &[i8],
    block: usize,
    bias: &[i32; BLOCK],
    outputs: usize,
    acc: &mut Sums,
) {
    let x = rows.x.as_ptr().wrapping_add(row * rows.stride);
    let mut output = 0;
    while output < outputs {
        let start = output / OUTPUTS * block + output % OUTPUTS * STEP;
        // SAFETY: as the caller says. Outputs are taken by divisors of a tile's, so that the last
        // ones are in `tiles`, `bias` and `acc`, too.
        unsafe {
            let w = tiles.as_ptr().add(start);
            let bias = bias.as_ptr().add(output);
            let acc = acc.as_mut_ptr().add(row).cast::<i32>().add(output);
            product::<R, V>(rows, x, w, bias, acc);
        }
        output += 2 * V;
    }
}

/// The sums of `R` rows, which begin at `x`, by `2 V` outputs.
///
/// # Safety
///
/// There are so many rows; from `w` on there are as many tiles as rows have steps, but for what is
/// before the outputs in the first; `bias` and the rows of `acc` have the outputs.
#[inline(always)]
unsafe fn product<const R: usize, const V: usize>(
    rows: &Rows<'_, i16>,
    mut x: *const i16,
    mut w: *const i8,
    bias: *const i32,
    acc: *mut i32,
) {
    let Rows { stride, segments, pitch, steps, .. } = *rows;
    let mut sums = [[i32x4_splat(0); V]; R];
    for _ in 0..segments {
        for _ in 0..steps {
            let mut fours = [i32x4_splat(0); R];
            for (r, four) in fours.iter_mut().enumerate() {
                // SAFETY: there are `R` rows, of which each segment has this step.
                *four = unsafe { v128_load64_splat(x.add(r * stride).cast()) };
            }
            for v in 0..V {
                // SAFETY: a tile has sixteen outputs.
                let weights = unsafe { i16x8_load_extend_i8x8(w.add(v * 8)) };
                for (row, four) in sums.iter_mut().zip(fours) {
                    row[v] = i32x4_add(row[v], i32x4_dot_i16x8(weights, four));
                }
            }
            (x, w) = (x.wrapping_add(STEP), w.wrapping_add(TILE));
        }
        x = x.wrapping_add(pitch).wrapping_sub(steps * STEP);
    }
    for (r, row) in sums.iter().enumerate() {
        for (v, [a, b]) in row.as_chunks::<2>().0.iter().enumerate() {
            let even = i32x4_shuffle::<0, 2, 4, 6>(*a, *b);
            let odd = i32x4_shuffle::<1, 3, 5, 7>(*a, *b);
            // SAFETY: four outputs of those that there are.
            unsafe {
                let bias = v128_load(bias.add(v * 4).cast());
                let sum = i32x4_add(i32x4_add(even, odd), bias);
                v128_store(acc.add(r * BLOCK + v * 4).cast(), sum);
            }
        }
    }
}
