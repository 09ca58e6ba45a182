//! What operators with constant weights share: types, biases with the input's zero point folded in,
//! and scales, as the runtime's records hold them.

use systole_core::{DType, Opcode, format::RoundingCode};

use super::constant_channels;
use crate::{
    error::{Result, bail},
    graph::{NodeView, Packing, Tensor},
    lower::{Lowering, SlotId},
    options::Match,
};

/// Which axis of the weights counts output channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// OHWI and OI.
    First,
    /// 1HWC.
    Last,
}

/// What the runtimes do differently from operator to operator.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Where output channels are.
    pub channels: Channels,
    /// Whether the input's zero point goes into the bias.
    pub fold: bool,
    /// LiteRT's reference kernel scales sums in double precision, as that of FULLY_CONNECTED does;
    /// else it is double rounding, as in TFLite Micro.
    pub litert_float64: bool,
    /// Whether int8 weights may have a zero point, as those of FULLY_CONNECTED may.
    pub weights_zero_point: bool,
    /// Hybrid: whether activations are quantized with a zero point.
    pub asymmetric: bool,
    /// Whether 1HWC weights are stored as filters, OHWI with I = 1.
    pub as_filters: bool,
}

/// The operands of a record behind its input, and the rounding to state.
#[derive(Debug)]
pub struct Operands {
    /// Weights, bias, scales.
    pub constants: Vec<SlotId>,
    /// How sums are scaled.
    pub rounding: RoundingCode,
    /// 0, but for models that were uint8.
    pub weights_zero_point: i16,
    /// Whether a second output of int8 is needed, to quantize activations into.
    pub hybrid: bool,
    /// Type and shape of a second output, to unpack weights into that are stored in less.
    pub unpacked: Option<(DType, Vec<usize>)>,
}

/// Fails unless the input's and the weights' types are a pair that kernels exist for, and the
/// output has the input's.
///
/// # Errors
/// `UnsupportedFeature`, naming the types.
pub fn expect_types(node: &NodeView<'_>, hybrid: bool) -> Result<()> {
    let x = node.expect_types(0, &[DType::I8, DType::I16, DType::F32])?;
    let weights = node.input(1)?;
    let known = match (x.dtype, weights.dtype) {
        (DType::I8 | DType::I16, DType::I8) | (DType::F32, DType::F32) => true,
        (DType::F32, DType::I8) => hybrid && !weights.unsigned,
        (DType::F32, DType::F16) => hybrid,
        _ => false,
    };
    if !known {
        bail!(UnsupportedFeature, "{weights} cannot be the weights of {x}");
    }
    let y = node.output(0)?;
    if y.dtype != x.dtype {
        bail!(UnsupportedFeature, "{y} must be {} like the input", x.dtype);
    }
    if x.dtype == DType::I16 {
        for tensor in [x, y] {
            if tensor.zero_point()? != 0 {
                bail!(InvalidQuantization, "{tensor} needs zero point 0, as all of int16");
            }
        }
    }
    Ok(())
}

