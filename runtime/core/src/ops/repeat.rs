//! REPEAT: the operators right behind it run several times, on tensors that move.
//!
//! It has no operands. A tensor for which the file has an advance lies so many bytes further in each
//! repetition: the next rows of an image, of which the part computes one band after the other. Sessions
//! and compiled-in models carry it out themselves.

use core::marker::PhantomData;

use systole_kernels::Mismatch;

use crate::{OperatorError, Record, call::Machine, format::params, ops::Operator};

params! {
    /// Parameters of REPEAT.
    pub struct Params {
        /// How often the operators run, at least once.
        pub count: u16,
        /// How many operators right behind this one are repeated, at least one.
        pub body: u16,
    }
}

/// A decoded REPEAT.
pub struct Repeat<'m> {
    model: PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Repeat<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(0, 0)?;
        let Params { count, body } = record.params();
        match (count, body) {
            (0, _) => Err(OperatorError::Parameter(0)),
            (_, 0) => Err(OperatorError::Parameter(1)),
            _ => Ok(Self { model: PhantomData }),
        }
    }

    fn run<M: Machine>(&self, _machine: &mut M) -> Result<(), Mismatch> {
        Ok(())
    }
}
