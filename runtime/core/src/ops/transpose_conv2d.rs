//! TRANSPOSE_CONV: each input is spread over a window of outputs.
//!
//! Operands: input NHWC, weights OHWI, bias `[O]`, scales; output NHWC. Their types are those of
//! `linear.rs`, without the hybrid ones. Nothing is folded into the bias.

use systole_kernels::{
    Mismatch,
    pool::ActivationRange,
    transpose_conv2d::{
        TransposeConv2dF32, TransposeConv2dI8, TransposeConv2dI16, TransposeConv2dShape,
        transpose_conv2d_f32, transpose_conv2d_i8, transpose_conv2d_i16,
    },
};

use super::{
    linear::{self, Arithmetic},
    window::nhwc,
};
use crate::{
    OperatorError, Record,
    call::{Machine, call},
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of TRANSPOSE_CONV.
    pub struct Params {
        /// Output rows and columns from one input to the next, at least 1.
        pub stride: [u16; 2],
        /// Output rows and columns cut off at the top and the left.
        pub padding: [u16; 2],
        /// Zero point of the weights: 0, but for models that were uint8.
        pub weights_zero_point: i16,
        /// Smallest output value, of integers.
        pub activation_min: i32,
        /// Largest output value, of integers.
        pub activation_max: i32,
        /// Smallest output value, of floats.
        pub real_min: f32,
        /// Largest output value, of floats.
        pub real_max: f32,
    }
}

/// A decoded TRANSPOSE_CONV.
pub struct TransposeConv2d<'m> {
    x: Place,
    y: Place,
    kernel: Kernel<'m>,
}

enum Kernel<'m> {
    I8(TransposeConv2dI8<'m>),
    I16(TransposeConv2dI16<'m>),
    F32(TransposeConv2dF32<'m>),
}

impl<'m> Operator<'m> for TransposeConv2d<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let y_operand = record.input_count();
        let arithmetic = Arithmetic::of(record)?;
        let (x, y) = (record.input(0)?, record.output(0)?);
        let (input, output) = (nhwc(&x, 0)?, nhwc(&y, y_operand)?);
        let [channels, kernel_h, kernel_w, depth] = nhwc(&record.input(1)?, 1)?;
        if depth != input[3] {
            return Err(OperatorError::Shape(1));
        }
        if output[0] != input[0] || output[3] != channels {
            return Err(OperatorError::Shape(y_operand as u8));
        }
        if params.stride.contains(&0) {
            return Err(OperatorError::Parameter(0));
        }
        let shape = TransposeConv2dShape {
            input,
            output,
            kernel: [kernel_h, kernel_w],
            stride: params.stride.map(usize::from),
            pad: params.padding.map(usize::from),
        };
        let output_stage = linear::output_stage(&y, params.activation_min, params.activation_max);
        let kernel = match arithmetic {
            Arithmetic::I8 => Kernel::I8(TransposeConv2dI8 {
                shape,
                weights: record.constant(1)?,
                weights_zero_point: params.weights_zero_point.into(),
                input_zero_point: x.stored_zero_point(),
                bias: linear::bias(record, channels)?,
                requantize: record.requantize(3, channels)?,
                output_stage,
            }),
            Arithmetic::I4 | Arithmetic::F16 => {
                let found = record.input(1)?.stored_dtype();
                return Err(OperatorError::Type { operand: 1, found });
            }
            Arithmetic::Tiled
            | Arithmetic::Paired
            | Arithmetic::Winograd
            | Arithmetic::TiledF32
            | Arithmetic::TiledF16 => {
                return Err(OperatorError::Layout(1));
            }
            Arithmetic::I16 => Kernel::I16(TransposeConv2dI16 {
                shape,
                weights: record.constant(1)?,
                accumulate: linear::accumulate16(record, channels)?,
                output_stage,
            }),
            Arithmetic::F32 => Kernel::F32(TransposeConv2dF32 {
                shape,
                weights: record.constant(1)?,
                bias: linear::bias(record, channels)?,
                activation: ActivationRange { min: params.real_min, max: params.real_max },
            }),
            Arithmetic::Hybrid => {
                let found = record.input(1)?.stored_dtype();
                return Err(OperatorError::Type { operand: 1, found });
            }
        };
        Ok(Self { x: x.place, y: y.place, kernel })
    }

    fn work(record: &Record<'m>) -> u64 {
        record.elements_and_steps(record.dims(1, 1..4))
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.kernel {
            Kernel::I8(kernel) => {
                call!(machine, transpose_conv2d_i8, kernel; [self.x] => self.y)
            }
            Kernel::I16(kernel) => {
                call!(machine, transpose_conv2d_i16, kernel; [self.x] => self.y)
            }
            Kernel::F32(kernel) => {
                call!(machine, transpose_conv2d_f32, kernel; [self.x] => self.y)
            }
        }
    }
}
