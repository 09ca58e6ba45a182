//! QUANTIZE and DEQUANTIZE: from real numbers to quantized ones, back, and from one scale to
//! another.
//!
//! Requantization of a value is also RELU and its relatives, with another range.
//!
//! Source: `reference/quantize.h`, `reference/dequantize.h` and `reference/requantize.h` of TFLite,
//! the same in LiteRT and TFLite Micro.

use crate::arch;
use crate::broadcast::{Operand, unary, unary_in_place};
use crate::error::Mismatch;
use crate::quantized::Quantized;
use crate::requantize::{Output, Rounding, round_half_away, round_to_even};

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

/// `y = round(x / scale) + zero_point`, saturating, of 8 or 16 bits; what is not a number gives the
/// zero point.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
#[inline]
pub fn quantize<T: Quantized>(p: &Quantize, x: &[f32], y: &mut [T]) -> Result<(), Mismatch> {
    let shifted = |rounded: i32| T::saturate(rounded.saturating_add(p.zero_point));
    if p.ties_to_even {
        unary(x, y, |x| shifted(round_to_even(x / p.scale)))
    } else {
        unary(x, y, |x| shifted(round_half_away(x / p.scale)))
    }
}

/// [`quantize`] to int8.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
#[inline(never)]
pub fn quantize_i8(p: &Quantize, x: &[f32], y: &mut [i8]) -> Result<(), Mismatch> {
    arch::quantize_i8(p, x, y)
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
#[inline]
pub fn dequantize<T: Copy + Into<i32>>(
    p: &Dequantize,
    x: &[T],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    // The references multiply in f64; the product of these f32 is rounded once all the same.
    unary(x, y, |x| p.scale * x.into().wrapping_sub(p.zero_point) as f32)
}

/// [`dequantize`] of int8.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
#[inline(never)]
pub fn dequantize_i8(p: &Dequantize, x: &[i8], y: &mut [f32]) -> Result<(), Mismatch> {
    arch::dequantize_i8(p, x, y)
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

/// [`requantize`] of int8 to int8; the operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
#[inline(never)]
pub fn requantize_i8<R: Rounding>(
    p: &Requantization,
    x: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::requantize_i8::<R>(p, x, y)
}

/// [`requantize`] within one type; the operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
#[inline]
pub fn requantize_in_place<R: Rounding, T: Quantized>(
    p: &Requantization,
    x: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    unary_in_place(x, y, |x| T::saturate(p.of::<R>(x.into())))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arch::{DequantizeI8, Kernels, QuantizeI8};
    use crate::requantize::{Double, Single};
    use crate::testing::{Values, check, multiplier};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Holds a level's kernel for QUANTIZE against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let special = [0.5, -0.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, -0.0];
        let zero_point = prop_oneof![-128..128_i32, any::<i32>()];
        let strategy = (1..600_usize, 0.01..9.0_f32, zero_point, any::<bool>(), any::<u64>());
        check(kernels.level, cases, strategy, |(len, scale, zero_point, ties_to_even, seed)| {
            let mut values = Values::new(seed);
            let mut number = || match values.next() % 8 {
                0 => special[values.next() as usize % special.len()],
                1 => f32::from_bits(values.next() as u32),
                2 | 3 => (f32::from(values.next() as i8) + 0.5) * scale,
                _ => f32::from(values.next() as i16) / 200.0,
            };
            let x: Vec<f32> = (0..len).map(|_| number()).collect();
            for scale in [scale, 1.0] {
                let p = Quantize { scale, zero_point, ties_to_even };
                let run = |kernel: QuantizeI8| {
                    let mut y = std::vec![99; len];
                    kernel(&p, &x, &mut y).map(|()| y)
                };
                prop_assert_eq!(run(kernels.quantize_i8), run(quantize));
            }
            Ok(())
        });
    }

    /// Holds a level's kernel for DEQUANTIZE against the definition.
    pub(crate) fn holds_back(kernels: &Kernels, cases: u32) {
        let strategy = (1..600_usize, 1e-4..9.0_f32, any::<i32>(), any::<u64>());
        check(kernels.level, cases, strategy, |(len, scale, zero_point, seed)| {
            let x = Values::new(seed).i8s(len);
            for zero_point in [zero_point, zero_point % 128] {
                let p = Dequantize { scale, zero_point };
                let run = |kernel: DequantizeI8| {
                    let mut y = std::vec![9.0; len];
                    kernel(&p, &x, &mut y).map(|()| y.into_iter().map(f32::to_bits).collect())
                };
                let wanted: Result<Vec<u32>, _> = run(dequantize);
                prop_assert_eq!(run(kernels.dequantize_i8), wanted);
            }
            Ok(())
        });
    }

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
        fn a_table_of_int8_is_the_same(
            len in prop_oneof![1..70_usize, 1000..1100_usize], in_place: bool, seed: u64,
            ints: [i32; 5], shift in -31..31, single: bool,
        ) {
            let [input_offset, multiplier, output_offset, a, b] = ints;
            let [a, b, output_offset] = [a, b, output_offset].map(|v| v % 200);
            let output = Output { output_offset, activation_min: a.min(b), activation_max: a.max(b) };
            let multiplier = multiplier & i32::MAX;
            let p = Requantization { input_offset: input_offset % 200, multiplier, shift, output };
            let x = Values::new(seed).i8s(len);
            let mut wanted = std::vec![0; len];
            let mut y = if in_place { x.clone() } else { std::vec![99; len] };
            let operand = if in_place { Operand::Output } else { Operand::Buffer(&x[..]) };
            if single {
                requantize::<Single, i8, i8>(&p, &x, &mut wanted).unwrap();
                requantize_i8::<Single>(&p, operand, &mut y).unwrap();
            } else {
                requantize::<Double, i8, i8>(&p, &x, &mut wanted).unwrap();
                requantize_i8::<Double>(&p, operand, &mut y).unwrap();
            }
            prop_assert_eq!(y, wanted);
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
