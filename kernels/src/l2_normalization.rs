//! L2_NORMALIZATION: each vector along the innermost axis, divided by its Euclidean length.
//!
//! `x: [rows, depth]`, `y: [rows, depth]`. Quantized output has scale 1/128 and zero point 0 (int8;
//! 128 in uint8). Source: TFLite's `reference/integer_ops/l2normalization.h` (int8) and
//! `reference/l2normalization.h` (uint8, f32).

use crate::Mismatch;
use crate::fixed_point_log::reciprocal_square_root;
use crate::requantize::{Double, Rounding};
use crate::rows::for_each_row;

/// The output's scale is `2^-7`.
const OUTPUT_BITS: i32 = 7;
/// Lengths below this count as this, so that nothing is divided by zero.
const EPSILON: f32 = 1e-6;

/// Parameters of L2_NORMALIZATION on int8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct L2NormalizationI8 {
    /// Product of all dimensions but the innermost.
    pub rows: usize,
    /// The innermost dimension.
    pub depth: usize,
    /// `-input_zero_point`.
    pub input_offset: i32,
    /// Whether the output's scale is applied before the division, as TFLite's uint8 kernel does; its
    /// int8 kernel folds it into the division's shift, which rounds otherwise.
    pub scale_first: bool,
}

/// Parameters of L2_NORMALIZATION on f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct L2NormalizationF32 {
    /// Product of all dimensions but the innermost.
    pub rows: usize,
    /// The innermost dimension.
    pub depth: usize,
}

/// L2_NORMALIZATION on int8. A vector of zeros stays one.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not hold `rows × depth` values.
pub fn l2_normalization_i8(p: &L2NormalizationI8, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    let first = if p.scale_first { OUTPUT_BITS } else { 0 };
    for_each_row(p.rows, p.depth, x, y, |x, y| {
        let centred = |value: i8| i32::from(value).wrapping_add(p.input_offset);
        let squares = x.iter().fold(0_i32, |acc, &value| {
            let value = centred(value);
            acc.saturating_add(value.saturating_mul(value))
        });
        let (multiplier, shift) = reciprocal_square_root(squares);
        for (&value, out) in x.iter().zip(y) {
            let value = centred(value).wrapping_shl(first as u32);
            let scaled = Double::requantize(value, multiplier, shift + OUTPUT_BITS - first);
            *out = scaled.clamp(i32::from(i8::MIN), i32::from(i8::MAX)) as i8;
        }
    })
}

/// L2_NORMALIZATION on f32; a length below 10^-6 counts as that.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not hold `rows × depth` values.
pub fn l2_normalization_f32(
    p: &L2NormalizationF32,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    for_each_row(p.rows, p.depth, x, y, |x, y| {
        let squares = x.iter().fold(0.0, |acc, &value| acc + value * value);
        let length = libm::sqrtf(squares).max(EPSILON);
        for (&value, out) in x.iter().zip(y) {
            *out = value / length;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn real(x: &[f64]) -> Vec<f64> {
        let length = libm::sqrt(x.iter().map(|&v| v * v).sum()).max(1e-6);
        x.iter().map(|&v| v / length).collect()
    }

    proptest! {
        #[test]
        fn int8_is_within_rounding_of_the_real_vector(
            x in prop::collection::vec(any::<i8>(), 1..200), zero_point: i8, scale_first: bool,
        ) {
            let p = L2NormalizationI8 {
                rows: 1, depth: x.len(), input_offset: -i32::from(zero_point), scale_first,
            };
            let mut y = vec![0; x.len()];
            l2_normalization_i8(&p, &x, &mut y).unwrap();
            let x: Vec<f64> = x.iter().map(|&v| f64::from(v) - f64::from(zero_point)).collect();
            for (&got, wanted) in y.iter().zip(real(&x)) {
                let wanted = (wanted * 128.0).min(127.0);
                // The two roundings of the uint8 form add up where the shift is large.
                prop_assert!((f64::from(got) - wanted).abs() < 1.02, "{got} for {wanted}");
            }
        }

        #[test]
        fn f32_has_length_one(x in prop::collection::vec(-9_f32..9.0, 1..50), rows in 1_usize..4) {
            let all = x.repeat(rows);
            let mut y = vec![0.0; all.len()];
            l2_normalization_f32(&L2NormalizationF32 { rows, depth: x.len() }, &all, &mut y).unwrap();
            let x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            for (&got, wanted) in y.iter().zip(real(&x).iter().cycle()) {
                prop_assert!((f64::from(got) - wanted).abs() < 1e-6);
            }
        }

        #[test]
        fn no_parameters_panic(x in prop::collection::vec(any::<i8>(), 6), input_offset: i32, scale_first: bool) {
            let p = L2NormalizationI8 { rows: 2, depth: 3, input_offset, scale_first };
            l2_normalization_i8(&p, &x, &mut [0; 6]).unwrap();
        }
    }

    #[test]
    fn zeros_stay_zeros_and_a_single_value_becomes_a_unit() {
        let mut y = [9; 4];
        let p = L2NormalizationI8 { rows: 2, depth: 2, input_offset: 5, scale_first: false };
        l2_normalization_i8(&p, &[-5, -5, -5, -105], &mut y).unwrap();
        assert_eq!(y, [0, 0, 0, -128]);
        let mut y = [9.0; 2];
        l2_normalization_f32(&L2NormalizationF32 { rows: 1, depth: 2 }, &[0.0, 0.0], &mut y)
            .unwrap();
        assert_eq!(y, [0.0, 0.0]);
    }
}
