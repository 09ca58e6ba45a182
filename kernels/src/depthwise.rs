//! The loop nest of depthwise convolution, for any arithmetic.
//!
//! A block of neighbouring channels is summed at once: their activations and their weights are
//! neighbours in memory, so a tap is a product of two vectors. With a multiplier, the channels of a
//! block share one activation. A block passes over a row of positions, so that its biases and scales
//! are looked up once.

use crate::Mismatch;
use crate::convolve::{Geometry, volume};
use crate::finish::Finish;
use crate::window::Taps;

/// How one activation and one weight are multiplied and added. Integers wrap.
pub(crate) trait Multiply: Copy {
    /// An activation.
    type X: Copy;
    /// A weight.
    type W: Copy;
    /// The sum of products. Its default is zero.
    type Acc: Copy + Default;

    /// `acc + x·w`.
    fn multiply_add(self, acc: Self::Acc, x: Self::X, w: Self::W) -> Self::Acc;
}

/// int8 by symmetric int8.
#[derive(Clone, Copy)]
pub(crate) struct I8;

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
pub(crate) struct I8Offset(pub i16);

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

/// int16 by int8 in 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct I16;

impl Multiply for I16 {
    type X = i16;
    type W = i8;
    type Acc = i32;

    #[inline(always)]
    fn multiply_add(self, acc: i32, x: i16, w: i8) -> i32 {
        acc.wrapping_add(i32::from(x) * i32::from(w))
    }
}

/// int16 by int8 in 64 bits.
#[derive(Clone, Copy)]
pub(crate) struct I16Wide;

impl Multiply for I16Wide {
    type X = i16;
    type W = i8;
    type Acc = i64;

    #[inline(always)]
    fn multiply_add(self, acc: i64, x: i16, w: i8) -> i64 {
        acc.wrapping_add(i64::from(i32::from(x) * i32::from(w)))
    }
}

/// f32 throughout.
#[derive(Clone, Copy)]
pub(crate) struct F32;

impl Multiply for F32 {
    type X = f32;
    type W = f32;
    type Acc = f32;

    #[inline(always)]
    fn multiply_add(self, acc: f32, x: f32, w: f32) -> f32 {
        acc + x * w
    }
}

/// Channels whose sums are held at once: two vectors of four, or most registers of a Cortex-M.
const BLOCK: usize = 8;

/// Taps of the largest window whose weights are copied to the stack, of kernels three taps wide.
const PATCH: usize = 24;

/// Convolves `x` with `weights` and stores what `finish` makes of the sums to `y`. `outside` is the
/// activation that stands for zero, where taps outside the image count. Where it is `SHARED`, an
/// input channel has any number of outputs, else one: less code.
#[inline(always)]
pub(crate) fn depthwise<M: Multiply, F: Finish<M::Acc>, const SHARED: bool>(
    arithmetic: M,
    g: &Geometry,
    outside: Option<M::X>,
    x: &[M::X],
    weights: &[M::W],
    y: &mut [F::Y],
    finish: &F,
) -> Result<(), Mismatch> {
    let [_, _, width, channels] = g.output;
    let ([_, input_h, _, input_c], [kernel_h, _]) = (g.input, g.kernel);
    let [image, out, multiplier] = shapes(g, x.len(), weights.len(), y.len())?;
    if multiplier != 1 && !SHARED {
        return Err(Mismatch);
    }
    // `max` tells the compiler that no chunk is empty; where one would be, `y` is.
    let row = (width * channels).max(1);
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        for (out_y, y) in y.chunks_exact_mut(row).enumerate() {
            let rows = &g.window.rows(out_y, kernel_h, input_h);
            let row = Row { arithmetic, g, outside, x, weights, rows, finish };
            if !SHARED || multiplier == 1 {
                row.channels::<false>(0, 0, channels, y)?;
                continue;
            }
            for input_channel in 0..input_c {
                let first = input_channel * multiplier;
                row.channels::<true>(input_channel, first, first + multiplier, y)?;
            }
        }
    }
    Ok(())
}

