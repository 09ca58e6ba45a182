//! Four floats.

use core::arch::wasm32::*;

use crate::arch::floats::float_kernels;
use crate::arch::vector::Vector;

/// The level's instructions.
pub(super) struct Floats;

// 12 sums, 2 weights, an activation and a product: the 16 registers of processors with SSE.
float_kernels!(Floats: F32x4, f32, f32, 12, "simd128");

/// 128 bits.
#[derive(Clone, Copy)]
pub(super) struct F32x4(v128);

impl Vector for F32x4 {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self(f32x4_splat(x))
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { v128_load(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Self {
        // SAFETY: as the caller says.
        let halves = u32x4_extend_low_u16x8(unsafe { v128_load64_zero(from.cast()) });
        let sign = u32x4_shl(v128_and(halves, u32x4_splat(0x8000)), 16);
        let rest = u32x4_shl(v128_and(halves, u32x4_splat(0x7FFF)), 13);
        // Exponents are counted from −15 in one and from −127 in the other, but for infinity and NaN,
        // whose exponents are all ones in both. The product is exact.
        let scaled = f32x4_mul(rest, u32x4_splat((127 + 112) << 23));
        let special = v128_and(u32x4_ge(rest, u32x4_splat(31 << 23)), u32x4_splat(255 << 23));
        Self(v128_or(v128_or(scaled, special), sign))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller says.
        unsafe { v128_store(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(f32x4_add(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: Self, w: Self) -> Self {
        Self(f32x4_add(self.0, f32x4_mul(x.0, w.0)))
    }

    #[inline(always)]
    unsafe fn clamp(self, min: Self, max: Self) -> Self {
        // Each is the definition's comparison: the first operand where neither is more.
        Self(f32x4_pmin(f32x4_pmax(self.0, min.0), max.0))
    }
}
