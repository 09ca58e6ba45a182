//! CONV_2D, four positions at a time.
//!
//! The windows of four positions are widened to 16 bits ([`lanes`]), which costs one to two
//! instructions an element, once for sixteen output channels or all; windows of more than [`DEPTH`]
//! elements in several parts, so that the stack stays small. Then rows of weights are multiplied with
//! them, sixteen at a time, and the sums are finished together.

use core::ops::Range;

use super::lanes::{self, DEPTH, Quad, STEP, widen, widen_words};
use super::output::{CHANNELS, Stage};
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::convolve::Plan;
use crate::requantize::Rescale;
use crate::window::Taps;

/// Positions that are done together.
const POSITIONS: usize = 4;

/// [`crate::conv2d::conv2d_i8`], for windows of any size.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
pub(crate) fn conv2d_i8<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let plan = p.plan()?;
    windows(p, &plan, x, y, &Bytes { weights: p.weights, filter: plan.filter })
}

/// [`crate::conv2d::conv2d_pointwise_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state, or windows do not follow
/// each other in the image.
pub(crate) fn conv2d_pointwise_i8<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let plan = p.plan()?;
    pixels(p, &plan, x, y, &Bytes { weights: p.weights, filter: plan.filter })
}

/// A convolution with windows of any size.
#[inline(always)]
pub(super) fn windows<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    plan: &Plan,
    x: &[i8],
    y: &mut [i8],
    weights: &impl Weights,
) -> Result<(), Mismatch> {
    let [_, _, width, _] = plan.output;
    let outside = p.input_zero_point as i8;
    let mut bytes = [0; DEPTH + STEP];
    convolve(
        p,
        plan,
        x,
        y,
        |x, group, position, range, lane, quads| {
            let out_y = position.checked_div(width)?;
            let out_x = position - out_y * width;
            let (rows, columns) = (plan.rows(out_y), plan.columns(out_x));
            let channel = group * plan.depth;
            Patch { plan, x, rows, columns, channel, outside }.widen(range, lane, quads, &mut bytes)
        },
        weights,
    )
}

/// A convolution whose windows follow each other in the image, or [`Mismatch`].
#[inline(always)]
pub(super) fn pixels<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    plan: &Plan,
    x: &[i8],
    y: &mut [i8],
    weights: &impl Weights,
) -> Result<(), Mismatch> {
    if !plan.is_product() {
        return Err(Mismatch);
    }
    convolve(
        p,
        plan,
        x,
        y,
        |x, _, position, range, lane, quads| {
            let start = position * plan.filter + range.start;
            widen(x.get(start..)?.get(..range.len())?, lane, quads);
            Some(())
        },
        weights,
    )
}

/// Rows of weights.
pub(super) trait Weights {
    /// The products of rows from `row` on with elements of windows from `start` on: the first begin the
    /// sums, others are added.
    fn multiply(
        &self,
        accs: &mut [[i32; POSITIONS]],
        quads: &[Quad<POSITIONS>],
        row: usize,
        start: usize,
    ) -> Option<()>;
}

/// Weights as they are in the file.
struct Bytes<'a> {
    weights: &'a [i8],
    /// Weights of a row.
    filter: usize,
}

impl Weights for Bytes<'_> {
    #[inline(always)]
    fn multiply(
        &self,
        accs: &mut [[i32; POSITIONS]],
        quads: &[Quad<POSITIONS>],
        row: usize,
        start: usize,
    ) -> Option<()> {
        let weights = self.weights.get(row * self.filter + start..)?;
        lanes::multiply(accs, start == 0, quads, weights, self.filter);
        Some(())
    }
}

/// The loops around windows that `window` widens: of an image, a group, the number of a position and a
/// range of elements, to a lane.
#[inline(always)]
fn convolve<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    plan: &Plan,
    x: &[i8],
    y: &mut [i8],
    mut window: impl FnMut(
        &[i8],
        usize,
        usize,
        Range<usize>,
        usize,
        &mut [Quad<POSITIONS>],
    ) -> Option<()>,
    weights: &impl Weights,
) -> Result<(), Mismatch> {
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let Plan { output: [.., channels], filter, groups, group, .. } = *plan;
    let stage = Stage::new(p.bias, p.requantize, p.output_stage, filter, true);
    let mut quads = [[[0; POSITIONS]; _]; DEPTH / STEP];
    let mut accs = [[0; POSITIONS]; CHANNELS];
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        for (g, first) in (0..groups).zip((0..channels).step_by(group.max(1))) {
            let mut position = 0;
            for y in y.chunks_mut((POSITIONS * channels).max(1)) {
                let count = y.len().checked_div(channels).ok_or(Mismatch)?;
                // A window that is widened in one part is widened once.
                let mut widened = false;
                for block in (first..first + group).step_by(CHANNELS) {
                    let rows = (first + group - block).min(CHANNELS);
                    let accs = accs.get_mut(..rows).ok_or(Mismatch)?;
                    let mut sums = [0; POSITIONS];
                    for start in (0..filter).step_by(DEPTH) {
                        let range = start..filter.min(start + DEPTH);
                        let quads = quads.get_mut(..range.len().div_ceil(STEP));
                        let quads = quads.ok_or(Mismatch)?;
                        if !widened {
                            for lane in 0..count {
                                window(x, g, position + lane, range.clone(), lane, quads)
                                    .ok_or(Mismatch)?;
                            }
                            widened = filter <= DEPTH;
                        }
                        weights.multiply(accs, quads, block, start).ok_or(Mismatch)?;
                        if p.weights_zero_point != 0 {
                            lanes::sums(quads, &mut sums);
                        }
                    }
                    if p.weights_zero_point != 0 {
                        take_off(accs, &sums, p.weights_zero_point);
                    }
                    stage.channels(block, accs, count, y, channels);
                }
                position += count;
            }
        }
    }
    Ok(())
}

