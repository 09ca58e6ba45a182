//! Four products of bytes at once, of eight outputs: what the levels of 256 bits differ in.
//!
//! AVX-VNNI has an instruction for it. AVX2 has `vpmaddubsw`, which saturates, so here bytes become
//! 16-bit numbers and `vpmaddwd` multiplies and adds two at once, exactly.

use core::arch::x86_64::*;

use crate::arch::output::BLOCK;
use crate::arch::tiled::{Element, Rows, Sums};

use super::gemm;

/// How a level multiplies: activations are `x + 128`. Where `A` is not 1, four products take so many
/// vectors.
///
/// # Safety
///
/// All functions: the processor has the instructions of the level.
pub(in crate::arch) trait Dot<const A: usize>: 'static {
    /// What activations are read as by [`Dot::multiply`].
    type Element: Element;

    /// Stores sixteen int8 as `x + 128`.
    ///
    /// # Safety
    ///
    /// There is room for sixteen at `to`.
    unsafe fn store(to: *mut Self::Element, x: __m128i);

    /// Eight times four activations, as bytes, for [`Dot::dot`].
    unsafe fn split(x: __m256i) -> [__m256i; A];

    /// Eight times four weights less their zero points, likewise. Where `A` is 1 zero points are 0.
    unsafe fn split_weights(w: __m256i, zero_points: __m256i) -> [__m256i; A];

    /// Adds eight dot products, an output in each lane.
    unsafe fn dot(sum: __m256i, x: [__m256i; A], w: [__m256i; A]) -> __m256i;

    /// Whether [`Dot::multiply`] takes the weights' zero point off.
    const OFFSET_WEIGHTS: bool;

    /// The sums of the first rows, see [`super::super::tiled::Isa::multiply`].
    ///
    /// # Safety
    ///
    /// As there.
    unsafe fn multiply(
        rows: Rows<'_, Self::Element>,
        tiles: &[i8],
        zero_point: i32,
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize;
}

/// Products of rows by tiles: four activations, in [`Product::PARTS`], by those of eight outputs.
///
/// # Safety
///
/// All functions: the processor has the instructions of the level.
pub(in crate::arch) trait Product: 'static {
    /// What activations are read as.
    type Element: Element;

    /// Vectors that four activations come in, one after the other.
    const PARTS: usize;

    /// A part of four weights of each of eight outputs.
    type Weights: Copy;

    /// The sums of eight outputs: vectors.
    type Sum: Copy;

    /// A part of four activations, over and over.
    ///
    /// # Safety
    ///
    /// There are four at `x`.
    unsafe fn activations(x: *const Self::Element, part: usize) -> __m256i;

    /// A part of half a tile.
    ///
    /// # Safety
    ///
    /// There are 32 weights at `w`.
    unsafe fn weights(w: *const i8, part: usize) -> Self::Weights;

    /// Takes the weights' zero point off, which is in each 16 bits of `zero_points`.
    unsafe fn offset(weights: &mut Self::Weights, zero_points: __m256i);

    /// Adds the bias to a sum that is zero, or leaves it to [`Product::outputs`].
    unsafe fn start(sum: &mut Self::Sum, bias: __m256i);

    /// Adds products. In place, so that sums stay in registers.
    unsafe fn add(sum: &mut Self::Sum, x: __m256i, w: &Self::Weights);

    /// Eight sums, an output in each lane.
    unsafe fn outputs(sum: Self::Sum, bias: __m256i) -> __m256i;
}

/// With AVX2: 16-bit numbers, two products at once.
pub(super) struct Widened;

impl Dot<2> for Widened {
    type Element = i16;

