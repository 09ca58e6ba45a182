//! ADD and SUB of int8: `sum-i8-c64/avx512_vnni`.
//!
//! Operands of one shape, 64 elements at once; others are left to the definition. An operand at the
//! common scale has at most 28 bits, so that it can be doubled, and of a doubled product the high
//! half is what is asked for, whatever the shift.
//!
//! Two scales are cheaper than any, `add_halves.rs`.

use core::arch::x86_64::*;

use super::add_halves;
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
    // SAFETY: the table that this function is reached through is given out where the processor has
    // the instructions.
    unsafe {
        match p.requantize {
            _ if add_halves::sum_i8(p, &stage, operands, y) => {}
            Requantize::Double(_) => whole_sum::<DOUBLE>(p, operands, y),
            Requantize::DoubleUp(_) => whole_sum::<DOUBLE_UP>(p, operands, y),
            _ => whole_sum::<SINGLE>(p, operands, y),
        }
    }
    Ok(())
}

/// Operands and output of one length.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn whole_sum<const ROUNDING: u8>(p: &SumI8<'_>, operands: [Operand<'_, i8>; 2], y: &mut [i8]) {
    let output = Scales::fixed(
        _mm512_set1_epi32(p.scales.output_multiplier),
        _mm512_set1_epi32(p.scales.output_shift),
        ROUNDING == SINGLE,
    );
    let [a_scale, b_scale] =
        [&p.scales.a, &p.scales.b].map(|scale| Common::new::<ROUNDING>(scale, p.scales.left_shift));
    let last = Last::new(&p.scales.output);
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    each_64(operands, y, |a, b| {
        let mut sums = [_mm512_setzero_si512(); 4];
        for ((sum, a), b) in sums.iter_mut().zip(quarters(a)).zip(quarters(b)) {
            let (a, b) = (a_scale.apply::<ROUNDING>(a), b_scale.apply::<ROUNDING>(b));
            let acc = if p.subtract { _mm512_sub_epi32(a, b) } else { _mm512_add_epi32(a, b) };
            *sum = output.apply_any::<ROUNDING>(acc);
        }
        _mm512_permutexvar_epi32(order, last.packed::<ROUNDING>(sums))
    });
}

/// Stores what `sum` makes of 64 elements of each operand at once, which have the length of `y`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn each_64(
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
    sum: impl Fn(__m512i, __m512i) -> __m512i,
) {
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
        unsafe {
            let [a, b] = [a, b].map(|x| _mm512_maskz_loadu_epi8(mask, x.add(i)));
            _mm512_mask_storeu_epi8(y.add(i), mask, sum(a, b));
        }
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

/// How an operand is brought to the common scale, by any scale below 1.
struct Common {
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

impl Common {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new<const ROUNDING: u8>(scale: &InputScale, left_shift: u32) -> Self {
        let right = scale.shift.wrapping_neg();
        let twice = ROUNDING != SINGLE && right > 0;
        let round = if ROUNDING == SINGLE { 1_i64 << (31 + right) } else { 1 << 31 };
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

    /// Sixteen elements at the common scale.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn apply<const ROUNDING: u8>(&self, x: __m512i) -> __m512i {
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
