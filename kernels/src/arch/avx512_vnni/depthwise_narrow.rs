//! DEPTHWISE_CONV_2D of few channels: `depthwise-u8i8-c16x4/avx512_vnni`.
//!
//! As [`super::depthwise`], but a vector is four neighbouring columns of sixteen channels. Unpacking
//! works in each 128 bits, and so in each column, by itself; four vectors of bytes, a row of taps
//! each, become four of dwords, channels `4 j..4 j + 4` of all columns in vector `j`:
//!
//! ```text
//!            column 0     column 1     column 2     column 3
//!  vector j  c0 c1 c2 c3  c0 c1 c2 c3  c0 c1 c2 c3  c0 c1 c2 c3     four taps each
//! ```
//!
//! The columns of each `j` follow each other in memory, so that four positions are four vectors from
//! any column on, or at stride 2 every other quarter of two.

use core::arch::x86_64::*;

use super::depthwise::{Layer, ROWS, interleave, take_off};
use super::requantize::{Block, Order, dwords};
use crate::arch::output::BLOCK;
use crate::depthwise_conv2d::DepthwiseConv2dI8;
use crate::window::Taps;

/// Channels of a block.
pub(super) const NARROW: usize = 16;

/// Columns of the image that are held at once, 16 KB for each group of rows, and those behind that
/// may be read.
const BAND: usize = 256;
const BEHIND: usize = 8;

/// Positions that are summed at once.
const POSITIONS: usize = 4;

/// Channels `4 j..4 j + 4` of each column, of which each has four taps.
type Quarter = [[u8; 16]; BAND + BEHIND];

/// A group of rows of taps.
type Group = [Quarter; 4];

/// Up to sixteen neighbouring channels.
struct Channels<const G: usize, const C: usize> {
    first: usize,
    count: usize,
    /// A bit for each of them.
    mask: u16,
    /// Of each group of rows and each column of taps; the same in all columns of the image.
    weights: [[[__m512i; 4]; C]; G],
    /// The same with 1 for every weight that there is.
    ones: [[[__m512i; 4]; C]; G],
    /// What their sum is multiplied with.
    zero_point: __m512i,
    bias: [__m512i; 4],
    scales: Block,
}

