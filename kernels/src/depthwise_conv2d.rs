//! DEPTHWISE_CONV_2D: activations `[n, h, w, c]`, weights 1HWC, where C is the output's channels.
//!
//! Output channel `o` sees input channel `o / multiplier`, `multiplier = C / c`.
//!
//! Source: `reference_integer_ops::DepthwiseConvPerChannel` of LiteRT and TFLite Micro.

use crate::Mismatch;
use crate::convolve::{Geometry, part, volume};
use crate::requantize::{Output, Requantize, Rescale};
use crate::window::{Taps, Window};
use crate::with_rescale;

/// An int8 depthwise convolution.
#[derive(Debug, Clone, Copy)]
pub struct DepthwiseConv2dI8<'a> {
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
    pub requantize: Requantize<'a>,
    /// Offset and clamp.
    pub output_stage: Output,
}

/// `y = clamp(rescale(bias + Σ (x − input_zero_point)·(w − weights_zero_point)) + output_offset)`,
/// channel by channel.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
pub fn depthwise_conv2d_i8(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    with_rescale!(p.requantize, |rescale| depthwise_conv2d_i8_with(p, rescale, x, y))
}

fn depthwise_conv2d_i8_with(
    p: &DepthwiseConv2dI8<'_>,
    rescale: impl Rescale,
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
    let finish = |channel: usize, acc: i32| {
        let bias = p.bias.get(channel).copied().unwrap_or_default();
        p.output_stage.apply(rescale.rescale(acc.wrapping_add(bias), channel)) as i8
    };
    if p.weights_zero_point == 0 {
        depthwise(I8, &g, outside, x, p.weights, y, finish)
    } else {
        depthwise(I8Offset(p.weights_zero_point as i16), &g, outside, x, p.weights, y, finish)
    }
}

/// How one activation and one weight are multiplied and added. Integers wrap.
trait Multiply: Copy {
    type X: Copy;
    type W: Copy;
    type Acc: Copy + Default;

    fn multiply_add(self, acc: Self::Acc, x: Self::X, w: Self::W) -> Self::Acc;
}

/// int8 by symmetric int8.
#[derive(Clone, Copy)]
struct I8;

impl Multiply for I8 {
    type X = i8;
    type W = i8;
    type Acc = i32;

    #[inline(always)]
    fn multiply_add(self, acc: i32, x: i8, w: i8) -> i32 {
        // The product fits 16 bits: at most `(−128)² = 2^14`.
        acc.wrapping_add(i32::from(i16::from(x) * i16::from(w)))
    }
}

/// int8 by int8 with this zero point.
#[derive(Clone, Copy)]
struct I8Offset(i16);

impl Multiply for I8Offset {
    type X = i8;
    type W = i8;
    type Acc = i32;

    #[inline(always)]
    fn multiply_add(self, acc: i32, x: i8, w: i8) -> i32 {
        let w = i16::from(w).wrapping_sub(self.0);
        acc.wrapping_add(i32::from(x) * i32::from(w))
    }
}

/// Channels whose sums are held at once: two vectors of four, or most registers of a Cortex-M.
const BLOCK: usize = 8;

/// Convolves `x` with `weights` and stores `finish(channel, acc)` to `y`. `outside` is the
/// activation that stands for zero, where taps outside the image count.
#[inline(always)]
fn depthwise<M: Multiply, Y>(
    arithmetic: M,
    g: &Geometry,
    outside: Option<M::X>,
    x: &[M::X],
    weights: &[M::W],
    y: &mut [Y],
    finish: impl Fn(usize, M::Acc) -> Y,
) -> Result<(), Mismatch> {
    let [batches, height, width, channels] = g.output;
    let [input_batches, input_h, input_w, input_c] = g.input;
    let [kernel_h, kernel_w] = g.kernel;
    let image = volume([input_w, input_c, input_h])?;
    let out = volume([width, channels, height])?;
    let multiplier = channels.checked_div(input_c).ok_or(Mismatch)?;
    if batches != input_batches
        || kernel_h == 0
        || kernel_w == 0
        || multiplier.checked_mul(input_c) != Some(channels)
        || volume([kernel_h, kernel_w, channels])? != weights.len()
        || image.checked_mul(batches) != Some(x.len())
        || out.checked_mul(batches) != Some(y.len())
    {
        return Err(Mismatch);
    }
    // `max` tells the compiler that no chunk is empty; where one would be, `y` is.
    let row = (width * channels).max(1);
    for (x, y) in x.chunks_exact(image.max(1)).zip(y.chunks_exact_mut(out.max(1))) {
        for (out_y, y) in y.chunks_exact_mut(row).enumerate() {
            let rows = &g.window.rows(out_y, kernel_h, input_h);
            for (out_x, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
                let columns = g.window.columns(out_x, kernel_w, input_w);
                let pixel = Pixel { arithmetic, g, outside, x, weights, rows, columns };
                pixel.run(multiplier, y, &finish).ok_or(Mismatch)?;
            }
        }
    }
    Ok(())
}

