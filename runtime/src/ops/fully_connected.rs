//! FULLY_CONNECTED: `y = requantize(Σ w × x + bias)`.
//!
//! Operands: input `[…, in]`, weights `[out, in]`, bias `[out]` (with the input's zero point folded
//! in), scales (see [`Record::requantize`]); output `[…, out]`.

use systole_kernels::{
    Mismatch,
    fully_connected::{FullyConnectedI8, fully_connected_i8},
    requantize::Output,
};

use crate::{
    DType, OperatorError, Record,
    format::params,
    memory::{Memory, Place},
    ops::Operator,
};

params! {
    /// Parameters of FULLY_CONNECTED.
    pub struct Params {
        /// Zero point of the weights: 0, but for models that were uint8.
        pub weights_zero_point: i16,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded FULLY_CONNECTED.
pub struct FullyConnected<'m> {
    x: Place,
    y: Place,
    kernel: FullyConnectedI8<'m>,
}

impl<'m> Operator<'m> for FullyConnected<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let x = record.input(0)?.expect_type(DType::I8, 0)?;
        let weights = record.input(1)?.expect_rank(2, 1)?;
        let y = record.output(0)?.expect_type(DType::I8, record.input_count())?;
        let (outputs, inputs) = (weights.shape().dim(0), weights.shape().dim(1));
        let bias: &[i32] = record.constant(2)?;
        if bias.len() != outputs {
            return Err(OperatorError::Shape(2));
        }
        let batches = x.len().checked_div(inputs).ok_or(OperatorError::Shape(1))?;
        if batches * inputs != x.len() {
            return Err(OperatorError::Shape(0));
        }
        if y.len() != batches * outputs {
            return Err(OperatorError::Shape(record.input_count() as u8));
        }
        Ok(Self {
            x: x.place,
            y: y.place,
            kernel: FullyConnectedI8 {
                batches,
                inputs,
                outputs,
                weights: record.constant(1)?,
                weights_zero_point: params.weights_zero_point.into(),
                bias,
                requantize: record.requantize(3, outputs)?,
                output_stage: Output {
                    output_offset: y.stored_zero_point(),
                    activation_min: params.activation_min,
                    activation_max: params.activation_max,
                },
            },
        })
    }

    fn run(&self, memory: &mut Memory<'_, '_>) -> Result<(), Mismatch> {
        let (x, y) = memory.unary(self.x, self.y)?;
        fully_connected_i8(&self.kernel, x, y)
    }
}
