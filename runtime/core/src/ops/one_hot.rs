//! ONE_HOT: one value at the place that an index names, another elsewhere.
//!
//! Operands: indices (int32 or int64), the value there and the value elsewhere, one element each;
//! output with the indices' axes and a new one among them, of the values' type.

use core::marker::PhantomData;

use systole_kernels::{
    Mismatch,
    one_hot::{OneHot as Kernel, one_hot},
};

use super::movement::{Width, same_type, with_width};
use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of ONE_HOT.
    pub struct Params {
        /// Which axis of the output is the new one.
        pub axis: u8,
    }
}

/// A decoded ONE_HOT.
pub struct OneHot<'m> {
    indices: Place,
    on: Place,
    off: Place,
    y: Place,
    width: Width,
    /// Whether indices are int64.
    wide: bool,
    kernel: Kernel,
    model: PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for OneHot<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(3, 1)?;
        let axis = usize::from(record.params::<Params>().axis);
        let (indices, y) = (record.input(0)?, record.output(0)?);
        let (on, off) = (record.input(1)?, record.input(2)?);
        for (value, operand) in [(&on, 1), (&off, 2)] {
            same_type(&y, value, operand)?;
            if value.len() != 1 {
                return Err(OperatorError::Shape(operand as u8));
            }
        }
        let wide = match indices.stored_dtype() {
            DType::I32 => false,
            DType::I64 => true,
            found => return Err(OperatorError::Type { operand: 0, found }),
        };
        let dims = indices.shape().dims();
        let outer = dims.get(..axis).ok_or(OperatorError::Parameter(0))?;
        let inner = dims.get(axis..).unwrap_or_default();
        let depth = y.shape().dim(axis);
        if !outer.iter().chain(&[depth as u32]).chain(inner).eq(y.shape().dims()) {
            return Err(OperatorError::Shape(3));
        }
        Ok(Self {
            indices: indices.place,
            on: on.place,
            off: off.place,
            y: y.place,
            width: Width::of(&y),
            wide,
            kernel: Kernel { depth, inner: inner.iter().map(|&dim| dim as usize).product() },
            model: PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        with_width!(self.width, T => if self.wide {
            call!(machine, one_hot::<T, i64>, &self.kernel; [self.indices, self.on, self.off] => self.y)
        } else {
            call!(machine, one_hot::<T, i32>, &self.kernel; [self.indices, self.on, self.off] => self.y)
        })
    }
}
