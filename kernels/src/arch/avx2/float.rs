//! Eight floats, and four or one for what is left.

use core::arch::x86_64::*;

use crate::arch::floats::float_kernels;
use crate::arch::vector::Vector;

/// The level's instructions.
pub(super) struct Avx2;

// 12 sums, 2 weights and an activation, of 16 registers.
float_kernels!(Avx2: F32x8, F32x4, F32x1, 12, "avx2,fma,f16c");

/// 256 bits.
#[derive(Clone, Copy)]
pub(in crate::arch) struct F32x8(__m256);

impl Vector for F32x8 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller says.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: Self, w: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_fmadd_ps(x.0, w.0, self.0) })
    }

    #[inline(always)]
    unsafe fn clamp(self, min: Self, max: Self) -> Self {
        // Where neither is more, the second operand is the result, as where one is NaN.
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_min_ps(max.0, _mm256_max_ps(min.0, self.0)) })
    }
}

/// 128 bits.
#[derive(Clone, Copy)]
pub(in crate::arch) struct F32x4(__m128);

impl Vector for F32x4 {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm_cvtph_ps(_mm_loadl_epi64(from.cast())) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller says.
        unsafe { _mm_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: Self, w: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm_fmadd_ps(x.0, w.0, self.0) })
    }

    #[inline(always)]
    unsafe fn clamp(self, min: Self, max: Self) -> Self {
        // Where neither is more, the second operand is the result, as where one is NaN.
        // SAFETY: as the caller says.
        Self(unsafe { _mm_min_ps(max.0, _mm_max_ps(min.0, self.0)) })
    }
}

/// One float, for what is left where there is no vector.
#[derive(Clone, Copy)]
pub(in crate::arch) struct F32x1(f32);

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
            let [x, w, sum] = [x.0, w.0, self.0].map(|value| _mm_set_ss(value));
            _mm_cvtss_f32(_mm_fmadd_ss(x, w, sum))
        })
    }

    #[inline(always)]
    unsafe fn clamp(self, min: Self, max: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { Vector::clamp(self.0, min.0, max.0) })
    }
}