/// Takes off what the weights' zero point has added: of models that were uint8.
#[cold]
#[inline(never)]
fn take_off(accs: &mut [[i32; POSITIONS]], sums: &[i32; POSITIONS], zero_point: i32) {
    for accs in accs {
        for (acc, sum) in accs.iter_mut().zip(sums) {
            *acc = acc.wrapping_sub(sum.wrapping_mul(zero_point));
        }
    }
}

/// The window of a position.
struct Patch<'a> {
    plan: &'a Plan,
    /// One image.
    x: &'a [i8],
    rows: Taps,
    columns: Taps,
    /// The first input channel.
    channel: usize,
    /// What is outside of the image.
    outside: i8,
}

impl Patch<'_> {
    /// Widens elements `range` of the window to a lane. The range begins at a multiple of [`STEP`].
    #[inline(never)]
    fn widen(
        &self,
        range: Range<usize>,
        lane: usize,
        quads: &mut [Quad<POSITIONS>],
        bytes: &mut [i8; DEPTH + STEP],
    ) -> Option<()> {
        let Plan { input: [_, _, input_w, input_c], kernel_w, depth, window, dense, .. } =
            *self.plan;
        let (rows, columns) = (&self.rows, &self.columns);
        let width = kernel_w * depth;
        let by_rows = width.is_multiple_of(STEP);
        let mut tap_y = range.start.checked_div(width)?;
        let mut at = range.start;
        // Where the row of taps is that is the next, if it is inside of the image as a whole.
        let whole = dense && columns.all(kernel_w);
        let step = window.dilation_h.wrapping_mul(input_w * input_c);
        let first = (rows.first * input_w + columns.first) * input_c;
        if whole && by_rows && range == (0..self.plan.filter) {
            return self.whole_rows(first, step, width, lane, quads);
        }
        let mut row = first.wrapping_add(tap_y.wrapping_sub(rows.inside.start).wrapping_mul(step));
        while at < range.end {
            let start = tap_y * width;
            let end = range.end.min(start + width);
            let (length, behind) = (end - at, at - range.start);
            // Some elements behind, so that words can be copied.
            let copied = if by_rows { length } else { length.next_multiple_of(STEP) };
            let x = if whole && rows.inside.contains(&tap_y) {
                self.x.get(row.wrapping_add(at - start)..).and_then(|x| x.get(..copied))
            } else {
                None
            };
            let bytes = bytes.get_mut(if by_rows { 0 } else { behind }..)?;
            match x {
                Some(x) if by_rows => widen(x, lane, quads.get_mut(behind / STEP..)?),
                Some(x) => copy(bytes.get_mut(..copied)?, x),
                None => {
                    let bytes = bytes.get_mut(..length)?;
                    self.copy(tap_y, at - start..end - start, bytes)?;
                    if by_rows {
                        widen(bytes, lane, quads.get_mut(behind / STEP..)?);
                    }
                }
            }
            (at, tap_y, row) = (end, tap_y + 1, row.wrapping_add(step));
        }
        if !by_rows {
            widen(bytes.get(..range.len())?, lane, quads);
        }
        Some(())
    }

    /// Widens a window whose rows, of `width` elements, are inside of the image as a whole, or outside. The
    /// first that is inside begins at `row`, the next `step` behind it.
    #[inline(never)]
    fn whole_rows(
        &self,
        mut row: usize,
        step: usize,
        width: usize,
        lane: usize,
        quads: &mut [Quad<POSITIONS>],
    ) -> Option<()> {
        let Range { start, end } = self.rows.inside;
        let (above, rest) = quads.split_at_mut_checked(start * width / STEP)?;
        let (inside, below) = rest.split_at_mut_checked((end - start) * width / STEP)?;
        for quads in [above, below] {
            lanes::fill(self.outside, lane, quads);
        }
        for quads in inside.chunks_exact_mut((width / STEP).max(1)) {
            widen_words(self.x.get(row..)?.get(..width)?.as_chunks().0, lane, quads);
            row = row.wrapping_add(step);
        }
        Some(())
    }

    /// Copies elements `part` of a row of taps.
    fn copy(&self, tap_y: usize, part: Range<usize>, to: &mut [i8]) -> Option<()> {
        let Plan { input: [_, _, input_w, input_c], depth, window, dense, .. } = *self.plan;
        let (rows, columns) = (&self.rows, &self.columns);
        if !rows.inside.contains(&tap_y) {
            to.fill(self.outside);
            return Some(());
        }
        let row = rows.first + (tap_y - rows.inside.start) * window.dilation_h;
        let mut from = (row * input_w + columns.first) * input_c + self.channel;
        let (left, right) = (columns.inside.start * depth, columns.inside.end * depth);
        // Taps that are neighbours in memory are copied as one.
        let run = if dense { right - left } else { depth };
        if left > part.start || right < part.end {
            to.fill(self.outside);
        }
        for start in (left..right).step_by(run.max(1)) {
            let (begin, end) = (start.max(part.start), (start + run).min(part.end));
            if begin < end {
                let x = self.x.get(from + (begin - start)..)?.get(..end - begin)?;
                copy(to.get_mut(begin - part.start..)?.get_mut(..end - begin)?, x);
            }
            from = from.wrapping_add(window.dilation_w.wrapping_mul(input_c));
        }
        Some(())
    }
}

fn copy(to: &mut [i8], from: &[i8]) {
    crate::convolve::fill_from(to, from);
}
