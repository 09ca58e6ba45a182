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
use crate::{
    DType, Element, OperatorError, Record,
    format::params,
    memory::{Memory, Place},
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

    fn run(&self, memory: &mut Memory<'_, '_>) -> Result<(), Mismatch> {
        match self.dtype {
            DType::I8 => self.index::<i8>(memory),
            DType::I16 => self.index::<i16>(memory),
            DType::I32 => self.index::<i32>(memory),
            DType::I64 => self.index::<i64>(memory),
            DType::F32 => self.index::<f32>(memory),
            DType::Bool => self.index::<u8>(memory),
            _ => Err(Mismatch),
        }
    }
}

impl ArgMax<'_> {
    fn index<T: Element + PartialOrd>(&self, memory: &mut Memory<'_, '_>) -> Result<(), Mismatch> {
        if self.wide { self.write::<T, i64>(memory) } else { self.write::<T, i32>(memory) }
    }

    fn write<T: Element + PartialOrd, I: Element + TryFrom<usize>>(
        &self,
        memory: &mut Memory<'_, '_>,
    ) -> Result<(), Mismatch> {
        let (x, y) = memory.unary::<T, I>(self.x, self.y)?;
        if self.smallest { arg_min(&self.axis, x, y) } else { arg_max(&self.axis, x, y) }
    }
}
