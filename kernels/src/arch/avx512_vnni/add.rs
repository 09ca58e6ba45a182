//! ADD and SUB of int8: `sum-i8-c64/avx512_vnni`.
//!
//! Operands of one shape, 64 elements at once; others are left to the definition. An operand at the
//! common scale has at most 28 bits, so that it can be doubled, and of a doubled product the high
//! half is what is asked for, whatever the shift.
//!
//! Two scales are cheaper than any. That of the larger operand, half the common one, is a shift,
//! [`Half`]. Of the other the product is put together from those of the multiplier's halves, which 32
//! bits have room for, [`Split`]: an operand `x` has nine bits, and with `multiplier = h × 2^16 + l`
//!
//! ```text
//! (x × 2^20 × multiplier + 2^30) >> 31  =  (x × h << 5) + ((x × l + 2^10) >> 11)
//! ```

use core::arch::x86_64::*;

use super::requantize::{DOUBLE, DOUBLE_UP, Last, SINGLE, Scales, high_halves};
use crate::Mismatch;
use crate::add::InputScale;
use crate::arch::SumI8;
use crate::broadcast::{Operand, Walk};
use crate::requantize::Requantize;

pub(super) fn sum_i8(
    p: &SumI8<'_>,
    walk: &Walk<2>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // The sum of two numbers of 28 bits has 29.
    let stage = p.whole(walk, &operands, y.len(), 0..=20);
    let Some(stage) = stage else {
        return super::super::kernels::sum_i8(p, walk, operands, y);
    };
    let double = matches!(p.requantize, Requantize::Double(_)) && stage.below_half();
    let (scales, left_shift) = ([&p.scales.a, &p.scales.b], p.scales.left_shift);
    let half = scales.map(|scale| Half::fits(scale, left_shift));
    let split = scales.map(|scale| Split::fits(scale, left_shift));
    // SAFETY: the table that this function is reached through is given out where the processor has
    // the instructions.
    unsafe {
        match p.requantize {
            _ if double && half == [true, true] => {
                whole_sum::<DOUBLE, true, Half, Half>(p, operands, y)
            }
            _ if double && half[0] && split[1] => {
                whole_sum::<DOUBLE, true, Half, Split>(p, operands, y)
            }
            _ if double && split[0] && half[1] => {
                whole_sum::<DOUBLE, true, Split, Half>(p, operands, y)
            }
            Requantize::Double(_) => whole_sum::<DOUBLE, false, Any, Any>(p, operands, y),
            Requantize::DoubleUp(_) => whole_sum::<DOUBLE_UP, false, Any, Any>(p, operands, y),
            _ => whole_sum::<SINGLE, false, Any, Any>(p, operands, y),
        }
    }
    Ok(())
}

/// Operands and output of one length.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn whole_sum<const ROUNDING: u8, const ORDINARY: bool, A: Common, B: Common>(
    p: &SumI8<'_>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) {
    let output = Scales::fixed(
        _mm512_set1_epi32(p.scales.output_multiplier),
        _mm512_set1_epi32(p.scales.output_shift),
        ROUNDING == SINGLE,
    );
    // SAFETY: the processor has the instructions, and scales are what they are asked to be.
    let (a_scale, b_scale) = unsafe {
        let left_shift = p.scales.left_shift;
        (A::new::<ROUNDING>(&p.scales.a, left_shift), B::new::<ROUNDING>(&p.scales.b, left_shift))
    };
    let last = Last::new(&p.scales.output);
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let (count, y) = (y.len(), y.as_mut_ptr());
    let [a, b] = operands.map(|operand| match operand {
        Operand::Buffer(x) => x.as_ptr(),
        // Read before the same elements are written.
        Operand::Output => y.cast_const(),
    });
    let mut i = 0;
    while i < count {
        let mask = u64::MAX >> (64 - (count - i).min(64));
        // SAFETY: there are `count` elements in each, of which the mask has those from `i` on.
        let [a, b] = unsafe { [a, b].map(|x| _mm512_maskz_loadu_epi8(mask, x.add(i))) };
        let (a, b) = (quarters(a), quarters(b));
        let mut sums = [_mm512_setzero_si512(); 4];
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            // SAFETY: the processor has the instructions.
            let (a, b) = unsafe { (a_scale.apply::<ROUNDING>(a), b_scale.apply::<ROUNDING>(b)) };
            let acc = if p.subtract { _mm512_sub_epi32(a, b) } else { _mm512_add_epi32(a, b) };
            *sum = match ORDINARY {
                true => output.apply::<ROUNDING>(acc),
                false => output.apply_any::<ROUNDING>(acc),
            };
        }
        let bytes = _mm512_permutexvar_epi32(order, last.packed::<ROUNDING>(sums));
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_epi8(y.add(i), mask, bytes) };
        i += 64;
    }
}

/// Int8 as int32, sixteen neighbours in a vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn quarters(x: __m512i) -> [__m512i; 4] {
    [
        _mm512_cvtepi8_epi32(_mm512_castsi512_si128(x)),
        _mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32::<1>(x)),
        _mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32::<2>(x)),
        _mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32::<3>(x)),
    ]
}

/// How an operand is brought to the common scale.
///
/// # Safety
///
/// All functions: the processor has the level's instructions; the scale is one that the type is for.
trait Common {
    unsafe fn new<const ROUNDING: u8>(scale: &InputScale, left_shift: u32) -> Self;

    /// Sixteen elements at the common scale.
    unsafe fn apply<const ROUNDING: u8>(&self, x: __m512i) -> __m512i;
}

