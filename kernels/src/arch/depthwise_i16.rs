//! DEPTHWISE_CONV_2D of int16 by int8, for any instruction set with vectors: a vector is neighbouring
//! channels of one position.
//!
//! The simple loop is: for each position and each vector of channels, for each tap inside of the image,
//! add activations × weights to the sums. It departs from the definition in three ways:
//!
//! 1. Four positions pass by at once, so that a weight is widened once for all of them. The last channels
//!    are taken together with some that are done already.
//! 2. Sums have 32 bits, which hold 511 products of 2^22. They wait on the stack until those of some
//!    positions are scaled together.
//! 3. Sums of 64 bits are scaled in f64, exactly: see [`Wide`].

use crate::Mismatch;
use crate::convolve::Geometry;
use crate::depthwise::shapes;
use crate::depthwise_conv2d::DepthwiseConv2dI16;
use crate::requantize::{Accumulate16, Double, DoubleUp, Requantize, RequantizeWide, Single};
use crate::window::Window;

use super::Kernels;
use super::scales_i16::{CHANNELS, Narrow, Scale, Wide, right};

/// Most taps of a kernel: sums of so many products fit 32 bits.
const MOST_TAPS: usize = 511;

/// Fewest channels of a layer, or of an input channel's outputs where it has several.
const LEAST: usize = 8;

/// Sums on the stack: of 8 positions and more.
const SUMS: usize = 8 * CHANNELS;

/// Positions that are summed at once. WebAssembly has the registers of x86-64.
const AT_ONCE: usize = if cfg!(target_arch = "wasm32") { 2 } else { 4 };

/// Sums of neighbouring channels.
///
/// # Safety
///
/// All functions: the processor has the instructions. Pointers: as many elements as there are channels
/// are there; they need no alignment.
pub(super) trait Channels: Copy {
    /// Channels, at least [`LEAST`] where they are the fewest of an [`Isa`].
    const COUNT: usize;

    /// Activations and weights.
    type X: Copy;
    type W: Copy;

    unsafe fn zero() -> Self;

    unsafe fn activations(from: *const i16) -> Self::X;

    /// One activation for all channels.
    unsafe fn activation(x: i16) -> Self::X;

    unsafe fn weights(from: *const i8) -> Self::W;

    /// `self + x·w`, in 32 bits that wrap.
    unsafe fn multiply_add(self, x: Self::X, w: Self::W) -> Self;

    unsafe fn store(self, to: *mut i32);
}

/// An instruction set: sums of 32 channels or 16, of 16, and of 8.
pub(super) trait Isa {
    type Most: Channels;
    type Half: Channels;
    type Least: Channels;

