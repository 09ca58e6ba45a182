//! ADD and SUB of int8 in 16 bits, see [`add_halves`]: `sum-i8-c32-halves/avx2`.

use core::arch::x86_64::*;

use super::add::{Elements, each};
use super::requantize::{BYTES, DOUBLE, FOLDED, Last, Scales};
use crate::add::InputScale;
use crate::arch::SumI8;
use crate::arch::add_halves::{self, LEFT_SHIFT, Scale, halves};
use crate::arch::output::OutputStage;
use crate::broadcast::Operand;

/// Whether the scales are these, and it has been done. Operands have the length of `y`.
#[target_feature(enable = "avx2")]
pub(super) fn sum_i8(
    p: &SumI8<'_>,
    stage: &OutputStage<'_>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> bool {
    match stage.folds() {
        true => rounded::<FOLDED>(p, stage, operands, y),
        false => rounded::<DOUBLE>(p, stage, operands, y),
    }
}

#[target_feature(enable = "avx2")]
fn rounded<const ROUNDING: u8>(
    p: &SumI8<'_>,
    stage: &OutputStage<'_>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> bool {
    match add_halves::scales(p, stage) {
        Some([Scale::Half, Scale::Half]) => {
            each(&Sum::<ROUNDING, Half, Half>::new(p, stage), operands, y);
        }
        Some([Scale::Half, Scale::Split]) => {
            each(&Sum::<ROUNDING, Half, Split>::new(p, stage), operands, y);
        }
        Some([Scale::Split, Scale::Half]) => {
            each(&Sum::<ROUNDING, Split, Half>::new(p, stage), operands, y);
        }
        _ => return false,
    }
    true
}

/// A sum or difference.
struct Sum<const ROUNDING: u8, A, B> {
    a: A,
    b: B,
    subtract: bool,
    output: Scales,
    last: Last,
    /// Even and odd elements in order.
    order: __m256i,
}

impl<const ROUNDING: u8, A: Common, B: Common> Sum<ROUNDING, A, B> {
    #[target_feature(enable = "avx2")]
    fn new(p: &SumI8<'_>, stage: &OutputStage<'_>) -> Self {
        let (multiplier, shift) = (p.scales.output_multiplier, p.scales.output_shift as i8);
        // SAFETY: the processor has the instructions, and scales are what they are asked to be.
        let (a, b) = unsafe { (A::new(&p.scales.a), B::new(&p.scales.b)) };
        Self {
            a,
            b,
            subtract: p.subtract,
            output: match ROUNDING {
                FOLDED => Scales::folded(&[multiplier; 8], &[shift; 8], stage),
                _ => Scales::fixed(&[multiplier; 8], &[shift; 8], DOUBLE),
            },
            last: Last::new(&p.scales.output),
            // In each 128 bits four even elements, four odd ones, and the same of the other half.
            order: _mm256_broadcastsi128_si256(_mm_setr_epi8(
                0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15,
            )),
        }
    }

    /// Even and odd ones of sixteen sums.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn scaled(&self, a: __m128i, b: __m128i) -> [__m256i; 2] {
        let (a, b) = (_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b));
        // SAFETY: the processor has the instructions; output scales were made for this rounding.
        unsafe {
            let ([a_even, a_odd], [b_even, b_odd]) = (self.a.apply(a), self.b.apply(b));
            let even = self.output.apply::<ROUNDING>(self.sum(a_even, b_even));
            [even, self.output.apply::<ROUNDING>(self.sum(a_odd, b_odd))]
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn sum(&self, a: __m256i, b: __m256i) -> __m256i {
        if self.subtract { _mm256_sub_epi32(a, b) } else { _mm256_add_epi32(a, b) }
    }
}

