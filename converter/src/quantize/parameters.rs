//! From ranges to scales and zero points, as TFLite's specification has them.

use systole_core::DType;

use super::recipe::Precision;
use crate::{calibrate::Range, graph::Quantization};

/// A scale and a zero point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// What one step is worth.
    pub scale: f32,
    /// What stands for zero.
    pub zero_point: i32,
}

/// Ranges narrower than this are taken for that of a tensor that is always zero. It leaves products
/// of three scales within float32.
const NARROWEST: f64 = 1e-12;

impl Affine {
    /// The parameters that cover `range`. int8 is asymmetric, `(max − min) / 255`, and the zero point
    /// is rounded, so that zero is exact; int16 is symmetric, `max(|min|, |max|) / 32767`.
    ///
    /// A tensor that is always zero gets the range [-1, 1]: its scale must not be zero, and anything
    /// that another input brings is held at least coarsely.
    pub fn cover(range: Range, precision: Precision) -> Self {
        let range = match range.max - range.min > NARROWEST {
            true => range,
            false => Range::new(-1.0, 1.0),
        };
        match precision {
            Precision::Int16 => {
                let scale = range.max.max(-range.min) / 32767.0;
                Self { scale: scale as f32, zero_point: 0 }
            }
            Precision::Int8 | Precision::Float => {
                let scale = (range.max - range.min) / 255.0;
                let zero_point = (-128.0 - range.min / scale).round().clamp(-128.0, 127.0);
                Self { scale: scale as f32, zero_point: zero_point as i32 }
            }
        }
    }

    /// The nearest stored value, saturated to `precision`.
    pub fn quantize(self, real: f32, precision: Precision) -> i32 {
        let q = (f64::from(real) / f64::from(self.scale)).round() + f64::from(self.zero_point);
        let (min, max) = match precision {
            Precision::Int16 => (-32768.0, 32767.0),
            Precision::Int8 | Precision::Float => (-128.0, 127.0),
        };
        q.clamp(min, max) as i32
    }
}

impl From<Affine> for Quantization {
    fn from(affine: Affine) -> Self {
        Self { scales: vec![affine.scale], zero_points: vec![affine.zero_point], axis: 0 }
    }
}

/// The type of activations in `precision`.
pub fn dtype(precision: Precision) -> DType {
    match precision {
        Precision::Int8 => DType::I8,
        Precision::Int16 => DType::I16,
        Precision::Float => DType::F32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_covers_its_range_and_has_an_exact_zero() {
        for (min, max) in [(0.0, 6.0), (-1.0, 1.0), (-0.3, 12.7), (-5.0, 0.0)] {
            let affine = Affine::cover(Range::new(min, max), Precision::Int8);
            let real = |q: i32| f64::from(affine.scale) * f64::from(q - affine.zero_point);
            let half = f64::from(affine.scale) * 0.5001;
            assert!((real(-128) - min).abs() <= half && (real(127) - max).abs() <= half);
            assert_eq!(affine.quantize(0.0, Precision::Int8), affine.zero_point);
        }
        assert_eq!(
            Affine::cover(Range::new(0.0, 255.0), Precision::Int8),
            Affine { scale: 1.0, zero_point: -128 }
        );
    }

    #[test]
    fn int16_is_symmetric() {
        let affine = Affine::cover(Range::new(-2.0, 1.0), Precision::Int16);
        assert_eq!((affine.zero_point, affine.quantize(-2.0, Precision::Int16)), (0, -32767));
    }

    #[test]
    fn constant_zero_and_huge_ranges_have_a_scale() {
        for range in [Range::new(0.0, 0.0), Range::new(0.0, 1e-40)] {
            for precision in [Precision::Int8, Precision::Int16] {
                assert!(Affine::cover(range, precision).scale > 1e-5);
            }
        }
        let huge = Affine::cover(Range::new(f32::MIN.into(), f32::MAX.into()), Precision::Int8);
        assert!(huge.scale.is_finite());
    }
}
