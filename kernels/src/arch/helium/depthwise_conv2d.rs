//! DEPTHWISE_CONV_2D, eight channels at a time, see [`columns`].
//!
//! A strip of positions along the longer axis of the output, as many as there are columns for, passes
//! over the image across it: the rows that the next windows see and the last did not are put into the
//! columns, then the windows are multiplied. Channels behind the last eight are computed with some of
//! those before. Kernels of more than 4 by 4 taps or with gaps between them, layers of less than eight
//! channels, and scales that are not those of the fast way, are summed tap by tap.

use super::columns::{self, CHANNELS, COLUMNS, Channel, Columns, Positions, Row, TAPS};
use super::output::{self, Fast, Stage};
use crate::Mismatch;
use crate::convolve::fill_from;
use crate::depthwise_conv2d::DepthwiseConv2dI8;
use crate::requantize::Rescale;
use crate::window::Window;

/// [`crate::depthwise_conv2d::depthwise_conv2d_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state, the weights have a
/// zero point or an input channel several outputs.
pub(crate) fn depthwise_conv2d_i8<R: Rescale>(
    p: &DepthwiseConv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let DepthwiseConv2dI8 { input, output, kernel, window, .. } = *p;
    let ([.., channels], [_, input_h, input_w, _]) = (output, input);
    let [image, out] = p.volumes(x.len(), y.len())?;
    let stage = Stage::new(&p.requantize, p.output_stage, channels);
    let (rows, row) = (input_h, input_w * channels);
    let vertical = Axis {
        size: rows,
        step: row,
        outputs: output[1],
        pitch: output[2] * channels,
        kernel: kernel[0],
        weights: kernel[1] * channels,
        stride: window.stride_h,
        pad: window.pad_top,
    };
    let horizontal = Axis {
        size: input_w,
        step: channels,
        outputs: output[2],
        pitch: channels,
        kernel: kernel[1],
        weights: channels,
        stride: window.stride_w,
        pad: window.pad_left,
    };
    let [along, across] =
        if output[1] > output[2] { [vertical, horizontal] } else { [horizontal, vertical] };
    let small = kernel[0].max(kernel[1]) <= TAPS
        && [window.dilation_h, window.dilation_w] == [1, 1]
        && channels >= CHANNELS;
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        match stage.fast() {
            Some(fast) if small => {
                Image { p, x, fast, along, across }.outputs(y).ok_or(Mismatch)?;
            }
            _ => by_taps(p, &stage, x, y).ok_or(Mismatch)?,
        }
    }
    Ok(())
}

/// An axis of the image, of the kernel and of the output.
#[derive(Clone, Copy)]
struct Axis {
    /// Rows or columns of the image, and elements from one to the next.
    size: usize,
    step: usize,
    /// The same of the output.
    outputs: usize,
    pitch: usize,
    /// Taps, and weights from one to the next.
    kernel: usize,
    weights: usize,
    stride: usize,
    pad: usize,
}

impl Axis {
    /// Where the first tap of an output is; before the image it wraps around.
    fn first(&self, output: usize) -> usize {
        output.wrapping_mul(self.stride).wrapping_sub(self.pad)
    }
}

/// A layer over one image.
#[derive(Clone, Copy)]
struct Image<'a, R> {
    p: &'a DepthwiseConv2dI8<'a, R>,
    x: &'a [i8],
    fast: Fast<'a>,
    /// The axis of strips, and the other.
    along: Axis,
    across: Axis,
}

impl<R: Rescale> Image<'_, R> {
    /// All outputs.
    #[inline(always)]
    fn outputs(&self, y: &mut [i8]) -> Option<()> {
        let [.., channels] = self.p.output;
        let Axis { outputs, stride, .. } = self.along;
        // Windows that are neighbours share columns, unless they lie far apart.
        let step = if stride <= 2 { stride } else { TAPS };
        let most = ((COLUMNS - TAPS).checked_div(step)? + 1) / 4 * 4;
        let mut columns = [[[self.p.input_zero_point as i8; TAPS]; COLUMNS]; CHANNELS];
        let mut first = 0;
        while first < outputs {
            let count = (outputs - first).min(most);
            let strip = Strip { image: self, first, count, step };
            for channel in (0..channels).step_by(CHANNELS) {
                strip.outputs(channel.min(channels - CHANNELS), &mut columns, y)?;
            }
            first += count;
            if first < outputs {
                // Of the last strip there may be columns where the next has none.
                columns.as_flattened_mut().fill([self.p.input_zero_point as i8; TAPS]);
            }
        }
        Some(())
    }
}

/// Positions along an axis.
struct Strip<'a, R> {
    image: &'a Image<'a, R>,
    first: usize,
    count: usize,
    /// Columns from a window to the next.
    step: usize,
}

