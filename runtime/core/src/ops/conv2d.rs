//! CONV_2D: `y = requantize(Σ w × x + bias)` over a window.
//!
//! Operands: input NHWC, weights OHWI, bias `[O]`, scales; output NHWC. Their types are those of
//! `linear.rs`. The bias of int8 has the input's zero point folded in, as which taps outside the
//! input count.

use systole_kernels::{
    Mismatch,
    conv2d::{
        Conv2dF32, Conv2dHybrid, Conv2dI8, Conv2dI16, Windows, conv2d_f32, conv2d_hybrid,
        conv2d_i8, conv2d_i16, conv2d_large_i8, conv2d_pointwise_i8,
    },
    float16::{Halved, conv2d_f16},
    packed::{Packed, conv2d_i4, conv2d_pointwise_i4},
    pairs::{Paired, conv2d_paired_i8, conv2d_pointwise_paired_i8},
    pool::ActivationRange,
    tiles::{Tiled, conv2d_tiled_i8},
    tiles_f32::{TiledF32, conv2d_tiled_f16, conv2d_tiled_f32},
    winograd::{Winograd, conv2d_winograd_i8},
};

use super::{
    linear::{self, Arithmetic},
    window::{nhwc, window},
};
use crate::{
    OperatorError, Record,
    call::{Machine, call},
    format::{Layout, params},
    memory::Place,
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
        /// Smallest output value, of integers.
        pub activation_min: i32,
        /// Largest output value, of integers.
        pub activation_max: i32,
        /// Smallest output value, of floats.
        pub real_min: f32,
        /// Largest output value, of floats.
        pub real_max: f32,
        /// Hybrid: whether activations are quantized with a zero point (1) or symmetrically (0).
        pub asymmetric: u8,
    }
}

impl Params {
    pub(super) fn real_range(&self) -> ActivationRange<f32> {
        ActivationRange { min: self.real_min, max: self.real_max }
    }
}

/// A decoded CONV_2D.
pub struct Conv2d<'m> {
    x: Place,
    y: Place,
    kernel: Kernel<'m>,
}

