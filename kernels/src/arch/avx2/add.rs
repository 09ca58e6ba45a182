//! ADD and SUB of int8: `sum-i8-c32/avx2`.
//!
//! Operands of one shape, 32 elements at once; others are left to the definition. An operand is
//! shifted to the left by `L` and multiplied by a Q0.31 number `m`, of which the high half of 62 bits is
//! asked for. As it has nine bits, that is done in 32: with `t = 31 − L` and `m = m₁ × 2^t + m₀`,
//!
//! ```text
//! (x × 2^L × m + 2^30) >> 31  =  x × m₁ + ((x × m₀ + 2^(t − 1)) >> t)
//! ```
//!
//! An operand at the common scale has at most 28 bits, so that the sum can be doubled, and of a doubled
//! product the high half is what is asked for, whatever the shift.

use core::arch::x86_64::*;
use core::ops::RangeInclusive;

use super::add_halves;
use super::requantize::{BYTES, DOUBLE, DOUBLE_UP, Last, SINGLE, Scales, in_order};
use crate::Mismatch;
use crate::add::InputScale;
use crate::arch::SumI8;
use crate::broadcast::{Operand, Walk};
use crate::requantize::Requantize;

/// How far operands may be shifted to the left: neither part of a product has more than 31 bits.
const LEFT_SHIFTS: RangeInclusive<u32> = 11..=20;

pub(in crate::arch) fn sum_i8(
    p: &SumI8<'_>,
    walk: &Walk<2>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // The sum of two numbers of 28 bits has 29.
    let stage = p.whole(walk, &operands, y.len(), LEFT_SHIFTS).filter(|stage| stage.below_half());
    let Some(stage) = stage else { return crate::arch::sum_i8(p, walk, operands, y) };
    // SAFETY: the table that this function is reached through is given out where the processor has
    // the instructions.
    unsafe {
        match p.requantize {
            Requantize::Double(_) if add_halves::sum_i8(p, &stage, operands, y) => {}
            Requantize::Double(_) => whole_sum::<DOUBLE>(p, operands, y),
            Requantize::DoubleUp(_) => whole_sum::<DOUBLE_UP>(p, operands, y),
            _ => whole_sum::<SINGLE>(p, operands, y),
        }
    }
    Ok(())
}

/// Operands and output of one length.
#[target_feature(enable = "avx2")]
fn whole_sum<const ROUNDING: u8>(p: &SumI8<'_>, operands: [Operand<'_, i8>; 2], y: &mut [i8]) {
    let sum = Sum::<ROUNDING> {
        a: Common::new::<ROUNDING>(&p.scales.a, p.scales.left_shift),
        b: Common::new::<ROUNDING>(&p.scales.b, p.scales.left_shift),
        subtract: p.subtract,
        output: Scales::fixed(
            &[p.scales.output_multiplier; 8],
            &[p.scales.output_shift as i8; 8],
            ROUNDING,
        ),
        last: Last::new(&p.scales.output),
    };
    each(&sum, operands, y);
}

/// A sum or difference of two operands.
pub(super) trait Elements {
    /// 32 of it.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    unsafe fn elements(&self, a: &[i8; BYTES], b: &[i8; BYTES], y: &mut [i8; BYTES]);
}

/// All of it, operands and output of one length.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn each(sum: &impl Elements, operands: [Operand<'_, i8>; 2], y: &mut [i8]) {
    let (chunks, rest) = y.as_chunks_mut::<BYTES>();
    let done = chunks.len() * BYTES;
    for (i, y) in chunks.iter_mut().enumerate() {
        // An operand in place is read before the same elements are written.
        let before = *y;
        let [a, b] = operands.map(|operand| match operand {
            Operand::Buffer(x) => x[i * BYTES..].first_chunk().unwrap_or(&before),
            Operand::Output => &before,
        });
        // SAFETY: this is compiled for the instructions.
        unsafe { sum.elements(a, b, y) };
    }
    let mut ends = [[0; BYTES]; 2];
    for (end, operand) in ends.iter_mut().zip(operands) {
        match operand {
            Operand::Buffer(x) => end[..rest.len()].copy_from_slice(&x[done..]),
            Operand::Output => end[..rest.len()].copy_from_slice(rest),
        }
    }
    let mut end = [0; BYTES];
    // SAFETY: as above.
    unsafe { sum.elements(&ends[0], &ends[1], &mut end) };
    let len = rest.len();
    rest.copy_from_slice(&end[..len]);
}

