//! Products of int16 by int8 for neighbouring channels: `smlal`, four at a time.

use core::arch::aarch64::*;

use crate::arch::depthwise_i16::{Channels, depthwise_i16_kernel};

/// The instructions of all levels.
struct Neon;

// Sixteen sums, two weights and two activations, of 32 registers.
depthwise_i16_kernel!(Neon: Sixteen, Sixteen, Eight, "neon");

/// Sums of channels as they follow each other.
#[derive(Clone, Copy)]
struct Eight([int32x4_t; 2]);

impl Channels for Eight {
    const COUNT: usize = 8;

    type X = int16x8_t;
    type W = int16x8_t;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as the caller says.
        Self([unsafe { vdupq_n_s32(0) }; 2])
    }

    #[inline(always)]
    unsafe fn activations(from: *const i16) -> int16x8_t {
        // SAFETY: as the caller says.
        unsafe { vld1q_s16(from) }
    }

    #[inline(always)]
    unsafe fn activation(x: i16) -> int16x8_t {
        // SAFETY: as the caller says.
        unsafe { vdupq_n_s16(x) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> int16x8_t {
        // SAFETY: as the caller says.
        unsafe { vmovl_s8(vld1_s8(from)) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: int16x8_t, w: int16x8_t) -> Self {
        // SAFETY: as the caller says.
        unsafe {
            Self([
                vmlal_s16(self.0[0], vget_low_s16(x), vget_low_s16(w)),
                vmlal_high_s16(self.0[1], x, w),
            ])
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: as the caller says.
        unsafe {
            vst1q_s32(to, self.0[0]);
            vst1q_s32(to.add(4), self.0[1]);
        }
    }
}

/// Two of them.
#[derive(Clone, Copy)]
struct Sixteen([Eight; 2]);

impl Channels for Sixteen {
    const COUNT: usize = 16;

    type X = [int16x8_t; 2];
    type W = [int16x8_t; 2];

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as the caller says.
        Self([unsafe { Eight::zero() }; 2])
    }

    #[inline(always)]
    unsafe fn activations(from: *const i16) -> [int16x8_t; 2] {
        // SAFETY: as the caller says.
        unsafe { [Eight::activations(from), Eight::activations(from.add(8))] }
    }

    #[inline(always)]
    unsafe fn activation(x: i16) -> [int16x8_t; 2] {
        // SAFETY: as the caller says.
        [unsafe { Eight::activation(x) }; 2]
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [int16x8_t; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let all = vld1q_s8(from);
            [vmovl_s8(vget_low_s8(all)), vmovl_high_s8(all)]
        }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: [int16x8_t; 2], w: [int16x8_t; 2]) -> Self {
        let [first, second] = self.0;
        // SAFETY: as the caller says.
        unsafe { Self([first.multiply_add(x[0], w[0]), second.multiply_add(x[1], w[1])]) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        let [first, second] = self.0;
        // SAFETY: as the caller says.
        unsafe {
            first.store(to);
            second.store(to.add(8));
        }
    }
}
