//! EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER and GREATER_EQUAL, with broadcasting.
//!
//! Operands: two inputs whose shapes broadcast to the output's, which is bool. Quantized inputs,
//! int8 or int16, are scaled where the record states a rounding; without one, values compare as they
//! are: int8 to int64, float32, bool.

use systole_kernels::{
    Mismatch,
    compare::{CompareQuantized, Comparison, compare, compare_quantized},
    quantized::Quantized,
    requantize::Rounding,
};

use super::elementwise::{Binary, FixedRounding, input_scale, with_rounding};
use crate::{call::{Machine, call}, 
    DType, Element, OperatorError, Record,
    format::{RoundingCode, params},
    
    ops::Operator,
};

params! {
    /// Parameters of comparisons.
    pub struct Params {
        /// Which outcomes give true: 1 less, 2 equal, 4 greater, 8 one is not a number, added up.
        pub outcomes: u8,
        /// Bits by which quantized inputs are shifted to the left before they are scaled, at most 20.
        pub left_shift: u8,
        /// Multiplier of the first input's scale.
        pub a_multiplier: i32,
        /// And its shift.
        pub a_shift: i8,
        /// Multiplier of the second input's scale.
        pub b_multiplier: i32,
        /// And its shift.
        pub b_shift: i8,
    }
}

/// A decoded comparison.
pub struct Compare<'m> {
    operands: Binary,
    rounding: Option<FixedRounding>,
    kernel: CompareQuantized,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Compare<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let (operands, [a, b, _]) = Binary::decode(record, Some(DType::Bool))?;
        let rounding = match record.rounding()? {
            RoundingCode::None => None,
            _ => Some(FixedRounding::decode(record)?),
        };
        let comparable = match operands.dtype {
            DType::I8 | DType::I16 => true,
            DType::I32 | DType::I64 | DType::F32 | DType::Bool => rounding.is_none(),
            _ => false,
        };
        if !comparable {
            return Err(operands.refuse());
        }
        if params.outcomes > 15 {
            return Err(OperatorError::Parameter(0));
        }
        if params.left_shift > 20 {
            return Err(OperatorError::Parameter(1));
        }
        Ok(Self {
            operands,
            rounding,
            kernel: CompareQuantized {
                comparison: Comparison {
                    less: params.outcomes & 1 != 0,
                    equal: params.outcomes & 2 != 0,
                    greater: params.outcomes & 4 != 0,
                    unordered: params.outcomes & 8 != 0,
                },
                a: input_scale(&a, params.a_multiplier, params.a_shift),
                b: input_scale(&b, params.b_multiplier, params.b_shift),
                left_shift: params.left_shift.into(),
            },
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        let Some(rounding) = self.rounding else {
            return match self.operands.dtype {
                DType::I8 => self.plain::<i8>(machine),
                DType::I16 => self.plain::<i16>(machine),
                DType::I32 => self.plain::<i32>(machine),
                DType::I64 => self.plain::<i64>(machine),
                DType::F32 => self.plain::<f32>(machine),
                _ => self.plain::<u8>(machine),
            };
        };
        with_rounding!(rounding, R => match self.operands.dtype {
            DType::I16 => self.quantized::<R, i16>(machine),
            _ => self.quantized::<R, i8>(machine),
        })
    }
}

impl Compare<'_> {
    fn plain<T: Element + PartialOrd>(&self, machine: &mut impl Machine) -> Result<(), Mismatch> {
        let Binary { a, b, y, walk, .. } = &self.operands;
        call!(machine, compare::<T>, self.kernel.comparison, walk; [*a, *b] => *y)
    }

    fn quantized<R: Rounding, T: Element + Quantized>(
        &self,
        machine: &mut impl Machine,
    ) -> Result<(), Mismatch> {
        let Binary { a, b, y, walk, .. } = &self.operands;
        call!(machine, compare_quantized::<R, T>, &self.kernel, walk; [*a, *b] => *y)
    }
}