/// By 1/2, so that nothing is rounded.
struct Half {
    offset: __m512i,
    left_shift: __m128i,
}

impl Half {
    fn fits(scale: &InputScale, left_shift: u32) -> bool {
        (scale.multiplier, scale.shift) == (1 << 30, 0) && left_shift >= 1
    }
}

impl Common for Half {
    #[inline(always)]
    unsafe fn new<const ROUNDING: u8>(scale: &InputScale, left_shift: u32) -> Self {
        // SAFETY: as the caller says.
        unsafe {
            Self {
                offset: _mm512_set1_epi32(scale.offset),
                left_shift: _mm_cvtsi32_si128(left_shift as i32 - 1),
            }
        }
    }

    #[inline(always)]
    unsafe fn apply<const ROUNDING: u8>(&self, x: __m512i) -> __m512i {
        // SAFETY: as the caller says.
        unsafe { _mm512_sll_epi32(_mm512_add_epi32(x, self.offset), self.left_shift) }
    }
}

/// By less than 1/2, rounded twice; of operands that are shifted by 20 bits.
struct Split {
    offset: __m512i,
    /// The multiplier's halves in 16 bits each, beside zeros: `vpdpwssd` multiplies pairs.
    low: __m512i,
    high: __m512i,
    right: __m512i,
    half: __m512i,
}

impl Split {
    fn fits(scale: &InputScale, left_shift: u32) -> bool {
        let [high, _] = Self::halves(scale.multiplier);
        left_shift == 20 && scale.shift < 0 && i16::try_from(high).is_ok()
    }

    /// `h` and `l` of `multiplier = h × 2^16 + l`, the latter in 16 bits with its sign.
    fn halves(multiplier: i32) -> [i32; 2] {
        let low = i32::from(multiplier as i16);
        [((i64::from(multiplier) - i64::from(low)) >> 16) as i32, low]
    }
}

impl Common for Split {
    #[inline(always)]
    unsafe fn new<const ROUNDING: u8>(scale: &InputScale, _left_shift: u32) -> Self {
        let [high, low] = Self::halves(scale.multiplier);
        let right = scale.shift.wrapping_neg();
        // SAFETY: as the caller says.
        unsafe {
            Self {
                offset: _mm512_set1_epi32(scale.offset),
                low: _mm512_set1_epi32(low & 0xFFFF),
                high: _mm512_set1_epi32(high),
                right: _mm512_set1_epi32(right),
                half: _mm512_set1_epi32(1 << (right - 1)),
            }
        }
    }

    #[inline(always)]
    unsafe fn apply<const ROUNDING: u8>(&self, x: __m512i) -> __m512i {
        // SAFETY: as the caller says.
        unsafe {
            let x = _mm512_add_epi32(x, self.offset);
            let low = _mm512_dpwssd_epi32(_mm512_set1_epi32(1 << 10), x, self.low);
            let low = _mm512_srai_epi32::<11>(low);
            let product = _mm512_dpwssd_epi32(low, _mm512_slli_epi32::<5>(x), self.high);
            // Half away from zero is half up after one less for negative numbers.
            let product = match ROUNDING {
                DOUBLE => _mm512_add_epi32(product, _mm512_srai_epi32::<31>(product)),
                _ => product,
            };
            _mm512_srav_epi32(_mm512_add_epi32(product, self.half), self.right)
        }
    }
}

/// By any scale below 1.
struct Any {
    offset: __m512i,
    /// One more than asked for: sums are doubled.
    left_shift: __m128i,
    multiplier: __m512i,
    /// What rounds the product.
    round: __m512i,
    right: __m512i,
    /// What rounds the shift, and which sign bits count in it.
    half: __m512i,
    signs: __m512i,
}

impl Common for Any {
    #[inline(always)]
    unsafe fn new<const ROUNDING: u8>(scale: &InputScale, left_shift: u32) -> Self {
        let right = scale.shift.wrapping_neg();
        let twice = ROUNDING != SINGLE && right > 0;
        let round = if ROUNDING == SINGLE { 1_i64 << (31 + right) } else { 1 << 31 };
        // SAFETY: as the caller says.
        unsafe {
            Self {
                offset: _mm512_set1_epi32(scale.offset),
                left_shift: _mm_cvtsi32_si128(left_shift as i32 + 1),
                multiplier: _mm512_set1_epi64(scale.multiplier.into()),
                round: _mm512_set1_epi64(round),
                right: _mm512_set1_epi32(right),
                half: _mm512_set1_epi32(if twice { 1 << (right - 1) } else { 0 }),
                // Half away from zero is half up after one less for negative numbers.
                signs: _mm512_set1_epi32(if ROUNDING == DOUBLE && twice { -1 } else { 0 }),
            }
        }
    }

    #[inline(always)]
    unsafe fn apply<const ROUNDING: u8>(&self, x: __m512i) -> __m512i {
        // SAFETY: as the caller says.
        unsafe {
            let x = _mm512_sll_epi32(_mm512_add_epi32(x, self.offset), self.left_shift);
            let product = |x| _mm512_add_epi64(_mm512_mul_epi32(x, self.multiplier), self.round);
            let high = high_halves([product(x), product(_mm512_srli_epi64::<32>(x))]);
            if ROUNDING == SINGLE {
                return _mm512_srav_epi32(high, self.right);
            }
            let sign = _mm512_and_si512(_mm512_srai_epi32::<31>(high), self.signs);
            let high = _mm512_add_epi32(_mm512_add_epi32(high, sign), self.half);
            _mm512_srav_epi32(high, self.right)
        }
    }
}
