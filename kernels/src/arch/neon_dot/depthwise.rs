//! DEPTHWISE_CONV_2D: `depthwise-i8-c16/neon_dot`. The loops are those of
//! [`super::super::neon::depthwise`].
//!
//! Four rows of taps are taken at once: the four activations of a column of taps are brought together,
//! so that `sdot` multiplies and adds them. Of sixteen channels, four vectors, a row each, become four
//! of four channels each:
//!
//! ```text
//!  row 0   a0 a1 a2 …       zip bytes               zip pairs
//!  row 1   b0 b1 b2 …   ►   a0 b0 a1 b1 …       ►   a0 b0 c0 d0  a1 b1 c1 d1  a2 …
//!  row 2   c0 c1 c2 …       c0 d0 c1 d1 …
//!  row 3   d0 d1 d2 …
//! ```
//!
//! Rows of taps behind the last have zero weights. Where weights have a zero point, the activations are
//! summed beside, by weights that are 1.

use core::arch::aarch64::*;

use super::sdot::sdot;
use crate::arch::neon::depthwise::{Columns, ROWS, Sums};

/// Four rows at once. With `Z`, weights have a zero point.
pub(in crate::arch) struct Dots<const Z: bool>;

impl<const Z: bool> Columns for Dots<Z> {
    const HEIGHT: usize = ROWS;

    type Column = [int8x16_t; 4];

    /// And 1 for every weight that there is.
    type Weights = ([int8x16_t; 4], int8x16_t);

    /// And the sums of the activations.
    type Acc = [Sums; 2];

    #[inline(always)]
    unsafe fn column([a, b, c, d]: [int8x16_t; ROWS]) -> [int8x16_t; 4] {
        // SAFETY: as the caller says.
        unsafe {
            let [ab, ab_high] = [vzip1q_s8(a, b), vzip2q_s8(a, b)].map(|x| vreinterpretq_s16_s8(x));
            let [cd, cd_high] = [vzip1q_s8(c, d), vzip2q_s8(c, d)].map(|x| vreinterpretq_s16_s8(x));
            [
                vreinterpretq_s8_s16(vzip1q_s16(ab, cd)),
                vreinterpretq_s8_s16(vzip2q_s16(ab, cd)),
                vreinterpretq_s8_s16(vzip1q_s16(ab_high, cd_high)),
                vreinterpretq_s8_s16(vzip2q_s16(ab_high, cd_high)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn weights(
        rows: [int8x16_t; ROWS],
        height: usize,
        _: i32,
    ) -> ([int8x16_t; 4], int8x16_t) {
        // SAFETY: as the caller says.
        unsafe {
            let mut ones = [vdupq_n_s8(0); ROWS];
            ones[..height].fill(vdupq_n_s8(1));
            (Self::column(rows), Self::column(ones)[0])
        }
    }

    #[inline(always)]
    unsafe fn start(bias: Sums) -> [Sums; 2] {
        // SAFETY: as the caller says.
        unsafe { [bias, [vdupq_n_s32(0); 4]] }
    }

    #[inline(always)]
    unsafe fn add(
        [mut sums, mut totals]: [Sums; 2],
        x: &[int8x16_t; 4],
        (w, ones): &([int8x16_t; 4], int8x16_t),
    ) -> [Sums; 2] {
        // SAFETY: as the caller says.
        unsafe {
            for ((sum, x), w) in sums.iter_mut().zip(x).zip(w) {
                *sum = sdot(*sum, *x, *w);
            }
            if Z {
                for (total, x) in totals.iter_mut().zip(x) {
                    *total = sdot(*total, *x, *ones);
                }
            }
        }
        [sums, totals]
    }

    #[inline(always)]
    unsafe fn end([mut sums, totals]: [Sums; 2], zero_point: int32x4_t) -> Sums {
        if Z {
            for (sum, total) in sums.iter_mut().zip(totals) {
                // SAFETY: as the caller says.
                *sum = unsafe { vmlsq_s32(*sum, total, zero_point) };
            }
        }
        sums
    }
}
