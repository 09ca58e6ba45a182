//! Sixteen floats, and eight for what is left.

use core::arch::x86_64::*;

use crate::arch::avx2::float::{F32x1, F32x8};
use crate::arch::floats::float_kernels;
use crate::arch::vector::Vector;

/// The level's instructions.
pub(super) struct Avx512;

// 24 of 32 registers hold sums; 4 blocks of weights and an activation take another 5.
float_kernels!(Avx512: F32x16, F32x8, F32x1, 24, "avx512f,avx512vl,avx2,fma,f16c");

/// 512 bits.
#[derive(Clone, Copy)]
pub(super) struct F32x16(__m512);

impl Vector for F32x16 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller says.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: Self, w: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_fmadd_ps(x.0, w.0, self.0) })
    }

    #[inline(always)]
    unsafe fn clamp(self, min: Self, max: Self) -> Self {
        // Where neither is more, the second operand is the result, as where one is NaN.
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_min_ps(max.0, _mm512_max_ps(min.0, self.0)) })
    }
}
