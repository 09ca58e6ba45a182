//! DYNAMIC_QUANTIZE: from float32 to int8 with a scale and a zero point that are tensors.
//!
//! Operands: float32 input, one float32, the scale, and one int8, the zero point; int8 output of the
//! input's shape.

use systole_kernels::{Mismatch, dynamic_quantize::dynamic_quantize};

use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params, memory::Place, ops::Operator};

params! {
    /// DYNAMIC_QUANTIZE has no parameters.
    pub struct Params {
    }
}

/// A decoded DYNAMIC_QUANTIZE.
pub struct DynamicQuantize<'m> {
    x: Place,
    scale: Place,
    zero_point: Place,
    y: Place,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for DynamicQuantize<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(3, 1)?;
        let x = record.input(0)?.expect_type(DType::F32, 0)?;
        let scale = record.input(1)?.expect_type(DType::F32, 1)?;
        let zero_point = record.input(2)?.expect_type(DType::I8, 2)?;
        let y = record.output(0)?.expect_type(DType::I8, 3)?;
        for (operand, one) in [(1, &scale), (2, &zero_point)] {
            if one.len() != 1 {
                return Err(OperatorError::Shape(operand));
            }
        }
        if x.shape() != y.shape() {
            return Err(OperatorError::Shape(3));
        }
        let (x, scale, zero_point, y) = (x.place, scale.place, zero_point.place, y.place);
        Ok(Self { x, scale, zero_point, y, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        call!(machine, dynamic_quantize; [self.x, self.scale, self.zero_point] => self.y)
    }
}
