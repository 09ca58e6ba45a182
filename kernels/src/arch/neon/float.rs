//! Four floats, and one for what is left.

use core::arch::aarch64::*;
use core::arch::asm;

use crate::arch::floats::float_kernels;
use crate::arch::vector::Vector;

/// The instructions of all levels.
pub(super) struct Floats;

// 24 sums, 4 weights and an activation, of 32 registers.
float_kernels!(Floats: F32x4, F32x1, F32x1, 24, "neon");

/// 128 bits.
#[derive(Clone, Copy)]
pub(super) struct F32x4(float32x4_t);

impl Vector for F32x4 {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { vdupq_n_f32(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Self {
        // SAFETY: as the caller says; the instruction touches nothing but its registers.
        unsafe {
            let halves = vld1_u16(from);
            let wide: float32x4_t;
            // The intrinsic takes a type that is not stable yet.
            asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) wide, in(vreg) halves,
                options(pure, nomem, nostack, preserves_flags));
            Self(wide)
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller says.
        unsafe { vst1q_f32(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: Self, w: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { vfmaq_f32(self.0, x.0, w.0) })
    }

    #[inline(always)]
    unsafe fn clamp(self, min: Self, max: Self) -> Self {
        // Not FMAX and FMIN, to which zeros of different signs differ.
        // SAFETY: as the caller says.
        unsafe {
            let x = vbslq_f32(vcltq_f32(self.0, min.0), min.0, self.0);
            Self(vbslq_f32(vcgtq_f32(x, max.0), max.0, x))
        }
    }
}

/// One float, for what is left where there is no vector.
#[derive(Clone, Copy)]
pub(super) struct F32x1(f32);

impl Vector for F32x1 {
    const LANES: usize = 1;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self(x)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { *from })
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { f32::load_halves(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller says.
        unsafe { *to = self.0 }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: Self, w: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe {
            let [x, w, sum] = [x.0, w.0, self.0].map(|value| vdup_n_f32(value));
            vget_lane_f32::<0>(vfma_f32(sum, x, w))
        })
    }

    #[inline(always)]
    unsafe fn clamp(self, min: Self, max: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { Vector::clamp(self.0, min.0, max.0) })
    }
}
