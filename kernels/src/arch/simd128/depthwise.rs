//! DEPTHWISE_CONV_2D: `depthwise-i16-c8/simd128`.
//!
//! The plain loop multiplies one activation by one weight, a channel at a time. This one takes eight
//! channels, which are neighbours in memory, and two taps at once: the activations of a channel are
//! brought side by side, so that `i32x4.dot_i16x8_s` multiplies and adds them.
//!
//! ```text
//!  tap 0   a0 a1 a2 a3 a4 a5 a6 a7             a0 b0 a1 b1 a2 b2 a3 b3
//!  tap 1   b0 b1 b2 b3 b4 b5 b6 b7      ►      a4 b4 a5 b5 a6 b6 a7 b7
//! ```
//!
//! Weights are arranged so once for all positions, and their zero point is taken off. Where a tap lies
//! is a table of addresses: that of a window inside of the image is moved from position to position,
//! near the border it is made anew, with taps outside at a place that holds the zero point.

use core::arch::wasm32::*;

use super::requantize::Block;
use crate::Mismatch;
use crate::arch::output::{BLOCK, OutputStage, lanes};
use crate::convolve::volume;
use crate::depthwise_conv2d::{self, DepthwiseConv2dI8};
use crate::window::Taps;

/// Channels that are multiplied at once.
const LANES: usize = 8;

/// Taps of the largest kernel, and of most.
const TAPS: usize = 128;
const FEW: usize = 10;

/// Positions whose sums are held at once.
const POSITIONS: usize = 16;

pub(super) fn depthwise_conv2d_i8(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    if p.weights_zero_point != 0 || !any(p, x, y)? {
        return depthwise_conv2d::portable(p, x, y);
    }
    Ok(())
}

pub(super) fn depthwise_conv2d_asymmetric_i8(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let byte = i32::from(i8::MIN)..=i32::from(i8::MAX);
    if !byte.contains(&p.weights_zero_point) || !any(p, x, y)? {
        return depthwise_conv2d::portable_asymmetric(p, x, y);
    }
    Ok(())
}

/// Whether it could be done here.
fn any(p: &DepthwiseConv2dI8<'_>, x: &[i8], y: &mut [i8]) -> Result<bool, Mismatch> {
    // It is the outputs of a row that are computed together.
    let p = &p.as_row().unwrap_or(*p);
    let DepthwiseConv2dI8 { input, output, kernel: [kernel_h, kernel_w], .. } = *p;
    let ([batches, input_h, input_w, channels], [output_batches, height, width, _]) =
        (input, output);
    let taps = kernel_h.saturating_mul(kernel_w);
    let stage = OutputStage::new(p.requantize, p.output_stage, p.bias, taps);
    let image = volume([input_h, input_w, channels])?;
    let out = volume([height, width, channels])?;
    if !stage.fits()
        || !(1..=TAPS).contains(&taps)
        || channels < LANES
        || image.checked_mul(batches) != Some(x.len())
        || out.checked_mul(batches) != Some(y.len())
        || volume([kernel_h, kernel_w, channels])? != p.weights.len()
        || batches != output_batches
        || channels != output[3]
        || channels != p.bias.len()
    {
        return Ok(false);
    }
    let layer = Layer { p, stage };
    for (x, y) in x.chunks_exact(image.max(1)).zip(y.chunks_exact_mut(out.max(1))) {
        for channel in (0..channels).step_by(BLOCK) {
            // The last vector has eight channels, some of which may have been done before.
            let count = BLOCK.min(channels - channel).max(LANES);
            let first = channel.min(channels - count);
            match taps {
                ..=FEW => layer.channels(x, y, first, count, &mut [[0; 2 * BLOCK]; FEW / 2]),
                _ => layer.channels(x, y, first, count, &mut [[0; 2 * BLOCK]; TAPS / 2]),
            }
        }
    }
    Ok(true)
}

/// A convolution whose shapes fit.
struct Layer<'a> {
    p: &'a DepthwiseConv2dI8<'a>,
    stage: OutputStage<'a>,
}

/// The weights of a pair of taps: of each channel two.
type Pair = [i16; 2 * BLOCK];

/// Up to 64 neighbouring channels, at least eight.
struct Channels<'w> {
    first: usize,
    count: usize,
    /// Zero behind the last tap.
    pairs: &'w [Pair],
    bias: [i32; BLOCK],
    /// What is outside of the image.
    outside: [i8; BLOCK],
}

/// Where the taps of a window are.
type Addresses = [*const i8; TAPS];

