//! MUL in single precision, as ONNX Runtime's QLinearMul: `y = round((a − z_a) × (b − z_b) × scale +
//! z_y)`, with broadcasting.
//!
//! Operands: two inputs, int8, whose shapes broadcast to the output's.

use systole_kernels::{
    Mismatch,
    mul_float32::{MulFloat32 as Kernel, mul_float32},
    requantize::Output,
};

use super::elementwise::Binary;
use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params, ops::Operator};

params! {
    /// Parameters of MUL in single precision.
    pub struct Params {
        /// The inputs' scales, multiplied, over the output's.
        pub scale: f32,
        /// What sums are above stored values: 128 for tensors that were uint8, else 0.
        pub offset: u8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded MUL in single precision.
pub struct MulFloat32<'m> {
    operands: Binary,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for MulFloat32<'m> {
    const IN_PLACE: &'static [usize] = &[0, 1];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let (operands, [a, b, y]) = Binary::decode(record, None)?;
        if operands.dtype != DType::I8 {
            return Err(operands.refuse());
        }
        let offset = i32::from(params.offset);
        let kernel = Kernel {
            a_offset: -a.stored_zero_point(),
            b_offset: -b.stored_zero_point(),
            scale: params.scale,
            zero_point: (y.stored_zero_point() + offset) as f32,
            output: Output {
                output_offset: -offset,
                activation_min: params.activation_min,
                activation_max: params.activation_max,
            },
        };
        Ok(Self { operands, kernel, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        let Binary { a, b, y, walk, .. } = &self.operands;
        if walk.is_empty() {
            return Ok(());
        }
        call!(machine, mul_float32, &self.kernel, walk; in place [*a, *b] => *y)
    }
}
