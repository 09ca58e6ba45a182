//! DEPTHWISE_CONV_2D: `depthwise-u8i8-c64/avx512_vnni`.
//!
//! The plain loop multiplies one activation by one weight, a channel at a time. This one
//!
//! 1. takes 64 channels at once, which are neighbours in memory;
//! 2. takes four rows of taps at once: the four activations of a column of taps are brought together
//!    by shuffles, so that `vpdpbusd` multiplies and adds them;
//! 3. does so once for each column of the image, since the windows of neighbouring positions share
//!    columns: a 3×3 window at stride 1 has one that is new.
//!
//! Of a kernel of one row four columns of taps are brought together instead, as if each column of the
//! image had those on its right below it.
//!
//! Four vectors of 64 bytes, a row each, become four of 16 dwords, a channel each:
//!
//! ```text
//!  row 0   a0 a1 a2 …       unpack bytes            unpack words
//!  row 1   b0 b1 b2 …   ►   a0 b0 a1 b1 …       ►   a0 b0 c0 d0  a1 b1 c1 d1  a2 …
//!  row 2   c0 c1 c2 …       c0 d0 c1 d1 …
//!  row 3   d0 d1 d2 …
//! ```
//!
//! Unpacking works in each 128 bits by itself, so channels come out in another order,
//! [`Order::Interleaved`], which packing undoes. Rows of taps behind the last have zero weights.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::depthwise_narrow::Narrow;
use super::requantize::{Block, Order, dwords};
use crate::Mismatch;
use crate::arch::output::{BLOCK, OutputStage};
use crate::convolve::volume;
use crate::depthwise_conv2d::{self, DepthwiseConv2dI8};
use crate::window::Taps;

/// Rows of taps that are multiplied at once.
pub(super) const ROWS: usize = 4;

/// Groups of [`ROWS`] rows, and columns of taps, of the largest kernel, and of the largest with a
/// single column.
const GROUPS: usize = 2;
const COLUMNS: usize = 7;
const TALL: usize = 8;

/// Channels, of which what is left of blocks may be done sixteen at a time.
const FEW: usize = 48;

/// Columns of the image that are held at once: 16 KB for each group of rows.
const BAND: usize = 64;
const TALL_BAND: usize = 8;

/// The activations, or weights, of a column of taps: of 64 channels four each.
type Column = [__m512i; 4];

/// Columns of the image, of which as many as a part needs have been written, for each group of rows.
type Band<const G: usize, const B: usize> = [[MaybeUninit<Column>; B]; G];

