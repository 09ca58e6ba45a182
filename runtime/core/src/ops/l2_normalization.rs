//! L2_NORMALIZATION: vectors along the last axis, divided by their Euclidean length.
//!
//! Operands: int8 or float32 input `[…, depth]`; output of the same type and shape.

use systole_kernels::{
    Mismatch,
    l2_normalization::{
        L2NormalizationF32, L2NormalizationI8, l2_normalization_f32, l2_normalization_i8,
    },
};

use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of L2_NORMALIZATION.
    pub struct Params {
        /// Of int8: 1 where the output's scale is applied before the division (models that were
        /// uint8), 0 where it is folded into the division's shift.
        pub scale_first: u8,
    }
}

/// A decoded L2_NORMALIZATION.
pub struct L2Normalization<'m> {
    x: Place,
    y: Place,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

enum Kernel {
    I8(L2NormalizationI8),
    F32(L2NormalizationF32),
}

impl<'m> Operator<'m> for L2Normalization<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let x = record.input(0)?;
        let y = record.output(0)?.expect_type(x.stored_dtype(), 1)?;
        if x.shape() != y.shape() {
            return Err(OperatorError::Shape(1));
        }
        let depth = x.shape().last();
        let rows = x.len().checked_div(depth).ok_or(OperatorError::Shape(0))?;
        if params.scale_first > 1 {
            return Err(OperatorError::Parameter(0));
        }
        let kernel = match x.stored_dtype() {
            DType::I8 => Kernel::I8(L2NormalizationI8 {
                rows,
                depth,
                input_offset: x.stored_zero_point().wrapping_neg(),
                scale_first: params.scale_first == 1,
            }),
            DType::F32 => Kernel::F32(L2NormalizationF32 { rows, depth }),
            found => return Err(OperatorError::Type { operand: 0, found }),
        };
        Ok(Self { x: x.place, y: y.place, kernel, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.kernel {
            Kernel::I8(kernel) => {
                call!(machine, l2_normalization_i8, kernel; [self.x] => self.y)
            }
            Kernel::F32(kernel) => {
                call!(machine, l2_normalization_f32, kernel; [self.x] => self.y)
            }
        }
    }
}
