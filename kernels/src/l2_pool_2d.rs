//! L2_POOL_2D: the root of the mean of squares of each window, over the taps inside the input.
//!
//! `x: [n, h, w, c]`, `y: [n, out_h, out_w, c]`. Source: TFLite's `reference/pooling.h`, which has
//! it for f32 alone.

use crate::Mismatch;
use crate::pool::{ActivationRange, Pool2d, for_each_window};

/// Parameters of L2_POOL_2D.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct L2Pool2d {
    /// Shapes and windows.
    pub pool: Pool2d,
    /// The fused activation.
    pub activation: ActivationRange<f32>,
}

/// The root mean square of each window: the squares are added in order. A window without any tap
/// gives 0, clamped; the loader refuses such.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit its shape.
pub fn l2_pool_2d_f32(p: &L2Pool2d, x: &[f32], y: &mut [f32]) -> Result<(), Mismatch> {
    for_each_window(&p.pool, x, y, |taps, out| {
        let count = taps.count().max(1) as f32;
        out.fill(0.0);
        taps.for_each(0, |tap| {
            for (acc, &value) in out.iter_mut().zip(tap) {
                *acc += value * value;
            }
        });
        for value in out {
            *value = p.activation.clamp(libm::sqrtf(*value / count));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::{geometry, naive, noise};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn each_output_is_the_root_mean_square(pool in geometry(), seed: u64) {
            let noise = noise(pool.input.iter().product(), seed);
            let x: Vec<f32> = noise.iter().map(|&v| f32::from(v as i16) / 4096.0).collect();
            let wanted = naive(&pool, &x, |taps| {
                let squares: f64 = taps.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
                libm::sqrt(squares / taps.len() as f64).min(6.0) as f32
            });
            let mut y = vec![0.0; wanted.len()];
            let p = L2Pool2d { pool, activation: ActivationRange { min: 0.0, max: 6.0 } };
            l2_pool_2d_f32(&p, &x, &mut y).unwrap();
            for (got, wanted) in y.iter().zip(&wanted) {
                prop_assert!((got - wanted).abs() <= 1e-5 * wanted);
            }
        }
    }
}
