//! LOGICAL_AND, LOGICAL_OR and LOGICAL_NOT.
//!
//! Operands: two inputs that broadcast to the output, or one of its shape; all bool.

use systole_kernels::{
    Mismatch,
    logical::{logical_and, logical_not, logical_or},
};

use super::elementwise::{Binary, Unary};
use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params,  ops::Operator};

params! {
    /// Parameters of logical operations.
    pub struct Params {
        /// 0 and, 1 or, 2 not (with one input).
        pub operation: u8,
    }
}

/// A decoded logical operation.
pub struct Logical<'m> {
    operation: Operation,
    model: core::marker::PhantomData<&'m ()>,
}

enum Operation {
    And(Binary),
    Or(Binary),
    Not(Unary),
}

impl<'m> Operator<'m> for Logical<'m> {
    const IN_PLACE: &'static [usize] = &[0, 1];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let operation = match params.operation {
            0 => Operation::And(Binary::decode(record, None)?.0),
            1 => Operation::Or(Binary::decode(record, None)?.0),
            2 => Operation::Not(Unary::decode(record, 1)?.0),
            _ => return Err(OperatorError::Parameter(0)),
        };
        record.input(0)?.expect_type(DType::Bool, 0)?;
        Ok(Self { operation, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.operation {
            Operation::And(Binary { a, b, y, walk, .. }) => {
                call!(machine, logical_and, walk; in place [*a, *b] => *y)
            }
            Operation::Or(Binary { a, b, y, walk, .. }) => {
                call!(machine, logical_or, walk; in place [*a, *b] => *y)
            }
            Operation::Not(operands) => {
                call!(machine, logical_not; in place [operands.x] => operands.y)
            }
        }
    }
}
