//! Arithmetic on numbers as they are, with broadcasting: sums, products, quotients, powers, the
//! larger and the smaller. Quantized operands of MAXIMUM and MINIMUM have the output's scale.
//!
//! Operands: two inputs, int8 to int64 or float32, whose shapes broadcast to the output's.

use systole_kernels::{
    Mismatch,
    arithmetic::{self, Clamp, Number},
    maximum_minimum::{maximum, minimum},
};

use super::elementwise::Binary;
use crate::{call::{Machine, Parameter, call}, DType, Element, OperatorError, Record, format::params,  ops::Operator};

params! {
    /// Parameters of arithmetic on numbers.
    pub struct Params {
        /// 0 `a + b`, 1 `a − b`, 2 `a × b`, 3 `a / b`, 4 `(a − b)²`, 5 `⌊a / b⌋`,
        /// 6 `a − b × ⌊a / b⌋`, 7 `a^b`, 8 the larger, 9 the smaller.
        pub operation: u8,
        /// Smallest output of operations 0 to 3; for float32 the bits of the number.
        pub min: i64,
        /// Largest output of operations 0 to 3; for float32 the bits of the number.
        pub max: i64,
    }
}

/// A decoded operation.
pub struct Arithmetic<'m> {
    operands: Binary,
    params: Params,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Arithmetic<'m> {
    const IN_PLACE: &'static [usize] = &[0, 1];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let (operands, _) = Binary::decode(record, None)?;
        let numbers = [DType::I8, DType::I16, DType::I32, DType::I64, DType::F32];
        if !numbers.contains(&operands.dtype) {
            return Err(operands.refuse());
        }
        if params.operation > 9 {
            return Err(OperatorError::Parameter(0));
        }
        Ok(Self { operands, params, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        let (min, max) = (self.params.min, self.params.max);
        match self.operands.dtype {
            DType::I8 => self.of(machine, Clamp { min: min as i8, max: max as i8 }),
            DType::I16 => self.of(machine, Clamp { min: min as i16, max: max as i16 }),
            DType::I32 => self.of(machine, Clamp { min: min as i32, max: max as i32 }),
            DType::I64 => self.of(machine, Clamp { min, max }),
            _ => {
                let float = |bits: i64| f32::from_bits(bits as u32);
                self.of(machine, Clamp { min: float(min), max: float(max) })
            }
        }
    }
}

impl Arithmetic<'_> {
    fn of<T: Number + Element + Parameter>(
        &self,
        machine: &mut impl Machine,
        range: Clamp<T>,
    ) -> Result<(), Mismatch> {
        let Binary { a, b, y, walk, .. } = &self.operands;
        let (a, b, y) = (*a, *b, *y);
        if walk.is_empty() {
            return Ok(());
        }
        match self.params.operation {
            0 => call!(machine, arithmetic::add::<T>, range, walk; in place [a, b] => y),
            1 => call!(machine, arithmetic::sub::<T>, range, walk; in place [a, b] => y),
            2 => call!(machine, arithmetic::mul::<T>, range, walk; in place [a, b] => y),
            3 => call!(machine, arithmetic::div::<T>, range, walk; in place [a, b] => y),
            4 => call!(machine, arithmetic::squared_difference::<T>, walk; in place [a, b] => y),
            5 => call!(machine, arithmetic::floor_div::<T>, walk; in place [a, b] => y),
            6 => call!(machine, arithmetic::floor_mod::<T>, walk; in place [a, b] => y),
            7 => call!(machine, arithmetic::pow::<T>, walk; in place [a, b] => y),
            8 => call!(machine, maximum::<T>, walk; in place [a, b] => y),
            _ => call!(machine, minimum::<T>, walk; in place [a, b] => y),
        }
    }
}