/// Computes and stores the operands of a node whose inputs are activations, weights and, unless
/// left out, a bias.
///
/// # Errors
/// `UnsupportedFeature` for weights or biases that are no constants or of another type than
/// kernels take, `InvalidShape` for a bias of another length, `InvalidQuantization`.
pub fn operands(
    node: &NodeView<'_>,
    lowering: &mut Lowering<'_>,
    rules: Rules,
) -> Result<Operands> {
    let (x, weights) = (node.input(0)?, node.input(1)?);
    let axis = match rules.channels {
        Channels::First => 0,
        Channels::Last => weights.shape.len() - 1,
    };
    let channels = weights.shape[axis];
    if x.dtype == DType::F32 && weights.dtype == DType::F32 {
        let values: Vec<f32> = weights.values()?;
        let bias: Vec<f32> = bias(node, channels)?;
        let constants =
            vec![lowering.constant(&weights.shape, &values), lowering.constant(&[channels], &bias)];
        let rounding = RoundingCode::None;
        return Ok(Operands {
            constants,
            rounding,
            weights_zero_point: 0,
            hybrid: false,
            unpacked: None,
        });
    }
    if weights.dtype == DType::F16 {
        let values: Vec<half::f16> = weights.values()?;
        let bias: Vec<f32> = bias(node, channels)?;
        let constants =
            vec![lowering.constant(&weights.shape, &values), lowering.constant(&[channels], &bias)];
        let unpacked = Some((DType::F32, weights.shape.clone()));
        let rounding = RoundingCode::None;
        return Ok(Operands {
            constants,
            rounding,
            weights_zero_point: 0,
            hybrid: false,
            unpacked,
        });
    }
    let ort = lowering.matching() == Match::Ort;
    let zero_point = weights_zero_point(weights, rules.weights_zero_point || ort)?;
    let values: Vec<i8> = weights.values()?;
    let packing = weights.packing.as_ref().filter(|_| x.dtype == DType::I8 && !rules.as_filters);
    let mut constants = vec![match rules.as_filters {
        true => {
            let taps = weights.shape.iter().take(axis).skip(1);
            let shape: Vec<usize> = [channels].iter().chain(taps).chain(&[1]).copied().collect();
            lowering.constant(&shape, &filters(&values, channels))
        }
        false => match packing {
            Some(packing) => {
                let halves = packed(&values, packing, rules.channels, channels)?;
                lowering.constant(&[halves.len()], &halves)
            }
            None => lowering.constant(&weights.shape, &values),
        },
    }];
    let sums = sums(&values, channels, rules.channels);
    if x.dtype == DType::F32 {
        let bias: Vec<f32> = bias(node, channels)?;
        let sums: Vec<i32> = sums.into_iter().map(|sum| sum as i32).collect();
        let scales = weight_scales(weights, axis)?;
        constants.push(lowering.constant(&[channels], &bias));
        constants.push(lowering.constant(&[scales.len()], &scales));
        constants.push(lowering.constant(&[channels], &sums));
        let rounding = RoundingCode::None;
        return Ok(Operands {
            constants,
            rounding,
            weights_zero_point: 0,
            hybrid: true,
            unpacked: None,
        });
    }
    let rounding = match lowering.matching() {
        Match::Litert if rules.litert_float64 => RoundingCode::Float64,
        _ => lowering.rounding(),
    };
    // What is computed in double precision to the end starts so, too.
    let single_product = weights.unsigned && rounding != RoundingCode::Float64;
    let y = node.output(0)?;
    let mut scales = match ort {
        true => single_scales(x, weights, y, axis)?,
        false => channel_scales(x, weights, y, axis, single_product)?,
    };
    let narrow = node.optional_input(2).is_some_and(|bias| bias.dtype == DType::I32);
    if x.dtype == DType::I16 && !narrow {
        let bias: Vec<i64> = bias(node, channels)?;
        constants.push(lowering.constant(&[channels], &bias));
    } else {
        let mut bias: Vec<i32> = bias(node, channels)?;
        if rules.fold && x.dtype == DType::I8 {
            let taps = (values.len() / channels) as i64;
            let input_zero_point = i64::from(x.zero_point()?);
            for (bias, sum) in bias.iter_mut().zip(sums) {
                let sum = sum - i64::from(zero_point) * taps;
                // Accumulators wrap around at 32 bits, so this one may too: sums stay right
                // modulo 2³².
                *bias = (i64::from(*bias) - input_zero_point * sum) as i32;
            }
            let empty = without_weights(&values, zero_point, channels, rules.channels);
            constant_channels::simplify(empty.into_iter(), rounding, &mut bias, &mut scales)?;
        }
        constants.push(lowering.constant(&[channels], &bias));
    }
    constants.extend(lowering.scales(rounding, &scales)?);
    if let Some(Packing { steps }) = packing.filter(|packing| !packing.steps.is_empty()) {
        constants.push(lowering.constant(&[steps.len()], steps));
    }
    let unpacked = packing.map(|_| (DType::I8, weights.shape.clone()));
    let weights_zero_point = zero_point as i16;
    Ok(Operands { constants, rounding, weights_zero_point, hybrid: false, unpacked })
}

/// Weights as halves of bytes: each over its step, the first of two in the low half.
///
/// # Errors
/// `InvalidQuantization` for weights that are no multiples of their steps, or beyond four bits.
fn packed(values: &[i8], packing: &Packing, layout: Channels, channels: usize) -> Result<Vec<u8>> {
    let steps = &packing.steps;
    let part = values.len().checked_div(steps.len()).unwrap_or(0).max(1);
    let half = |(index, &w): (usize, &i8)| {
        let step = match layout {
            _ if steps.is_empty() => 1,
            Channels::First => steps[index / part % steps.len()],
            Channels::Last => steps[index % channels % steps.len()],
        };
        let q = w.checked_div(step).unwrap_or(i8::MAX);
        if q.wrapping_mul(step) != w || !(-8..=7).contains(&q) {
            bail!(InvalidQuantization, "weight {w} is not {step} times a number of four bits");
        }
        Ok(q as u8 & 15)
    };
    let halves: Vec<u8> = values.iter().enumerate().map(half).collect::<Result<_>>()?;
    Ok(halves.chunks(2).map(|pair| pair[0] | pair.get(1).map_or(0, |high| high << 4)).collect())
}

/// Writes the record of a node with these operands. `scratch` is how many activations a hybrid
/// kernel quantizes at a time.
///
/// # Errors
/// `InvalidGraph` where the node has no input or output.
pub fn emit(
    node: &NodeView<'_>,
    lowering: &mut Lowering<'_>,
    opcode: Opcode,
    params: &impl systole_core::format::Params,
    operands: Operands,
    scratch: usize,
) -> Result<()> {
    let x = lowering.tensor(node.input_id(0)?);
    node.output(0)?;
    let mut outputs = vec![lowering.tensor(node.node.outputs[0])];
    if operands.hybrid {
        outputs.push(lowering.temporary(DType::I8, &[scratch], 0.0, 0));
    }
    if let Some((dtype, shape)) = &operands.unpacked {
        outputs.push(lowering.temporary(*dtype, shape, 0.0, 0));
    }
    let inputs = [x].into_iter().chain(operands.constants).map(Some).collect();
    lowering.emit(opcode, operands.rounding, params, inputs, outputs);
    Ok(())
}

