//! LOG_SOFTMAX: values over the last axis less the logarithm of the sum of their exponentials.
//!
//! Operands: int8 or float32 input `[…, depth]`; output of the same type and shape.

use systole_kernels::{
    Mismatch,
    log_softmax::{LogSoftmaxF32, LogSoftmaxI8, log_softmax_f32, log_softmax_i8},
};

use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of LOG_SOFTMAX, all of int8 alone.
    pub struct Params {
        /// The input scale as a Q5.26 number: its multiplier.
        pub input_multiplier: i32,
        /// And its shift to the left, 0 to 31.
        pub input_left_shift: u8,
        /// The inverse of that scale: its multiplier.
        pub reverse_multiplier: i32,
        /// And its shift, -31 to 0.
        pub reverse_shift: i8,
        /// Differences from the maximum below this count as probability zero; not positive.
        pub diff_min: i32,
    }
}

/// A decoded LOG_SOFTMAX.
pub struct LogSoftmax<'m> {
    x: Place,
    y: Place,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

enum Kernel {
    I8(LogSoftmaxI8),
    F32(LogSoftmaxF32),
}

impl<'m> Operator<'m> for LogSoftmax<'m> {
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
        let kernel = match x.stored_dtype() {
            DType::I8 => {
                if params.input_left_shift > 31 {
                    return Err(OperatorError::Parameter(1));
                }
                if !(-31..=0).contains(&params.reverse_shift) {
                    return Err(OperatorError::Parameter(3));
                }
                if params.diff_min > 0 {
                    return Err(OperatorError::Parameter(4));
                }
                Kernel::I8(LogSoftmaxI8 {
                    rows,
                    depth,
                    input_multiplier: params.input_multiplier,
                    input_left_shift: params.input_left_shift.into(),
                    reverse_multiplier: params.reverse_multiplier,
                    reverse_shift: params.reverse_shift.into(),
                    diff_min: params.diff_min,
                })
            }
            DType::F32 => Kernel::F32(LogSoftmaxF32 { rows, depth }),
            found => return Err(OperatorError::Type { operand: 0, found }),
        };
        Ok(Self { x: x.place, y: y.place, kernel, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.kernel {
            Kernel::I8(kernel) => {
                call!(machine, log_softmax_i8, kernel; [self.x] => self.y)
            }
            Kernel::F32(kernel) => {
                call!(machine, log_softmax_f32, kernel; [self.x] => self.y)
            }
        }
    }
}
