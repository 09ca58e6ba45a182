//! A function of one number: of float32, and for three of them of an integer.
//!
//! Operands: input and output of one type and shape.

use systole_kernels::{
    Mismatch,
    arithmetic::Clamp,
    broadcast::unary_in_place,
    functions::{self, Signed},
};

use super::elementwise::Unary;
use crate::{DType, Element, OperatorError, Record, format::params, memory::Memory, ops::Operator};

params! {
    /// Parameters of a function of one number.
    pub struct Params {
        /// 0 negative, 1 magnitude, 2 sign (of int8 to int64 and float32); of float32 alone
        /// 3 range (RELU and its relatives), 4 LEAKY_RELU, 5 LOGISTIC, 6 TANH, 7 ELU, 8 GELU,
        /// 9 GELU approximated, 10 HARD_SWISH, 11 EXP, 12 LOG, 13 SQRT, 14 RSQRT, 15 SIN, 16 COS,
        /// 17 SQUARE, 18 FLOOR, 19 CEIL, 20 ROUND.
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
        if params.function > 20 {
            return Err(OperatorError::Parameter(0));
        }
        Ok(Self { operands, params, model: core::marker::PhantomData })
    }

    fn run(&self, memory: &mut Memory<'_, '_>) -> Result<(), Mismatch> {
        match self.operands.dtype {
            DType::I8 => self.signed::<i8>(memory),
            DType::I16 => self.signed::<i16>(memory),
            DType::I32 => self.signed::<i32>(memory),
            DType::I64 => self.signed::<i64>(memory),
            _ if self.params.function <= 2 => self.signed::<f32>(memory),
            _ => self.real(memory),
        }
    }
}

impl Function<'_> {
    fn signed<T: Signed + Element>(&self, memory: &mut Memory<'_, '_>) -> Result<(), Mismatch> {
        self.operands.run::<T>(memory, |x, y| match self.params.function {
            0 => unary_in_place(x, y, T::negative),
            1 => unary_in_place(x, y, T::magnitude),
            _ => unary_in_place(x, y, T::sign),
        })
    }

    fn real(&self, memory: &mut Memory<'_, '_>) -> Result<(), Mismatch> {
        let Params { alpha, min, max, .. } = self.params;
        let range = Clamp { min, max };
        self.operands.run::<f32>(memory, |x, y| match self.params.function {
            3 => unary_in_place(x, y, |x| range.apply(x)),
            4 => unary_in_place(x, y, |x| functions::leaky_relu(alpha, x)),
            5 => unary_in_place(x, y, functions::logistic),
            6 => unary_in_place(x, y, functions::tanh),
            7 => unary_in_place(x, y, functions::elu),
            8 => unary_in_place(x, y, functions::gelu),
            9 => unary_in_place(x, y, functions::gelu_tanh),
            10 => unary_in_place(x, y, functions::hard_swish),
            11 => unary_in_place(x, y, functions::exp),
            12 => unary_in_place(x, y, functions::log),
            13 => unary_in_place(x, y, functions::sqrt),
            14 => unary_in_place(x, y, functions::rsqrt),
            15 => unary_in_place(x, y, functions::sin),
            16 => unary_in_place(x, y, functions::cos),
            17 => unary_in_place(x, y, functions::square),
            18 => unary_in_place(x, y, functions::floor),
            19 => unary_in_place(x, y, functions::ceil),
            _ => unary_in_place(x, y, functions::round),
        })
    }
}