/// One output position.
struct Pixel<'a, M: Multiply> {
    arithmetic: M,
    g: &'a Geometry,
    outside: Option<M::X>,
    /// One image.
    x: &'a [M::X],
    weights: &'a [M::W],
    rows: &'a Taps,
    columns: Taps,
}

impl<M: Multiply> Pixel<'_, M> {
    /// All channels, in blocks: of neighbours that read neighbouring activations where the
    /// multiplier is 1, else of the outputs of one activation.
    #[inline(always)]
    fn run<Y>(
        &self,
        multiplier: usize,
        y: &mut [Y],
        finish: &impl Fn(usize, M::Acc) -> Y,
    ) -> Option<()> {
        if multiplier == 1 {
            return self.channels::<Y, false>(0, 0, y, finish);
        }
        for (input_channel, y) in y.chunks_exact_mut(multiplier.max(1)).enumerate() {
            self.channels::<Y, true>(input_channel, input_channel * multiplier, y, finish)?;
        }
        Some(())
    }

    /// Output channels from `channel` on, as many as `y` has, reading input channels from
    /// `input_channel` on, or that alone where it is `SHARED`.
    #[inline(always)]
    fn channels<Y, const SHARED: bool>(
        &self,
        input_channel: usize,
        channel: usize,
        y: &mut [Y],
        finish: &impl Fn(usize, M::Acc) -> Y,
    ) -> Option<()> {
        let (blocks, rest) = y.as_chunks_mut::<BLOCK>();
        let mut done = 0;
        for y in blocks {
            let x = if SHARED { input_channel } else { input_channel + done };
            let accs = self.accumulate::<BLOCK, SHARED>(x, channel + done)?;
            for ((y, acc), i) in y.iter_mut().zip(accs).zip(channel + done..) {
                *y = finish(i, acc);
            }
            done += BLOCK;
        }
        for y in rest {
            let x = if SHARED { input_channel } else { input_channel + done };
            let [acc] = self.accumulate::<1, SHARED>(x, channel + done)?;
            *y = finish(channel + done, acc);
            done += 1;
        }
        Some(())
    }

    /// The sums of `B` output channels from `channel` on.
    ///
    /// Not inlined, so that the roundings of an operator share it.
    #[inline(never)]
    fn accumulate<const B: usize, const SHARED: bool>(
        &self,
        input_channel: usize,
        channel: usize,
    ) -> Option<[M::Acc; B]> {
        let Geometry { kernel: [kernel_h, kernel_w], window, .. } = *self.g;
        let ([_, _, input_w, input_c], [.., channels]) = (self.g.input, self.g.output);
        let mut accs = [M::Acc::default(); B];
        // Where no column is inside, no row is either.
        let rows = if self.columns.inside.is_empty() { 0..0 } else { self.rows.inside.clone() };
        for (i, tap_y) in rows.enumerate() {
            let row = (self.rows.first + i * window.dilation_h) * input_w + self.columns.first;
            let mut x = self.x.get(row * input_c + input_channel..)?;
            let tap = tap_y * kernel_w + self.columns.inside.start;
            let mut w = self.weights.get(tap * channels + channel..)?;
            for step in self.columns.inside.clone() {
                let next = step + 1 < self.columns.inside.end;
                let weights = w.first_chunk::<B>()?;
                if SHARED {
                    let &x = x.first()?;
                    for (acc, &w) in accs.iter_mut().zip(weights) {
                        *acc = self.arithmetic.multiply_add(*acc, x, w);
                    }
                } else {
                    let x = x.first_chunk::<B>()?;
                    for ((acc, &x), &w) in accs.iter_mut().zip(x).zip(weights) {
                        *acc = self.arithmetic.multiply_add(*acc, x, w);
                    }
                }
                if next {
                    x = x.get(window.dilation_w * input_c..)?;
                    w = w.get(channels..)?;
                }
            }
        }
        let all = self.rows.all(kernel_h) && self.columns.all(kernel_w);
        if let (Some(x), false) = (self.outside, all) {
            for tap_y in 0..kernel_h {
                for tap_x in 0..kernel_w {
                    if self.rows.inside.contains(&tap_y) && self.columns.inside.contains(&tap_x) {
                        continue;
                    }
                    let start = (tap_y * kernel_w + tap_x) * channels + channel;
                    for (acc, &w) in accs.iter_mut().zip(part(self.weights, start, B)?) {
                        *acc = self.arithmetic.multiply_add(*acc, x, w);
                    }
                }
            }
        }
        Some(accs)
    }
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
        fn depthwise_conv2d_i8_is_its_formula(
            mut g in testing::geometry(), channels in 1..21_usize, multiplier in 1..12_usize,
            zero_points in (-128..128, -128..128), kind in 0..4, seed: u64,
        ) {
            let input_zero_point = zero_points.0;
            let weights_zero_point = if kind < 2 { 0 } else { zero_points.1 };
            let multiplier = if kind % 2 == 0 { 1 } else { multiplier };
            (g.input[3], g.output[3]) = (channels, channels * multiplier);
            let mut values = Values::new(seed);
            let x = values.i8s(g.input.iter().product());
            let weights = values.i8s(g.kernel[0] * g.kernel[1] * g.output[3]);
            let bias = values.i32s(g.output[3], -30_000, 30_000);
            let output_stage = output_stage(&mut values);
            let scales = Scales::new(&mut values, g.output[3]);

            let w = real(&weights, weights_zero_point);
            let sums = testing::depthwise_conv2d(&g, &real(&x, input_zero_point), &w);
            let folded = fold(&bias, input_zero_point, &w, |i| i % g.output[3]);
            for requantize in scales.all() {
                let p = DepthwiseConv2dI8 {
                    input: g.input, output: g.output, kernel: g.kernel, window: g.window,
                    weights: &weights, weights_zero_point, input_zero_point, bias: &folded,
                    requantize, output_stage,
                };
                let mut y = vec![0; sums.len()];
                depthwise_conv2d_i8(&p, &x, &mut y).unwrap();
                let y: Vec<i32> = y.into_iter().map(i32::from).collect();
                prop_assert_eq!(y, requantized(&sums, &bias, requantize, &output_stage));
            }
        }
    }

    const ONE: DepthwiseConv2dI8<'static> = DepthwiseConv2dI8 {
        input: [1, 2, 2, 3],
        output: [1, 2, 2, 3],
        kernel: [1, 1],
        window: Window::UNIT,
        weights: &[1, 2, 3],
        weights_zero_point: 0,
        input_zero_point: 0,
        bias: &[0, 0, 0],
        requantize: Requantize::Float32(&[1.0]),
        output_stage: Output { output_offset: 0, activation_min: -128, activation_max: 127 },
    };

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let run = |p: DepthwiseConv2dI8<'_>| depthwise_conv2d_i8(&p, &[1; 12], &mut [0; 12]);
        assert_eq!(run(ONE), Ok(()));
        assert_eq!(depthwise_conv2d_i8(&ONE, &[1; 11], &mut [0; 12]), Err(Mismatch));
        assert_eq!(depthwise_conv2d_i8(&ONE, &[1; 12], &mut [0; 11]), Err(Mismatch));
        assert_eq!(run(DepthwiseConv2dI8 { weights: &[1, 2], ..ONE }), Err(Mismatch));
        assert_eq!(run(DepthwiseConv2dI8 { bias: &[1, 2], ..ONE }), Err(Mismatch));
        assert_eq!(run(DepthwiseConv2dI8 { kernel: [usize::MAX, 0], ..ONE }), Err(Mismatch));
        assert_eq!(run(DepthwiseConv2dI8 { input: [1, 2, 3, 2], ..ONE }), Err(Mismatch));
        assert_eq!(run(DepthwiseConv2dI8 { input: [1, usize::MAX, 4, 3], ..ONE }), Err(Mismatch));
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
        let p = DepthwiseConv2dI8 { window, ..ONE };
        assert_eq!(depthwise_conv2d_i8(&p, &[1; 12], &mut [0; 12]), Ok(()));
    }
}
