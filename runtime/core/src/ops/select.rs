//! SELECT_V2: elements of one input or another, as a condition says, with broadcasting.
//!
//! Operands: condition (bool), the input for true and the one for false, of one type; their shapes
//! broadcast to the output's.

use systole_kernels::{Mismatch, broadcast::Walk, select::select};

use super::elementwise::walk;
use crate::{call::{Machine, call}, 
    DType, Element, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// SELECT_V2 has no parameters.
    pub struct Params {}
}

/// A decoded SELECT_V2.
pub struct Select<'m> {
    condition: Place,
    a: Place,
    b: Place,
    y: Place,
    walk: Walk<3>,
    element_bytes: usize,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Select<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(3, 1)?;
        let condition = record.input(0)?.expect_type(DType::Bool, 0)?;
        let a = record.input(1)?;
        let b = record.input(2)?.expect_type(a.stored_dtype(), 2)?;
        let y = record.output(0)?.expect_type(a.stored_dtype(), 3)?;
        Ok(Self {
            condition: condition.place,
            a: a.place,
            b: b.place,
            y: y.place,
            walk: walk([&condition, &a, &b], &y)?,
            element_bytes: a.stored_dtype().size(),
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.element_bytes {
            1 => self.call::<u8>(machine),
            2 => self.call::<u16>(machine),
            4 => self.call::<u32>(machine),
            _ => self.call::<i64>(machine),
        }
    }
}

impl Select<'_> {
    fn call<T: Element>(&self, machine: &mut impl Machine) -> Result<(), Mismatch> {
        call!(machine, select::<T>, &self.walk; [self.condition, self.a, self.b] => self.y)
    }
}
