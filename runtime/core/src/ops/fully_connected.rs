//! FULLY_CONNECTED: `y = requantize(Σ w × x + bias)`.
//!
//! Operands: input `[…, in]`, weights `[out, in]`, bias `[out]`, scales; output `[…, out]`. Their
//! types are those of `linear.rs`. The bias of int8 has the input's zero point folded in.

use systole_kernels::{
    Mismatch,
    conv2d::Conv2dI8,
    float16::{Halved, fully_connected_f16},
    fully_connected::{
        FullyConnectedF32, FullyConnectedHybrid, FullyConnectedI8, FullyConnectedI16, LONG,
        fully_connected_f32, fully_connected_hybrid, fully_connected_i8, fully_connected_i16,
        fully_connected_long_i8, fully_connected_vector_i8,
    },
    packed::{Packed, fully_connected_i4, fully_connected_vector_i4},
    pairs::{Paired, conv2d_pointwise_paired_i8, fully_connected_paired_i8},
    pool::ActivationRange,
    tiles::{Tiled, conv2d_tiled_i8},
    tiles_f32::{TiledF32, conv2d_tiled_f16, conv2d_tiled_f32},
};

use super::linear::{self, Arithmetic};
use crate::{
    OperatorError, Record,
    call::{Machine, call},
    format::{Layout, params},
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of FULLY_CONNECTED.
    pub struct Params {
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

/// A decoded FULLY_CONNECTED.
pub struct FullyConnected<'m> {
    x: Place,
    y: Place,
    kernel: Kernel<'m>,
}

enum Kernel<'m> {
    I8(FullyConnectedI8<'m>),
    Tiled(Tiled<'m, Conv2dI8<'m>>),
    PairedRows(Paired<'m, Conv2dI8<'m>>),
    Paired(Paired<'m, FullyConnectedI8<'m>>),
    I4(Packed<'m, FullyConnectedI8<'m>>, Place),
    I16(FullyConnectedI16<'m>),
    F32(FullyConnectedF32<'m>),
    TiledF32(TiledF32<'m, f32>),
    TiledF16(TiledF32<'m, u16>),
    F16(Halved<'m, FullyConnectedF32<'m>>, Place),
    Hybrid(FullyConnectedHybrid<'m>, Place),
}

impl<'m> Operator<'m> for FullyConnected<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let arithmetic = Arithmetic::of(record)?;
        let (x, y) = (record.input(0)?, record.output(0)?);
        let (weights, operand) = linear::weights(record)?;
        let weights = weights.expect_rank(2, operand)?;
        let (outputs, inputs) = (weights.shape().dim(0), weights.shape().dim(1));
        let batches = x.len().checked_div(inputs).ok_or(OperatorError::Shape(1))?;
        if batches * inputs != x.len() {
            return Err(OperatorError::Shape(0));
        }
        if batches.checked_mul(outputs) != Some(y.len()) {
            return Err(OperatorError::Shape(record.input_count() as u8));
        }
        let output_stage = linear::output_stage(&y, params.activation_min, params.activation_max);
        let activation = ActivationRange { min: params.real_min, max: params.real_max };
        let kernel = match arithmetic {
            Arithmetic::I8 | Arithmetic::Tiled | Arithmetic::Paired | Arithmetic::I4 => {
                let (weights, packed) = linear::int8_weights(record, arithmetic, false)?;
                let layer = FullyConnectedI8 {
                    batches,
                    inputs,
                    outputs,
                    weights,
                    weights_zero_point: params.weights_zero_point.into(),
                    bias: linear::bias(record, outputs)?,
                    requantize: record.requantize(3, outputs)?,
                    output_stage,
                };
                match packed {
                    None if arithmetic == Arithmetic::Tiled => Kernel::Tiled(Tiled {
                        weights: record.tiles(1)?,
                        layer: layer.as_convolution(),
                    }),
                    None if arithmetic == Arithmetic::Paired => {
                        let paired = Paired { weights: record.weights_of_16_bits(1, Layout::Pairs)?, layer };
                        match batches {
                            1 => Kernel::Paired(paired),
                            _ => Kernel::PairedRows(paired.as_convolution()),
                        }
                    }
                    None => Kernel::I8(layer),
                    Some((weights, scratch)) => Kernel::I4(Packed { weights, layer }, scratch),
                }
            }
            Arithmetic::Winograd => return Err(OperatorError::Layout(1)),
            Arithmetic::I16 => Kernel::I16(FullyConnectedI16 {
                batches,
                inputs,
                outputs,
                weights: record.constant_weights(1)?,
                accumulate: linear::accumulate16(record, outputs)?,
                output_stage,
            }),
            Arithmetic::F32 | Arithmetic::TiledF32 | Arithmetic::F16 | Arithmetic::TiledF16 => {
                let (weights, halved) = linear::float_weights(record, arithmetic)?;
                let layer = FullyConnectedF32 {
                    batches,
                    inputs,
                    outputs,
                    weights,
                    bias: linear::bias(record, outputs)?,
                    activation,
                };
                match halved {
                    None if arithmetic == Arithmetic::F32 => Kernel::F32(layer),
                    None if arithmetic == Arithmetic::TiledF32 => Kernel::TiledF32(TiledF32 {
                        tiles: record.float_tiles(1)?,
                        layer: layer.as_convolution(),
                    }),
                    None => Kernel::TiledF16(TiledF32 {
                        tiles: record.float_tiles(1)?,
                        layer: layer.as_convolution(),
                    }),
                    Some((weights, scratch)) => Kernel::F16(Halved { weights, layer }, scratch),
                }
            }
            Arithmetic::Hybrid => {
                let asymmetric = params.asymmetric != 0;
                let (output_stage, scratch) =
                    linear::hybrid(record, outputs, inputs, asymmetric, activation)?;
                let weights = record.constant_weights(1)?;
                Kernel::Hybrid(
                    FullyConnectedHybrid { batches, inputs, outputs, weights, output_stage },
                    scratch,
                )
            }
        };
        Ok(Self { x: x.place, y: y.place, kernel })
    }

    fn work(record: &Record<'m>) -> u64 {
        record.elements_and_steps(linear::weight_dims(record, 1..2))
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.kernel {
            Kernel::I8(kernel) if kernel.batches == 1 && kernel.inputs >= LONG => {
                call!(machine, fully_connected_long_i8, kernel; in parts [self.x] => self.y)
            }
            Kernel::I8(kernel) if kernel.batches == 1 => {
                call!(machine, fully_connected_vector_i8, kernel; in parts [self.x] => self.y)
            }
            Kernel::I8(kernel) => {
                call!(machine, fully_connected_i8, kernel; in parts [self.x] => self.y)
            }
            Kernel::Tiled(kernel) => {
                call!(machine, conv2d_tiled_i8, kernel; in parts [self.x] => self.y)
            }
            Kernel::PairedRows(kernel) => {
                call!(machine, conv2d_pointwise_paired_i8, kernel; [self.x] => self.y)
            }
            Kernel::Paired(kernel) => {
                call!(machine, fully_connected_paired_i8, kernel; [self.x] => self.y)
            }
            Kernel::I4(kernel, scratch) if kernel.layer.batches == 1 => {
                call!(machine, fully_connected_vector_i4, kernel; [self.x] => self.y, *scratch)
            }
            Kernel::I4(kernel, scratch) => {
                call!(machine, fully_connected_i4, kernel; [self.x] => self.y, *scratch)
            }
            Kernel::I16(kernel) => {
                call!(machine, fully_connected_i16, kernel; in parts [self.x] => self.y)
            }
            Kernel::F32(kernel) => {
                call!(machine, fully_connected_f32, kernel; in parts [self.x] => self.y)
            }
            Kernel::TiledF32(kernel) => {
                call!(machine, conv2d_tiled_f32, kernel; in parts [self.x] => self.y)
            }
            Kernel::TiledF16(kernel) => {
                call!(machine, conv2d_tiled_f16, kernel; in parts [self.x] => self.y)
            }
            Kernel::F16(kernel, scratch) => {
                call!(machine, fully_connected_f16, kernel; [self.x] => self.y, *scratch)
            }
            Kernel::Hybrid(kernel, scratch) => {
                call!(machine, fully_connected_hybrid, kernel; [self.x] => self.y, *scratch)
            }
        }
    }
}
