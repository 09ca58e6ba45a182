//! Arithmetic on numbers as they are, with broadcasting: sums, products, quotients, powers, the
//! larger and the smaller. Quantized operands of MAXIMUM and MINIMUM have the output's scale.
//!
//! Operands: two inputs, int8 to int64 or float32, whose shapes broadcast to the output's.

use systole_kernels::{
    Mismatch,
    arithmetic::{self, Clamp, Number},
    broadcast::{Operand, Walk},
    maximum_minimum::{maximum, minimum},
};

use super::elementwise::Binary;
use crate::{DType, Element, OperatorError, Record, format::params, memory::Memory, ops::Operator};

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

    fn run(&self, memory: &mut Memory<'_, '_>) -> Result<(), Mismatch> {
        let (min, max) = (self.params.min, self.params.max);
        match self.operands.dtype {
            DType::I8 => self.call(memory, Clamp { min: min as i8, max: max as i8 }),
            DType::I16 => self.call(memory, Clamp { min: min as i16, max: max as i16 }),
            DType::I32 => self.call(memory, Clamp { min: min as i32, max: max as i32 }),
            DType::I64 => self.call(memory, Clamp { min, max }),
            _ => {
                let float = |bits: i64| f32::from_bits(bits as u32);
                self.call(memory, Clamp { min: float(min), max: float(max) })
            }
        }
    }
}

impl Arithmetic<'_> {
    fn call<T: Number + Element>(
        &self,
        memory: &mut Memory<'_, '_>,
        range: Clamp<T>,
    ) -> Result<(), Mismatch> {
        self.operands.run(memory, |walk, a, b, y| operate(self.params.operation, range, walk, a, b, y))
    }
}

fn operate<T: Number>(
    operation: u8,
    range: Clamp<T>,
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    match operation {
        0 => arithmetic::add(range, walk, a, b, y),
        1 => arithmetic::sub(range, walk, a, b, y),
        2 => arithmetic::mul(range, walk, a, b, y),
        3 => arithmetic::div(range, walk, a, b, y),
        4 => arithmetic::squared_difference(walk, a, b, y),
        5 => arithmetic::floor_div(walk, a, b, y),
        6 => arithmetic::floor_mod(walk, a, b, y),
        7 => arithmetic::pow(walk, a, b, y),
        8 => maximum(walk, a, b, y),
        _ => minimum(walk, a, b, y),
    }
}
