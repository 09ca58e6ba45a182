//! SOFTMAX: `exp(β x) / Σ exp(β x)` over the innermost axis.
//!
//! `x: [rows, depth]`, `y: [rows, depth]`. The int8 kernels subtract the row's maximum, scale the
//! difference to Q5.26 and work in fixed point; the output scale is 1/256 with zero point -128
//! (int8), or 1/65536 with -32768 (int16). int16 to int16 looks both functions up in tables of 513
//! values, its output scale is 1/32768 with zero point 0.
//!
//! Source: TFLite's `reference/softmax.h`, which LiteRT's reference kernels and TFLite Micro share.
//! uint8 is the same function of values less 128.

use crate::Mismatch;
use crate::arch;
use crate::fixed_point_exp::{exp_on_negative_values, reciprocal};
use crate::lut::interpolate;
use crate::quantized::Quantized;
use crate::requantize::{Double, Rounding, divide_by_power_of_two, doubling_high_mul};
use crate::rows::for_each_row;

/// The integer bits of a scaled difference.
pub(crate) const DIFF_INTEGER_BITS: i32 = 5;
/// The integer bits of the sum of exponentials.
pub(crate) const SUM_INTEGER_BITS: i32 = 12;

/// Parameters of SOFTMAX on int8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct SoftmaxI8 {
    /// Product of all dimensions but the innermost.
    pub rows: usize,
    /// The innermost dimension.
    pub depth: usize,
    /// With `input_left_shift`: `β × input_scale` as a Q5.26 number, capped at `2^31 − 1`. Q0.31.
    pub input_multiplier: i32,
    /// In `[0, 31]`.
    pub input_left_shift: i32,
    /// Differences from the maximum below this, in stored values, count as zero probability; they
    /// would leave Q5.26. Not positive.
    pub diff_min: i32,
}

/// Parameters of SOFTMAX on int16.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct SoftmaxI16<'a> {
    /// Product of all dimensions but the innermost.
    pub rows: usize,
    /// The innermost dimension.
    pub depth: usize,
    /// With `input_shift`: `β × input_scale / (10 / 65535)`. Q0.31.
    pub input_multiplier: i32,
    /// In `[-31, 30]`.
    pub input_shift: i32,
    /// 513 values of `exp(v)` in Q0.15, `v` from -10 to 0.
    pub exp_lut: &'a [i16],
    /// 513 values of `1 / (1 + v)` in Q0.15, `v` from 0 to 1.
    pub reciprocal_lut: &'a [i16],
}

/// Parameters of SOFTMAX on f32.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct SoftmaxF32 {
    /// Product of all dimensions but the innermost.
    pub rows: usize,
    /// The innermost dimension.
    pub depth: usize,
    /// The factor β of the exponent.
    pub beta: f32,
}

/// SOFTMAX on int8. Rows whose probabilities are all below 1/512 give -128 throughout.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not hold `rows × depth` values.
#[inline(never)]
pub fn softmax_i8(p: &SoftmaxI8, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    arch::softmax_i8(p, x, y)
}

/// The definition of [`softmax_i8`].
#[inline(always)]
pub(crate) fn portable(p: &SoftmaxI8, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    softmax_from_i8(p, x, y, 8)
}

/// SOFTMAX from int8 to int16.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not hold `rows × depth` values.
pub fn softmax_i8_i16(p: &SoftmaxI8, x: &[i8], y: &mut [i16]) -> Result<(), Mismatch> {
    softmax_from_i8(p, x, y, 16)
}

