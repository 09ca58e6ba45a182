//! Four products of bytes at once, of eight outputs: what the levels of 256 bits differ in.
//!
//! AVX-VNNI has an instruction for it. AVX2 has `vpmaddubsw`, which saturates, so here bytes become
//! 16-bit numbers and `vpmaddwd` multiplies and adds two at once, exactly.

use core::arch::x86_64::*;

use crate::arch::output::BLOCK;
use crate::arch::tiled::{Element, Rows, Sums};

use super::gemm;

/// Dot products of four activations, `x + 128`, by four weights, in vectors of 256 bits. Eight of them
/// need `A` vectors.
///
/// # Safety
///
/// All functions: the processor has the instructions of the level.
pub(in crate::arch) trait Dot<const A: usize>: 'static {
    /// What activations are read as by [`Dot::multiply`].
    type Element: Element;

    /// Eight outputs that are summed side by side where there are at least four rows, in vectors.
    const SIDE: usize;

    /// Stores sixteen int8 as `x + 128`.
    ///
    /// # Safety
    ///
    /// There is room for sixteen at `to`.
    unsafe fn store(to: *mut Self::Element, x: __m128i);

    /// Four activations, over and over.
    ///
    /// # Safety
    ///
    /// There are four at `x`.
    unsafe fn broadcast(x: *const Self::Element) -> __m256i;

    /// Four weights of each of eight outputs, as in half a tile.
    ///
    /// # Safety
    ///
    /// There are 32 weights at `w`.
    unsafe fn weights(w: *const i8) -> [__m256i; A];

    /// Adds products. Which of the `A` sums an output is in, and whether in parts, is up to this.
    unsafe fn dot(sum: __m256i, x: __m256i, w: __m256i) -> __m256i;

    /// The sums of [`Dot::weights`], an output in each lane.
    unsafe fn outputs(sums: [__m256i; A]) -> __m256i;

    /// Eight times four activations, as bytes, for [`Dot::dot_split`].
    unsafe fn split(x: __m256i) -> [__m256i; A];

    /// Eight times four weights less their zero points, likewise. Where `A` is 1 zero points are 0.
    unsafe fn split_weights(w: __m256i, zero_points: __m256i) -> [__m256i; A];

    /// Adds eight dot products, an output in each lane.
    unsafe fn dot_split(sum: __m256i, x: [__m256i; A], w: [__m256i; A]) -> __m256i;

    /// [`gemm::multiply`], compiled for the level.
    ///
    /// # Safety
    ///
    /// As there.
    unsafe fn multiply(
        rows: Rows<'_, Self::Element>,
        tiles: &[i8],
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize;
}

/// With AVX2: 16-bit numbers, two products at once.
pub(super) struct Widened;

impl Dot<2> for Widened {
    type Element = i16;

    const SIDE: usize = 1;

    #[inline(always)]
    unsafe fn store(to: *mut i16, x: __m128i) {
        // SAFETY: as the caller says.
        unsafe {
            let x = _mm256_cvtepu8_epi16(_mm_xor_si128(x, _mm_set1_epi8(i8::MIN)));
            _mm256_storeu_si256(to.cast(), x);
        }
    }

    #[inline(always)]
    unsafe fn broadcast(x: *const i16) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_set1_epi64x(x.cast::<i64>().read_unaligned()) }
    }

    /// Two halves of four outputs each.
    #[inline(always)]
    unsafe fn weights(w: *const i8) -> [__m256i; 2] {
        // SAFETY: as the caller says.
        unsafe { [0, 16].map(|i| _mm256_cvtepi8_epi16(_mm_loadu_si128(w.add(i).cast()))) }
    }

    /// Each output has two neighbouring lanes.
    #[inline(always)]
    unsafe fn dot(sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)) }
    }

    #[inline(always)]
    unsafe fn outputs([low, high]: [__m256i; 2]) -> __m256i {
        // SAFETY: as the caller says. Adding works in each 128 bits by itself.
        unsafe { _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(low, high)) }
    }

    /// The even ones of four, and the odd ones.
    #[inline(always)]
    unsafe fn split(x: __m256i) -> [__m256i; 2] {
        // SAFETY: as the caller says.
        unsafe { [_mm256_and_si256(x, _mm256_set1_epi16(0xFF)), _mm256_srli_epi16::<8>(x)] }
    }

    #[inline(always)]
    unsafe fn split_weights(w: __m256i, zero_points: __m256i) -> [__m256i; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let even = |x| _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x));
            let odd = |x| _mm256_srai_epi16::<8>(x);
            [
                _mm256_sub_epi16(even(w), even(zero_points)),
                _mm256_sub_epi16(odd(w), odd(zero_points)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn dot_split(sum: __m256i, x: [__m256i; 2], w: [__m256i; 2]) -> __m256i {
        // SAFETY: as the caller says.
        unsafe {
            let even = _mm256_add_epi32(sum, _mm256_madd_epi16(x[0], w[0]));
            _mm256_add_epi32(even, _mm256_madd_epi16(x[1], w[1]))
        }
    }

    #[inline(always)]
    unsafe fn multiply(
        rows: Rows<'_, i16>,
        tiles: &[i8],
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        #[target_feature(enable = "avx2")]
        unsafe fn compiled(
            rows: Rows<'_, i16>,
            tiles: &[i8],
            bias: &[i32; BLOCK],
            outputs: usize,
            acc: &mut Sums,
        ) -> usize {
            // SAFETY: as the caller says.
            unsafe { gemm::multiply::<Widened, 2>(rows, tiles, bias, outputs, acc) }
        }
        // SAFETY: as the caller says.
        unsafe { compiled(rows, tiles, bias, outputs, acc) }
    }
}
