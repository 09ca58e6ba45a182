//! What a compiled-in model says of its inputs and outputs.

use crate::DType;

/// An input or output of a compiled-in model.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Port {
    /// Its name, where the file has names.
    pub name: Option<&'static str>,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: &'static [usize],
    /// How integers stand for real numbers; a scale of 0 where they do not.
    pub quantization: Quantization,
}

/// `real = scale × (q − zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quantization {
    /// The distance of neighbouring values.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i32,
}

impl Quantization {
    /// The int8 nearest to `real`, ties away from zero; what is not a number becomes the zero point.
    pub fn quantize_i8(&self, real: f32) -> i8 {
        self.quantize(real).clamp(i8::MIN.into(), i8::MAX.into()) as i8
    }

    /// The same as uint8.
    pub fn quantize_u8(&self, real: f32) -> u8 {
        self.quantize(real).clamp(u8::MIN.into(), u8::MAX.into()) as u8
    }

    /// The same as int16.
    pub fn quantize_i16(&self, real: f32) -> i16 {
        self.quantize(real).clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }

    /// The number that `q` stands for.
    pub fn dequantize(&self, q: impl Into<i32>) -> f32 {
        self.scale * q.into().saturating_sub(self.zero_point) as f32
    }

    fn quantize(&self, real: f32) -> i32 {
        (libm::roundf(real / self.scale) as i32).saturating_add(self.zero_point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_and_clamped() {
        let q = Quantization { scale: 0.5, zero_point: 3 };
        assert_eq!(
            [0.0, 0.25, -0.25, 1000.0, f32::NAN].map(|x| q.quantize_i8(x)),
            [3, 4, 2, 127, 3]
        );
        assert_eq!([-10.0, 0.3, 1e9].map(|x| q.quantize_u8(x)), [0, 4, 255]);
        assert_eq!([-1e9, 1e3].map(|x| q.quantize_i16(x)), [i16::MIN, 2003]);
        assert_eq!((q.dequantize(5_i8), q.dequantize(0_u8)), (1.0, -1.5));
    }
}