/// SOFTMAX on int16.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not hold `rows × depth` values.
pub fn softmax_i16(p: &SoftmaxI16<'_>, x: &[i16], y: &mut [i16]) -> Result<(), Mismatch> {
    for_each_row(p.rows, p.depth, x, y, |x, y| {
        let max = i32::from(x.iter().copied().max().unwrap_or(0));
        // Q16.15; rows of 2^16 maxima and more wrap.
        let mut sum = 0_i32;
        for (&value, exp) in x.iter().zip(y.iter_mut()) {
            let diff = i32::from(value) - max;
            let scaled = Double::requantize(diff, p.input_multiplier, p.input_shift);
            // [-65535, 0] to the table's range.
            *exp = interpolate(p.exp_lut, i16::saturate(scaled.saturating_add(32767)));
            sum = sum.wrapping_add(i32::from(*exp));
        }
        // sum = 2^(16 - headroom) × (1 + v), the table wants v.
        let headroom = sum.leading_zeros().clamp(1, 30) - 1;
        let shifted = (i64::from(sum).wrapping_shl(headroom) + (1 << 13)) >> 14;
        let recentred = (shifted - (1 << 15) - (1 << 16)).clamp(-32768, 32767) as i16;
        let scale = i64::from(interpolate(p.reciprocal_lut, recentred));
        let right_shift = 30 - headroom;
        for value in y {
            let product = i64::from(*value) * scale + (1 << (right_shift - 1));
            *value = (product >> right_shift).clamp(0, 32767) as i16;
        }
    })
}

/// SOFTMAX on f32.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not hold `rows × depth` values.
pub fn softmax_f32(p: &SoftmaxF32, x: &[f32], y: &mut [f32]) -> Result<(), Mismatch> {
    for_each_row(p.rows, p.depth, x, y, |x, y| {
        let max = x.iter().copied().fold(f32::MIN, f32::max);
        let mut sum = 0.0;
        for (&value, exp) in x.iter().zip(y.iter_mut()) {
            *exp = libm::expf((value - max) * p.beta);
            sum += *exp;
        }
        for value in y {
            *value /= sum;
        }
    })
}

