//! ADD and SUB of int16 tensors whose scales are powers of two, with broadcasting.
//!
//! Operands: two inputs, int16 with zero point 0, whose shapes broadcast to the output's.

use systole_kernels::{
    Mismatch,
    add::{AddPowerOfTwo as Kernel, add_power_of_two_i16, sub_power_of_two_i16},
};

use super::elementwise::{Binary, output_stage};
use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params,  ops::Operator};

params! {
    /// Parameters of ADD and SUB with scales that are powers of two.
    pub struct Params {
        /// 0 adds, 1 subtracts.
        pub operation: u8,
        /// The first input is divided by two to this power, at most 31.
        pub a_shift: u8,
        /// The second input is divided by two to this power, at most 31.
        pub b_shift: u8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded ADD or SUB.
pub struct AddPowerOfTwo<'m> {
    operands: Binary,
    subtracts: bool,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for AddPowerOfTwo<'m> {
    const IN_PLACE: &'static [usize] = &[0, 1];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let (operands, [_, _, y]) = Binary::decode(record, None)?;
        if operands.dtype != DType::I16 {
            return Err(operands.refuse());
        }
        if params.operation > 1 {
            return Err(OperatorError::Parameter(0));
        }
        if params.a_shift > 31 || params.b_shift > 31 {
            return Err(OperatorError::Parameter(1));
        }
        Ok(Self {
            operands,
            subtracts: params.operation == 1,
            kernel: Kernel {
                a_shift: params.a_shift.into(),
                b_shift: params.b_shift.into(),
                output: output_stage(&y, params.activation_min, params.activation_max),
            },
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        let Binary { a, b, y, walk, .. } = &self.operands;
        if self.subtracts {
            call!(machine, sub_power_of_two_i16, &self.kernel, walk; in place [*a, *b] => *y)
        } else {
            call!(machine, add_power_of_two_i16, &self.kernel, walk; in place [*a, *b] => *y)
        }
    }
}
