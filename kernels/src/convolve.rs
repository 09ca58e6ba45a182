//! The loop nest of convolution, for any arithmetic: which activations meet which weights.
//!
//! Output positions go in pairs along a row, output channels in pairs within a group. For one
//! pair of each, the taps of a kernel row that are inside the image form one run of activations
//! and one of weights, as long as the columns are dense (no dilation, one group); otherwise each
//! tap is a run. Taps outside add the constant that stands for zero.

use core::ops::Range;

use crate::Mismatch;
use crate::dot::Arithmetic;
use crate::finish::Finish;
use crate::window::{Taps, Window};

/// The shapes of a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    /// `[n, h, w, c]`.
    pub input: [usize; 4],
    /// `[n, h, w, c]`.
    pub output: [usize; 4],
    /// `[h, w]`.
    pub kernel: [usize; 2],
    /// How the kernel moves.
    pub window: Window,
}

/// Convolves `x` with `weights` (OHWI) and stores what `finish` makes of the sums to `y`.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that `g` states.
pub(crate) fn convolve<A: Arithmetic, F: Finish<A::Acc>>(
    arithmetic: A,
    g: &Geometry,
    padding: Padding<A::X>,
    x: &[A::X],
    weights: &[A::W],
    y: &mut [F::Y],
    finish: &F,
) -> Result<(), Mismatch> {
    let plan = &Plan::new(g.flattened(), weights.len())?;
    let [batches, height, width, channels] = plan.output;
    let [input_batches, input_h, input_w, input_c] = plan.input;
    let image = volume([input_w, input_c, input_h])?;
    let out = volume([width, channels, height])?;
    if batches != input_batches
        || image.checked_mul(batches) != Some(x.len())
        || out.checked_mul(batches) != Some(y.len())
    {
        return Err(Mismatch);
    }
    // `max` tells the compiler that no chunk is empty; where one would be, `y` is. Chunks are not
    // zipped: that divides by their length, out of sight of `max` when built for size.
    let row = (width * channels).max(1);
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        for (out_y, mut rest) in y.chunks_exact_mut(row).enumerate() {
            let rows = plan.window.rows(out_y, plan.kernel_h, input_h);
            let mut out_x = 0;
            while !rest.is_empty() {
                let columns = plan.window.columns(out_x, plan.kernel_w, input_w);
                let next = plan.window.columns(out_x + 1, plan.kernel_w, input_w);
                let both = columns.all(plan.kernel_w) && next.all(plan.kernel_w);
                let inside = columns.inside;
                let tile = Tile { arithmetic, plan, x, rows: &rows, inside, padding };
                // A pair is one row of both positions' channels; none where the row ends.
                let pair = channels.saturating_mul(2);
                let take = if both && pair <= rest.len() { pair } else { channels };
                let (now, after) = rest.split_at_mut_checked(take).ok_or(Mismatch)?;
                let (y0, y1) = now.split_at_mut_checked(channels).ok_or(Mismatch)?;
                if y1.is_empty() {
                    tile.run([columns.first], weights, [y0], finish)?;
                    out_x += 1;
                } else {
                    tile.run([columns.first, next.first], weights, [y0, y1], finish)?;
                    out_x += 2;
                }
                rest = after;
            }
        }
    }
    Ok(())
}

/// What the taps outside the image are worth, and the zero point of the weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Padding<X> {
    /// The activation that stands for zero; `None` where taps outside add nothing.
    pub outside: Option<X>,
    /// The weights' zero point, times which `Σ x` over the window is taken off the sums.
    pub weights_zero_point: i32,
}

impl<X> Padding<X> {
    /// Taps outside add nothing, weights are symmetric.
    pub const NONE: Self = Self { outside: None, weights_zero_point: 0 };
}

/// A [`Geometry`] whose numbers fit each other, with what follows from them.
#[derive(Debug, Clone, Copy)]
struct Plan {
    input: [usize; 4],
    output: [usize; 4],
    kernel_h: usize,
    kernel_w: usize,
    window: Window,
    /// Input channels that one filter sees.
    depth: usize,
    /// Weights of one filter.
    filter: usize,
    groups: usize,
    /// Output channels of one group.
    group: usize,
}

