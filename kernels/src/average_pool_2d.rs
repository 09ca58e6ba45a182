//! AVERAGE_POOL_2D: the mean of each window, over the taps that lie inside the input.
//!
//! `x: [n, h, w, c]`, `y: [n, out_h, out_w, c]`, with the same scale and zero point: the integer
//! kernels average the stored values. Source: TFLite's `reference/integer_ops/pooling.h` (int8,
//! int16) and `reference/pooling.h` (uint8, f32); LiteRT and TFLite Micro share them.

use crate::Mismatch;
use crate::arch;
use crate::pool::{ActivationRange, CHANNEL_BLOCK, Pool2d, for_each_window};
use crate::quantized::Quantized;

/// Where an average that lies halfway between two integers goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub enum AverageRounding {
    /// Away from zero: int8 and int16 in TFLite.
    HalfAwayFromZero,
    /// Up. TFLite's uint8 rounds half away from zero among values that are not negative; of the
    /// same values less 128 that is half up.
    HalfUp,
}

/// Parameters of the integer AVERAGE_POOL_2D.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct AveragePool2d {
    /// Shapes and windows.
    pub pool: Pool2d,
    /// The fused activation, in stored values.
    pub activation: ActivationRange<i32>,
    /// How the average is rounded.
    pub rounding: AverageRounding,
}

/// Parameters of the f32 AVERAGE_POOL_2D.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct AveragePool2dF32 {
    /// Shapes and windows.
    pub pool: Pool2d,
    /// The fused activation.
    pub activation: ActivationRange<f32>,
}

/// Averages int8 windows. A window without any tap gives 0, clamped; the loader refuses such.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
#[inline(never)]
pub fn average_pool_2d_i8(p: &AveragePool2d, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    arch::average_pool_2d_i8(p, x, y)
}

/// The definition of [`average_pool_2d_i8`].
#[inline(always)]
pub(crate) fn portable(p: &AveragePool2d, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    average_pool_2d(p, x, y)
}

/// Averages int16 windows of fewer than 2^16 taps, as [`average_pool_2d_i8`] does.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
pub fn average_pool_2d_i16(p: &AveragePool2d, x: &[i16], y: &mut [i16]) -> Result<(), Mismatch> {
    average_pool_2d(p, x, y)
}

/// Averages f32 windows: the taps are added in order, then divided by their number.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
pub fn average_pool_2d_f32(p: &AveragePool2dF32, x: &[f32], y: &mut [f32]) -> Result<(), Mismatch> {
    for_each_window(&p.pool, x, y, |taps, out| {
        let count = taps.count().max(1) as f32;
        out.fill(0.0);
        taps.for_each(0, |tap| {
            for (acc, &value) in out.iter_mut().zip(tap) {
                *acc += value;
            }
        });
        for value in out {
            *value = p.activation.clamp(*value / count);
        }
    })
}

fn average_pool_2d<T: Quantized>(p: &AveragePool2d, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    // One instance of the loop per rounding, so that it does not branch.
    match p.rounding {
        AverageRounding::HalfAwayFromZero => average(p, x, y, divide_half_away_from_zero),
        AverageRounding::HalfUp => average(p, x, y, divide_half_up),
    }
}

fn average<T: Quantized>(
    p: &AveragePool2d,
    x: &[T],
    y: &mut [T],
    divide: impl Fn(i32, i32) -> i32,
) -> Result<(), Mismatch> {
    for_each_window(&p.pool, x, y, |taps, out| {
        let count = i32::try_from(taps.count()).unwrap_or(i32::MAX).max(1);
        for (block, out) in out.chunks_mut(CHANNEL_BLOCK).enumerate() {
            let mut accs = [0_i32; CHANNEL_BLOCK];
            let accs = accs.get_mut(..out.len()).unwrap_or_default();
            taps.for_each(block * CHANNEL_BLOCK, |tap| {
                for (acc, &value) in accs.iter_mut().zip(tap) {
                    *acc = acc.wrapping_add(value.into());
                }
            });
            for (value, &mut acc) in out.iter_mut().zip(accs) {
                *value = T::saturate(p.activation.clamp(divide(acc, count)));
            }
        }
    })
}

/// `acc / count` to the nearest, ties away from zero; `count` is positive.
#[inline(always)]
pub(crate) fn divide_half_away_from_zero(acc: i32, count: i32) -> i32 {
    let half = if acc > 0 { count / 2 } else { -(count / 2) };
    // Division truncates toward zero. A sum that wraps to i32::MIN is not divided by -1.
    acc.saturating_add(half).checked_div(count).unwrap_or(0)
}

