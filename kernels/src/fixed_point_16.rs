//! The logistic function and the hyperbolic tangent of numbers of 16 bits, in fixed point.
//!
//! As [`crate::fixed_point_exp`] with half the bits: a number in Q`i` has `i` integer bits, a sign and
//! `15 − i` fractional bits. Numbers are held in `i32`; all of them stay within 16 bits.
//!
//! Source: gemmlowp's `fixedpoint/fixedpoint.h` with `std::int16_t`, which LiteRT's integer LSTM uses.
//! Its constants are those of 32 bits, rounded.

use crate::fixed_point_exp::EXP_OF_MINUS_POWERS;
use crate::requantize::divide_by_power_of_two;

/// The largest number in Q0, which stands for 1.
const ONE: i32 = i16::MAX as i32;
/// `exp(-1/8)` in Q0.
const EXP_MINUS_ONE_EIGHTH: i32 = 28_918;
/// `1/3` in Q0.
const ONE_THIRD: i32 = 10_923;
/// `48/17` in Q2.
const FORTY_EIGHT_OVER_17: i32 = 23_130;
/// `-32/17` in Q2.
const MINUS_32_OVER_17: i32 = -15_420;

/// `1 / (1 + exp(-a))` in Q0, for `a` in Q3.
pub fn logistic_q3(a: i16) -> i16 {
    if a == 0 {
        return 1 << 14;
    }
    let positive = saturating_shl(two_over_one_plus_x(exp_on_negative_values(below_zero(a), 3)), 1);
    (if a > 0 { positive } else { ONE - positive }) as i16
}

/// `tanh(a)` in Q0, for `a` in Q`integer_bits`, at most 6.
pub fn tanh(a: i16, integer_bits: u32) -> i16 {
    if a == 0 {
        return 0;
    }
    // exp(-2|a|): the same bits in Q(i + 1) are twice the number.
    let exp = exp_on_negative_values(below_zero(a), integer_bits.min(6) + 1);
    // 2 / (1 + a) - 1 in Q2, shifted to Q0.
    let positive = saturating_shl(two_over_one_plus_x(exp) - (1 << 13), 2);
    (if a > 0 { positive } else { -positive }) as i16
}

/// `-|a|`.
fn below_zero(a: i16) -> i32 {
    -i32::from(a).abs()
}

/// `exp(a)` in Q0 for `a` in Q`integer_bits`, at most 7, not positive.
fn exp_on_negative_values(a: i32, integer_bits: u32) -> i32 {
    if a == 0 {
        return ONE;
    }
    if integer_bits > 5 && a < -(1 << (20 - integer_bits)) {
        return 0;
    }
    let fractional_bits = 15 - integer_bits as i32;
    // a = fraction - remainder with fraction in [-1/4, 0) and remainder a multiple of 1/4.
    let one_quarter = 1 << (fractional_bits - 2);
    let fraction = (a & (one_quarter - 1)) - one_quarter;
    let remainder = fraction - a;
    let mut result = exp_between_minus_one_quarter_and_zero(fraction << integer_bits);
    for (exponent, factor) in EXP_OF_MINUS_POWERS {
        let bit = fractional_bits + exponent;
        if exponent < integer_bits as i32 && remainder & (1 << bit) != 0 {
            result = doubling_high_mul(result, divide_by_power_of_two(factor, 16));
        }
    }
    result
}

/// `exp(a)` for `a` in [-1/4, 0), both in Q0, by a polynomial of the fourth order about -1/8.
fn exp_between_minus_one_quarter_and_zero(a: i32) -> i32 {
    let x = a + (1 << 12);
    let x2 = doubling_high_mul(x, x);
    let x3 = doubling_high_mul(x2, x);
    let x4 = doubling_high_mul(x2, x2);
    let x3_and_x4 = doubling_high_mul(divide_by_power_of_two(x4, 2) + x3, ONE_THIRD);
    let above_linear = divide_by_power_of_two(x3_and_x4 + x2, 1);
    saturate(EXP_MINUS_ONE_EIGHTH + doubling_high_mul(EXP_MINUS_ONE_EIGHTH, x + above_linear))
}

/// `2 / (1 + a)` in Q2 for `a` in [0, 1] in Q0, by Newton's iteration.
fn two_over_one_plus_x(a: i32) -> i32 {
    // (1 + a) / 2, rounded half up.
    let half_denominator = (a + ONE + 1) >> 1;
    let mut x = FORTY_EIGHT_OVER_17 + doubling_high_mul(half_denominator, MINUS_32_OVER_17);
    for _ in 0..3 {
        let error = (1 << 13) - doubling_high_mul(half_denominator, x);
        x = saturate(x + saturating_shl(doubling_high_mul(x, error), 2));
    }
    x
}

/// The high half of `2 × a × b`, rounded: `SaturatingRoundingDoublingHighMul` of 16 bits.
fn doubling_high_mul(a: i32, b: i32) -> i32 {
    saturate((a * b + (1 << 14)) >> 15)
}

fn saturating_shl(x: i32, bits: u32) -> i32 {
    saturate(x << bits)
}

fn saturate(x: i32) -> i32 {
    x.clamp(i16::MIN.into(), i16::MAX.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_arguments_give_the_real_functions_within_some_units() {
        for a in i16::MIN..=i16::MAX {
            let real = f64::from(a) / 4096.0;
            let logistic = 32768.0 / (1.0 + libm::exp(-real));
            assert!((f64::from(logistic_q3(a)) - logistic).abs() < 12.0, "{a}");
            for integer_bits in 0..=6 {
                let real = f64::from(a) / libm::exp2(f64::from(15 - integer_bits));
                let got = f64::from(tanh(a, integer_bits as u32));
                assert!((got - 32768.0 * libm::tanh(real)).abs() < 25.0, "{a} in Q{integer_bits}");
            }
        }
    }
}
