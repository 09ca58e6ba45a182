//! DEPTHWISE_CONV_2D with kernels of 3×3: `depthwise-i16i8-3x3/avx2`.
//!
//! `vpmaddwd` multiplies two taps of eight channels at once. Which two is chosen so that five times are
//! nine taps, and so that neighbouring outputs share what is brought together: of each column the upper
//! two rows, and of the lowest row two neighbouring columns.
//!
//! ```text
//!  column    c  c+1 c+2 c+3             output c           output c+1
//!  row 0   ┌ A ┐┌ B ┐┌ A'┐┌ B'┐         A × w00 w10        B × w00 w10
//!  row 1   └   ┘└   ┘└   ┘└   ┘         B × w01 w11        A'× w01 w11
//!  row 2   [   Q    ][   Q'   ]         Q × w20 w21        Q × 0   w20
//!                                       ─────────── carried ──────────
//!                                       A'× w02 w12        B'× w02 w12
//!                                       Q'× w22 0          Q'× w21 w22
//! ```
//!
//! A step brings two columns together, adds them to the outputs that begin there, of which there are two
//! or at stride 2 one, and to those that end there. Sums of some positions are stored, then scaled.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::positions::{EIGHT, Positions, bias, load, unpack};
use super::requantize::{Block, Order};
use crate::Mismatch;
use crate::arch::output::OutputStage;
use crate::convolve::volume;
use crate::depthwise_conv2d::DepthwiseConv2dI8;
use crate::window::Window;

/// Positions whose sums are stored before they are scaled.
const POSITIONS: usize = 64;

/// Sums of positions, of `V` vectors each, and of one behind the last.
type Sums<const V: usize> = [MaybeUninit<[__m256i; V]>; POSITIONS + 1];

/// A layer whose shapes fit.
struct Layer<'a> {
    p: &'a DepthwiseConv2dI8<'a>,
    stage: OutputStage<'a>,
    /// What is outside of the image: a vector of it.
    outside: [i8; 2 * EIGHT],
}

/// Weights of `V` vectors of channels, two taps side by side, and where sums begin.
struct Taps<const V: usize> {
    /// Rows 0 and 1 of each column of taps.
    upper: [[__m256i; 3]; V],
    /// Row 2: columns 0 and 1; column 2; for the output behind, column 0; and columns 1 and 2.
    lower: [[__m256i; 4]; V],
    bias: [__m256i; V],
}

/// Rows that a row of outputs sees, from the channels' first on, and from one column to the next.
#[derive(Clone, Copy)]
struct Rows {
    rows: [*const i8; 3],
    steps: [usize; 3],
}

/// Neighbouring outputs of a row: the first, and how many.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    count: usize,
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
    let DepthwiseConv2dI8 { input, output, kernel, window, weights, .. } = *p;
    let ([batches, input_h, input_w, channels], [output_batches, height, width, _]) =
        (input, output);
    let Window { stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left } = window;
    if kernel != [3, 3] || [dilation_h, dilation_w] != [1, 1] || !matches!(stride_w, 1 | 2) {
        return Ok(false);
    }
    // So that no position overflows.
    if [height, stride_h, pad_top, pad_left].into_iter().any(|size| u32::try_from(size).is_err()) {
        return Ok(false);
    }
    let image = volume([input_h, input_w, channels])?;
    let out = volume([height, width, channels])?;
    let stage = OutputStage::new(p.requantize, p.output_stage, p.bias, 9);
    if !stage.fits()
        || !stage.ordinary
        || !channels.is_multiple_of(EIGHT)
        || channels != output[3]
        || channels != p.bias.len()
        || volume([3, 3, channels])? != weights.len()
        || batches != output_batches
        || image.checked_mul(batches) != Some(x.len())
        || out.checked_mul(batches) != Some(y.len())
        || image == 0
        || out == 0
    {
        return Ok(false);
    }
    let layer = Layer { p, stage, outside: [p.input_zero_point as i8; 2 * EIGHT] };
    for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(out)) {
        // SAFETY: as the caller says; the image and the output have these shapes.
        unsafe {
            match stride_w {
                1 => layer.image::<1>(x, y),
                _ => layer.image::<2>(x, y),
            }
        }
    }
    Ok(true)
}

