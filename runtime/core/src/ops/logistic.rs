//! LOGISTIC and TANH in int16, by one built-in table.
//!
//! Operands: input and output, int16 with zero point 0, of one shape; the output's scale is 2⁻¹⁵.

use systole_kernels::{
    Mismatch,
    logistic::{LogisticI16, logistic_i16, tanh_i16},
};

use super::elementwise::Unary;
use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params,  ops::Operator};

params! {
    /// Parameters of LOGISTIC and TANH.
    pub struct Params {
        /// 0 logistic, 1 hyperbolic tangent.
        pub operation: u8,
        /// The input's scale times 3 × 4096 × 2 to the shift, at most 32767.
        pub input_multiplier: i32,
        /// The shift to the right behind it, at most 31.
        pub input_shift: u8,
    }
}

/// A decoded LOGISTIC or TANH.
pub struct Logistic<'m> {
    operands: Unary,
    is_tanh: bool,
    kernel: LogisticI16,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Logistic<'m> {
    const IN_PLACE: &'static [usize] = &[0];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let (operands, ..) = Unary::decode(record, 1)?;
        if operands.dtype != DType::I16 {
            return Err(operands.refuse());
        }
        if params.operation > 1 {
            return Err(OperatorError::Parameter(0));
        }
        if params.input_shift > 31 {
            return Err(OperatorError::Parameter(2));
        }
        Ok(Self {
            operands,
            is_tanh: params.operation == 1,
            kernel: LogisticI16 {
                input_multiplier: params.input_multiplier,
                input_shift: params.input_shift.into(),
            },
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        let Unary { x, y, .. } = self.operands;
        if self.is_tanh {
            call!(machine, tanh_i16, &self.kernel; in place [x] => y)
        } else {
            call!(machine, logistic_i16, &self.kernel; in place [x] => y)
        }
    }
}