impl<R: Rescale> Strip<'_, R> {
    /// Channels from `channel` on, at all positions across the strip.
    #[inline(never)]
    fn outputs(&self, channel: usize, columns: &mut Columns, y: &mut [i8]) -> Option<()> {
        let Image { p, along, across, fast, .. } = self.image;
        let mut channels = [Channel::default(); CHANNELS];
        self.channels(channel, &mut channels)?;
        let positions = Positions {
            count: self.count,
            step: self.step * TAPS,
            pitch: along.pitch,
            output_offset: p.output_stage.output_offset,
            activation_min: p.output_stage.activation_min,
            activation_max: p.output_stage.activation_max,
        };
        // Where the first row of weights is among the four, and the row up to which columns have some.
        let (mut turned, mut made) = (0, across.first(0));
        let start = self.first * along.pitch + channel;
        for output in 0..across.outputs {
            let first = across.first(output);
            let turn = first.wrapping_sub(turned) % TAPS;
            if turn > 0 {
                for weights in channels.iter_mut().flat_map(|channel| &mut channel.weights) {
                    *weights = weights.rotate_left(8 * turn as u32);
                }
                turned = first;
            }
            let end = first.wrapping_add(across.kernel);
            let mut left = end.wrapping_sub(made).min(across.kernel);
            while left > 0 {
                self.row(channel, end.wrapping_sub(left), columns)?;
                left -= 1;
            }
            made = end;
            let y = y.get_mut(start + output * across.pitch..)?;
            columns::multiply(fast.rounded, columns, &channels, &positions, y)?;
        }
        Some(())
    }

    /// Looks up what channels from `channel` on are multiplied by.
    #[inline(never)]
    fn channels(&self, channel: usize, channels: &mut [Channel; CHANNELS]) -> Option<()> {
        let Image { p, along, across, fast, .. } = self.image;
        let bias = p.bias.get(channel..)?.first_chunk::<CHANNELS>()?;
        let weights = p.weights.get(channel..)?;
        for (c, (to, bias)) in channels.iter_mut().zip(bias).enumerate() {
            (to.multiplier, to.shift) = fast.scale(channel + c)?;
            to.bias = *bias;
        }
        for column in 0..along.kernel {
            for row in 0..across.kernel {
                let tap = weights.get(column * along.weights + row * across.weights..)?;
                for (to, w) in channels.iter_mut().zip(tap.first_chunk::<CHANNELS>()?) {
                    *to.weights.get_mut(column)? |= u32::from(*w as u8) << (8 * row);
                }
            }
        }
        Some(())
    }

    /// Puts a row into the columns, at its place of four. Before the image its number wraps around.
    #[inline(never)]
    fn row(&self, channel: usize, row: usize, columns: &mut Columns) -> Option<()> {
        let Image { p, x, along, across, .. } = self.image;
        let slot = row % TAPS;
        let outside = [p.input_zero_point as i8; CHANNELS];
        // Columns that windows share, or those of each window.
        let shared = self.step == along.stride;
        let (runs, length) = if shared {
            (1, (self.count - 1) * self.step + along.kernel)
        } else {
            (self.count, along.kernel)
        };
        for run in 0..runs {
            let window = Window { stride_w: along.stride, pad_left: along.pad, ..Window::UNIT };
            let taps = window.columns(self.first + run, length, along.size);
            let count = taps.inside.len();
            if count == 0 {
                continue;
            }
            let row = if row < across.size {
                let start = row * across.step + taps.first * along.step + channel;
                Row { x: x.get(start..)?, step: along.step, count }
            } else {
                Row { x: &outside, step: 0, count }
            };
            row.store(columns, run * TAPS + taps.inside.start, slot)?;
        }
        Some(())
    }
}

/// All outputs, tap by tap.
#[cold]
#[inline(never)]
fn by_taps<R: Rescale>(
    p: &DepthwiseConv2dI8<'_, R>,
    stage: &Stage<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Option<()> {
    let DepthwiseConv2dI8 { input, output, kernel, window, weights, .. } = *p;
    let ([_, input_h, input_w, channels], [_, _, width, _]) = (input, output);
    let outside = [p.input_zero_point as i8; output::CHANNELS];
    let mut sums = [0; output::CHANNELS];
    for (position, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
        let out_y = position.checked_div(width)?;
        let row = out_y.wrapping_mul(window.stride_h).wrapping_sub(window.pad_top);
        let out_x = position - out_y * width;
        let column = out_x.wrapping_mul(window.stride_w).wrapping_sub(window.pad_left);
        for (block, bias) in p.bias.chunks(output::CHANNELS).enumerate() {
            let first = block * output::CHANNELS;
            let sums = sums.get_mut(..bias.len())?;
            fill_from(sums, bias);
            for tap_y in 0..kernel[0] {
                for tap_x in 0..kernel[1] {
                    // What lies before the image has wrapped around, and is behind it.
                    let row = row.wrapping_add(tap_y.wrapping_mul(window.dilation_h));
                    let column = column.wrapping_add(tap_x.wrapping_mul(window.dilation_w));
                    let x = if row < input_h && column < input_w {
                        x.get((row * input_w + column) * channels + first..)?
                    } else {
                        &outside
                    };
                    let w = weights.get((tap_y * kernel[1] + tap_x) * channels + first..)?;
                    add_products(sums, x, w);
                }
            }
            stage.store(first, bias.len(), sums, y, channels)?;
        }
    }
    Some(())
}

/// Adds a tap of some channels.
#[inline(never)]
fn add_products(sums: &mut [i32], x: &[i8], w: &[i8]) {
    for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
        *sum = sum.wrapping_add(i32::from(x) * i32::from(w));
    }
}
