//! The loop nest of convolution, for any arithmetic: which activations meet which weights.
//!
//! A convolution is a product of matrices: windows, one a row, by filters, one a row. Where windows
//! lie in the image one behind the other, as with kernels of one pixel, the image is the matrix;
//! else as many windows as fit are copied to the stack. Each pair of filters then passes over all
//! windows, so that its biases and scales are looked up once. Windows that are too large for the
//! stack are summed tap by tap; their taps are long, so that this costs little.

use core::ops::Range;

use crate::Mismatch;
use crate::dot::{Arithmetic, ROWS};
use crate::finish::Finish;
use crate::window::{Taps, Window};

/// Elements of windows that are copied at once: one of a 3×3 kernel over 64 channels.
const PATCH: usize = 576;

/// The shapes of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    /// `[n, h, w, c]`.
    pub input: [usize; 4],
    /// `[n, h, w, c]`.
    pub output: [usize; 4],
    /// `[h, w]`.
    pub kernel: [usize; 2],
    /// How the kernel moves.
    pub window: Window,
}

/// How the windows of a convolution are read. There is a kernel for each, so that models that are
/// compiled in link only what they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windows {
    /// They follow each other in the image: one product of matrices.
    Adjacent,
    /// They fit the stack, to which they are copied.
    Small,
    /// They are read tap by tap.
    Large,
}

/// A convolution whose numbers fit each other, with weights OHWI.
pub(crate) struct Convolution<'a, A: Arithmetic, F> {
    arithmetic: A,
    plan: Plan,
    weights: &'a [A::W],
    padding: Padding<A::X>,
    finish: F,
}

impl<'a, A: Arithmetic, F: Finish<A::Acc>> Convolution<'a, A, F> {
    /// `finish` turns sums into outputs.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] where the weights do not fit the shapes.
    pub fn new(
        arithmetic: A,
        g: &Geometry,
        padding: Padding<A::X>,
        weights: &'a [A::W],
        finish: F,
    ) -> Result<Self, Mismatch> {
        Ok(Self { arithmetic, plan: Plan::new(*g, weights.len())?, weights, padding, finish })
    }

    /// How the windows are read.
    pub fn windows(&self) -> Windows {
        self.plan.windows(self.padding.outside.is_some())
    }

    /// Convolves `x` and stores what `finish` makes of the sums to `y`.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] where a slice does not have the length that the shapes state.
    pub fn run(&self, x: &[A::X], y: &mut [F::Y]) -> Result<(), Mismatch> {
        match self.windows() {
            Windows::Adjacent => self.product(x, y),
            Windows::Small => self.by_copies(x, y),
            Windows::Large => self.by_taps(x, y),
        }
    }

    /// [`Convolution::run`] where the windows follow each other in the image.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] also where they do not.
    #[inline(always)]
    pub fn product(&self, x: &[A::X], y: &mut [F::Y]) -> Result<(), Mismatch> {
        let (image, out) = self.plan.volumes(x.len(), y.len())?;
        if !self.plan.is_product() {
            return Err(Mismatch);
        }
        let mut images = x.chunks_exact(image.max(1));
        for y in y.chunks_exact_mut(out.max(1)) {
            self.multiply(0, images.next().ok_or(Mismatch)?, y)?;
        }
        Ok(())
    }

    /// [`Convolution::run`] where windows fit the stack and what is outside has a value.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] also where that is not so.
    #[inline(always)]
    pub fn by_copies(&self, x: &[A::X], y: &mut [F::Y]) -> Result<(), Mismatch> {
        let (image, out) = self.plan.volumes(x.len(), y.len())?;
        let Plan { output: [_, _, width, channels], filter, depth, groups, .. } = self.plan;
        let outside = self.padding.outside.ok_or(Mismatch)?;
        let at_once = PATCH.checked_div(filter).filter(|&count| count > 0).ok_or(Mismatch)?;
        let mut patches = [A::ZERO; PATCH];
        // `max` tells the compiler that no chunk is empty; where one would be, `y` is. Chunks are
        // not zipped: that divides by their length, out of sight of `max` when built for size.
        let mut images = x.chunks_exact(image.max(1));
        for y in y.chunks_exact_mut(out.max(1)) {
            let x = images.next().ok_or(Mismatch)?;
            for (out_y, y) in y.chunks_exact_mut((width * channels).max(1)).enumerate() {
                let rows = self.plan.rows(out_y);
                let mut out_x = 0;
                for y in y.chunks_mut((at_once * channels).max(1)) {
                    let count = y.len().checked_div(channels).ok_or(Mismatch)?;
                    let copies = patches.get_mut(..count * filter).ok_or(Mismatch)?;
                    for g in 0..groups {
                        for (i, patch) in copies.chunks_exact_mut(filter.max(1)).enumerate() {
                            let columns = self.plan.columns(out_x + i);
                            let position = Position { plan: &self.plan, x, rows: &rows, columns };
                            position.copy(g * depth, outside, patch).ok_or(Mismatch)?;
                        }
                        self.multiply(g, copies, y)?;
                    }
                    out_x += count;
                }
            }
        }
        Ok(())
    }