impl Layer<'_> {
    /// `count` channels from `first` on of one image; `pairs` are zero, and enough.
    fn channels(&self, x: &[i8], y: &mut [i8], first: usize, count: usize, pairs: &mut [Pair]) {
        let DepthwiseConv2dI8 { input, output, kernel: [kernel_h, kernel_w], window, .. } = *self.p;
        let ([_, input_h, input_w, _], [_, _, width, channels]) = (input, output);
        let block = &self.block(first, count, pairs);
        let scales = Block::new(&self.stage, first, count);
        let mut acc = [[0; BLOCK]; POSITIONS];
        let mut addresses = [core::ptr::null(); TAPS];
        for (out_y, y) in y.chunks_exact_mut(width * channels).enumerate() {
            let rows = window.rows(out_y, kernel_h, input_h);
            // The position that the addresses are of, where it can be moved.
            let mut inside = None;
            for (part, y) in y.chunks_mut(POSITIONS * channels).enumerate() {
                let wide = y.len() / channels;
                for (i, acc) in acc.iter_mut().enumerate().take(wide) {
                    let out_x = part * POSITIONS + i;
                    let columns = window.columns(out_x, kernel_w, input_w);
                    let all = columns.all(kernel_w) && rows.all(kernel_h);
                    let start = match inside {
                        Some(start) if all => start,
                        _ => {
                            self.addresses(x, &rows, &columns, block, &mut addresses);
                            inside = all.then_some(out_x);
                            out_x
                        }
                    };
                    let moved = (out_x - start) * window.stride_w * channels;
                    // SAFETY: the taps are in the image, or outside of it in `block`, of which the
                    // addresses have not moved; either holds the block's channels.
                    unsafe { block.sums(&addresses, moved, acc) };
                }
                scales.store(&self.stage, &acc[..wide], y, first, count);
            }
        }
    }

    /// The weights and biases of some channels.
    fn block<'w>(&self, first: usize, count: usize, pairs: &'w mut [Pair]) -> Channels<'w> {
        let DepthwiseConv2dI8 { weights, bias, kernel: [kernel_h, kernel_w], .. } = *self.p;
        let pairs = &mut pairs[..(kernel_h * kernel_w).div_ceil(2)];
        let zero_point = self.p.weights_zero_point as i16;
        for (tap, weights) in weights.chunks_exact(self.stage.channels).enumerate() {
            let pair = &mut pairs[tap / 2];
            for (i, w) in weights[first..first + count].iter().enumerate() {
                pair[2 * i + tap % 2] = i16::from(*w) - zero_point;
            }
        }
        let bias = lanes(bias, first, count);
        let outside = [self.p.input_zero_point as i8; BLOCK];
        Channels { first, count, pairs, bias, outside }
    }

    /// Where the taps of a window are; the last one twice where their number is odd.
    fn addresses(
        &self,
        x: &[i8],
        rows: &Taps,
        columns: &Taps,
        block: &Channels<'_>,
        addresses: &mut Addresses,
    ) {
        let DepthwiseConv2dI8 { input: [_, _, input_w, channels], kernel, window, .. } = *self.p;
        let [kernel_h, kernel_w] = kernel;
        let count = kernel_h * kernel_w;
        addresses[..count].fill(block.outside.as_ptr());
        let taps = addresses[..count].chunks_exact_mut(kernel_w);
        for (i, taps) in taps.skip(rows.inside.start).take(rows.inside.len()).enumerate() {
            let row = (rows.first + i * window.dilation_h) * input_w;
            for (i, tap) in taps[columns.inside.clone()].iter_mut().enumerate() {
                let at = (row + columns.first + i * window.dilation_w) * channels + block.first;
                *tap = x[at..at + block.count].as_ptr();
            }
        }
        if !count.is_multiple_of(2) {
            addresses[count] = addresses[count - 1];
        }
    }
}

impl Channels<'_> {
    /// The sums of the block's channels over a window, whose addresses have `moved`.
    ///
    /// # Safety
    ///
    /// From there on are the activations of the block's channels.
    #[inline(always)]
    unsafe fn sums(&self, addresses: &Addresses, moved: usize, acc: &mut [i32; BLOCK]) {
        let mut i = 0;
        // SAFETY: as the caller says; there are the channels.
        unsafe {
            while self.count - i >= 2 * LANES {
                self.vectors::<2>(addresses, moved, i, acc);
                i += 2 * LANES;
            }
            while i < self.count {
                // The last ones again where they are no whole vector.
                i = i.min(self.count - LANES);
                self.vectors::<1>(addresses, moved, i, acc);
                i += LANES;
            }
        }
    }

    /// The sums of `8 V` channels from the block's channel `i` on.
    ///
    /// # Safety
    ///
    /// As [`Channels::sums`], and there are so many channels.
    #[inline(always)]
    unsafe fn vectors<const V: usize>(
        &self,
        addresses: &Addresses,
        moved: usize,
        i: usize,
        acc: &mut [i32; BLOCK],
    ) {
        let mut sums = [[i32x4_splat(0); 2]; V];
        for ([a, b], weights) in addresses.as_chunks::<2>().0.iter().zip(self.pairs) {
            for (v, [low, high]) in sums.iter_mut().enumerate() {
                let at = i + v * LANES;
                // SAFETY: as the caller says. Of the pair there are weights of all channels.
                unsafe {
                    let a = i16x8_load_extend_i8x8(a.wrapping_add(moved + at));
                    let b = i16x8_load_extend_i8x8(b.wrapping_add(moved + at));
                    let w: *const v128 = weights.as_ptr().add(2 * at).cast();
                    let ab = i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b);
                    *low = i32x4_add(*low, i32x4_dot_i16x8(ab, v128_load(w)));
                    let ab = i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b);
                    *high = i32x4_add(*high, i32x4_dot_i16x8(ab, v128_load(w.add(1))));
                }
            }
        }
        for (v, sums) in sums.iter().enumerate() {
            for (half, sum) in sums.iter().enumerate() {
                let at = i + v * LANES + half * 4;
                // SAFETY: four int32 of as many as a block has.
                unsafe {
                    let bias = v128_load(self.bias.as_ptr().add(at).cast());
                    v128_store(acc.as_mut_ptr().add(at).cast(), i32x4_add(*sum, bias));
                }
            }
        }
    }
}
