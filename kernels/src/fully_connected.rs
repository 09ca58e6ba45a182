//! FULLY_CONNECTED: activations `[batches, inputs]`, weights OI.
//!
//! Source: `reference_integer_ops::FullyConnected` and `FullyConnectedPerChannel` of LiteRT and
//! TFLite Micro.

use crate::Mismatch;
use crate::conv2d::{Conv2dI8, conv2d_i8};
use crate::requantize::{Output, Requantize};
use crate::window::Window;

/// An int8 fully connected layer.
#[derive(Debug, Clone, Copy)]
pub struct FullyConnectedI8<'a> {
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
    pub requantize: Requantize<'a>,
    /// Offset and clamp.
    pub output_stage: Output,
}

/// `y = clamp(rescale(bias + Σ (x − input_zero_point)·(w − weights_zero_point)) + output_offset)`:
/// a convolution whose kernel is one pixel, over an image whose pixels are the rows.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the parameters state.
pub fn fully_connected_i8(
    p: &FullyConnectedI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let p = Conv2dI8 {
        input: [1, 1, p.batches, p.inputs],
        output: [1, 1, p.batches, p.outputs],
        kernel: [1, 1],
        window: Window::UNIT,
        weights: p.weights,
        weights_zero_point: p.weights_zero_point,
        input_zero_point: 0,
        bias: p.bias,
        requantize: p.requantize,
        output_stage: p.output_stage,
    };
    conv2d_i8(&p, x, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scales, Values, fold, output_stage, real, requantized};
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
                let y: Vec<i32> = y.into_iter().map(i32::from).collect();
                prop_assert_eq!(y, requantized(&sums, &bias, requantize, &output_stage));
            }
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
