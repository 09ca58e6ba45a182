//! MAX_POOL_2D: the largest value of each window, over the taps that lie inside the input.
//!
//! `x: [n, h, w, c]`, `y: [n, out_h, out_w, c]`, with the same scale and zero point. Source:
//! TFLite's `reference/integer_ops/pooling.h` and `reference/pooling.h`; uint8 is the same function
//! of values less 128.

use crate::Mismatch;
use crate::arch;
use crate::pool::{ActivationRange, Pool2d, for_each_window};

/// Parameters of MAX_POOL_2D on `T`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct MaxPool2d<T> {
    /// Shapes and windows.
    pub pool: Pool2d,
    /// The fused activation, in stored values.
    pub activation: ActivationRange<T>,
}

/// The largest int8 of each window. A window without any tap gives the smallest value that the
/// activation allows.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
#[inline(never)]
pub fn max_pool_2d_i8(p: &MaxPool2d<i8>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    arch::max_pool_2d_i8(p, x, y)
}

/// The definition of [`max_pool_2d_i8`].
#[inline(always)]
pub(crate) fn portable(p: &MaxPool2d<i8>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    max_pool_2d(p, x, y, i8::MIN)
}

/// The largest int16 of each window, as [`max_pool_2d_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
pub fn max_pool_2d_i16(p: &MaxPool2d<i16>, x: &[i16], y: &mut [i16]) -> Result<(), Mismatch> {
    max_pool_2d(p, x, y, i16::MIN)
}

/// The largest f32 of each window, as [`max_pool_2d_i8`]. NaN is never the largest.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
pub fn max_pool_2d_f32(p: &MaxPool2d<f32>, x: &[f32], y: &mut [f32]) -> Result<(), Mismatch> {
    max_pool_2d(p, x, y, f32::NEG_INFINITY)
}

fn max_pool_2d<T: PartialOrd + Copy>(
    p: &MaxPool2d<T>,
    x: &[T],
    y: &mut [T],
    lowest: T,
) -> Result<(), Mismatch> {
    for_each_window(&p.pool, x, y, |taps, out| {
        out.fill(lowest);
        taps.for_each(0, |tap| {
            for (max, &value) in out.iter_mut().zip(tap) {
                *max = if value > *max { value } else { *max };
            }
        });
        for value in out {
            *value = p.activation.clamp(*value);
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arch::{Kernels, MaxPool2dI8};
    use crate::pool::tests::{any_geometry, geometry, naive, noise};
    use crate::testing::{Values, check};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Holds a level's kernel against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let strategy = (any_geometry(), any::<[i8; 2]>(), any::<u64>());
        check(kernels.level, cases, strategy, |(pool, [min, max], seed)| {
            let x = Values::new(seed).i8s(pool.input.iter().product());
            for activation in [(min, max), (i8::MIN, i8::MAX)] {
                let activation = ActivationRange { min: activation.0, max: activation.1 };
                let p = MaxPool2d { pool, activation };
                let run = |kernel: MaxPool2dI8| {
                    let mut y = vec![99; pool.output.iter().product()];
                    kernel(&p, &x, &mut y).map(|()| y)
                };
                prop_assert_eq!(run(kernels.max_pool_2d_i8), run(portable), "{:?}", p);
            }
            Ok(())
        });
    }

    proptest! {
        #[test]
        fn each_output_is_the_largest_tap(
            pool in geometry(), seed: u64, min in -128_i8..0, max in 0_i8..=127,
        ) {
            let noise = noise(pool.input.iter().product(), seed);
            let x: Vec<i8> = noise.iter().map(|&v| v as i8).collect();
            let wanted = naive(&pool, &x, |taps| (*taps.iter().max().unwrap()).clamp(min, max));
            let mut y = vec![0; wanted.len()];
            let p = MaxPool2d { pool, activation: ActivationRange { min, max } };
            max_pool_2d_i8(&p, &x, &mut y).unwrap();
            prop_assert_eq!(y, wanted);

            let x: Vec<i16> = noise.iter().map(|&v| v as i16).collect();
            let wanted = naive(&pool, &x, |taps| *taps.iter().max().unwrap());
            let mut y = vec![0; wanted.len()];
            let p = MaxPool2d { pool, activation: ActivationRange { min: i16::MIN, max: i16::MAX } };
            max_pool_2d_i16(&p, &x, &mut y).unwrap();
            prop_assert_eq!(y, wanted);

            let x: Vec<f32> = noise.iter().map(|&v| f32::from(v as i16) / 64.0).collect();
            let wanted = naive(&pool, &x, |taps| taps.iter().copied().fold(-1e9, f32::max).clamp(0.0, 6.0));
            let mut y = vec![0.0; wanted.len()];
            let p = MaxPool2d { pool, activation: ActivationRange { min: 0.0, max: 6.0 } };
            max_pool_2d_f32(&p, &x, &mut y).unwrap();
            prop_assert_eq!(y, wanted);
        }
    }

    #[test]
    fn nan_is_passed_over_and_a_window_in_the_padding_gives_the_lower_bound() {
        let pool = Pool2d {
            input: [1, 1, 2, 1],
            output: [1, 1, 2, 1],
            kernel: [1, 2],
            stride_h: 1,
            stride_w: 7,
            pad_top: 0,
            pad_left: 0,
        };
        let mut y = [0.0; 2];
        let p = MaxPool2d { pool, activation: ActivationRange { min: f32::MIN, max: f32::MAX } };
        max_pool_2d_f32(&p, &[f32::NAN, -3.0], &mut y).unwrap();
        assert_eq!(y, [-3.0, f32::MIN]);
        let p = MaxPool2d { pool, activation: ActivationRange { min: -5, max: 5 } };
        let mut y = [0; 2];
        max_pool_2d_i8(&p, &[-128, -128], &mut y).unwrap();
        assert_eq!(y, [-5, -5]);
    }
}