    #[inline(always)]
    unsafe fn store(to: *mut i16, x: __m128i) {
        // SAFETY: as the caller says.
        unsafe {
            let x = _mm256_cvtepu8_epi16(_mm_xor_si128(x, _mm_set1_epi8(i8::MIN)));
            _mm256_storeu_si256(to.cast(), x);
        }
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
            let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w));
            let odd = _mm256_srai_epi16::<8>(w);
            // Rows behind the kernel's last have none.
            let even_taken = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(zero_points));
            let odd_taken = _mm256_srai_epi16::<8>(zero_points);
            [_mm256_sub_epi16(even, even_taken), _mm256_sub_epi16(odd, odd_taken)]
        }
    }

    #[inline(always)]
    unsafe fn dot(sum: __m256i, x: [__m256i; 2], w: [__m256i; 2]) -> __m256i {
        // SAFETY: as the caller says.
        unsafe {
            let even = _mm256_add_epi32(sum, _mm256_madd_epi16(x[0], w[0]));
            _mm256_add_epi32(even, _mm256_madd_epi16(x[1], w[1]))
        }
    }

    const OFFSET_WEIGHTS: bool = true;

    #[inline(always)]
    unsafe fn multiply(
        rows: Rows<'_, i16>,
        tiles: &[i8],
        zero_point: i32,
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        #[target_feature(enable = "avx2")]
        unsafe fn compiled<const OFFSET: bool>(
            rows: Rows<'_, i16>,
            tiles: &[i8],
            zero_point: i32,
            bias: &[i32; BLOCK],
            outputs: usize,
            acc: &mut Sums,
        ) -> usize {
            // SAFETY: as the caller says.
            unsafe { gemm::multiply_widened::<OFFSET>(rows, tiles, zero_point, bias, outputs, acc) }
        }
        // SAFETY: as the caller says.
        unsafe {
            match zero_point {
                0 => compiled::<false>(rows, tiles, 0, bias, outputs, acc),
                _ => compiled::<true>(rows, tiles, zero_point, bias, outputs, acc),
            }
        }
    }
}

/// AVX2: two activations a part, an output in each lane, so that sums are ready at the end.
///
/// A byte that is moved to the upper half of 16 bits and shifted down again keeps its sign.
pub(super) struct Pairs;

impl Product for Pairs {
    type Element = i16;

    const PARTS: usize = 2;

    type Weights = __m256i;

    type Sum = __m256i;

    #[inline(always)]
    unsafe fn activations(x: *const i16, part: usize) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_set1_epi32(x.add(2 * part).cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn weights(w: *const i8, part: usize) -> __m256i {
        // SAFETY: as the caller says.
        unsafe {
            let order = match part {
                0 => _mm_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13),
                _ => _mm_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15),
            };
            let order = _mm256_broadcastsi128_si256(order);
            _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(_mm256_loadu_si256(w.cast()), order))
        }
    }

    #[inline(always)]
    unsafe fn offset(weights: &mut __m256i, zero_points: __m256i) {
        // SAFETY: as the caller says.
        unsafe { *weights = _mm256_sub_epi16(*weights, zero_points) };
    }

    #[inline(always)]
    unsafe fn start(sum: &mut __m256i, bias: __m256i) {
        *sum = bias;
    }

    #[inline(always)]
    unsafe fn add(sum: &mut __m256i, x: __m256i, w: &__m256i) {
        // SAFETY: as the caller says.
        unsafe { *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, *w)) };
    }

    #[inline(always)]
    unsafe fn outputs(sum: __m256i, _: __m256i) -> __m256i {
        sum
    }
}

/// AVX2: four activations at once, each output in two neighbouring lanes, which are added at the end.
/// Weights are widened by the instruction that loads them.
pub(super) struct Fours;

impl Product for Fours {
    type Element = i16;

    const PARTS: usize = 1;

    /// Two halves of four outputs each.
    type Weights = [__m256i; 2];

    type Sum = [__m256i; 2];

    #[inline(always)]
    unsafe fn activations(x: *const i16, _: usize) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_set1_epi64x(x.cast::<i64>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn weights(w: *const i8, _: usize) -> [__m256i; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let (low, high) = (_mm_loadu_si128(w.cast()), _mm_loadu_si128(w.add(16).cast()));
            [_mm256_cvtepi8_epi16(low), _mm256_cvtepi8_epi16(high)]
        }
    }

    #[inline(always)]
    unsafe fn offset(weights: &mut [__m256i; 2], zero_points: __m256i) {
        for weights in weights {
            // SAFETY: as the caller says.
            unsafe { *weights = _mm256_sub_epi16(*weights, zero_points) };
        }
    }

    #[inline(always)]
    unsafe fn start(_: &mut [__m256i; 2], _: __m256i) {}

    #[inline(always)]
    unsafe fn add(sum: &mut [__m256i; 2], x: __m256i, w: &[__m256i; 2]) {
        for (sum, w) in sum.iter_mut().zip(w) {
            // SAFETY: as the caller says.
            unsafe { *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, *w)) };
        }
    }

    #[inline(always)]
    unsafe fn outputs([low, high]: [__m256i; 2], bias: __m256i) -> __m256i {
        // SAFETY: as the caller says. Adding works in each 128 bits by itself.
        unsafe {
            let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(low, high));
            _mm256_add_epi32(sums, bias)
        }
    }
}
