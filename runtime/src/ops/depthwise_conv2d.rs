//! DEPTHWISE_CONV_2D: each input channel with `multiplier` filters of its own.
//!
//! Operands as for CONV_2D, with weights 1HWC, where C counts output channels.

use systole_kernels::{
    Mismatch,
    depthwise_conv2d::{DepthwiseConv2dI8, depthwise_conv2d_i8},
    requantize::Output,
};

use super::window::{nhwc, window};
pub use super::conv2d::Params;
use crate::{
    DType, OperatorError, Record,
    memory::{Memory, Place},
    ops::Operator,
};

/// A decoded DEPTHWISE_CONV_2D.
pub struct DepthwiseConv2d<'m> {
    x: Place,
    y: Place,
    kernel: DepthwiseConv2dI8<'m>,
}

impl<'m> Operator<'m> for DepthwiseConv2d<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let y_operand = record.input_count();
        let x = record.input(0)?.expect_type(DType::I8, 0)?;
        let y = record.output(0)?.expect_type(DType::I8, y_operand)?;
        let (input, output) = (nhwc(&x, 0)?, nhwc(&y, y_operand)?);
        let [one, kernel_h, kernel_w, channels] = nhwc(&record.input(1)?, 1)?;
        if one != 1 || !channels.is_multiple_of(input[3]) {
            return Err(OperatorError::Shape(1));
        }
        let bias: &[i32] = record.constant(2)?;
        if bias.len() != channels {
            return Err(OperatorError::Shape(2));
        }
        if output[0] != input[0] || output[3] != channels {
            return Err(OperatorError::Shape(y_operand as u8));
        }
        Ok(Self {
            x: x.place,
            y: y.place,
            kernel: DepthwiseConv2dI8 {
                input,
                output,
                kernel: [kernel_h, kernel_w],
                window: window(params.stride, params.dilation, params.padding)?,
                weights: record.constant(1)?,
                weights_zero_point: params.weights_zero_point.into(),
                input_zero_point: x.stored_zero_point(),
                bias,
                requantize: record.requantize(3, channels)?,
                output_stage: Output {
                    output_offset: y.stored_zero_point(),
                    activation_min: params.activation_min,
                    activation_max: params.activation_max,
                },
            },
        })
    }

    fn run(&self, memory: &mut Memory<'_, '_>) -> Result<(), Mismatch> {
        let (x, y) = memory.unary(self.x, self.y)?;
        depthwise_conv2d_i8(&self.kernel, x, y)
    }
}
