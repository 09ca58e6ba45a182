//! ADD and SUB of int8: `sum-i8-c32/avx2`.
//!
//! Operands of one shape, 32 elements at once; others are left to the definition. An operand at the
//! common scale has at most 28 bits, so that it can be doubled, and of a doubled product the high
//! half is what is asked for, whatever the shift.

use core::arch::x86_64::*;

use super::requantize::{BYTES, DOUBLE, DOUBLE_UP, Last, SINGLE, Scales};
use crate::Mismatch;
use crate::add::InputScale;
use crate::arch::SumI8;
use crate::arch::output::OutputStage;
use crate::broadcast::{Operand, Walk};
use crate::requantize::Requantize;

pub(in crate::arch) fn sum_i8(
    p: &SumI8<'_>,
    walk: &Walk<2>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let count = y.len();
    let fits = |operand: &Operand<'_, i8>| match operand {
        Operand::Buffer(x) => x.len() == count,
        Operand::Output => true,
    };
    let headroom = |scale: &InputScale| {
        (-128..=128).contains(&scale.offset)
            && (-31..=0).contains(&scale.shift)
            && scale.multiplier >= 0
    };
    let stage = OutputStage::new(p.requantize, p.scales.output, &[0], 0);
    let whole = walk.whole == [true; 2] && walk.len() == count && operands.iter().all(fits);
    // The sum of two numbers of 28 bits has 29.
    let ordinary = p.scales.left_shift <= 20
        && [&p.scales.a, &p.scales.b].into_iter().all(headroom)
        && stage.fits()
        && stage.ordinary(0, 1)
        && stage.below_half(0, 1);
    if !whole || !ordinary {
        return crate::arch::sum_i8(p, walk, operands, y);
    }
    // SAFETY: the table that this function is reached through is given out where the processor has
    // the instructions.
    unsafe {
        match p.requantize {
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
            ROUNDING == SINGLE,
        ),
        last: Last::new(&p.scales.output),
    };
    let (chunks, rest) = y.as_chunks_mut::<BYTES>();
    let done = chunks.len() * BYTES;
    for (i, y) in chunks.iter_mut().enumerate() {
        // An operand in place is read before the same elements are written.
        let before = *y;
        let [a, b] = operands.map(|operand| match operand {
            Operand::Buffer(x) => x[i * BYTES..].first_chunk().unwrap_or(&before),
            Operand::Output => &before,
        });
        sum.elements(a, b, y);
    }
    let mut ends = [[0; BYTES]; 2];
    for (end, operand) in ends.iter_mut().zip(operands) {
        match operand {
            Operand::Buffer(x) => end[..rest.len()].copy_from_slice(&x[done..]),
            Operand::Output => end[..rest.len()].copy_from_slice(rest),
        }
    }
    let mut end = [0; BYTES];
    sum.elements(&ends[0], &ends[1], &mut end);
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

impl<const ROUNDING: u8> Sum<ROUNDING> {
    /// 32 of it. Element `4 j..4 j + 4` of each half is in vector `j`: so packing leaves them in order.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn elements(&self, a: &[i8; BYTES], b: &[i8; BYTES], y: &mut [i8; BYTES]) {
        let mut sums = [_mm256_setzero_si256(); 4];
        for (j, sum) in sums.iter_mut().enumerate() {
            let [a, b] = [a, b].map(|x| {
                let half = |i: usize| i32::from_ne_bytes([0, 1, 2, 3].map(|k| x[i + k] as u8));
                let (low, high) = (half(4 * j), half(16 + 4 * j));
                _mm256_cvtepi8_epi32(_mm_setr_epi32(low, high, 0, 0))
            });
            let (a, b) = (self.a.apply::<ROUNDING>(a), self.b.apply::<ROUNDING>(b));
            let acc = if self.subtract { _mm256_sub_epi32(a, b) } else { _mm256_add_epi32(a, b) };
            *sum = self.output.apply::<ROUNDING>(acc);
        }
        let bytes = self.last.packed::<ROUNDING>(sums);
        // SAFETY: 32 bytes.
        unsafe { _mm256_storeu_si256(y.as_mut_ptr().cast(), bytes) };
    }
}

/// How an operand is brought to the common scale.
struct Common {
    offset: __m256i,
    /// One more than asked for: sums are doubled.
    left_shift: __m128i,
    multiplier: __m256i,
    /// What rounds the product.
    round: __m256i,
    right: __m128i,
    /// What rounds the shift, and which sign bits count in it.
    half: __m256i,
    signs: __m256i,
}

impl Common {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new<const ROUNDING: u8>(scale: &InputScale, left_shift: u32) -> Self {
        let right = scale.shift.wrapping_neg();
        let twice = ROUNDING != SINGLE && right > 0;
        let round = if ROUNDING == SINGLE { 1_i64 << (31 + right) } else { 1 << 31 };
        Self {
            offset: _mm256_set1_epi32(scale.offset),
            left_shift: _mm_cvtsi32_si128(left_shift as i32 + 1),
            multiplier: _mm256_set1_epi64x(scale.multiplier.into()),
            round: _mm256_set1_epi64x(round),
            right: _mm_cvtsi32_si128(right),
            half: _mm256_set1_epi32(if twice { 1 << (right - 1) } else { 0 }),
            // Half away from zero is half up after one less for negative numbers.
            signs: _mm256_set1_epi32(if ROUNDING == DOUBLE && twice { -1 } else { 0 }),
        }
    }

    /// Eight elements at the common scale, in natural order.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn apply<const ROUNDING: u8>(&self, x: __m256i) -> __m256i {
        let x = _mm256_sll_epi32(_mm256_add_epi32(x, self.offset), self.left_shift);
        let odd = _mm256_srli_epi64::<32>(x);
        let [even, odd] =
            [x, odd].map(|x| _mm256_add_epi64(_mm256_mul_epi32(x, self.multiplier), self.round));
        let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
        if ROUNDING == SINGLE {
            return _mm256_sra_epi32(high, self.right);
        }
        let sign = _mm256_and_si256(_mm256_srai_epi32::<31>(high), self.signs);
        let high = _mm256_add_epi32(_mm256_add_epi32(high, sign), self.half);
        _mm256_sra_epi32(high, self.right)
    }
}
