//! CONV_2D: activations `[n, h, w, c]`, weights OHWI.
//!
//! An input channel count that is a multiple of the weights' means groups: output channel `o` sees
//! the input channels of group `o / (channels / groups)`.
//!
//! Source: `reference_integer_ops::ConvPerChannel` of LiteRT and TFLite Micro.

use crate::Mismatch;
use crate::convolve::{Geometry, Padding, convolve};
use crate::dot::I8;
use crate::requantize::{Output, Requantize, Rescale};
use crate::window::Window;
use crate::with_rescale;

/// An int8 convolution.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dI8<'a> {
    /// `[n, h, w, c]` of the input.
    pub input: [usize; 4],
    /// `[n, h, w, c]` of the output.
    pub output: [usize; 4],
    /// `[h, w]` of the kernel.
    pub kernel: [usize; 2],
    /// How the kernel moves.
    pub window: Window,
    /// OHWI, where I is the input's channels / groups.
    pub weights: &'a [i8],
    /// 0, except for models that were quantized to uint8; in `[-128, 127]`.
    pub weights_zero_point: i32,
    /// What taps outside the image read; in `[-128, 127]`.
    pub input_zero_point: i32,
    /// One per output channel: `bias − input_zero_point × Σ (weights − weights_zero_point)`.
    pub bias: &'a [i32],
    /// From accumulator to output, per channel or for all.
    pub requantize: Requantize<'a>,
    /// Offset and clamp.
    pub output_stage: Output,
}

/// `y = clamp(rescale(bias + Σ (x − input_zero_point)·(w − weights_zero_point)) + output_offset)`.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
pub fn conv2d_i8(p: &Conv2dI8<'_>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    with_rescale!(p.requantize, |rescale| conv2d_i8_with(p, rescale, x, y))
}

fn conv2d_i8_with(
    p: &Conv2dI8<'_>,
    rescale: impl Rescale,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let Conv2dI8 { input, output, kernel, window, weights_zero_point, .. } = *p;
    let [.., channels] = output;
    if p.bias.len() != channels {
        return Err(Mismatch);
    }
    // The folded bias takes the input's zero point from every tap, so those outside must give it.
    let outside = Some(p.input_zero_point as i8);
    let padding = Padding { outside, sums: weights_zero_point != 0 };
    let g = Geometry { input, output, kernel, window };
    convolve::<I8, _>(&g, padding, x, p.weights, y, |channel, acc, sum| {
        let bias = p.bias.get(channel).copied().unwrap_or_default();
        let acc = acc.wrapping_add(bias).wrapping_sub(sum.wrapping_mul(weights_zero_point));
        p.output_stage.apply(rescale.rescale(acc, channel)) as i8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Scales, Values, fold, output_stage, real, requantized};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn conv2d_i8_is_its_formula(
            mut g in testing::geometry(), depth in 1..21_usize, groups in 1..4_usize,
            group in 1..4_usize, zero_points in (-128..128, -128..128), kind in 0..2, seed: u64,
        ) {
            let input_zero_point = zero_points.0;
            let weights_zero_point = if kind == 0 { 0 } else { zero_points.1 };
            let groups = if kind == 0 { 1 } else { groups };
            (g.input[3], g.output[3]) = (depth * groups, group * groups);
            let mut values = Values::new(seed);
            let filter = g.kernel[0] * g.kernel[1] * depth;
            let x = values.i8s(g.input.iter().product());
            let weights = values.i8s(g.output[3] * filter);
            let bias = values.i32s(g.output[3], -100_000, 100_000);
            let output_stage = output_stage(&mut values);
            let scales = Scales::new(&mut values, g.output[3]);

            let w = real(&weights, weights_zero_point);
            let sums = testing::conv2d(&g, depth, &real(&x, input_zero_point), &w);
            let folded = fold(&bias, input_zero_point, &w, |i| i / filter);
            for requantize in scales.all() {
                let p = Conv2dI8 {
                    input: g.input, output: g.output, kernel: g.kernel, window: g.window,
                    weights: &weights, weights_zero_point, input_zero_point, bias: &folded,
                    requantize, output_stage,
                };
                let mut y = vec![0; sums.len()];
                conv2d_i8(&p, &x, &mut y).unwrap();
                let y: Vec<i32> = y.into_iter().map(i32::from).collect();
                prop_assert_eq!(y, requantized(&sums, &bias, requantize, &output_stage));
            }
        }
    }

    const ONE: Conv2dI8<'static> = Conv2dI8 {
        input: [1, 2, 2, 3],
        output: [1, 2, 2, 1],
        kernel: [1, 1],
        window: Window::UNIT,
        weights: &[1, 2, 3],
        weights_zero_point: 0,
        input_zero_point: 0,
        bias: &[0],
        requantize: Requantize::Float32(&[1.0]),
        output_stage: Output { output_offset: 0, activation_min: -128, activation_max: 127 },
    };

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let run = |p: Conv2dI8<'_>| conv2d_i8(&p, &[1; 12], &mut [0; 4]);
        assert_eq!(run(ONE), Ok(()));
        assert_eq!(conv2d_i8(&ONE, &[1; 11], &mut [0; 4]), Err(Mismatch));
        assert_eq!(conv2d_i8(&ONE, &[1; 12], &mut [0; 5]), Err(Mismatch));
        assert_eq!(run(Conv2dI8 { weights: &[1, 2], ..ONE }), Err(Mismatch));
        assert_eq!(run(Conv2dI8 { weights: &[1, 2, 3, 4, 5, 6], ..ONE }), Err(Mismatch));
        assert_eq!(run(Conv2dI8 { weights: &[], ..ONE }), Err(Mismatch));
        assert_eq!(run(Conv2dI8 { bias: &[], ..ONE }), Err(Mismatch));
        assert_eq!(run(Conv2dI8 { kernel: [0, 1], ..ONE }), Err(Mismatch));
        assert_eq!(run(Conv2dI8 { input: [2, 1, 2, 3], ..ONE }), Err(Mismatch));
        assert_eq!(run(Conv2dI8 { input: [1, usize::MAX, 2, 3], ..ONE }), Err(Mismatch));
        assert_eq!(run(Conv2dI8 { output: [0, 0, usize::MAX, usize::MAX], ..ONE }), Err(Mismatch));
    }

    #[test]
    fn hostile_windows_give_some_answer() {
        let m = usize::MAX;
        let window = Window {
            stride_h: m,
            stride_w: m / 2,
            dilation_h: 0,
            dilation_w: m,
            pad_top: m,
            pad_left: 1,
        };
        assert_eq!(conv2d_i8(&Conv2dI8 { window, ..ONE }, &[1; 12], &mut [0; 4]), Ok(()));
    }

    #[test]
    fn accumulators_wrap() {
        let p = Conv2dI8 { bias: &[i32::MAX], ..ONE };
        let mut y = [0; 4];
        assert_eq!(conv2d_i8(&p, &[1; 12], &mut y), Ok(()));
        assert_eq!(y, [-128; 4]);
    }
}
