//! DEPTHWISE_CONV_2D: `depthwise-i8-c16/neon`, and the loops of `depthwise-i8-c16/neon_dot`.
//!
//! The plain loop multiplies one activation by one weight, a channel at a time. These loops
//!
//! 1. take sixteen channels at once, which are neighbours in memory;
//! 2. prepare what a column of the image needs once, since the windows of neighbouring positions share
//!    columns: a 3×3 window at stride 1 has one that is new. Without dot products activations are
//!    widened, [`Widening`]; with them rows are brought together, [`super::super::neon_dot`];
//! 3. keep the weights of a 3×3 kernel in registers.
//!
//! An image of one column is taken as one of one row.
//!
//! What channels there are behind the last sixteen begin within them: those are computed twice.

use core::arch::aarch64::*;
use core::mem::MaybeUninit;

use super::requantize::{SIXTEEN, Sixteen};
use crate::Mismatch;
use crate::arch::output::OutputStage;
use crate::convolve::volume;
use crate::depthwise_conv2d::{self, DepthwiseConv2dI8};
use crate::window::{Taps, Window};

/// Most rows of taps that are multiplied at once.
pub(in crate::arch) const ROWS: usize = 4;

/// Rows and columns of the largest kernel, and columns of one that has one row.
const TALL: usize = 8;
const WIDE: usize = 7;
const LONG: usize = 16;

/// Groups of [`ROWS`] rows of the largest kernel.
const GROUPS: usize = TALL / ROWS;

/// Columns of the image that are held at once.
const BAND: usize = 64;

/// Positions whose sums are held at once.
const PART: usize = 16;

/// Channels that are loaded by one instruction where there are no sixteen.
const HALF: usize = 8;

/// The sums of sixteen channels.
pub(in crate::arch) type Sums = [int32x4_t; 4];

/// How the activations of a column of taps, of sixteen channels, are multiplied by their weights.
pub(in crate::arch) trait Columns {
    /// Rows of taps of a column: 1 or [`ROWS`].
    const HEIGHT: usize;

    /// Activations.
    type Column: Copy;

    /// Weights, of which those that there are not are 0.
    type Weights: Copy;

    /// Sums on the way.
    type Acc: Copy;

    /// Activations of the rows; those behind [`Columns::HEIGHT`] are not looked at.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions.
    unsafe fn column(rows: [int8x16_t; ROWS]) -> Self::Column;

    /// Weights with this zero point, of `height` rows.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions.
    unsafe fn weights(rows: [int8x16_t; ROWS], height: usize, zero_point: i32) -> Self::Weights;

    /// No products yet.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions.
    unsafe fn start(bias: Sums) -> Self::Acc;

    /// Adds the products of a column.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions.
    unsafe fn add(acc: Self::Acc, x: &Self::Column, w: &Self::Weights) -> Self::Acc;

    /// The sums, with the weights' zero point taken off.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions.
    unsafe fn end(acc: Self::Acc, zero_point: int32x4_t) -> Sums;
}

/// Products of 16 by 16 bits, `smlal`, where weights have their zero point taken off.
pub(super) struct Widening;

impl Columns for Widening {
    const HEIGHT: usize = 1;

    type Column = [int16x8_t; 2];

    type Weights = [int16x8_t; 2];

    type Acc = Sums;

    #[inline(always)]
    unsafe fn column([row, ..]: [int8x16_t; ROWS]) -> [int16x8_t; 2] {
        // SAFETY: as the caller says.
        unsafe { [vmovl_s8(vget_low_s8(row)), vmovl_high_s8(row)] }
    }

