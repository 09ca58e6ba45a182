//! DEPTHWISE_CONV_2D with kernels of one row, as over time: `depthwise-i16i8-1xN/avx2`.
//!
//! Of eight channels each column and the one that the next tap is over are brought together, as 16-bit
//! numbers, so that `vpmaddwd` multiplies and adds two taps. That is done once for all outputs, of which
//! two are summed at a time.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::positions::{EIGHT, Positions, bias, load, unpack};
use super::requantize::{Block, Order};
use crate::Mismatch;
use crate::arch::output::OutputStage;
use crate::convolve::volume;
use crate::depthwise_conv2d::DepthwiseConv2dI8;

/// Positions whose sums are stored before they are scaled.
const POSITIONS: usize = 64;

/// Columns that a part's outputs see.
const COLUMNS: usize = 128;

/// Pairs of taps, at most.
const PAIRS: usize = 16;

/// Columns, each with another, or weights of two taps: `V` vectors of eight channels.
type Pairs<const V: usize, const N: usize> = [MaybeUninit<[__m256i; V]>; N];

/// A layer whose shapes fit.
struct Layer<'a> {
    p: &'a DepthwiseConv2dI8<'a>,
    stage: OutputStage<'a>,
    /// Pairs of taps.
    pairs: usize,
    /// Outputs of a part, at most.
    most: usize,
    /// Of which columns are multiples that pairs begin with.
    step: usize,
    /// What is outside of the image, and weights of taps that there are not: a vector of it.
    outside: [i8; 2 * EIGHT],
    none: [i8; 2 * EIGHT],
}

/// Whether the layer could be done here.
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn depthwise_conv2d_i8(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<bool, Mismatch> {
    let row = p.as_row();
    let p = row.as_ref().unwrap_or(p);
    let DepthwiseConv2dI8 { input, output, kernel, window, weights, .. } = *p;
    let ([batches, input_h, input_w, channels], [output_batches, height, width, _]) =
        (input, output);
    let [1, taps] = kernel else { return Ok(false) };
    let pairs = taps.div_ceil(2);
    let sizes = [window.stride_h, window.pad_top, window.pad_left, height];
    if !(1..=PAIRS).contains(&pairs)
        || !(1..=COLUMNS).contains(&window.stride_w)
        || !(1..=COLUMNS).contains(&window.dilation_w)
        // So that no position overflows.
        || sizes.into_iter().any(|size| u32::try_from(size).is_err())
    {
        return Ok(false);
    }
    // Columns from an output's first to the one that its last pair begins with.
    let reach = (pairs - 1) * 2 * window.dilation_w;
    let image = volume([input_h, input_w, channels])?;
    let out = volume([height, width, channels])?;
    let stage = OutputStage::new(p.requantize, p.output_stage, p.bias, taps);
    if reach >= COLUMNS
        || !stage.fits()
        || !stage.ordinary
        || !channels.is_multiple_of(EIGHT)
        || channels != output[3]
        || channels != p.bias.len()
        || volume([1, taps, channels])? != weights.len()
        || batches != output_batches
        || image.checked_mul(batches) != Some(x.len())
        || out.checked_mul(batches) != Some(y.len())
        || image == 0
        || out == 0
    {
        return Ok(false);
    }
    let most = ((COLUMNS - reach - 1) / window.stride_w + 1).min(POSITIONS);
    let pair = 2 * window.dilation_w;
    let layer = Layer {
        p,
        stage,
        pairs,
        most,
        step: if width == 1 { pair } else { divisor(window.stride_w, pair) },
        outside: [p.input_zero_point as i8; 2 * EIGHT],
        none: [p.weights_zero_point as i8; 2 * EIGHT],
    };
    for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(out)) {
        let mut channel = 0;
        while channel < channels {
            // SAFETY: as the caller says; there are so many channels.
            channel += unsafe {
                match channels - channel {
                    EIGHT => layer.channels::<1>(x, y, channel),
                    _ => layer.channels::<2>(x, y, channel),
                }
            };
        }
    }
    Ok(true)
}