    /// [`Layer::sums`], compiled for it.
    ///
    /// # Safety
    ///
    /// As there.
    unsafe fn sums(layer: &Layer<'_>, x: &[i16], first: usize, block: Block, sums: &mut [i32]);
}

/// Makes a type an instruction set, and a function of [`depthwise_conv2d`] for it: its name, its sums and
/// its features. What the function is called by has to have seen the features.
macro_rules! depthwise_i16_kernel {
    ($isa:ident: $most:ty, $half:ty, $least:ty, $features:literal) => {
        impl $crate::arch::depthwise_i16::Isa for $isa {
            type Most = $most;
            type Half = $half;
            type Least = $least;

            #[inline(always)]
            unsafe fn sums(
                layer: &$crate::arch::depthwise_i16::Layer<'_>,
                x: &[i16],
                first: usize,
                block: $crate::arch::depthwise_i16::Block,
                sums: &mut [i32],
            ) {
                #[target_feature(enable = $features)]
                #[inline(never)]
                unsafe fn compiled(
                    layer: &$crate::arch::depthwise_i16::Layer<'_>,
                    x: &[i16],
                    first: usize,
                    block: $crate::arch::depthwise_i16::Block,
                    sums: &mut [i32],
                ) {
                    // SAFETY: as the caller says.
                    unsafe { layer.sums::<$isa>(x, first, block, sums) }
                }
                // SAFETY: as the caller says.
                unsafe { compiled(layer, x, first, block, sums) }
            }
        }

        pub(in crate::arch) fn depthwise_conv2d_i16(
            p: &$crate::depthwise_conv2d::DepthwiseConv2dI16<'_>,
            x: &[i16],
            y: &mut [i16],
        ) -> Result<(), $crate::Mismatch> {
            #[target_feature(enable = $features)]
            unsafe fn compiled(
                p: &$crate::depthwise_conv2d::DepthwiseConv2dI16<'_>,
                x: &[i16],
                y: &mut [i16],
            ) -> Result<(), $crate::Mismatch> {
                // SAFETY: as the caller says.
                unsafe { $crate::arch::depthwise_i16::depthwise_conv2d::<$isa>(p, x, y) }
            }
            // SAFETY: the level's table has seen the instructions; nothing else leads here.
            unsafe { compiled(p, x, y) }
        }
    };
}

pub(super) use depthwise_i16_kernel;

/// [`crate::depthwise_conv2d::depthwise_conv2d_i16`].
///
/// # Safety
///
/// The processor has the instructions.
#[inline(always)]
pub(super) unsafe fn depthwise_conv2d<I: Isa>(
    p: &DepthwiseConv2dI16<'_>,
    x: &[i16],
    y: &mut [i16],
) -> Result<(), Mismatch> {
    let DepthwiseConv2dI16 { input, output, kernel, window, output_stage, .. } = *p;
    let g = as_row(Geometry { input, output, kernel, window });
    let [.., channels] = output;
    let [_, _, multiplier] = shapes(&g, x.len(), p.weights.len(), y.len())?;
    // Channels that read as many input channels, or that share one.
    let group = if multiplier == 1 { channels } else { multiplier };
    let range = [output_stage.activation_min, output_stage.activation_max].map(i16::try_from);
    let fits = p.accumulate.fits(channels)
        && kernel[0].saturating_mul(kernel[1]) <= MOST_TAPS
        && group >= LEAST
        && output_stage.output_offset == 0
        && does_not_wrap(&g)
        && !y.is_empty();
    let ([Ok(min), Ok(max)], true) = (range, fits) else {
        return definition(p, x, y);
    };
    let (shared, inside) = (multiplier != 1, inside(&g));
    let layer = Layer { g, group, shared, inside, weights: p.weights, range: [min, max] };
    // SAFETY: as the caller says.
    unsafe {
        match p.accumulate {
            Accumulate16::Wide(bias, RequantizeWide::Fixed(scales)) if Wide::fits(bias) => {
                layer.run::<I, _>(x, y, |start, count| Wide::new(bias, scales, start, count));
            }
            Accumulate16::Narrow(bias, Requantize::Double(scales)) if right(scales) => {
                layer.run::<I, _>(x, y, |start, count| {
                    Narrow::<Double>::new(bias, scales, start, count)
                });
            }
            Accumulate16::Narrow(bias, Requantize::DoubleUp(scales)) if right(scales) => {
                layer.run::<I, _>(x, y, |start, count| {
                    Narrow::<DoubleUp>::new(bias, scales, start, count)
                });
            }
            Accumulate16::Narrow(bias, Requantize::Single(scales)) if right(scales) => {
                layer.run::<I, _>(x, y, |start, count| {
                    Narrow::<Single>::new(bias, scales, start, count)
                });
            }
            Accumulate16::Wide(..) | Accumulate16::Narrow(..) => return definition(p, x, y),
        }
    }
    Ok(())
}

/// What is left to the definition. By way of its table, as it would be compiled again for each level.
#[cold]
fn definition(p: &DepthwiseConv2dI16<'_>, x: &[i16], y: &mut [i16]) -> Result<(), Mismatch> {
    (Kernels::PORTABLE.depthwise_conv2d_i16)(p, x, y)
}

/// The same layer over an image of one row, where the image is one column: all numbers are where they
/// were.
fn as_row(g: Geometry) -> Geometry {
    let Geometry { input, output, kernel, window } = g;
    if [input[2], output[2], kernel[1]] != [1; 3] || window.pad_left != 0 {
        return g;
    }
    Geometry {
        input: [input[0], 1, input[1], input[3]],
        output: [output[0], 1, output[1], output[3]],
        kernel: [1, kernel[0]],
        window: Window {
            stride_w: window.stride_h,
            dilation_w: window.dilation_h,
            pad_left: window.pad_top,
            ..Window::UNIT
        },
    }
}

/// Whether no position of a tap is beyond what is counted: windows move forwards then.
fn does_not_wrap(g: &Geometry) -> bool {
    let Geometry { output: [_, height, width, _], kernel: [kernel_h, kernel_w], window, .. } = *g;
    let axes = [
        [height, window.stride_h, kernel_h, window.dilation_h, window.pad_top],
        [width, window.stride_w, kernel_w, window.dilation_w, window.pad_left],
    ];
    axes.iter().all(|&[size, stride, kernel, dilation, pad]| {
        let [moved, extent] = [size.checked_mul(stride), kernel.checked_mul(dilation)];
        let end = moved.zip(extent).and_then(|(moved, extent)| moved.checked_add(extent));
        end.and_then(|end| end.checked_add(pad)).is_some()
    })
}

/// The columns of outputs whose taps are all inside of the image.
fn inside(g: &Geometry) -> core::ops::Range<usize> {
    let ([_, _, input_w, _], [_, kernel_w], [_, _, width, _]) = (g.input, g.kernel, g.output);
    let all = |column: &usize| g.window.columns(*column, kernel_w, input_w).all(kernel_w);
    let first = (0..width).find(all).unwrap_or(width);
    let end = (first..width).find(|column| !all(column)).unwrap_or(width);
    first..end
}

/// A layer whose shapes fit, with at least one output.
pub(super) struct Layer<'a> {
    g: Geometry,
    /// Output channels that read as many input channels, or that share one.
    group: usize,
    /// Whether they share one.
    shared: bool,
    /// Columns of outputs whose taps are all inside.
    inside: core::ops::Range<usize>,
    weights: &'a [i8],
    range: [i16; 2],
}

