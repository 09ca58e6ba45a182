//! The exponential function and a reciprocal in fixed point: the building blocks of the integer
//! softmax and logistic functions.
//!
//! A number in Q`i` has `i` integer bits, a sign, and `31 − i` fractional bits in an `i32`; Q0
//! reaches from -1 to just below 1. Products of Q`i` and Q`j` are Q`i + j` and go through
//! [`doubling_high_mul`]. Everything wraps or saturates, nothing panics.
//!
//! Source: the arithmetic of gemmlowp's `fixedpoint/fixedpoint.h`, which TFLite's kernels use: a
//! fourth-order Taylor polynomial and one factor per bit for the exponential, three Newton steps
//! for the reciprocal.

use crate::requantize::{divide_by_power_of_two, doubling_high_mul};

/// `exp(-1/8)` in Q0, the value about which the polynomial is expanded.
const EXP_MINUS_ONE_EIGHTH: i32 = 1_895_147_668;
/// `1/3` in Q0.
const ONE_THIRD: i32 = 715_827_883;
/// `48/17` in Q2: with `32/17`, the straight line closest to `1/x` between 1/2 and 1.
const FORTY_EIGHT_OVER_17: i32 = 1_515_870_810;
/// `-32/17` in Q2.
const MINUS_32_OVER_17: i32 = -1_010_580_540;

/// `(e, exp(-2^e))`, the factor in Q0: one for each bit of the argument from 1/4 up.
pub(crate) const EXP_OF_MINUS_POWERS: [(i32, i32); 7] = [
    (-2, 1_672_461_947),
    (-1, 1_302_514_674),
    (0, 790_015_084),
    (1, 290_630_308),
    (2, 39_332_535),
    (3, 720_401),
    (4, 242),
];

/// `exp(a)` in Q0 for `a` in Q`INTEGER_BITS`, not positive; 0 gives the largest Q0 number.
///
/// `INTEGER_BITS` is at most 29. With more than five, what lies below -32 gives 0.
#[inline(never)]
pub fn exp_on_negative_values<const INTEGER_BITS: i32>(a: i32) -> i32 {
    if a == 0 {
        return i32::MAX;
    }
    let integer_bits = INTEGER_BITS.clamp(0, 29);
    if integer_bits > 5 && a < -(1 << (36 - integer_bits)) {
        return 0;
    }
    let fractional_bits = 31 - integer_bits;
    // a = fraction - remainder with fraction in [-1/4, 0) and remainder a multiple of 1/4.
    let one_quarter = 1 << (fractional_bits - 2);
    let fraction = (a & (one_quarter - 1)) - one_quarter;
    let remainder = fraction.wrapping_sub(a);
    let mut result = exp_between_minus_one_quarter_and_zero(fraction << integer_bits);
    for (exponent, factor) in EXP_OF_MINUS_POWERS {
        if exponent < integer_bits && remainder & (1 << (fractional_bits + exponent)) != 0 {
            result = doubling_high_mul(result, factor);
        }
    }
    result
}

/// `exp(a)` for `a` in [-1/4, 0), both in Q0: with `x = a + 1/8`,
/// `exp(-1/8) × (1 + x + x²/2 + x³/6 + x⁴/24)`.
#[inline(always)]
pub(crate) fn exp_between_minus_one_quarter_and_zero(a: i32) -> i32 {
    let x = a + (1 << 28);
    let x2 = doubling_high_mul(x, x);
    let x3 = doubling_high_mul(x2, x);
    let x4 = doubling_high_mul(x2, x2);
    let x3_and_x4 = doubling_high_mul(divide_by_power_of_two(x4, 2) + x3, ONE_THIRD);
    let above_linear = divide_by_power_of_two(x3_and_x4 + x2, 1);
    EXP_MINUS_ONE_EIGHTH + doubling_high_mul(EXP_MINUS_ONE_EIGHTH, x + above_linear)
}

/// `1 / (1 + a)` for `a` in [0, 1), both in Q0.
pub fn one_over_one_plus_x(a: i32) -> i32 {
    // 2 / (1 + a) in Q2, and half of it the same number in Q1.
    saturating_shl(two_over_one_plus_x(a), 1)
}

