//! DEPTHWISE_CONV_2D: each input channel with `multiplier` filters of its own.
//!
//! Operands as for CONV_2D, with weights 1HWC, where C counts output channels.

use systole_kernels::{
    Mismatch,
    depthwise_conv2d::{
        DepthwiseConv2dF32, DepthwiseConv2dHybrid, DepthwiseConv2dI8, DepthwiseConv2dI16,
        depthwise_conv2d_asymmetric_i8, depthwise_conv2d_f32, depthwise_conv2d_hybrid,
        depthwise_conv2d_i8, depthwise_conv2d_i16, depthwise_conv2d_multiplied_i8,
    },
    float16::{Halved, depthwise_conv2d_f16},
    packed::{Packed, depthwise_conv2d_i4, depthwise_conv2d_multiplied_i4},
};

pub use super::conv2d::Params;
use super::{
    linear::{self, Arithmetic},
    window::{nhwc, window},
};
use crate::{
    OperatorError, Record,
    call::{Machine, call},
    memory::Place,
    ops::Operator,
};

/// A decoded DEPTHWISE_CONV_2D.
pub struct DepthwiseConv2d<'m> {
    x: Place,
    y: Place,
    kernel: Kernel<'m>,
}

enum Kernel<'m> {
    I8(DepthwiseConv2dI8<'m>),
    I4(Packed<'m, DepthwiseConv2dI8<'m>>, Place),
    I16(DepthwiseConv2dI16<'m>),
    F32(DepthwiseConv2dF32<'m>),
    F16(Halved<'m, DepthwiseConv2dF32<'m>>, Place),
    Hybrid(DepthwiseConv2dHybrid<'m>, Place),
}

impl<'m> Operator<'m> for DepthwiseConv2d<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let y_operand = record.input_count();
        let arithmetic = Arithmetic::of(record)?;
        let (x, y) = (record.input(0)?, record.output(0)?);
        let (input, output) = (nhwc(&x, 0)?, nhwc(&y, y_operand)?);
        let (weights, operand) = linear::weights(record)?;
        let [one, kernel_h, kernel_w, channels] = nhwc(&weights, operand)?;
        if one != 1 || !channels.is_multiple_of(input[3]) {
            return Err(OperatorError::Shape(1));
        }
        if output[0] != input[0] || output[3] != channels {
            return Err(OperatorError::Shape(y_operand as u8));
        }
        let kernel = [kernel_h, kernel_w];
        let window = window(params.stride, params.dilation, params.padding)?;
        let output_stage = linear::output_stage(&y, params.activation_min, params.activation_max);
        let activation = params.real_range();
        let kernel = match arithmetic {
            Arithmetic::I8 | Arithmetic::I4 => {
                let (weights, packed) = linear::int8_weights(record, arithmetic, true)?;
                if params.weights_zero_point != 0 && packed.is_some() {
                    return Err(OperatorError::Parameter(3));
                }
                let layer = DepthwiseConv2dI8 {
                    input,
                    output,
                    kernel,
                    window,
                    weights,
                    weights_zero_point: params.weights_zero_point.into(),
                    input_zero_point: x.stored_zero_point(),
                    bias: linear::bias(record, channels)?,
                    requantize: record.requantize(3, channels)?,
                    output_stage,
                };
                match packed {
                    None => Kernel::I8(layer),
                    Some((weights, scratch)) => Kernel::I4(Packed { weights, layer }, scratch),
                }
            }
            Arithmetic::Tiled
            | Arithmetic::Paired
            | Arithmetic::Winograd
            | Arithmetic::TiledF32
            | Arithmetic::TiledF16 => {
                return Err(OperatorError::Layout(1));
            }
            Arithmetic::I16 => Kernel::I16(DepthwiseConv2dI16 {
                input,
                output,
                kernel,
                window,
                weights: record.constant_weights(1)?,
                accumulate: linear::accumulate16(record, channels)?,
                output_stage,
            }),
            Arithmetic::F32 | Arithmetic::F16 => {
                let (weights, halved) = linear::float_weights(record, arithmetic)?;
                let layer = DepthwiseConv2dF32 {
                    input,
                    output,
                    kernel,
                    window,
                    weights,
                    bias: linear::bias(record, channels)?,
                    activation,
                };
                match halved {
                    None => Kernel::F32(layer),
                    Some((weights, scratch)) => Kernel::F16(Halved { weights, layer }, scratch),
                }
            }
            Arithmetic::Hybrid => {
                let image = x.len().checked_div(input[0]).ok_or(OperatorError::Shape(0))?;
                let asymmetric = params.asymmetric != 0;
                let (output_stage, scratch) =
                    linear::hybrid(record, channels, image, asymmetric, activation)?;
                let weights = record.constant_weights(1)?;
                Kernel::Hybrid(
                    DepthwiseConv2dHybrid { input, output, kernel, window, weights, output_stage },
                    scratch,
                )
            }
        };
        Ok(Self { x: x.place, y: y.place, kernel })
    }

    fn work(record: &Record<'m>) -> u64 {
        record.elements_and_steps(linear::weight_dims(record, 1..3))
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.kernel {
            Kernel::I8(kernel) if kernel.weights_zero_point != 0 => {
                call!(machine, depthwise_conv2d_asymmetric_i8, kernel; in parts [self.x] => self.y)
            }
            Kernel::I8(kernel) if kernel.input[3] != kernel.output[3] => {
                call!(machine, depthwise_conv2d_multiplied_i8, kernel; in parts [self.x] => self.y)
            }
            Kernel::I8(kernel) => {
                call!(machine, depthwise_conv2d_i8, kernel; in parts [self.x] => self.y)
            }
            Kernel::I4(kernel, scratch) if kernel.layer.input[3] != kernel.layer.output[3] => {
                call!(machine, depthwise_conv2d_multiplied_i4, kernel; [self.x] => self.y, *scratch)
            }
            Kernel::I4(kernel, scratch) => {
                call!(machine, depthwise_conv2d_i4, kernel; [self.x] => self.y, *scratch)
            }
            Kernel::I16(kernel) => {
                call!(machine, depthwise_conv2d_i16, kernel; in parts [self.x] => self.y)
            }
            Kernel::F32(kernel) => {
                call!(machine, depthwise_conv2d_f32, kernel; in parts [self.x] => self.y)
            }
            Kernel::F16(kernel, scratch) => {
                call!(machine, depthwise_conv2d_f16, kernel; [self.x] => self.y, *scratch)
            }
            Kernel::Hybrid(kernel, scratch) => {
                call!(machine, depthwise_conv2d_hybrid, kernel; [self.x] => self.y, *scratch)
            }
        }
    }
}
