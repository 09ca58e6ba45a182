//! TRANSPOSE_CONV: activations `[n, h, w, c]`, weights OHWI; the convolution's gradient.
//!
//! Input position `i` adds its activations, times tap `k`, to output position `i × stride + k −
//! pad`. Here each output gathers what meets it instead: taps `k` with `(o + pad − k)` divisible by
//! the stride, so nothing is scattered and no scratch memory is needed. Which taps those are
//! differs from output to output, so the input's zero point is not folded into the bias.
//!
//! Source: `reference_integer_ops::TransposeConv` (int8, int16) and `reference_ops::TransposeConv`
//! (f32, legacy uint8) of LiteRT and TFLite Micro.

use crate::Mismatch;
use crate::convolve::{cut, part, rows_of, volume};
use crate::dot::{Arithmetic, F32, I8Centred, I16, I16Wide, ROWS};
use crate::finish::{Biased, Finish, Requantized, RequantizedWide};
use crate::pool::ActivationRange;
use crate::requantize::{Accumulate16, Output, Requantize, Rescale};

/// The shapes of a transposed convolution.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct TransposeConv2dShape {
    /// `[n, h, w, c]` of the input.
    pub input: [usize; 4],
    /// `[n, h, w, c]` of the output.
    pub output: [usize; 4],
    /// `[h, w]` of the kernel.
    pub kernel: [usize; 2],
    /// Output rows and columns from one input position to the next, at least 1.
    pub stride: [usize; 2],
    /// Output rows and columns cut off at the top and on the left.
    pub pad: [usize; 2],
}

/// An int8 transposed convolution.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct TransposeConv2dI8<'a, R = Requantize<'a>> {
    /// What meets what.
    pub shape: TransposeConv2dShape,
    /// OHWI.
    pub weights: &'a [i8],
    /// 0, except for models that were quantized to uint8; in `[-128, 127]`.
    pub weights_zero_point: i32,
    /// In `[-128, 127]`.
    pub input_zero_point: i32,
    /// One per output channel, as the model has it: nothing is folded in.
    pub bias: &'a [i32],
    /// From accumulator to output, per channel or for all.
    pub requantize: R,
    /// Offset and clamp.
    pub output_stage: Output,
}

/// `y = clamp(rescale(bias + Σ (x − input_zero_point)·(w − weights_zero_point)) + output_offset)`.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn transpose_conv2d_i8<R: Rescale>(
    p: &TransposeConv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let arithmetic = I8Centred {
        input_zero_point: p.input_zero_point as i16,
        weights_zero_point: p.weights_zero_point as i16,
    };
    let finish = Requantized::new(p.bias, p.requantize, p.output_stage);
    transpose_convolve(arithmetic, &p.shape, p.bias.len(), x, p.weights, y, &finish)
}

/// A transposed convolution of int16 activations with int8 weights; neither has a zero point.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct TransposeConv2dI16<'a, R = Requantize<'a>> {
    /// What meets what.
    pub shape: TransposeConv2dShape,
    /// OHWI.
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
pub fn transpose_conv2d_i16<R: Rescale>(
    p: &TransposeConv2dI16<'_, R>,
    x: &[i16],
    y: &mut [i16],
) -> Result<(), Mismatch> {
    match p.accumulate {
        Accumulate16::Narrow(bias, requantize) => {
            let finish = Requantized::new(bias, requantize, p.output_stage);
            transpose_convolve(I16, &p.shape, bias.len(), x, p.weights, y, &finish)
        }
        Accumulate16::Wide(bias, requantize) => {
            let finish = RequantizedWide { bias, requantize, output: p.output_stage };
            transpose_convolve(I16Wide, &p.shape, bias.len(), x, p.weights, y, &finish)
        }
    }
}

/// A transposed convolution in f32.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct TransposeConv2dF32<'a> {
    /// What meets what.
    pub shape: TransposeConv2dShape,
    /// OHWI.
    pub weights: &'a [f32],
    /// One per output channel.
    pub bias: &'a [f32],
    /// The fused activation.
    pub activation: ActivationRange<f32>,
}

/// `y = clamp(Σ x·w + bias)`, products summed in the order of the input.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn transpose_conv2d_f32(
    p: &TransposeConv2dF32<'_>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    let finish = Biased { bias: p.bias, activation: p.activation };
    transpose_convolve(F32, &p.shape, p.bias.len(), x, p.weights, y, &finish)
}

