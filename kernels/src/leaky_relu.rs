//! LEAKY_RELU and PRELU of quantized tensors, int8 and int16, and PRELU of f32: numbers below zero
//! are multiplied by a slope.
//!
//! Source: `reference/leaky_relu.h` and `reference/prelu.h` of TFLite, the same in LiteRT and
//! TFLite Micro.

use crate::broadcast::{Operand, Walk, binary, unary_in_place};
use crate::error::Mismatch;
use crate::quantized::Quantized;
use crate::requantize::{Output, Rounding};

/// A scale as a Q0.31 multiplier and a shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Scale {
    /// Q0.31.
    pub multiplier: i32,
    /// In `[-31, 30]`; positive to the left.
    pub shift: i32,
}

/// Parameters of a quantized LEAKY_RELU.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct LeakyRelu {
    /// The negative of the input's zero point.
    pub input_offset: i32,
    /// From numbers that are not negative to the output: the input's scale over the output's.
    pub identity: Scale,
    /// From negative numbers to the output: the same times the slope's magnitude.
    pub alpha: Scale,
    /// Whether the slope is negative, so that negative numbers give positive ones.
    pub alpha_is_negative: bool,
    /// Zero point and range of the output.
    pub output: Output,
}

impl LeakyRelu {
    /// The output for `x`.
    #[inline(always)]
    pub fn of<R: Rounding>(&self, x: i32) -> i32 {
        let x = x.wrapping_add(self.input_offset);
        let scaled = if x >= 0 {
            R::requantize(x, self.identity.multiplier, self.identity.shift)
        } else {
            let scaled = R::requantize(x, self.alpha.multiplier, self.alpha.shift);
            if self.alpha_is_negative { scaled.wrapping_neg() } else { scaled }
        };
        self.output.apply(scaled)
    }
}

/// LEAKY_RELU, int8 or int16; the operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn leaky_relu<R: Rounding, T: Quantized>(
    p: &LeakyRelu,
    x: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    unary_in_place(x, y, |x| T::saturate(p.of::<R>(x.into())))
}

/// Parameters of a quantized PRELU.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Prelu {
    /// The negative of the input's zero point.
    pub input_offset: i32,
    /// The negative of the slopes' zero point.
    pub alpha_offset: i32,
    /// From numbers that are not negative to the output: the input's scale over the output's.
    pub identity: Scale,
    /// From products of negative numbers and slopes to the output: the same times the slopes'
    /// scale.
    pub product: Scale,
    /// Zero point and range of the output.
    pub output: Output,
}

/// PRELU: `y = x` where `x` is not negative, `x × alpha` where it is; int8, or int16 with slopes of
/// int8 or int16. `walk` is that of the shapes of `x` and `alpha`.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn prelu<R: Rounding, T: Quantized, A: Quantized>(
    p: &Prelu,
    walk: &Walk<2>,
    x: &[T],
    alpha: &[A],
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary(walk, x, alpha, y, |x, alpha| {
        let x = p.input_offset.wrapping_add(x.into());
        let scaled = if x >= 0 {
            R::requantize(x, p.identity.multiplier, p.identity.shift)
        } else {
            let product = x.wrapping_mul(p.alpha_offset.wrapping_add(alpha.into()));
            R::requantize(product, p.product.multiplier, p.product.shift)
        };
        T::saturate(p.output.apply(scaled))
    })
}

/// PRELU of f32; as [`prelu`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn prelu_f32(walk: &Walk<2>, x: &[f32], alpha: &[f32], y: &mut [f32]) -> Result<(), Mismatch> {
    binary(walk, x, alpha, y, |x, alpha| if x >= 0.0 { x } else { x * alpha })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requantize::{Double, Single};
    use crate::shape::Shape;
    use crate::testing::multiplier;
    use proptest::prelude::*;

    fn scale(real: f64) -> Scale {
        let (multiplier, shift) = multiplier(real);
        Scale { multiplier, shift }
    }

    const FULL: Output =
        Output { output_offset: 5, activation_min: i32::MIN, activation_max: i32::MAX };

    proptest! {
        #[test]
        fn int8_is_the_real_function_within_rounding(
            x: i8, zero_point in -128..=127_i32, ratio in 0.1..3.0_f64, alpha in 0.01..2.0_f64,
            alpha_is_negative: bool,
        ) {
            let p = LeakyRelu {
                input_offset: -zero_point, identity: scale(ratio), alpha: scale(ratio * alpha),
                alpha_is_negative, output: FULL,
            };
            let real = f64::from(i32::from(x) - zero_point) * ratio;
            let slope = if alpha_is_negative { -alpha } else { alpha };
            let wanted = if real >= 0.0 { real } else { real * slope } + 5.0;
            let mut y = [x];
            leaky_relu::<Single, _>(&p, Operand::Output, &mut y).unwrap();
            prop_assert!((f64::from(y[0]) - wanted.clamp(-128.0, 127.0)).abs() < 0.501);
        }

        #[test]
        fn slopes_are_broadcast(
            x in prop::array::uniform6(any::<i16>()), alpha in prop::array::uniform3(any::<i8>()),
            ratio in 0.1..1.0_f64, alpha_scale in 1e-3..1e-2_f64,
        ) {
            let p = Prelu {
                input_offset: 0, alpha_offset: 7, identity: scale(ratio),
                product: scale(ratio * alpha_scale), output: FULL,
            };
            let [rows, channels] = [&[2, 3][..], &[3]].map(|dims| Shape::new(dims).unwrap());
            let walk = Walk::new([&rows, &channels]).unwrap();
            let mut y = [0; 6];
            prelu::<Double, _, _>(&p, &walk, &x, &alpha, &mut y).unwrap();
            for (i, (&x, &y)) in x.iter().zip(&y).enumerate() {
                let slope = f64::from(i32::from(alpha[i % 3]) + 7) * alpha_scale;
                let real = f64::from(x) * ratio * if x >= 0 { 1.0 } else { slope } + 5.0;
                prop_assert!((f64::from(y) - real.clamp(-32768.0, 32767.0)).abs() <= 1.0);
            }
        }

        #[test]
        fn no_parameters_panic(ints: [i32; 9], x: i16, alpha: i16, alpha_is_negative: bool) {
            let [input_offset, alpha_offset, m, s, n, t, output_offset, activation_min, activation_max] = ints;
            let output = Output { output_offset, activation_min, activation_max };
            let (identity, product) =
                (Scale { multiplier: m, shift: s }, Scale { multiplier: n, shift: t });
            let p = LeakyRelu { input_offset, identity, alpha: product, alpha_is_negative, output };
            leaky_relu::<Double, _>(&p, Operand::Output, &mut [x]).unwrap();
            let shape = Shape::new(&[1]).unwrap();
            let walk = Walk::new([&shape, &shape]).unwrap();
            let p = Prelu { input_offset, alpha_offset, identity, product, output };
            prelu::<Double, _, _>(&p, &walk, &[x], &[alpha], &mut [0]).unwrap();
        }
    }

    #[test]
    fn float_slopes_apply_below_zero() {
        let shape = Shape::new(&[4]).unwrap();
        let walk = Walk::new([&shape, &shape]).unwrap();
        let mut y = [0.0; 4];
        prelu_f32(&walk, &[-2.0, 0.0, 3.0, -1.0], &[0.5, 2.0, 2.0, -1.0], &mut y).unwrap();
        assert_eq!(y, [-1.0, 0.0, 3.0, 1.0]);
    }
}