impl Layer<'_> {
    /// `count` channels from `first` on of one image, with a kernel of up to `G` groups of rows and
    /// `C` columns, at a stride of 1 or 2 and no dilation of columns.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn narrow<const Z: bool, const G: usize, const C: usize>(
        &self,
        x: &[i8],
        y: &mut [i8],
        first: usize,
        count: usize,
    ) {
        let DepthwiseConv2dI8 { input, output, kernel, window, .. } = *self.p;
        let ([_, input_h, _, _], [_, _, width, channels], [kernel_h, _]) = (input, output, kernel);
        let block = &self.narrow_block::<G, C>(first, count);
        let mut band = [[[[0; 16]; BAND + BEHIND]; 4]; G];
        let mut acc = [[0; BLOCK]; BAND / POSITIONS];
        // As many positions as have their columns in a band, in whole groups.
        let positions = ((BAND - C) / window.stride_w + 1) / POSITIONS * POSITIONS;
        for (out_y, y) in y.chunks_exact_mut(width * channels).enumerate() {
            let rows = window.rows(out_y, kernel_h, input_h);
            for (part, y) in y.chunks_mut(positions * channels).enumerate() {
                let wide = y.len() / channels;
                let start = part * positions * window.stride_w;
                let columns = (wide - 1) * window.stride_w + C;
                self.narrow_columns(x, &rows, start, columns, block, &mut band);
                let acc = &mut acc[..wide.div_ceil(POSITIONS)];
                match window.stride_w {
                    1 => self.narrow_sums::<Z, G, C, 1>(&band, block, acc),
                    _ => self.narrow_sums::<Z, G, C, 2>(&band, block, acc),
                }
                block.scales.store(&self.stage, acc, y, first, count);
            }
        }
    }

    /// The weights, biases and scales of some channels.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn narrow_block<const G: usize, const C: usize>(
        &self,
        first: usize,
        count: usize,
    ) -> Channels<G, C> {
        let DepthwiseConv2dI8 { weights, bias, kernel: [kernel_h, kernel_w], .. } = *self.p;
        let channels = self.stage.channels;
        let mask = u16::MAX >> (16 - count.clamp(1, 16));
        let mut packed = [[[_mm512_setzero_si512(); 4]; C]; G];
        let mut ones = packed;
        // What activations being `x + 128` adds.
        let mut sums = [_mm512_setzero_si512(); 4];
        for (g, group) in packed.iter_mut().enumerate() {
            for (tap_x, column) in group.iter_mut().enumerate().take(kernel_w) {
                let mut rows = [_mm512_setzero_si512(); ROWS];
                let mut there = rows;
                for ((row, one), tap_y) in rows.iter_mut().zip(&mut there).zip(g * ROWS..kernel_h) {
                    *one = _mm512_set1_epi8(1);
                    let tap = &weights[(tap_y * kernel_w + tap_x) * channels + first..][..count];
                    // SAFETY: the mask has `count` bits, and `tap` as many elements.
                    let tap = unsafe { _mm_maskz_loadu_epi8(mask, tap.as_ptr()) };
                    *row = _mm512_broadcast_i32x4(tap);
                }
                *column = interleave(rows);
                ones[g][tap_x] = interleave(there);
                for (sum, column) in sums.iter_mut().zip(column) {
                    *sum = _mm512_dpbusd_epi32(*sum, _mm512_set1_epi8(-128), *column);
                }
            }
        }
        let zero_point = self.p.weights_zero_point;
        let added = _mm512_set1_epi32(128 * zero_point * (kernel_h * kernel_w) as i32);
        let mut start = Order::Repeated.arrange(dwords(bias, first, count));
        for (start, sum) in start.iter_mut().zip(sums) {
            *start = _mm512_add_epi32(_mm512_sub_epi32(*start, sum), added);
        }
        let scales = Block::new(&self.stage, first, count, Order::Repeated);
        let zero_point = _mm512_set1_epi32(zero_point);
        Channels { first, count, mask, weights: packed, ones, zero_point, bias: start, scales }
    }

    /// The sums of groups of four positions each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni")]
    fn narrow_sums<const Z: bool, const G: usize, const C: usize, const STRIDE: usize>(
        &self,
        band: &[Group; G],
        block: &Channels<G, C>,
        acc: &mut [[i32; BLOCK]],
    ) {
        for (i, acc) in acc.iter_mut().enumerate() {
            let mut sums = block.bias;
            let mut totals = [_mm512_setzero_si512(); 4];
            for ((weights, ones), group) in block.weights.iter().zip(&block.ones).zip(band) {
                for (tap_x, (weights, ones)) in weights.iter().zip(ones).enumerate() {
                    let at = i * POSITIONS * STRIDE + tap_x;
                    let all = sums.iter_mut().zip(&mut totals).zip(group).zip(weights).zip(ones);
                    for ((((sum, total), quarter), w), one) in all {
                        let columns = &quarter[at..at + POSITIONS * STRIDE];
                        let from = columns.as_ptr().cast::<u8>();
                        // SAFETY: four columns, or eight, are as many vectors of 64 bytes.
                        let x = unsafe {
                            let x = _mm512_loadu_si512(from.cast());
                            match STRIDE {
                                1 => x,
                                _ => {
                                    let next = _mm512_loadu_si512(from.add(64).cast());
                                    _mm512_shuffle_i64x2::<0b10_00_10_00>(x, next)
                                }
                            }
                        };
                        *sum = _mm512_dpbusd_epi32(*sum, x, *w);
                        if Z {
                            *total = _mm512_dpbusd_epi32(*total, x, *one);
                        }
                    }
                }
            }
            if Z {
                sums = take_off(sums, totals, block.zero_point);
            }
            for (sum, acc) in sums.iter().zip(acc.as_chunks_mut::<16>().0) {
                // SAFETY: sixteen int32.
                unsafe { _mm512_storeu_si512(acc.as_mut_ptr().cast(), *sum) };
            }
        }
    }

    /// Fills `band` with `columns` columns of the padded image from column `start` on, in groups of
    /// four.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn narrow_columns<const G: usize, const C: usize>(
        &self,
        x: &[i8],
        rows: &Taps,
        start: usize,
        columns: usize,
        block: &Channels<G, C>,
        band: &mut [Group; G],
    ) {
        let DepthwiseConv2dI8 { input: [_, _, input_w, channels], kernel, window, .. } = *self.p;
        let [kernel_h, _] = kernel;
        let sign = _mm512_set1_epi8(i8::MIN);
        let outside = _mm_set1_epi8(self.p.input_zero_point as i8);
        let all = channels == NARROW;
        for (g, [q0, q1, q2, q3]) in band.iter_mut().enumerate() {
            for i in (0..columns).step_by(POSITIONS) {
                let at = (start + i).wrapping_sub(window.pad_left);
                let mut taps = [_mm512_xor_si512(_mm512_broadcast_i32x4(outside), sign); ROWS];
                for (tap, tap_y) in taps.iter_mut().zip(g * ROWS..kernel_h) {
                    if !rows.inside.contains(&tap_y) {
                        continue;
                    }
                    let row = rows.first + (tap_y - rows.inside.start) * window.dilation_h;
                    let row = &x[row * input_w * channels..][..input_w * channels];
                    let four = match row.get(at.wrapping_mul(NARROW)..) {
                        Some(four) if all && at < input_w && four.len() >= 64 => {
                            // SAFETY: there are 64 elements.
                            unsafe { _mm512_loadu_si512(four.as_ptr().cast()) }
                        }
                        _ => {
                            let column = |i: usize| {
                                let at = at.wrapping_add(i);
                                if at >= input_w {
                                    return outside;
                                }
                                let pixel = &row[at * channels + block.first..][..block.count];
                                // SAFETY: the mask has `count` bits, and `pixel` as many elements.
                                unsafe { _mm_maskz_loadu_epi8(block.mask, pixel.as_ptr()) }
                            };
                            let four = _mm512_castsi128_si512(column(0));
                            let four = _mm512_inserti32x4::<1>(four, column(1));
                            let four = _mm512_inserti32x4::<2>(four, column(2));
                            _mm512_inserti32x4::<3>(four, column(3))
                        }
                    };
                    *tap = _mm512_xor_si512(four, sign);
                }
                let [a, b, c, d] = interleave(taps);
                for (quarter, columns) in [(&mut *q0, a), (q1, b), (q2, c), (q3, d)] {
                    let to = quarter[i..i + POSITIONS].as_mut_ptr();
                    // SAFETY: four columns are 64 bytes.
                    unsafe { _mm512_storeu_si512(to.cast(), columns) };
                }
            }
        }
    }
}
