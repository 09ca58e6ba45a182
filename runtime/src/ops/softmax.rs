//! SOFTMAX: exponentials over the last axis, divided by their sum.
//!
//! Operands: input `[…, depth]`; output of the same shape.

use systole_kernels::{
    Mismatch,
    softmax::{SoftmaxI8, softmax_i8},
};

use crate::{
    DType, OperatorError, Record,
    format::params,
    memory::{Memory, Place},
    ops::Operator,
};

params! {
    /// Parameters of SOFTMAX.
    pub struct Params {
        /// `β × input scale` as a Q5.26 number: its multiplier.
        pub input_multiplier: i32,
        /// And its shift to the left, 0 to 31.
        pub input_left_shift: u8,
        /// Differences from the maximum below this count as probability zero; not positive.
        pub diff_min: i32,
    }
}

/// A decoded SOFTMAX.
pub struct Softmax<'m> {
    x: Place,
    y: Place,
    kernel: SoftmaxI8,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Softmax<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let x = record.input(0)?.expect_type(DType::I8, 0)?;
        let y = record.output(0)?.expect_type(DType::I8, 1)?;
        if x.shape() != y.shape() {
            return Err(OperatorError::Shape(1));
        }
        let depth = x.shape().last();
        let rows = x.len().checked_div(depth).ok_or(OperatorError::Shape(0))?;
        if params.input_left_shift > 31 {
            return Err(OperatorError::Parameter(1));
        }
        if params.diff_min > 0 {
            return Err(OperatorError::Parameter(2));
        }
        Ok(Self {
            x: x.place,
            y: y.place,
            kernel: SoftmaxI8 {
                rows,
                depth,
                input_multiplier: params.input_multiplier,
                input_left_shift: params.input_left_shift.into(),
                diff_min: params.diff_min,
            },
            model: core::marker::PhantomData,
        })
    }

    fn run(&self, memory: &mut Memory<'_, '_>) -> Result<(), Mismatch> {
        let (x, y) = memory.unary(self.x, self.y)?;
        softmax_i8(&self.kernel, x, y)
    }
}
