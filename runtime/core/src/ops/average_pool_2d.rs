//! AVERAGE_POOL_2D: the mean of each window, taps outside the input left out.
//!
//! Operands: int8, int16 or float32 input NHWC; output NHWC of the same type, batches, channels,
//! scale and zero point.

use systole_kernels::{
    Mismatch,
    average_pool_2d::{
        AveragePool2d as Integers, AveragePool2dF32 as Floats, AverageRounding, average_pool_2d_f32,
        average_pool_2d_i8, average_pool_2d_i16,
    },
};

pub use super::pool::Params;
use super::pool::{self, Pooling};
use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    memory::Place,
    ops::Operator,
};

/// A decoded AVERAGE_POOL_2D.
pub struct AveragePool2d<'m> {
    x: Place,
    y: Place,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

enum Kernel {
    I8(Integers),
    I16(Integers),
    F32(Floats),
}

impl<'m> Operator<'m> for AveragePool2d<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let pooling = Pooling::decode(record)?;
        let pool = pooling.pool;
        let integers = || {
            let rounding = match pooling.params.half_up {
                0 => AverageRounding::HalfAwayFromZero,
                1 => AverageRounding::HalfUp,
                _ => return Err(OperatorError::Parameter(3)),
            };
            Ok(Integers { pool, activation: pooling.range()?, rounding })
        };
        let kernel = match pooling.x.stored_dtype() {
            DType::I8 => Kernel::I8(integers()?),
            DType::I16 => Kernel::I16(integers()?),
            DType::F32 => Kernel::F32(Floats { pool, activation: pooling.real_range() }),
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
                call!(machine, average_pool_2d_i8, kernel; [self.x] => self.y)
            }
            Kernel::I16(kernel) => {
                call!(machine, average_pool_2d_i16, kernel; [self.x] => self.y)
            }
            Kernel::F32(kernel) => {
                call!(machine, average_pool_2d_f32, kernel; [self.x] => self.y)
            }
        }
    }
}