    #[inline(always)]
    unsafe fn weights(
        [row, ..]: [int8x16_t; ROWS],
        height: usize,
        zero_point: i32,
    ) -> [int16x8_t; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let zero_point = vdupq_n_s16(if height > 0 { zero_point as i16 } else { 0 });
            let [low, high] = Self::column([row; ROWS]);
            [vsubq_s16(low, zero_point), vsubq_s16(high, zero_point)]
        }
    }

    #[inline(always)]
    unsafe fn start(bias: Sums) -> Sums {
        bias
    }

    #[inline(always)]
    unsafe fn add([a, b, c, d]: Sums, x: &[int16x8_t; 2], w: &[int16x8_t; 2]) -> Sums {
        let ([x0, x1], [w0, w1]) = (*x, *w);
        // SAFETY: as the caller says.
        unsafe {
            [
                vmlal_s16(a, vget_low_s16(x0), vget_low_s16(w0)),
                vmlal_high_s16(b, x0, w0),
                vmlal_s16(c, vget_low_s16(x1), vget_low_s16(w1)),
                vmlal_high_s16(d, x1, w1),
            ]
        }
    }

    #[inline(always)]
    unsafe fn end(acc: Sums, _: int32x4_t) -> Sums {
        acc
    }
}

/// [`depthwise_conv2d::depthwise_conv2d_i8`].
///
/// # Safety
///
/// The processor has the instructions of `C`.
#[inline(always)]
pub(in crate::arch) unsafe fn depthwise_conv2d_i8<C: Columns>(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // SAFETY: as the caller says.
    if p.weights_zero_point != 0 || !unsafe { any::<C>(p, x, y) }? {
        return depthwise_conv2d::portable(p, x, y);
    }
    Ok(())
}

/// [`depthwise_conv2d::depthwise_conv2d_asymmetric_i8`].
///
/// # Safety
///
/// The processor has the instructions of `C`.
#[inline(always)]
pub(in crate::arch) unsafe fn depthwise_conv2d_asymmetric_i8<C: Columns>(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let byte = i32::from(i8::MIN)..=i32::from(i8::MAX);
    // SAFETY: as the caller says.
    if !byte.contains(&p.weights_zero_point) || !unsafe { any::<C>(p, x, y) }? {
        return depthwise_conv2d::portable_asymmetric(p, x, y);
    }
    Ok(())
}

/// Whether it could be done here.
///
/// # Safety
///
/// The processor has the instructions of `C`.
#[inline(always)]
unsafe fn any<C: Columns>(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<bool, Mismatch> {
    let p = &turned(p);
    let DepthwiseConv2dI8 { input, output, kernel: [kernel_h, kernel_w], window, .. } = *p;
    let ([batches, input_h, input_w, channels], [output_batches, height, width, _]) =
        (input, output);
    let taps = kernel_h.saturating_mul(kernel_w);
    let stage = OutputStage::new(p.requantize, p.output_stage, p.bias, taps);
    let image = volume([input_h, input_w, channels])?;
    let out = volume([height, width, channels])?;
    let reach = kernel_w.checked_mul(window.dilation_w).ok_or(Mismatch)?;
    if !stage.fits()
        || [kernel_h, kernel_w, window.stride_w].contains(&0)
        || kernel_h > TALL
        || kernel_w > if kernel_h == 1 { LONG } else { WIDE }
        || reach.max(window.stride_w) > BAND / 2
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
        let mut channel = 0;
        while channel < channels {
            let first = channel.min(channels.saturating_sub(SIXTEEN));
            let count = SIXTEEN.min(channels);
            // SAFETY: as the caller says; the shapes fit.
            unsafe {
                match (kernel_h, kernel_w, C::HEIGHT) {
                    (3, 3, 1) => layer.channels::<C, 3, 3, true>(x, y, first, count),
                    (3, 3, _) => layer.channels::<C, 1, 3, true>(x, y, first, count),
                    // There are no rows to bring together.
                    (1, ..) => layer.channels::<Widening, 1, LONG, false>(x, y, first, count),
                    (_, _, 1) => layer.channels::<C, TALL, WIDE, false>(x, y, first, count),
                    _ => layer.channels::<C, GROUPS, WIDE, false>(x, y, first, count),
                }
            }
            channel = first + count;
        }
    }
    Ok(true)
}

