//! DEPTHWISE_CONV_2D: activations `[n, h, w, c]`, weights 1HWC, where C is the output's channels.
//!
//! Output channel `o` sees input channel `o / multiplier`, `multiplier = C / c`.
//!
//! Source: `reference_integer_ops::DepthwiseConvPerChannel` of LiteRT and TFLite Micro.

use crate::Mismatch;
use crate::arch;
use crate::convolve::{Geometry, volume};
use crate::depthwise::{F32, I8, I8Offset, I16, I16Wide, Multiply, depthwise};
use crate::finish::{Biased, Dequantized, Requantized, RequantizedWide};
use crate::hybrid::HybridOutput;
use crate::pool::ActivationRange;
use crate::requantize::{Accumulate16, Output, Requantize, Rescale};
use crate::window::Window;

/// An int8 depthwise convolution.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct DepthwiseConv2dI8<'a, R = Requantize<'a>> {
    /// `[n, h, w, c]` of the input.
    pub input: [usize; 4],
    /// `[n, h, w, c]` of the output; its channels are a multiple of the input's.
    pub output: [usize; 4],
    /// `[h, w]` of the kernel.
    pub kernel: [usize; 2],
    /// How the kernel moves.
    pub window: Window,
    /// 1HWC.
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

impl<R: Rescale> DepthwiseConv2dI8<'_, R> {
    /// The same layer over an image of one row, where the image is one column: all numbers are where
    /// they were.
    #[cfg(all(simd, not(target_arch = "aarch64")))]
    pub(crate) fn as_row(&self) -> Option<Self> {
        let Self { input, output, kernel, window, .. } = *self;
        let ([batches, input_h, input_w, channels], [output_batches, height, width, outputs]) =
            (input, output);
        let [kernel_h, kernel_w] = kernel;
        let column = [input_w, width, kernel_w] == [1; 3] && window.pad_left == 0;
        column.then_some(Self {
            input: [batches, 1, input_h, channels],
            output: [output_batches, 1, height, outputs],
            kernel: [1, kernel_h],
            window: Window {
                stride_w: window.stride_h,
                dilation_w: window.dilation_h,
                pad_left: window.pad_top,
                ..Window::UNIT
            },
            ..*self
        })
    }

    /// Elements of an image of the input and of the output, where all shapes fit each other and slices of
    /// lengths `x` and `y`, the weights have no zero point and an input channel has one output.
    #[cfg(any(layers, test))]
    #[inline(always)]
    pub(crate) fn volumes(&self, x: usize, y: usize) -> Result<[usize; 2], Mismatch> {
        let Self { input, output, kernel, window, .. } = *self;
        let [.., channels] = output;
        let g = Geometry { input, output, kernel, window };
        let [image, out, multiplier] = crate::depthwise::shapes(&g, x, self.weights.len(), y)?;
        let plain = self.weights_zero_point == 0 && multiplier == 1 && self.bias.len() == channels;
        if plain { Ok([image, out]) } else { Err(Mismatch) }
    }

    /// The same layer, its rounding to be chosen while it runs.
    #[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
    pub(crate) fn with_any_rounding(&self) -> DepthwiseConv2dI8<'_> {
        DepthwiseConv2dI8 {
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
}

/// `y = clamp(rescale(bias + Σ (x − input_zero_point)·(w − weights_zero_point)) + output_offset)`,
/// channel by channel, one output for each input channel, with weights whose zero point is 0.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state, the weights have a
/// zero point or an input channel several outputs.
#[inline(never)]
pub fn depthwise_conv2d_i8<R: Rescale>(
    p: &DepthwiseConv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::depthwise_conv2d_i8(p, x, y)
}

/// The definition of [`depthwise_conv2d_i8`].
#[cfg(not(layers))]
#[inline(always)]
pub(crate) fn portable<R: Rescale>(
    p: &DepthwiseConv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    symmetric::<R, false>(p, x, y)
}

/// [`depthwise_conv2d_i8`] with any number of outputs for an input channel.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state, or the weights have a
/// zero point.
#[inline(never)]
pub fn depthwise_conv2d_multiplied_i8<R: Rescale>(
    p: &DepthwiseConv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    symmetric::<R, true>(p, x, y)
}

/// [`depthwise_conv2d_i8`] with weights that have a zero point.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn depthwise_conv2d_asymmetric_i8<R: Rescale>(
    p: &DepthwiseConv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::depthwise_conv2d_asymmetric_i8(p, x, y)
}

/// The definition of [`depthwise_conv2d_asymmetric_i8`].
#[inline(always)]
pub(crate) fn portable_asymmetric<R: Rescale>(
    p: &DepthwiseConv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    with::<R, true>(I8Offset(p.weights_zero_point as i16), p, x, y)
}

#[inline(always)]
fn symmetric<R: Rescale, const SHARED: bool>(
    p: &DepthwiseConv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    if p.weights_zero_point != 0 {
        return Err(Mismatch);
    }
    with::<R, SHARED>(I8, p, x, y)
}

#[inline(always)]
fn with<R: Rescale, const SHARED: bool>(
    arithmetic: impl Multiply<X = i8, W = i8, Acc = i32>,
    p: &DepthwiseConv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let DepthwiseConv2dI8 { input, output, kernel, window, .. } = *p;
    let [.., channels] = output;
    if p.bias.len() != channels {
        return Err(Mismatch);
    }
    let g = Geometry { input, output, kernel, window };
    // The folded bias takes the input's zero point from every tap, so those outside must give it.
    let outside = Some(p.input_zero_point as i8);
    let finish = Requantized::new(p.bias, p.requantize, p.output_stage);
    depthwise::<_, _, SHARED>(arithmetic, &g, outside, x, p.weights, y, &finish)
}

