//! AVERAGE_POOL_2D: the mean of each window, taps outside the input left out.
//!
//! Operands: input NHWC; output NHWC with the same batches, channels, scale and zero point.

use systole_kernels::{
    Mismatch,
    average_pool_2d::{AveragePool2d as Kernel, AverageRounding, average_pool_2d_i8},
    pool::{ActivationRange, Pool2d},
};

use super::window::nhwc;
use crate::{
    DType, OperatorError, Record,
    format::params,
    memory::{Memory, Place},
    ops::Operator,
};

params! {
    /// Parameters of AVERAGE_POOL_2D.
    pub struct Params {
        /// Height and width from one window to the next, at least 1.
        pub stride: [u16; 2],
        /// Height and width of the window, at least 1.
        pub kernel: [u16; 2],
        /// Rows and columns of padding at the top and the left.
        pub padding: [u16; 2],
        /// How means are rounded: 0 half away from zero, 1 half up.
        pub half_up: u8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded AVERAGE_POOL_2D.
pub struct AveragePool2d<'m> {
    x: Place,
    y: Place,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for AveragePool2d<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let x = record.input(0)?.expect_type(DType::I8, 0)?;
        let y = record.output(0)?.expect_type(DType::I8, 1)?;
        let (input, output) = (nhwc(&x, 0)?, nhwc(&y, 1)?);
        if input[0] != output[0] || input[3] != output[3] {
            return Err(OperatorError::Shape(1));
        }
        let [stride_h, stride_w] = params.stride.map(usize::from);
        let [kernel_h, kernel_w] = params.kernel.map(usize::from);
        if stride_h == 0 || stride_w == 0 {
            return Err(OperatorError::Parameter(0));
        }
        if kernel_h == 0 || kernel_w == 0 {
            return Err(OperatorError::Parameter(1));
        }
        Ok(Self {
            x: x.place,
            y: y.place,
            kernel: Kernel {
                pool: Pool2d {
                    input,
                    output,
                    kernel: [kernel_h, kernel_w],
                    stride_h,
                    stride_w,
                    pad_top: params.padding[0].into(),
                    pad_left: params.padding[1].into(),
                },
                activation: ActivationRange {
                    min: params.activation_min,
                    max: params.activation_max,
                },
                rounding: match params.half_up {
                    0 => AverageRounding::HalfAwayFromZero,
                    1 => AverageRounding::HalfUp,
                    _ => return Err(OperatorError::Parameter(3)),
                },
            },
            model: core::marker::PhantomData,
        })
    }

    fn run(&self, memory: &mut Memory<'_, '_>) -> Result<(), Mismatch> {
        let (x, y) = memory.unary(self.x, self.y)?;
        average_pool_2d_i8(&self.kernel, x, y)
    }
}
