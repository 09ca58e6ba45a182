//! RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR: images scaled to another height and width.
//!
//! `x: [n, h, w, c]`, `y: [n, out_h, out_w, c]`, with the same scale and zero point. Source: TFLite's
//! `reference/resize_bilinear.h` and `reference/resize_nearest_neighbor.h`, which LiteRT and TFLite
//! Micro share.

use crate::Mismatch;
use crate::rows::runs;

/// The geometry of a resizing operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Resize {
    /// Input dimensions: batches, height, width, channels; at most `i32::MAX / 1024` each.
    pub input: [usize; 4],
    /// Output height and width.
    pub output: [usize; 2],
    /// Whether the corner pixels of input and output are at the same place.
    pub align_corners: bool,
    /// Whether a pixel's place is its centre, not its corner.
    pub half_pixel_centers: bool,
}

impl Resize {
    /// Input pixels per output pixel along an axis, as a pair to be divided.
    fn ratio(&self, input: usize, output: usize) -> (usize, usize) {
        if self.align_corners && output > 1 {
            (input.saturating_sub(1), output - 1)
        } else {
            (input, output.max(1))
        }
    }

    fn check(&self, x: usize, y: usize) -> Result<(), Mismatch> {
        let [batches, height, width, depth] = self.input;
        let [out_height, out_width] = self.output;
        let elements = |height: usize, width: usize| {
            batches.checked_mul(height)?.checked_mul(width)?.checked_mul(depth)
        };
        // Places are computed in i32, with ten bits of fraction.
        let fits =
            [height, width, out_height, out_width].iter().all(|&n| n <= i32::MAX as usize >> 11);
        if !fits || elements(height, width) != Some(x) || elements(out_height, out_width) != Some(y)
        {
            return Err(Mismatch);
        }
        // Without pixels there is nothing to interpolate.
        if x == 0 && y != 0 { Err(Mismatch) } else { Ok(()) }
    }
}

/// Each output pixel is the nearest input pixel; elements of any type are copied.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
pub fn resize_nearest_neighbor<T: Copy>(p: &Resize, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    p.check(x.len(), y.len())?;
    let [_, height, width, depth] = p.input;
    let [out_height, out_width] = p.output;
    if y.is_empty() {
        return Ok(());
    }
    // No dimension is 0 here, which `max` says to the compiler.
    let depth = depth.max(1);
    for (x, y) in runs(x, height * width * depth, y, out_height * out_width * depth) {
        for (out_y, y) in y.chunks_exact_mut((out_width * depth).max(1)).enumerate() {
            let row = nth(x, nearest(p, out_y, height, out_height), width * depth)?;
            for (out_x, y) in y.chunks_exact_mut(depth).enumerate() {
                y.copy_from_slice(nth(row, nearest(p, out_x, width, out_width), depth)?);
            }
        }
    }
    Ok(())
}

/// Bilinear interpolation of int8 with ten bits of fraction, rounded half away from zero.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
pub fn resize_bilinear_i8(p: &Resize, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    // The weights add up to 2^20: the interpolated value is in the range of its corners.
    bilinear(p, x, y, place_q10, |corners, v, h| mix_q10(corners.map(i64::from), v, h) as i8)
}

/// Bilinear interpolation of int16, as [`resize_bilinear_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
pub fn resize_bilinear_i16(p: &Resize, x: &[i16], y: &mut [i16]) -> Result<(), Mismatch> {
    bilinear(p, x, y, place_q10, |corners, v, h| mix_q10(corners.map(i64::from), v, h) as i16)
}

/// Bilinear interpolation in f32.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
pub fn resize_bilinear_f32(p: &Resize, x: &[f32], y: &mut [f32]) -> Result<(), Mismatch> {
    bilinear(p, x, y, place_f32, mix_f32)
}

/// Bilinear interpolation of uint8 values less 128, as TFLite's uint8 kernel does it: in f32, of
/// values that are not negative, rounded half up.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
pub fn resize_bilinear_u8_as_i8(p: &Resize, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    bilinear(p, x, y, place_f32, |corners: [i8; 4], v, h| {
        let corners = corners.map(|value| (i32::from(value) + 128) as f32);
        // The conversion to an integer truncates; `as` saturates.
        ((mix_f32(corners, v, h) + 0.5) as i32 - 128) as i8
    })
}

