//! Products of int16 by int8 for neighbouring channels.
//!
//! `vpmaddwd` adds the products of two neighbouring numbers; where one of the weights is 0, it is the
//! product of the other. So sums of even and of odd channels are apart until they are stored.

use core::arch::x86_64::*;

use crate::arch::depthwise_i16::{Channels, depthwise_i16_kernel};

/// The level's instructions.
struct Avx2;

// Eight sums, two weights, an activation and a product, of 16 registers.
depthwise_i16_kernel!(Avx2: Sixteen, Sixteen, Eight, "avx2");

/// Sums of even channels and of odd ones.
#[derive(Clone, Copy)]
struct Sixteen([__m256i; 2]);

impl Channels for Sixteen {
    const COUNT: usize = 16;

    type X = __m256i;
    /// The same, and zeros between.
    type W = [__m256i; 2];

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as the caller says.
        Self([unsafe { _mm256_setzero_si256() }; 2])
    }

    #[inline(always)]
    unsafe fn activations(from: *const i16) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn activation(x: i16) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_set1_epi16(x) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [__m256i; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let all = _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast()));
            let zero = _mm256_setzero_si256();
            [_mm256_blend_epi16::<0xAA>(all, zero), _mm256_blend_epi16::<0x55>(all, zero)]
        }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: __m256i, [even, odd]: [__m256i; 2]) -> Self {
        // SAFETY: as the caller says.
        unsafe {
            Self([
                _mm256_add_epi32(self.0[0], _mm256_madd_epi16(x, even)),
                _mm256_add_epi32(self.0[1], _mm256_madd_epi16(x, odd)),
            ])
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        let [even, odd] = self.0;
        // SAFETY: as the caller says.
        unsafe {
            // Channels 0 to 3 and 8 to 11, 4 to 7 and 12 to 15.
            let low = _mm256_unpacklo_epi32(even, odd);
            let high = _mm256_unpackhi_epi32(even, odd);
            _mm256_storeu_si256(to.cast(), _mm256_permute2x128_si256::<0x20>(low, high));
            _mm256_storeu_si256(to.add(8).cast(), _mm256_permute2x128_si256::<0x31>(low, high));
        }
    }
}

/// The same in 128 bits.
#[derive(Clone, Copy)]
struct Eight([__m128i; 2]);

impl Channels for Eight {
    const COUNT: usize = 8;

    type X = __m128i;
    type W = [__m128i; 2];

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as the caller says.
        Self([unsafe { _mm_setzero_si128() }; 2])
    }

    #[inline(always)]
    unsafe fn activations(from: *const i16) -> __m128i {
        // SAFETY: as the caller says.
        unsafe { _mm_loadu_si128(from.cast()) }
    }

    #[inline(always)]
    unsafe fn activation(x: i16) -> __m128i {
        // SAFETY: as the caller says.
        unsafe { _mm_set1_epi16(x) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [__m128i; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let all = _mm_cvtepi8_epi16(_mm_loadl_epi64(from.cast()));
            let zero = _mm_setzero_si128();
            [_mm_blend_epi16::<0xAA>(all, zero), _mm_blend_epi16::<0x55>(all, zero)]
        }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: __m128i, [even, odd]: [__m128i; 2]) -> Self {
        // SAFETY: as the caller says.
        unsafe {
            Self([
                _mm_add_epi32(self.0[0], _mm_madd_epi16(x, even)),
                _mm_add_epi32(self.0[1], _mm_madd_epi16(x, odd)),
            ])
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        let [even, odd] = self.0;
        // SAFETY: as the caller says.
        unsafe {
            _mm_storeu_si128(to.cast(), _mm_unpacklo_epi32(even, odd));
            _mm_storeu_si128(to.add(4).cast(), _mm_unpackhi_epi32(even, odd));
        }
    }
}
