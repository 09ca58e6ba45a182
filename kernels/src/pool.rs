//! What the pooling operators share: the geometry of their windows, and the walk over them.
//!
//! Input and output are NHWC with the same batches and channels. The window of output `(out_y,
//! out_x)` covers the input rows `out_y × stride_h − pad_top ..` and the columns `out_x × stride_w −
//! pad_left ..`, `kernel` of them; taps outside the input do not exist: no pooling operator counts
//! them. Source: `PoolParams` and the loops of TFLite's `reference/pooling.h`.

use core::ops::Range;

use crate::Mismatch;
use crate::rows::runs;

/// The geometry of a pooling operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Pool2d {
    /// Input dimensions: batches, height, width, channels.
    pub input: [usize; 4],
    /// Output dimensions; batches and channels as in `input`.
    pub output: [usize; 4],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Rows from one window to the next.
    pub stride_h: usize,
    /// Columns from one window to the next.
    pub stride_w: usize,
    /// Rows of padding above the input.
    pub pad_top: usize,
    /// Columns of padding to the left of the input.
    pub pad_left: usize,
}

/// The range that a fused activation leaves of the output.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct ActivationRange<T> {
    /// Smallest output value.
    pub min: T,
    /// Largest output value, not below `min`.
    pub max: T,
}

impl<T: PartialOrd + Copy> ActivationRange<T> {
    /// `value`, not below `min` and not above `max`; an empty range gives `max`.
    #[inline(always)]
    pub(crate) fn clamp(&self, value: T) -> T {
        let value = if value < self.min { self.min } else { value };
        if value > self.max { self.max } else { value }
    }
}

/// The number of channels whose accumulators fit on the stack at a time.
pub(crate) const CHANNEL_BLOCK: usize = 64;

/// The taps of one window that lie inside the input.
pub(crate) struct Taps<'a, T> {
    /// The image from the first tap on; empty where there is none.
    x: &'a [T],
    /// Elements of a row of the image.
    row_len: usize,
    depth: usize,
    rows: usize,
    columns: usize,
}

impl<'a, T> Taps<'a, T> {
    /// How many taps there are; 0 for a window that lies wholly in the padding.
    pub(crate) fn count(&self) -> usize {
        self.rows * self.columns
    }

    /// Calls `f` with each tap, row by row: the input from channel `first` of it on.
    #[inline(always)]
    pub(crate) fn for_each(&self, first: usize, mut f: impl FnMut(&'a [T])) {
        let mut row = self.x.get(first..).unwrap_or_default();
        for _ in 0..self.rows {
            let mut tap = row;
            for _ in 0..self.columns {
                f(tap);
                // Behind the last tap there may be nothing.
                tap = tap.get(self.depth..).unwrap_or_default();
            }
            row = row.get(self.row_len..).unwrap_or_default();
        }
    }
}

/// Calls `pool` with every window and the output pixel that it writes, `depth` channels.
///
/// # Errors
///
/// [`Mismatch`] where `x` or `y` does not have the length of its shape, or where the shapes differ
/// in batches or channels.
#[inline(always)]
pub(crate) fn for_each_window<T>(
    p: &Pool2d,
    x: &[T],
    y: &mut [T],
    mut pool: impl FnMut(&Taps<'_, T>, &mut [T]),
) -> Result<(), Mismatch> {
    let [batches, height, width, depth] = p.input;
    let [out_batches, out_height, out_width, out_depth] = p.output;
    let fits =
        element_count(&p.input) == Some(x.len()) && element_count(&p.output) == Some(y.len());
    if !fits || batches != out_batches || depth != out_depth {
        return Err(Mismatch);
    }
    if y.is_empty() {
        return Ok(());
    }
    if x.is_empty() {
        return Err(Mismatch);
    }
    let [kernel_h, kernel_w] = p.kernel;
    // No dimension is 0 here, which `max` says to the compiler.
    let row_len = width * depth;
    let (out_row_len, depth) = ((out_width * depth).max(1), depth.max(1));
    for (image, out_image) in runs(x, height * row_len, y, out_height * out_row_len) {
        for (out_y, out_row) in out_image.chunks_exact_mut(out_row_len).enumerate() {
            let rows = inside(out_y, p.stride_h, p.pad_top, kernel_h, height);
            for (out_x, out) in out_row.chunks_exact_mut(depth).enumerate() {
                let columns = inside(out_x, p.stride_w, p.pad_left, kernel_w, width);
                let start = rows.start * row_len + columns.start * depth;
                let x = image.get(start..).unwrap_or_default();
                let (rows, columns) = (rows.len(), columns.len());
                pool(&Taps { x, row_len, depth, rows, columns }, out);
            }
        }
    }
    Ok(())
}

/// The number of elements of a tensor, unless it overflows.
fn element_count(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim))
}

