//! AVERAGE_POOL_2D of int8 tensors in single precision: the mean of QLinearAveragePool, from one
//! scale to another.
//!
//! `x: [n, h, w, c]`, `y: [n, out_h, out_w, c]`. The real values of a window are added in order,
//! divided by their number, and quantized: `y = round(mean / y_scale + z_y)`, ties to even. Zero
//! points are the numbers that the model states: of uint8 tensors as such.
//!
//! Source: `qlinear_pool.cc` of ONNX Runtime.

use crate::Mismatch;
use crate::pool::{CHANNEL_BLOCK, Pool2d, for_each_window};
use crate::quantized::Quantized;
use crate::requantize::{Output, round_to_even};

/// Parameters of AVERAGE_POOL_2D in single precision.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct AveragePoolFloat32 {
    /// Shapes and windows.
    pub pool: Pool2d,
    /// The negative of the input's zero point, in `[-127, 128]`.
    pub input_offset: i32,
    /// The input's scale.
    pub input_scale: f32,
    /// The output's scale, not 0.
    pub output_scale: f32,
    /// The output's zero point in the model: of tensors that were uint8 in `[0, 255]`.
    pub zero_point: f32,
    /// Offset from there to stored values (-128 for tensors that were uint8, else 0), and the range.
    pub output: Output,
}

/// Averages windows. A window without any tap counts as one of zeros; the loader refuses such.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
pub fn average_pool_float32(
    p: &AveragePoolFloat32,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    for_each_window(&p.pool, x, y, |taps, out| {
        let count = taps.count().max(1) as f32;
        for (block, out) in out.chunks_mut(CHANNEL_BLOCK).enumerate() {
            let mut sums = [0.0_f32; CHANNEL_BLOCK];
            let sums = sums.get_mut(..out.len()).unwrap_or_default();
            taps.for_each(block * CHANNEL_BLOCK, |tap| {
                for (sum, &q) in sums.iter_mut().zip(tap) {
                    *sum += p.input_scale * i32::from(q).wrapping_add(p.input_offset) as f32;
                }
            });
            for (value, &mut sum) in out.iter_mut().zip(sums) {
                let real = sum / count / p.output_scale + p.zero_point;
                *value = i8::saturate(p.output.apply(round_to_even(real)));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::{geometry, naive, noise};
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn it_is_the_nearest_integer_of_the_real_mean(
            pool in geometry(), scales in prop::array::uniform2(0.01..0.4_f32),
            zero_points in prop::array::uniform2(-128..=127_i32), unsigned: bool, seed: u64,
        ) {
            let shift = if unsigned { 128 } else { 0 };
            let p = AveragePoolFloat32 {
                pool,
                input_offset: -zero_points[0],
                input_scale: scales[0],
                output_scale: scales[1],
                zero_point: (zero_points[1] + shift) as f32,
                output: Output { output_offset: -shift, activation_min: -128, activation_max: 127 },
            };
            let x: Vec<i8> =
                noise(pool.input.iter().product(), seed).iter().map(|&x| x as i8).collect();
            let mut y = std::vec![0; pool.output.iter().product()];
            average_pool_float32(&p, &x, &mut y).unwrap();
            let reals: Vec<f64> =
                x.iter().map(|&q| f64::from(i32::from(q) - zero_points[0])).collect();
            let means =
                naive(&pool, &reals, |taps| taps.iter().sum::<f64>() / taps.len() as f64);
            for (&y, mean) in y.iter().zip(means) {
                let real = mean * f64::from(scales[0]) / f64::from(scales[1]);
                let wanted = (real + f64::from(zero_points[1])).clamp(-128.0, 127.0);
                prop_assert!((f64::from(y) - wanted).abs() < 0.51, "{y} for {wanted}");
            }
        }
    }

    #[test]
    fn ties_go_to_the_even_neighbour() {
        let pool = Pool2d {
            input: [1, 1, 2, 4],
            output: [1, 1, 1, 4],
            kernel: [1, 2],
            stride_h: 1,
            stride_w: 1,
            pad_top: 0,
            pad_left: 0,
        };
        let output = Output { output_offset: 0, activation_min: -128, activation_max: 127 };
        let p = AveragePoolFloat32 {
            pool,
            input_offset: 0,
            input_scale: 1.0,
            output_scale: 1.0,
            zero_point: 0.0,
            output,
        };
        let mut y = [9; 4];
        average_pool_float32(&p, &[0, 1, 0, -1, 1, 2, -1, -2], &mut y).unwrap();
        assert_eq!(y, [0, 2, 0, -2]);
    }
}
