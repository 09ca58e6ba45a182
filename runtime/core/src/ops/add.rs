//! ADD, SUB and SQUARED_DIFFERENCE of quantized tensors: `y = (a ∘ b) × scale`, with broadcasting.
//!
//! Operands: two inputs, int8 or int16, whose shapes broadcast to the output's.

use systole_kernels::{
    Mismatch,
    add::{Add as Kernel, add, add_i8, squared_difference, sub, sub_i8},
    quantized::Quantized,
    requantize::Rounding,
};

use super::elementwise::{Binary, FixedRounding, input_scale, output_stage, with_rounding};
use crate::{call::{Machine, call}, DType, Element, OperatorError, Record, format::params,  ops::Operator};

params! {
    /// Parameters of ADD, SUB and SQUARED_DIFFERENCE.
    pub struct Params {
        /// 0 adds, 1 subtracts, 2 squares the difference.
        pub operation: u8,
        /// Bits by which inputs are shifted to the left before they are scaled, at most 20.
        pub left_shift: u8,
        /// Multiplier of the first input's scale over the common scale.
        pub a_multiplier: i32,
        /// And its shift.
        pub a_shift: i8,
        /// Multiplier of the second input's scale over the common scale.
        pub b_multiplier: i32,
        /// And its shift.
        pub b_shift: i8,
        /// Multiplier of the common scale, shifted back, over the output's.
        pub output_multiplier: i32,
        /// And its shift.
        pub output_shift: i8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded ADD, SUB or SQUARED_DIFFERENCE.
pub struct Add<'m> {
    operands: Binary,
    operation: u8,
    rounding: FixedRounding,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Add<'m> {
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
        if params.left_shift > 20 {
            return Err(OperatorError::Parameter(1));
        }
        Ok(Self {
            operands,
            operation: params.operation,
            rounding: FixedRounding::decode(record)?,
            kernel: Kernel {
                a: input_scale(&a, params.a_multiplier, params.a_shift),
                b: input_scale(&b, params.b_multiplier, params.b_shift),
                left_shift: params.left_shift.into(),
                output_multiplier: params.output_multiplier,
                output_shift: params.output_shift.into(),
                output: output_stage(&y, params.activation_min, params.activation_max),
            },
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        with_rounding!(self.rounding, R => match (self.operands.dtype, self.operation) {
            (DType::I16, _) => self.of::<R, i16>(machine),
            (_, operation @ (0 | 1)) if !self.operands.walk.is_empty() => {
                let Binary { a, b, y, walk, .. } = &self.operands;
                if operation == 0 {
                    call!(machine, add_i8::<R>, &self.kernel, walk; in place [*a, *b] => *y)
                } else {
                    call!(machine, sub_i8::<R>, &self.kernel, walk; in place [*a, *b] => *y)
                }
            }
            _ => self.of::<R, i8>(machine),
        })
    }
}

impl Add<'_> {
    fn of<R: Rounding, T: Quantized + Element>(
        &self,
        machine: &mut impl Machine,
    ) -> Result<(), Mismatch> {
        let Binary { a, b, y, walk, .. } = &self.operands;
        if walk.is_empty() {
            return Ok(());
        }
        match self.operation {
            0 => call!(machine, add::<R, T>, &self.kernel, walk; in place [*a, *b] => *y),
            1 => call!(machine, sub::<R, T>, &self.kernel, walk; in place [*a, *b] => *y),
            _ => {
                call!(machine, squared_difference::<R, T>, &self.kernel, walk; in place [*a, *b] => *y)
            }
        }
    }
}