impl Plan {
    /// # Errors
    ///
    /// [`Mismatch`] where the weights do not divide into filters or the channels into groups.
    fn new(g: Geometry, weights: usize) -> Result<Self, Mismatch> {
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
        Ok(Self { input, output, kernel_h, kernel_w, window, depth, filter, groups, group })
    }
}

impl Geometry {
    /// The same convolution with all positions in one row, where the kernel is one pixel that
    /// visits each: then positions pair up whatever the width.
    fn flattened(&self) -> Self {
        let [n, h, w, c] = self.input;
        let [out_n, out_h, out_w, channels] = self.output;
        let pointwise = self.kernel == [1, 1] && self.window == Window::UNIT;
        match volume([n, h, w]) {
            Ok(positions) if pointwise && [n, h, w] == [out_n, out_h, out_w] => {
                Self { input: [1, 1, positions, c], output: [1, 1, positions, channels], ..*self }
            }
            _ => *self,
        }
    }
}

/// The product of three dimensions.
pub(crate) fn volume([a, b, c]: [usize; 3]) -> Result<usize, Mismatch> {
    a.checked_mul(b).and_then(|ab| ab.checked_mul(c)).ok_or(Mismatch)
}

/// Neighbouring output positions whose taps inside the image are the same.
struct Tile<'a, A: Arithmetic> {
    arithmetic: A,
    plan: &'a Plan,
    /// One image.
    x: &'a [A::X],
    rows: &'a Taps,
    /// Columns of taps inside.
    inside: Range<usize>,
    padding: Padding<A::X>,
}