/// The bias, zeros where none is given.
fn bias<T: systole_core::Element + Default>(
    node: &NodeView<'_>,
    channels: usize,
) -> Result<Vec<T>> {
    let Some(bias) = node.optional_input(2) else { return Ok(vec![T::default(); channels]) };
    if bias.elements() != channels {
        bail!(InvalidShape, "{bias} must have one value per output channel, {channels}");
    }
    if bias.dtype != T::DTYPE {
        bail!(UnsupportedFeature, "{bias} must be {} beside these weights", T::DTYPE);
    }
    bias.values()
}

/// 1HWC weights channel by channel.
fn filters(values: &[i8], channels: usize) -> Vec<i8> {
    (0..channels)
        .flat_map(|channel| values.iter().skip(channel).step_by(channels))
        .copied()
        .collect()
}

/// The sum of each channel's weights.
fn sums(values: &[i8], channels: usize, layout: Channels) -> Vec<i64> {
    let wide = |&w: &i8| i64::from(w);
    match layout {
        Channels::First => {
            let filters = values.chunks((values.len() / channels).max(1));
            filters.map(|taps| taps.iter().map(wide).sum()).collect()
        }
        Channels::Last => (0..channels)
            .map(|channel| values.iter().skip(channel).step_by(channels).map(wide).sum())
            .collect(),
    }
}

/// Whether all weights of a channel are zero.
fn without_weights(values: &[i8], zero_point: i32, channels: usize, layout: Channels) -> Vec<bool> {
    let zero = |&w: &i8| i32::from(w) == zero_point;
    match layout {
        Channels::First => {
            let filters = values.chunks((values.len() / channels).max(1));
            filters.map(|taps| taps.iter().all(zero)).collect()
        }
        Channels::Last => (0..channels)
            .map(|channel| values.iter().skip(channel).step_by(channels).all(zero))
            .collect(),
    }
}

/// The zero point of weights: 0 for int8 weights; whatever weights that were uint8 have.
///
/// # Errors
/// `InvalidQuantization` for int8 weights that have another.
fn weights_zero_point(weights: &Tensor, allowed: bool) -> Result<i32> {
    let Some(quantization) = &weights.quantization else {
        bail!(InvalidQuantization, "{weights} needs scales and has none");
    };
    match quantization.zero_points[..] {
        [zero_point] if weights.unsigned || allowed => Ok(zero_point),
        // One for all channels, stated for each.
        [zero_point, ref others @ ..]
            if allowed && others.iter().all(|&other| other == zero_point) =>
        {
            Ok(zero_point)
        }
        _ if quantization.zero_points.iter().all(|&zero_point| zero_point == 0) => Ok(0),
        _ => bail!(
            InvalidQuantization,
            "{weights} has zero points {:?}; int8 weights need 0",
            quantization.zero_points.iter().take(4).collect::<Vec<_>>()
        ),
    }
}

/// The scales of weights, one or one per output channel.
fn weight_scales(weights: &Tensor, channel_axis: usize) -> Result<Vec<f32>> {
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
    Ok(quantization.scales.clone())
}

/// The scales of output channels, `input × weights / output` in double precision; but for the
/// product where `single_product` asks for single, as LiteRT does in models that were uint8.
fn channel_scales(
    input: &Tensor,
    weights: &Tensor,
    output: &Tensor,
    channel_axis: usize,
    single_product: bool,
) -> Result<Vec<f64>> {
    let (input, output) = (input.scale()?, f64::from(output.scale()?));
    let scales = weight_scales(weights, channel_axis)?;
    if let (&[scale], true) = (&scales[..], single_product) {
        return Ok(vec![f64::from(input * scale) / output]);
    }
    Ok(scales.iter().map(|&scale| f64::from(input) * f64::from(scale) / output).collect())
}

/// The scales of output channels in single precision, product before quotient: `QLinearConv`,
/// `QGemm` and `QLinearMatMul` of ONNX Runtime.
fn single_scales(
    input: &Tensor,
    weights: &Tensor,
    output: &Tensor,
    channel_axis: usize,
) -> Result<Vec<f64>> {
    let (input, output) = (input.scale()?, output.scale()?);
    let scales = weight_scales(weights, channel_axis)?;
    Ok(scales.iter().map(|&scale| f64::from(input * scale / output)).collect())
}

/// Whether the weights of a hybrid convolution have different scales: then, as in LiteRT, the
/// activations are quantized with a zero point.
pub fn scales_differ(weights: &Tensor) -> bool {
    let scales = weights.quantization.as_ref().map_or(&[][..], |q| &q.scales);
    scales.windows(2).any(|pair| pair[0] != pair[1])
}
