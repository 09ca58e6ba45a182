//! CONV_2D: windows by rows of weights, see [`super::product`].
//!
//! Windows that follow each other in the image are read where they are; others, of up to [`PATCH`]
//! elements, are copied to the stack, as many as fit. Larger ones are summed tap by tap. Windows by
//! rows are multiplied until there are [`CHANNELS`] sums, which are finished together.

use super::copy;
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
    let at_once = PATCH.checked_div(filter).filter(|&count| count > 0).ok_or(Mismatch)?;
    let outside = p.input_zero_point as i8;
    let stage = Stage::new(&p.requantize, p.output_stage, channels);
    let layer = Layer { p, plan: &plan, stage: &stage };
    let mut patches = [0; PATCH];
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
                    for (i, patch) in copies.chunks_exact_mut(filter.max(1)).enumerate() {
                        let columns = plan.columns(out_x + i);
                        if plan.dense {
                            copy_window(&plan, x, [&rows, &columns], outside, patch)
                        } else {
                            plan.copy_window(x, [&rows, &columns], group, outside, patch)
                        }
                        .ok_or(Mismatch)?;
                    }
                    layer.outputs(group, copies, y).ok_or(Mismatch)?;
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
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        layer.outputs(0, images.next().ok_or(Mismatch)?, y).ok_or(Mismatch)?;
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

/// [`Plan::copy_window`] where the taps of a row are neighbours in memory.
#[inline(always)]
fn copy_window(
    plan: &Plan,
    x: &[i8],
    [rows, columns]: [&Taps; 2],
    outside: i8,
    patch: &mut [i8],
) -> Option<()> {
    let Plan { input: [_, _, input_w, input_c], kernel_h, kernel_w, depth, window, .. } = *plan;
    if !rows.all(kernel_h) || !columns.all(kernel_w) {
        patch.fill(outside);
    }
    if rows.inside.is_empty() || columns.inside.is_empty() {
        return Some(());
    }
    let width = kernel_w * depth;
    let first = rows.inside.start * width + columns.inside.start * depth;
    copy::rows(
        x.get((rows.first * input_w + columns.first) * input_c..)?,
        window.dilation_h.wrapping_mul(input_w * input_c),
        patch.get_mut(first..)?,
        width,
        [rows.inside.len(), columns.inside.len() * depth],
    )
}

struct Layer<'a, R> {
    p: &'a Conv2dI8<'a, R>,
    plan: &'a Plan,
    stage: &'a Stage<'a, R>,
}

impl<R: Rescale> Layer<'_, R> {
    /// The output channels of a group at the positions whose windows follow each other in `x`.
    #[inline(never)]
    fn outputs(&self, group: usize, x: &[i8], y: &mut [i8]) -> Option<()> {
        let Plan { output: [.., channels], filter, group: size, .. } = *self.plan;
        let end = (group + 1) * size;
        let mut sums = [0; CHANNELS];
        for first in (group * size..end).step_by(CHANNELS) {
            let count = (end - first).min(CHANNELS);
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
