//! CONV_2D: activations `[n, h, w, c]`, weights OHWI.
//!
//! An input channel count that is a multiple of the weights' means groups: output channel `o` sees
//! the input channels of group `o / (channels / groups)`.
//!
//! Source: `reference_integer_ops::ConvPerChannel` (int8, int16), `reference_ops::Conv` (f32, legacy
//! uint8) and `HybridConvPerChannel` of LiteRT; TFLite Micro has all but the last.

use crate::Mismatch;
use crate::arch;
#[cfg(any(layers, test))]
use crate::convolve::Plan;
pub use crate::convolve::Windows;
use crate::convolve::{Convolution, Geometry, Padding, volume};
use crate::dot::{F32, I8, I16, I16Wide};
use crate::finish::{Biased, Dequantized, Requantized, RequantizedWide};
use crate::hybrid::HybridOutput;
use crate::pool::ActivationRange;
use crate::requantize::{Accumulate16, Output, Requantize, Rescale};
use crate::window::Window;

/// An int8 convolution.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Conv2dI8<'a, R = Requantize<'a>> {
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
    pub requantize: R,
    /// Offset and clamp.
    pub output_stage: Output,
}

impl<R: Rescale> Conv2dI8<'_, R> {
    /// Which of the kernels does it: [`conv2d_pointwise_i8`] where windows follow each other in the
    /// image, [`conv2d_i8`] where they are small enough to be copied to the stack, else
    /// [`conv2d_large_i8`]. `None` where the shapes do not fit each other.
    pub fn windows(&self) -> Option<Windows> {
        Some(self.convolution().ok()?.windows())
    }

    /// The layer's shapes, if they fit each other, the weights and the biases.
    #[cfg(any(layers, test))]
    #[inline(always)]
    pub(crate) fn plan(&self) -> Result<Plan, Mismatch> {
        let Self { input, output, kernel, window, .. } = *self;
        let [.., channels] = output;
        if self.bias.len() != channels {
            return Err(Mismatch);
        }
        Plan::new(Geometry { input, output, kernel, window }, self.weights.len())
    }

    /// Whether windows follow each other in the image ([`Windows::Adjacent`]) where there is one group;
    /// tells it from the shapes, whatever the weights.
    pub fn is_product(&self) -> bool {
        let ([_, input_h, input_w, _], [_, height, width, _]) = (self.input, self.output);
        self.kernel == [1, 1]
            && self.window == Window::UNIT
            && [input_h, input_w] == [height, width]
    }

    /// The same layer, its rounding to be chosen while it runs.
    #[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
    pub(crate) fn with_any_rounding(&self) -> Conv2dI8<'_> {
        Conv2dI8 {
            input: self.input,
            output: self.output,
            kernel: self.kernel,
            window: self.window,
            weights: self.weights,
            weights_zero_point: self.weights_zero_point,
            input_zero_point: self.input_zero_point,
            bias: self.bias,
            requantize: self.requantize.any(),
            output_stage: self.output_stage,
        }
    }

    #[inline(always)]
    fn convolution(&self) -> Result<Convolution<'_, I8, Requantized<'_, i8, R>>, Mismatch> {
        let Self { input, output, kernel, window, weights_zero_point, .. } = *self;
        let [.., channels] = output;
        if self.bias.len() != channels {
            return Err(Mismatch);
        }
        // The folded bias takes the input's zero point from every tap, so those outside must give
        // it.
        let outside = Some(self.input_zero_point as i8);
        let padding = Padding { outside, weights_zero_point };
        let g = Geometry { input, output, kernel, window };
        let finish = Requantized::new(self.bias, self.requantize, self.output_stage);
        Convolution::new(I8, &g, padding, self.weights, finish)
    }
}

/// `y = clamp(rescale(bias + Σ (x − input_zero_point)·(w − weights_zero_point)) + output_offset)`,
/// of windows that are small enough to be copied to the stack ([`Windows::Small`]).
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state, or a window is large.
#[inline(never)]
pub fn conv2d_i8<R: Rescale>(p: &Conv2dI8<'_, R>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    arch::conv2d_i8(p, x, y)
}

/// [`conv2d_i8`] where the kernel is one pixel that visits every pixel
/// ([`Windows::Adjacent`]): a product of matrices.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state, or the convolution is
/// another.
#[inline(never)]
pub fn conv2d_pointwise_i8<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::conv2d_pointwise_i8(p, x, y)
}

/// [`conv2d_i8`] for windows of any size.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn conv2d_large_i8<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::conv2d_large_i8(p, x, y)
}

/// The definition of [`conv2d_i8`].
#[cfg(not(layers))]
#[inline(always)]
pub(crate) fn portable<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    p.convolution()?.by_copies(x, y)
}

