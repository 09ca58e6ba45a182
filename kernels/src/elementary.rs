//! ABS, SQRT and RSQRT of quantized values.
//!
//! The int8 forms are definitions from which tables of 256 entries are filled offline; ABS and SQRT
//! of int16 are kernels as well.
//!
//! Source: `elementwise.cc` of LiteRT and TFLite Micro, which agree where both have the operator;
//! SQRT of quantized values is LiteRT's alone.

use crate::broadcast::{Operand, unary_in_place};
use crate::error::Mismatch;
use crate::fixed_point_log::reciprocal_square_root;
use crate::quantize::Requantization;
use crate::quantized::Quantized;
use crate::requantize::Rounding;

/// `|x|` at the output's scale, with its zero point, in its range.
#[inline(always)]
pub fn abs_of<R: Rounding>(p: &Requantization, x: i32) -> i32 {
    let magnitude = x.wrapping_add(p.input_offset).wrapping_abs();
    p.output.apply(R::requantize(magnitude, p.multiplier, p.shift))
}

/// ABS of quantized values, int8 or int16; the operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn abs<R: Rounding, T: Quantized>(
    p: &Requantization,
    x: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    unary_in_place(x, y, |x| T::saturate(abs_of::<R>(p, x.into())))
}

/// Bits that keep the reciprocal root of an integer, which is below 1, above 1.
const RSQRT_SHIFT: i32 = 20;

/// `1 / √x` at the output's scale; `p.multiplier` and `p.shift` are those of
/// `1 / (√input_scale × output_scale)`. 0 gives the largest output, and so do negative numbers,
/// which the references refuse.
pub fn rsqrt_of<R: Rounding>(p: &Requantization, x: i32) -> i32 {
    let x = x.wrapping_add(p.input_offset);
    if x <= 0 {
        return p.output.activation_max;
    }
    let (multiplier, shift) = reciprocal_square_root(x);
    let root = R::requantize(1, multiplier, shift.wrapping_add(RSQRT_SHIFT));
    p.output.apply(R::requantize(root, p.multiplier, p.shift.wrapping_sub(RSQRT_SHIFT)))
}

/// Parameters of SQRT of quantized values.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Sqrt {
    /// The input's scale.
    pub input_scale: f32,
    /// The input's zero point.
    pub input_zero_point: i32,
    /// The output's scale, not 0.
    pub output_scale: f32,
    /// The output's zero point.
    pub output_zero_point: i32,
}

impl Sqrt {
    /// `√x`, computed in f32 and cut off. Negative numbers, which the reference refuses, count as 0.
    #[inline(always)]
    pub fn of(&self, x: i32) -> i32 {
        let real = self.input_scale * x.wrapping_sub(self.input_zero_point) as f32;
        let root = if real > 0.0 { libm::sqrtf(real) } else { 0.0 };
        ((root / self.output_scale) as i32).saturating_add(self.output_zero_point)
    }
}

/// SQRT of quantized values, int8 or int16; the operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn sqrt<T: Quantized>(p: &Sqrt, x: Operand<'_, T>, y: &mut [T]) -> Result<(), Mismatch> {
    unary_in_place(x, y, |x| T::saturate(p.of(x.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requantize::{Double, Output, Single};
    use crate::testing::multiplier;
    use proptest::prelude::*;

    fn requantization(real: f64, zero_points: [i32; 2]) -> Requantization {
        let (multiplier, shift) = multiplier(real);
        let output =
            Output { output_offset: zero_points[1], activation_min: -128, activation_max: 127 };
        Requantization { input_offset: -zero_points[0], multiplier, shift, output }
    }

    proptest! {
        #[test]
        fn abs_is_the_magnitude_within_rounding(
            x: i8, zero_points in prop::array::uniform2(-128..=127), ratio in 0.1..2.0_f64,
        ) {
            let p = requantization(ratio, zero_points);
            let real = f64::from((i32::from(x) - zero_points[0]).abs()) * ratio;
            let wanted = (real + f64::from(zero_points[1])).min(127.0);
            let mut y = [x];
            abs::<Single, _>(&p, Operand::Output, &mut y).unwrap();
            prop_assert!((f64::from(y[0]) - wanted).abs() < 0.501);
        }

        #[test]
        fn rsqrt_is_the_reciprocal_root_within_rounding(
            x: i8, zero_points in prop::array::uniform2(-128..=127), scale in 0.01..1.0_f64,
            output_scale in 0.01..1.0_f64,
        ) {
            let p = requantization(1.0 / (libm::sqrt(scale) * output_scale), zero_points);
            let value = i32::from(x) - zero_points[0];
            let real = 1.0 / libm::sqrt(scale * f64::from(value)) / output_scale;
            let wanted = if value > 0 { real + f64::from(zero_points[1]) } else { 127.0 };
            // Twenty bits of the root are kept.
            let slack = 0.501 + real.abs() * 2e-5;
            let got = f64::from(rsqrt_of::<Double>(&p, x.into()));
            prop_assert!((got - wanted.min(127.0)).abs() < slack || value <= 0 && got == 127.0);
        }

        #[test]
        fn sqrt_is_the_root_rounded_down(x in 0..=32767_i16, scale in 0.01..1_f32, out in 0.01..1_f32) {
            let p = Sqrt {
                input_scale: scale, input_zero_point: 0, output_scale: out, output_zero_point: 2,
            };
            let real = libm::sqrt(f64::from(scale) * f64::from(x)) / f64::from(out);
            let mut y = [x];
            sqrt(&p, Operand::Output, &mut y).unwrap();
            let wanted = (real + 2.0).min(32767.0);
            prop_assert!(f64::from(y[0]) <= wanted + 1e-2 && f64::from(y[0]) > wanted - 1.01);
        }

        #[test]
        fn no_parameters_panic(ints: [i32; 7], scales: [f32; 2]) {
            let [x, input_offset, multiplier, shift, output_offset, activation_min, activation_max] = ints;
            let output = Output { output_offset, activation_min, activation_max };
            let p = Requantization { input_offset, multiplier, shift, output };
            abs_of::<Double>(&p, x);
            rsqrt_of::<Double>(&p, x);
            rsqrt_of::<Single>(&p, x);
            let [input_scale, output_scale] = scales;
            Sqrt { input_scale, input_zero_point: shift, output_scale, output_zero_point: x }.of(x);
        }
    }

    #[test]
    fn roots_of_negative_numbers() {
        let p = requantization(1.0, [0, 0]);
        assert_eq!([rsqrt_of::<Double>(&p, 0), rsqrt_of::<Double>(&p, -4)], [127, 127]);
        let p = Sqrt {
            input_scale: 1.0,
            input_zero_point: 0,
            output_scale: 1.0,
            output_zero_point: -3,
        };
        assert_eq!([p.of(-4), p.of(0), p.of(16)], [-3, -3, 1]);
    }
}