    /// [`Convolution::run`] for any window, tap by tap.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] where a slice does not have the length that the shapes state.
    #[inline(always)]
    pub fn by_taps(&self, x: &[A::X], y: &mut [F::Y]) -> Result<(), Mismatch> {
        let (image, out) = self.plan.volumes(x.len(), y.len())?;
        let Plan { output: [_, _, width, channels], groups, .. } = self.plan;
        let mut images = x.chunks_exact(image.max(1));
        for y in y.chunks_exact_mut(out.max(1)) {
            let x = images.next().ok_or(Mismatch)?;
            for (out_y, y) in y.chunks_exact_mut((width * channels).max(1)).enumerate() {
                let rows = self.plan.rows(out_y);
                for (out_x, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
                    let columns = self.plan.columns(out_x);
                    let position = Position { plan: &self.plan, x, rows: &rows, columns };
                    for g in 0..groups {
                        self.taps(&position, g, y)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The output channels of group `g` at the positions whose windows are the rows of `x`.
    #[inline(never)]
    fn multiply(&self, g: usize, x: &[A::X], y: &mut [F::Y]) -> Result<(), Mismatch> {
        let Plan { output: [.., channels], filter, group, .. } = self.plan;
        let end = (g + 1) * group;
        for channel in (g * group..end).step_by(ROWS) {
            let rows = rows_of(self.weights, filter, channel)?;
            let scales = self.finish.block::<ROWS>(channel);
            let last = (channel + ROWS).min(end);
            // In pairs of positions, and what is left of them.
            let mut pairs = x.chunks_exact((2 * filter).max(1));
            let mut outputs = y.chunks_exact_mut((2 * channels).max(1));
            for x in pairs.by_ref() {
                // Not zipped: that divides by the chunks' length, out of sight of `max` when built
                // for size, and so might panic.
                let y = outputs.next().ok_or(Mismatch)?;
                let (x0, x1) = x.split_at_checked(filter).ok_or(Mismatch)?;
                let (y0, y1) = y.split_at_mut_checked(channels).ok_or(Mismatch)?;
                let mut accs = self.arithmetic.dots([x0, x1], rows);
                if self.padding.weights_zero_point != 0 {
                    self.take_off(&mut accs, [x0, x1]);
                }
                let [results0, results1] = self.finish.finish_apart(&scales, accs);
                store(y0, channel..last, results0)?;
                store(y1, channel..last, results1)?;
            }
            let (x, y) = (pairs.remainder(), outputs.into_remainder());
            if !x.is_empty() {
                let mut accs = [self.arithmetic.dot(Default::default(), x, rows)];
                if self.padding.weights_zero_point != 0 {
                    self.take_off(&mut accs, [x]);
                }
                let [results] = self.finish.finish_apart(&scales, accs);
                store(y, channel..last, results)?;
            }
        }
        Ok(())
    }

    /// Takes off what the weights' zero point has added over the windows `x`: of models that were
    /// uint8.
    #[cold]
    #[inline(never)]
    fn take_off<const P: usize>(&self, accs: &mut [[A::Acc; ROWS]; P], x: [&[A::X]; P]) {
        for (accs, x) in accs.iter_mut().zip(x) {
            let offset = self.arithmetic.sum(x).wrapping_mul(self.padding.weights_zero_point);
            *accs = accs.map(|acc| self.arithmetic.less(acc, offset));
        }
    }

    /// The output channels of group `g` at one position, the window tap by tap.
    #[inline(never)]
    fn taps(
        &self,
        position: &Position<'_, A::X>,
        g: usize,
        y: &mut [F::Y],
    ) -> Result<(), Mismatch> {
        let Plan { kernel_h, kernel_w, depth, filter, group, .. } = self.plan;
        let end = (g + 1) * group;
        for channel in (g * group..end).step_by(ROWS) {
            let rows = rows_of(self.weights, filter, channel)?;
            let mut accs = [A::Acc::default(); ROWS];
            let mut sum = 0_i32;
            for tap_y in 0..kernel_h {
                for tap_x in 0..kernel_w {
                    let w = cut(rows, (tap_y * kernel_w + tap_x) * depth, depth)?;
                    let x = position
                        .tap(tap_y, tap_x)
                        .map(|start| part(position.x, start + g * depth, depth).ok_or(Mismatch));
                    match (x, self.padding.outside) {
                        (Some(x), _) => {
                            accs = self.arithmetic.dot(accs, x?, w);
                            sum = sum.wrapping_add(self.sum(x?));
                        }
                        (None, Some(x)) => {
                            accs = self.arithmetic.constant(accs, x, w);
                            sum = sum.wrapping_add(self.sum(&[x]).wrapping_mul(depth as i32));
                        }
                        (None, None) => {}
                    }
                }
            }
            let offset = sum.wrapping_mul(self.padding.weights_zero_point);
            let accs = accs.map(|acc| self.arithmetic.less(acc, offset));
            let [results] = self.finish.finish(&self.finish.block::<ROWS>(channel), [accs]);
            store(y, channel..(channel + ROWS).min(end), results)?;
        }
        Ok(())
    }

    /// `Σ x`, or 0 where the weights have no zero point that it would be multiplied by.
    #[inline(always)]
    fn sum(&self, x: &[A::X]) -> i32 {
        if self.padding.weights_zero_point == 0 { 0 } else { self.arithmetic.sum(x) }
    }
}

/// What the taps outside the image are worth, and the zero point of the weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Padding<X> {
    /// The activation that stands for zero; `None` where taps outside add nothing.
    pub outside: Option<X>,
    /// The weights' zero point, times which `Σ x` over the window is taken off the sums.
    pub weights_zero_point: i32,
}

impl<X: Default> Padding<X> {
    /// Taps outside are 0, weights are symmetric.
    pub fn zero() -> Self {
        Self { outside: Some(X::default()), weights_zero_point: 0 }
    }
}

/// A [`Geometry`] whose numbers fit each other, with what follows from them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub input: [usize; 4],
    pub output: [usize; 4],
    pub kernel_h: usize,
    pub kernel_w: usize,
    pub window: Window,
    /// Input channels that one filter sees.
    pub depth: usize,
    /// Weights of one filter.
    pub filter: usize,
    pub groups: usize,
    /// Output channels of one group.
    pub group: usize,
    /// Whether the taps of a kernel row are neighbours in memory.
    pub dense: bool,
}

impl Plan {
    /// # Errors
    ///
    /// [`Mismatch`] where the weights do not divide into filters or the channels into groups.
    pub fn new(g: Geometry, weights: usize) -> Result<Self, Mismatch> {
        let Geometry { input, output, kernel: [kernel_h, kernel_w], window } = g;
        let ([.., input_c], [.., channels]) = (input, output);
        let filter = weights.checked_div(channels).ok_or(Mismatch)?;
        let taps = kernel_h.checked_mul(kernel_w).ok_or(Mismatch)?;
        let depth = filter.checked_div(taps).ok_or(Mismatch)?;
        let groups = input_c.checked_div(depth).ok_or(Mismatch)?;
        let group = channels.checked_div(groups).ok_or(Mismatch)?;
        if depth.checked_mul(groups) != Some(input_c)
            || group.checked_mul(groups) != Some(channels)
            || depth.checked_mul(taps) != Some(filter)
            || filter.checked_mul(channels) != Some(weights)
        {
            return Err(Mismatch);
        }
        let dense = groups == 1 && (window.dilation_w == 1 || kernel_w == 1);
        Ok(Self { input, output, kernel_h, kernel_w, window, depth, filter, groups, group, dense })
    }

    fn windows(&self, copyable: bool) -> Windows {
        if self.is_product() {
            Windows::Adjacent
        } else if copyable && self.filter <= PATCH {
            Windows::Small
        } else {
            Windows::Large
        }
    }

    /// Whether the windows follow each other in the image without gap or overlap.
    pub fn is_product(&self) -> bool {
        let ([_, input_h, input_w, _], [_, height, width, _]) = (self.input, self.output);
        [self.kernel_h, self.kernel_w] == [1, 1]
            && self.window == Window::UNIT
            && self.groups == 1
            && [input_h, input_w] == [height, width]
    }

    /// Elements of an image of the input and of the output, which have these lengths.
    pub fn volumes(&self, x: usize, y: usize) -> Result<(usize, usize), Mismatch> {
        let ([input_batches, input_h, input_w, input_c], [batches, height, width, channels]) =
            (self.input, self.output);
        let image = volume([input_w, input_c, input_h])?;
        let out = volume([width, channels, height])?;
        let fits = batches == input_batches
            && image.checked_mul(batches) == Some(x)
            && out.checked_mul(batches) == Some(y);
        if fits { Ok((image, out)) } else { Err(Mismatch) }
    }

    /// The taps of output row `y`.
    pub fn rows(&self, y: usize) -> Taps {
        let [_, input_h, _, _] = self.input;
        self.window.rows(y, self.kernel_h, input_h)
    }

    /// The taps of output column `x`.
    #[inline(always)]
    pub fn columns(&self, x: usize) -> Taps {
        let [_, _, input_w, _] = self.input;
        self.window.columns(x, self.kernel_w, input_w)
    }

    /// Copies the input channels of group `group` of a window to `patch`; what is outside of the image
    /// is `outside`.
    #[cfg(any(helium, test))]
    pub fn copy_window<X: Copy>(
        &self,
        x: &[X],
        [rows, columns]: [&Taps; 2],
        group: usize,
        outside: X,
        patch: &mut [X],
    ) -> Option<()> {
        let position = Position { plan: self, x, rows, columns: columns.clone() };
        position.copy(group * self.depth, outside, patch)
    }

    /// Where in the image a tap `[y, x]` of an output position `[y, x]` is, if it is inside.
    pub fn tap(&self, [out_y, out_x]: [usize; 2], [tap_y, tap_x]: [usize; 2]) -> Option<usize> {
        let (rows, columns) = (&self.rows(out_y), self.columns(out_x));
        Position::<i8> { plan: self, x: &[], rows, columns }.tap(tap_y, tap_x)
    }
}

/// The product of three dimensions.
pub(crate) fn volume([a, b, c]: [usize; 3]) -> Result<usize, Mismatch> {
    a.checked_mul(b).and_then(|ab| ab.checked_mul(c)).ok_or(Mismatch)
}

/// One output position.
struct Position<'a, X> {
    plan: &'a Plan,
    /// One image.
    x: &'a [X],
    rows: &'a Taps,
    columns: Taps,
}

impl<X: Copy> Position<'_, X> {
    /// Copies the window's input channels from `channel` on; what is outside of the image is
    /// `outside`.
    #[inline(never)]
    fn copy(&self, channel: usize, outside: X, patch: &mut [X]) -> Option<()> {
        let Plan { kernel_w, depth, window, dense, .. } = *self.plan;
        let [_, _, input_w, input_c] = self.plan.input;
        let (rows, columns) = (&self.rows.inside, &self.columns.inside);
        let width = kernel_w * depth;
        let (above, rest) = patch.split_at_mut_checked(rows.start * width)?;
        let (inside, below) = rest.split_at_mut_checked(rows.len() * width)?;
        fill(above, outside);
        fill(below, outside);
        let (left, right) = (columns.start * depth, columns.end * depth);
        // Taps that are neighbours in memory are copied as one.
        let run = if dense { right - left } else { depth };
        let step = window.dilation_h * input_w * input_c;
        let mut start = (self.rows.first * input_w + self.columns.first) * input_c + channel;
        // `max`: a kernel without weights does not come here, but the compiler does not know.
        for row in inside.chunks_exact_mut(width.max(1)) {
            if right - left < width {
                fill(row.get_mut(..left)?, outside);
                fill(row.get_mut(right..)?, outside);
            }
            let mut at = start;
            for tap in row.get_mut(left..right)?.chunks_exact_mut(run.max(1)) {
                fill_from(tap, part(self.x, at, run)?);
                // Behind the last tap it may lie anywhere; nobody reads there.
                at = at.wrapping_add(window.dilation_w.wrapping_mul(input_c));
            }
            start = start.wrapping_add(step);
        }
        Some(())
    }

    /// Where in the image a tap is, if it is inside.
    #[inline(always)]
    fn tap(&self, tap_y: usize, tap_x: usize) -> Option<usize> {
        if !self.rows.inside.contains(&tap_y) || !self.columns.inside.contains(&tap_x) {
            return None;
        }
        let [_, _, input_w, input_c] = self.plan.input;
        let Window { dilation_h, dilation_w, .. } = self.plan.window;
        let row = self.rows.first + (tap_y - self.rows.inside.start) * dilation_h;
        let column = self.columns.first + (tap_x - self.columns.inside.start) * dilation_w;
        Some((row * input_w + column) * input_c)
    }
}

/// `len` elements from `start` on.
#[inline(always)]
pub(crate) fn part<T>(slice: &[T], start: usize, len: usize) -> Option<&[T]> {
    slice.get(start..)?.get(..len)
}

/// The same part of two slices.
#[inline(always)]
pub(crate) fn cut<T>(
    [a, b]: [&[T]; ROWS],
    start: usize,
    len: usize,
) -> Result<[&[T]; ROWS], Mismatch> {
    let cut = |slice| part(slice, start, len).ok_or(Mismatch);
    Ok([cut(a)?, cut(b)?])
}

/// The filters, of `filter` weights each, of `channel` and the next; where there is none, the first
/// stands in for it.
#[inline(always)]
pub(crate) fn rows_of<T>(
    weights: &[T],
    filter: usize,
    channel: usize,
) -> Result<[&[T]; ROWS], Mismatch> {
    let weights = weights.get(channel * filter..).ok_or(Mismatch)?;
    let (first, rest) = weights.split_at_checked(filter).ok_or(Mismatch)?;
    Ok([first, rest.get(..filter).unwrap_or(first)])
}

/// Stores a block's outputs to the channels of one position, of which there may be fewer.
#[inline(always)]
fn store<Y: Copy>(y: &mut [Y], channels: Range<usize>, results: [Y; ROWS]) -> Result<(), Mismatch> {
    for (y, result) in y.get_mut(channels).ok_or(Mismatch)?.iter_mut().zip(results) {
        *y = result;
    }
    Ok(())
}

/// `slice::fill`, not inlined: compilers unroll the loops around it where they see what it does.
#[inline(never)]
fn fill<T: Copy>(to: &mut [T], value: T) {
    to.fill(value);
}

/// Copies a slice to one of its length; `copy_from_slice` would bring a panic along. Not inlined, as
/// [`fill`]. In pairs of words where elements are bytes: a loop over less would be compiled to a
/// call of memcpy, which takes its time with so few.
#[inline(never)]
pub(crate) fn fill_from<T: Copy>(to: &mut [T], from: &[T]) {
    let ((to, to_rest), (from, from_rest)) = (to.as_chunks_mut::<8>(), from.as_chunks::<8>());
    for ([t0, t1, t2, t3, to @ ..], &[f0, f1, f2, f3, ref from @ ..]) in to.iter_mut().zip(from) {
        [*t0, *t1, *t2, *t3] = [f0, f1, f2, f3];
        *to = *from;
    }
    let ((to, to_last), (from, from_last)) =
        (to_rest.as_chunks_mut::<4>(), from_rest.as_chunks::<4>());
    if let ([to], [from]) = (to, from) {
        *to = *from;
    }
    match (to_last, from_last) {
        ([t0], &[f0]) => *t0 = f0,
        ([t0, t1], &[f0, f1]) => [*t0, *t1] = [f0, f1],
        ([t0, t1, t2], &[f0, f1, f2]) => [*t0, *t1, *t2] = [f0, f1, f2],
        _ => {}
    }
}
