//! What operators that multiply by constant weights share: biases, scales and output ranges, each
//! checked.
//!
//! Operands behind the input and the weights are, by the types of those two:
//!
//! | input, weights | bias (2) | scales (3, 4) | outputs |
//! | --- | --- | --- | --- |
//! | int8, int8 | int32 | see [`Record::requantize`] | int8 |
//! | int8, int8 in tiles | int32 | see [`Record::requantize`] | int8 |
//! | int8, int8 in pairs | int32 | see [`Record::requantize`] | int8 |
//! | int8, int8 transformed | int32 | see [`Record::requantize`] | int8 |
//! | int8, packed int4 (uint8) | int32 | see [`Record::requantize`], then steps int8 | int8, scratch int8 |
//! | int16, int8 | int32 | see [`Record::requantize`] | int16 |
//! | int16, int8 | int64 | see [`Record::requantize_wide`] | int16 |
//! | float32, float32 | float32 | none | float32 |
//! | float32, float32 in tiles | float32 | none | float32 |
//! | float32, float16 | float32 | none | float32, scratch float32 |
//! | float32, float16 in tiles | float32 | none | float32, and scratch that is not used |
//! | float32, int8 | float32 | weight scales float32, sums of weights int32 | float32, scratch int8 |
//!
//! Packed weights are a row of bytes; their shape is that of the scratch memory, which is the last
//! output. So is that of float16 weights that are not in tiles. Steps may be left out where all are 1.

use half::f16;
use systole_kernels::{
    hybrid::HybridOutput,
    packed::Int4,
    pool::ActivationRange,
    requantize::{Accumulate16, Output},
};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    DType, Element, OperatorError, Record, TensorInfo,
    format::{Layout, RoundingCode},
    memory::Place,
};

/// The types of input and weights, of which each pair has a kernel of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// int8 throughout.
    I8,
    /// int8 throughout, weights in tiles.
    Tiled,
    /// int8 throughout, weights in pairs.
    Paired,
    /// int8 throughout, weights of 3×3 transformed.
    Winograd,
    /// int8 activations, weights of four bits.
    I4,
    /// int16 activations, int8 weights.
    I16,
    /// float32 throughout.
    F32,
    /// float32 throughout, weights in tiles.
    TiledF32,
    /// float32 throughout, weights stored in float16.
    F16,
    /// float32 throughout, weights stored in float16 and in tiles.
    TiledF16,
    /// float32 activations, quantized on the fly, and int8 weights.
    Hybrid,
}

impl Arithmetic {
    /// What input 0 and input 1 of the record call for; the first output must have the input's
    /// type.
    pub(super) fn of(record: &Record<'_>) -> Result<Self, OperatorError> {
        let (weights, tiles) = record.weights(1)?;
        let layout = weights.layout;
        let (x, weights) = (record.input(0)?.stored_dtype(), weights.stored_dtype());
        record.output(0)?.expect_type(x, record.input_count())?;
        match (x, weights) {
            (DType::I8, DType::I8) if tiles.is_some() => Ok(Self::Tiled),
            (DType::I8, DType::I8) if layout == Layout::Pairs => Ok(Self::Paired),
            (DType::I8, DType::I8) if layout == Layout::Winograd => Ok(Self::Winograd),
            (DType::I8, DType::I8) => Ok(Self::I8),
            (DType::I8, DType::U8) => Ok(Self::I4),
            (DType::I16, DType::I8) => Ok(Self::I16),
            (DType::F32, DType::F32) if tiles.is_some() => Ok(Self::TiledF32),
            (DType::F32, DType::F32) => Ok(Self::F32),
            (DType::F32, DType::F16) if tiles.is_some() => Ok(Self::TiledF16),
            (DType::F32, DType::F16) => Ok(Self::F16),
            (DType::F32, DType::I8) => Ok(Self::Hybrid),
            (DType::I8 | DType::I16 | DType::F32, found) => {
                Err(OperatorError::Type { operand: 1, found })
            }
            (found, _) => Err(OperatorError::Type { operand: 0, found }),
        }
    }
}

/// The tensor that has the weights' shape, and its operand: input 1, or, of weights that are stored
/// in less and not in tiles, the scratch memory that they are unpacked into.
pub(crate) fn weights<'m>(record: &Record<'m>) -> Result<(TensorInfo<'m>, usize), OperatorError> {
    let (weights, tiles) = record.weights(1)?;
    if tiles.is_some() {
        return Ok((weights, 1));
    }
    let unpacked = match weights.stored_dtype() {
        DType::U8 => DType::I8,
        DType::F16 => DType::F32,
        _ => return Ok((weights, 1)),
    };
    let operand = record.input_count() + 1;
    Ok((record.output(1)?.expect_type(unpacked, operand)?, operand))
}

/// The product of some dimensions of the weights, 1 where they are missing.
pub(super) fn weight_dims(record: &Record<'_>, axes: core::ops::Range<usize>) -> u64 {
    let Ok((info, _)) = weights(record) else { return 1 };
    axes.fold(1, |product, axis| info.shape().dim(axis) as u64 * product)
}

