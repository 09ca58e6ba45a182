//! FULLY_CONNECTED: activations `[batches, inputs]`, weights OI.
//!
//! Source: `reference_integer_ops::FullyConnected` and `FullyConnectedPerChannel` of LiteRT and
//! TFLite Micro.

use crate::Mismatch;
use crate::arch;
use crate::conv2d::{
    Conv2dF32, Conv2dHybrid, Conv2dI8, Conv2dI16, conv2d_f32, conv2d_hybrid, conv2d_i16,
    conv2d_pointwise_i8,
};
use crate::dot::{Arithmetic, I8, ROWS};
use crate::finish::{Finish, Requantized};
use crate::hybrid::HybridOutput;
use crate::pool::ActivationRange;
use crate::requantize::{Accumulate16, Output, Requantize, Rescale};
use crate::window::Window;

/// An int8 fully connected layer.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct FullyConnectedI8<'a, R = Requantize<'a>> {
    /// Rows of the input and of the output.
    pub batches: usize,
    /// Elements of one input row.
    pub inputs: usize,
    /// Elements of one output row.
    pub outputs: usize,
    /// OI.
    pub weights: &'a [i8],
    /// 0, except for models that were quantized to uint8; in `[-128, 127]`.
    pub weights_zero_point: i32,
    /// One per output: `bias − input_zero_point × Σ (weights − weights_zero_point)`.
    pub bias: &'a [i32],
    /// From accumulator to output, per output or for all.
    pub requantize: R,
    /// Offset and clamp.
    pub output_stage: Output,
}

impl<'a, R: Rescale> FullyConnectedI8<'a, R> {
    /// The same as a convolution whose kernel is one pixel, over an image whose pixels are the rows.
    #[inline(always)]
    pub fn as_convolution(&self) -> Conv2dI8<'a, R> {
        Conv2dI8 {
            input: [1, 1, self.batches, self.inputs],
            output: [1, 1, self.batches, self.outputs],
            kernel: [1, 1],
            window: Window::UNIT,
            weights: self.weights,
            weights_zero_point: self.weights_zero_point,
            input_zero_point: 0,
            bias: self.bias,
            requantize: self.requantize,
            output_stage: self.output_stage,
        }
    }

    /// Fails unless there is one row, and the weights, the biases and slices of lengths `x` and `y` fit it.
    #[inline(always)]
    pub(crate) fn expect_row(&self, x: usize, y: usize) -> Result<(), Mismatch> {
        let Self { batches, inputs, outputs, .. } = *self;
        let fits = batches == 1
            && x == inputs
            && y == outputs
            && self.bias.len() == outputs
            && inputs.checked_mul(outputs) == Some(self.weights.len());
        if fits { Ok(()) } else { Err(Mismatch) }
    }
}

/// `y = clamp(rescale(bias + Σ (x − input_zero_point)·(w − weights_zero_point)) + output_offset)`.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the parameters state.
#[inline(never)]
pub fn fully_connected_i8<R: Rescale>(
    p: &FullyConnectedI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    conv2d_pointwise_i8(&p.as_convolution(), x, y)
}

/// [`fully_connected_i8`] of a single row: less code, and less to do around short sums.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the parameters state, or there is more
/// than one row.
#[inline(never)]
pub fn fully_connected_vector_i8<R: Rescale>(
    p: &FullyConnectedI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    portable_vector(p, x, y)
}

/// Inputs from which on [`fully_connected_long_i8`] is worth its code.
pub const LONG: usize = 64;

/// [`fully_connected_vector_i8`] of many inputs, [`LONG`] or more.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the parameters state, or there is more
/// than one row.
#[inline(never)]
pub fn fully_connected_long_i8<R: Rescale>(
    p: &FullyConnectedI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::fully_connected_long_i8(p, x, y)
}

/// The definition of both.
#[inline(always)]
pub(crate) fn portable_vector<R: Rescale>(
    p: &FullyConnectedI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let FullyConnectedI8 { inputs, weights_zero_point, .. } = *p;
    p.expect_row(x.len(), y.len())?;
    let finish = Requantized::new(p.bias, p.requantize, p.output_stage);
    let offset = match weights_zero_point {
        0 => 0,
        zero_point => I8.sum(x).wrapping_mul(zero_point).wrapping_neg(),
    };
    let mut weights = p.weights;
    for (block, y) in y.chunks_mut(ROWS).enumerate() {
        let (first, rest) = weights.split_at_checked(inputs).ok_or(Mismatch)?;
        // Where there is one output left, it goes with itself.
        let (second, rest) = rest.split_at_checked(inputs).unwrap_or((first, rest));
        weights = rest;
        let accs = I8.dot([offset; ROWS], x, [first, second]);
        let [results] = finish.finish(&finish.block::<ROWS>(block * ROWS), [accs]);
        for (y, result) in y.iter_mut().zip(results) {
            *y = result;
        }
    }
    Ok(())
}

