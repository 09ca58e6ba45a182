//! LOGISTIC, `1 / (1 + exp(-x))`, and TANH of quantized values, in integers.
//!
//! int16 goes through one table of the logistic function for both, as `tanh(x) = 2 σ(2x) - 1`. The
//! int8 functions work in fixed point; they are the definition from which a table of 256 entries is
//! filled offline, and are not called on the device.
//!
//! Source: `integer_ops/logistic.h` and `integer_ops/tanh.h` of TFLite. LiteRT uses the int16 forms
//! only, and fills its int8 tables in f32.

use crate::broadcast::{Operand, unary_in_place};
use crate::error::Mismatch;
use crate::fixed_point_exp::{
    exp_on_negative_values, one_minus_x_over_one_plus_x, one_over_one_plus_x,
};
use crate::requantize::{Double, Rounding, divide_by_power_of_two};

/// Parameters of LOGISTIC and TANH in int16, whose output has scale `2^-15` and zero point 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct LogisticI16 {
    /// The input's scale times `3 × 4096 × 2^left_shift`, in `[0, 32767]`.
    pub input_multiplier: i32,
    /// The shift that takes the product back, in `[0, 31]`.
    pub input_shift: u32,
}

impl LogisticI16 {
    /// `x` at scale `1 / (3 × 4096)`: 512 of it are a step of 1/24 in the table of [`SIGMOID`].
    #[inline(always)]
    fn scale(&self, x: i16) -> i32 {
        let shift = self.input_shift.min(31);
        let round = if shift > 0 { 1_i32.wrapping_shl(shift - 1) } else { 0 };
        i32::from(x).wrapping_mul(self.input_multiplier).wrapping_add(round) >> shift
    }
}

impl LogisticI16 {
    /// LOGISTIC of `x`.
    #[inline(always)]
    pub fn logistic(&self, x: i16) -> i16 {
        let x = self.scale(x);
        let magnitude = x.unsigned_abs();
        // Q0.25: 16 bits of the table, 9 of the interpolation.
        let positive = match entries(magnitude >> 9) {
            None => 0x7FFF << 10,
            Some((low, high)) => (low << 9) + (magnitude & 0x1ff) * (high - low),
        };
        let half = 1 << 9;
        let result = if x >= 0 { positive + half } else { (1 << 25) - positive + half - 1 };
        (result >> 10) as i16
    }

    /// TANH of `x`.
    #[inline(always)]
    pub fn tanh(&self, x: i16) -> i16 {
        let x = self.scale(x);
        let magnitude = x.unsigned_abs();
        // Half the step, as the argument is 2x; Q0.24.
        let sigmoid = match entries(magnitude >> 8) {
            None => 0xFFFF << 8,
            Some((low, high)) => (low << 8) + (magnitude & 0xff) * (high - low),
        } as i32;
        let (half, round) = (1 << 23, 1 << 7);
        let result = if x >= 0 { sigmoid - half + round } else { half - sigmoid + round - 1 };
        (result >> 8) as i16
    }
}

/// LOGISTIC in int16; the operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn logistic_i16(p: &LogisticI16, x: Operand<'_, i16>, y: &mut [i16]) -> Result<(), Mismatch> {
    unary_in_place(x, y, |x| p.logistic(x))
}

/// TANH in int16; the operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn tanh_i16(p: &LogisticI16, x: Operand<'_, i16>, y: &mut [i16]) -> Result<(), Mismatch> {
    unary_in_place(x, y, |x| p.tanh(x))
}

/// The entries of [`SIGMOID`] around step `index`, `None` past its end.
#[inline(always)]
fn entries(index: u32) -> Option<(u32, u32)> {
    let low = SIGMOID.get(index as usize)?;
    let high = SIGMOID.get(index as usize + 1)?;
    Some((u32::from(*low), u32::from(*high)))
}

/// Parameters of LOGISTIC and TANH in int8 as TFLite Micro computes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogisticI8 {
    /// The input's zero point.
    pub input_zero_point: i32,
    /// From this distance from the zero point on the output is that of infinity.
    pub input_range_radius: i32,
    /// Q0.31 multiplier that takes the input to Q4.27.
    pub input_multiplier: i32,
    /// Shift that belongs to `input_multiplier`.
    pub input_shift: i32,
}

