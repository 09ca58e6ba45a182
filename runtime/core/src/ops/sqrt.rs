//! SQRT of quantized int16 values. (int8 is a table.)
//!
//! Operands: input and output, int16, of one shape.

use systole_kernels::{
    Mismatch,
    elementary::{Sqrt as Kernel, sqrt},
};

use super::elementwise::Unary;
use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params,  ops::Operator};

params! {
    /// SQRT has no parameters.
    pub struct Params {}
}

/// A decoded SQRT.
pub struct Sqrt<'m> {
    operands: Unary,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Sqrt<'m> {
    const IN_PLACE: &'static [usize] = &[0];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let (operands, x, y) = Unary::decode(record, 1)?;
        if operands.dtype != DType::I16 {
            return Err(operands.refuse());
        }
        Ok(Self {
            operands,
            kernel: Kernel {
                input_scale: x.scale(),
                input_zero_point: x.stored_zero_point(),
                output_scale: y.scale(),
                output_zero_point: y.stored_zero_point(),
            },
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        call!(machine, sqrt::<i16>, &self.kernel; in place [self.operands.x] => self.operands.y)
    }
}
