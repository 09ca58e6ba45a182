//! Convolution by Winograd with NEON: `winograd-i16-4x8c2/neon`.
//!
//! Four tiles by eight outputs are 16 of the 32 registers, as an output's sum is in two lanes until the end: one
//! for each of two channels. A step of two channels is 2 loads of weights, 4 loads that repeat a pair of
//! activations, 8 `smlal` and 8 `smlal2`.

use core::arch::aarch64::*;

use super::Neon;
use super::gemm::Pairs;
use crate::Mismatch;
use crate::arch::winograd::{self, Lanes, Long, Points, Products, Short};
use crate::conv2d::Conv2dI8;
use crate::winograd::{OUTPUTS, POINTS, Winograd};

/// Outputs whose sums are in registers.
const AT_ONCE: usize = 8;

impl Lanes for int16x8_t {
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the target has the instructions.
        unsafe { vaddq_s16(self, other) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the target has the instructions.
        unsafe { vsubq_s16(self, other) }
    }

    #[inline(always)]
    unsafe fn shift<const BITS: i32>(self) -> Self {
        // SAFETY: the target has the instructions.
        unsafe { vshlq_n_s16::<BITS>(self) }
    }
}

impl Short for int16x8_t {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the target has the instructions.
        unsafe { vdupq_n_s16(0) }
    }

    #[inline(always)]
    unsafe fn widened(from: *const i8) -> Self {
        // SAFETY: as the caller says.
        unsafe { vmovl_s8(vld1_s8(from)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i16) {
        // SAFETY: as the caller says.
        unsafe { vst1q_s16(to, self) };
    }
}

impl Lanes for int32x4_t {
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the target has the instructions.
        unsafe { vaddq_s32(self, other) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the target has the instructions.
        unsafe { vsubq_s32(self, other) }
    }

    #[inline(always)]
    unsafe fn shift<const BITS: i32>(self) -> Self {
        // SAFETY: the target has the instructions.
        unsafe { vshlq_n_s32::<BITS>(self) }
    }
}

impl Long for int32x4_t {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        // SAFETY: the target has the instructions.
        unsafe { vdupq_n_s32(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: as the caller says.
        unsafe { vld1q_s32(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: as the caller says.
        unsafe { vst1q_s32(to, self) };
    }

    #[inline(always)]
    unsafe fn multiply(self, other: Self) -> Self {
        // SAFETY: the target has the instructions.
        unsafe { vmulq_s32(self, other) }
    }

    #[inline(always)]
    unsafe fn halved<const BITS: i32>(self) -> Self {
        // SAFETY: the target has the instructions.
        unsafe { vshrq_n_s32::<BITS>(self) }
    }
}

/// [`Products`] by `smlal`.
struct Widening;

impl Products for Widening {
    type Short = int16x8_t;
    type Wide = int16x8_t;
    type Long = int32x4_t;

    fn tiles(_: usize) -> usize {
        4
    }

    #[inline(always)]
    unsafe fn multiply(p: &Points) {
        // SAFETY: as the caller says.
        unsafe {
            match p.tiles {
                4 => product::<4>(p),
                3 => product::<3>(p),
                2 => product::<2>(p),
                1 => product::<1>(p),
                _ => {}
            }
        }
    }
}

/// The products of `R` tiles, point by point.
///
/// # Safety
///
/// As [`Products::multiply`].
unsafe fn product<const R: usize>(p: &Points) {
    let outputs = p.blocks * OUTPUTS;
    for point in 0..POINTS {
        for first in (0..outputs).step_by(AT_ONCE) {
            // SAFETY: as the caller says.
            unsafe {
                let mut x = p.inputs.add(point * p.input_pitch);
                let block = first / OUTPUTS * p.block_weights() + point * p.point_weights();
                let mut weights = p.weights.add(block + 2 * (first % OUTPUTS));
                let to = p.products.add(point * p.pitch + first);
                let mut sums = [[vdupq_n_s32(0); 4]; R];
                for _ in 0..p.depth / 2 {
                    let w = [vld1q_s16(weights), vld1q_s16(weights.add(AT_ONCE))];
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let pair = vld1q_dup_s32(x.add(r * p.depth).cast());
                        let pair = vreinterpretq_s16_s32(pair);
                        for (i, w) in w.into_iter().enumerate() {
                            let low = vget_low_s16(w);
                            sums[2 * i] = vmlal_s16(sums[2 * i], low, vget_low_s16(pair));
                            sums[2 * i + 1] = vmlal_high_s16(sums[2 * i + 1], w, pair);
                        }
                    }
                    (x, weights) = (x.add(2), weights.add(2 * OUTPUTS));
                }
                for (r, [a, b, c, d]) in sums.into_iter().enumerate() {
                    let to = to.add(r * outputs);
                    vst1q_s32(to, vpaddq_s32(a, b));
                    vst1q_s32(to.add(4), vpaddq_s32(c, d));
                }
            }
        }
    }
}

/// Also of levels with more instructions, which have none better for it.
pub(in crate::arch) fn conv2d_winograd_i8(
    p: &Winograd<'_, Conv2dI8<'_>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // SAFETY: the target has the instructions.
    unsafe { winograd::conv2d_winograd_i8::<Neon<Pairs>, Widening>(p, x, y) }
}
