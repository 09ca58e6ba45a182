//! MUL and DIV of quantized tensors: `y = (a ∘ b) × scale`, with broadcasting.
//!
//! Operands: two inputs, int8 or int16, whose shapes broadcast to the output's.

use systole_kernels::{
    Mismatch,
    mul::{Mul as Kernel, div, mul, mul_i8},
    quantized::Quantized,
    requantize::Rounding,
};

use super::elementwise::{Binary, FixedRounding, output_stage, with_rounding};
use crate::{call::{Machine, call}, DType, Element, OperatorError, Record, format::params,  ops::Operator};

params! {
    /// Parameters of MUL and DIV.
    pub struct Params {
        /// 0 multiplies, 1 divides, 2 divides and takes shifts of quotients by more than 31 bits
        /// modulo 32.
        pub operation: u8,
        /// Multiplier of the inputs' scales, multiplied or divided, over the output's.
        pub output_multiplier: i32,
        /// And its shift.
        pub output_shift: i8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded MUL or DIV.
pub struct Mul<'m> {
    operands: Binary,
    divides: bool,
    rounding: FixedRounding,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Mul<'m> {
    const IN_PLACE: &'static [usize] = &[0, 1];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let (operands, [a, b, y]) = Binary::decode(record, None)?;
        if !matches!(operands.dtype, DType::I8 | DType::I16) {
            return Err(operands.refuse());
        }
        if params.operation > 2 {
            return Err(OperatorError::Parameter(0));
        }
        Ok(Self {
            operands,
            divides: params.operation != 0,
            rounding: FixedRounding::decode(record)?,
            kernel: Kernel {
                a_offset: -a.stored_zero_point(),
                b_offset: -b.stored_zero_point(),
                output_multiplier: params.output_multiplier,
                output_shift: params.output_shift.into(),
                wrapping_shift: params.operation == 2,
                output: output_stage(&y, params.activation_min, params.activation_max),
            },
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        with_rounding!(self.rounding, R => match self.operands.dtype {
            DType::I16 => self.of::<R, i16>(machine),
            _ if !self.divides && !self.operands.walk.is_empty() => {
                let Binary { a, b, y, walk, .. } = &self.operands;
                call!(machine, mul_i8::<R>, &self.kernel, walk; in place [*a, *b] => *y)
            }
            _ => self.of::<R, i8>(machine),
        })
    }
}

impl Mul<'_> {
    fn of<R: Rounding, T: Quantized + Element>(
        &self,
        machine: &mut impl Machine,
    ) -> Result<(), Mismatch> {
        let Binary { a, b, y, walk, .. } = &self.operands;
        if walk.is_empty() {
            return Ok(());
        }
        if self.divides {
            call!(machine, div::<R, T>, &self.kernel, walk; in place [*a, *b] => *y)
        } else {
            call!(machine, mul::<R, T>, &self.kernel, walk; in place [*a, *b] => *y)
        }
    }
}
