//! DEPTHWISE_CONV_2D in f32, for any instruction set with vectors: a vector is neighbouring channels
//! of one position.
//!
//! The simple loop is: for each position and each vector of channels, for each tap, add activations ×
//! weights to the sums. It departs from that in two ways:
//!
//! 1. Where the kernel is 3×3 and wholly inside of the image, a vector of channels passes over the
//!    columns of a row, two at once, with its nine weights in registers.
//! 2. Elsewhere the taps of a position are looked up once for all channels; those outside of the
//!    image lead to zeros. Up to four vectors are summed at once.

use super::tiled_f32::Isa;
use super::vector::Vector;
use crate::Mismatch;
use crate::convolve::volume;
use crate::depthwise_conv2d::{DepthwiseConv2dF32, portable_f32};

/// Most taps of a kernel.
const TAPS: usize = 128;

/// Vectors that are summed at once, and their most elements.
const AT_ONCE: usize = 4;
static ZEROS: [f32; AT_ONCE * 16] = [0.0; AT_ONCE * 16];

/// [`crate::depthwise_conv2d::depthwise_conv2d_f32`].
///
/// # Safety
///
/// The processor has the instructions.
#[inline(always)]
pub(super) unsafe fn depthwise_conv2d<I: Isa>(
    p: &DepthwiseConv2dF32<'_>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    let DepthwiseConv2dF32 { input, output, kernel: [kernel_h, kernel_w], window, .. } = *p;
    let ([batches, input_h, input_w, channels], [_, height, width, _]) = (input, output);
    let taps_count = kernel_h.saturating_mul(kernel_w);
    let image = volume([input_h, input_w, channels])?;
    let out = volume([height, width, channels])?;
    let fits = output[0] == batches
        && output[3] == channels
        && p.bias.len() == channels
        && (1..=TAPS).contains(&taps_count)
        && taps_count.checked_mul(channels) == Some(p.weights.len())
        && image.checked_mul(batches) == Some(x.len())
        && out.checked_mul(batches) == Some(y.len())
        && !y.is_empty();
    if !fits {
        return portable_f32(p, x, y);
    }
    // Columns whose windows are inside.
    let inside = |out_x: &usize| window.columns(*out_x, kernel_w, input_w).all(kernel_w);
    let first = (0..width).find(inside).unwrap_or(width);
    let last = (first..width).find(|out_x| !inside(out_x)).unwrap_or(width);
    let layer = Layer { p, channels };
    let mut taps = [Tap::OUTSIDE; TAPS];
    let taps = &mut taps[..taps_count];
    for (x, y) in x.chunks_exact(image.max(1)).zip(y.chunks_exact_mut(out.max(1))) {
        for (out_y, y) in y.chunks_exact_mut(width * channels).enumerate() {
            let rows = window.rows(out_y, kernel_h, input_h);
            let nine = [kernel_h, kernel_w] == [3, 3] && rows.all(3);
            let (first, last) = if nine { (first, last) } else { (width, width) };
            // SAFETY: as the caller says.
            unsafe {
                layer.positions::<I>(x, out_y, 0..first, taps, y);
                if first < last {
                    layer.nine::<I>(x, out_y, first..last, y);
                }
                layer.positions::<I>(x, out_y, last..width, taps, y);
            }
        }
    }
    Ok(())
}

/// A layer whose shapes fit.
struct Layer<'a> {
    p: &'a DepthwiseConv2dF32<'a>,
    channels: usize,
}

/// A tap of a position: its first channel, and what of a channel's index is added to it: all, or
/// nothing where it leads to zeros.
#[derive(Clone, Copy)]
struct Tap {
    x: *const f32,
    mask: usize,
}

impl Tap {
    const OUTSIDE: Self = Self { x: ZEROS.as_ptr(), mask: 0 };
}