pub(super) fn depthwise_conv2d_i8(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    if p.weights_zero_point != 0 || !any::<false>(p, x, y)? {
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
    if !byte.contains(&p.weights_zero_point) || !any::<true>(p, x, y)? {
        return depthwise_conv2d::portable_asymmetric(p, x, y);
    }
    Ok(())
}

/// Whether it could be done here; with weights that have a zero point, where there is a `Z`.
fn any<const Z: bool>(p: &DepthwiseConv2dI8<'_>, x: &[i8], y: &mut [i8]) -> Result<bool, Mismatch> {
    let row = p.as_row();
    let p = row.as_ref().unwrap_or(p);
    let DepthwiseConv2dI8 { input, output, kernel: [kernel_h, kernel_w], window, .. } = *p;
    let ([batches, input_h, input_w, channels], [output_batches, height, width, _]) =
        (input, output);
    let taps = kernel_h.saturating_mul(kernel_w);
    let stage = OutputStage::new(p.requantize, p.output_stage, p.bias, taps);
    let image = volume([input_h, input_w, channels])?;
    let out = volume([height, width, channels])?;
    let flat = kernel_h == 1 && kernel_w > 1;
    let (columns, step) = if flat {
        (kernel_w.div_ceil(ROWS), window.dilation_w.saturating_mul(ROWS))
    } else {
        (kernel_w, window.dilation_w)
    };
    let tall = columns == 1 && kernel_h > ROWS;
    // From the first column of a window to behind the last.
    let reach = columns.saturating_sub(1).checked_mul(step).ok_or(Mismatch)?.saturating_add(1);
    if !stage.fits()
        || [kernel_h, kernel_w, window.stride_w].contains(&0)
        || kernel_h > ROWS * if tall { TALL } else { GROUPS }
        || columns > COLUMNS
        || reach.max(window.stride_w) > if tall { TALL_BAND } else { BAND / 2 }
        || image.checked_mul(batches) != Some(x.len())
        || out.checked_mul(batches) != Some(y.len())
        || volume([kernel_h, kernel_w, channels])? != p.weights.len()
        || batches != output_batches
        || channels != output[3]
        || channels != p.bias.len()
    {
        return Ok(false);
    }
    let layer = Layer { p, stage, flat, columns, step };
    let narrow = if flat { None } else { Narrow::new(p) };
    for (x, y) in x.chunks_exact(image.max(1)).zip(y.chunks_exact_mut(out.max(1))) {
        let mut channel = 0;
        while channel < channels {
            let left = channels - channel;
            if let Some(narrow) = &narrow
                && left <= FEW
            {
                // SAFETY: the table that this function is reached through is given out where the
                // processor has the instructions.
                unsafe { layer.narrow::<Z>(narrow, x, y, channel) };
                break;
            }
            let count = left.min(BLOCK);
            // SAFETY: the table that this function is reached through is given out where the
            // processor has the instructions.
            unsafe {
                match (kernel_h.div_ceil(ROWS), columns) {
                    (1, 3) => layer.channels::<Z, 1, 3, BAND>(x, y, channel, count),
                    (1, 1) => layer.channels::<Z, 1, 1, BAND>(x, y, channel, count),
                    (1, 2) => layer.channels::<Z, 1, 2, BAND>(x, y, channel, count),
                    (1, 5) => layer.channels::<Z, 1, 5, BAND>(x, y, channel, count),
                    (1, _) => layer.channels::<Z, 1, COLUMNS, BAND>(x, y, channel, count),
                    (_, 1) => layer.channels::<Z, TALL, 1, TALL_BAND>(x, y, channel, count),
                    (_, 5) => layer.channels::<Z, 2, 5, BAND>(x, y, channel, count),
                    _ => layer.channels::<Z, 2, COLUMNS, BAND>(x, y, channel, count),
                }
            }
            channel += count;
        }
    }
    Ok(true)
}

/// A convolution whose shapes fit.
pub(super) struct Layer<'a> {
    pub p: &'a DepthwiseConv2dI8<'a>,
    pub stage: OutputStage<'a>,
    /// Whether four columns of taps, not four rows, are multiplied at once.
    flat: bool,
    /// Columns of taps that are multiplied one after the other, and columns of the image between them.
    columns: usize,
    step: usize,
}

/// Up to 64 neighbouring channels.
struct Channels<const G: usize, const C: usize> {
    first: usize,
    count: usize,
    /// A bit for each of them.
    mask: u64,
    /// Of each group of rows and each column; zero behind the last.
    weights: [[Column; C]; G],
    /// The same with 1 for every weight that there is.
    ones: [[Column; C]; G],
    /// What their sum is multiplied with.
    zero_point: __m512i,
    bias: Column,
    scales: Block,
}

