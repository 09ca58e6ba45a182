//! CONV_2D: windows by rows of weights, see [`super::product`].
//!
//! Windows that follow each other in the image are read where they are; others, of up to [`PATCH`]
//! elements, are copied to the stack, as many as fit. Larger ones are summed tap by tap. Windows by
//! rows are multiplied until there are [`CHANNELS`] sums, which are finished together.

use super::copy::Runs;
use super::output::{CHANNELS, Stage};
use super::product::{Product, Start};
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::convolve::Plan;
use crate::dot::{Arithmetic, I8};
use crate::requantize::Rescale;
use crate::window::Taps;

/// Elements of windows that are copied at once.
const PATCH: usize = 576;

/// Elements outside of the image that are multiplied at once.
const OUTSIDE: usize = 32;

/// [`crate::conv2d::conv2d_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state, or a window is large.
pub(crate) fn conv2d_i8<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let plan = p.plan()?;
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let Plan { output: [_, _, width, channels], filter, groups, .. } = plan;
    let at_once = match PATCH.checked_div(filter).ok_or(Mismatch)? {
        0 => return Err(Mismatch),
        1 => 1,
        // Pairs are multiplied faster.
        count => count & !1,
    };
    let outside = p.input_zero_point as i8;
    let stage = Stage::new(&p.requantize, p.output_stage, channels);
    let layer = Layer { p, plan: &plan, stage: &stage };
    let (mut patches, mut sums) = ([0; PATCH], [0; CHANNELS]);
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        for (out_y, y) in y.chunks_exact_mut((width * channels).max(1)).enumerate() {
            let rows = plan.rows(out_y);
            let mut out_x = 0;
            for y in y.chunks_mut((at_once * channels).max(1)) {
                let count = y.len().checked_div(channels).ok_or(Mismatch)?;
                let copies = patches.get_mut(..count * filter).ok_or(Mismatch)?;
                for group in 0..groups {
                    if plan.dense {
                        copy_windows(&plan, x, &rows, out_x, outside, copies)
                    } else {
                        copy_groups(&plan, x, &rows, [out_x, group], outside, copies)
                    }
                    .ok_or(Mismatch)?;
                    layer.outputs(group, copies, y, &mut sums).ok_or(Mismatch)?;
                }
                out_x += count;
            }
        }
    }
    Ok(())
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
    let (image, out) = plan.volumes(x.len(), y.len())?;
    if !plan.is_product() {
        return Err(Mismatch);
    }
    let [.., channels] = plan.output;
    let stage = Stage::new(&p.requantize, p.output_stage, channels);
    let layer = Layer { p, plan: &plan, stage: &stage };
    let mut sums = [0; CHANNELS];
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        layer.outputs(0, images.next().ok_or(Mismatch)?, y, &mut sums).ok_or(Mismatch)?;
    }
    Ok(())
}

/// [`crate::conv2d::conv2d_large_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
pub(crate) fn conv2d_large_i8<R: Rescale>(
    p: &Conv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let plan = p.plan()?;
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let Plan { output: [_, _, width, channels], groups, .. } = plan;
    let stage = Stage::new(&p.requantize, p.output_stage, channels);
    let layer = Layer { p, plan: &plan, stage: &stage };
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        for (out_y, y) in y.chunks_exact_mut((width * channels).max(1)).enumerate() {
            for (out_x, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
                for group in 0..groups {
                    layer.taps(x, [out_y, out_x], group, y).ok_or(Mismatch)?;
                }
            }
        }
    }
    Ok(())
}

/// Copies windows of output columns from `out_x` on, of which the rows `rows` are inside, to `copies`, as
/// many as there is room for. The taps of a row are neighbours in memory.
#[inline(never)]
fn copy_windows(
    plan: &Plan,
    x: &[i8],
    rows: &Taps,
    out_x: usize,
    outside: i8,
    copies: &mut [i8],
) -> Option<()> {
    let Plan { input: [_, _, input_w, input_c], kernel_h, kernel_w, .. } = *plan;
    let Plan { depth, filter, window, .. } = *plan;
    if !rows.all(kernel_h) {
        copies.fill(outside);
    }
    if rows.inside.is_empty() {
        return Some(());
    }
    let count = copies.len().checked_div(filter)?;
    let (width, row) = (kernel_w * depth, input_w * input_c);
    let mut i = 0;
    while i < count {
        let columns = plan.columns(out_x + i);
        let whole = columns.all(kernel_w);
        // Windows up to the last that reaches the image's end: if this one is inside, so are those.
        let windows = if whole && kernel_w > 0 {
            let extent = (kernel_w - 1).checked_mul(window.dilation_w)?.checked_add(1)?;
            let behind = input_w.checked_sub(columns.first)?.checked_sub(extent)?;
            behind.checked_div(window.stride_w)?.checked_add(1)?.min(count - i)
        } else {
            1
        };
        let to = copies.get_mut(i * filter..)?;
        if !whole {
            to.get_mut(..filter)?.fill(outside);
        }
        i += windows;
        if columns.inside.is_empty() {
            continue;
        }
        let runs = Runs {
            windows,
            rows: rows.inside.len(),
            length: columns.inside.len() * depth,
            window_pitch: [window.stride_w.wrapping_mul(input_c), filter],
            row_pitch: [window.dilation_h.wrapping_mul(row), width],
        };
        let from = x.get(rows.first * row + columns.first * input_c..)?;
        let first = rows.inside.start * width + columns.inside.start * depth;
        runs.copy(from, to.get_mut(first..)?)?;
    }
    Some(())
}

