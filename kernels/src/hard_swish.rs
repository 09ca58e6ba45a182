//! HARD_SWISH of an int8 value, `x × min(max(x + 3, 0), 6) / 6`, in 16-bit integers.
//!
//! It is the definition from which a table of 256 entries is filled offline.
//!
//! Source: `reference/hard_swish.h` of TFLite, the same in LiteRT and TFLite Micro.

use crate::requantize::divide_by_power_of_two;

/// Parameters of HARD_SWISH in int8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HardSwish {
    /// The input's zero point.
    pub input_zero_point: i32,
    /// The output's zero point.
    pub output_zero_point: i32,
    /// Q0.15 multiplier of a 128th of the input's scale over the output's.
    pub output_multiplier: i16,
    /// Shift that belongs to it, in `[-31, 0]`.
    pub output_shift: i32,
    /// Q0.15 multiplier of a 128th of the input's scale over 3 × 2^-15.
    pub reluish_multiplier: i16,
    /// Shift that belongs to it, in `[-31, 31]`.
    pub reluish_shift: i32,
}

impl HardSwish {
    /// The output for `x`.
    pub fn of(&self, x: i8) -> i8 {
        // Seven more bits for the value: 255 × 128 fits.
        let x = i32::from(x).wrapping_sub(self.input_zero_point);
        let x = x.wrapping_shl(7) as i16;
        let preshift_output = rounding_doubling_high_mul(x, self.output_multiplier);
        // x / 3 as Q0.15, saturating in the last step only: what saturates in the first does so in
        // the last as well.
        let mut reluish = x;
        if self.reluish_shift > 0 {
            reluish = saturating_shl(reluish, self.reluish_shift - 1);
        }
        reluish = rounding_doubling_high_mul(reluish, self.reluish_multiplier);
        if self.reluish_shift > 0 {
            reluish = saturating_shl(reluish, 1);
        }
        if self.reluish_shift < 0 {
            let right = self.reluish_shift.wrapping_neg();
            reluish = divide_by_power_of_two(reluish.into(), right) as i16;
        }
        // From [-1, 1] to [0, 1].
        let reluish = ((i32::from(reluish) + (1 << 15)) >> 1) as i16;
        let preshift = doubling_high_mul_toward_zero(reluish, preshift_output);
        let shifted =
            divide_by_power_of_two(preshift.into(), self.output_shift.wrapping_neg().max(0));
        shifted.saturating_add(self.output_zero_point).clamp(-128, 127) as i8
    }
}

/// gemmlowp's `SaturatingRoundingDoublingHighMul` of 16 bits.
fn rounding_doubling_high_mul(a: i16, b: i16) -> i16 {
    if a == i16::MIN && b == i16::MIN {
        return i16::MAX;
    }
    let product = i32::from(a) * i32::from(b);
    let nudge = if product >= 0 { 1 << 14 } else { 1 - (1 << 14) };
    ((product + nudge) / (1 << 15)) as i16
}

/// The same without rounding: Arm's `SQDMULH`, but toward zero.
fn doubling_high_mul_toward_zero(a: i16, b: i16) -> i16 {
    if a == i16::MIN && b == i16::MIN {
        return i16::MAX;
    }
    (i32::from(a) * i32::from(b) / (1 << 15)) as i16
}

/// `x × 2^amount`, saturating.
fn saturating_shl(x: i16, amount: i32) -> i16 {
    let shifted = i64::from(x) << amount.clamp(0, 31);
    shifted.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::multiplier;
    use proptest::prelude::*;

    /// A real scale as a Q0.15 multiplier and a shift.
    fn multiplier_q15(real: f64) -> (i16, i32) {
        let (multiplier, shift) = multiplier(real);
        (((i64::from(multiplier) + (1 << 15)) >> 16).min(32767) as i16, shift)
    }

    proptest! {
        #[test]
        fn it_is_near_the_real_function(
            x: i8, zero_points in prop::array::uniform2(-128..=127), scale in 0.01..0.2_f64,
            ratio in 0.05..0.99_f64,
        ) {
            let hires = scale / 128.0;
            let output_scale = scale * ratio.max(1.0 / 128.0);
            let (output_multiplier, output_shift) = multiplier_q15(hires / output_scale);
            let (reluish_multiplier, reluish_shift) = multiplier_q15(hires / (3.0 / 32768.0));
            let p = HardSwish {
                input_zero_point: zero_points[0], output_zero_point: zero_points[1],
                output_multiplier, output_shift, reluish_multiplier, reluish_shift,
            };
            let real = scale * f64::from(i32::from(x) - zero_points[0]);
            let wanted = real * (real + 3.0).clamp(0.0, 6.0) / 6.0 / output_scale;
            let wanted = (wanted + f64::from(zero_points[1])).clamp(-128.0, 127.0);
            let slack = 0.6 + real.abs() / output_scale * 3e-4;
            prop_assert!((f64::from(p.of(x)) - wanted).abs() < slack, "{} for {wanted}", p.of(x));
        }

        #[test]
        fn no_parameters_panic(x: i8, ints: [i32; 4], multipliers: [i16; 2]) {
            let p = HardSwish {
                input_zero_point: ints[0], output_zero_point: ints[1],
                output_multiplier: multipliers[0], output_shift: ints[2],
                reluish_multiplier: multipliers[1], reluish_shift: ints[3],
            };
            p.of(x);
        }
    }
}
