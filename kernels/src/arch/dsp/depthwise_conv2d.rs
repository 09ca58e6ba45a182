//! DEPTHWISE_CONV_2D, four channels at a time, see [`columns`].
//!
//! Four channels pass over the whole image: their weights are put in order once. Of a row of outputs,
//! the columns that some windows see are made, then the windows are multiplied, until there are the
//! sums of sixteen positions, which are finished together. Rows of taps above and below the image, and
//! columns beside it, are the value that stands for zero. What channels are left behind the last four
//! are computed with some of those before.

use super::columns::{self, Pair, TAPS};
use super::output::Stage;
use crate::Mismatch;
use crate::depthwise_conv2d::DepthwiseConv2dI8;
use crate::requantize::Rescale;
use crate::window::{Taps, Window};

/// Channels that are done together.
const CHANNELS: usize = 4;

/// Pairs of rows of taps, times columns, that a window may have: kernels up to 7 by 7, or 5 by 5 where
/// rows are not paired.
const WINDOW: usize = 28;

/// Pairs that are made at once: of kernels of three rows 16 columns.
const PAIRS: usize = 32;

/// Positions whose sums are held at once.
const POSITIONS: usize = 16;

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
    let DepthwiseConv2dI8 { output, kernel, window, .. } = *p;
    let [.., channels] = output;
    let [image, out] = p.volumes(x.len(), y.len())?;
    let [kernel_h, kernel_w] = kernel;
    let stage = Stage::new(p.bias, p.requantize, p.output_stage, kernel_h * kernel_w, true);
    let pairs = kernel_h.div_ceil(TAPS);
    // Windows that are neighbours share columns, unless there are gaps between those.
    let shared = window.dilation_w == 1 && window.stride_w <= kernel_w;
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        let layer = Layer { p, x, stage: &stage, pairs, shared };
        if channels < CHANNELS || pairs.checked_mul(kernel_w).is_none_or(|size| size > WINDOW) {
            layer.by_taps(y).ok_or(Mismatch)?;
            continue;
        }
        for channel in (0..channels).step_by(CHANNELS) {
            layer.four_channels(channel.min(channels - CHANNELS), y).ok_or(Mismatch)?;
        }
    }
    Ok(())
}

/// A layer over one image.
struct Layer<'a, R> {
    p: &'a DepthwiseConv2dI8<'a, R>,
    x: &'a [i8],
    stage: &'a Stage<'a, R>,
    /// Pairs of rows of taps.
    pairs: usize,
    /// Whether windows share columns.
    shared: bool,
}