/// `(1 - a) / (1 + a)` for `a` in [0, 1), both in Q0.
pub fn one_minus_x_over_one_plus_x(a: i32) -> i32 {
    // 2 / (1 + a) - 1 in Q2, shifted to Q0.
    saturating_shl(two_over_one_plus_x(a).wrapping_sub(1 << 29), 2)
}

/// `2 / (1 + a)` in Q2 for `a` in [0, 1) in Q0, by Newton's iteration.
fn two_over_one_plus_x(a: i32) -> i32 {
    // (1 + a) / 2, rounded half up as the sum is not negative.
    let half_denominator = ((i64::from(a) + i64::from(i32::MAX) + 1) >> 1) as i32;
    let one = 1 << 29;
    let mut x =
        FORTY_EIGHT_OVER_17.wrapping_add(doubling_high_mul(half_denominator, MINUS_32_OVER_17));
    for _ in 0..3 {
        let error = one - doubling_high_mul(half_denominator, x);
        // The product of two Q2 numbers is Q4.
        x = x.wrapping_add(saturating_shl(doubling_high_mul(x, error), 2));
    }
    x
}

/// `1 / x` for a positive `x` in Q`integer_bits`, as a Q0 number in (1/2, 1] and the power of two
/// that it is to be divided by.
pub fn reciprocal(x: i32, integer_bits: i32) -> (i32, i32) {
    let headroom_plus_one = x.leading_zeros();
    // x = 2^bits_over_unit × (1 + fraction).
    let bits_over_unit = integer_bits.wrapping_sub(headroom_plus_one as i32);
    let fraction = (x as u32).wrapping_shl(headroom_plus_one).wrapping_sub(1 << 31) as i32;
    (one_over_one_plus_x(fraction.max(0)), bits_over_unit)
}

/// `x × 2^exponent`, saturating; `exponent` is in `[0, 31]`.
pub(crate) fn saturating_shl(x: i32, exponent: u32) -> i32 {
    (i64::from(x) << exponent.min(31)).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const Q0: f64 = 2_147_483_648.0;

    fn exp_error<const INTEGER_BITS: i32>(a: i32) -> f64 {
        let real = f64::from(a) / libm::exp2(f64::from(31 - INTEGER_BITS));
        (f64::from(exp_on_negative_values::<INTEGER_BITS>(a)) / Q0 - libm::exp(real)).abs()
    }

    proptest! {
        #[test]
        fn exp_is_near_the_real_exponential(a in i32::MIN..=0) {
            prop_assert!(exp_error::<0>(a) < 1e-6);
            prop_assert!(exp_error::<3>(a) < 1e-6);
            prop_assert!(exp_error::<4>(a) < 1e-6);
            prop_assert!(exp_error::<5>(a) < 1e-6);
            prop_assert!(exp_error::<12>(a) < 1e-6);
        }

        #[test]
        fn one_over_one_plus_x_is_near_the_real_quotient(a in 0..=i32::MAX) {
            let got = f64::from(one_over_one_plus_x(a)) / Q0;
            prop_assert!((got - 1.0 / (1.0 + f64::from(a) / Q0)).abs() < 1e-8);
        }

        #[test]
        fn the_reciprocal_is_scaled_by_a_power_of_two(x in 1..=i32::MAX) {
            let (scale, bits) = reciprocal(x, 12);
            let got = f64::from(scale) / Q0 / libm::exp2(f64::from(bits));
            let wanted = libm::exp2(19.0) / f64::from(x);
            prop_assert!((got / wanted - 1.0).abs() < 1e-7);
        }

        #[test]
        fn nothing_panics(a: i32, bits: i32) {
            exp_on_negative_values::<0>(a);
            exp_on_negative_values::<5>(a);
            exp_on_negative_values::<31>(a);
            one_over_one_plus_x(a);
            reciprocal(a, bits);
        }
    }

    #[test]
    fn zero_and_the_extremes() {
        assert_eq!(exp_on_negative_values::<5>(0), i32::MAX);
        assert_eq!(exp_on_negative_values::<12>(i32::MIN), 0);
        assert_eq!(one_over_one_plus_x(0), i32::MAX);
        // exp(-1) in Q0 from -1 in Q5.
        let got = exp_on_negative_values::<5>(-(1 << 26));
        assert!((i64::from(got) - 790_015_084).abs() < 1000);
    }
}