/// Packed weights, and the scratch memory that they are unpacked into. Steps belong to channels where
/// those are innermost (`channels_last`), else to as many equal parts of the weights as there are
/// steps.
pub(crate) fn packed<'m>(
    record: &Record<'m>,
    channels_last: bool,
) -> Result<(Int4<'m>, Place), OperatorError> {
    let (memory, operand) = weights(record)?;
    let halves: &[u8] = record.constant_weights(1)?;
    if halves.len() != memory.len().div_ceil(2) {
        return Err(OperatorError::Shape(1));
    }
    // Behind the scales, of which fixed-point ones take two operands and others one.
    let fixed = !matches!(record.rounding()?, RoundingCode::Float32 | RoundingCode::Float64);
    let index = if fixed { 5 } else { 4 };
    let steps: &[i8] = match record.optional_input(index)? {
        Some(_) => record.constant(index)?,
        None => &[],
    };
    if operand != record.input_count() + 1 {
        return Err(OperatorError::Operand(1));
    }
    let run = match steps.len() {
        0 => 0,
        count if channels_last && count == memory.shape().dim(3) => 1,
        count if !channels_last && memory.len().is_multiple_of(count) => {
            memory.len().checked_div(count).unwrap_or(0)
        }
        _ => return Err(OperatorError::Shape(index as u8)),
    };
    Ok((Int4 { halves, steps, run }, memory.place))
}

/// The bits of float16 weights, and the scratch memory that they are widened into.
fn halved<'m>(record: &Record<'m>) -> Result<(&'m [u16], Place), OperatorError> {
    let (memory, _) = weights(record)?;
    let halves: &[f16] = record.constant_weights(1)?;
    let bits = <[u16]>::ref_from_bytes(halves.as_bytes());
    match bits {
        Ok(bits) if bits.len() == memory.len() => Ok((bits, memory.place)),
        _ => Err(OperatorError::Shape(1)),
    }
}

/// Weights of int8 layers: as they are, or none and those that are packed, with their scratch memory.
#[expect(clippy::type_complexity, reason = "either of two forms, each a slice and a place")]
pub(super) fn int8_weights<'m>(
    record: &Record<'m>,
    arithmetic: Arithmetic,
    channels_last: bool,
) -> Result<(&'m [i8], Option<(Int4<'m>, Place)>), OperatorError> {
    match arithmetic {
        Arithmetic::I4 => Ok((&[], Some(packed(record, channels_last)?))),
        Arithmetic::Tiled | Arithmetic::Paired | Arithmetic::Winograd => Ok((&[], None)),
        _ => Ok((record.constant_weights(1)?, None)),
    }
}

/// Weights of float32 layers: as they are, or none and those of float16, with their scratch memory;
/// none of those in tiles.
#[expect(clippy::type_complexity, reason = "either of two forms, each a slice and a place")]
pub(super) fn float_weights<'m>(
    record: &Record<'m>,
    arithmetic: Arithmetic,
) -> Result<(&'m [f32], Option<(&'m [u16], Place)>), OperatorError> {
    match arithmetic {
        Arithmetic::F16 => Ok((&[], Some(halved(record)?))),
        Arithmetic::TiledF32 | Arithmetic::TiledF16 => Ok((&[], None)),
        _ => Ok((record.constant_weights(1)?, None)),
    }
}

/// The offset and clamp of a quantized output.
pub(super) fn output_stage(y: &TensorInfo<'_>, min: i32, max: i32) -> Output {
    let output_offset = y.stored_zero_point();
    Output { output_offset, activation_min: min, activation_max: max }
}

/// The bias, a constant with one value per output channel.
pub(super) fn bias<'m, T: Element>(
    record: &Record<'m>,
    channels: usize,
) -> Result<&'m [T], OperatorError> {
    let bias: &[T] = record.constant(2)?;
    if bias.len() == channels { Ok(bias) } else { Err(OperatorError::Shape(2)) }
}

/// Bias and scales of an operator with int16 activations: the bias's type says how wide the sums
/// are.
pub(super) fn accumulate16<'m>(
    record: &Record<'m>,
    channels: usize,
) -> Result<Accumulate16<'m>, OperatorError> {
    if record.input(2)?.stored_dtype() == DType::I32 {
        Ok(Accumulate16::Narrow(bias(record, channels)?, record.requantize(3, channels)?))
    } else {
        Ok(Accumulate16::Wide(bias(record, channels)?, record.requantize_wide(3, channels)?))
    }
}

/// The output of a hybrid operator, and its scratch memory of `scratch` int8.
pub(super) fn hybrid<'m>(
    record: &Record<'m>,
    channels: usize,
    scratch: usize,
    asymmetric: bool,
    activation: ActivationRange<f32>,
) -> Result<(HybridOutput<'m>, Place), OperatorError> {
    let weight_scales: &[f32] = record.constant(3)?;
    let weight_sums: &[i32] = record.constant(4)?;
    if weight_scales.len() != 1 && weight_scales.len() != channels {
        return Err(OperatorError::Shape(3));
    }
    if weight_sums.len() != channels {
        return Err(OperatorError::Shape(4));
    }
    let operand = record.input_count() + 1;
    let memory = record.output(1)?.expect_type(DType::I8, operand)?;
    if memory.len() < scratch {
        return Err(OperatorError::Shape(operand as u8));
    }
    let bias = bias(record, channels)?;
    let output = HybridOutput { weight_sums, weight_scales, bias, asymmetric, activation };
    Ok((output, memory.place))
}
