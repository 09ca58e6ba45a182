//! ADD and SUB of int8 in 16 bits, see [`add_halves`]: `sum-i8-c64/avx512_vnni`.
//!
//! `vpdpwssd` multiplies two numbers of 16 bits and adds them to a third.

use core::arch::x86_64::*;

use super::add::each_64;
use super::requantize::{DOUBLE, FOLDED, Last, Scales};
use crate::add::InputScale;
use crate::arch::SumI8;
use crate::arch::add_halves::{self, LEFT_SHIFT, Scale, halves};
use crate::arch::output::OutputStage;
use crate::broadcast::Operand;

/// Whether the scales are these, and it has been done.
///
/// # Safety
///
/// The processor has the level's instructions; operands have the length of `y`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")]
pub(super) unsafe fn sum_i8(
    p: &SumI8<'_>,
    stage: &OutputStage<'_>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> bool {
    match add_halves::scales(p, stage) {
        Some([Scale::Half, Scale::Half]) => sum::<Half, Half>(p, stage, operands, y),
        Some([Scale::Half, Scale::Split]) => sum::<Half, Split>(p, stage, operands, y),
        Some([Scale::Split, Scale::Half]) => sum::<Split, Half>(p, stage, operands, y),
        _ => return false,
    }
    true
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")]
fn sum<A: Common, B: Common>(
    p: &SumI8<'_>,
    stage: &OutputStage<'_>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) {
    match stage.folds() {
        true => rounded::<FOLDED, A, B>(p, operands, y),
        false => rounded::<DOUBLE, A, B>(p, operands, y),
    }
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")]
fn rounded<const ROUNDING: u8, A: Common, B: Common>(
    p: &SumI8<'_>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) {
    let multiplier = _mm512_set1_epi32(p.scales.output_multiplier);
    let shift = _mm512_set1_epi32(p.scales.output_shift);
    let output = match ROUNDING {
        FOLDED => Scales::folded(multiplier, shift, false, &p.scales.output),
        _ => Scales::fixed(multiplier, shift, false),
    };
    // SAFETY: the processor has the instructions, and scales are what they are asked to be.
    let (a_scale, b_scale) = unsafe { (A::new(&p.scales.a), B::new(&p.scales.b)) };
    let last = Last::new(&p.scales.output);
    // Packing leaves, of each 128 bits, four even elements, four odd ones, and the same of the other half.
    let order: [u8; 64] = core::array::from_fn(|i| {
        let (half, lane, j, odd) = (i / 32, i % 32 / 8, i % 8 / 2, i % 2);
        (16 * lane + 8 * half + 4 * odd + j) as u8
    });
    // SAFETY: 64 bytes.
    let order = unsafe { _mm512_loadu_si512(order.as_ptr().cast()) };
    each_64(operands, y, |a, b| {
        // SAFETY: the processor has the instructions.
        let scaled = |a, b| unsafe {
            let ([a_even, a_odd], [b_even, b_odd]) = (a_scale.apply(a), b_scale.apply(b));
            [(a_even, b_even), (a_odd, b_odd)].map(|(a, b)| {
                let acc = if p.subtract { _mm512_sub_epi32(a, b) } else { _mm512_add_epi32(a, b) };
                output.apply::<ROUNDING>(acc)
            })
        };
        let ([a_low, a_high], [b_low, b_high]) = (widened(a), widened(b));
        let ([even, odd], [even_high, odd_high]) = (scaled(a_low, b_low), scaled(a_high, b_high));
        let bytes = last.packed::<ROUNDING>([even, odd, even_high, odd_high]);
        _mm512_permutexvar_epi8(order, bytes)
    });
}

/// Int8 as int16, 32 neighbours in a vector.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn widened(x: __m512i) -> [__m512i; 2] {
    [
        _mm512_cvtepi8_epi16(_mm512_castsi512_si256(x)),
        _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64::<1>(x)),
    ]
}

/// How an operand is brought to the common scale.
///
/// # Safety
///
/// All functions: the processor has the level's instructions; the scale is one that the type is for.
trait Common {
    unsafe fn new(scale: &InputScale) -> Self;

    /// Even and odd elements of 16 bits at the common scale, in 32 bits.
    unsafe fn apply(&self, x: __m512i) -> [__m512i; 2];
}

/// [`Scale::Half`].
struct Half {
    offset: __m512i,
}

impl Common for Half {
    #[inline(always)]
    unsafe fn new(scale: &InputScale) -> Self {
        // SAFETY: as the caller says. Offsets have nine bits.
        unsafe { Self { offset: _mm512_set1_epi16(scale.offset as i16) } }
    }

    #[inline(always)]
    unsafe fn apply(&self, x: __m512i) -> [__m512i; 2] {
        const SHIFT: u32 = LEFT_SHIFT - 1;
        // SAFETY: as the caller says.
        unsafe {
            let x = _mm512_add_epi16(x, self.offset);
            // What is beside an even element is shifted out.
            let odd = _mm512_and_si512(x, _mm512_set1_epi32(-1 << 16));
            [_mm512_slli_epi32::<SHIFT>(x), _mm512_slli_epi32::<{ SHIFT - 16 }>(odd)]
        }
    }
}

/// [`Scale::Split`].
struct Split {
    offset: __m512i,
    /// The multiplier's halves in 16 bits each, beside zeros: for even elements, and for odd ones.
    low: [__m512i; 2],
    high: [__m512i; 2],
    right: __m512i,
    half: __m512i,
}

impl Common for Split {
    #[inline(always)]
    unsafe fn new(scale: &InputScale) -> Self {
        let [high, low] = halves(scale.multiplier);
        let right = scale.shift.wrapping_neg();
        // SAFETY: as the caller says.
        unsafe {
            let sides = |x: i32| [_mm512_set1_epi32(x & 0xFFFF), _mm512_set1_epi32(x << 16)];
            Self {
                offset: _mm512_set1_epi16(scale.offset as i16),
                low: sides(low),
                high: sides(high),
                right: _mm512_set1_epi32(right),
                half: _mm512_set1_epi32(1 << (right - 1)),
            }
        }
    }

    #[inline(always)]
    unsafe fn apply(&self, x: __m512i) -> [__m512i; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let x = _mm512_add_epi16(x, self.offset);
            let shifted = _mm512_slli_epi16::<5>(x);
            let side = |side: usize| {
                let low = _mm512_dpwssd_epi32(_mm512_set1_epi32(1 << 10), x, self.low[side]);
                let low = _mm512_srai_epi32::<11>(low);
                let product = _mm512_dpwssd_epi32(low, shifted, self.high[side]);
                // Half away from zero is half up after one less for negative numbers.
                let sign = _mm512_srai_epi32::<31>(product);
                let product = _mm512_add_epi32(_mm512_add_epi32(product, self.half), sign);
                _mm512_srav_epi32(product, self.right)
            };
            [side(0), side(1)]
        }
    }
}