/// An image of one column as one of one row, which is the same in memory: neighbouring positions of a row
/// share columns, and a row of outputs has work of its own.
fn turned<'a>(p: &DepthwiseConv2dI8<'a>) -> DepthwiseConv2dI8<'a> {
    let DepthwiseConv2dI8 { input, output, kernel, window, .. } = *p;
    if [input[2], output[2], kernel[1]] != [1; 3] || window.pad_left != 0 {
        return *p;
    }
    let turn = |[n, h, w, c]: [usize; 4]| [n, w, h, c];
    let window = Window {
        stride_h: window.stride_w,
        stride_w: window.stride_h,
        dilation_h: window.dilation_w,
        dilation_w: window.dilation_h,
        pad_top: window.pad_left,
        pad_left: window.pad_top,
    };
    let kernel = [kernel[1], kernel[0]];
    DepthwiseConv2dI8 { input: turn(input), output: turn(output), kernel, window, ..*p }
}

/// A convolution whose shapes fit.
struct Layer<'a> {
    p: &'a DepthwiseConv2dI8<'a>,
    stage: OutputStage<'a>,
}

/// A row of the image, or what is outside of it.
#[derive(Clone, Copy)]
struct Row {
    start: *const i8,
    /// From a pixel to the next: 0 outside.
    step: usize,
}