impl LogisticI8 {
    /// `x` in Q4.27, or which infinity it counts as.
    fn scale(&self, x: i8) -> Result<i32, i8> {
        let x = i32::from(x).wrapping_sub(self.input_zero_point);
        if x <= self.input_range_radius.wrapping_neg() {
            Err(i8::MIN)
        } else if x >= self.input_range_radius {
            Err(i8::MAX)
        } else {
            Ok(Double::requantize(x, self.input_multiplier, self.input_shift))
        }
    }

    /// LOGISTIC of `x`, with output scale 1/256 and zero point -128.
    pub fn logistic(&self, x: i8) -> i8 {
        match self.scale(x) {
            Err(end) => end,
            Ok(q4) => {
                let q8 = divide_by_power_of_two(logistic_q4(q4), 23);
                (q8 - 128).clamp(-128, 127) as i8
            }
        }
    }

    /// TANH of `x`, with output scale 1/128 and zero point 0.
    pub fn tanh(&self, x: i8) -> i8 {
        match self.scale(x) {
            Err(end) => end,
            Ok(q4) => divide_by_power_of_two(tanh_q4(q4), 24).clamp(-128, 127) as i8,
        }
    }
}

/// The logistic function of a number in Q4, in Q0.
pub fn logistic_q4(a: i32) -> i32 {
    if a == 0 {
        return 1 << 30;
    }
    let positive = one_over_one_plus_x(exp_on_negative_values::<4>(negative_magnitude(a)));
    if a > 0 { positive } else { i32::MAX - positive }
}

/// The hyperbolic tangent of a number in Q4, in Q0.
pub fn tanh_q4(a: i32) -> i32 {
    if a == 0 {
        return 0;
    }
    // exp(-2|a|): the same bits in Q5 are twice the number.
    let positive = one_minus_x_over_one_plus_x(exp_on_negative_values::<5>(negative_magnitude(a)));
    if a > 0 { positive } else { positive.wrapping_neg() }
}

/// `-|a|`, which cannot overflow.
fn negative_magnitude(a: i32) -> i32 {
    if a > 0 { -a } else { a }
}

