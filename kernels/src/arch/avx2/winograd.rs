//! Convolution by Winograd in vectors of 256 bits: `winograd-i16-6x16c2/avx2`, and with AVX-VNNI's product
//! of pairs.
//!
//! Six tiles by sixteen outputs are 12 of the 16 registers; a step of two channels is 2 loads of weights, 6
//! broadcasts, 12 `vpmaddwd` and 12 `vpaddd`, or 12 `vpdpwssd`.

use core::arch::x86_64::*;
use core::marker::PhantomData;

use super::Avx;
use super::dot::Widened;
use crate::arch::winograd::{Lanes, Long, Points, Products, Short, winograd_kernel};
use crate::winograd::{OUTPUTS, POINTS};

/// Sixteen integers of 16 bits.
#[derive(Clone, Copy)]
pub(in crate::arch) struct I16x16(__m256i);

/// Eight of 32 bits.
#[derive(Clone, Copy)]
pub(in crate::arch) struct I32x8(__m256i);

impl Lanes for I16x16 {
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_add_epi16(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_sub_epi16(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn shift<const BITS: i32>(self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_slli_epi16::<BITS>(self.0) })
    }
}

impl Short for I16x16 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_setzero_si256() })
    }

    #[inline(always)]
    unsafe fn widened(from: *const i8) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i16) {
        // SAFETY: as the caller says.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) };
    }
}

impl Lanes for I32x8 {
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_sub_epi32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn shift<const BITS: i32>(self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_slli_epi32::<BITS>(self.0) })
    }
}

impl Long for I32x8 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_set1_epi32(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: as the caller says.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) };
    }

    #[inline(always)]
    unsafe fn multiply(self, other: Self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_mullo_epi32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn halved<const BITS: i32>(self) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { _mm256_srai_epi32::<BITS>(self.0) })
    }
}

/// Adds to each lane of 32 bits two products of 16 bits, modulo 2³².
pub(in crate::arch) trait Madd {
    /// # Safety
    ///
    /// The processor has the instructions.
    unsafe fn madd(sum: __m256i, x: __m256i, w: __m256i) -> __m256i;
}

/// `vpmaddwd` and `vpaddd`.
pub(in crate::arch) struct Separate;

impl Madd for Separate {
    #[inline(always)]
    unsafe fn madd(sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)) }
    }
}

/// [`Products`] with a level's instruction.
pub(in crate::arch) struct Pairs<M>(PhantomData<M>);

impl<M: Madd> Products for Pairs<M> {
    type Short = I16x16;
    type Wide = I16x16;
    type Long = I32x8;

    fn tiles(blocks: usize) -> usize {
        // There is room for the products of four by four blocks.
        if blocks > 2 { 4 } else { 6 }
    }

    #[inline(always)]
    unsafe fn multiply(p: &Points) {
        // SAFETY: as the caller says.
        unsafe {
            match p.tiles {
                6 => product::<M, 6>(p),
                5 => product::<M, 5>(p),
                4 => product::<M, 4>(p),
                3 => product::<M, 3>(p),
                2 => product::<M, 2>(p),
                1 => product::<M, 1>(p),
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
#[expect(clippy::needless_range_loop, reason = "iterators over arrays may keep these in memory")]
#[inline(always)]
unsafe fn product<M: Madd, const R: usize>(p: &Points) {
    for point in 0..POINTS {
        for block in 0..p.blocks {
            // SAFETY: as the caller says.
            unsafe {
                let x = p.inputs.add(point * p.input_pitch);
                let weights = p.weights.add(block * p.block_weights() + point * p.point_weights());
                let to = p.products.add(point * p.pitch + block * OUTPUTS);
                let mut sums = [[_mm256_setzero_si256(); 2]; R];
                for k in (0..p.depth).step_by(2) {
                    let weights = weights.add(k * OUTPUTS).cast::<__m256i>();
                    let weights = [weights.read_unaligned(), weights.add(1).read_unaligned()];
                    for r in 0..R {
                        let pair = x.add(r * p.depth + k).cast::<i32>().read_unaligned();
                        let pair = _mm256_set1_epi32(pair);
                        for i in 0..2 {
                            sums[r][i] = M::madd(sums[r][i], pair, weights[i]);
                        }
                    }
                }
                for r in 0..R {
                    for i in 0..2 {
                        let to = to.add(r * p.blocks * OUTPUTS + 8 * i);
                        _mm256_storeu_si256(to.cast(), sums[r][i]);
                    }
                }
            }
        }
    }
}

winograd_kernel!(conv2d_winograd_i8: Avx<Widened, 2>, Pairs<Separate>, "avx2");