/// Elements of an image of the input and of the output, and outputs of an input channel, where all
/// fit each other and these lengths.
#[inline(always)]
pub(crate) fn shapes(
    g: &Geometry,
    x: usize,
    weights: usize,
    y: usize,
) -> Result<[usize; 3], Mismatch> {
    let [batches, height, width, channels] = g.output;
    let [input_batches, input_h, input_w, input_c] = g.input;
    let [kernel_h, kernel_w] = g.kernel;
    let image = volume([input_w, input_c, input_h])?;
    let out = volume([width, channels, height])?;
    let multiplier = channels.checked_div(input_c).ok_or(Mismatch)?;
    let fits = batches == input_batches
        && kernel_h != 0
        && kernel_w != 0
        && multiplier.checked_mul(input_c) == Some(channels)
        && volume([kernel_h, kernel_w, channels])? == weights
        && image.checked_mul(batches) == Some(x)
        && out.checked_mul(batches) == Some(y);
    if fits { Ok([image, out, multiplier]) } else { Err(Mismatch) }
}

/// One row of output positions.
struct Row<'a, M: Multiply, F> {
    arithmetic: M,
    g: &'a Geometry,
    outside: Option<M::X>,
    /// One image.
    x: &'a [M::X],
    weights: &'a [M::W],
    rows: &'a Taps,
    finish: &'a F,
}

