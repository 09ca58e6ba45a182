//! The logarithm and the reciprocal square root in fixed point.
//!
//! Notation as in [`fixed_point_exp`](crate::fixed_point_exp): Q`i` has `i` integer bits. Source:
//! `log_x_for_x_greater_than_or_equal_to_1` and `GetInvSqrtQuantizedMultiplierExp` of TFLite's
//! `internal/common.h`.

use crate::fixed_point_exp::{one_over_one_plus_x, saturating_shl};
use crate::requantize::{divide_by_power_of_two, doubling_high_mul};

/// `ln 2` in Q0.
const LN_2: i32 = 1_488_522_236;
/// `2^(-1/4)` in Q0, the centre of the interval of mantissas `[1/√2 × 2^(-1/4) …]`.
const FOURTH_ROOT_OF_HALF: i32 = 1_805_811_301;
/// `2^(-1/2)` in Q0.
const ROOT_OF_HALF: i32 = 1_518_500_250;
/// `11/240 × 2^(1/4)`, `1/20 × 2^(1/4)`, `2 × 2^(-1/4) − 2^(1/4)` and `1/4 × 2^(1/4)` in Q0: the
/// coefficients of the rational approximation of the logarithm about `2^(-1/4)`.
const ALPHA_N: i32 = 117_049_297;
const ALPHA_D: i32 = 127_690_142;
const ALPHA_I: i32 = 1_057_819_769;
const ALPHA_F: i32 = 638_450_708;

/// `ln(x)` in Q`OUTPUT_BITS` for `x` in Q`INPUT_BITS`, not below 1.
///
/// `2^OUTPUT_BITS` must exceed `ln(2^INPUT_BITS)`; otherwise the result saturates.
pub fn log_of_at_least_one<const INPUT_BITS: i32, const OUTPUT_BITS: i32>(x: i32) -> i32 {
    // One more integer bit than the result has, for the power of two before it is scaled by ln 2.
    let integer_bits = (OUTPUT_BITS + 1).clamp(1, 30);
    let quarter = divide_by_power_of_two(1 << 29, integer_bits);
    let power = |p: i32| saturating_shl(p, 31 - integer_bits as u32);

    // x is a mantissa times a power of two, in two ways: with the mantissa in [1/2, 1) as it
    // stands, or in that interval after x was multiplied by √½. The smaller mantissa wins: it lies
    // within a quarter power of two of 2^(-1/4).
    let headroom_a = x.leading_zeros() as i32 - 1;
    let normal_a = saturating_shl(x, headroom_a.max(0) as u32);
    let mantissa_a = saturating_shl(doubling_high_mul(normal_a, ROOT_OF_HALF), 1);
    let power_a = power(INPUT_BITS - headroom_a - 1).saturating_add(quarter);

    let headroom_b = doubling_high_mul(x, ROOT_OF_HALF).leading_zeros() as i32 - 1;
    let mantissa_b = saturating_shl(x, headroom_b.max(0) as u32);
    let power_b = power(INPUT_BITS - headroom_b).saturating_sub(quarter);

    let mantissa = mantissa_a.min(mantissa_b);
    let power = power_a.max(power_b);

    let mean = rounding_half_sum(mantissa, FOURTH_ROOT_OF_HALF);
    let half_distance = mantissa.wrapping_sub(FOURTH_ROOT_OF_HALF);
    let distance = half_distance.wrapping_add(half_distance);
    let square = doubling_high_mul(distance, distance);
    let cube_term = doubling_high_mul(doubling_high_mul(distance, square), ALPHA_N);
    let numerator = doubling_high_mul(distance, mantissa).wrapping_add(cube_term);
    let sum = ALPHA_I.wrapping_add(distance).wrapping_add(doubling_high_mul(ALPHA_D, square));
    let denominator_minus_one =
        doubling_high_mul(mean, sum).wrapping_add(doubling_high_mul(ALPHA_F, distance));

    let log_of_mantissa = doubling_high_mul(
        divide_by_power_of_two(numerator, integer_bits),
        one_over_one_plus_x(denominator_minus_one),
    );
    saturating_shl(doubling_high_mul(power, LN_2).wrapping_add(log_of_mantissa), 1)
}

/// `1 / √x` for an integer `x`, as a multiplier in Q0.31 and a shift, which is not positive. 0 and
/// 1 give the largest multiplier and no shift.
pub fn reciprocal_square_root(x: i32) -> (i32, i32) {
    if x <= 1 {
        return (i32::MAX, 0);
    }
    // x = 4^k × input with input in [2^27, 2^29), by pairs of bits as only they have whole roots.
    let (mut input, mut right_shift) = (x, 11);
    while input >= 1 << 29 {
        input /= 4;
        right_shift += 1;
    }
    let pairs = (input.leading_zeros() as i32 - 1) / 2 - 1;
    right_shift -= pairs;
    input <<= 2 * pairs;
    // Newton's iteration x ← (3/2) x − (input/2) x³ in Q3, from 1 on.
    let half_input = divide_by_power_of_two(input >> 1, 1);
    let three_halves = (1 << 28) + (1 << 27);
    let mut root = 1 << 28;
    for _ in 0..5 {
        let cube = saturating_shl(doubling_high_mul(doubling_high_mul(root, root), root), 6);
        let next =
            doubling_high_mul(three_halves, root).wrapping_sub(doubling_high_mul(half_input, cube));
        root = saturating_shl(next, 3);
    }
    let multiplier = doubling_high_mul(root, ROOT_OF_HALF);
    if right_shift < 0 {
        (saturating_shl(multiplier, -right_shift as u32), 0)
    } else {
        (multiplier, -right_shift)
    }
}

/// `(a + b) / 2`, half away from zero.
fn rounding_half_sum(a: i32, b: i32) -> i32 {
    let sum = i64::from(a) + i64::from(b);
    ((sum + if sum >= 0 { 1 } else { -1 }) / 2) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_logarithm_is_near_the_real_one(x in (1 << 19)..=i32::MAX) {
            let got = f64::from(log_of_at_least_one::<12, 5>(x)) / libm::exp2(26.0);
            let wanted = libm::log(f64::from(x) / libm::exp2(19.0));
            prop_assert!((got - wanted).abs() < 1e-6, "{got} for {wanted}");
        }

        #[test]
        fn the_reciprocal_square_root_is_near_the_real_one(x in 1..=i32::MAX) {
            let (multiplier, shift) = reciprocal_square_root(x);
            prop_assert!(shift <= 0);
            let got = f64::from(multiplier) * libm::exp2(f64::from(shift - 31));
            let wanted = 1.0 / libm::sqrt(f64::from(x));
            prop_assert!((got / wanted - 1.0).abs() < 1e-4, "{got} for {wanted}");
        }

        #[test]
        fn nothing_panics(x: i32) {
            log_of_at_least_one::<12, 5>(x);
            log_of_at_least_one::<0, 40>(x);
            reciprocal_square_root(x);
        }
    }

    #[test]
    fn small_arguments() {
        assert!(log_of_at_least_one::<12, 5>(1 << 19).abs() < 8);
        assert_eq!(reciprocal_square_root(0), (i32::MAX, 0));
        assert_eq!(reciprocal_square_root(1), (i32::MAX, 0));
        for x in 2..10_000 {
            let (multiplier, shift) = reciprocal_square_root(x);
            let got = f64::from(multiplier) * libm::exp2(f64::from(shift - 31));
            assert!((got * libm::sqrt(f64::from(x)) - 1.0).abs() < 1e-4, "{x}");
        }
    }
}