/// Stores what `finish` makes of `Σ x·w` to each output.
fn transpose_convolve<A: Arithmetic, F: Finish<A::Acc>>(
    arithmetic: A,
    shape: &TransposeConv2dShape,
    biases: usize,
    x: &[A::X],
    weights: &[A::W],
    y: &mut [F::Y],
    finish: &F,
) -> Result<(), Mismatch> {
    let [batches, height, width, channels] = shape.output;
    let [input_batches, input_h, input_w, depth] = shape.input;
    let [kernel_h, kernel_w] = shape.kernel;
    let image = volume([input_w, depth, input_h])?;
    let out = volume([width, channels, height])?;
    let filter = volume([kernel_w, depth, kernel_h])?;
    if batches != input_batches
        || biases != channels
        || filter.checked_mul(channels) != Some(weights.len())
        || image.checked_mul(batches) != Some(x.len())
        || out.checked_mul(batches) != Some(y.len())
    {
        return Err(Mismatch);
    }
    let [stride_h, stride_w] = shape.stride;
    let [pad_h, pad_w] = shape.pad;
    // `max` tells the compiler that no chunk is empty; where one would be, `y` is.
    let row = (width * channels).max(1);
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        for (out_y, y) in y.chunks_exact_mut(row).enumerate() {
            let rows = Meeting::new(out_y.wrapping_add(pad_h), stride_h, kernel_h, input_h);
            for (out_x, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
                let columns = Meeting::new(out_x.wrapping_add(pad_w), stride_w, kernel_w, input_w);
                let gather = Gather { arithmetic, shape, x, rows, columns };
                for (block, y) in y.chunks_mut(ROWS).enumerate() {
                    let channel = block * ROWS;
                    let accs = gather.accumulate(rows_of(weights, filter, channel)?)?;
                    let [outputs] = finish.finish(&finish.block::<ROWS>(channel), [accs]);
                    for (y, output) in y.iter_mut().zip(outputs) {
                        *y = output;
                    }
                }
            }
        }
    }
    Ok(())
}

/// The taps along one axis that meet an input position, for one output position: from `tap` on, a
/// stride apart, while the input position goes down from `position` by one.
#[derive(Debug, Clone, Copy)]
struct Meeting {
    tap: usize,
    position: usize,
    count: usize,
}

impl Meeting {
    /// Taps `k < kernel` with `target = i × stride + k` for an `i < size`.
    #[inline(always)]
    fn new(target: usize, stride: usize, kernel: usize, size: usize) -> Self {
        let stride = stride.max(1);
        let (tap, position) = (target % stride, target / stride);
        // The first taps may meet positions behind the image.
        let skipped = position.saturating_sub(size.saturating_sub(1));
        let tap = tap.saturating_add(skipped.saturating_mul(stride));
        let left = kernel.saturating_sub(tap);
        let taps = left / stride + usize::from(left % stride != 0);
        let count = if size == 0 { 0 } else { taps.min(position - skipped + 1) };
        Self { tap, position: position - skipped, count }
    }
}

/// One output position.
struct Gather<'a, A: Arithmetic> {
    arithmetic: A,
    shape: &'a TransposeConv2dShape,
    /// One image.
    x: &'a [A::X],
    rows: Meeting,
    columns: Meeting,
}