impl<R: Rescale> Layer<'_, R> {
    /// Channels from `channel` on, at all positions.
    #[inline(never)]
    fn four_channels(&self, channel: usize, y: &mut [i8]) -> Option<()> {
        let DepthwiseConv2dI8 { output, kernel: [_, kernel_w], window, .. } = *self.p;
        let [_, height, width, channels] = output;
        let mut weights = [[0; CHANNELS]; WINDOW];
        let weights = weights.get_mut(..self.pairs * kernel_w)?;
        self.weights(channel, weights)?;
        // Pairs from a window to the next, and how many windows have room.
        let room = PAIRS.checked_div(self.pairs)?;
        let (step, most) = if self.shared {
            let most = room.checked_sub(kernel_w)?.checked_div(window.stride_w)? + 1;
            (window.stride_w * self.pairs, most)
        } else {
            (kernel_w * self.pairs, room.checked_div(kernel_w)?)
        };
        let mut made = [[0; CHANNELS]; PAIRS];
        let mut accs = [[0; CHANNELS]; POSITIONS];
        let (mut held, mut done) = (0, 0);
        for out_y in 0..height {
            let rows = window.rows(out_y, self.p.kernel[0], self.p.input[1]);
            let mut out_x = 0;
            while out_x < width {
                let count = (width - out_x).min(POSITIONS - held).min(most);
                self.columns(channel, &rows, out_x, count, &mut made)?;
                columns::multiply(accs.get_mut(held..held + count)?, &made, weights, step);
                (out_x, held) = (out_x + count, held + count);
                if held == POSITIONS {
                    self.stage.positions(channel, &accs, y.get_mut(done * channels..)?, channels);
                    (done, held) = (done + held, 0);
                }
            }
        }
        self.stage.positions(channel, accs.get(..held)?, y.get_mut(done * channels..)?, channels);
        Some(())
    }

    /// The weights of four channels, in the order of the columns.
    fn weights(&self, channel: usize, weights: &mut [Pair]) -> Option<()> {
        let ([.., channels], [kernel_h, kernel_w]) = (self.p.output, self.p.kernel);
        let taps = |tap_y: usize, tap_x: usize| {
            let at = (tap_y * kernel_w + tap_x) * channels + channel;
            self.p.weights.get(at..)?.first_chunk().copied()
        };
        for (tap_x, column) in weights.chunks_exact_mut(self.pairs.max(1)).enumerate() {
            for (to, tap_y) in column.iter_mut().zip((0..kernel_h).step_by(TAPS)) {
                let first = taps(tap_y, tap_x)?;
                *to = if has_second(tap_y, kernel_h) {
                    columns::pair(first, taps(tap_y + 1, tap_x)?)
                } else {
                    columns::single_weights(first)
                };
            }
        }
        Some(())
    }

    /// Makes the columns of `count` windows from `out_x` on.
    #[inline(never)]
    fn columns(
        &self,
        channel: usize,
        rows: &Taps,
        out_x: usize,
        count: usize,
        made: &mut [Pair],
    ) -> Option<()> {
        let DepthwiseConv2dI8 { input: [_, _, input_w, _], kernel: [_, kernel_w], window, .. } =
            *self.p;
        if self.shared {
            let count = (count - 1) * window.stride_w + kernel_w;
            return self.neighbours(
                channel,
                rows,
                &window.columns(out_x, count, input_w),
                count,
                made,
            );
        }
        for (i, made) in made.chunks_mut((kernel_w * self.pairs).max(1)).take(count).enumerate() {
            let columns = window.columns(out_x + i, kernel_w, input_w);
            self.neighbours(channel, rows, &columns, kernel_w, made)?;
        }
        Some(())
    }

    /// Makes `count` columns, of which some are inside of the image.
    #[inline(never)]
    fn neighbours(
        &self,
        channel: usize,
        rows: &Taps,
        columns: &Taps,
        count: usize,
        made: &mut [Pair],
    ) -> Option<()> {
        let DepthwiseConv2dI8 { input, kernel: [kernel_h, _], window, .. } = *self.p;
        let [_, _, input_w, channels] = input;
        let Window { dilation_h, dilation_w, .. } = window;
        let outside = [self.p.input_zero_point as i8; CHANNELS];
        let beside = Run { x: outside.as_ptr(), step: 0 };
        let (step, row_step) = (dilation_w * channels, dilation_h * input_w * channels);
        let first = (rows.first * input_w + columns.first) * channels + channel;
        let (tall, wide) = (rows.inside.len(), columns.inside.len());
        if tall > 0 && wide > 0 {
            // No more is read than up to the last column of the last row.
            let last = first.checked_add((tall - 1) * row_step)?.checked_add((wide - 1) * step)?;
            self.x.get(last..)?.first_chunk::<CHANNELS>()?;
        }
        if made.len() < count * self.pairs || columns.inside.end > count {
            return None;
        }
        let mut inside = Run { x: self.x.as_ptr().wrapping_add(first), step };
        let mut row = |tap_y: usize| {
            if wide == 0 || !rows.inside.contains(&tap_y) {
                return beside;
            }
            let row = inside;
            inside.x = row.x.wrapping_add(row_step);
            row
        };
        let mut strip = Strip {
            to: made.as_mut_ptr(),
            step: self.pairs,
            left: columns.inside.start,
            inside: wide,
            right: count - columns.inside.start - wide,
            beside: outside,
        };
        for tap_y in (0..kernel_h).step_by(TAPS) {
            // SAFETY: of `count` columns there are `pairs` each, of which this is one. The runs are what
            // is beside the image, or as many bytes as have been looked at above.
            unsafe {
                let a = row(tap_y);
                if has_second(tap_y, kernel_h) {
                    strip.pairs(a, row(tap_y + 1));
                } else {
                    strip.singles(a);
                }
            }
            strip.to = strip.to.wrapping_add(1);
        }
        Some(())
    }

    /// All outputs, tap by tap: of large kernels, and of few channels.
    #[cold]
    #[inline(never)]
    fn by_taps(&self, y: &mut [i8]) -> Option<()> {
        let [_, _, width, channels] = self.p.output;
        for (position, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
            let out_y = position.checked_div(width)?;
            for channel in 0..channels {
                let acc = self.sum([out_y, position - out_y * width], channel)?;
                self.stage.position(channel, &[acc], y.get_mut(channel..)?);
            }
        }
        Some(())
    }

    /// The sum of a channel at an output position.
    #[inline(never)]
    fn sum(&self, [out_y, out_x]: [usize; 2], channel: usize) -> Option<i32> {
        let DepthwiseConv2dI8 { input, kernel, window, weights, input_zero_point, .. } = *self.p;
        let ([_, input_h, input_w, channels], [_, kernel_w]) = (input, kernel);
        let row = out_y.wrapping_mul(window.stride_h).wrapping_sub(window.pad_top);
        let column = out_x.wrapping_mul(window.stride_w).wrapping_sub(window.pad_left);
        let mut acc = 0_i32;
        for (tap, w) in weights.iter().skip(channel).step_by(channels.max(1)).enumerate() {
            let tap_y = tap.checked_div(kernel_w)?;
            let tap_x = tap - tap_y * kernel_w;
            // What lies before the image has wrapped around, and is behind it.
            let row = row.wrapping_add(tap_y.wrapping_mul(window.dilation_h));
            let column = column.wrapping_add(tap_x.wrapping_mul(window.dilation_w));
            let mut x = input_zero_point;
            if row < input_h && column < input_w {
                x = i32::from(*self.x.get((row * input_w + column) * channels + channel)?);
            }
            acc = acc.wrapping_add(x.wrapping_mul((*w).into()));
        }
        Some(acc)
    }
}