/// The part of window `index` that lies inside an axis of length `input`.
fn inside(index: usize, stride: usize, pad: usize, kernel: usize, input: usize) -> Range<usize> {
    let start = index.saturating_mul(stride);
    let end = start.saturating_add(kernel).saturating_sub(pad).min(input);
    start.saturating_sub(pad).min(end)..end
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::shapes::channelwise;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Any small geometry in which every window has at least one tap.
    pub(crate) fn geometry() -> impl Strategy<Value = Pool2d> {
        let axis = || (1_usize..8, 1_usize..5, 1_usize..4, 0_usize..3);
        (1_usize..3, axis(), axis(), prop::sample::select(&[1, 2, 3, 63, 64, 65, 130][..]))
            .prop_map(
                |(
                    batches,
                    (h, kernel_h, stride_h, pad_h),
                    (w, kernel_w, stride_w, pad_w),
                    depth,
                )| {
                    let (pad_top, pad_left) = (pad_h.min(kernel_h - 1), pad_w.min(kernel_w - 1));
                    // The last window starts on the last row or before it.
                    let out_h = (h + pad_top - 1) / stride_h + 1;
                    let out_w = (w + pad_left - 1) / stride_w + 1;
                    Pool2d {
                        input: [batches, h, w, depth],
                        output: [batches, out_h, out_w, depth],
                        kernel: [kernel_h, kernel_w],
                        stride_h,
                        stride_w,
                        pad_top,
                        pad_left,
                    }
                },
            )
    }

    /// Small and large windows, some in the padding, and any number of channels.
    pub(crate) fn any_geometry() -> impl Strategy<Value = Pool2d> {
        channelwise().prop_map(|g| Pool2d {
            input: g.input,
            output: g.output,
            kernel: g.kernel,
            stride_h: g.window.stride_h,
            stride_w: g.window.stride_w,
            pad_top: g.window.pad_top,
            pad_left: g.window.pad_left,
        })
    }

    /// The naive definition: the taps of one output element, index by index.
    pub(crate) fn taps_of<T: Copy>(p: &Pool2d, x: &[T], at: [usize; 4]) -> Vec<T> {
        let [batch, out_y, out_x, channel] = at;
        let [_, height, width, depth] = p.input;
        let mut taps = Vec::new();
        for ky in 0..p.kernel[0] {
            for kx in 0..p.kernel[1] {
                let in_y = (out_y * p.stride_h + ky) as isize - p.pad_top as isize;
                let in_x = (out_x * p.stride_w + kx) as isize - p.pad_left as isize;
                if (0..height as isize).contains(&in_y) && (0..width as isize).contains(&in_x) {
                    let pixel = (batch * height + in_y as usize) * width + in_x as usize;
                    taps.push(x[pixel * depth + channel]);
                }
            }
        }
        taps
    }

    /// The naive operator: `pool` applied to the taps of each output element.
    pub(crate) fn naive<T: Copy>(p: &Pool2d, x: &[T], pool: impl Fn(&[T]) -> T) -> Vec<T> {
        let [batches, height, width, depth] = p.output;
        let mut y = Vec::new();
        for batch in 0..batches {
            for out_y in 0..height {
                for out_x in 0..width {
                    for channel in 0..depth {
                        y.push(pool(&taps_of(p, x, [batch, out_y, out_x, channel])));
                    }
                }
            }
        }
        y
    }

    /// Values of a fixed generator, so that a failing geometry shrinks without them.
    pub(crate) fn noise(len: usize, seed: u64) -> Vec<u64> {
        let mut state = seed | 1;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.wrapping_mul(0x2545_F491_4F6C_DD1D)
            })
            .collect()
    }

    #[test]
    fn a_window_beyond_the_input_is_empty_and_no_geometry_overflows() {
        assert_eq!(inside(5, 2, 0, 3, 8), 8..8);
        assert_eq!(inside(0, 1, 2, 2, 8), 0..0);
        assert_eq!(inside(1, 2, 1, 3, 8), 1..4);
        assert_eq!(inside(usize::MAX, usize::MAX, 1, usize::MAX, 8), 8..8);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let p = Pool2d {
            input: [1, 2, 2, 1],
            output: [1, 1, 1, 1],
            kernel: [2, 2],
            stride_h: 1,
            stride_w: 1,
            pad_top: 0,
            pad_left: 0,
        };
        let run = |p: &Pool2d, x: usize, y: usize| {
            for_each_window(p, &std::vec![0_u8; x], &mut std::vec![0; y], |_, _| {})
        };
        assert_eq!(run(&p, 4, 1), Ok(()));
        assert_eq!(run(&p, 3, 1), Err(Mismatch));
        assert_eq!(run(&p, 4, 2), Err(Mismatch));
        assert_eq!(run(&Pool2d { input: [1, 0, 2, 1], ..p }, 0, 1), Err(Mismatch));
        assert_eq!(run(&Pool2d { output: [1, 0, 1, 1], ..p }, 4, 0), Ok(()));
        assert_eq!(run(&Pool2d { input: [usize::MAX, 2, 2, 1], ..p }, 4, 1), Err(Mismatch));
        assert_eq!(run(&Pool2d { output: [1, 1, 1, 2], ..p }, 4, 2), Err(Mismatch));
    }
}