impl<A: Arithmetic> Gather<'_, A> {
    /// The sums of two filters. Not inlined, so that the roundings of an operator share it.
    #[inline(never)]
    fn accumulate(&self, w: [&[A::W]; ROWS]) -> Result<[A::Acc; ROWS], Mismatch> {
        let [_, _, input_w, depth] = self.shape.input;
        let ([_, kernel_w], [stride_h, stride_w]) = (self.shape.kernel, self.shape.stride);
        let mut acc = [A::Acc::default(); ROWS];
        // In the order of the input, as a runtime that scatters adds them.
        for i in (0..self.rows.count).rev() {
            let tap_y = self.rows.tap + i * stride_h;
            let in_y = self.rows.position - i;
            for j in (0..self.columns.count).rev() {
                let tap = tap_y * kernel_w + self.columns.tap + j * stride_w;
                let pixel = in_y * input_w + self.columns.position - j;
                let x = part(self.x, pixel * depth, depth).ok_or(Mismatch)?;
                acc = self.arithmetic.dot(acc, x, cut(w, tap * depth, depth)?);
            }
        }
        Ok(acc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scales, Values, output_stage, real, requantized, requantized_16};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// The sums, by scattering each input over the outputs that it meets.
    fn scatter(s: &TransposeConv2dShape, x: &[f64], w: &[f64]) -> Vec<f64> {
        let ([n, h, wd, c], [_, oh, ow, oc], [kh, kw]) = (s.input, s.output, s.kernel);
        let mut y = vec![0.0; n * oh * ow * oc];
        for [b, iy, ix, i] in crate::testing::indices([n, h, wd, c]) {
            for [ky, kx, o, _] in crate::testing::indices([kh, kw, oc, 1]) {
                let out_y = (iy * s.stride[0] + ky).wrapping_sub(s.pad[0]);
                let out_x = (ix * s.stride[1] + kx).wrapping_sub(s.pad[1]);
                if out_y < oh && out_x < ow {
                    y[((b * oh + out_y) * ow + out_x) * oc + o] +=
                        x[((b * h + iy) * wd + ix) * c + i] * w[((o * kh + ky) * kw + kx) * c + i];
                }
            }
        }
        y
    }

    fn shape() -> impl Strategy<Value = TransposeConv2dShape> {
        let size = || 1..6_usize;
        (
            (1..3_usize, size(), size(), 1..9_usize),
            (1..9_usize, 1..9_usize, 1..5_usize),
            (size(), size()),
            (1..4_usize, 1..4_usize),
            (0..4_usize, 0..4_usize),
        )
            .prop_map(|((n, h, w, c), (oh, ow, oc), kernel, stride, pad)| {
                TransposeConv2dShape {
                    input: [n, h, w, c],
                    output: [n, oh, ow, oc],
                    kernel: kernel.into(),
                    stride: stride.into(),
                    pad: pad.into(),
                }
            })
    }

    proptest! {
        #[test]
        fn transpose_conv2d_i8_is_its_formula(
            shape in shape(), input_zero_point in -128..128, zero_point in -128..128,
            symmetric: bool, seed: u64,
        ) {
            let weights_zero_point = if symmetric { 0 } else { zero_point };
            let mut values = Values::new(seed);
            let x = values.i8s(shape.input.iter().product());
            let channels = shape.output[3];
            let weights = values.i8s(channels * shape.kernel[0] * shape.kernel[1] * shape.input[3]);
            let bias = values.i32s(channels, -100_000, 100_000);
            let output_stage = output_stage(&mut values);
            let scales = Scales::new(&mut values, channels);
            let sums =
                scatter(&shape, &real(&x, input_zero_point), &real(&weights, weights_zero_point));
            for requantize in scales.all() {
                let p = TransposeConv2dI8 {
                    shape, weights: &weights, weights_zero_point, input_zero_point, bias: &bias,
                    requantize, output_stage,
                };
                let mut y = vec![0; sums.len()];
                transpose_conv2d_i8(&p, &x, &mut y).unwrap();
                let y: Vec<i32> = y.into_iter().map(i32::from).collect();
                prop_assert_eq!(y, requantized(&sums, &bias, requantize, &output_stage));
            }
        }

        #[test]
        fn transpose_conv2d_i16_is_its_formula(shape in shape(), seed: u64) {
            let mut values = Values::new(seed);
            let x = values.i16s(shape.input.iter().product());
            let channels = shape.output[3];
            let weights = values.i8s(channels * shape.kernel[0] * shape.kernel[1] * shape.input[3]);
            let sums = scatter(&shape, &real(&x, 0), &real(&weights, 0));
            requantized_16(&mut values, channels, &sums, |accumulate, output_stage| {
                let p = TransposeConv2dI16 { shape, weights: &weights, accumulate, output_stage };
                let mut y = vec![0; sums.len()];
                transpose_conv2d_i16(&p, &x, &mut y).unwrap();
                y
            })?;
        }

        #[test]
        fn transpose_conv2d_f32_is_its_formula(shape in shape(), seed: u64) {
            let mut values = Values::new(seed);
            let x = values.f32s(shape.input.iter().product());
            let channels = shape.output[3];
            let weights = values.f32s(channels * shape.kernel[0] * shape.kernel[1] * shape.input[3]);
            let bias = values.f32s(channels);
            let sums = scatter(&shape, &real(&x, 0), &real(&weights, 0));
            let activation = ActivationRange { min: -0.75, max: 0.75 };
            let p = TransposeConv2dF32 { shape, weights: &weights, bias: &bias, activation };
            let mut y = vec![0.0; sums.len()];
            transpose_conv2d_f32(&p, &x, &mut y).unwrap();
            for (i, (y, sum)) in y.iter().zip(sums).enumerate() {
                let wanted = (sum + f64::from(bias[i % channels])).clamp(-0.75, 0.75);
                prop_assert!((f64::from(*y) - wanted).abs() < 1e-5, "{} for {}", y, wanted);
            }
        }

        #[test]
        fn hostile_strides_and_pads_do_not_panic(
            target: usize, stride: usize, kernel: usize, size: usize,
        ) {
            let meeting = Meeting::new(target, stride, kernel, size);
            prop_assert!(meeting.count == 0 || meeting.position < size && meeting.tap < kernel);
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let shape = TransposeConv2dShape {
            input: [1, 2, 2, 1],
            output: [1, 2, 2, 1],
            kernel: [1, 1],
            stride: [1, 1],
            pad: [0, 0],
        };
        let activation = ActivationRange { min: -9.0, max: 9.0 };
        let p = TransposeConv2dF32 { shape, weights: &[2.0], bias: &[1.0], activation };
        let mut y = [0.0; 4];
        assert_eq!(transpose_conv2d_f32(&p, &[1.0, 2.0, 3.0, 9.0], &mut y), Ok(()));
        assert_eq!(y, [3.0, 5.0, 7.0, 9.0]);
        assert_eq!(transpose_conv2d_f32(&p, &[1.0; 3], &mut y), Err(Mismatch));
        assert_eq!(transpose_conv2d_f32(&p, &[1.0; 4], &mut [0.0; 3]), Err(Mismatch));
        let short = TransposeConv2dF32 { weights: &[], ..p };
        assert_eq!(transpose_conv2d_f32(&short, &[1.0; 4], &mut y), Err(Mismatch));
        let short = TransposeConv2dF32 { bias: &[], ..p };
        assert_eq!(transpose_conv2d_f32(&short, &[1.0; 4], &mut y), Err(Mismatch));
    }
}
