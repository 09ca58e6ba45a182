//! SOFTMAX by a table of exponentials, as ONNX Runtime's QLinearSoftmax, over the last axis.
//!
//! Operands: int8 input `[…, depth]`, 256 exponentials float32; int8 output of the input's shape.

use systole_kernels::{
    Mismatch,
    requantize::Output,
    softmax_table::{DIFFERENCES, SoftmaxTable as Kernel, softmax_table},
};

use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params, memory::Place, ops::Operator};

params! {
    /// Parameters of SOFTMAX by a table.
    pub struct Params {
        /// What a probability of 1 is in stored values above the zero point.
        pub scale: f32,
    }
}

/// A decoded SOFTMAX by a table.
pub struct SoftmaxTable<'m> {
    x: Place,
    y: Place,
    kernel: Kernel<'m>,
}

impl<'m> Operator<'m> for SoftmaxTable<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(2, 1)?;
        let params: Params = record.params();
        let x = record.input(0)?.expect_type(DType::I8, 0)?;
        let y = record.output(0)?.expect_type(DType::I8, 2)?;
        if x.shape() != y.shape() {
            return Err(OperatorError::Shape(2));
        }
        let table: &[f32] = record.constant(1)?;
        let table: &[f32; DIFFERENCES] = table.try_into().map_err(|_| OperatorError::Shape(1))?;
        let depth = x.shape().last();
        let rows = x.len().checked_div(depth).ok_or(OperatorError::Shape(0))?;
        let output = Output {
            output_offset: y.stored_zero_point(),
            activation_min: i8::MIN.into(),
            activation_max: i8::MAX.into(),
        };
        let kernel = Kernel { rows, depth, table, scale: params.scale, output };
        Ok(Self { x: x.place, y: y.place, kernel })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        call!(machine, softmax_table, &self.kernel; [self.x] => self.y)
    }
}
