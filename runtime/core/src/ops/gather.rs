//! GATHER: slices along an axis, picked by indices.
//!
//! Operands: input of any type, indices (int16, int32 or int64) whose first `batch_dims` extents are
//! the input's; output with the indices' other axes in place of the axis. Indices outside of the
//! axis count as the nearest inside.

use core::marker::PhantomData;

use systole_kernels::{
    Mismatch,
    gather::{Gather as Kernel, gather},
};

use super::movement::{Width, same_type, with_width};
use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of GATHER.
    pub struct Params {
        /// The axis that is indexed.
        pub axis: u8,
        /// How many leading axes input and indices share; at most `axis`.
        pub batch_dims: u8,
    }
}

/// A decoded GATHER.
pub struct Gather<'m> {
    x: Place,
    indices: Place,
    y: Place,
    width: Width,
    index: IndexType,
    kernel: Kernel,
    model: PhantomData<&'m ()>,
}

/// The types that indices may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexType {
    I16,
    I32,
    I64,
}

impl IndexType {
    /// The type of operand `operand`.
    pub(crate) fn new(found: DType, operand: u8) -> Result<Self, OperatorError> {
        match found {
            DType::I16 => Ok(Self::I16),
            DType::I32 => Ok(Self::I32),
            DType::I64 => Ok(Self::I64),
            _ => Err(OperatorError::Type { operand, found }),
        }
    }
}

impl<'m> Operator<'m> for Gather<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(2, 1)?;
        let params: Params = record.params();
        let (x, indices, y) = (record.input(0)?, record.input(1)?, record.output(0)?);
        same_type(&x, &y, 2)?;
        let index = IndexType::new(indices.stored_dtype(), 1)?;
        let (axis, batch_dims) = (usize::from(params.axis), usize::from(params.batch_dims));
        let (x_dims, index_dims) = (x.shape().dims(), indices.shape().dims());
        let extent = *x_dims.get(axis).ok_or(OperatorError::Parameter(0))?;
        let batches = x_dims.get(..batch_dims).ok_or(OperatorError::Parameter(1))?;
        let outer = x_dims.get(batch_dims..axis).ok_or(OperatorError::Parameter(1))?;
        let inner = x_dims.get(axis + 1..).unwrap_or_default();
        let counts = index_dims.get(batch_dims..).ok_or(OperatorError::Parameter(1))?;
        if index_dims.get(..batch_dims) != Some(batches) {
            return Err(OperatorError::Shape(1));
        }
        // An axis without elements has nothing to gather.
        if x.len() == 0 {
            return Err(OperatorError::Shape(0));
        }
        let wanted = batches.iter().chain(outer).chain(counts).chain(inner);
        if !wanted.eq(y.shape().dims()) {
            return Err(OperatorError::Shape(2));
        }
        let product = |dims: &[u32]| dims.iter().map(|&dim| dim as usize).product();
        Ok(Self {
            x: x.place,
            indices: indices.place,
            y: y.place,
            width: Width::of(&x),
            index,
            kernel: Kernel {
                batches: product(batches),
                outer: product(outer),
                axis: extent as usize,
                inner: product(inner),
                indices: product(counts),
            },
            model: PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        with_width!(self.width, T => match self.index {
            IndexType::I16 => {
                call!(machine, gather::<T, i16>, &self.kernel; [self.x, self.indices] => self.y)
            }
            IndexType::I32 => {
                call!(machine, gather::<T, i32>, &self.kernel; [self.x, self.indices] => self.y)
            }
            IndexType::I64 => {
                call!(machine, gather::<T, i64>, &self.kernel; [self.x, self.indices] => self.y)
            }
        })
    }
}