impl Layer<'_> {
    /// Columns of one row of outputs, whose kernels are 3×3 and inside of the image `x`.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn nine<I: Isa>(
        &self,
        x: &[f32],
        out_y: usize,
        columns: core::ops::Range<usize>,
        y: &mut [f32],
    ) {
        let Self { p, channels } = *self;
        let DepthwiseConv2dF32 { window, input: [_, input_h, input_w, _], .. } = *p;
        let row = window.rows(out_y, 3, input_h).first;
        let column = window.columns(columns.start, 3, input_w).first;
        let run = Nine {
            x: &x[(row * input_w + column) * channels..],
            row: window.dilation_h * input_w * channels,
            column: window.dilation_w * channels,
            // Of a single position it may lead anywhere.
            step: window.stride_w.wrapping_mul(channels),
            count: columns.len(),
        };
        let y = &mut y[columns.start * channels..columns.end * channels];
        let mut channel = 0;
        // SAFETY: as the caller says.
        unsafe {
            // The last vector begins earlier where channels are no whole vectors.
            while channel + I::V::LANES <= channels {
                run.sums::<I::V>(p, channel, y);
                channel += I::V::LANES;
            }
            if channel < channels && channels > I::V::LANES {
                return run.sums::<I::V>(p, channels - I::V::LANES, y);
            }
            while channel + I::Half::LANES <= channels {
                run.sums::<I::Half>(p, channel, y);
                channel += I::Half::LANES;
            }
            if channel < channels && channels > I::Half::LANES {
                return run.sums::<I::Half>(p, channels - I::Half::LANES, y);
            }
            for channel in channel..channels {
                run.sums::<I::One>(p, channel, y);
            }
        }
    }

    /// Columns of one row of outputs, whatever their kernels.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn positions<I: Isa>(
        &self,
        x: &[f32],
        out_y: usize,
        columns: core::ops::Range<usize>,
        taps: &mut [Tap],
        y: &mut [f32],
    ) {
        let Self { p, channels } = *self;
        let DepthwiseConv2dF32 { kernel: [kernel_h, kernel_w], window, input, .. } = *p;
        let [_, input_h, input_w, _] = input;
        let rows = window.rows(out_y, kernel_h, input_h);
        for out_x in columns {
            let inside = window.columns(out_x, kernel_w, input_w);
            for (tap_y, taps) in taps.chunks_exact_mut(kernel_w).enumerate() {
                let row = tap_y.wrapping_sub(rows.inside.start);
                let row = rows.first.wrapping_add(row.wrapping_mul(window.dilation_h));
                for (tap_x, tap) in taps.iter_mut().enumerate() {
                    let column = tap_x.wrapping_sub(inside.inside.start);
                    let column = inside.first.wrapping_add(column.wrapping_mul(window.dilation_w));
                    *tap = if rows.inside.contains(&tap_y) && inside.inside.contains(&tap_x) {
                        let start = (row * input_w + column) * channels;
                        Tap { x: x[start..start + channels].as_ptr(), mask: usize::MAX }
                    } else {
                        Tap::OUTSIDE
                    };
                }
            }
            let y = &mut y[out_x * channels..(out_x + 1) * channels];
            let mut channel = 0;
            // SAFETY: as the caller says; taps are those of a position, and channels end where they
            // do.
            unsafe {
                while channel + AT_ONCE * I::V::LANES <= channels {
                    sums::<I::V, AT_ONCE>(p, taps, channel, y);
                    channel += AT_ONCE * I::V::LANES;
                }
                while channel + I::V::LANES <= channels {
                    sums::<I::V, 1>(p, taps, channel, y);
                    channel += I::V::LANES;
                }
                while channel + I::Half::LANES <= channels {
                    sums::<I::Half, 1>(p, taps, channel, y);
                    channel += I::Half::LANES;
                }
                for channel in channel..channels {
                    sums::<I::One, 1>(p, taps, channel, y);
                }
            }
        }
    }
}

/// The sums of `N` vectors of channels at one position.
///
/// # Safety
///
/// The processor has the instructions; the layer, the taps and the outputs have the channels.
#[inline(always)]
unsafe fn sums<V: Vector, const N: usize>(
    p: &DepthwiseConv2dF32<'_>,
    taps: &[Tap],
    channel: usize,
    y: &mut [f32],
) {
    let channels = y.len();
    // SAFETY: as the caller says; weights are as many channels as outputs for each tap.
    unsafe {
        let mut sums = [V::splat(0.0); N];
        let mut w = p.weights.as_ptr().add(channel);
        for tap in taps {
            let x = tap.x.add(channel & tap.mask);
            for (n, sum) in sums.iter_mut().enumerate() {
                let (x, w) = (x.add(n * V::LANES), w.add(n * V::LANES));
                *sum = sum.multiply_add(V::load(x), V::load(w));
            }
            w = w.wrapping_add(channels);
        }
        let (min, max) = (V::splat(p.activation.min), V::splat(p.activation.max));
        for (n, sum) in sums.into_iter().enumerate() {
            let at = channel + n * V::LANES;
            let bias = V::load(p.bias.as_ptr().add(at));
            sum.add(bias).clamp(min, max).store(y.as_mut_ptr().add(at));
        }
    }
}

/// A row of positions whose kernels are 3×3 and inside of the image.
struct Nine<'a> {
    /// From the first tap of the first position on.
    x: &'a [f32],
    /// Elements from a tap to the one below, and to the one on its right.
    row: usize,
    column: usize,
    /// Elements from a position to the next.
    step: usize,
    /// Positions.
    count: usize,
}

impl Nine<'_> {
    /// The sums of a vector of channels.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; the layer has the channels.
    #[inline(always)]
    unsafe fn sums<V: Vector>(&self, p: &DepthwiseConv2dF32<'_>, channel: usize, y: &mut [f32]) {
        let Self { row, column, step, count, .. } = *self;
        let channels = p.bias.len();
        let last = (count - 1) * step + 2 * row + 2 * column + channel + V::LANES;
        assert!(last <= self.x.len() && y.len() == count * channels);
        assert!(p.weights.len() == 9 * channels && channel + V::LANES <= channels);
        // SAFETY: the last position's last tap is inside of `x`; weights, bias and outputs have the
        // channels.
        unsafe {
            let mut weights = [V::splat(0.0); 9];
            for (tap, weight) in weights.iter_mut().enumerate() {
                *weight = V::load(p.weights.as_ptr().add(tap * channels + channel));
            }
            let mut x = self.x.as_ptr().add(channel);
            let mut y = y.as_mut_ptr().add(channel);
            let bias = V::load(p.bias.as_ptr().add(channel));
            let (min, max) = (V::splat(p.activation.min), V::splat(p.activation.max));
            for _ in 0..count / 2 {
                let mut sums = [V::splat(0.0); 2];
                for (tap, weight) in weights.iter().enumerate() {
                    let x = x.add(tap / 3 * row + tap % 3 * column);
                    for (n, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.multiply_add(V::load(x.add(n * step)), *weight);
                    }
                }
                for (n, sum) in sums.into_iter().enumerate() {
                    sum.add(bias).clamp(min, max).store(y.add(n * channels));
                }
                x = x.wrapping_add(2 * step);
                y = y.wrapping_add(2 * channels);
            }
            if count % 2 == 1 {
                let mut sum = V::splat(0.0);
                for (tap, weight) in weights.iter().enumerate() {
                    let x = x.add(tap / 3 * row + tap % 3 * column);
                    sum = sum.multiply_add(V::load(x), *weight);
                }
                sum.add(bias).clamp(min, max).store(y);
            }
        }
    }
}
