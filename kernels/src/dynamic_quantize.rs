//! DYNAMIC_SCALE and DYNAMIC_QUANTIZE: float32 to int8 with a scale and a zero point that are found
//! when the network runs: ONNX's DynamicQuantizeLinear in two steps.
//!
//! The quantized values are uint8 less 128, as everything that was uint8.
//!
//! Source: the definition of DynamicQuantizeLinear, in the order of operations of ONNX Runtime.

use crate::broadcast::unary;
use crate::error::Mismatch;
use crate::requantize::round_to_even;

/// Scale and zero point by which the range of `x`, widened to hold 0, becomes `[0, 255]`; `scale` and
/// `zero_point` have one element. What is not a number is left out; a range of nothing but 0 has
/// scale 1.
///
/// # Errors
///
/// [`Mismatch`] where an output has not one element.
#[inline(never)]
pub fn dynamic_scale(x: &[f32], scale: &mut [f32], zero_point: &mut [i8]) -> Result<(), Mismatch> {
    let ([scale], [zero_point]) = (scale, zero_point) else { return Err(Mismatch) };
    let (mut min, mut max) = (0.0_f32, 0.0_f32);
    for &x in x {
        min = if x < min { x } else { min };
        max = if x > max { x } else { max };
    }
    *scale = if max == min { 1.0 } else { (max - min) / 255.0 };
    // Not below 0, and 255 at most.
    let zero = round_to_even((0.0 - min / *scale).min(255.0));
    *zero_point = (zero.clamp(0, 255) as u8 ^ 0x80) as i8;
    Ok(())
}

/// `y = round(x / scale) + zero_point`, ties to even, saturating; what is not a number gives the zero
/// point. `scale` and `zero_point` have one element.
///
/// # Errors
///
/// [`Mismatch`] where lengths differ.
#[inline(never)]
pub fn dynamic_quantize(
    x: &[f32],
    scale: &[f32],
    zero_point: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let (&[scale], &[zero_point]) = (scale, zero_point) else { return Err(Mismatch) };
    unary(x, y, |x| {
        let rounded = round_to_even(x / scale);
        rounded.saturating_add(zero_point.into()).clamp(-128, 127) as i8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_are_within_half_a_step(x in prop::collection::vec(-9.0..9.0_f32, 1..20)) {
            let (mut scale, mut zero) = ([0.0], [0]);
            dynamic_scale(&x, &mut scale, &mut zero).unwrap();
            let mut y = std::vec![0; x.len()];
            dynamic_quantize(&x, &scale, &zero, &mut y).unwrap();
            let real = |q: i8| scale[0] * (f32::from(q) - f32::from(zero[0]));
            for (&x, &y) in x.iter().zip(&y) {
                // The zero point is rounded, so that an end of the range may lie half a step outside.
                prop_assert!((real(y) - x).abs() <= scale[0] * 1.001, "{x}: {}", real(y));
            }
            prop_assert_eq!(real(zero[0]), 0.0);
        }

        #[test]
        fn nothing_panics(x: [f32; 5], scale: f32, zero: i8) {
            let (mut scales, mut zeros) = ([0.0], [0]);
            dynamic_scale(&x, &mut scales, &mut zeros).unwrap();
            dynamic_quantize(&x, &scales, &zeros, &mut [0; 5]).unwrap();
            dynamic_quantize(&x, &[scale], &[zero], &mut [0; 5]).unwrap();
        }
    }

    #[test]
    fn the_definition_by_example() {
        // The first of ONNX's examples, and ranges on one side of 0.
        let run = |x: &[f32]| {
            let (mut scale, mut zero, mut y) = ([0.0], [0], [0; 3]);
            dynamic_scale(x, &mut scale, &mut zero).unwrap();
            dynamic_quantize(&x[..3], &scale, &zero, &mut y).unwrap();
            (zero[0] as u8 ^ 0x80, y.map(|y| y as u8 ^ 0x80))
        };
        assert_eq!(run(&[0.0, 2.0, -3.0, -2.5, 1.34, 0.5]), (153, [153, 255, 0]));
        assert_eq!(run(&[255.0, 51.0, 0.5]), (0, [255, 51, 0]));
        assert_eq!(run(&[-255.0, -51.0, -1.5]), (255, [0, 204, 253]));
        assert_eq!(run(&[0.0; 3]), (0, [0; 3]));
    }
}
