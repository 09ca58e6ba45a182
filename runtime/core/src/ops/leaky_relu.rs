//! LEAKY_RELU of quantized values: negative numbers are multiplied by a slope.
//!
//! Operands: input and output, int8 or int16, of one shape.

use systole_kernels::{
    Mismatch,
    leaky_relu::{LeakyRelu as Kernel, Scale, leaky_relu},
};

use super::elementwise::{FixedRounding, Unary, output_stage, with_rounding};
use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params,  ops::Operator};

params! {
    /// Parameters of LEAKY_RELU.
    pub struct Params {
        /// Multiplier of the input's scale over the output's.
        pub identity_multiplier: i32,
        /// And its shift.
        pub identity_shift: i8,
        /// Multiplier of the same times the slope's magnitude.
        pub alpha_multiplier: i32,
        /// And its shift.
        pub alpha_shift: i8,
        /// 1 where the slope is negative, else 0.
        pub alpha_is_negative: u8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded LEAKY_RELU.
pub struct LeakyRelu<'m> {
    operands: Unary,
    rounding: FixedRounding,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for LeakyRelu<'m> {
    const IN_PLACE: &'static [usize] = &[0];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let (operands, x, y) = Unary::decode(record, 1)?;
        if !matches!(operands.dtype, DType::I8 | DType::I16) {
            return Err(operands.refuse());
        }
        if params.alpha_is_negative > 1 {
            return Err(OperatorError::Parameter(4));
        }
        Ok(Self {
            operands,
            rounding: FixedRounding::decode(record)?,
            kernel: Kernel {
                input_offset: -x.stored_zero_point(),
                identity: Scale {
                    multiplier: params.identity_multiplier,
                    shift: params.identity_shift.into(),
                },
                alpha: Scale {
                    multiplier: params.alpha_multiplier,
                    shift: params.alpha_shift.into(),
                },
                alpha_is_negative: params.alpha_is_negative == 1,
                output: output_stage(&y, params.activation_min, params.activation_max),
            },
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        let Unary { x, y, dtype } = self.operands;
        with_rounding!(self.rounding, R => match dtype {
            DType::I16 => call!(machine, leaky_relu::<R, i16>, &self.kernel; in place [x] => y),
            _ => call!(machine, leaky_relu::<R, i8>, &self.kernel; in place [x] => y),
        })
    }
}
