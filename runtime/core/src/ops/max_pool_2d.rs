//! MAX_POOL_2D: the largest value of each window, taps outside the input left out.
//!
//! Operands: int8, int16 or float32 input NHWC; output NHWC of the same type, batches, channels,
//! scale and zero point.

use systole_kernels::{
    Mismatch,
    max_pool_2d::{MaxPool2d as Parameters, max_pool_2d_f32, max_pool_2d_i8, max_pool_2d_i16},
};

pub use super::pool::Params;
use super::pool::{self, Pooling};
use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    memory::Place,
    ops::Operator,
};

/// A decoded MAX_POOL_2D.
pub struct MaxPool2d<'m> {
    x: Place,
    y: Place,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

enum Kernel {
    I8(Parameters<i8>),
    I16(Parameters<i16>),
    F32(Parameters<f32>),
}

impl<'m> Operator<'m> for MaxPool2d<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let pooling = Pooling::decode(record)?;
        let pool = pooling.pool;
        if pooling.params.half_up != 0 {
            return Err(OperatorError::Parameter(3));
        }
        let kernel = match pooling.x.stored_dtype() {
            DType::I8 => Kernel::I8(Parameters { pool, activation: pooling.range()? }),
            DType::I16 => Kernel::I16(Parameters { pool, activation: pooling.range()? }),
            DType::F32 => Kernel::F32(Parameters { pool, activation: pooling.real_range() }),
            _ => return Err(pooling.refuse()),
        };
        let (x, y) = (pooling.x.place, pooling.y.place);
        Ok(Self { x, y, kernel, model: core::marker::PhantomData })
    }

    fn work(record: &Record<'m>) -> u64 {
        pool::work(record)
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.kernel {
            Kernel::I8(kernel) => {
                call!(machine, max_pool_2d_i8, kernel; [self.x] => self.y)
            }
            Kernel::I16(kernel) => {
                call!(machine, max_pool_2d_i16, kernel; [self.x] => self.y)
            }
            Kernel::F32(kernel) => {
                call!(machine, max_pool_2d_f32, kernel; [self.x] => self.y)
            }
        }
    }
}
