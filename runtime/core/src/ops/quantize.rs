//! QUANTIZE: from float32 to int8 or int16.
//!
//! Operands: input and output of one shape; scale and zero point are the output's.

use systole_kernels::{
    Mismatch,
    quantize::{Quantize as Kernel, quantize, quantize_i8},
};

use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of QUANTIZE.
    pub struct Params {
        /// 1 where ties go to the even neighbour, 0 where they go away from zero.
        pub ties_to_even: u8,
    }
}

/// A decoded QUANTIZE.
pub struct Quantize<'m> {
    x: Place,
    y: Place,
    output: DType,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Quantize<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let x = record.input(0)?.expect_type(DType::F32, 0)?;
        let y = record.output(0)?;
        let found = y.stored_dtype();
        if !matches!(found, DType::I8 | DType::I16) {
            return Err(OperatorError::Type { operand: 1, found });
        }
        // A scale of 0 says that there is none.
        if x.shape() != y.shape() || y.scale() <= 0.0 {
            return Err(OperatorError::Shape(1));
        }
        if params.ties_to_even > 1 {
            return Err(OperatorError::Parameter(0));
        }
        Ok(Self {
            x: x.place,
            y: y.place,
            output: found,
            kernel: Kernel {
                scale: y.scale(),
                zero_point: y.stored_zero_point(),
                ties_to_even: params.ties_to_even == 1,
            },
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.output {
            DType::I16 => {
                call!(machine, quantize::<i16>, &self.kernel; [self.x] => self.y)
            }
            _ => {
                call!(machine, quantize_i8, &self.kernel; [self.x] => self.y)
            }
        }
    }
}
