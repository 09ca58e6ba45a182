//! SOFTMAX of int8: exponentials eight and more at a time.
//!
//! Departures from the definition:
//!
//! 1. Exponentials are of differences, of which there are 256: larger tensors look them up in a table
//!    that is made first, smaller ones have one for each element.
//! 2. All bits of the argument multiply, those that are not set by nothing: see [`exp`].
//! 3. Exponentials that are negative, which no file of a converter's leads to, are left to the
//!    definition; so sums cannot saturate on the way.

use crate::Mismatch;
use crate::fixed_point_exp::{
    EXP_OF_MINUS_POWERS, exp_between_minus_one_quarter_and_zero, reciprocal,
};
use crate::requantize::{divide_by_power_of_two, doubling_high_mul};
use crate::softmax::{self, DIFF_INTEGER_BITS, SUM_INTEGER_BITS, SoftmaxI8};

/// Differences of two int8, and the largest tensor that has an exponential for each element.
const DIFFERENCES: usize = 256;

/// Smaller tensors are left to the definition: a vector of exponentials costs as much as so many.
const FEWEST: usize = 5;

/// Elements that are looked up and then scaled at once.
const BLOCK: usize = 64;

/// [`softmax::softmax_i8`].
#[inline(always)]
pub(super) fn softmax_i8(p: &SoftmaxI8, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    let len = p.rows.checked_mul(p.depth).ok_or(Mismatch)?;
    if x.len() != len || y.len() != len {
        return Err(Mismatch);
    }
    if len < FEWEST {
        return softmax::portable(p, x, y);
    }
    let mut exps = [0; DIFFERENCES];
    if len <= DIFFERENCES {
        let mut rest = &mut exps[..len];
        for x in x.chunks_exact(p.depth.max(1)) {
            let (row, behind) = rest.split_at_mut(x.len());
            let max = max(x);
            for (exp, &x) in row.iter_mut().zip(x) {
                *exp = i32::from(x) - max;
            }
            rest = behind;
        }
        // Whole vectors: what is behind the last element is not read.
        let whole = len.next_multiple_of(8);
        if !exponentials(p, &mut exps[..whole]) {
            return softmax::portable(p, x, y);
        }
        for (exps, y) in exps.chunks_exact(p.depth.max(1)).zip(y.chunks_exact_mut(p.depth.max(1))) {
            let scale = Scale::new(exps.iter().map(|&exp| rounded(exp)).sum());
            scale.apply(exps, y);
        }
        return Ok(());
    }
    for (difference, exp) in exps.iter_mut().enumerate() {
        *exp = -(difference as i32);
    }
    if !exponentials(p, &mut exps) {
        return softmax::portable(p, x, y);
    }
    let addends = exps.map(rounded);
    for (x, y) in x.chunks_exact(p.depth.max(1)).zip(y.chunks_exact_mut(p.depth.max(1))) {
        let max = max(x) as i8;
        // A byte cannot be out of range of the table.
        let at = |x: i8| usize::from(max.abs_diff(x));
        let sum = x.iter().map(|&x| i64::from(addends[at(x)])).sum::<i64>();
        let scale = Scale::new(sum.min(i32::MAX.into()) as i32);
        for (x, y) in x.chunks(BLOCK).zip(y.chunks_mut(BLOCK)) {
            let mut block = [0; BLOCK];
            for (exp, &x) in block.iter_mut().zip(x) {
                *exp = exps[at(x)];
            }
            match y.first_chunk_mut::<BLOCK>() {
                Some(y) => scale.apply(&block, y),
                None => scale.apply(&block[..y.len()], y),
            }
        }
    }
    Ok(())
}

#[inline(always)]
fn max(x: &[i8]) -> i32 {
    x.iter().fold(i8::MIN, |max, &x| max.max(x)).into()
}

/// What an exponential adds to the sum.
#[inline(always)]
fn rounded(exp: i32) -> i32 {
    divide_by_power_of_two(exp, SUM_INTEGER_BITS)
}

/// Differences to exponentials in Q0, 0 where the definition has none. Whether none is negative.
#[inline(always)]
fn exponentials(p: &SoftmaxI8, values: &mut [i32]) -> bool {
    let mut signs = 0;
    for value in values {
        let difference = *value;
        let shifted = difference.wrapping_shl(p.input_left_shift as u32);
        let exp = exp(doubling_high_mul(shifted, p.input_multiplier));
        *value = if difference >= p.diff_min { exp } else { 0 };
        signs |= *value;
    }
    signs >= 0
}

/// [`crate::fixed_point_exp::exp_on_negative_values`] of Q5 without a branch.
#[inline(always)]
fn exp(a: i32) -> i32 {
    let fractional_bits = 31 - DIFF_INTEGER_BITS;
    let one_quarter = 1 << (fractional_bits - 2);
    let fraction = (a & (one_quarter - 1)) - one_quarter;
    let remainder = fraction.wrapping_sub(a);
    let mut result = exp_between_minus_one_quarter_and_zero(fraction << DIFF_INTEGER_BITS);
    for (exponent, factor) in EXP_OF_MINUS_POWERS {
        let product = doubling_high_mul(result, factor);
        let is_set = remainder & (1 << (fractional_bits + exponent)) != 0;
        result = if is_set { product } else { result };
    }
    if a == 0 { i32::MAX } else { result }
}

/// How exponentials become probabilities.
struct Scale {
    reciprocal: i32,
    right_shift: i32,
}

impl Scale {
    #[inline(always)]
    fn new(sum: i32) -> Self {
        let (reciprocal, bits_over_unit) = reciprocal(sum, SUM_INTEGER_BITS);
        let right_shift = bits_over_unit + 31 - 8;
        // Beyond 31 the quotient is below one half.
        if right_shift > 31 {
            return Self { reciprocal: 0, right_shift: 0 };
        }
        Self { reciprocal, right_shift }
    }

    #[inline(always)]
    fn apply(&self, exps: &[i32], y: &mut [i8]) {
        for (y, &exp) in y.iter_mut().zip(exps) {
            let quotient = doubling_high_mul(self.reciprocal, exp);
            let probability = divide_by_power_of_two(quotient, self.right_shift);
            *y = probability.saturating_sub(128).clamp(-128, 127) as i8;
        }
    }
}