impl<M: Multiply, F: Finish<M::Acc>> Row<'_, M, F> {
    /// Output channels `first..end` in blocks. They read input channels from `input_channel` on, or
    /// that alone where it is `SHARED`.
    #[inline(always)]
    fn channels<const SHARED: bool>(
        &self,
        input_channel: usize,
        first: usize,
        end: usize,
        y: &mut [F::Y],
    ) -> Result<(), Mismatch> {
        let [kernel_h, kernel_w] = self.g.kernel;
        let three_wide =
            !SHARED && kernel_w == 3 && kernel_h <= PATCH / 3 && self.outside.is_some();
        let mut channel = first;
        while channel < end {
            let x = if SHARED { input_channel } else { input_channel + (channel - first) };
            let left = end - channel;
            channel += match left {
                BLOCK.. if three_wide => self.three_wide(x, channel, y).map(|()| BLOCK),
                BLOCK.. => self.by_taps::<BLOCK, SHARED>(x, channel, y).map(|()| BLOCK),
                _ => self.by_taps::<1, SHARED>(x, channel, y).map(|()| 1),
            }
            .ok_or(Mismatch)?;
        }
        Ok(())
    }

    /// A block of output channels from `channel` on, at all positions of the row, where the kernel is
    /// three taps wide, as almost all are. The weights are copied to the stack, where they follow
    /// each other.
    #[inline(never)]
    fn three_wide(&self, input_channel: usize, channel: usize, y: &mut [F::Y]) -> Option<()> {
        let Geometry { kernel: [kernel_h, kernel_w], window, .. } = *self.g;
        let ([_, _, input_w, input_c], [.., channels]) = (self.g.input, self.g.output);
        let outside = [self.outside?; BLOCK];
        let scales = self.finish.block::<BLOCK>(channel);
        let mut weights = [*self.weights.get(channel..)?.first_chunk::<BLOCK>()?; PATCH];
        let weights = weights.get_mut(..kernel_h * kernel_w)?;
        for (tap, to) in weights.iter_mut().enumerate() {
            *to = *self.weights.get(tap * channels + channel..)?.first_chunk()?;
        }
        let steps = self.steps();
        let image_row = self.rows.first * input_w;
        for (out_x, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
            let columns = window.columns(out_x, kernel_w, input_w);
            let first = (image_row + columns.first) * input_c + input_channel;
            let x = self.x.get(first..)?;
            let accs = self.sums(x, steps, &columns, weights, &outside)?;
            [*y.get_mut(channel..)?.first_chunk_mut()?] = self.finish.finish_apart(&scales, [accs]);
        }
        Some(())
    }

    /// Elements of the image from one row of taps to the next, and from one column to the next. Behind
    /// the last tap inside they may lead anywhere; nobody reads there.
    #[inline(always)]
    fn steps(&self) -> [usize; 2] {
        let ([_, _, input_w, input_c], window) = (self.g.input, self.g.window);
        [window.dilation_h.wrapping_mul(input_w * input_c), window.dilation_w.wrapping_mul(input_c)]
    }

    /// The sums of a block whose kernel is three taps wide. `x` begins with the first tap inside of
    /// the image, rows and columns of taps are `steps` apart; taps outside read `outside`.
    ///
    /// A function of its own, because its sums and addresses are all that a Cortex-M has registers
    /// for; there it takes half the instructions of the loop over any number of taps.
    #[inline(never)]
    fn sums(
        &self,
        x: &[M::X],
        [step_y, step_x]: [usize; 2],
        columns: &Taps,
        weights: &[[M::W; BLOCK]],
        outside: &[M::X; BLOCK],
    ) -> Option<[M::Acc; BLOCK]> {
        let mut accs = [M::Acc::default(); BLOCK];
        let (left, right) = (columns.inside.start, columns.inside.end);
        let mut row = x;
        for (tap_y, [w0, w1, w2]) in weights.as_chunks().0.iter().enumerate() {
            let mut taps = [outside; 3];
            if self.rows.inside.contains(&tap_y) {
                if left == 0 && right == 3 {
                    let second = row.get(step_x..)?;
                    let third = second.get(step_x..)?;
                    taps = [row.first_chunk()?, second.first_chunk()?, third.first_chunk()?];
                } else {
                    self.partial(&mut taps, row, step_x, columns)?;
                }
                // Behind the last row there may be nothing.
                row = row.get(step_y..).unwrap_or_default();
            }
            let [x0, x1, x2] = taps;
            accs = self.tap(accs, x0, w0);
            accs = self.tap(accs, x1, w1);
            accs = self.tap(accs, x2, w2);
        }
        Some(accs)
    }

    /// The taps of a row that are inside of the image.
    #[inline(never)]
    fn partial<'x>(
        &self,
        taps: &mut [&'x [M::X; BLOCK]; 3],
        row: &'x [M::X],
        step_x: usize,
        columns: &Taps,
    ) -> Option<()> {
        let mut rest = row;
        for tap in taps.get_mut(columns.inside.clone())? {
            *tap = rest.first_chunk()?;
            rest = rest.get(step_x..).unwrap_or_default();
        }
        Some(())
    }

    /// Adds one tap of a block.
    #[inline(always)]
    fn tap(
        &self,
        mut accs: [M::Acc; BLOCK],
        x: &[M::X; BLOCK],
        w: &[M::W; BLOCK],
    ) -> [M::Acc; BLOCK] {
        for ((acc, &x), &w) in accs.iter_mut().zip(x).zip(w) {
            *acc = self.arithmetic.multiply_add(*acc, x, w);
        }
        accs
    }

    /// `B` output channels from `channel` on, at all positions of the row, tap by tap.
    #[inline(never)]
    fn by_taps<const B: usize, const SHARED: bool>(
        &self,
        input_channel: usize,
        channel: usize,
        y: &mut [F::Y],
    ) -> Option<()> {
        let Geometry { kernel: [kernel_h, kernel_w], window, .. } = *self.g;
        let ([_, _, input_w, input_c], [.., channels]) = (self.g.input, self.g.output);
        let outside = self.outside.map(|x| [x; B]);
        let scales = self.finish.block::<B>(channel);
        let [step_y, step_x] = self.steps();
        for (out_x, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
            let columns = window.columns(out_x, kernel_w, input_w);
            let mut accs = [M::Acc::default(); B];
            let mut w = self.weights.get(channel..)?;
            let mut row = (self.rows.first * input_w + columns.first) * input_c + input_channel;
            for tap_y in 0..kernel_h {
                let inside = self.rows.inside.contains(&tap_y);
                let mut at = row;
                for tap_x in 0..kernel_w {
                    let x = if inside && columns.inside.contains(&tap_x) {
                        let x = self.x.get(at..)?;
                        at = at.wrapping_add(step_x);
                        Some(x)
                    } else {
                        outside.as_ref().map(<[M::X; B]>::as_slice)
                    };
                    if let Some(x) = x {
                        accs = self.any_tap::<B, SHARED>(accs, x, w)?;
                    }
                    w = w.get(channels..).unwrap_or_default();
                }
                row = if inside { row.wrapping_add(step_y) } else { row };
            }
            [*y.get_mut(channel..)?.first_chunk_mut()?] = self.finish.finish_apart(&scales, [accs]);
        }
        Some(())
    }

    /// Adds one tap, which begins at `x` and `w`.
    #[inline(always)]
    fn any_tap<const B: usize, const SHARED: bool>(
        &self,
        mut accs: [M::Acc; B],
        x: &[M::X],
        w: &[M::W],
    ) -> Option<[M::Acc; B]> {
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
        Some(accs)
    }
}