enum Kernel<'m> {
    I8(Conv2dI8<'m>),
    Tiled(Tiled<'m, Conv2dI8<'m>>),
    PointwisePaired(Paired<'m, Conv2dI8<'m>>),
    Paired(Paired<'m, Conv2dI8<'m>>),
    Winograd(Winograd<'m, Conv2dI8<'m>>),
    PointwiseI4(Packed<'m, Conv2dI8<'m>>, Place),
    I4(Packed<'m, Conv2dI8<'m>>, Place),
    I16(Conv2dI16<'m>),
    F32(Conv2dF32<'m>),
    TiledF32(TiledF32<'m, f32>),
    TiledF16(TiledF32<'m, u16>),
    F16(Halved<'m, Conv2dF32<'m>>, Place),
    Hybrid(Conv2dHybrid<'m>, Place),
}

impl<'m> Operator<'m> for Conv2d<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let y_operand = record.input_count();
        let arithmetic = Arithmetic::of(record)?;
        let (x, y) = (record.input(0)?, record.output(0)?);
        let (input, output) = (nhwc(&x, 0)?, nhwc(&y, y_operand)?);
        let (weights, operand) = linear::weights(record)?;
        let [channels, kernel_h, kernel_w, group_channels] = nhwc(&weights, operand)?;
        let groups = input[3].checked_div(group_channels).ok_or(OperatorError::Shape(1))?;
        if groups * group_channels != input[3] || !channels.is_multiple_of(groups) {
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
            Arithmetic::I8
            | Arithmetic::Tiled
            | Arithmetic::Paired
            | Arithmetic::Winograd
            | Arithmetic::I4 => {
                let (weights, packed) = linear::int8_weights(record, arithmetic, false)?;
                let layer = Conv2dI8 {
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
                    None if arithmetic == Arithmetic::Tiled && groups == 1 => {
                        Kernel::Tiled(Tiled { weights: record.tiles(1)?, layer })
                    }
                    None if arithmetic == Arithmetic::Paired && groups == 1 => {
                        let paired = Paired { weights: record.weights_of_16_bits(1, Layout::Pairs)?, layer };
                        match layer.is_product() {
                            true => Kernel::PointwisePaired(paired),
                            false => Kernel::Paired(paired),
                        }
                    }
                    None if arithmetic == Arithmetic::Winograd && groups == 1 => {
                        let weights = record.weights_of_16_bits(1, Layout::Winograd)?;
                        Kernel::Winograd(Winograd { weights, layer })
                    }
                    None if arithmetic != Arithmetic::I8 => {
                        return Err(OperatorError::Layout(1));
                    }
                    None => Kernel::I8(layer),
                    Some((weights, scratch)) if groups == 1 && layer.is_product() => {
                        Kernel::PointwiseI4(Packed { weights, layer }, scratch)
                    }
                    Some((weights, scratch)) => Kernel::I4(Packed { weights, layer }, scratch),
                }
            }
            Arithmetic::I16 => Kernel::I16(Conv2dI16 {
                input,
                output,
                kernel,
                window,
                weights: record.constant_weights(1)?,
                accumulate: linear::accumulate16(record, channels)?,
                output_stage,
            }),
            Arithmetic::F32
            | Arithmetic::TiledF32
            | Arithmetic::F16
            | Arithmetic::TiledF16 => {
                let (weights, halved) = linear::float_weights(record, arithmetic)?;
                let layer = Conv2dF32 {
                    input,
                    output,
                    kernel,
                    window,
                    weights,
                    bias: linear::bias(record, channels)?,
                    activation,
                };
                match halved {
                    None if arithmetic == Arithmetic::F32 => Kernel::F32(layer),
                    None if groups != 1 => return Err(OperatorError::Layout(1)),
                    None if arithmetic == Arithmetic::TiledF32 => {
                        Kernel::TiledF32(TiledF32 { tiles: record.float_tiles(1)?, layer })
                    }
                    None => Kernel::TiledF16(TiledF32 { tiles: record.float_tiles(1)?, layer }),
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
                    Conv2dHybrid { input, output, kernel, window, weights, output_stage },
                    scratch,
                )
            }
        };
        Ok(Self { x: x.place, y: y.place, kernel })
    }

    fn work(record: &Record<'m>) -> u64 {
        record.elements_and_steps(linear::weight_dims(record, 1..4))
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.kernel {
            Kernel::I8(kernel) => match kernel.windows().ok_or(Mismatch)? {
                Windows::Adjacent => {
                    call!(machine, conv2d_pointwise_i8, kernel; in parts [self.x] => self.y)
                }
                Windows::Small => call!(machine, conv2d_i8, kernel; in parts [self.x] => self.y),
                Windows::Large => call!(machine, conv2d_large_i8, kernel; in parts [self.x] => self.y),
            },
            Kernel::Tiled(kernel) => call!(machine, conv2d_tiled_i8, kernel; in parts [self.x] => self.y),
            Kernel::PointwisePaired(kernel) => {
                call!(machine, conv2d_pointwise_paired_i8, kernel; [self.x] => self.y)
            }
            Kernel::Paired(kernel) => call!(machine, conv2d_paired_i8, kernel; [self.x] => self.y),
            Kernel::Winograd(kernel) => {
                call!(machine, conv2d_winograd_i8, kernel; in parts [self.x] => self.y)
            }
            Kernel::PointwiseI4(kernel, scratch) => {
                call!(machine, conv2d_pointwise_i4, kernel; [self.x] => self.y, *scratch)
            }
            Kernel::I4(kernel, scratch) => {
                call!(machine, conv2d_i4, kernel; [self.x] => self.y, *scratch)
            }
            Kernel::I16(kernel) => {
                call!(machine, conv2d_i16, kernel; in parts [self.x] => self.y)
            }
            Kernel::F32(kernel) => {
                call!(machine, conv2d_f32, kernel; in parts [self.x] => self.y)
            }
            Kernel::TiledF32(kernel) => {
                call!(machine, conv2d_tiled_f32, kernel; in parts [self.x] => self.y)
            }
            Kernel::TiledF16(kernel) => {
                call!(machine, conv2d_tiled_f16, kernel; in parts [self.x] => self.y)
            }
            Kernel::F16(kernel, scratch) => {
                call!(machine, conv2d_f16, kernel; [self.x] => self.y, *scratch)
            }
            Kernel::Hybrid(kernel, scratch) => {
                call!(machine, conv2d_hybrid, kernel; [self.x] => self.y, *scratch)
            }
        }
    }
}