impl Layer<'_> {
    /// `count` channels from `first` on of one image, sixteen where there are so many. The kernel has
    /// up to `G` groups of rows and `W` columns, or, where it is `FIXED`, so many.
    ///
    /// # Safety
    ///
    /// The processor has the instructions of `C`.
    #[inline(always)]
    unsafe fn channels<C: Columns, const G: usize, const W: usize, const FIXED: bool>(
        &self,
        x: &[i8],
        y: &mut [i8],
        first: usize,
        count: usize,
    ) {
        let DepthwiseConv2dI8 { input, output, kernel, window, .. } = *self.p;
        let ([_, input_h, _, _], [_, _, width, channels], [kernel_h, kernel_w]) =
            (input, output, kernel);
        let (groups, taps) = if FIXED { (G, W) } else { (kernel_h.div_ceil(C::HEIGHT), kernel_w) };
        let outside = [self.p.input_zero_point as i8; SIXTEEN];
        let mut band = [[MaybeUninit::uninit(); BAND]; G];
        let mut acc = [[0; SIXTEEN]; PART];
        // As many positions as have their columns in a band.
        let positions = (BAND - (kernel_w - 1) * window.dilation_w - 1) / window.stride_w + 1;
        // SAFETY: as the caller says.
        unsafe {
            let weights = &self.weights::<C, G, W>(first, count);
            let bias = self.bias(first, count);
            let scales = Sixteen::new(&self.stage, first, count);
            let zero_point = vdupq_n_s32(self.p.weights_zero_point);
            for (out_y, y) in y.chunks_exact_mut(width * channels).enumerate() {
                let rows = window.rows(out_y, kernel_h, input_h);
                let rows = &self.rows(x, &rows, first, &outside);
                for (part, y) in y.chunks_mut(positions * channels).enumerate() {
                    let start = part * positions * window.stride_w;
                    let wide = y.len() / channels;
                    let columns =
                        (wide - 1) * window.stride_w + (kernel_w - 1) * window.dilation_w + 1;
                    for (band, rows) in
                        band.iter_mut().zip(rows.chunks_exact(C::HEIGHT)).take(groups)
                    {
                        self.columns::<C>(rows, start, count, &mut band[..columns]);
                    }
                    let mut at = 0;
                    for y in y.chunks_mut(PART * channels) {
                        let acc = &mut acc[..y.len() / channels];
                        for acc in acc.iter_mut() {
                            let mut sums = C::start(bias);
                            for (band, weights) in band.iter().zip(weights).take(groups) {
                                for (tap_x, w) in weights.iter().enumerate().take(taps) {
                                    let column = &band[at + tap_x * window.dilation_w];
                                    // SAFETY: the columns of all positions have been written.
                                    sums = C::add(sums, column.assume_init_ref(), w);
                                }
                            }
                            let sums = C::end(sums, zero_point);
                            for (sum, acc) in sums.into_iter().zip(acc.as_chunks_mut::<4>().0) {
                                vst1q_s32(acc.as_mut_ptr(), sum);
                            }
                            at += window.stride_w;
                        }
                        scales.store(&self.stage, acc, 0, y, first, count);
                    }
                }
            }
        }
    }

    /// Columns of the padded image from column `start` on, of `count` channels.
    ///
    /// # Safety
    ///
    /// The processor has the instructions of `C`; `rows` are those of the image, [`Layer::rows`], as
    /// many as a column has.
    #[inline(always)]
    unsafe fn columns<C: Columns>(
        &self,
        rows: &[Row],
        start: usize,
        count: usize,
        to: &mut [MaybeUninit<C::Column>],
    ) {
        let DepthwiseConv2dI8 { input: [_, _, input_w, _], window, .. } = *self.p;
        // Columns in front of the image, and within it.
        let left = window.pad_left.saturating_sub(start).min(to.len());
        let at = (start + left).saturating_sub(window.pad_left).min(input_w);
        let inside = (input_w - at).min(to.len() - left);
        // SAFETY: as the caller says; the columns are within the image.
        unsafe {
            let border = vdupq_n_s8(self.p.input_zero_point as i8);
            let border = MaybeUninit::new(C::column([border; ROWS]));
            to[..left].fill(border);
            to[left + inside..].fill(border);
            let to = &mut to[left..left + inside];
            match count {
                SIXTEEN => inner_columns::<C, SIXTEEN>(rows, at, count, to),
                HALF => inner_columns::<C, HALF>(rows, at, count, to),
                _ => inner_columns::<C, 0>(rows, at, count, to),
            }
        }
    }

    /// The weights of some channels, of each group of rows and each column; zero behind the last.
    ///
    /// # Safety
    ///
    /// The processor has the instructions of `C`.
    #[inline(always)]
    unsafe fn weights<C: Columns, const G: usize, const W: usize>(
        &self,
        first: usize,
        count: usize,
    ) -> [[C::Weights; W]; G] {
        let DepthwiseConv2dI8 { weights, kernel: [kernel_h, kernel_w], .. } = *self.p;
        // SAFETY: as the caller says; sixteen bytes are loaded from an array of as many.
        unsafe {
            let zero = [vdupq_n_s8(0); ROWS];
            let mut packed = [[C::weights(zero, 0, 0); W]; G];
            for (g, group) in packed.iter_mut().enumerate().take(kernel_h.div_ceil(C::HEIGHT)) {
                let height = C::HEIGHT.min(kernel_h - g * C::HEIGHT);
                for (tap_x, column) in group.iter_mut().enumerate().take(kernel_w) {
                    let mut rows = zero;
                    for (i, row) in rows.iter_mut().enumerate().take(height) {
                        let tap = (g * C::HEIGHT + i) * kernel_w + tap_x;
                        let tap = &weights[tap * self.stage.channels + first..][..count];
                        let mut sixteen = [0; SIXTEEN];
                        sixteen[..count].copy_from_slice(tap);
                        *row = vld1q_s8(sixteen.as_ptr());
                    }
                    *column = C::weights(rows, height, self.p.weights_zero_point);
                }
            }
            packed
        }
    }

    /// The biases of some channels.
    #[target_feature(enable = "neon")]
    fn bias(&self, first: usize, count: usize) -> Sums {
        let mut sixteen = [0; SIXTEEN];
        sixteen[..count].copy_from_slice(&self.p.bias[first..first + count]);
        let mut bias = [vdupq_n_s32(0); 4];
        for (bias, four) in bias.iter_mut().zip(sixteen.as_chunks::<4>().0) {
            // SAFETY: four int32.
            *bias = unsafe { vld1q_s32(four.as_ptr()) };
        }
        bias
    }

    /// Where the rows of taps are read, from channel `first` of the image's first column on.
    fn rows(
        &self,
        x: &[i8],
        rows: &Taps,
        first: usize,
        outside: &[i8; SIXTEEN],
    ) -> [Row; TALL + ROWS] {
        let DepthwiseConv2dI8 { input: [_, _, input_w, channels], window, .. } = *self.p;
        let mut from = [Row { start: outside.as_ptr(), step: 0 }; TALL + ROWS];
        for (i, tap_y) in rows.inside.clone().enumerate() {
            let row = rows.first + i * window.dilation_h;
            let start = &x[row * input_w * channels + first..];
            from[tap_y] = Row { start: start.as_ptr(), step: channels };
        }
        from
    }
}