/// `2^16 × σ(i / 24)`, the numbers of TFLite's table; they are within 1.2 of the real ones.
const SIGMOID: [u16; 256] = [
    32768, 33451, 34133, 34813, 35493, 36169, 36843, 37513, 38180, 38841, 39498, 40149, 40794,
    41432, 42064, 42688, 43304, 43912, 44511, 45102, 45683, 46255, 46817, 47369, 47911, 48443,
    48964, 49475, 49975, 50464, 50942, 51409, 51865, 52311, 52745, 53169, 53581, 53983, 54374,
    54755, 55125, 55485, 55834, 56174, 56503, 56823, 57133, 57433, 57724, 58007, 58280, 58544,
    58800, 59048, 59288, 59519, 59743, 59959, 60168, 60370, 60565, 60753, 60935, 61110, 61279,
    61441, 61599, 61750, 61896, 62036, 62172, 62302, 62428, 62549, 62666, 62778, 62886, 62990,
    63090, 63186, 63279, 63368, 63454, 63536, 63615, 63691, 63765, 63835, 63903, 63968, 64030,
    64090, 64148, 64204, 64257, 64308, 64357, 64405, 64450, 64494, 64536, 64576, 64614, 64652,
    64687, 64721, 64754, 64786, 64816, 64845, 64873, 64900, 64926, 64950, 64974, 64997, 65019,
    65039, 65060, 65079, 65097, 65115, 65132, 65149, 65164, 65179, 65194, 65208, 65221, 65234,
    65246, 65258, 65269, 65280, 65291, 65301, 65310, 65319, 65328, 65337, 65345, 65352, 65360,
    65367, 65374, 65381, 65387, 65393, 65399, 65404, 65410, 65415, 65420, 65425, 65429, 65433,
    65438, 65442, 65445, 65449, 65453, 65456, 65459, 65462, 65465, 65468, 65471, 65474, 65476,
    65479, 65481, 65483, 65485, 65488, 65489, 65491, 65493, 65495, 65497, 65498, 65500, 65501,
    65503, 65504, 65505, 65507, 65508, 65509, 65510, 65511, 65512, 65513, 65514, 65515, 65516,
    65517, 65517, 65518, 65519, 65520, 65520, 65521, 65522, 65522, 65523, 65523, 65524, 65524,
    65525, 65525, 65526, 65526, 65526, 65527, 65527, 65528, 65528, 65528, 65529, 65529, 65529,
    65529, 65530, 65530, 65530, 65530, 65531, 65531, 65531, 65531, 65531, 65532, 65532, 65532,
    65532, 65532, 65532, 65533, 65533, 65533, 65533, 65533, 65533, 65533, 65533, 65534, 65534,
    65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65535,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + libm::exp(-x))
    }

    /// Parameters for an input scale, as TFLite computes them.
    fn params_i16(scale: f64) -> LogisticI16 {
        let (mut multiplier, mut input_shift) = (scale * 4096.0 * 3.0, 0);
        while multiplier <= 32767.0 / 2.0 && input_shift <= 30 {
            input_shift += 1;
            multiplier *= 2.0;
        }
        LogisticI16 { input_multiplier: multiplier as i32, input_shift }
    }

    #[test]
    fn the_table_is_the_logistic_function() {
        for (i, &entry) in SIGMOID.iter().enumerate() {
            let real = 65536.0 * sigmoid(i as f64 / 24.0);
            assert!((f64::from(entry) - real).abs() < 1.2, "entry {i}");
        }
    }

    proptest! {
        #[test]
        fn int16_is_near_the_real_functions(x: i16, scale in 1e-5..1e-2_f64) {
            let p = params_i16(scale);
            let real = f64::from(x) * scale;
            let (mut logistic, mut tanh) = ([x], [x]);
            logistic_i16(&p, Operand::Output, &mut logistic).unwrap();
            tanh_i16(&p, Operand::Output, &mut tanh).unwrap();
            prop_assert!((f64::from(logistic[0]) - 32768.0 * sigmoid(real)).abs() < 8.0);
            prop_assert!((f64::from(tanh[0]) - 32768.0 * libm::tanh(real)).abs() < 16.0);
        }

        #[test]
        fn int8_is_the_real_function_within_rounding(
            x: i8, zero_point in -128..=127_i32, scale in 0.001..0.5_f64,
        ) {
            let (q, input_shift) = libm::frexp(scale * f64::from(1 << 27));
            let radius = 15.0 * f64::from(1 << 27) / libm::exp2(f64::from(input_shift));
            let p = LogisticI8 {
                input_zero_point: zero_point,
                input_range_radius: radius as i32,
                input_multiplier: libm::round(q * 2_147_483_648.0).min(2_147_483_647.0) as i32,
                input_shift,
            };
            let real = scale * f64::from(i32::from(x) - zero_point);
            let wanted = (256.0 * sigmoid(real) - 128.0).min(127.0);
            prop_assert!((f64::from(p.logistic(x)) - wanted).abs() < 0.501);
            let wanted = (128.0 * libm::tanh(real)).min(127.0);
            prop_assert!((f64::from(p.tanh(x)) - wanted).abs() < 0.501);
        }

        #[test]
        fn fixed_point_is_near_the_real_functions(a: i32) {
            let real = f64::from(a) / f64::from(1 << 27);
            let q0 = 2_147_483_648.0;
            prop_assert!((f64::from(logistic_q4(a)) / q0 - sigmoid(real)).abs() < 1e-6);
            prop_assert!((f64::from(tanh_q4(a)) / q0 - libm::tanh(real)).abs() < 1e-6);
        }

        #[test]
        fn no_parameters_panic(multiplier: i32, shift: u32, x: i16, ints: [i32; 4], b: i8) {
            let p = LogisticI16 { input_multiplier: multiplier, input_shift: shift };
            logistic_i16(&p, Operand::Output, &mut [x]).unwrap();
            tanh_i16(&p, Operand::Output, &mut [x]).unwrap();
            let [input_zero_point, input_range_radius, input_multiplier, input_shift] = ints;
            let p = LogisticI8 { input_zero_point, input_range_radius, input_multiplier, input_shift };
            p.logistic(b);
            p.tanh(b);
        }
    }
}
