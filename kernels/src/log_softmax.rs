//! LOG_SOFTMAX: `x − ln Σ exp(x)` over the innermost axis.
//!
//! `x: [rows, depth]`, `y: [rows, depth]`. int8 works in fixed point as
//! [`softmax_i8`](crate::softmax::softmax_i8) does; its output scale is 1/16 with zero point 127.
//! Source: TFLite's `reference/integer_ops/log_softmax.h` (LiteRT) and `reference/log_softmax.h`
//! (TFLite Micro), which compute the same. uint8 is the same function of values less 128.

use crate::Mismatch;
use crate::fixed_point_exp::exp_on_negative_values;
use crate::fixed_point_log::log_of_at_least_one;
use crate::requantize::{Double, Rounding, divide_by_power_of_two};
use crate::rows::for_each_row;
use crate::softmax::{DIFF_INTEGER_BITS, SUM_INTEGER_BITS};

/// The output's largest value, which stands for probability 1.
const OUTPUT_ZERO_POINT: i32 = 127;
/// From Q5.26 to units of 1/16.
const OUTPUT_RIGHT_SHIFT: i32 = 31 - DIFF_INTEGER_BITS - 4;

/// Parameters of LOG_SOFTMAX on int8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct LogSoftmaxI8 {
    /// Product of all dimensions but the innermost.
    pub rows: usize,
    /// The innermost dimension.
    pub depth: usize,
    /// With `input_left_shift`: `input_scale` as a Q5.26 number, capped at `2^31 − 1`. Q0.31.
    pub input_multiplier: i32,
    /// In `[0, 31]`.
    pub input_left_shift: i32,
    /// With `reverse_shift`: the inverse of that scale, from Q5.26 to stored values. Q0.31.
    pub reverse_multiplier: i32,
    /// In `[-31, 0]`.
    pub reverse_shift: i32,
    /// Differences from the maximum below this, in stored values, count as zero probability; they
    /// would leave Q5.26. Not positive.
    pub diff_min: i32,
}

/// Parameters of LOG_SOFTMAX on f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct LogSoftmaxF32 {
    /// Product of all dimensions but the innermost.
    pub rows: usize,
    /// The innermost dimension.
    pub depth: usize,
}

/// LOG_SOFTMAX on int8.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not hold `rows × depth` values.
pub fn log_softmax_i8(p: &LogSoftmaxI8, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    let scaled = |diff: i32| Double::requantize(diff, p.input_multiplier, p.input_left_shift);
    for_each_row(p.rows, p.depth, x, y, |x, y| {
        let max = i32::from(x.iter().copied().max().unwrap_or(0));
        let diffs = x.iter().map(|&value| i32::from(value) - max);
        let sum = diffs.filter(|&diff| diff >= p.diff_min).fold(0_i32, |sum, diff| {
            let exp = exp_on_negative_values::<DIFF_INTEGER_BITS>(scaled(diff));
            sum.saturating_add(divide_by_power_of_two(exp, SUM_INTEGER_BITS))
        });
        let log_sum = log_of_at_least_one::<SUM_INTEGER_BITS, DIFF_INTEGER_BITS>(sum);
        // What is below this leaves Q5.26 once the logarithm is subtracted.
        let smallest = log_sum.wrapping_add(i32::MIN);
        let smallest = Double::requantize(smallest, p.reverse_multiplier, p.reverse_shift.min(0));
        let diff_min = smallest.max(p.diff_min.saturating_sub(1));
        for (&value, out) in x.iter().zip(y) {
            let diff = i32::from(value) - max;
            *out = if diff > diff_min {
                let log = scaled(diff).wrapping_sub(log_sum);
                let value = divide_by_power_of_two(log, OUTPUT_RIGHT_SHIFT) + OUTPUT_ZERO_POINT;
                value.clamp(i32::from(i8::MIN), i32::from(i8::MAX)) as i8
            } else {
                i8::MIN
            };
        }
    })
}