/// Where an output index lies between two input indices: their positions, and how far it is from
/// the lower one, in `F`.
struct Place<F> {
    lower: usize,
    upper: usize,
    fraction: F,
}

/// The corners of an interpolation are `[upper left, lower left, upper right, lower right]`; `mix`
/// gets them with the vertical and the horizontal fraction.
fn bilinear<T: Copy, F: Copy>(
    p: &Resize,
    x: &[T],
    y: &mut [T],
    place: impl Fn(&Resize, usize, usize, usize) -> Place<F>,
    mix: impl Fn([T; 4], F, F) -> T,
) -> Result<(), Mismatch> {
    p.check(x.len(), y.len())?;
    let [_, height, width, depth] = p.input;
    let [out_height, out_width] = p.output;
    if y.is_empty() {
        return Ok(());
    }
    // No dimension is 0 here, which `max` says to the compiler.
    let depth = depth.max(1);
    for (x, y) in runs(x, height * width * depth, y, out_height * out_width * depth) {
        for (out_y, y) in y.chunks_exact_mut((out_width * depth).max(1)).enumerate() {
            let vertical = place(p, out_y, height, out_height);
            let upper_row = nth(x, vertical.lower, width * depth)?;
            let lower_row = nth(x, vertical.upper, width * depth)?;
            for (out_x, y) in y.chunks_exact_mut(depth).enumerate() {
                let horizontal = place(p, out_x, width, out_width);
                let upper = nth(upper_row, horizontal.lower, depth)?.iter();
                let upper = upper.zip(nth(upper_row, horizontal.upper, depth)?);
                let lower = nth(lower_row, horizontal.lower, depth)?.iter();
                let lower = lower.zip(nth(lower_row, horizontal.upper, depth)?);
                for ((y, (&a, &c)), (&b, &d)) in y.iter_mut().zip(upper).zip(lower) {
                    *y = mix([a, b, c, d], vertical.fraction, horizontal.fraction);
                }
            }
        }
    }
    Ok(())
}

/// The `index`-th run of `len` elements.
fn nth<T>(x: &[T], index: usize, len: usize) -> Result<&[T], Mismatch> {
    x.get(index * len..).and_then(|x| x.get(..len)).ok_or(Mismatch)
}

/// The input index nearest to output `index`.
fn nearest(p: &Resize, index: usize, input: usize, output: usize) -> usize {
    let (pixels, outputs) = p.ratio(input, output);
    let scale = pixels as f32 / outputs as f32;
    let offset = if p.half_pixel_centers { 0.5 } else { 0.0 };
    let place = (index as f32 + offset) * scale;
    let place = if p.align_corners { libm::roundf(place) } else { libm::floorf(place) };
    (place as usize).min(input.saturating_sub(1))
}

fn place_f32(p: &Resize, index: usize, input: usize, output: usize) -> Place<f32> {
    let (pixels, outputs) = p.ratio(input, output);
    let scale = pixels as f32 / outputs as f32;
    let place = if p.half_pixel_centers {
        (index as f32 + 0.5) * scale - 0.5
    } else {
        index as f32 * scale
    };
    let last = input.saturating_sub(1);
    // The conversion saturates: what lies before the first pixel is the first pixel.
    let lower = (libm::floorf(place) as usize).min(last);
    let upper = (libm::ceilf(place) as usize).min(last);
    Place { lower, upper, fraction: place - lower as f32 }
}

/// [`place_f32`] in Q21.10, the scale rounded half up.
fn place_q10(p: &Resize, index: usize, input: usize, output: usize) -> Place<i32> {
    let (pixels, outputs) = p.ratio(input, output);
    let scale = (((pixels << 10) + outputs / 2) / outputs) as i64;
    let place = index as i64 * scale;
    let place = if p.half_pixel_centers { place + scale / 2 - (1 << 9) } else { place };
    let last = input.saturating_sub(1);
    let lower = usize::try_from(place >> 10).unwrap_or(0).min(last);
    let upper = usize::try_from((place + (1 << 10) - 1) >> 10).unwrap_or(0).min(last);
    Place { lower, upper, fraction: (place - ((lower as i64) << 10)) as i32 }
}