/// A depthwise convolution of int16 activations with int8 weights; neither has a zero point.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct DepthwiseConv2dI16<'a, R = Requantize<'a>> {
    /// `[n, h, w, c]` of the input.
    pub input: [usize; 4],
    /// `[n, h, w, c]` of the output; its channels are a multiple of the input's.
    pub output: [usize; 4],
    /// `[h, w]` of the kernel.
    pub kernel: [usize; 2],
    /// How the kernel moves.
    pub window: Window,
    /// 1HWC.
    pub weights: &'a [i8],
    /// Bias and scales.
    pub accumulate: Accumulate16<'a, R>,
    /// Offset (0) and clamp.
    pub output_stage: Output,
}

impl<R: Rescale> DepthwiseConv2dI16<'_, R> {
    /// The same layer, its rounding to be chosen while it runs.
    #[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
    pub(crate) fn with_any_rounding(&self) -> DepthwiseConv2dI16<'_> {
        DepthwiseConv2dI16 {
            input: self.input,
            output: self.output,
            kernel: self.kernel,
            window: self.window,
            weights: self.weights,
            accumulate: match &self.accumulate {
                Accumulate16::Narrow(bias, requantize) => {
                    Accumulate16::Narrow(bias, requantize.any())
                }
                Accumulate16::Wide(bias, requantize) => Accumulate16::Wide(bias, *requantize),
            },
            output_stage: self.output_stage,
        }
    }
}

/// `y = clamp(rescale(bias + Σ x·w))`, channel by channel.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn depthwise_conv2d_i16<R: Rescale>(
    p: &DepthwiseConv2dI16<'_, R>,
    x: &[i16],
    y: &mut [i16],
) -> Result<(), Mismatch> {
    arch::depthwise_conv2d_i16(p, x, y)
}

/// The definition of [`depthwise_conv2d_i16`].
#[inline(always)]
pub(crate) fn portable_i16<R: Rescale>(
    p: &DepthwiseConv2dI16<'_, R>,
    x: &[i16],
    y: &mut [i16],
) -> Result<(), Mismatch> {
    let DepthwiseConv2dI16 { input, output, kernel, window, .. } = *p;
    let [.., channels] = output;
    if !p.accumulate.fits(channels) {
        return Err(Mismatch);
    }
    let g = Geometry { input, output, kernel, window };
    match p.accumulate {
        Accumulate16::Narrow(bias, requantize) => {
            let finish = Requantized::new(bias, requantize, p.output_stage);
            depthwise::<_, _, true>(I16, &g, None, x, p.weights, y, &finish)
        }
        Accumulate16::Wide(bias, requantize) => {
            let finish = RequantizedWide { bias, requantize, output: p.output_stage };
            depthwise::<_, _, true>(I16Wide, &g, None, x, p.weights, y, &finish)
        }
    }
}

/// A depthwise convolution in f32.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct DepthwiseConv2dF32<'a> {
    /// `[n, h, w, c]` of the input.
    pub input: [usize; 4],
    /// `[n, h, w, c]` of the output; its channels are a multiple of the input's.
    pub output: [usize; 4],
    /// `[h, w]` of the kernel.
    pub kernel: [usize; 2],
    /// How the kernel moves.
    pub window: Window,
    /// 1HWC.
    pub weights: &'a [f32],
    /// One per output channel.
    pub bias: &'a [f32],
    /// The fused activation.
    pub activation: ActivationRange<f32>,
}

/// `y = clamp(Σ x·w + bias)`, channel by channel, taps summed in their order; those outside of the
/// image are 0.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn depthwise_conv2d_f32(
    p: &DepthwiseConv2dF32<'_>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    arch::depthwise_conv2d_f32(p, x, y)
}

/// The definition of [`depthwise_conv2d_f32`].
#[inline(always)]
pub(crate) fn portable_f32(
    p: &DepthwiseConv2dF32<'_>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    definition_f32(F32, p, x, y)
}

/// [`portable_f32`], with products and sums that are rounded as `arithmetic` says.
#[inline(always)]
fn definition_f32(
    arithmetic: impl Multiply<X = f32, W = f32, Acc = f32>,
    p: &DepthwiseConv2dF32<'_>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    let DepthwiseConv2dF32 { input, output, kernel, window, .. } = *p;
    let [.., channels] = output;
    if p.bias.len() != channels {
        return Err(Mismatch);
    }
    let g = Geometry { input, output, kernel, window };
    let finish = Biased { bias: p.bias, activation: p.activation };
    depthwise::<_, _, true>(arithmetic, &g, Some(0.0), x, p.weights, y, &finish)
}

/// A depthwise convolution of f32 activations, quantized on the fly, with int8 weights.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct DepthwiseConv2dHybrid<'a> {
    /// `[n, h, w, c]` of the input.
    pub input: [usize; 4],
    /// `[n, h, w, c]` of the output; its channels are a multiple of the input's.
    pub output: [usize; 4],
    /// `[h, w]` of the kernel.
    pub kernel: [usize; 2],
    /// How the kernel moves.
    pub window: Window,
    /// 1HWC; no zero point.
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
pub fn depthwise_conv2d_hybrid(
    p: &DepthwiseConv2dHybrid<'_>,
    x: &[f32],
    y: &mut [f32],
    scratch: &mut [i8],
) -> Result<(), Mismatch> {
    let DepthwiseConv2dHybrid { input, output, kernel, window, .. } = *p;
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
        let finish = Dequantized { output: p.output_stage, activations };
        depthwise::<_, _, true>(I8, &g, outside, quantized, p.weights, y, &finish)?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
