//! DEQUANTIZE: from int8, int16 or int32 to float32.
//!
//! Operands: input and output of one shape; scale and zero point are the input's.

use systole_kernels::{
    Mismatch,
    quantize::{Dequantize as Kernel, dequantize, dequantize_i8},
};

use crate::{call::{Machine, call}, 
    DType, Element, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// DEQUANTIZE has no parameters.
    pub struct Params {}
}

/// A decoded DEQUANTIZE.
pub struct Dequantize<'m> {
    x: Place,
    y: Place,
    input: DType,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Dequantize<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let x = record.input(0)?;
        let y = record.output(0)?.expect_type(DType::F32, 1)?;
        let found = x.stored_dtype();
        if !matches!(found, DType::I8 | DType::I16 | DType::I32) {
            return Err(OperatorError::Type { operand: 0, found });
        }
        if x.shape() != y.shape() {
            return Err(OperatorError::Shape(1));
        }
        Ok(Self {
            x: x.place,
            y: y.place,
            input: found,
            kernel: Kernel { scale: x.scale(), zero_point: x.stored_zero_point() },
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.input {
            DType::I8 => {
                call!(machine, dequantize_i8, &self.kernel; [self.x] => self.y)
            }
            DType::I16 => self.call::<i16>(machine),
            _ => self.call::<i32>(machine),
        }
    }
}

impl Dequantize<'_> {
    fn call<T: Element + Into<i32>>(&self, machine: &mut impl Machine) -> Result<(), Mismatch> {
        call!(machine, dequantize::<T>, &self.kernel; [self.x] => self.y)
    }
}
