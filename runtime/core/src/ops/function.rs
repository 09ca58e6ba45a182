//! A function of one number: of float32, and for three of them of an integer.
//!
//! Operands: input and output of one type and shape.

use systole_kernels::{
    Mismatch,
    arithmetic::Clamp,
    functions::{self, Signed},
};

use super::elementwise::Unary;
use crate::{call::{Machine, call}, DType, Element, OperatorError, Record, format::params,  ops::Operator};

params! {
    /// Parameters of a function of one number.
    pub struct Params {
        /// 0 negative, 1 magnitude, 2 sign (of int8 to int64 and float32); of float32 alone
        /// 3 range (RELU and its relatives), 4 LEAKY_RELU, 5 LOGISTIC, 6 TANH, 7 ELU, 8 GELU,
        /// 9 GELU approximated, 10 HARD_SWISH, 11 EXP, 12 LOG, 13 SQRT, 14 RSQRT, 15 SIN, 16 COS,
        /// 17 SQUARE, 18 FLOOR, 19 CEIL, 20 ROUND, 21 the error function.
        pub function: u8,
        /// The slope of LEAKY_RELU.
        pub alpha: f32,
        /// Smallest output of the range.
        pub min: f32,
        /// Largest output of the range.
        pub max: f32,
    }
}

/// A decoded function.
pub struct Function<'m> {
    operands: Unary,
    params: Params,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Function<'m> {
    const IN_PLACE: &'static [usize] = &[0];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let (operands, ..) = Unary::decode(record, 1)?;
        let accepted = match operands.dtype {
            DType::F32 => true,
            DType::I8 | DType::I16 | DType::I32 | DType::I64 => params.function <= 2,
            _ => false,
        };
        if !accepted {
            return Err(operands.refuse());
        }
        if params.function > 21 {
            return Err(OperatorError::Parameter(0));
        }
        Ok(Self { operands, params, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.operands.dtype {
            DType::I8 => self.signed::<i8>(machine),
            DType::I16 => self.signed::<i16>(machine),
            DType::I32 => self.signed::<i32>(machine),
            DType::I64 => self.signed::<i64>(machine),
            _ if self.params.function <= 2 => self.signed::<f32>(machine),
            _ => self.real(machine),
        }
    }
}

impl Function<'_> {
    fn signed<T: Signed + Element>(&self, machine: &mut impl Machine) -> Result<(), Mismatch> {
        let Unary { x, y, .. } = self.operands;
        match self.params.function {
            0 => call!(machine, functions::negative::<T>; in place [x] => y),
            1 => call!(machine, functions::magnitude::<T>; in place [x] => y),
            _ => call!(machine, functions::sign::<T>; in place [x] => y),
        }
    }

    fn real(&self, machine: &mut impl Machine) -> Result<(), Mismatch> {
        let Params { alpha, min, max, .. } = self.params;
        let Unary { x, y, .. } = self.operands;
        match self.params.function {
            3 => call!(machine, functions::clamp_f32, Clamp { min, max }; in place [x] => y),
            4 => call!(machine, functions::leaky_relu_f32, alpha; in place [x] => y),
            5 => call!(machine, functions::logistic_f32; in place [x] => y),
            6 => call!(machine, functions::tanh_f32; in place [x] => y),
            7 => call!(machine, functions::elu_f32; in place [x] => y),
            8 => call!(machine, functions::gelu_f32; in place [x] => y),
            9 => call!(machine, functions::gelu_tanh_f32; in place [x] => y),
            10 => call!(machine, functions::hard_swish_f32; in place [x] => y),
            11 => call!(machine, functions::exp_f32; in place [x] => y),
            12 => call!(machine, functions::log_f32; in place [x] => y),
            13 => call!(machine, functions::sqrt_f32; in place [x] => y),
            14 => call!(machine, functions::rsqrt_f32; in place [x] => y),
            15 => call!(machine, functions::sin_f32; in place [x] => y),
            16 => call!(machine, functions::cos_f32; in place [x] => y),
            17 => call!(machine, functions::square_f32; in place [x] => y),
            18 => call!(machine, functions::floor_f32; in place [x] => y),
            19 => call!(machine, functions::ceil_f32; in place [x] => y),
            20 => call!(machine, functions::round_f32; in place [x] => y),
            _ => call!(machine, functions::erf_f32; in place [x] => y),
        }
    }
}
