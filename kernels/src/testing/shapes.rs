//! Random shapes for tests that hold kernels of instruction sets against the definitions.
//!
//! Each dimension takes every size up to 70, of kernels as of images, and strides, dilations and
//! padding do, too. But a case is small: sizes are drawn in a random order, and each is cut to what
//! those before it leave of a budget. So one or two of them are large at once, now these, now others.

use std::vec::Vec;

use proptest::prelude::*;

use crate::convolve::Geometry;
use crate::window::Window;

/// The largest size of a dimension.
const MOST: usize = 70;

/// The most products that a case sums, but for very wide images.
const PRODUCTS: usize = 20_000;

/// The most elements of an image.
const ELEMENTS: usize = 20_000;

/// A size: small, any, or at a multiple of what vectors and tiles have, or beside it.
fn size() -> impl Strategy<Value = usize> {
    let near_tiles = (1..9_usize, 0..3_usize).prop_map(|(tiles, off)| tiles * 8 + off - 1);
    prop_oneof![4 => 1..9_usize, 3 => 1..=MOST, 2 => near_tiles]
}

/// Sizes whose product is at most `budget`.
pub(crate) fn sizes<const N: usize>(budget: usize) -> impl Strategy<Value = [usize; N]> {
    let order = Just((0..N).collect::<Vec<_>>()).prop_shuffle();
    (prop::array::uniform(size()), order).prop_map(move |(mut sizes, order): ([_; N], _)| {
        let mut left = budget;
        for i in order {
            sizes[i] = sizes[i].min(left);
            left /= sizes[i];
        }
        sizes
    })
}

/// How a window moves along an axis.
#[derive(Debug, Clone)]
struct Axis {
    stride: usize,
    dilation: usize,
    /// Whether the padding is none, less than the kernel's extent, or any.
    padding: u8,
    /// What the padding, and the image's size, is made of.
    numbers: [usize; 2],
    /// Whether the image ends where the last window does, or with the padding behind it.
    fits: bool,
}

fn axis() -> impl Strategy<Value = Axis> {
    let stride = prop_oneof![4 => Just(1), 3 => Just(2), 2 => 1..6_usize, 1 => 1..=MOST];
    let dilation = prop_oneof![6 => Just(1), 2 => 1..5_usize, 1 => 1..=MOST];
    let numbers = [0..=MOST, 1..=MOST];
    let fits = prop::bool::weighted(0.7);
    (stride, dilation, 0..3_u8, numbers, fits).prop_map(
        |(stride, dilation, padding, numbers, fits)| Axis {
            stride,
            dilation,
            padding,
            numbers,
            fits,
        },
    )
}

impl Axis {
    /// The image's size, and the padding in front of it.
    fn image(&self, output: usize, kernel: usize) -> (usize, usize) {
        let extent = (kernel - 1) * self.dilation;
        let [padding, size] = self.numbers;
        let padding = match self.padding {
            0 => 0,
            1 => padding % (extent + 1),
            _ => padding,
        };
        let seen = (output - 1) * self.stride + extent + 1;
        let behind = if size % 2 == 0 { padding } else { size % (padding + 1) };
        let fitting = seen.saturating_sub(padding + behind).clamp(1, 3 * MOST);
        (if self.fits { fitting } else { size }, padding)
    }
}

/// The window, and an image of `batches` and `depth` for it, which is cut to [`ELEMENTS`].
fn geometry(axes: &[Axis; 2], output: [usize; 4], kernel: [usize; 2], depth: usize) -> Geometry {
    let [batches, out_height, out_width, _] = output;
    let (height, pad_top) = axes[0].image(out_height, kernel[0]);
    let (width, pad_left) = axes[1].image(out_width, kernel[1]);
    let width = width.min(ELEMENTS / (batches * depth)).max(1);
    let height = height.min(ELEMENTS / (batches * depth * width)).max(1);
    Geometry {
        input: [batches, height, width, depth],
        output,
        kernel,
        window: Window {
            stride_h: axes[0].stride,
            stride_w: axes[1].stride,
            dilation_h: axes[0].dilation,
            dilation_w: axes[1].dilation,
            pad_top,
            pad_left,
        },
    }
}

/// Any convolution; one in three is a product of matrices, half of these of deep ones.
pub(crate) fn convolution() -> impl Strategy<Value = Geometry> {
    (sizes(PRODUCTS), [axis(), axis()], 0..7).prop_map(|(sizes, axes, kind)| {
        let [batches, height, width, kernel_h, kernel_w, depth, channels] = sizes;
        let output = [batches, height, width, channels];
        let product = |depth| Geometry {
            input: [batches, height, width, depth],
            output,
            kernel: [1, 1],
            window: Window::UNIT,
        };
        match kind {
            0 => product(depth),
            1 => product(depth * kernel_h * kernel_w),
            // One row, as of a fully connected layer.
            2 => Geometry {
                input: [1, 1, 1, depth * kernel_h * kernel_w],
                output: [1, 1, 1, channels * width],
                kernel: [1, 1],
                window: Window::UNIT,
            },
            _ => geometry(&axes, output, [kernel_h, kernel_w], depth),
        }
    })
}

/// Any window that moves over each channel by itself: one in eight over an image that is wider than
/// any band, and one in eight over more channels than any block has.
pub(crate) fn channelwise() -> impl Strategy<Value = Geometry> {
    (sizes(PRODUCTS), [axis(), axis()], 0..8).prop_map(|(sizes, axes, kind)| {
        let [batches, height, width, kernel_h, kernel_w, channels] = sizes;
        let others = PRODUCTS / (batches * height * kernel_h * kernel_w);
        let (width, channels) = match kind {
            0 => (width.max((20 * width).min(4 * others / channels)), channels),
            1 => (width, channels.max((2 * channels).min(4 * others / width))),
            _ => (width, channels),
        };
        let output = [batches, height, width, channels];
        geometry(&axes, output, [kernel_h, kernel_w], channels)
    })
}