/// The definition of [`conv2d_pointwise_i8`].
#[cfg(not(layers))]
#[inline(always)]
pub(crate) fn portable_pointwise<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    p.convolution()?.product(x, y)
}

/// The definition of [`conv2d_large_i8`].
#[cfg(not(layers))]
#[inline(always)]
pub(crate) fn portable_large<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    p.convolution()?.by_taps(x, y)
}

/// A convolution of int16 activations with int8 weights; neither has a zero point.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Conv2dI16<'a, R = Requantize<'a>> {
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
    /// Bias and scales.
    pub accumulate: Accumulate16<'a, R>,
    /// Offset (0) and clamp.
    pub output_stage: Output,
}

/// `y = clamp(rescale(bias + Σ x·w))`.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn conv2d_i16<R: Rescale>(
    p: &Conv2dI16<'_, R>,
    x: &[i16],
    y: &mut [i16],
) -> Result<(), Mismatch> {
    let Conv2dI16 { input, output, kernel, window, .. } = *p;
    let [.., channels] = output;
    if !p.accumulate.fits(channels) {
        return Err(Mismatch);
    }
    let g = Geometry { input, output, kernel, window };
    match p.accumulate {
        Accumulate16::Narrow(bias, requantize) => {
            let finish = Requantized::new(bias, requantize, p.output_stage);
            Convolution::new(I16, &g, Padding::zero(), p.weights, finish)?.run(x, y)
        }
        Accumulate16::Wide(bias, requantize) => {
            let finish = RequantizedWide { bias, requantize, output: p.output_stage };
            Convolution::new(I16Wide, &g, Padding::zero(), p.weights, finish)?.run(x, y)
        }
    }
}

/// A convolution in f32.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Conv2dF32<'a> {
    /// `[n, h, w, c]` of the input.
    pub input: [usize; 4],
    /// `[n, h, w, c]` of the output.
    pub output: [usize; 4],
    /// `[h, w]` of the kernel.
    pub kernel: [usize; 2],
    /// How the kernel moves.
    pub window: Window,
    /// OHWI, where I is the input's channels / groups.
    pub weights: &'a [f32],
    /// One per output channel.
    pub bias: &'a [f32],
    /// The fused activation.
    pub activation: ActivationRange<f32>,
}

/// `y = clamp(Σ x·w + bias)`, products summed in the order of the weights; taps outside of the image
/// are 0.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn conv2d_f32(p: &Conv2dF32<'_>, x: &[f32], y: &mut [f32]) -> Result<(), Mismatch> {
    let Conv2dF32 { input, output, kernel, window, .. } = *p;
    let [.., channels] = output;
    if p.bias.len() != channels {
        return Err(Mismatch);
    }
    let g = Geometry { input, output, kernel, window };
    let finish = Biased { bias: p.bias, activation: p.activation };
    Convolution::new(F32, &g, Padding::zero(), p.weights, finish)?.run(x, y)
}

/// A convolution of f32 activations, quantized on the fly, with int8 weights.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Conv2dHybrid<'a> {
    /// `[n, h, w, c]` of the input.
    pub input: [usize; 4],
    /// `[n, h, w, c]` of the output.
    pub output: [usize; 4],
    /// `[h, w]` of the kernel.
    pub kernel: [usize; 2],
    /// How the kernel moves.
    pub window: Window,
    /// OHWI, where I is the input's channels / groups; no zero point.
    pub weights: &'a [i8],
    /// From the sums to the output.
    pub output_stage: HybridOutput<'a>,
}

