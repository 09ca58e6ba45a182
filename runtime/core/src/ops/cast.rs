//! CAST: from one element type to another.
//!
//! Operands: input and output of one shape, of any types but float64 and uint16.

use half::f16;
use systole_kernels::{
    Mismatch,
    cast::{CastTo, cast, to_bool},
};

use crate::{call::{Machine, call}, 
    DType, Element, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// CAST has no parameters.
    pub struct Params {}
}

/// A decoded CAST.
pub struct Cast<'m> {
    x: Place,
    y: Place,
    from: DType,
    to: DType,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Cast<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let (x, y) = (record.input(0)?, record.output(0)?);
        // Users' types: a tensor that was uint8 is cast as such, not as what is stored.
        let types = [x.dtype(), y.dtype()];
        for (operand, (tensor, found)) in [&x, &y].into_iter().zip(types).enumerate() {
            if matches!(found, DType::F64 | DType::U16) || tensor.is_unsigned() {
                return Err(OperatorError::Type { operand: operand as u8, found });
            }
        }
        if x.shape() != y.shape() {
            return Err(OperatorError::Shape(1));
        }
        let [from, to] = types;
        Ok(Self { x: x.place, y: y.place, from, to, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.from {
            DType::I8 => self.cast_from::<i8>(machine),
            DType::U8 | DType::Bool => self.cast_from::<u8>(machine),
            DType::I16 => self.cast_from::<i16>(machine),
            DType::I32 => self.cast_from::<i32>(machine),
            DType::I64 => self.cast_from::<i64>(machine),
            DType::U32 => self.cast_from::<u32>(machine),
            DType::F16 => self.cast_from::<f16>(machine),
            _ => self.cast_from::<f32>(machine),
        }
    }
}

impl Cast<'_> {
    fn cast_from<X>(&self, machine: &mut impl Machine) -> Result<(), Mismatch>
    where
        X: Element
            + PartialEq
            + Default
            + CastTo<i8>
            + CastTo<u8>
            + CastTo<i16>
            + CastTo<i32>
            + CastTo<i64>
            + CastTo<u32>
            + CastTo<f16>
            + CastTo<f32>,
    {
        match self.to {
            DType::I8 => self.cast_to::<X, i8>(machine),
            DType::U8 => self.cast_to::<X, u8>(machine),
            DType::I16 => self.cast_to::<X, i16>(machine),
            DType::I32 => self.cast_to::<X, i32>(machine),
            DType::I64 => self.cast_to::<X, i64>(machine),
            DType::U32 => self.cast_to::<X, u32>(machine),
            DType::F16 => self.cast_to::<X, f16>(machine),
            DType::Bool => {
                call!(machine, to_bool::<X>; [self.x] => self.y)
            }
            _ => self.cast_to::<X, f32>(machine),
        }
    }

    fn cast_to<X: Element + CastTo<Y>, Y: Element>(
        &self,
        machine: &mut impl Machine,
    ) -> Result<(), Mismatch> {
        call!(machine, cast::<X, Y>; [self.x] => self.y)
    }
}