/// Columns of the image from column `at` on, of `COUNT` channels, or, where that is 0, of `count`.
///
/// # Safety
///
/// The processor has the instructions of `C`; the rows have so many columns.
#[inline(always)]
unsafe fn inner_columns<C: Columns, const COUNT: usize>(
    rows: &[Row],
    at: usize,
    count: usize,
    to: &mut [MaybeUninit<C::Column>],
) {
    let mut from = [rows[0]; ROWS];
    for (from, row) in from.iter_mut().zip(rows) {
        *from = Row { start: row.start.wrapping_add(at * row.step), step: row.step };
    }
    for column in to {
        // SAFETY: as the caller says. Outside of the image sixteen channels are there, and inside as
        // many as are loaded.
        unsafe {
            let mut taps = [vdupq_n_s8(0); ROWS];
            for (tap, Row { start, step }) in taps.iter_mut().zip(&mut from).take(C::HEIGHT) {
                *tap = match COUNT {
                    SIXTEEN => vld1q_s8(*start),
                    HALF => vcombine_s8(vld1_s8(*start), vdup_n_s8(0)),
                    _ => {
                        let mut sixteen = [0; SIXTEEN];
                        sixteen.as_mut_ptr().copy_from_nonoverlapping(*start, count);
                        vld1q_s8(sixteen.as_ptr())
                    }
                };
                *start = start.wrapping_add(*step);
            }
            column.write(C::column(taps));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec;

    use super::*;
    use crate::testing::{Scales, Values, output_stage};

    proptest! {
        #[test]
        fn images_of_one_column_give_what_the_definition_gives(
            [height, out_h, taps, channels] in [1..40_usize, 1..40, 1..20, 1..40],
            [stride, dilation, pad] in [1..4_usize, 1..3, 0..5],
            seed: u64,
        ) {
            let mut values = Values::new(seed);
            let x = values.i8s(height * channels);
            let weights = values.i8s(taps * channels);
            let bias = values.i32s(channels, -30_000, 30_000);
            let scales = Scales::new(&mut values, channels);
            let p = DepthwiseConv2dI8 {
                input: [1, height, 1, channels],
                output: [1, out_h, 1, channels],
                kernel: [taps, 1],
                window: Window {
                    stride_h: stride,
                    dilation_h: dilation,
                    pad_top: pad,
                    ..Window::UNIT
                },
                weights: &weights,
                weights_zero_point: values.i32s(1, -128, 127)[0],
                input_zero_point: values.i32s(1, -128, 127)[0],
                bias: &bias,
                requantize: scales.all()[0],
                output_stage: output_stage(&mut values),
            };
            let mut expected = vec![1; out_h * channels];
            depthwise_conv2d::portable_asymmetric(&p, &x, &mut expected).unwrap();
            for kernels in crate::arch::available() {
                let mut y = vec![2; out_h * channels];
                prop_assert_eq!((kernels.depthwise_conv2d_asymmetric_i8)(&p, &x, &mut y), Ok(()));
                prop_assert_eq!(&y, &expected, "{:?}", kernels.level);
            }
        }
    }
}