/// LOG_SOFTMAX on f32.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not hold `rows × depth` values.
pub fn log_softmax_f32(p: &LogSoftmaxF32, x: &[f32], y: &mut [f32]) -> Result<(), Mismatch> {
    for_each_row(p.rows, p.depth, x, y, |x, y| {
        let max = x.iter().copied().fold(f32::MIN, f32::max);
        let sum = x.iter().fold(0.0, |sum, &value| sum + libm::expf(value - max));
        let log_sum = libm::logf(sum);
        for (&value, out) in x.iter().zip(y) {
            *out = value - max - log_sum;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Parameters for an input scale, computed as TFLite's `PreprocessLogSoftmaxScalingExp`.
    fn params(depth: usize, scale: f64) -> LogSoftmaxI8 {
        let quantize = |real: f64| {
            let (fraction, shift) = libm::frexp(real);
            let fraction = libm::round(fraction * libm::exp2(31.0)) as i64;
            if fraction == 1 << 31 { (1 << 30, shift + 1) } else { (fraction as i32, shift) }
        };
        let (input_multiplier, input_left_shift) =
            quantize((scale * libm::exp2(26.0)).min(2_147_483_647.0));
        let reverse = libm::exp2(f64::from(31 - input_left_shift)) / f64::from(input_multiplier);
        let (reverse_multiplier, reverse_shift) = quantize(reverse);
        let diff_min = -libm::floor(31.0 * libm::exp2(f64::from(26 - input_left_shift))) as i32;
        LogSoftmaxI8 {
            rows: 1,
            depth,
            input_multiplier,
            input_left_shift,
            reverse_multiplier,
            reverse_shift,
            diff_min,
        }
    }

    fn real(x: &[f64]) -> Vec<f64> {
        let max = x.iter().copied().fold(f64::MIN, f64::max);
        let log_sum = libm::log(x.iter().map(|&v| libm::exp(v - max)).sum());
        x.iter().map(|&v| v - max - log_sum).collect()
    }

    proptest! {
        #[test]
        fn int8_is_within_rounding_of_the_real_logarithm(
            x in prop::collection::vec(any::<i8>(), 1..100), scale in 0.001_f64..0.5,
        ) {
            let mut y = vec![0; x.len()];
            let p = params(x.len(), scale);
            log_softmax_i8(&p, &x, &mut y).unwrap();
            let max = x.iter().copied().max().unwrap_or_default();
            let reals: Vec<f64> = x.iter().map(|&v| f64::from(v) * scale).collect();
            for ((&got, wanted), &x) in y.iter().zip(real(&reals)).zip(&x) {
                if i32::from(x) - i32::from(max) < p.diff_min {
                    // Beyond what Q5.26 holds, the references answer with the smallest value.
                    prop_assert_eq!(got, i8::MIN);
                    continue;
                }
                let wanted = (wanted * 16.0 + 127.0).max(-128.0);
                prop_assert!((f64::from(got) - wanted).abs() < 0.51, "{got} for {wanted}");
            }
        }

        #[test]
        fn f32_is_the_real_logarithm(x in prop::collection::vec(-30_f32..30.0, 1..100)) {
            let mut y = vec![0.0; x.len()];
            log_softmax_f32(&LogSoftmaxF32 { rows: 1, depth: x.len() }, &x, &mut y).unwrap();
            let x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            for (&got, wanted) in y.iter().zip(real(&x)) {
                prop_assert!((f64::from(got) - wanted).abs() < 1e-5);
            }
        }

        #[test]
        fn no_parameters_panic(
            x in prop::collection::vec(any::<i8>(), 6), input_multiplier: i32,
            input_left_shift: i32, reverse_multiplier: i32, reverse_shift: i32, diff_min: i32,
        ) {
            let p = LogSoftmaxI8 {
                rows: 2, depth: 3, input_multiplier, input_left_shift, reverse_multiplier, reverse_shift, diff_min,
            };
            log_softmax_i8(&p, &x, &mut [0; 6]).unwrap();
        }
    }

    #[test]
    fn one_element_is_certain_and_equal_elements_share() {
        let run = |x: &[i8]| {
            let mut y = vec![0; x.len()];
            log_softmax_i8(&params(x.len(), 0.1), x, &mut y).unwrap();
            y
        };
        assert_eq!(run(&[-128]), [127]);
        // 127 + 16 ln(1/4) = 104.8
        assert_eq!(run(&[5; 4]), [105; 4]);
    }
}