/// The greatest common divisor.
fn divisor(mut a: usize, mut b: usize) -> usize {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Layer<'_> {
    /// `V` vectors of channels of an image, from `channel` on. Returns how many channels these are.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; shapes fit; there are so many channels.
    #[target_feature(enable = "avx2")]
    unsafe fn channels<const V: usize>(&self, x: &[i8], y: &mut [i8], channel: usize) -> usize {
        let DepthwiseConv2dI8 { input, output, window, .. } = *self.p;
        let ([_, input_h, input_w, channels], [_, height, width, _]) = (input, output);
        let mut scales = Block::empty();
        scales.fill(&self.stage, channel, V * EIGHT, Order::Natural);
        let positions = Positions::<V> { stage: &self.stage, scales: &scales, count: V * EIGHT };
        let mut weights: Pairs<V, PAIRS> = [const { MaybeUninit::uninit() }; PAIRS];
        let mut columns: Pairs<V, COLUMNS> = [const { MaybeUninit::uninit() }; COLUMNS];
        let mut sums: Pairs<V, POSITIONS> = [const { MaybeUninit::uninit() }; POSITIONS];
        // SAFETY: as the caller says. As many weights, columns and sums are written as are read.
        unsafe {
            self.weights(channel, &mut weights[..self.pairs]);
            let weights = weights[..self.pairs].assume_init_ref();
            let bias = bias::<V>(&self.p.bias[channel..]);
            for row in 0..height {
                let seen = (row * window.stride_h).wrapping_sub(window.pad_top);
                let seen = match seen < input_h {
                    true => &x[seen * input_w * channels..][..input_w * channels][channel..],
                    false => &[],
                };
                for start in (0..width).step_by(self.most) {
                    let count = self.most.min(width - start);
                    self.columns::<V>(seen, start, count, &mut columns);
                    self.sum((weights, bias), &columns, &mut sums[..count]);
                    let y = &mut y[(row * width + start) * channels + channel..];
                    positions.store(sums[..count].assume_init_ref(), y);
                }
            }
        }
        V * EIGHT
    }

    /// The weights of some channels.
    ///
    /// # Safety
    ///
    /// As [`Layer::channels`].
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn weights<const V: usize>(&self, channel: usize, to: &mut [MaybeUninit<[__m256i; V]>]) {
        let zero_points = _mm256_set1_epi16(self.p.weights_zero_point as i16);
        let mut taps = self.p.weights.chunks_exact(self.stage.channels);
        for to in to {
            let mut pair = [self.none.as_ptr(); 2];
            for tap in &mut pair {
                if let Some(weights) = taps.next() {
                    *tap = weights[channel..][..V * EIGHT].as_ptr();
                }
            }
            // SAFETY: of either tap there are as many channels.
            let [a, b] = unsafe { pair.map(|tap| load::<V>(tap)) };
            to.write(core::array::from_fn(|v| _mm256_sub_epi16(unpack(v, a, b), zero_points)));
        }
    }

    /// Brings columns of a row of the image together that `count` outputs from `start` on see. The row
    /// begins with the channels, or is outside of the image and empty.
    ///
    /// # Safety
    ///
    /// As [`Layer::channels`]; `count` is at most `most`.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn columns<const V: usize>(
        &self,
        row: &[i8],
        start: usize,
        count: usize,
        to: &mut Pairs<V, COLUMNS>,
    ) {
        let DepthwiseConv2dI8 { input: [_, _, input_w, channels], window, .. } = *self.p;
        let input_w = if row.is_empty() { 0 } else { input_w };
        let at = |column: usize| match column < input_w {
            true => row.as_ptr().wrapping_add(column * channels),
            false => self.outside.as_ptr(),
        };
        let reach = (count - 1) * window.stride_w + (self.pairs - 1) * 2 * window.dilation_w;
        let mut column = (start * window.stride_w).wrapping_sub(window.pad_left);
        let dilation = window.dilation_w;
        // SAFETY: a column inside of the image has these channels.
        let mut first = unsafe { load::<V>(at(column)) };
        for to in to[..=reach].iter_mut().step_by(self.step) {
            // SAFETY: as above.
            let second = unsafe { load::<V>(at(column.wrapping_add(dilation))) };
            to.write(core::array::from_fn(|v| unpack(v, first, second)));
            column = column.wrapping_add(self.step);
            // Which of most layers is the column that has just been loaded.
            first = match self.step == dilation {
                true => second,
                // SAFETY: as above.
                false => unsafe { load::<V>(at(column)) },
            };
        }
    }

    /// The sums of outputs, of which the columns have been brought together.
    ///
    /// # Safety
    ///
    /// As [`Layer::channels`].
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sum<const V: usize>(
        &self,
        (weights, bias): (&[[__m256i; V]], [__m256i; V]),
        columns: &Pairs<V, COLUMNS>,
        sums: &mut [MaybeUninit<[__m256i; V]>],
    ) {
        let (stride, pair) = (self.p.window.stride_w, 2 * self.p.window.dilation_w);
        let mut columns = columns.as_ptr().cast::<[__m256i; V]>();
        let (twos, last) = sums.as_chunks_mut::<2>();
        for two in twos {
            let (mut acc, mut x) = ([bias; 2], columns);
            for weights in weights {
                for (output, acc) in acc.iter_mut().enumerate() {
                    for (v, acc) in acc.iter_mut().enumerate() {
                        // SAFETY: as the caller says; the last pair of the last output is there.
                        let x = unsafe { (*x.add(output * stride))[v] };
                        *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(x, weights[v]));
                    }
                }
                x = x.wrapping_add(pair);
            }
            *two = acc.map(MaybeUninit::new);
            columns = columns.wrapping_add(2 * stride);
        }
        for last in last {
            let (mut acc, mut x) = (bias, columns);
            for weights in weights {
                for (v, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let x = unsafe { (*x)[v] };
                    *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(x, weights[v]));
                }
                x = x.wrapping_add(pair);
            }
            last.write(acc);
        }
    }
}
