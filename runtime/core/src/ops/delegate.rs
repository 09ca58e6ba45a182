//! DELEGATE: a part of the model that an accelerator computes, outside of this runtime.
//!
//! Operands: any number of inputs, then the blob, a constant of uint8 with one dimension; 1 to 32
//! outputs. A session hands the operator to the program's [`crate::Delegate`]. The operators right
//! behind it, as many as `fallback` says, compute the same outputs: they run where there is no delegate,
//! and are passed over where there is one.

use core::marker::PhantomData;

use systole_kernels::Mismatch;

use crate::{
    DType, OperatorError, Record, call::Machine, format::params, ops::Operator,
};

/// The most outputs: more than compilers of accelerators give a part.
pub const MAX_OUTPUTS: usize = 32;

/// The blob is a TFLite model, whose inputs and outputs are the operator's in their order.
pub const TFLITE: u8 = 0;

params! {
    /// Parameters of DELEGATE.
    pub struct Params {
        /// What the blob is: 0 a TFLite model, whose inputs and outputs are the operator's in their
        /// order.
        pub kind: u8,
        /// How many operators right behind this one stand in for it.
        pub fallback: u16,
    }
}

/// A decoded DELEGATE.
pub struct Delegate<'m> {
    model: PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Delegate<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let (inputs, outputs) = (record.input_count(), record.output_count());
        let Some(blob) = inputs.checked_sub(1) else { return Err(OperatorError::OperandCount) };
        if outputs == 0 || outputs > MAX_OUTPUTS {
            return Err(OperatorError::OperandCount);
        }
        if record.params::<Params>().kind != TFLITE {
            return Err(OperatorError::Parameter(0));
        }
        for input in 0..blob {
            record.input(input)?;
        }
        record.constant::<u8>(blob)?;
        record.input(blob)?.expect_rank(1, blob)?.expect_type(DType::U8, blob)?;
        for output in 0..outputs {
            record.output(output)?;
        }
        Ok(Self { model: PhantomData })
    }

    /// No kernel does it: sessions ask the program's delegate.
    fn run<M: Machine>(&self, _: &mut M) -> Result<(), Mismatch> {
        Err(Mismatch)
    }
}