fn softmax_from_i8<T: Quantized>(
    p: &SoftmaxI8,
    x: &[i8],
    y: &mut [T],
    output_bits: i32,
) -> Result<(), Mismatch> {
    // exp(value - max) in Q0, `None` where it is as good as zero.
    let exp = |value: i8, max: i32| {
        let diff = i32::from(value) - max;
        (diff >= p.diff_min).then(|| {
            let shifted = diff.wrapping_shl(p.input_left_shift as u32);
            let scaled = doubling_high_mul(shifted, p.input_multiplier);
            exp_on_negative_values::<DIFF_INTEGER_BITS>(scaled)
        })
    };
    for_each_row(p.rows, p.depth, x, y, |x, y| {
        let max = i32::from(x.iter().copied().max().unwrap_or(0));
        let sum = x.iter().filter_map(|&value| exp(value, max)).fold(0_i32, |sum, exp| {
            sum.saturating_add(divide_by_power_of_two(exp, SUM_INTEGER_BITS))
        });
        let (scale, bits_over_unit) = reciprocal(sum, SUM_INTEGER_BITS);
        let right_shift = bits_over_unit + 31 - output_bits;
        for (&value, out) in x.iter().zip(y) {
            let probability = match exp(value, max) {
                // Beyond 31 the quotient is below one half.
                Some(exp) if right_shift <= 31 => {
                    divide_by_power_of_two(doubling_high_mul(scale, exp), right_shift)
                }
                _ => 0,
            };
            *out = T::saturate(probability.saturating_add(T::MIN.into()));
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arch::{Kernels, SoftmaxI8Kernel};
    use crate::testing::shapes::sizes;
    use crate::testing::{Values, check};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Parameters for `β × input_scale = scale`, computed as the converter does.
    fn params(rows: usize, depth: usize, scale: f64) -> SoftmaxI8 {
        let real = (scale * libm::exp2(26.0)).min(2_147_483_647.0);
        let (fraction, shift) = libm::frexp(real);
        let input_multiplier = libm::round(fraction * libm::exp2(31.0)) as i64;
        let (input_multiplier, shift) = if input_multiplier == 1 << 31 {
            (1 << 30, shift + 1)
        } else {
            (input_multiplier, shift)
        };
        let diff_min = -libm::floor(31.0 * libm::exp2(f64::from(26 - shift))) as i32;
        let input_multiplier = input_multiplier as i32;
        SoftmaxI8 { rows, depth, input_multiplier, input_left_shift: shift, diff_min }
    }

    /// Holds a level's kernel against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let rows = sizes(4000).prop_map(|[rows, depth]| (rows, depth));
        let shapes = prop_oneof![4 => rows, 1 => (1..3_usize, 1..6000_usize)];
        let strategy = (shapes, -13.0..2.0_f64, any::<(i32, u8, i16)>(), any::<u64>(), 0..4_u8);
        check(kernels.level, cases, strategy, |((rows, depth), scale, any, seed, kind)| {
            let ordinary = params(rows, depth, libm::exp2(scale));
            let p = SoftmaxI8 {
                // What no converter writes, too.
                input_multiplier: any.0,
                input_left_shift: any.1.into(),
                diff_min: any.2.into(),
                ..ordinary
            };
            let p = if kind == 0 { p } else { ordinary };
            let mut values = Values::new(seed);
            let mut x = values.i8s(rows * depth);
            if kind == 1 {
                // Many that count.
                x.fill(values.i8s(1)[0]);
            }
            let run = |kernel: SoftmaxI8Kernel| {
                let mut y = vec![99; x.len()];
                kernel(&p, &x, &mut y).map(|()| y)
            };
            prop_assert_eq!(run(kernels.softmax_i8), run(portable), "{:?}", p);
            Ok(())
        });
    }

    /// The formula, in f64.
    fn probabilities(x: &[f64]) -> Vec<f64> {
        let max = x.iter().copied().fold(f64::MIN, f64::max);
        let exps: Vec<f64> = x.iter().map(|&v| libm::exp(v - max)).collect();
        let sum: f64 = exps.iter().sum();
        exps.iter().map(|&exp| exp / sum).collect()
    }

    /// 513 values of `f` over `[from, to]` in Q0.15.
    fn table(from: f64, to: f64, f: impl Fn(f64) -> f64) -> Vec<i16> {
        let value = |i: usize| f(from + (to - from) * i as f64 / 512.0);
        (0..513).map(|i| libm::round(value(i) * 32768.0).min(32767.0) as i16).collect()
    }

    proptest! {
        #[test]
        fn int8_is_within_one_unit_of_the_real_softmax(
            rows in 1_usize..3,
            row in prop::collection::vec(any::<i8>(), 1..300),
            scale in 0.001_f64..1.0,
        ) {
            let x = row.repeat(rows);
            let p = params(rows, row.len(), scale);
            let (mut y, mut wide) = (vec![0_i8; x.len()], vec![0_i16; x.len()]);
            softmax_i8(&p, &x, &mut y).unwrap();
            softmax_i8_i16(&p, &x, &mut wide).unwrap();
            let real: Vec<f64> = row.iter().map(|&v| f64::from(v) * scale).collect();
            let wanted = probabilities(&real);
            for (i, &probability) in wanted.iter().cycle().take(x.len()).enumerate() {
                let wanted = (probability * 256.0 - 128.0).min(127.0);
                prop_assert!((f64::from(y[i]) - wanted).abs() < 0.51, "{} for {wanted}", y[i]);
                let wanted = (probability * 65536.0 - 32768.0).min(32767.0);
                prop_assert!((f64::from(wide[i]) - wanted).abs() < 1.0, "{} for {wanted}", wide[i]);
            }
        }

        #[test]
        fn int16_is_near_the_real_softmax(
            x in prop::collection::vec(any::<i16>(), 1..100),
            scale in 0.000_01_f64..0.001,
        ) {
            let (exp_lut, reciprocal_lut) = tables();
            let (fraction, shift) = libm::frexp(scale * 6553.5);
            let p = SoftmaxI16 {
                rows: 1,
                depth: x.len(),
                input_multiplier: libm::round(fraction * 2_147_483_647.0) as i32,
                input_shift: shift,
                exp_lut: &exp_lut,
                reciprocal_lut: &reciprocal_lut,
            };
            let mut y = vec![0; x.len()];
            softmax_i16(&p, &x, &mut y).unwrap();
            let real: Vec<f64> = x.iter().map(|&v| f64::from(v) * scale).collect();
            for (&got, wanted) in y.iter().zip(probabilities(&real)) {
                // exp(-10) is the smallest value of the table: a unit and a half per element.
                let tolerance = 8.0 + 2.0 * x.len() as f64 * wanted;
                prop_assert!((f64::from(got) - wanted * 32768.0).abs() < tolerance);
            }
        }

        #[test]
        fn f32_is_the_real_softmax(
            x in prop::collection::vec(-30_f32..30.0, 1..100), beta in 0.1_f32..2.0,
        ) {
            let mut y = vec![0.0; x.len()];
            softmax_f32(&SoftmaxF32 { rows: 1, depth: x.len(), beta }, &x, &mut y).unwrap();
            let real: Vec<f64> = x.iter().map(|&v| f64::from(v) * f64::from(beta)).collect();
            for (&got, wanted) in y.iter().zip(probabilities(&real)) {
                prop_assert!((f64::from(got) - wanted).abs() < 1e-5 * wanted + 1e-12);
            }
        }

        #[test]
        fn no_parameters_panic(
            x in prop::collection::vec(any::<i8>(), 6),
            input_multiplier: i32, shift: i32, diff_min: i32,
            lut in prop::collection::vec(any::<i16>(), 0..600),
        ) {
            let p = SoftmaxI8 { rows: 2, depth: 3, input_multiplier, input_left_shift: shift, diff_min };
            softmax_i8(&p, &x, &mut [0; 6]).unwrap();
            let x: Vec<i16> = x.iter().map(|&v| i16::from(v) * 256).collect();
            let p = SoftmaxI16 {
                rows: 2, depth: 3, input_multiplier, input_shift: shift,
                exp_lut: &lut, reciprocal_lut: &lut,
            };
            softmax_i16(&p, &x, &mut [0; 6]).unwrap();
        }
    }

    fn tables() -> (Vec<i16>, Vec<i16>) {
        (table(-10.0, 0.0, libm::exp), table(0.0, 1.0, |v| 1.0 / (1.0 + v)))
    }

    #[test]
    fn one_element_is_certain_and_equal_elements_share() {
        let run = |x: &[i8]| {
            let mut y = vec![0; x.len()];
            softmax_i8(&params(1, x.len(), 0.1), x, &mut y).unwrap();
            y
        };
        assert_eq!(run(&[-128]), [127]);
        assert_eq!(run(&[5; 4]), [-64; 4]);
        assert_eq!(run(&[-128, 127]), [-128, 127]);
        // A probability of 1/256 is one unit, of 1/512 a half, and of less none; no sum overflows.
        assert_eq!(run(&[9; 256]), [-127; 256]);
        assert_eq!(run(&[9; 1024]), [-128; 1024]);
        assert_eq!(run(&[9; 10_000]), [-128; 10_000]);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let p = params(2, 3, 0.1);
        assert_eq!(softmax_i8(&p, &[0; 5], &mut [0; 6]), Err(Mismatch));
        assert_eq!(softmax_i8(&p, &[0; 6], &mut [0; 7]), Err(Mismatch));
        let p = SoftmaxI8 { rows: usize::MAX, ..p };
        assert_eq!(softmax_i8(&p, &[0; 6], &mut [0; 6]), Err(Mismatch));
        assert_eq!(softmax_i8(&SoftmaxI8 { rows: 0, depth: 0, ..p }, &[], &mut []), Ok(()));
    }
}
