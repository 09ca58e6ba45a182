//! Real scales as fixed-point numbers, and the ranges of fused activations.

use systole_core::DType;

use crate::{
    error::{Result, bail},
    graph::Tensor,
};

/// A Q0.31 multiplier in `[2^30, 2^31)`, or 0, and the power of two that goes with it:
/// `scale ≈ multiplier × 2^(shift − 31)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedScale {
    /// Q0.31.
    pub multiplier: i32,
    /// Positive is a left shift; in `[-31, 30]`.
    pub shift: i8,
}

impl FixedScale {
    /// The nearest fixed-point number, as TFLite's `QuantizeMultiplier` finds it: the mantissa
    /// rounded half away from zero; scales below 2⁻³¹ become 0.
    ///
    /// # Errors
    /// `InvalidQuantization` for scales that are negative, not finite, or 2³⁰ and above.
    pub fn new(scale: f64) -> Result<Self> {
        if !(scale.is_finite() && scale >= 0.0) {
            bail!(InvalidQuantization, "scales combine to {scale}, which is no positive number");
        }
        let (mantissa, mut exponent) = libm::frexp(scale);
        let mut multiplier = (mantissa * (1_i64 << 31) as f64).round() as i64;
        if multiplier == 1 << 31 {
            multiplier /= 2;
            exponent += 1;
        }
        if scale == 0.0 || exponent < -31 {
            return Ok(Self { multiplier: 0, shift: 0 });
        }
        if exponent > 30 {
            bail!(InvalidQuantization, "scales combine to {scale}, which is too large");
        }
        Ok(Self { multiplier: multiplier as i32, shift: exponent as i8 })
    }
}

/// A fused activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// None.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `min(max(x, −1), 1)`.
    ReluN1To1,
    /// `min(max(x, 0), 1)`.
    Relu0To1,
}

impl Activation {
    /// The range of real values that it lets through.
    pub fn real_range(self) -> (f32, f32) {
        match self {
            Self::None => (f32::NEG_INFINITY, f32::INFINITY),
            Self::Relu => (0.0, f32::INFINITY),
            Self::Relu6 => (0.0, 6.0),
            Self::ReluN1To1 => (-1.0, 1.0),
            Self::Relu0To1 => (0.0, 1.0),
        }
    }

    /// As [`Activation::quantized_range`], where `output` is quantized; for floats, which go by
    /// [`Activation::real_range`], all integers.
    ///
    /// # Errors
    /// As [`Activation::quantized_range`].
    pub fn integer_range(self, output: &Tensor) -> Result<(i32, i32)> {
        match output.dtype {
            DType::F32 => Ok((i32::MIN, i32::MAX)),
            _ => self.quantized_range(output),
        }
    }

    /// The range of quantized values of `output`: the real range over scale, rounded half away from
    /// zero, within the type's range. TFLite's `CalculateActivationRangeQuantized`.
    ///
    /// # Errors
    /// `InvalidQuantization` where `output` has no scale.
    pub fn quantized_range(self, output: &Tensor) -> Result<(i32, i32)> {
        let (type_min, type_max) = type_range(output)?;
        if self == Self::None {
            return Ok((type_min, type_max));
        }
        let (scale, zero_point) = output.scale_and_zero_point()?;
        let quantize = |real: f32, unbounded: i32| {
            if real.is_finite() {
                zero_point.saturating_add((real / scale).round() as i32)
            } else {
                unbounded
            }
        };
        let (min, max) = self.real_range();
        Ok((quantize(min, type_min).max(type_min), quantize(max, type_max).min(type_max)))
    }
}

/// Smallest and largest value of a quantized tensor's type.
///
/// # Errors
/// `UnsupportedFeature` for types that are not quantized.
pub fn type_range(tensor: &Tensor) -> Result<(i32, i32)> {
    Ok(match tensor.dtype {
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DType::I16 => (i16::MIN.into(), i16::MAX.into()),
        DType::I32 => (i32::MIN, i32::MAX),
        _ => bail!(UnsupportedFeature, "{tensor} has a type that is not quantized"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_scales_are_within_half_a_unit_of_the_real_scale() {
        for scale in [1.0, 0.5, 0.999_999_999_9, 3.7e-5, 12.25, 1.0 / 3.0] {
            let fixed = FixedScale::new(scale).unwrap();
            let back = f64::from(fixed.multiplier) * f64::from(fixed.shift - 31).exp2();
            assert!((back / scale - 1.0).abs() <= 1.0 / f64::from(1 << 30), "{scale}");
            assert!(fixed.multiplier >= 1 << 30);
        }
    }

    #[test]
    fn scales_out_of_range_are_zero_or_refused() {
        assert_eq!(FixedScale::new(1e-12).unwrap(), FixedScale { multiplier: 0, shift: 0 });
        assert!(FixedScale::new(f64::NAN).is_err());
        assert!(FixedScale::new(-1.0).is_err());
        assert!(FixedScale::new(4e9).is_err());
    }
}