impl Layer<'_> {
    /// One image, at stride `S`.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; `x` and `y` have the layer's shapes.
    #[inline(always)]
    unsafe fn image<const S: usize>(&self, x: &[i8], y: &mut [i8]) {
        let [_, height, width, channels] = self.p.output;
        // Whole rows, or a part of one, as many as there is room for.
        let rows = (POSITIONS / width).max(1);
        for row in (0..height).step_by(rows) {
            let rows = row..(row + rows).min(height);
            for start in (0..width).step_by(POSITIONS) {
                let part = Part { start, count: POSITIONS.min(width - start) };
                let mut channel = 0;
                while channel < channels {
                    // SAFETY: as the caller says; there are as many channels.
                    channel += unsafe {
                        match channels - channel {
                            EIGHT => self.channels::<S, 1>(x, y, rows.clone(), part, channel),
                            _ => self.channels::<S, 2>(x, y, rows.clone(), part, channel),
                        }
                    };
                }
            }
        }
    }

    /// `V` vectors of channels from `channel` on, of some rows, or of a part of one. Returns how many
    /// channels these are.
    ///
    /// # Safety
    ///
    /// As [`Layer::image`]; there are so many channels; there is room for the sums.
    #[target_feature(enable = "avx2")]
    unsafe fn channels<const S: usize, const V: usize>(
        &self,
        x: &[i8],
        y: &mut [i8],
        rows: core::ops::Range<usize>,
        part: Part,
        channel: usize,
    ) -> usize {
        let [_, input_h, input_w, channels] = self.p.input;
        let [_, _, width, _] = self.p.output;
        let window = &self.p.window;
        let mut scales = Block::empty();
        scales.fill(&self.stage, channel, V * EIGHT, Order::Natural);
        let mut sums: Sums<V> = [const { MaybeUninit::uninit() }; POSITIONS + 1];
        let first = rows.start * width + part.start;
        let mut count = 0;
        // SAFETY: as the caller says. A row inside of the image has all columns.
        unsafe {
            let taps = self.taps::<V>(channel);
            for row in rows {
                // Of a row outside of the image each column is the first.
                let mut seen = Rows { rows: [self.outside.as_ptr(); 3], steps: [0; 3] };
                let top = (row * window.stride_h).wrapping_sub(window.pad_top);
                for tap in 0..3 {
                    let row = top.wrapping_add(tap);
                    if row < input_h {
                        let row = &x[row * input_w * channels..][..input_w * channels];
                        seen.rows[tap] = row[channel..].as_ptr();
                        seen.steps[tap] = channels;
                    }
                }
                self.sum::<S, V>(&taps, seen, part, &mut sums[count..][..part.count + 1]);
                count += part.count;
            }
            let sums = sums[..count].assume_init_ref();
            let y = &mut y[first * channels + channel..];
            Positions { stage: &self.stage, scales: &scales, count: V * EIGHT }.store(sums, y);
        }
        V * EIGHT
    }

    /// The weights and biases of some channels.
    ///
    /// # Safety
    ///
    /// As [`Layer::channels`].
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn taps<const V: usize>(&self, channel: usize) -> Taps<V> {
        let zero = _mm256_setzero_si256();
        let bias = bias::<V>(&self.p.bias[channel..]);
        let mut taps = Taps { upper: [[zero; 3]; V], lower: [[zero; 4]; V], bias };
        let zero_point = _mm_set1_epi16(self.p.weights_zero_point as i16);
        for v in 0..V {
            let channel = channel + v * EIGHT;
            let mut wide = [_mm_setzero_si128(); 9];
            for (wide, tap) in wide.iter_mut().zip(self.p.weights.chunks_exact(self.p.input[3])) {
                let eight = &tap[channel..][..EIGHT];
                // SAFETY: eight int8.
                let eight = unsafe { _mm_loadl_epi64(eight.as_ptr().cast()) };
                *wide = _mm_sub_epi16(_mm_cvtepi8_epi16(eight), zero_point);
            }
            let [a0, b0, c0, a1, b1, c1, a2, b2, c2] = wide;
            let none = _mm_setzero_si128();
            taps.upper[v] = [pairs(a0, a1), pairs(b0, b1), pairs(c0, c1)];
            taps.lower[v] = [pairs(a2, b2), pairs(c2, none), pairs(none, a2), pairs(b2, c2)];
        }
        taps
    }

    /// The sums of a part of a row.
    ///
    /// # Safety
    ///
    /// As [`Layer::channels`]; rows inside of the image have its columns. `sums` has an element more than
    /// the part.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sum<const S: usize, const V: usize>(
        &self,
        taps: &Taps<V>,
        Rows { rows, steps }: Rows,
        part: Part,
        sums: &mut [MaybeUninit<[__m256i; V]>],
    ) {
        let [_, _, input_w, _] = self.p.input;
        let outside = self.outside.as_ptr();
        let count = part.count.div_ceil(if S == 1 { 2 } else { 1 });
        let mut column = (part.start * S).wrapping_sub(self.p.window.pad_left);
        let mut rows = [0, 1, 2].map(|r| rows[r].wrapping_add(column.wrapping_mul(steps[r])));
        // Of columns before it the next is inside, too.
        let last = input_w - 1;
        let mut to = sums.as_mut_ptr().cast::<[__m256i; V]>();
        let mut begun = taps.bias.map(|bias| [bias; 2]);
        for step in 0..=count {
            // SAFETY: as the caller says. Of a column inside there are `V` times eight channels.
            unsafe {
                // Columns at the border, which may be outside, are apart.
                let next = next_column(rows, steps);
                let (a, b) = if column < last {
                    (rows.map(|x| load::<V>(x)), next.map(|x| load::<V>(x)))
                } else {
                    let inside = |column, rows| if column < input_w { rows } else { [outside; 3] };
                    let (a, b) = (inside(column, rows), inside(column.wrapping_add(1), next));
                    (a.map(|x| load::<V>(x)), b.map(|x| load::<V>(x)))
                };
                for (v, begun) in begun.iter_mut().enumerate() {
                    let (upper_a, upper_b) = (unpack(v, a[0], a[1]), unpack(v, b[0], b[1]));
                    let lower = unpack(v, a[2], b[2]);
                    let ([w0, w1, w2], [q01, q2, q0, q12]) = (&taps.upper[v], &taps.lower[v]);
                    let bias = taps.bias[v];
                    if step > 0 {
                        let ended = dot(dot(begun[0], upper_a, w2), lower, q2);
                        (*to)[v] = ended;
                        if S == 1 {
                            let ended = dot(dot(begun[1], upper_a, w1), upper_b, w2);
                            (*to.add(1))[v] = dot(ended, lower, q12);
                        }
                    }
                    begun[0] = dot(dot(dot(bias, upper_a, w0), upper_b, w1), lower, q01);
                    if S == 1 {
                        begun[1] = dot(dot(bias, upper_b, w0), lower, q0);
                    }
                }
                if step > 0 {
                    to = to.add(if S == 1 { 2 } else { 1 });
                }
                rows = next_column(next, steps);
            }
            column = column.wrapping_add(2);
        }
    }
}

/// The next column of each row.
#[inline(always)]
fn next_column(rows: [*const i8; 3], steps: [usize; 3]) -> [*const i8; 3] {
    [0, 1, 2].map(|r: usize| rows[r].wrapping_add(steps[r]))
}

/// Two taps of eight channels, those of a channel side by side.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs(a: __m128i, b: __m128i) -> __m256i {
    _mm256_set_m128i(_mm_unpackhi_epi16(a, b), _mm_unpacklo_epi16(a, b))
}

/// Adds the products of two taps of eight channels.
#[inline]
#[target_feature(enable = "avx2")]
fn dot(sum: __m256i, x: __m256i, w: &__m256i) -> __m256i {
    _mm256_add_epi32(sum, _mm256_madd_epi16(x, *w))
}
