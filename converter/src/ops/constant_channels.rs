//! Channels of a convolution without weights, of which trained models have many.
//!
//! Their output is what becomes of the bias. Converters scale such a channel by next to nothing and
//! give it a bias as large as int32 has room for, and kernels have ways for small biases and ordinary
//! scales that are twice as fast. So these channels get others, with which the output is the same:
//! four times the number to which their bias is scaled, times 1/4, which is exact under every
//! rounding.

use systole_core::format::RoundingCode;
use systole_kernels::requantize::{FixedScales, Requantize, Rescale};

use crate::{
    error::{Result, error},
    scale::FixedScale,
};

/// Beyond this an output is clamped, whatever its zero point is.
const CLAMPED: i32 = 256;

/// Gives int8 channels that are `without_weights` a small bias and a scale of 1/4. There are as many of
/// each as of channels; where one scale serves all, they stay as they are.
///
/// # Errors
/// `InvalidQuantization` for scales that cannot be represented.
pub fn simplify(
    without_weights: impl Iterator<Item = bool>,
    rounding: RoundingCode,
    bias: &mut [i32],
    scales: &mut [f64],
) -> Result<()> {
    if scales.len() != bias.len() {
        return Ok(());
    }
    for ((empty, bias), scale) in without_weights.zip(bias).zip(scales) {
        if empty {
            let output = scaled(*bias, *scale, rounding)?.clamp(-CLAMPED, CLAMPED);
            (*bias, *scale) = (4 * output, 0.25);
        }
    }
    Ok(())
}

/// A sum, scaled as kernels do it.
fn scaled(sum: i32, scale: f64, rounding: RoundingCode) -> Result<i32> {
    let (single, fixed) = (scale as f32, FixedScale::new(scale)?);
    let scales = FixedScales { multiplier: &[fixed.multiplier], shift: &[fixed.shift] };
    let requantize = match rounding {
        RoundingCode::Double => Requantize::Double(scales),
        RoundingCode::DoubleUp => Requantize::DoubleUp(scales),
        RoundingCode::Single => Requantize::Single(scales),
        RoundingCode::Float32 => Requantize::Float32(std::slice::from_ref(&single)),
        RoundingCode::Float64 => Requantize::Float64(std::slice::from_ref(&scale)),
        RoundingCode::None => return Err(error!(InvalidGraph, "sums without a rounding")),
    };
    Ok(requantize.rescale(sum, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [RoundingCode; 5] = [
        RoundingCode::Double,
        RoundingCode::DoubleUp,
        RoundingCode::Single,
        RoundingCode::Float32,
        RoundingCode::Float64,
    ];

    #[test]
    fn outputs_of_channels_without_weights_stay() {
        for rounding in ALL {
            for sum in [i32::MIN, -70_001, -3, -1, 0, 1, 2, 5, 12_345, 2_000_000_000, i32::MAX] {
                for scale in [2e-9, 1e-7, 0.000_3, 0.01, 0.25, 0.5, 0.75, 3.0] {
                    let before = scaled(sum, scale, rounding).unwrap();
                    let (mut bias, mut scales) = ([sum, sum], [scale; 2]);
                    let empty = [true, false].into_iter();
                    simplify(empty, rounding, &mut bias, &mut scales).unwrap();
                    let after = scaled(bias[0], scales[0], rounding).unwrap();
                    for zero_point in [-128, -1, 0, 127] {
                        let output =
                            |scaled: i32| scaled.saturating_add(zero_point).clamp(-128, 127);
                        assert_eq!(output(after), output(before), "{rounding:?} {sum} {scale}");
                    }
                    assert_eq!((bias[1], scales[1]), (sum, scale));
                    assert!(bias[0].abs() <= 4 * CLAMPED);
                }
            }
        }
    }

    #[test]
    fn one_scale_for_all_channels_stays() {
        let (mut bias, mut scales) = ([1 << 30; 2], [0.5]);
        simplify([true; 2].into_iter(), RoundingCode::Double, &mut bias, &mut scales).unwrap();
        assert_eq!((bias, scales), ([1 << 30; 2], [0.5]));
    }
}
