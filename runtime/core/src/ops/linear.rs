//! What operators that multiply by constant weights share: biases, scales and output ranges, each
//! checked.
//!
//! Operands behind the input and the weights are, by the types of those two:
//!
//! | input, weights | bias (2) | scales (3, 4) | outputs |
//! | --- | --- | --- | --- |
//! | int8, int8 | int32 | see [`Record::requantize`] | int8 |
//! | int16, int8 | int32 | see [`Record::requantize`] | int16 |
//! | int16, int8 | int64 | see [`Record::requantize_wide`] | int16 |
//! | float32, float32 | float32 | none | float32 |
//! | float32, int8 | float32 | weight scales float32, sums of weights int32 | float32, scratch int8 |

use systole_kernels::{
    hybrid::HybridOutput,
    pool::ActivationRange,
    requantize::{Accumulate16, Output},
};

use crate::{DType, Element, OperatorError, Record, TensorInfo, memory::Place};

/// The types of input and weights, of which each pair has a kernel of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// int8 throughout.
    I8,
    /// int16 activations, int8 weights.
    I16,
    /// float32 throughout.
    F32,
    /// float32 activations, quantized on the fly, and int8 weights.
    Hybrid,
}

impl Arithmetic {
    /// What input 0 and input 1 of the record call for; the first output must have the input's
    /// type.
    pub(super) fn of(record: &Record<'_>) -> Result<Self, OperatorError> {
        let (x, weights) = (record.input(0)?.stored_dtype(), record.input(1)?.stored_dtype());
        record.output(0)?.expect_type(x, record.input_count())?;
        match (x, weights) {
            (DType::I8, DType::I8) => Ok(Self::I8),
            (DType::I16, DType::I8) => Ok(Self::I16),
            (DType::F32, DType::F32) => Ok(Self::F32),
            (DType::F32, DType::I8) => Ok(Self::Hybrid),
            (DType::I8 | DType::I16 | DType::F32, found) => {
                Err(OperatorError::Type { operand: 1, found })
            }
            (found, _) => Err(OperatorError::Type { operand: 0, found }),
        }
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