/// A fully connected layer of int16 activations with int8 weights; neither has a zero point.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct FullyConnectedI16<'a, R = Requantize<'a>> {
    /// Rows of the input and of the output.
    pub batches: usize,
    /// Elements of one input row.
    pub inputs: usize,
    /// Elements of one output row.
    pub outputs: usize,
    /// OI.
    pub weights: &'a [i8],
    /// Bias and scales.
    pub accumulate: Accumulate16<'a, R>,
    /// Offset (0) and clamp.
    pub output_stage: Output,
}

/// `y = clamp(rescale(bias + Σ x·w))`.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the parameters state.
#[inline(never)]
pub fn fully_connected_i16<R: Rescale>(
    p: &FullyConnectedI16<'_, R>,
    x: &[i16],
    y: &mut [i16],
) -> Result<(), Mismatch> {
    let p = Conv2dI16 {
        input: [1, 1, p.batches, p.inputs],
        output: [1, 1, p.batches, p.outputs],
        kernel: [1, 1],
        window: Window::UNIT,
        weights: p.weights,
        accumulate: p.accumulate,
        output_stage: p.output_stage,
    };
    conv2d_i16(&p, x, y)
}

/// A fully connected layer in f32.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct FullyConnectedF32<'a> {
    /// Rows of the input and of the output.
    pub batches: usize,
    /// Elements of one input row.
    pub inputs: usize,
    /// Elements of one output row.
    pub outputs: usize,
    /// OI.
    pub weights: &'a [f32],
    /// One per output.
    pub bias: &'a [f32],
    /// The fused activation.
    pub activation: ActivationRange<f32>,
}

impl<'a> FullyConnectedF32<'a> {
    /// The same as a convolution whose kernel is one pixel, over an image whose pixels are the rows.
    #[inline(always)]
    pub fn as_convolution(&self) -> Conv2dF32<'a> {
        Conv2dF32 {
            input: [1, 1, self.batches, self.inputs],
            output: [1, 1, self.batches, self.outputs],
            kernel: [1, 1],
            window: Window::UNIT,
            weights: self.weights,
            bias: self.bias,
            activation: self.activation,
        }
    }
}

/// `y = clamp(Σ x·w + bias)`, products summed in the order of the inputs.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the parameters state.
#[inline(never)]
pub fn fully_connected_f32(
    p: &FullyConnectedF32<'_>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    conv2d_f32(&p.as_convolution(), x, y)
}

/// A fully connected layer of f32 activations, quantized on the fly, with int8 weights.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct FullyConnectedHybrid<'a> {
    /// Rows of the input and of the output; each row is quantized by itself.
    pub batches: usize,
    /// Elements of one input row.
    pub inputs: usize,
    /// Elements of one output row.
    pub outputs: usize,
    /// OI; no zero point.
    pub weights: &'a [i8],
    /// From the sums to the output.
    pub output_stage: HybridOutput<'a>,
}

