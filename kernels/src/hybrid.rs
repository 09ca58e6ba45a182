//! Quantization on the fly, for operators with float activations and int8 weights.
//!
//! The activations of one image (convolution) or one row (fully connected) are quantized to int8
//! with a scale taken from their range, multiplied in integers, and the sums scaled to float.
//!
//! Source: `PortableSymmetricQuantizeFloats` and `PortableAsymmetricQuantizeFloats` of LiteRT's
//! `portable_tensor_utils.cc`.

use crate::Mismatch;
use crate::pool::ActivationRange;

/// What the sums of a hybrid operator become.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct HybridOutput<'a> {
    /// `Σ w` per output channel: takes the activations' zero point from the sums.
    pub weight_sums: &'a [i32],
    /// Scales of the weights, one per output channel or one for all.
    pub weight_scales: &'a [f32],
    /// One per output channel.
    pub bias: &'a [f32],
    /// Whether activations are quantized to their range, with a zero point, or symmetrically.
    pub asymmetric: bool,
    /// The fused activation.
    pub activation: ActivationRange<f32>,
}

impl HybridOutput<'_> {
    /// # Errors
    ///
    /// [`Mismatch`] where something does not have one element per channel.
    pub(crate) fn check(&self, channels: usize) -> Result<(), Mismatch> {
        let scales = self.weight_scales.len();
        let fits = self.weight_sums.len() == channels
            && self.bias.len() == channels
            && (scales == 1 || scales == channels);
        if fits { Ok(()) } else { Err(Mismatch) }
    }

    /// `x` as `quantized`, by the rule that the operator asks for.
    pub(crate) fn quantize(&self, x: &[f32], quantized: &mut [i8]) -> Activations {
        if self.asymmetric {
            quantize_asymmetric(x, quantized)
        } else {
            quantize_symmetric(x, quantized)
        }
    }

    /// `clamp((acc − zero_point·Σ w) × weight_scale × scale + bias)` for one output of `channel`.
    #[inline(always)]
    pub(crate) fn finish(&self, acc: i32, channel: usize, x: Activations) -> f32 {
        let sum = self.weight_sums.get(channel).copied().unwrap_or_default();
        let acc = acc.wrapping_sub(sum.wrapping_mul(i32::from(x.zero_point)));
        let of_channel = if self.weight_scales.len() == 1 { 0 } else { channel };
        let weight_scale = self.weight_scales.get(of_channel).copied().unwrap_or_default();
        let bias = self.bias.get(channel).copied().unwrap_or_default();
        self.activation.clamp(acc as f32 * (weight_scale * x.scale) + bias)
    }
}

/// How one image or row was quantized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Activations {
    pub scale: f32,
    pub zero_point: i8,
}

/// Smallest and largest element; both 0 where there is none.
fn range(x: &[f32]) -> (f32, f32) {
    let first = x.first().copied().unwrap_or_default();
    x.iter().fold((first, first), |(min, max), &x| {
        (if x < min { x } else { min }, if max < x { x } else { max })
    })
}

/// `round(x × 127 / max |x|)`, in `[-127, 127]`.
fn quantize_symmetric(x: &[f32], quantized: &mut [i8]) -> Activations {
    let (min, max) = range(x);
    let range = libm::fabsf(min).max(libm::fabsf(max));
    if range == 0.0 {
        quantized.fill(0);
        return Activations { scale: 1.0, zero_point: 0 };
    }
    let inverse = 127.0 / range;
    for (q, &x) in quantized.iter_mut().zip(x) {
        *q = (libm::roundf(x * inverse) as i32).clamp(-127, 127) as i8;
    }
    Activations { scale: range / 127.0, zero_point: 0 }
}

/// `round(zero_point + x / scale)` with the range of `x` and 0 spread over `[-128, 127]`.
fn quantize_asymmetric(x: &[f32], quantized: &mut [i8]) -> Activations {
    let (min, max) = range(x);
    let (min, max) = (f64::from(min.min(0.0)), f64::from(max.max(0.0)));
    if min == max {
        quantized.fill(0);
        return Activations { scale: 1.0, zero_point: 0 };
    }
    // The zero point comes from the end of the range that makes the smaller error.
    let scale = (max - min) / 255.0;
    let from_min = 128.0 + libm::fabs(min / scale) < 127.0 + libm::fabs(max / scale);
    let zero_point = if from_min { -128.0 - min / scale } else { 127.0 - max / scale };
    let zero_point = libm::round(zero_point).clamp(-128.0, 127.0) as i8;
    let scale = scale as f32;
    let inverse = 1.0 / scale;
    for (q, &x) in quantized.iter_mut().zip(x) {
        let value = libm::roundf(f32::from(zero_point) + x * inverse);
        *q = (value as i32).clamp(-128, 127) as i8;
    }
    Activations { scale, zero_point }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    proptest! {
        #[test]
        fn quantized_values_are_within_half_a_step(
            x in prop::collection::vec(-1e3_f32..1e3, 1..40), asymmetric: bool,
        ) {
            let mut q = vec![0_i8; x.len()];
            let rule = if asymmetric { quantize_asymmetric } else { quantize_symmetric };
            let Activations { scale, zero_point } = rule(&x, &mut q);
            for (&x, &q) in x.iter().zip(&q) {
                let real = (f32::from(q) - f32::from(zero_point)) * scale;
                prop_assert!((real - x).abs() <= scale * 0.5001 + 1e-4, "{} as {}", x, real);
            }
        }
    }

    #[test]
    fn extremes_map_to_the_ends_of_the_range() {
        let mut q = [0; 3];
        assert_eq!(
            quantize_symmetric(&[-2.0, 0.0, 1.0], &mut q),
            Activations { scale: 2.0 / 127.0, zero_point: 0 }
        );
        // 63.5 rounds away from zero.
        assert_eq!(q, [-127, 0, 64]);
        assert_eq!(quantize_asymmetric(&[0.0, 1.0, 2.55], &mut q).zero_point, -128);
        assert_eq!(q, [-128, -28, 127]);
        assert_eq!(quantize_asymmetric(&[-2.55, -1.0, -0.5], &mut q).zero_point, 127);
        assert_eq!(q, [-128, 27, 77]);
    }

    #[test]
    fn nothing_but_zeros_has_scale_one() {
        let mut q = [5; 2];
        let zero = Activations { scale: 1.0, zero_point: 0 };
        assert_eq!((quantize_symmetric(&[0.0, -0.0], &mut q), q), (zero, [0; 2]));
        q = [5; 2];
        assert_eq!((quantize_asymmetric(&[0.0; 2], &mut q), q), (zero, [0; 2]));
        assert_eq!(quantize_symmetric(&[], &mut []), zero);
    }

    #[test]
    fn values_that_are_no_numbers_do_not_panic() {
        let mut q = [0; 3];
        quantize_symmetric(&[f32::NAN, f32::INFINITY, 1.0], &mut q);
        quantize_asymmetric(&[f32::NEG_INFINITY, f32::INFINITY, f32::NAN], &mut q);
    }
}