/// A sum or difference.
struct Sum<const ROUNDING: u8> {
    a: Common,
    b: Common,
    subtract: bool,
    output: Scales,
    last: Last,
}

impl<const ROUNDING: u8> Elements for Sum<ROUNDING> {
    #[inline(always)]
    unsafe fn elements(&self, a: &[i8; BYTES], b: &[i8; BYTES], y: &mut [i8; BYTES]) {
        // SAFETY: as the caller says; there are 32 bytes, and scales were made for this rounding.
        unsafe {
            let mut sums = [_mm256_setzero_si256(); 4];
            let operands = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
            for (sum, (a, b)) in sums.iter_mut().zip(operands) {
                let (a, b) = (self.a.apply(a), self.b.apply(b));
                let acc =
                    if self.subtract { _mm256_sub_epi32(a, b) } else { _mm256_add_epi32(a, b) };
                *sum = self.output.apply::<ROUNDING>(acc);
            }
            let bytes = in_order(self.last.packed::<ROUNDING>(sums));
            _mm256_storeu_si256(y.as_mut_ptr().cast(), bytes);
        }
    }
}

/// How an operand is brought to the common scale.
struct Common {
    /// The upper bits of the multiplier, and its lower `low_bits`.
    high: __m256i,
    low: __m256i,
    low_bits: __m128i,
    /// The products of the offset by either; to the second belongs what rounds the product.
    high_start: __m256i,
    low_start: __m256i,
    /// The shift to the right, what rounds it, and which sign bits count in it.
    right: __m128i,
    half: __m256i,
    signs: __m256i,
    shifts: bool,
}

impl Common {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new<const ROUNDING: u8>(scale: &InputScale, left_shift: u32) -> Self {
        let low_bits = 31 - left_shift;
        let (high, low) = (scale.multiplier >> low_bits, scale.multiplier & ((1 << low_bits) - 1));
        let right = scale.shift.wrapping_neg();
        // A single rounding is that of the shift, if there is one.
        let round = if ROUNDING == SINGLE && right > 0 { 0 } else { 1 << (low_bits - 1) };
        Self {
            high: _mm256_set1_epi32(high),
            low: _mm256_set1_epi32(low),
            low_bits: _mm_cvtsi32_si128(low_bits as i32),
            high_start: _mm256_set1_epi32(scale.offset * high),
            low_start: _mm256_set1_epi32(scale.offset * low + round),
            right: _mm_cvtsi32_si128(right),
            half: _mm256_set1_epi32(if right > 0 { 1 << (right - 1) } else { 0 }),
            // Half away from zero is half up after one less for negative numbers.
            signs: _mm256_set1_epi32(if ROUNDING == DOUBLE { -1 } else { 0 }),
            shifts: right > 0,
        }
    }

    /// Eight elements at the common scale.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn apply(&self, x: &[i8; 8]) -> __m256i {
        // SAFETY: eight int8.
        let x = unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(x.as_ptr().cast())) };
        let low = _mm256_add_epi32(_mm256_mullo_epi32(x, self.low), self.low_start);
        let high = _mm256_add_epi32(_mm256_mullo_epi32(x, self.high), self.high_start);
        let x = _mm256_add_epi32(high, _mm256_sra_epi32(low, self.low_bits));
        if !self.shifts {
            return x;
        }
        let sign = _mm256_and_si256(_mm256_srai_epi32::<31>(x), self.signs);
        _mm256_sra_epi32(_mm256_add_epi32(_mm256_add_epi32(x, sign), self.half), self.right)
    }
}
