//! ARG_MAX and ARG_MIN: the index of the largest or smallest value along an axis.
//!
//! Operands: input of int8, int16, int32, int64, float32 or bool; int32 or int64 output, its shape
//! without the axis.

use systole_kernels::{
    Mismatch,
    arg_max::{arg_max, arg_min},
    axis::Axis,
};

use super::axis::axis;
use crate::{call::{Machine, call}, 
    DType, Element, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of ARG_MAX and ARG_MIN.
    pub struct Params {
        /// The axis, counted from the outermost.
        pub axis: u8,
        /// 0 for the largest value, 1 for the smallest.
        pub smallest: u8,
    }
}

/// A decoded ARG_MAX or ARG_MIN.
pub struct ArgMax<'m> {
    x: Place,
    y: Place,
    dtype: DType,
    wide: bool,
    smallest: bool,
    axis: Axis,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for ArgMax<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let (x, y) = (record.input(0)?, record.output(0)?);
        let axis = axis(&x, params.axis)?;
        // An axis has at most u32::MAX indices; int32 holds fewer.
        if axis.len == 0 || axis.len > i32::MAX as usize {
            return Err(OperatorError::Shape(0));
        }
        if axis.outer.checked_mul(axis.inner) != Some(y.len()) {
            return Err(OperatorError::Shape(1));
        }
        if params.smallest > 1 {
            return Err(OperatorError::Parameter(1));
        }
        let wide = match y.stored_dtype() {
            DType::I32 => false,
            DType::I64 => true,
            found => return Err(OperatorError::Type { operand: 1, found }),
        };
        let dtype = x.stored_dtype();
        match dtype {
            DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::F32 | DType::Bool => {}
            found => return Err(OperatorError::Type { operand: 0, found }),
        }
        Ok(Self {
            x: x.place,
            y: y.place,
            dtype,
            wide,
            smallest: params.smallest == 1,
            axis,
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.dtype {
            DType::I8 => self.index::<i8>(machine),
            DType::I16 => self.index::<i16>(machine),
            DType::I32 => self.index::<i32>(machine),
            DType::I64 => self.index::<i64>(machine),
            DType::F32 => self.index::<f32>(machine),
            DType::Bool => self.index::<u8>(machine),
            _ => Err(Mismatch),
        }
    }
}

impl ArgMax<'_> {
    fn index<T: Element + PartialOrd>(&self, machine: &mut impl Machine) -> Result<(), Mismatch> {
        if self.wide { self.write::<T, i64>(machine) } else { self.write::<T, i32>(machine) }
    }

    fn write<T: Element + PartialOrd, I: Element + TryFrom<usize>>(
        &self,
        machine: &mut impl Machine,
    ) -> Result<(), Mismatch> {
        if self.smallest {
            call!(machine, arg_min::<T, I>, &self.axis; [self.x] => self.y)
        } else {
            call!(machine, arg_max::<T, I>, &self.axis; [self.x] => self.y)
        }
    }
}