/// `y = clamp(scale × weight_scale × Σ (q − zero_point)·w + bias)`, where `q` is one image of `x`,
/// quantized into `scratch`, which holds the `h·w·c` elements of an image.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn conv2d_hybrid(
    p: &Conv2dHybrid<'_>,
    x: &[f32],
    y: &mut [f32],
    scratch: &mut [i8],
) -> Result<(), Mismatch> {
    let Conv2dHybrid { input, output, kernel, window, .. } = *p;
    let ([batches, h, w, c], [output_batches, out_h, out_w, channels]) = (input, output);
    p.output_stage.check(channels)?;
    let image = volume([h, w, c])?;
    let out = volume([out_h, out_w, channels])?;
    if batches != output_batches
        || image.checked_mul(batches) != Some(x.len())
        || out.checked_mul(batches) != Some(y.len())
    {
        return Err(Mismatch);
    }
    let input = [1, h, w, c];
    let output = [1, out_h, out_w, channels];
    let g = Geometry { input, output, kernel, window };
    let quantized = scratch.get_mut(..image).ok_or(Mismatch)?;
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        let activations = p.output_stage.quantize(x, quantized);
        let outside = Some(activations.zero_point);
        let padding = Padding { outside, weights_zero_point: 0 };
        let finish = Dequantized { output: p.output_stage, activations };
        Convolution::new(I8, &g, padding, p.weights, finish)?.run(quantized, y)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Scales, Values, fold, output_stage, real, requantized};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Whichever kernel does it; the one for any window has to give the same.
    fn any_conv2d_i8(p: &Conv2dI8<'_>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
        let mut large = vec![0; y.len()];
        let expected = conv2d_large_i8(p, x, &mut large);
        let result = match p.windows() {
            Some(Windows::Adjacent) => conv2d_pointwise_i8(p, x, y),
            Some(Windows::Small) => conv2d_i8(p, x, y),
            _ => conv2d_large_i8(p, x, y),
        };
        assert_eq!(result, expected);
        if result.is_ok() {
            assert_eq!(y, large);
        }
        result
    }

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
                any_conv2d_i8(&p, &x, &mut y).unwrap();
                let y: Vec<i32> = y.into_iter().map(i32::from).collect();
                prop_assert_eq!(y, requantized(&sums, &bias, requantize, &output_stage));
            }
        }

        #[test]
        fn conv2d_i16_is_its_formula(
            mut g in testing::geometry(), depth in 1..21_usize, groups in 1..3_usize, seed: u64,
        ) {
            (g.input[3], g.output[3]) = (depth * groups, 3 * groups);
            let mut values = Values::new(seed);
            let x = values.i16s(g.input.iter().product());
            let weights = values.i8s(g.output[3] * g.kernel[0] * g.kernel[1] * depth);
            let sums = testing::conv2d(&g, depth, &real(&x, 0), &real(&weights, 0));
            testing::requantized_16(&mut values, g.output[3], &sums, |accumulate, output_stage| {
                let p = Conv2dI16 {
                    input: g.input, output: g.output, kernel: g.kernel, window: g.window,
                    weights: &weights, accumulate, output_stage,
                };
                let mut y = vec![0; sums.len()];
                conv2d_i16(&p, &x, &mut y).unwrap();
                y
            })?;
        }

        #[test]
        fn conv2d_f32_is_its_formula(
            mut g in testing::geometry(), depth in 1..21_usize, groups in 1..3_usize, seed: u64,
        ) {
            (g.input[3], g.output[3]) = (depth * groups, 3 * groups);
            let mut values = Values::new(seed);
            let x = values.f32s(g.input.iter().product());
            let weights = values.f32s(g.output[3] * g.kernel[0] * g.kernel[1] * depth);
            let bias = values.f32s(g.output[3]);
            let p = Conv2dF32 {
                input: g.input, output: g.output, kernel: g.kernel, window: g.window,
                weights: &weights, bias: &bias, activation: ActivationRange { min: -2.0, max: 9.0 },
            };
            let mut y = vec![0.0; g.output.iter().product()];
            conv2d_f32(&p, &x, &mut y).unwrap();
            let sums = testing::conv2d(&g, depth, &real(&x, 0), &real(&weights, 0));
            for (i, (y, sum)) in y.iter().zip(sums).enumerate() {
                let wanted = (sum + f64::from(bias[i % bias.len()])).clamp(-2.0, 9.0);
                prop_assert!((f64::from(*y) - wanted).abs() < 1e-4, "{} for {}", y, wanted);
            }
        }

        #[test]
        fn conv2d_hybrid_is_its_formula(
            mut g in testing::geometry(), depth in 1..21_usize, groups in 1..3_usize, seed: u64,
        ) {
            (g.input[3], g.output[3]) = (depth * groups, 3 * groups);
            let mut values = Values::new(seed);
            let filter = g.kernel[0] * g.kernel[1] * depth;
            let x = values.f32s(g.input.iter().product());
            let weights = values.i8s(g.output[3] * filter);
            let w = real(&weights, 0);
            let weight_sums = fold(&vec![0; g.output[3]], -1, &w, |i| i / filter);
            let sums = |x: &[f64]| testing::conv2d(&g, depth, x, &w);
            testing::hybrid(&mut values, g.input[0], &x, &weight_sums, sums, |output_stage| {
                let p = Conv2dHybrid {
                    input: g.input, output: g.output, kernel: g.kernel, window: g.window,
                    weights: &weights, output_stage,
                };
                let mut y = vec![0.0; g.output.iter().product()];
                conv2d_hybrid(&p, &x, &mut y, &mut vec![0; x.len() / g.input[0]]).unwrap();
                y
            })?;
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
        let run = |p: Conv2dI8<'_>| any_conv2d_i8(&p, &[1; 12], &mut [0; 4]);
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
        assert_eq!(any_conv2d_i8(&p, &[1; 12], &mut y), Ok(()));
        assert_eq!(y, [-128; 4]);
    }
}