impl Layer<'_> {
    /// `count` channels from `first` on of one image, with a kernel of up to `G` groups of rows and
    /// `C` columns.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn channels<const Z: bool, const G: usize, const C: usize, const B: usize>(
        &self,
        x: &[i8],
        y: &mut [i8],
        first: usize,
        count: usize,
    ) {
        let DepthwiseConv2dI8 { input, output, kernel, window, .. } = *self.p;
        let ([_, input_h, _, _], [_, _, width, channels], [kernel_h, _]) = (input, output, kernel);
        let block = &self.block::<Z, G, C>(first, count);
        let mut band: Band<G, B> = [[MaybeUninit::uninit(); B]; G];
        let mut acc = [MaybeUninit::uninit(); B];
        // As many positions as have their columns in a band.
        let reach = (self.columns - 1) * self.step;
        let positions = (B - reach - 1) / window.stride_w + 1;
        for (out_y, y) in y.chunks_exact_mut(width * channels).enumerate() {
            let rows = window.rows(out_y, kernel_h, input_h);
            for (part, y) in y.chunks_mut(positions * channels).enumerate() {
                let out_x = part * positions;
                let wide = y.len() / channels;
                let columns = (wide - 1) * window.stride_w + reach + 1;
                self.columns(x, &rows, out_x * window.stride_w, columns, block, &mut band);
                let acc = self.sums::<Z, G, C, B>(&band, columns, block, &mut acc[..wide]);
                block.scales.store(&self.stage, acc, y, first, count);
            }
        }
    }

    /// The weights, biases and scales of some channels.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn block<const Z: bool, const G: usize, const C: usize>(
        &self,
        first: usize,
        count: usize,
    ) -> Channels<G, C> {
        let DepthwiseConv2dI8 { weights, bias, kernel: [kernel_h, kernel_w], .. } = *self.p;
        let channels = self.stage.channels;
        let mask = u64::MAX >> (64 - count.clamp(1, 64));
        let order = Order::Interleaved;
        let mut packed = [[[_mm512_setzero_si512(); 4]; C]; G];
        let mut ones = packed;
        // What activations being `x + 128` adds.
        let mut sums = [_mm512_setzero_si512(); 4];
        for (g, group) in packed.iter_mut().enumerate() {
            for (c, column) in group.iter_mut().enumerate().take(self.columns) {
                let mut rows = [_mm512_setzero_si512(); ROWS];
                let mut there = rows;
                for (r, (row, one)) in rows.iter_mut().zip(&mut there).enumerate() {
                    let [tap_y, tap_x] =
                        if self.flat { [0, c * ROWS + r] } else { [g * ROWS + r, c] };
                    if tap_y >= kernel_h || tap_x >= kernel_w {
                        continue;
                    }
                    *one = _mm512_set1_epi8(1);
                    let tap = &weights[(tap_y * kernel_w + tap_x) * channels + first..][..count];
                    // SAFETY: the mask has `count` bits, and `tap` as many elements.
                    *row = unsafe { _mm512_maskz_loadu_epi8(mask, tap.as_ptr()) };
                }
                *column = interleave(rows);
                if Z {
                    ones[g][c] = interleave(there);
                }
                for (sum, column) in sums.iter_mut().zip(column) {
                    *sum = _mm512_dpbusd_epi32(*sum, _mm512_set1_epi8(-128), *column);
                }
            }
        }
        let zero_point = self.p.weights_zero_point;
        let added = _mm512_set1_epi32(128 * zero_point * (kernel_h * kernel_w) as i32);
        let mut start = order.arrange(dwords(bias, first, count));
        for (start, sum) in start.iter_mut().zip(sums) {
            *start = _mm512_add_epi32(_mm512_sub_epi32(*start, sum), added);
        }
        let scales = Block::new(&self.stage, first, count, order);
        let zero_point = _mm512_set1_epi32(zero_point);
        Channels { first, count, mask, weights: packed, ones, zero_point, bias: start, scales }
    }

    /// The sums of the first positions of a band, of which so many columns have been written.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn sums<'a, const Z: bool, const G: usize, const C: usize, const B: usize>(
        &self,
        band: &Band<G, B>,
        columns: usize,
        block: &Channels<G, C>,
        acc: &'a mut [MaybeUninit<[i32; BLOCK]>],
    ) -> &'a [[i32; BLOCK]] {
        let window = self.p.window;
        for (position, acc) in acc.iter_mut().enumerate() {
            let mut sums = block.bias;
            let mut totals = [_mm512_setzero_si512(); 4];
            for ((weights, ones), band) in block.weights.iter().zip(&block.ones).zip(band) {
                let band = &band[..columns];
                for (c, (weights, ones)) in weights.iter().zip(ones).enumerate() {
                    // Behind the last column of taps, weights are zero and any column will do.
                    let at = (position * window.stride_w + c * self.step).min(columns - 1);
                    // SAFETY: it is one of those that have been written.
                    let column = unsafe { band[at].assume_init_ref() };
                    for ((sum, x), w) in sums.iter_mut().zip(column).zip(weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, *x, *w);
                    }
                    for ((total, x), one) in totals.iter_mut().zip(column).zip(ones) {
                        if Z {
                            *total = _mm512_dpbusd_epi32(*total, *x, *one);
                        }
                    }
                }
            }
            if Z {
                sums = take_off(sums, totals, block.zero_point);
            }
            for (i, sum) in sums.into_iter().enumerate() {
                // SAFETY: four vectors are the 64 int32 of a block.
                unsafe { _mm512_storeu_si512(acc.as_mut_ptr().cast::<__m512i>().add(i), sum) };
            }
        }
        // SAFETY: each has just been written.
        unsafe { acc.assume_init_ref() }
    }

    /// Fills `band` with `columns` columns of the padded image from column `start` on.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn columns<const G: usize, const C: usize, const B: usize>(
        &self,
        x: &[i8],
        rows: &Taps,
        start: usize,
        columns: usize,
        block: &Channels<G, C>,
        band: &mut Band<G, B>,
    ) {
        let DepthwiseConv2dI8 { input: [_, _, input_w, channels], kernel, window, .. } = *self.p;
        let [kernel_h, _] = kernel;
        let sign = _mm512_set1_epi8(i8::MIN);
        let outside = _mm512_xor_si512(_mm512_set1_epi8(self.p.input_zero_point as i8), sign);
        for (g, band) in band.iter_mut().enumerate() {
            for (i, column) in band[..columns].iter_mut().enumerate() {
                let mut taps = [outside; ROWS];
                for (r, tap) in taps.iter_mut().enumerate() {
                    let [tap_y, right] =
                        if self.flat { [0, r * window.dilation_w] } else { [g * ROWS + r, 0] };
                    let at = (start + i + right).wrapping_sub(window.pad_left);
                    if tap_y >= kernel_h || !rows.inside.contains(&tap_y) || at >= input_w {
                        continue;
                    }
                    let row = rows.first + (tap_y - rows.inside.start) * window.dilation_h;
                    let pixel = &x[(row * input_w + at) * channels + block.first..][..block.count];
                    // SAFETY: the mask has `count` bits, and `pixel` as many elements.
                    let x = unsafe { _mm512_maskz_loadu_epi8(block.mask, pixel.as_ptr()) };
                    *tap = _mm512_xor_si512(x, sign);
                }
                column.write(interleave(taps));
            }
        }
    }
}

/// Sums less what the weights' zero point has added.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn take_off(mut sums: Column, totals: Column, zero_point: __m512i) -> Column {
    for (sum, total) in sums.iter_mut().zip(totals) {
        *sum = _mm512_sub_epi32(*sum, _mm512_mullo_epi32(total, zero_point));
    }
    sums
}

/// The bytes of four rows, those of a channel side by side.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn interleave([a, b, c, d]: [__m512i; ROWS]) -> Column {
    let (ab, ab_high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
    let (cd, cd_high) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
    [
        _mm512_unpacklo_epi16(ab, cd),
        _mm512_unpackhi_epi16(ab, cd),
        _mm512_unpacklo_epi16(ab_high, cd_high),
        _mm512_unpackhi_epi16(ab_high, cd_high),
    ]
}
