//! GATHER_ND: slices picked by tuples of indices.
//!
//! Operands: input of any type, indices (int16, int32 or int64) `[…, depth]` whose tuples name the
//! input's first `depth` axes; output `[…, the input's other axes]`. Indices outside of their axis
//! count as the nearest inside.

use core::marker::PhantomData;

use systole_kernels::{
    Mismatch,
    gather_nd::{GatherNd as Kernel, gather_nd},
};

use super::{
    gather::IndexType,
    movement::{Width, same_type, with_width},
};
use crate::{call::{Machine, call}, 
    OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// GATHER_ND has no parameters.
    pub struct Params {}
}

/// A decoded GATHER_ND.
pub struct GatherNd<'m> {
    x: Place,
    indices: Place,
    y: Place,
    width: Width,
    index: IndexType,
    kernel: Kernel,
    model: PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for GatherNd<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(2, 1)?;
        let (x, indices, y) = (record.input(0)?, record.input(1)?, record.output(0)?);
        same_type(&x, &y, 2)?;
        let index = IndexType::new(indices.stored_dtype(), 1)?;
        let (&depth, tuples) = indices.shape().dims().split_last().ok_or(OperatorError::Shape(1))?;
        let depth = depth as usize;
        let inner = x.shape().dims().get(depth..).ok_or(OperatorError::Shape(1))?;
        if !tuples.iter().chain(inner).eq(y.shape().dims()) {
            return Err(OperatorError::Shape(2));
        }
        Ok(Self {
            x: x.place,
            indices: indices.place,
            y: y.place,
            width: Width::of(&x),
            index,
            kernel: Kernel::new(x.shape(), depth).ok_or(OperatorError::Shape(0))?,
            model: PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        with_width!(self.width, T => match self.index {
            IndexType::I16 => {
                call!(machine, gather_nd::<T, i16>, &self.kernel; [self.x, self.indices] => self.y)
            }
            IndexType::I32 => {
                call!(machine, gather_nd::<T, i32>, &self.kernel; [self.x, self.indices] => self.y)
            }
            IndexType::I64 => {
                call!(machine, gather_nd::<T, i64>, &self.kernel; [self.x, self.indices] => self.y)
            }
        })
    }
}
