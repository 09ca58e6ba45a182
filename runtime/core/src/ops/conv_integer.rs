//! CONV_INTEGER: `y = Σ (x − x_zero) × (w − z_w)` over a window, in int32; taps outside the input
//! count as zero.
//!
//! Operands: int8 input NHWC, int8 weights OHWI, and the input's zero point, one int8; int32 output
//! NHWC.

use systole_kernels::{
    Mismatch,
    conv_integer::{ConvInteger as Kernel, conv_integer},
};

use super::window::{nhwc, window};
use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params, memory::Place, ops::Operator};

params! {
    /// Parameters of CONV_INTEGER.
    pub struct Params {
        /// Height and width from one window to the next, at least 1.
        pub stride: [u16; 2],
        /// Height and width from one tap to the next, at least 1.
        pub dilation: [u16; 2],
        /// Rows and columns of padding at the top and the left.
        pub padding: [u16; 2],
        /// Zero point of the weights.
        pub weights_zero_point: i16,
    }
}

/// A decoded CONV_INTEGER.
pub struct ConvInteger<'m> {
    x: Place,
    x_zero: Place,
    y: Place,
    kernel: Kernel<'m>,
}

impl<'m> Operator<'m> for ConvInteger<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(3, 1)?;
        let params: Params = record.params();
        let x = record.input(0)?.expect_type(DType::I8, 0)?;
        let weights = record.input(1)?.expect_type(DType::I8, 1)?;
        let x_zero = record.input(2)?.expect_type(DType::I8, 2)?;
        let y = record.output(0)?.expect_type(DType::I32, 3)?;
        let (input, output) = (nhwc(&x, 0)?, nhwc(&y, 3)?);
        let [channels, kernel_h, kernel_w, group_channels] = nhwc(&weights, 1)?;
        let groups = input[3].checked_div(group_channels).ok_or(OperatorError::Shape(1))?;
        if groups * group_channels != input[3] || !channels.is_multiple_of(groups) {
            return Err(OperatorError::Shape(1));
        }
        if x_zero.len() != 1 {
            return Err(OperatorError::Shape(2));
        }
        if output[0] != input[0] || output[3] != channels {
            return Err(OperatorError::Shape(3));
        }
        let kernel = Kernel {
            input,
            output,
            kernel: [kernel_h, kernel_w],
            window: window(params.stride, params.dilation, params.padding)?,
            weights: record.constant(1)?,
            weights_zero_point: params.weights_zero_point.into(),
        };
        Ok(Self { x: x.place, x_zero: x_zero.place, y: y.place, kernel })
    }

    fn work(record: &Record<'m>) -> u64 {
        record.elements_and_steps(record.dims(1, 1..4))
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        call!(machine, conv_integer, &self.kernel; [self.x, self.x_zero] => self.y)
    }
}