/// Copies a group's channels of windows, one by one.
#[cold]
#[inline(never)]
fn copy_groups(
    plan: &Plan,
    x: &[i8],
    rows: &Taps,
    [out_x, group]: [usize; 2],
    outside: i8,
    copies: &mut [i8],
) -> Option<()> {
    for (i, patch) in copies.chunks_exact_mut(plan.filter.max(1)).enumerate() {
        let columns = plan.columns(out_x + i);
        plan.copy_window(x, [rows, &columns], group, outside, patch)?;
    }
    Some(())
}

struct Layer<'a, R> {
    p: &'a Conv2dI8<'a, R>,
    plan: &'a Plan,
    stage: &'a Stage<'a, R>,
}

impl<R: Rescale> Layer<'_, R> {
    /// The output channels of a group at the positions whose windows follow each other in `x`. What is in
    /// `sums` does not matter.
    #[inline(never)]
    fn outputs(
        &self,
        group: usize,
        x: &[i8],
        y: &mut [i8],
        sums: &mut [i32; CHANNELS],
    ) -> Option<()> {
        let Plan { output: [.., channels], filter, group: size, .. } = *self.plan;
        let end = (group + 1) * size;
        // Of several windows at least two at a time.
        let most = if x.len() > filter { CHANNELS / 2 } else { CHANNELS };
        for first in (group * size..end).step_by(most) {
            let count = (end - first).min(most);
            let bias = self.p.bias.get(first..)?.get(..count)?;
            let weights = self.p.weights.get(first * filter..)?;
            let positions = CHANNELS.checked_div(count)?;
            let mut outputs = y.chunks_mut((positions * channels).max(1));
            for x in x.chunks((positions * filter).max(1)) {
                let sums = sums.get_mut(..x.len().checked_div(filter)? * count)?;
                let product = Product { x, depth: filter, weights, pitch: filter };
                product.multiply(Start::Bias(bias), sums)?;
                if self.p.weights_zero_point != 0 {
                    self.take_off(sums, count, x);
                }
                self.stage.store(first, count, sums, outputs.next()?, channels)?;
            }
        }
        Some(())
    }

    /// Takes off what the weights' zero point has added: of models that were uint8.
    #[cold]
    #[inline(never)]
    fn take_off(&self, sums: &mut [i32], count: usize, x: &[i8]) {
        let mut windows = x.chunks_exact(self.plan.filter.max(1));
        for sums in sums.chunks_exact_mut(count.max(1)) {
            let x = windows.next().unwrap_or_default();
            let offset = I8.sum(x).wrapping_mul(self.p.weights_zero_point);
            sums.iter_mut().for_each(|sum| *sum = sum.wrapping_sub(offset));
        }
    }

    /// The output channels of a group at one position, the window tap by tap.
    #[inline(never)]
    fn taps(&self, x: &[i8], position: [usize; 2], group: usize, y: &mut [i8]) -> Option<()> {
        let Plan { kernel_h, kernel_w, depth, filter, group: size, .. } = *self.plan;
        let end = (group + 1) * size;
        let outside = [self.p.input_zero_point as i8; OUTSIDE];
        let mut sums = [0; CHANNELS];
        for first in (group * size..end).step_by(CHANNELS) {
            let count = (end - first).min(CHANNELS);
            let sums = sums.get_mut(..count)?;
            crate::convolve::fill_from(sums, self.p.bias.get(first..)?.get(..count)?);
            let mut weights = self.p.weights.get(first * filter..)?;
            let mut sum = 0_i32;
            for tap in 0..kernel_h * kernel_w {
                let tap_y = tap.checked_div(kernel_w)?;
                let inside = self.plan.tap(position, [tap_y, tap - tap_y * kernel_w]);
                let mut left = depth;
                while left > 0 {
                    let part = match inside {
                        Some(start) => x.get(start + group * depth..)?.get(..depth)?,
                        None => outside.get(..left.min(OUTSIDE))?,
                    };
                    let product = Product { x: part, depth: part.len(), weights, pitch: filter };
                    product.multiply(Start::Sums(count), sums)?;
                    sum = sum.wrapping_add(self.sum(part));
                    weights = weights.get(part.len()..)?;
                    left -= part.len();
                }
            }
            let offset = sum.wrapping_mul(self.p.weights_zero_point);
            sums.iter_mut().for_each(|sum| *sum = sum.wrapping_sub(offset));
            self.stage.store(first, count, sums, y, count)?;
        }
        Some(())
    }

    /// `Σ x`, or 0 where the weights have no zero point that it would be multiplied by.
    #[inline(always)]
    fn sum(&self, x: &[i8]) -> i32 {
        if self.p.weights_zero_point == 0 { 0 } else { I8.sum(x) }
    }
}