#[inline(always)]
fn mix_q10([a, b, c, d]: [i64; 4], vertical: i32, horizontal: i32) -> i64 {
    let (v, h) = (i64::from(vertical), i64::from(horizontal));
    let one = 1 << 10;
    let sum = a * (one - v) * (one - h) + b * v * (one - h) + c * (one - v) * h + d * v * h;
    let half = if sum > 0 { 1 << 19 } else { -(1 << 19) };
    // Division truncates toward zero.
    (sum + half) / (1 << 20)
}

#[inline(always)]
fn mix_f32([a, b, c, d]: [f32; 4], v: f32, h: f32) -> f32 {
    a * (1.0 - v) * (1.0 - h) + b * v * (1.0 - h) + c * (1.0 - v) * h + d * v * h
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::noise;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn any_resize() -> impl Strategy<Value = Resize> {
        let size = || prop::sample::select(&[1_usize, 2, 3, 5, 8, 13][..]);
        (1_usize..3, size(), size(), 1_usize..4, size(), size(), 0..3).prop_map(
            |(batches, h, w, depth, out_h, out_w, kind)| Resize {
                input: [batches, h, w, depth],
                output: [out_h, out_w],
                align_corners: kind == 1,
                half_pixel_centers: kind == 2,
            },
        )
    }

    /// Where an output pixel lies in the input, in real numbers.
    fn real_place(p: &Resize, index: usize, input: usize, output: usize) -> f64 {
        let (index, last) = (index as f64, (input - 1) as f64);
        let place = if p.align_corners && output > 1 {
            index * last / (output - 1) as f64
        } else if p.half_pixel_centers {
            (index + 0.5) * input as f64 / output as f64 - 0.5
        } else {
            index * input as f64 / output as f64
        };
        place.clamp(0.0, last)
    }

    /// The interpolation of f64 values, element by element.
    fn naive(p: &Resize, x: &[f64]) -> Vec<f64> {
        let [batches, h, w, depth] = p.input;
        let [out_h, out_w] = p.output;
        let mut y = Vec::new();
        for n in 0..batches {
            for out_y in 0..out_h {
                for out_x in 0..out_w {
                    let v = real_place(p, out_y, h, out_h);
                    let u = real_place(p, out_x, w, out_w);
                    let at = |row: f64, column: f64, c: usize| {
                        let (row, column) =
                            ((row as usize).min(h - 1), (column as usize).min(w - 1));
                        x[((n * h + row) * w + column) * depth + c]
                    };
                    let (row, column) = (libm::floor(v), libm::floor(u));
                    let (dv, du) = (v - row, u - column);
                    for c in 0..depth {
                        let top = at(row, column, c) * (1.0 - du) + at(row, column + 1.0, c) * du;
                        let bottom = at(row + 1.0, column, c) * (1.0 - du)
                            + at(row + 1.0, column + 1.0, c) * du;
                        y.push(top * (1.0 - dv) + bottom * dv);
                    }
                }
            }
        }
        y
    }

    proptest! {
        #[test]
        fn bilinear_is_near_the_real_interpolation(p in any_resize(), seed: u64) {
            let noise = noise(p.input.iter().product(), seed);
            let len = p.input[0] * p.output[0] * p.output[1] * p.input[3];

            let x: Vec<i8> = noise.iter().map(|&v| v as i8).collect();
            let wanted = naive(&p, &x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
            let mut y = vec![0; len];
            resize_bilinear_i8(&p, &x, &mut y).unwrap();
            for (&got, &wanted) in y.iter().zip(&wanted) {
                // Each place is off by up to 13 × 2^-11, of a slope of up to 255.
                prop_assert!((f64::from(got) - wanted).abs() < 0.5 + 2.0 * 255.0 * 13.0 / 2048.0);
            }
            resize_bilinear_u8_as_i8(&p, &x, &mut y).unwrap();
            for (&got, &wanted) in y.iter().zip(&wanted) {
                prop_assert!((f64::from(got) - wanted).abs() < 0.501);
            }
            let x: Vec<f32> = x.iter().map(|&v| f32::from(v)).collect();
            let mut y = vec![0.0; len];
            resize_bilinear_f32(&p, &x, &mut y).unwrap();
            for (&got, &wanted) in y.iter().zip(&wanted) {
                prop_assert!((f64::from(got) - wanted).abs() < 1e-3);
            }
        }

        #[test]
        fn whole_factors_are_interpolated_exactly(p in any_resize(), seed: u64, factor in 0_u32..3) {
            // With a power of two, places have no error and the sum of products is exact.
            let [_, h, w, depth] = p.input;
            let p = Resize { align_corners: false, output: [h << factor, w << factor], ..p };
            let x: Vec<i16> = noise(p.input.iter().product(), seed).iter().map(|&v| v as i16).collect();
            let wanted: Vec<i16> = naive(&p, &x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>())
                .into_iter().map(|v| libm::round(v) as i16).collect();
            let mut y = vec![0; p.input[0] * p.output[0] * p.output[1] * depth];
            resize_bilinear_i16(&p, &x, &mut y).unwrap();
            prop_assert_eq!(y, wanted);
        }

        #[test]
        fn nearest_copies_the_pixel_at_the_place(p in any_resize(), seed: u64) {
            let x: Vec<u64> = noise(p.input.iter().product(), seed);
            let [batches, h, w, depth] = p.input;
            let [out_h, out_w] = p.output;
            // In integers: floor((2i + 1) n / 2m) and its like.
            let place = |i: usize, input: usize, output: usize| {
                if p.align_corners && output > 1 {
                    (2 * i * (input - 1) + output - 1) / (2 * (output - 1))
                } else if p.half_pixel_centers {
                    (2 * i + 1) * input / (2 * output)
                } else if p.align_corners {
                    (2 * i * input + output) / (2 * output)
                } else {
                    i * input / output
                }.min(input - 1)
            };
            let mut wanted = Vec::new();
            for n in 0..batches {
                for out_y in 0..out_h {
                    for out_x in 0..out_w {
                        let pixel = (n * h + place(out_y, h, out_h)) * w + place(out_x, w, out_w);
                        wanted.extend_from_slice(&x[pixel * depth..][..depth]);
                    }
                }
            }
            let mut y = vec![0; wanted.len()];
            resize_nearest_neighbor(&p, &x, &mut y).unwrap();
            prop_assert_eq!(y, wanted);
        }

        #[test]
        fn no_geometry_panics(input: [usize; 4], output: [usize; 2], align_corners: bool, half_pixel_centers: bool) {
            let p = Resize { input, output, align_corners, half_pixel_centers };
            let refused = resize_bilinear_i8(&p, &[1; 4], &mut [0; 4]).is_err();
            prop_assert!(refused || input.iter().product::<usize>() == 4);
        }
    }

    #[test]
    fn extremes_stay_in_range_and_sizes_beyond_the_format_are_refused() {
        let p = Resize {
            input: [1, 2, 2, 1],
            output: [7, 7],
            align_corners: false,
            half_pixel_centers: true,
        };
        for value in [-128, 127] {
            let mut y = [0; 49];
            resize_bilinear_i8(&p, &[value; 4], &mut y).unwrap();
            assert_eq!(y, [value; 49]);
            resize_bilinear_u8_as_i8(&p, &[value; 4], &mut y).unwrap();
            assert_eq!(y, [value; 49]);
        }
        let huge = Resize { input: [1, 1, 1 << 30, 0], output: [1, 1], ..p };
        assert_eq!(resize_bilinear_i8(&huge, &[], &mut []), Err(Mismatch));
        let empty = Resize { input: [1, 0, 2, 1], output: [1, 1], ..p };
        assert_eq!(resize_nearest_neighbor(&empty, &[0_u8; 0], &mut [0]), Err(Mismatch));
    }

    #[test]
    fn one_output_pixel_is_the_first_input_pixel_unless_centred() {
        let p = Resize {
            input: [1, 1, 3, 1],
            output: [1, 1],
            align_corners: true,
            half_pixel_centers: false,
        };
        let mut y = [0];
        resize_bilinear_i8(&p, &[10, 20, 30], &mut y).unwrap();
        assert_eq!(y, [10]);
        let p = Resize { align_corners: false, half_pixel_centers: true, ..p };
        resize_bilinear_i8(&p, &[10, 20, 30], &mut y).unwrap();
        assert_eq!(y, [20]);
    }
}
