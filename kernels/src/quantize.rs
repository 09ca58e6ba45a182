//! QUANTIZE and DEQUANTIZE: from real numbers to quantized ones, back, and from one scale to
//! another.
//!
//! Requantization of a value is also RELU and its relatives, with another range.
//!
//! Source: `reference/quantize.h`, `reference/dequantize.h` and `reference/requantize.h` of TFLite,
//! the same in LiteRT and TFLite Micro.

use crate::broadcast::{Operand, unary, unary_in_place};
use crate::error::Mismatch;
use crate::quantized::Quantized;
use crate::requantize::{Output, Rounding, round_to_even};

/// Parameters of QUANTIZE of f32.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Quantize {
    /// The output's scale, not 0.
    pub scale: f32,
    /// The output's zero point.
    pub zero_point: i32,
    /// Whether ties go to the even neighbour (ONNX Runtime, XNNPACK) and not away from zero
    /// (TFLite).
    pub ties_to_even: bool,
}

/// `y = round(x / scale) + zero_point`, saturating; what is not a number gives the zero point.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn quantize<T: Quantized>(p: &Quantize, x: &[f32], y: &mut [T]) -> Result<(), Mismatch> {
    // `as` saturates, and turns what is not a number into 0. The references leave both undefined.
    let to_integer = |rounded: f32| T::saturate((rounded as i32).saturating_add(p.zero_point));
    if p.ties_to_even {
        unary(x, y, |x| T::saturate(round_to_even(x / p.scale).saturating_add(p.zero_point)))
    } else {
        unary(x, y, |x| to_integer(libm::roundf(x / p.scale)))
    }
}

/// Parameters of DEQUANTIZE.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Dequantize {
    /// The input's scale.
    pub scale: f32,
    /// The input's zero point.
    pub zero_point: i32,
}

/// `y = scale × (x - zero_point)`.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn dequantize<T: Copy + Into<i32>>(
    p: &Dequantize,
    x: &[T],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    // The references multiply in f64; the product of these f32 is rounded once all the same.
    unary(x, y, |x| p.scale * x.into().wrapping_sub(p.zero_point) as f32)
}

/// Parameters of a change of scale, zero point, range or type.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Requantization {
    /// The input's negated zero point.
    pub input_offset: i32,
    /// Q0.31 multiplier of the input's scale over the output's.
    pub multiplier: i32,
    /// Shift that belongs to `multiplier`, in `[-31, 30]`.
    pub shift: i32,
    /// Zero point and range of the output.
    pub output: Output,
}

impl Requantization {
    /// `x` at the output's scale, with its zero point, in its range.
    #[inline(always)]
    pub fn of<R: Rounding>(&self, x: i32) -> i32 {
        let scaled = R::requantize(x.wrapping_add(self.input_offset), self.multiplier, self.shift);
        self.output.apply(scaled)
    }
}

/// `y = requantize(x)` from one type to another, or to the same.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn requantize<R: Rounding, X: Quantized, Y: Quantized>(
    p: &Requantization,
    x: &[X],
    y: &mut [Y],
) -> Result<(), Mismatch> {
    unary(x, y, |x| Y::saturate(p.of::<R>(x.into())))
}

/// [`requantize`] within one type; the operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn requantize_in_place<R: Rounding, T: Quantized>(
    p: &Requantization,
    x: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    unary_in_place(x, y, |x| T::saturate(p.of::<R>(x.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requantize::{Double, Single};
    use crate::testing::multiplier;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quantized_values_are_nearest(x in -9e3..9e3_f32, scale in 0.1..9_f32, zero_point in -9..9) {
            for ties_to_even in [false, true] {
                let mut y = [0_i16];
                quantize(&Quantize { scale, zero_point, ties_to_even }, &[x], &mut y).unwrap();
                let wanted = (f64::from(x) / f64::from(scale) + f64::from(zero_point))
                    .clamp(-32768.0, 32767.0);
                prop_assert!((f64::from(y[0]) - wanted).abs() < 0.51);
                let mut back = [0.0];
                dequantize(&Dequantize { scale, zero_point }, &y, &mut back).unwrap();
                prop_assert!(wanted.abs() > 32766.0 || (back[0] - x).abs() <= scale * 0.51);
            }
        }

        #[test]
        fn another_scale_is_the_same_number(
            x: i16, scale in 1e-3..2.0_f64, zero_points in prop::array::uniform2(-128..=127),
        ) {
            let (multiplier, shift) = multiplier(scale);
            let output = Output {
                output_offset: zero_points[1], activation_min: i32::MIN, activation_max: i32::MAX,
            };
            let p = Requantization { input_offset: -zero_points[0], multiplier, shift, output };
            let wanted = f64::from(i32::from(x) - zero_points[0]) * scale + f64::from(zero_points[1]);
            let (mut narrow, mut wide) = ([0_i8], [0_i32]);
            requantize::<Single, _, _>(&p, &[x], &mut narrow).unwrap();
            requantize::<Double, _, _>(&p, &[x], &mut wide).unwrap();
            prop_assert!((f64::from(narrow[0]) - wanted.clamp(-128.0, 127.0)).abs() < 0.501);
            prop_assert!((f64::from(wide[0]) - wanted).abs() <= 1.0);
            let mut y = [x];
            requantize_in_place::<Double, _>(&p, Operand::Output, &mut y).unwrap();
            prop_assert_eq!(i32::from(y[0]), wide[0].clamp(-32768, 32767));
        }

        #[test]
        fn no_parameters_panic(ints: [i32; 6], x: i32, value: f32, scale: f32) {
            let [input_offset, multiplier, shift, output_offset, activation_min, activation_max] = ints;
            let output = Output { output_offset, activation_min, activation_max };
            let p = Requantization { input_offset, multiplier, shift, output };
            requantize::<Double, _, _>(&p, &[x], &mut [0_i8]).unwrap();
            requantize::<Single, _, _>(&p, &[x], &mut [0_i16]).unwrap();
            let p = Quantize { scale, zero_point: shift, ties_to_even: x < 0 };
            quantize(&p, &[value], &mut [0_i8]).unwrap();
            dequantize(&Dequantize { scale, zero_point: shift }, &[x], &mut [0.0]).unwrap();
        }
    }

    #[test]
    fn ties_and_extremes() {
        let x = [0.5, 1.5, -0.5, -1.5, 1e30, -1e30, f32::INFINITY, f32::NAN];
        let mut y = [0_i8; 8];
        let p = Quantize { scale: 1.0, zero_point: 1, ties_to_even: false };
        quantize(&p, &x, &mut y).unwrap();
        assert_eq!(y, [2, 3, 0, -1, 127, -128, 127, 1]);
        quantize(&Quantize { ties_to_even: true, ..p }, &x, &mut y).unwrap();
        assert_eq!(y, [1, 3, 1, -1, 127, -128, 127, 1]);
    }

    #[test]
    fn a_scale_of_one_changes_nothing() {
        let output = Output { output_offset: 3, activation_min: 3, activation_max: 9 };
        let p = Requantization { input_offset: -3, multiplier: 1 << 30, shift: 1, output };
        let mut y = [-128_i8, 3, 5, 9, 127];
        requantize_in_place::<Double, _>(&p, Operand::Output, &mut y).unwrap();
        assert_eq!(y, [3, 3, 5, 9, 9]);
    }
}
