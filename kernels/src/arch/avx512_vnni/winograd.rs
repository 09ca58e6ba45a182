//! Convolution by Winograd with AVX-512 VNNI: `winograd-i16-8x32c2/avx512_vnni`.
//!
//! Eight tiles by 32 outputs, sixteen by 16 or four by 64 are 16 of the 32 registers; a step of two channels is a load
//! of weights for each block, a broadcast for each tile and 16 `vpdpwssd`.

use core::arch::asm;
use core::arch::x86_64::*;

use super::Avx512Vnni;
use crate::arch::avx2::winograd::I16x16;
use crate::arch::winograd::{Lanes, Long, Points, Products, Short, winograd_kernel};
use crate::winograd::{OUTPUTS, POINTS};

/// 32 integers of 16 bits.
#[derive(Clone, Copy)]
struct I16x32(__m512i);

/// Sixteen of 32 bits.
#[derive(Clone, Copy)]
struct I32x16(__m512i);

impl Lanes for I16x32 {
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_add_epi16(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_sub_epi16(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn shift<const BITS: i32>(self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_sll_epi16(self.0, _mm_cvtsi32_si128(BITS)) })
    }
}

impl Short for I16x32 {
    const LANES: usize = 32;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_setzero_si512() })
    }

    #[inline(always)]
    unsafe fn widened(from: *const i8) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast())) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i16) {
        // SAFETY: as the caller says.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) };
    }
}

impl Lanes for I32x16 {
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_sub_epi32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn shift<const BITS: i32>(self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_sll_epi32(self.0, _mm_cvtsi32_si128(BITS)) })
    }
}

impl Long for I32x16 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_set1_epi32(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_loadu_si512(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: as the caller says.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) };
    }

    #[inline(always)]
    unsafe fn multiply(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_mullo_epi32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn halved<const BITS: i32>(self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm512_sra_epi32(self.0, _mm_cvtsi32_si128(BITS)) })
    }
}

/// [`Products`] with `vpdpwssd`.
struct Pairs;

impl Products for Pairs {
    type Short = I16x16;
    type Wide = I16x32;
    type Long = I32x16;

    fn tiles(blocks: usize) -> usize {
        16 / blocks.next_power_of_two()
    }

    #[inline(always)]
    unsafe fn multiply(p: &Points) {
        macro_rules! take {
            ($blocks:literal: $($tiles:literal)*) => {
                match p.tiles {
                    // SAFETY: as the caller says.
                    $($tiles => unsafe { product::<$tiles, $blocks>(p) },)*
                    _ => {}
                }
            };
        }
        match p.blocks {
            1 => take!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16),
            2 => take!(2: 1 2 3 4 5 6 7 8),
            3 => take!(3: 1 2 3 4),
            4 => take!(4: 1 2 3 4),
            _ => {}
        }
    }
}

/// `vpdpwssd`, which the compiler would take apart into two instructions: a sum has less latency then, but
/// here there are enough of them.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dpwssd(mut sum: __m512i, x: __m512i, w: __m512i) -> __m512i {
    // SAFETY: it touches nothing but its operands.
    unsafe {
        asm!(
            "vpdpwssd {sum}, {x}, {w}",
            sum = inout(zmm_reg) sum, x = in(zmm_reg) x, w = in(zmm_reg) w,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// The products of `R` tiles by `B` blocks, point by point.
///
/// # Safety
///
/// As [`Products::multiply`].
#[expect(clippy::needless_range_loop, reason = "iterators over arrays may keep these in memory")]
#[inline(always)]
unsafe fn product<const R: usize, const B: usize>(p: &Points) {
    for point in 0..POINTS {
        // SAFETY: as the caller says.
        unsafe {
            let mut x = p.inputs.add(point * p.input_pitch);
            let mut weights = p.weights.add(point * p.point_weights());
            let to = p.products.add(point * p.pitch);
            let mut sums = [[_mm512_setzero_si512(); B]; R];
            for _ in 0..p.depth / 2 {
                let mut step = [_mm512_setzero_si512(); B];
                for b in 0..B {
                    step[b] = _mm512_loadu_si512(weights.add(b * p.block_weights()).cast());
                }
                for r in 0..R {
                    let pair = x.add(r * p.depth).cast::<i32>().read_unaligned();
                    let pair = _mm512_set1_epi32(pair);
                    for b in 0..B {
                        sums[r][b] = dpwssd(sums[r][b], pair, step[b]);
                    }
                }
                (x, weights) = (x.add(2), weights.add(2 * OUTPUTS));
            }
            for r in 0..R {
                for b in 0..B {
                    let to = to.add((r * B + b) * OUTPUTS);
                    _mm512_storeu_si512(to.cast(), sums[r][b]);
                }
            }
        }
    }
}

winograd_kernel!(
    conv2d_winograd_i8: Avx512Vnni, Pairs,
    "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni"
);
