//! What operators with constant weights share: folding the input's zero point into the bias.

use systole::DType;

use crate::{
    error::{Result, bail},
    graph::{NodeView, Tensor},
};

/// Bias per output channel with the input's zero point folded in, so that kernels multiply stored
/// values: `bias − input_zero_point × Σ (w − weights_zero_point)`.
///
/// `weights` are one slice of taps per output channel.
///
/// # Errors
/// `UnsupportedFeature` for a bias that is no int32 constant, `InvalidShape` for its length,
/// `InvalidQuantization` where folding leaves 32 bits.
pub fn folded_bias(
    node: &NodeView<'_>,
    taps: &[Vec<i8>],
    input_zero_point: i32,
    weights_zero_point: i32,
) -> Result<Vec<i32>> {
    let bias = bias(node.optional_input(2), taps.len())?;
    let fold = |(bias, taps): (i32, &Vec<i8>)| {
        let sum: i64 = taps.iter().map(|&w| i64::from(i32::from(w) - weights_zero_point)).sum();
        let folded = i64::from(bias) - i64::from(input_zero_point) * sum;
        // Accumulators wrap around at 32 bits, so this one may too: sums stay right modulo 2³².
        folded as i32
    };
    Ok(bias.into_iter().zip(taps).map(fold).collect())
}

/// The int32 bias, zeros where none is given.
fn bias(bias: Option<&Tensor>, channels: usize) -> Result<Vec<i32>> {
    let Some(bias) = bias else { return Ok(vec![0; channels]) };
    if bias.elements() != channels {
        bail!(InvalidShape, "{bias} must have one value per output channel, {channels}");
    }
    if bias.dtype != DType::I32 {
        bail!(UnsupportedFeature, "{bias} must be int32 beside int8 weights");
    }
    bias.values::<i32>()
}

/// The zero point of weights: 0 for int8 weights; whatever weights that were uint8 have.
///
/// # Errors
/// `InvalidQuantization` for int8 weights that have another.
pub fn weights_zero_point(weights: &Tensor) -> Result<i32> {
    let Some(quantization) = &weights.quantization else {
        bail!(InvalidQuantization, "{weights} needs scales and has none");
    };
    match quantization.zero_points[..] {
        [zero_point] if weights.unsigned => Ok(zero_point),
        _ if quantization.zero_points.iter().all(|&zero_point| zero_point == 0) => Ok(0),
        _ => bail!(
            InvalidQuantization,
            "{weights} has zero points {:?}; int8 weights need 0",
            quantization.zero_points.iter().take(4).collect::<Vec<_>>()
        ),
    }
}

/// The scales of output channels, `input × weights / output`, in double precision as TFLite
/// computes them.
///
/// # Errors
/// `InvalidQuantization` for missing scales, for several scales along another axis than
/// `channel_axis`.
pub fn channel_scales(
    input: &Tensor,
    weights: &Tensor,
    output: &Tensor,
    channel_axis: usize,
) -> Result<Vec<f64>> {
    let (input, output) = (f64::from(input.scale()?), f64::from(output.scale()?));
    let Some(quantization) = &weights.quantization else {
        bail!(InvalidQuantization, "{weights} needs scales and has none");
    };
    if quantization.scales.len() > 1 && quantization.axis != channel_axis {
        bail!(
            InvalidQuantization,
            "{weights} has scales along axis {}; output channels are axis {channel_axis}",
            quantization.axis
        );
    }
    Ok(quantization.scales.iter().map(|&scale| input * f64::from(scale) / output).collect())
}
