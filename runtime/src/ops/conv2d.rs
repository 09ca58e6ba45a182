//! CONV_2D: `y = requantize(Σ w × x + bias)` over a window.
//!
//! Operands: input NHWC, weights OHWI, bias `[O]` (with the input's zero point folded in), scales
//! (see [`Record::requantize`]); output NHWC. Taps outside the input count as its zero point.

use systole_kernels::{
    Mismatch,
    conv2d::{Conv2dI8, conv2d_i8},
    requantize::Output,
};

use super::window::{nhwc, window};
use crate::{
    DType, OperatorError, Record,
    format::params,
    memory::{Memory, Place},
    ops::Operator,
};

params! {
    /// Parameters of CONV_2D.
    pub struct Params {
        /// Height and width from one window to the next, at least 1.
        pub stride: [u16; 2],
        /// Height and width from one tap to the next, at least 1.
        pub dilation: [u16; 2],
        /// Rows and columns of padding at the top and the left.
        pub padding: [u16; 2],
        /// Zero point of the weights: 0, but for models that were uint8.
        pub weights_zero_point: i16,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded CONV_2D.
pub struct Conv2d<'m> {
    x: Place,
    y: Place,
    kernel: Conv2dI8<'m>,
}

impl<'m> Operator<'m> for Conv2d<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let y_operand = record.input_count();
        let x = record.input(0)?.expect_type(DType::I8, 0)?;
        let y = record.output(0)?.expect_type(DType::I8, y_operand)?;
        let (input, output) = (nhwc(&x, 0)?, nhwc(&y, y_operand)?);
        let weights = nhwc(&record.input(1)?, 1)?;
        let [channels, kernel_h, kernel_w, group_channels] = weights;
        let groups = input[3] / group_channels;
        if groups * group_channels != input[3] || !channels.is_multiple_of(groups) {
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
            kernel: Conv2dI8 {
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
        conv2d_i8(&self.kernel, x, y)
    }
}
