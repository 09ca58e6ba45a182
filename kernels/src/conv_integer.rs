//! CONV_INTEGER: the sums of a convolution themselves, in int32. Activations `[n, h, w, c]`, weights
//! OHWI; the zero point of the activations may be known only when the network runs: it is an input.
//!
//! An input channel count that is a multiple of the weights' means groups, as in CONV_2D. Source:
//! ONNX's ConvInteger. Taps outside the image count as zero; sums wrap around.

use crate::Mismatch;
use crate::convolve::{part, volume};
use crate::rows::runs;
use crate::window::Window;

/// A convolution in int32.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct ConvInteger<'a> {
    /// `[n, h, w, c]` of the input.
    pub input: [usize; 4],
    /// `[n, h, w, c]` of the output.
    pub output: [usize; 4],
    /// `[h, w]` of the kernel.
    pub kernel: [usize; 2],
    /// How the kernel moves.
    pub window: Window,
    /// OHWI, where I is the input's channels / groups.
    pub weights: &'a [i8],
    /// In `[-128, 127]`.
    pub weights_zero_point: i32,
}

/// `y = Σ (x − x_zero)·(weights − weights_zero_point)`; `x_zero` has one element.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn conv_integer(
    p: &ConvInteger<'_>,
    x: &[i8],
    x_zero: &[i8],
    y: &mut [i32],
) -> Result<(), Mismatch> {
    let ([batches, height, width, depth], [out_batches, out_h, out_w, channels]) =
        (p.input, p.output);
    let &[x_zero] = x_zero else { return Err(Mismatch) };
    let [kernel_h, kernel_w] = p.kernel;
    let taps = volume([kernel_h, kernel_w, 1])?;
    let filter = p.weights.len().checked_div(channels).ok_or(Mismatch)?;
    let group_depth = filter.checked_div(taps).ok_or(Mismatch)?;
    let groups = depth.checked_div(group_depth).ok_or(Mismatch)?;
    let group_channels = channels.checked_div(groups).ok_or(Mismatch)?;
    let image = volume([height, width, depth])?;
    let out_image = volume([out_h, out_w, channels])?;
    if batches != out_batches
        || volume([filter, channels, 1])? != p.weights.len()
        || volume([group_depth, taps, 1])? != filter
        || volume([groups, group_depth, 1])? != depth
        || volume([groups, group_channels, 1])? != channels
        || volume([image, batches, 1])? != x.len()
        || volume([out_image, batches, 1])? != y.len()
    {
        return Err(Mismatch);
    }
    let (x_zero, w_zero) = (i16::from(x_zero), p.weights_zero_point as i16);
    let dot = |x: &[i8], w: &[i8]| {
        x.iter().zip(w).fold(0_i32, |acc, (&x, &w)| {
            let x = i16::from(x).wrapping_sub(x_zero);
            acc.wrapping_add(i32::from(x) * i32::from(i16::from(w).wrapping_sub(w_zero)))
        })
    };
    for (x, y) in runs(x, image, y, out_image) {
        for (out_y, y) in y.chunks_exact_mut((out_w * channels).max(1)).enumerate() {
            let rows = p.window.rows(out_y, kernel_h, height);
            for (out_x, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
                let columns = p.window.columns(out_x, kernel_w, width);
                for (channel, y) in y.iter_mut().enumerate() {
                    let filter = part(p.weights, channel * filter, filter).ok_or(Mismatch)?;
                    let group = channel.checked_div(group_channels).ok_or(Mismatch)?;
                    let mut acc = 0_i32;
                    for (i, row) in rows.inside.clone().enumerate() {
                        let in_y = rows.first + i * p.window.dilation_h;
                        for (j, column) in columns.inside.clone().enumerate() {
                            let in_x = columns.first + j * p.window.dilation_w;
                            let pixel = (in_y * width + in_x) * depth + group * group_depth;
                            let tap = (row * kernel_w + column) * group_depth;
                            let x = part(x, pixel, group_depth).ok_or(Mismatch)?;
                            let w = part(filter, tap, group_depth).ok_or(Mismatch)?;
                            acc = acc.wrapping_add(dot(x, w));
                        }
                    }
                    *y = acc;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    proptest! {
        #[test]
        fn it_is_the_sum_of_products_of_taps_inside(
            (h, w, kernel_h, kernel_w) in (1_usize..6, 1_usize..6, 1_usize..4, 1_usize..4),
            (groups, depth, outs) in (1_usize..3, 1_usize..4, 1_usize..3),
            (stride_h, dilation_w, pad_top, pad_left) in (1_usize..3, 1_usize..3, 0_usize..3, 0_usize..3),
            (out_h, out_w) in (1_usize..4, 1_usize..4), zeros: [i8; 2], seed: u64,
        ) {
            let (channels, all) = (groups * outs, groups * depth);
            let sizes = [h * w * all, channels * kernel_h * kernel_w * depth];
            let noise: vec::Vec<i8> = crate::pool::tests::noise(sizes[0] + sizes[1], seed)
                .iter().map(|&x| x as i8).collect();
            let (x, weights) = noise.split_at(sizes[0]);
            let p = ConvInteger {
                input: [1, h, w, all],
                output: [1, out_h, out_w, channels],
                kernel: [kernel_h, kernel_w],
                window: Window { stride_h, dilation_w, pad_top, pad_left, ..Window::UNIT },
                weights,
                weights_zero_point: zeros[1].into(),
            };
            let mut y = vec![0; out_h * out_w * channels];
            conv_integer(&p, x, &zeros[..1], &mut y).unwrap();
            for (at, &got) in y.iter().enumerate() {
                let (channel, pixel) = (at % channels, at / channels);
                let (out_y, out_x) = (pixel / out_w, pixel % out_w);
                let mut wanted = 0;
                for (tap, &weight) in weights[channel * kernel_h * kernel_w * depth..]
                    [..kernel_h * kernel_w * depth].iter().enumerate()
                {
                    let (c, tap) = (tap % depth, tap / depth);
                    let (row, column) = (tap / kernel_w, tap % kernel_w);
                    let in_y = (out_y * stride_h + row) as isize - pad_top as isize;
                    let in_x = (out_x + column * dilation_w) as isize - pad_left as isize;
                    if (0..h as isize).contains(&in_y) && (0..w as isize).contains(&in_x) {
                        let place = (in_y as usize * w + in_x as usize) * all;
                        let q = i32::from(x[place + channel / outs * depth + c]);
                        wanted += (q - i32::from(zeros[0]))
                            * (i32::from(weight) - i32::from(zeros[1]));
                    }
                }
                prop_assert_eq!(got, wanted, "output {}", at);
            }
        }

        #[test]
        fn hostile_shapes_are_refused(dims: [usize; 10], x: [i8; 4], weights: [i8; 4]) {
            let [a, b, c, d, e, f, g, h, i, j] = dims;
            let p = ConvInteger {
                input: [a, b, c, d], output: [e, f, g, h], kernel: [i, j], window: Window::UNIT,
                weights: &weights, weights_zero_point: 0,
            };
            prop_assert_eq!(conv_integer(&p, &x, &[0], &mut [0; 4]), Err(Mismatch));
        }
    }
}