/// `y = clamp(scale × weight_scale × Σ (q − zero_point)·w + bias)`, where `q` is one row of `x`,
/// quantized into `scratch`, which holds `inputs` elements.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the parameters state.
#[inline(never)]
pub fn fully_connected_hybrid(
    p: &FullyConnectedHybrid<'_>,
    x: &[f32],
    y: &mut [f32],
    scratch: &mut [i8],
) -> Result<(), Mismatch> {
    let p = Conv2dHybrid {
        input: [p.batches, 1, 1, p.inputs],
        output: [p.batches, 1, 1, p.outputs],
        kernel: [1, 1],
        window: Window::UNIT,
        weights: p.weights,
        output_stage: p.output_stage,
    };
    conv2d_hybrid(&p, x, y, scratch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Scales, Values, fold, output_stage, real, requantized};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// `Σ x·w` for each row of `x` and each row of `w`.
    fn products(inputs: usize, x: &[f64], w: &[f64]) -> Vec<f64> {
        let dot = |x: &[f64], w: &[f64]| x.iter().zip(w).map(|(x, w)| x * w).sum();
        x.chunks(inputs).flat_map(|x| w.chunks(inputs).map(move |w| dot(x, w))).collect()
    }

    proptest! {
        #[test]
        fn fully_connected_i8_is_its_formula(
            batches in 1..5_usize, inputs in 1..70_usize, outputs in 1..12_usize,
            input_zero_point in -128..128, zero_point in -128..128, symmetric: bool, seed: u64,
        ) {
            let weights_zero_point = if symmetric { 0 } else { zero_point };
            let mut values = Values::new(seed);
            let x = values.i8s(batches * inputs);
            let weights = values.i8s(outputs * inputs);
            let bias = values.i32s(outputs, -100_000, 100_000);
            let output_stage = output_stage(&mut values);
            let scales = Scales::new(&mut values, outputs);

            let w = real(&weights, weights_zero_point);
            let sums = products(inputs, &real(&x, input_zero_point), &w);
            let folded = fold(&bias, input_zero_point, &w, |i| i / inputs);
            for requantize in scales.all() {
                let p = FullyConnectedI8 {
                    batches, inputs, outputs, weights: &weights, weights_zero_point,
                    bias: &folded, requantize, output_stage,
                };
                let mut y = vec![0; sums.len()];
                fully_connected_i8(&p, &x, &mut y).unwrap();
                if batches == 1 {
                    let mut vector = vec![0; sums.len()];
                    fully_connected_vector_i8(&p, &x, &mut vector).unwrap();
                    prop_assert_eq!(&vector, &y);
                    fully_connected_long_i8(&p, &x, &mut vector).unwrap();
                    prop_assert_eq!(&vector, &y);
                }
                let y: Vec<i32> = y.into_iter().map(i32::from).collect();
                prop_assert_eq!(y, requantized(&sums, &bias, requantize, &output_stage));
            }
        }

        #[test]
        fn fully_connected_i16_is_its_formula(
            batches in 1..5_usize, inputs in 1..600_usize, outputs in 1..8_usize, seed: u64,
        ) {
            let mut values = Values::new(seed);
            let x = values.i16s(batches * inputs);
            let weights = values.i8s(outputs * inputs);
            let sums = products(inputs, &real(&x, 0), &real(&weights, 0));
            let wide = |p: &FullyConnectedI16<'_>| {
                let mut y = vec![0; batches * outputs];
                fully_connected_i16(p, &x, &mut y).unwrap();
                y
            };
            // Sums of extremes do not fit 32 bits, so only the wide form is compared on long rows.
            if inputs < 200 {
                testing::requantized_16(&mut values, outputs, &sums, |accumulate, output_stage| {
                    wide(&FullyConnectedI16 {
                        batches, inputs, outputs, weights: &weights, accumulate, output_stage,
                    })
                })?;
            }
            let scales = Scales::new(&mut values, outputs);
            let bias = values.integers(outputs, -1 << 34, 1 << 34);
            for requantize in scales.wide() {
                let y = wide(&FullyConnectedI16 {
                    batches, inputs, outputs, weights: &weights,
                    accumulate: Accumulate16::Wide(&bias, requantize),
                    output_stage: Output {
                        output_offset: 0, activation_min: -32768, activation_max: 32767,
                    },
                });
                for (i, (y, &sum)) in y.into_iter().zip(&sums).enumerate() {
                    let acc = sum as i64 + bias[i % outputs];
                    let wanted = requantize.rescale(acc, i % outputs).clamp(-32768, 32767);
                    prop_assert_eq!(i32::from(y), wanted);
                }
            }
        }

        #[test]
        fn fully_connected_f32_is_its_formula(
            batches in 1..5_usize, inputs in 1..70_usize, outputs in 1..12_usize, seed: u64,
        ) {
            let mut values = Values::new(seed);
            let (x, weights) = (values.f32s(batches * inputs), values.f32s(outputs * inputs));
            let bias = values.f32s(outputs);
            let activation = ActivationRange { min: -1.0, max: 2.0 };
            let p = FullyConnectedF32 {
                batches, inputs, outputs, weights: &weights, bias: &bias, activation,
            };
            let mut y = vec![0.0; batches * outputs];
            fully_connected_f32(&p, &x, &mut y).unwrap();
            let sums = products(inputs, &real(&x, 0), &real(&weights, 0));
            for (i, (y, sum)) in y.iter().zip(sums).enumerate() {
                let wanted = (sum + f64::from(bias[i % outputs])).clamp(-1.0, 2.0);
                prop_assert!((f64::from(*y) - wanted).abs() < 1e-5, "{} for {}", y, wanted);
            }
        }

        #[test]
        fn fully_connected_hybrid_is_its_formula(
            batches in 1..5_usize, inputs in 1..70_usize, outputs in 1..12_usize, seed: u64,
        ) {
            let mut values = Values::new(seed);
            let (x, weights) = (values.f32s(batches * inputs), values.i8s(outputs * inputs));
            let w = real(&weights, 0);
            let weight_sums = fold(&vec![0; outputs], -1, &w, |i| i / inputs);
            let sums = |x: &[f64]| products(inputs, x, &w);
            testing::hybrid(&mut values, batches, &x, &weight_sums, sums, |output_stage| {
                let p = FullyConnectedHybrid {
                    batches, inputs, outputs, weights: &weights, output_stage,
                };
                let mut y = vec![0.0; batches * outputs];
                fully_connected_hybrid(&p, &x, &mut y, &mut vec![0; inputs]).unwrap();
                y
            })?;
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let p = FullyConnectedI8 {
            batches: 2,
            inputs: 3,
            outputs: 1,
            weights: &[1, 2, 3],
            weights_zero_point: 0,
            bias: &[0],
            requantize: Requantize::Float32(&[1.0]),
            output_stage: Output { output_offset: 0, activation_min: -128, activation_max: 127 },
        };
        let mut y = [0; 2];
        assert_eq!(fully_connected_i8(&p, &[1, 1, 1, 2, 2, 2], &mut y), Ok(()));
        assert_eq!(y, [6, 12]);
        assert_eq!(fully_connected_i8(&p, &[1; 5], &mut y), Err(Mismatch));
        assert_eq!(fully_connected_i8(&p, &[1; 6], &mut [0; 3]), Err(Mismatch));
        let p = FullyConnectedI8 { weights: &[1, 2], ..p };
        assert_eq!(fully_connected_i8(&p, &[1; 6], &mut y), Err(Mismatch));
    }
}