/// Whether the rows of taps that are put together from this one on are two.
#[inline(always)]
fn has_second(tap_y: usize, kernel_h: usize) -> bool {
    TAPS > 1 && tap_y + 1 < kernel_h
}

/// Four bytes, `step` of which are from one to the next.
#[derive(Clone, Copy)]
struct Run {
    x: *const i8,
    step: usize,
}

impl Run {
    /// The four bytes, to which the next follow.
    ///
    /// # Safety
    ///
    /// There are such bytes.
    #[inline(always)]
    unsafe fn next(&mut self) -> [i8; CHANNELS] {
        // SAFETY: the caller's; bytes need no alignment.
        let bytes = unsafe { self.x.cast::<[i8; CHANNELS]>().read() };
        self.x = self.x.wrapping_add(self.step);
        bytes
    }
}

/// One pair of each of some columns, those beside the image among them.
struct Strip {
    to: *mut Pair,
    /// Pairs from one column to the next.
    step: usize,
    /// Columns before those inside of the image, inside, and behind.
    left: usize,
    inside: usize,
    right: usize,
    /// What columns beside the image have for each channel.
    beside: [i8; CHANNELS],
}

impl Strip {
    /// Makes pairs of two runs.
    ///
    /// # Safety
    ///
    /// There is room for them, and the runs are as long as columns are inside.
    #[inline(never)]
    unsafe fn pairs(&self, mut a: Run, mut b: Run) {
        let beside = columns::pair(self.beside, self.beside);
        // SAFETY: the caller's.
        unsafe { self.fill(beside, || columns::pair(a.next(), b.next())) }
    }

    /// The same of one run.
    ///
    /// # Safety
    ///
    /// As [`Strip::pairs`].
    #[inline(never)]
    unsafe fn singles(&self, mut a: Run) {
        // SAFETY: the caller's.
        unsafe { self.fill(columns::single(self.beside), || columns::single(a.next())) }
    }

    /// # Safety
    ///
    /// There is room for the columns.
    #[inline(always)]
    unsafe fn fill(&self, beside: Pair, mut inside: impl FnMut() -> Pair) {
        let mut to = self.to;
        let mut put = |pair| {
            // SAFETY: the caller's.
            unsafe { *to = pair };
            to = to.wrapping_add(self.step);
        };
        (0..self.left).for_each(|_| put(beside));
        (0..self.inside).for_each(|_| put(inside()));
        (0..self.right).for_each(|_| put(beside));
    }
}
