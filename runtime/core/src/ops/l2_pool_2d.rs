//! L2_POOL_2D: the root of the mean of squares of each window, taps outside the input left out.
//!
//! Operands: float32 input NHWC; output NHWC with the same batches and channels.

use systole_kernels::{
    Mismatch,
    l2_pool_2d::{L2Pool2d as Kernel, l2_pool_2d_f32},
};

pub use super::pool::Params;
use super::pool::{self, Pooling};
use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    memory::Place,
    ops::Operator,
};

/// A decoded L2_POOL_2D.
pub struct L2Pool2d<'m> {
    x: Place,
    y: Place,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for L2Pool2d<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let pooling = Pooling::decode(record)?;
        if pooling.params.half_up != 0 {
            return Err(OperatorError::Parameter(3));
        }
        if pooling.x.stored_dtype() != DType::F32 {
            return Err(pooling.refuse());
        }
        Ok(Self {
            x: pooling.x.place,
            y: pooling.y.place,
            kernel: Kernel { pool: pooling.pool, activation: pooling.real_range() },
            model: core::marker::PhantomData,
        })
    }

    fn work(record: &Record<'m>) -> u64 {
        pool::work(record)
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        call!(machine, l2_pool_2d_f32, &self.kernel; [self.x] => self.y)
    }
}
