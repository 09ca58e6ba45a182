//! DYNAMIC_SCALE: the scale and the zero point by which the range of a tensor becomes that of int8,
//! found when the network runs.
//!
//! Operands: float32 input; outputs one float32, the scale, and one int8, the zero point.

use systole_kernels::{Mismatch, dynamic_quantize::dynamic_scale};

use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params, memory::Place, ops::Operator};

params! {
    /// DYNAMIC_SCALE has no parameters.
    pub struct Params {
    }
}

/// A decoded DYNAMIC_SCALE.
pub struct DynamicScale<'m> {
    x: Place,
    scale: Place,
    zero_point: Place,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for DynamicScale<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 2)?;
        let x = record.input(0)?.expect_type(DType::F32, 0)?;
        let scale = record.output(0)?.expect_type(DType::F32, 1)?;
        let zero_point = record.output(1)?.expect_type(DType::I8, 2)?;
        if scale.len() != 1 {
            return Err(OperatorError::Shape(1));
        }
        if zero_point.len() != 1 {
            return Err(OperatorError::Shape(2));
        }
        let (x, scale, zero_point) = (x.place, scale.place, zero_point.place);
        Ok(Self { x, scale, zero_point, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        call!(machine, dynamic_scale; [self.x] => self.scale, self.zero_point)
    }
}
