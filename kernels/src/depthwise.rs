//! The loop nest of depthwise convolution, for any arithmetic.
//!
//! For one output position, a block of neighbouring channels is summed at once: their activations
//! and their weights are neighbours in memory, so a tap is a product of two vectors. With a
//! multiplier, the channels of a block share one activation.

use crate::Mismatch;
use crate::convolve::{Geometry, part, volume};
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

/// Convolves `x` with `weights` and stores what `finish` makes of the sums to `y`. `outside` is the
/// activation that stands for zero, where taps outside the image count.
pub(crate) fn depthwise<M: Multiply, F: Finish<M::Acc>>(
    arithmetic: M,
    g: &Geometry,
    outside: Option<M::X>,
    x: &[M::X],
    weights: &[M::W],
    y: &mut [F::Y],
    finish: &F,
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
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        for (out_y, y) in y.chunks_exact_mut(row).enumerate() {
            let rows = &g.window.rows(out_y, kernel_h, input_h);
            for (out_x, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
                let columns = g.window.columns(out_x, kernel_w, input_w);
                let pixel = Pixel { arithmetic, g, outside, x, weights, rows, columns };
                pixel.run(multiplier, y, finish).ok_or(Mismatch)?;
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
    fn run<F: Finish<M::Acc>>(&self, multiplier: usize, y: &mut [F::Y], finish: &F) -> Option<()> {
        if multiplier == 1 {
            return self.channels::<F, false>(0, 0, y, finish);
        }
        for (input_channel, y) in y.chunks_exact_mut(multiplier.max(1)).enumerate() {
            self.channels::<F, true>(input_channel, input_channel * multiplier, y, finish)?;
        }
        Some(())
    }

    /// Output channels from `channel` on, as many as `y` has, reading input channels from
    /// `input_channel` on, or that alone where it is `SHARED`.
    #[inline(always)]
    fn channels<F: Finish<M::Acc>, const SHARED: bool>(
        &self,
        input_channel: usize,
        channel: usize,
        y: &mut [F::Y],
        finish: &F,
    ) -> Option<()> {
        let (blocks, rest) = y.as_chunks_mut::<BLOCK>();
        let mut done = 0;
        for y in blocks {
            let x = if SHARED { input_channel } else { input_channel + done };
            let accs = self.accumulate::<BLOCK, SHARED>(x, channel + done)?;
            [*y] = finish.finish(channel + done, &[accs]);
            done += BLOCK;
        }
        for y in rest {
            let x = if SHARED { input_channel } else { input_channel + done };
            let accs = self.accumulate::<1, SHARED>(x, channel + done)?;
            [[*y]] = finish.finish(channel + done, &[accs]);
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