/// `acc / count` to the nearest, ties up; `count` is positive.
#[inline(always)]
pub(crate) fn divide_half_up(acc: i32, count: i32) -> i32 {
    acc.saturating_add(count / 2).checked_div_euclid(count).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arch::{AveragePool2dI8, Kernels};
    use crate::pool::tests::{any_geometry, geometry, naive, noise};
    use crate::testing::{Values, check};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const INT8: ActivationRange<i32> = ActivationRange { min: -128, max: 127 };

    /// Holds a level's kernel against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let bounds = || [-130..130_i32, -130..130_i32];
        let strategy = (any_geometry(), bounds(), any::<bool>(), any::<u64>());
        check(kernels.level, cases, strategy, |(pool, [min, max], up, seed)| {
            let x = Values::new(seed).i8s(pool.input.iter().product());
            let rounding =
                if up { AverageRounding::HalfUp } else { AverageRounding::HalfAwayFromZero };
            let narrow = ActivationRange { min, max };
            for activation in [INT8, narrow, ActivationRange { min: i32::MIN, max: i32::MAX }] {
                let p = AveragePool2d { pool, activation, rounding };
                let run = |kernel: AveragePool2dI8| {
                    let mut y = vec![99; pool.output.iter().product()];
                    kernel(&p, &x, &mut y).map(|()| y)
                };
                prop_assert_eq!(run(kernels.average_pool_2d_i8), run(portable), "{:?}", p);
            }
            Ok(())
        });
    }

    fn nearest_away(taps: &[i32]) -> i32 {
        libm::round(f64::from(taps.iter().sum::<i32>()) / taps.len() as f64) as i32
    }

    fn one_window(x: &[i8], rounding: AverageRounding) -> i8 {
        let pool = Pool2d {
            input: [1, 1, x.len(), 1],
            output: [1; 4],
            kernel: [1, x.len()],
            stride_h: 1,
            stride_w: 1,
            pad_top: 0,
            pad_left: 0,
        };
        let mut y = [0];
        average_pool_2d_i8(&AveragePool2d { pool, activation: INT8, rounding }, x, &mut y).unwrap();
        y[0]
    }

    proptest! {
        #[test]
        fn int8_is_the_rounded_mean_of_the_taps(
            pool in geometry(), seed: u64, min in -128_i32..0, max in 0_i32..128,
        ) {
            let x: Vec<i8> = noise(pool.input.iter().product(), seed).iter().map(|&v| v as i8).collect();
            let activation = ActivationRange { min, max };
            let wanted = naive(&pool, &x, |taps| {
                let taps: Vec<i32> = taps.iter().map(|&v| i32::from(v)).collect();
                nearest_away(&taps).clamp(min, max) as i8
            });
            let p = AveragePool2d { pool, activation, rounding: AverageRounding::HalfAwayFromZero };
            let mut y = vec![0; wanted.len()];
            average_pool_2d_i8(&p, &x, &mut y).unwrap();
            prop_assert_eq!(y, wanted);
        }

        #[test]
        fn half_up_is_the_uint8_average_shifted(pool in geometry(), seed: u64) {
            let x: Vec<u8> = noise(pool.input.iter().product(), seed).iter().map(|&v| v as u8).collect();
            let wanted = naive(&pool, &x, |taps| {
                let taps: Vec<i32> = taps.iter().map(|&v| i32::from(v)).collect();
                nearest_away(&taps) as u8
            });
            let p = AveragePool2d { pool, activation: INT8, rounding: AverageRounding::HalfUp };
            let shifted: Vec<i8> = x.iter().map(|&v| (i32::from(v) - 128) as i8).collect();
            let mut y = vec![0; wanted.len()];
            average_pool_2d_i8(&p, &shifted, &mut y).unwrap();
            let y: Vec<u8> = y.iter().map(|&v| (i32::from(v) + 128) as u8).collect();
            prop_assert_eq!(y, wanted);
        }

        #[test]
        fn int16_and_f32_are_the_mean(pool in geometry(), seed: u64) {
            let x: Vec<i16> = noise(pool.input.iter().product(), seed).iter().map(|&v| v as i16).collect();
            let wanted = naive(&pool, &x, |taps| {
                let taps: Vec<i32> = taps.iter().map(|&v| i32::from(v)).collect();
                nearest_away(&taps) as i16
            });
            let activation = ActivationRange { min: -32768, max: 32767 };
            let p = AveragePool2d { pool, activation, rounding: AverageRounding::HalfAwayFromZero };
            let mut y = vec![0; wanted.len()];
            average_pool_2d_i16(&p, &x, &mut y).unwrap();
            prop_assert_eq!(y, wanted);

            let x: Vec<f32> = x.iter().map(|&v| f32::from(v)).collect();
            // Sums of so few int16 values are exact in f32.
            let wanted = naive(&pool, &x, |taps| taps.iter().sum::<f32>() / taps.len() as f32);
            let activation = ActivationRange { min: f32::MIN, max: f32::MAX };
            let mut y = vec![0.0; wanted.len()];
            average_pool_2d_f32(&AveragePool2dF32 { pool, activation }, &x, &mut y).unwrap();
            prop_assert_eq!(y, wanted);
        }

        #[test]
        fn division_never_panics(acc: i32, count in 1..=i32::MAX) {
            divide_half_away_from_zero(acc, count);
            divide_half_up(acc, count);
        }
    }

    #[test]
    fn ties_go_where_the_rounding_says() {
        use AverageRounding::{HalfAwayFromZero, HalfUp};
        assert_eq!([one_window(&[1, 2], HalfAwayFromZero), one_window(&[1, 2], HalfUp)], [2, 2]);
        assert_eq!(
            [one_window(&[-1, -2], HalfAwayFromZero), one_window(&[-1, -2], HalfUp)],
            [-2, -1]
        );
        assert_eq!([one_window(&[0, -1], HalfAwayFromZero), one_window(&[0, -1], HalfUp)], [-1, 0]);
        assert_eq!(one_window(&[-128; 7], HalfUp), -128);
        assert_eq!(one_window(&[127; 7], HalfAwayFromZero), 127);
    }

    #[test]
    fn a_window_in_the_padding_gives_zero_clamped() {
        let pool = Pool2d {
            input: [1, 1, 1, 1],
            output: [1, 1, 2, 1],
            kernel: [1, 1],
            stride_h: 1,
            stride_w: 5,
            pad_top: 0,
            pad_left: 0,
        };
        let activation = ActivationRange { min: 3, max: 9 };
        let rounding = AverageRounding::HalfAwayFromZero;
        let mut y = [0; 2];
        average_pool_2d_i8(&AveragePool2d { pool, activation, rounding }, &[7], &mut y).unwrap();
        assert_eq!(y, [7, 3]);
    }
}
