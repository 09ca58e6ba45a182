//! ADD in single precision, as ONNX Runtime's QLinearAdd: `y = round(a × a_scale + b × b_scale +
//! fixed)`, with broadcasting.
//!
//! Operands: two inputs, int8, whose shapes broadcast to the output's.

use systole_kernels::{
    Mismatch,
    add_float32::{AddFloat32 as Kernel, RowConstant, add_float32},
    requantize::Output,
};

use super::elementwise::Binary;
use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params, ops::Operator};

params! {
    /// Parameters of ADD in single precision.
    pub struct Params {
        /// The first input's scale over the output's. The two and the fixed part must be finite, and less
        /// than 2²⁸ apart.
        pub a_scale: f32,
        /// The second input's scale over the output's.
        pub b_scale: f32,
        /// The output's zero point less those of the inputs times their scales.
        pub fixed: f32,
        /// Added to stored values before they are scaled: 128 for tensors that were uint8, else 0.
        pub offset: u8,
        /// Which input is one number for whole rows, so that its product is rounded before it is
        /// added: 0 neither, 1 the first, 2 the second.
        pub row_constant: u8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded ADD in single precision.
pub struct AddFloat32<'m> {
    operands: Binary,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for AddFloat32<'m> {
    const IN_PLACE: &'static [usize] = &[0, 1];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let (operands, _) = Binary::decode(record, None)?;
        if operands.dtype != DType::I8 {
            return Err(operands.refuse());
        }
        let offset = i32::from(params.offset);
        let row_constant = match params.row_constant {
            0 => RowConstant::None,
            1 => RowConstant::A,
            2 => RowConstant::B,
            _ => return Err(OperatorError::Parameter(4)),
        };
        let output = Output {
            output_offset: -offset,
            activation_min: params.activation_min,
            activation_max: params.activation_max,
        };
        let factors = [params.a_scale, params.b_scale, params.fixed];
        let kernel = Kernel::new(factors, offset, row_constant, output);
        let kernel = kernel.ok_or(OperatorError::Parameter(0))?;
        Ok(Self { operands, kernel, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        let Binary { a, b, y, walk, .. } = &self.operands;
        if walk.is_empty() {
            return Ok(());
        }
        call!(machine, add_float32, &self.kernel, walk; in place [*a, *b] => *y)
    }
}