impl<A: Arithmetic> Tile<'_, A> {
    /// All output channels of `P` positions, whose first taps inside are at input columns `first`.
    #[inline(always)]
    fn run<F: Finish<A::Acc>, const P: usize>(
        &self,
        first: [usize; P],
        weights: &[A::W],
        mut y: [&mut [F::Y]; P],
        finish: &F,
    ) -> Result<(), Mismatch> {
        let Plan { filter, groups, group, .. } = *self.plan;
        let single = self.single_runs(first);
        for g in 0..groups {
            let sums = self.window_sums(first, g * self.plan.depth).ok_or(Mismatch)?;
            let end = (g + 1) * group;
            let mut channel = g * group;
            while channel < end {
                // An odd last channel goes with itself.
                let other = (channel + 1).min(end - 1);
                let w0 = part(weights, channel * filter, filter).ok_or(Mismatch)?;
                let w1 = part(weights, other * filter, filter).ok_or(Mismatch)?;
                let mut accs = match single {
                    Some(x) => {
                        let mut accs = [[A::Acc::default(); 2]; P];
                        self.arithmetic.block(&mut accs, x, [w0, w1]);
                        accs
                    }
                    None => self.accumulate(first, g, [w0, w1]).ok_or(Mismatch)?,
                };
                for (accs, sum) in accs.iter_mut().zip(sums) {
                    let offset = sum.wrapping_mul(self.padding.weights_zero_point);
                    *accs = accs.map(|acc| self.arithmetic.less(acc, offset));
                }
                let outputs = finish.finish(channel, &accs);
                for (y, [output, next]) in y.iter_mut().zip(outputs) {
                    *y.get_mut(channel).ok_or(Mismatch)? = output;
                    if other > channel {
                        *y.get_mut(other).ok_or(Mismatch)? = next;
                    }
                }
                channel += 2;
            }
        }
        Ok(())
    }

    /// The windows of `P` positions where each is one run of memory, as with kernels of one pixel.
    #[inline(always)]
    fn single_runs<const P: usize>(&self, first: [usize; P]) -> Option<[&[A::X]; P]> {
        let Plan { kernel_h, kernel_w, filter, groups, window, .. } = *self.plan;
        let [_, _, _, input_c] = self.plan.input;
        let dense = groups == 1 && (window.dilation_w == 1 || kernel_w == 1);
        let all = self.rows.all(kernel_h) && self.inside == (0..kernel_w);
        if kernel_h != 1 || !dense || !all {
            return None;
        }
        let start = self.row_start(0);
        self.runs(first.map(|x| start + x * input_c), filter)
    }

    /// The sums of two filters over the windows of `P` positions.
    ///
    /// Not inlined, so that the roundings of an operator share it.
    #[inline(never)]
    fn accumulate<const P: usize>(
        &self,
        first: [usize; P],
        group: usize,
        w: [&[A::W]; 2],
    ) -> Option<[[A::Acc; 2]; P]> {
        let Plan { kernel_h, kernel_w, depth, groups, window, .. } = *self.plan;
        let [_, _, _, input_c] = self.plan.input;
        let mut accs = [[A::Acc::default(); 2]; P];
        let dense = groups == 1 && (window.dilation_w == 1 || kernel_w == 1);
        let (left, right) = (self.inside.start * depth, self.inside.end * depth);
        let row = kernel_w * depth;
        for tap_y in 0..kernel_h {
            let w = cut(w, tap_y * row, row)?;
            if !self.rows.inside.contains(&tap_y) {
                self.outside(&mut accs, w);
                continue;
            }
            if right - left < row {
                self.outside(&mut accs, cut(w, 0, left)?);
                self.outside(&mut accs, cut(w, right, row - right)?);
            }
            let start = self.row_start(tap_y);
            if dense {
                let x = self.runs(first.map(|x| start + x * input_c), right - left)?;
                self.arithmetic.block(&mut accs, x, cut(w, left, right - left)?);
                continue;
            }
            for (i, tap_x) in self.inside.clone().enumerate() {
                let column = i * window.dilation_w;
                let x = first.map(|x| start + (x + column) * input_c + group * depth);
                self.arithmetic.block(
                    &mut accs,
                    self.runs(x, depth)?,
                    cut(w, tap_x * depth, depth)?,
                );
            }
        }
        Some(accs)
    }

    /// Adds what weights outside the image meet.
    #[inline(always)]
    fn outside<const P: usize>(&self, accs: &mut [[A::Acc; 2]; P], w: [&[A::W]; 2]) {
        if let Some(x) = self.padding.outside {
            for acc in accs {
                *acc = self.arithmetic.constant(*acc, x, w);
            }
        }
    }

    /// `Σ x` over the windows of `P` positions, `depth` channels from `channel` on; 0 where the
    /// weights have no zero point.
    fn window_sums<const P: usize>(&self, first: [usize; P], channel: usize) -> Option<[i32; P]> {
        let mut sums = [0_i32; P];
        if self.padding.weights_zero_point == 0 {
            return Some(sums);
        }
        let Plan { kernel_h, kernel_w, depth, window, .. } = *self.plan;
        let [_, _, _, input_c] = self.plan.input;
        let mut taps = 0;
        for tap_y in self.rows.inside.clone() {
            let start = self.row_start(tap_y);
            for i in 0..self.inside.len() {
                let column = i * window.dilation_w;
                let x = first.map(|x| start + (x + column) * input_c + channel);
                for (total, x) in sums.iter_mut().zip(self.runs(x, depth)?) {
                    *total = total.wrapping_add(self.arithmetic.sum(x));
                }
                taps += 1;
            }
        }
        let outside = (kernel_h * kernel_w - taps) * depth;
        let value = self.padding.outside.map_or(0, |x| self.arithmetic.sum(&[x]));
        let outside = value.wrapping_mul(outside as i32);
        Some(sums.map(|sum| sum.wrapping_add(outside)))
    }

    /// Where in the image the row begins that tap row `tap_y`, one of those inside, reads.
    #[inline(always)]
    fn row_start(&self, tap_y: usize) -> usize {
        let [_, _, input_w, input_c] = self.plan.input;
        let row = self.rows.first + (tap_y - self.rows.inside.start) * self.plan.window.dilation_h;
        row * input_w * input_c
    }

    /// `P` runs of activations, each `len` from its `start` on.
    #[inline(always)]
    fn runs<const P: usize>(&self, start: [usize; P], len: usize) -> Option<[&[A::X]; P]> {
        let mut runs = [[].as_slice(); P];
        for (run, start) in runs.iter_mut().zip(start) {
            *run = part(self.x, start, len)?;
        }
        Some(runs)
    }
}

/// `len` elements from `start` on.
#[inline(always)]
pub(crate) fn part<T>(slice: &[T], start: usize, len: usize) -> Option<&[T]> {
    slice.get(start..)?.get(..len)
}

/// The same part of two slices.
#[inline(always)]
fn cut<T>([a, b]: [&[T]; 2], start: usize, len: usize) -> Option<[&[T]; 2]> {
    Some([part(a, start, len)?, part(b, start, len)?])
}