/// Neighbouring channels.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// The first of the output, and the one of the input that it reads.
    start: usize,
    input: usize,
    count: usize,
}

/// Taps of neighbouring positions that are inside of the image.
struct Taps {
    /// The first, as an element of the image and one of the weights.
    x: usize,
    w: usize,
    /// Rows and columns.
    counts: [usize; 2],
    /// Elements from a row of taps to the next, from a column to the next, and from a position to the next.
    steps: [usize; 3],
    /// Elements of weights from a row of taps to the next, and from a column to the next.
    weights_steps: [usize; 2],
}

impl Layer<'_> {
    /// Convolves `x`; `scale` gives the scales of channels from one on, of so many.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn run<I: Isa, S: Scale>(
        &self,
        x: &[i16],
        y: &mut [i16],
        scale: impl Fn(usize, usize) -> S,
    ) {
        let ([_, input_h, input_w, input_c], [_, height, width, channels]) =
            (self.g.input, self.g.output);
        let (image, out) = (input_h * input_w * input_c, height * width * channels);
        let mut sums = [0; SUMS];
        for first in (0..channels).step_by(self.group) {
            let end = first + self.group;
            let mut start = first;
            while start < end {
                // Blocks of fewer channels than any vector has begin earlier.
                let block_end = end.min(start + CHANNELS);
                start = start.min(block_end - LEAST);
                let input = if self.shared { first / self.group } else { start };
                let block = Block { start, input, count: block_end - start };
                let scale = scale(start, block.count);
                let positions = SUMS / block.count;
                for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(out)) {
                    for (i, y) in y.chunks_mut(positions * channels).enumerate() {
                        let sums = &mut sums[..y.len() / channels * block.count];
                        // SAFETY: as the caller says.
                        unsafe { I::sums(self, x, i * positions, block, sums) };
                        for (sums, y) in
                            sums.chunks_exact(block.count).zip(y.chunks_exact_mut(channels))
                        {
                            scale.store(sums, self.range, &mut y[start..block_end]);
                        }
                    }
                }
                start = block_end;
            }
        }
    }

    /// Sums `[position][channel]` of a block at positions from `first` on.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    pub(super) unsafe fn sums<I: Isa>(
        &self,
        x: &[i16],
        first: usize,
        block: Block,
        sums: &mut [i32],
    ) {
        let ([_, input_h, input_w, input_c], [_, _, width, channels]) =
            (self.g.input, self.g.output);
        let ([kernel_h, kernel_w], window) = (self.g.kernel, self.g.window);
        // Steps behind the last tap or position may lead anywhere; nobody reads there.
        let steps = [
            window.dilation_h.wrapping_mul(input_w * input_c),
            window.dilation_w.wrapping_mul(input_c),
            window.stride_w.wrapping_mul(input_c),
        ];
        let weights_steps = [kernel_w * channels, channels];
        let (mut row, mut column) = (first / width, first % width);
        let mut rest = sums;
        while !rest.is_empty() {
            let rows = window.rows(row, kernel_h, input_h);
            let columns = window.columns(column, kernel_w, input_w);
            let taps = Taps {
                x: (rows.first * input_w + columns.first) * input_c + block.input,
                w: (rows.inside.start * kernel_w + columns.inside.start) * channels + block.start,
                counts: [rows.inside.len(), columns.inside.len()],
                steps,
                weights_steps,
            };
            // As many positions as have the same taps.
            let here = if self.inside.contains(&column) { self.inside.end - column } else { 1 };
            let count = here.min(rest.len() / block.count);
            let part;
            (part, rest) = rest.split_at_mut(count * block.count);
            // SAFETY: as the caller says.
            unsafe {
                if self.shared {
                    self.vectors::<I, true>(x, &taps, block.count, part);
                } else {
                    self.vectors::<I, false>(x, &taps, block.count, part);
                }
            }
            column += count;
            if column == width {
                (row, column) = (row + 1, 0);
            }
        }
    }

    /// Sums of `count` channels at neighbouring positions, vector by vector.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn vectors<I: Isa, const SHARED: bool>(
        &self,
        x: &[i16],
        taps: &Taps,
        count: usize,
        sums: &mut [i32],
    ) {
        let mut channel = 0;
        // SAFETY: as the caller says.
        unsafe {
            while count - channel >= I::Most::COUNT {
                self.positions::<I::Most, SHARED>(x, taps, [channel, count], sums);
                channel += I::Most::COUNT;
            }
            while count - channel >= I::Half::COUNT {
                self.positions::<I::Half, SHARED>(x, taps, [channel, count], sums);
                channel += I::Half::COUNT;
            }
            while channel < count {
                let start = channel.min(count - I::Least::COUNT);
                self.positions::<I::Least, SHARED>(x, taps, [start, count], sums);
                channel = start + I::Least::COUNT;
            }
        }
    }

    /// Sums of a vector of channels, from `channel` of `count` on, at neighbouring positions.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn positions<V: Channels, const SHARED: bool>(
        &self,
        x: &[i16],
        taps: &Taps,
        [channel, count]: [usize; 2],
        sums: &mut [i32],
    ) {
        let ([rows, columns], [row, column, step]) = (taps.counts, taps.steps);
        let first = taps.x + if SHARED { 0 } else { channel };
        let first_weight = taps.w + channel;
        let positions = sums.len() / count;
        if rows != 0 && columns != 0 {
            // The last element of the last tap of the last position.
            let last = |start: usize, [row, column]: [usize; 2], rest: usize| {
                start + row.wrapping_mul(rows - 1) + column.wrapping_mul(columns - 1) + rest
            };
            let width = if SHARED { 1 } else { V::COUNT };
            let moved = step.wrapping_mul(positions - 1);
            assert!(last(first, [row, column], moved + width) <= x.len());
            assert!(last(first_weight, taps.weights_steps, V::COUNT) <= self.weights.len());
        }
        assert!(channel + V::COUNT <= count);
        // SAFETY: as the caller says; windows move forwards, so that all taps, weights and sums are
        // before the last ones, which are inside of their slices.
        unsafe {
            let mut x = x.as_ptr().wrapping_add(first);
            let w = self.weights.as_ptr().wrapping_add(first_weight);
            let mut sums = sums.as_mut_ptr().add(channel);
            for _ in 0..positions / AT_ONCE {
                for (n, acc) in at::<V, AT_ONCE, SHARED>(x, w, taps).into_iter().enumerate() {
                    acc.store(sums.add(n * count));
                }
                x = x.wrapping_add(step.wrapping_mul(AT_ONCE));
                sums = sums.wrapping_add(AT_ONCE * count);
            }
            for _ in 0..positions % AT_ONCE {
                let [acc] = at::<V, 1, SHARED>(x, w, taps);
                acc.store(sums);
                x = x.wrapping_add(step);
                sums = sums.wrapping_add(count);
            }
        }
    }
}

/// Sums of a vector of channels at `P` positions.
///
/// # Safety
///
/// The processor has the instructions; the taps are there.
#[inline(always)]
unsafe fn at<V: Channels, const P: usize, const SHARED: bool>(
    x: *const i16,
    w: *const i8,
    taps: &Taps,
) -> [V; P] {
    let ([rows, columns], [row_step, column_step, step]) = (taps.counts, taps.steps);
    let [weights_row, weights_column] = taps.weights_steps;
    // SAFETY: as the caller says.
    unsafe {
        let mut accs = [V::zero(); P];
        let (mut row, mut w_row) = (x, w);
        for _ in 0..rows {
            let (mut x, mut w) = (row, w_row);
            for _ in 0..columns {
                let weights = V::weights(w);
                for (n, acc) in accs.iter_mut().enumerate() {
                    let x = x.wrapping_add(n.wrapping_mul(step));
                    let x = if SHARED { V::activation(*x) } else { V::activations(x) };
                    *acc = acc.multiply_add(x, weights);
                }
                x = x.wrapping_add(column_step);
                w = w.wrapping_add(weights_column);
            }
            row = row.wrapping_add(row_step);
            w_row = w_row.wrapping_add(weights_row);
        }
        accs
    }
}