impl<const ROUNDING: u8, A: Common, B: Common> Elements for Sum<ROUNDING, A, B> {
    #[inline(always)]
    unsafe fn elements(&self, a: &[i8; BYTES], b: &[i8; BYTES], y: &mut [i8; BYTES]) {
        let ([a, a_high], [b, b_high]) = ([a, &a[16..]], [b, &b[16..]]);
        // SAFETY: as the caller says; each has sixteen elements.
        unsafe {
            let load = |x: &[i8]| _mm_loadu_si128(x.as_ptr().cast());
            let [even, odd] = self.scaled(load(a), load(b));
            let [even_high, odd_high] = self.scaled(load(a_high), load(b_high));
            let bytes = self.last.packed::<ROUNDING>([even, odd, even_high, odd_high]);
            let bytes = _mm256_shuffle_epi8(bytes, self.order);
            let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes);
            _mm256_storeu_si256(y.as_mut_ptr().cast(), bytes);
        }
    }
}

/// How an operand is brought to the common scale.
///
/// # Safety
///
/// All functions: the processor has the level's instructions; the scale is one that the type is for.
trait Common {
    unsafe fn new(scale: &InputScale) -> Self;

    /// Even and odd elements of 16 bits at the common scale, in 32 bits.
    unsafe fn apply(&self, x: __m256i) -> [__m256i; 2];
}

/// [`Scale::Half`].
struct Half {
    offset: __m256i,
}

impl Common for Half {
    #[inline(always)]
    unsafe fn new(scale: &InputScale) -> Self {
        // SAFETY: as the caller says. Offsets have nine bits.
        unsafe { Self { offset: _mm256_set1_epi16(scale.offset as i16) } }
    }

    #[inline(always)]
    unsafe fn apply(&self, x: __m256i) -> [__m256i; 2] {
        const SHIFT: i32 = LEFT_SHIFT as i32 - 1;
        // SAFETY: as the caller says.
        unsafe {
            let x = _mm256_add_epi16(x, self.offset);
            // What is beside an even element is shifted out.
            let odd = _mm256_and_si256(x, _mm256_set1_epi32(-1 << 16));
            [_mm256_slli_epi32::<SHIFT>(x), _mm256_slli_epi32::<{ SHIFT - 16 }>(odd)]
        }
    }
}

/// [`Scale::Split`].
struct Split {
    offset: __m256i,
    /// The multiplier's halves in 16 bits each, beside zeros: for even elements, and for odd ones.
    low: [__m256i; 2],
    high: [__m256i; 2],
    right: __m128i,
    half: __m256i,
}

impl Split {
    /// Even elements, or odd ones.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn side(&self, x: __m256i, shifted: __m256i, side: usize) -> __m256i {
        let low = _mm256_madd_epi16(x, self.low[side]);
        let low = _mm256_srai_epi32::<11>(_mm256_add_epi32(low, _mm256_set1_epi32(1 << 10)));
        let product = _mm256_add_epi32(low, _mm256_madd_epi16(shifted, self.high[side]));
        // Half away from zero is half up after one less for negative numbers.
        let sign = _mm256_srai_epi32::<31>(product);
        let product = _mm256_add_epi32(_mm256_add_epi32(product, self.half), sign);
        _mm256_sra_epi32(product, self.right)
    }
}

impl Common for Split {
    #[inline(always)]
    unsafe fn new(scale: &InputScale) -> Self {
        let [high, low] = halves(scale.multiplier);
        let right = scale.shift.wrapping_neg();
        // SAFETY: as the caller says.
        unsafe {
            Self {
                offset: _mm256_set1_epi16(scale.offset as i16),
                low: [_mm256_set1_epi32(low & 0xFFFF), _mm256_set1_epi32(low << 16)],
                high: [_mm256_set1_epi32(high & 0xFFFF), _mm256_set1_epi32(high << 16)],
                right: _mm_cvtsi32_si128(right),
                half: _mm256_set1_epi32(1 << (right - 1)),
            }
        }
    }

    #[inline(always)]
    unsafe fn apply(&self, x: __m256i) -> [__m256i; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let x = _mm256_add_epi16(x, self.offset);
            let shifted = _mm256_slli_epi16::<5>(x);
            [self.side(x, shifted, 0), self.side(x, shifted, 1)]
        }
    }
}
