//! AVERAGE_POOL_2D in single precision, as ONNX Runtime's QLinearAveragePool: the mean of each
//! window's real values, from one scale to another; taps outside the input left out.
//!
//! Operands: int8 input NHWC; int8 output NHWC with the same batches and channels.

use systole_kernels::{
    Mismatch,
    average_pool_float32::{AveragePoolFloat32 as Kernel, average_pool_float32},
    requantize::Output,
};

use super::pool::{self, Pooling};
use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params, memory::Place, ops::Operator};

params! {
    /// Parameters of AVERAGE_POOL_2D in single precision: the first are those of other pools.
    pub struct Params {
        /// Height and width from one window to the next, at least 1.
        pub stride: [u16; 2],
        /// Height and width of the window, at least 1.
        pub kernel: [u16; 2],
        /// Rows and columns of padding at the top and the left.
        pub padding: [u16; 2],
        /// What means are above stored values: 128 where the zero point is that of uint8, else 0.
        pub offset: u8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded AVERAGE_POOL_2D in single precision.
pub struct AveragePoolFloat32<'m> {
    x: Place,
    y: Place,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for AveragePoolFloat32<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let pooling = Pooling::decode(record)?;
        if pooling.x.stored_dtype() != DType::I8 {
            return Err(pooling.refuse());
        }
        let Pooling { x, y, pool, .. } = pooling;
        let params: Params = record.params();
        // A scale of 0 says that there is none.
        if x.scale() <= 0.0 {
            return Err(OperatorError::Shape(0));
        }
        if y.scale() <= 0.0 {
            return Err(OperatorError::Shape(1));
        }
        let offset = i32::from(params.offset);
        let kernel = Kernel {
            pool,
            input_offset: -x.stored_zero_point(),
            input_scale: x.scale(),
            output_scale: y.scale(),
            zero_point: (y.stored_zero_point() + offset) as f32,
            output: Output {
                output_offset: -offset,
                activation_min: params.activation_min,
                activation_max: params.activation_max,
            },
        };
        Ok(Self { x: x.place, y: y.place, kernel, model: core::marker::PhantomData })
    }

    fn work(record: &Record<'m>) -> u64 {
        pool::work(record)
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        call!(machine, average_pool_float32, &self.kernel; [self.x] => self.y)
    }
}
