//! The arithmetic of Systole: one module per operator, in portable safe Rust.
//!
//! The kernels of this crate define every operator's result to the last bit. Fast forms for an
//! instruction set live under `arch/` and are held equal to these. Kernels take slices and a
//! parameter struct, allocate nothing and cannot panic: where the lengths of the slices do not fit
//! the shapes that the parameters state, they return [`Mismatch`] instead.
//!
//! Conventions: activations are NHWC, convolution weights OHWI, depthwise weights 1HWC, fully
//! connected weights OI. `input_offset = -input_zero_point` and is folded into the bias by the
//! converter; `output_offset = +output_zero_point`. `shift > 0` is a shift to the left.
#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable
    )
)]

#[cfg(feature = "emit")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod add;
pub mod add_float32;
pub mod add_n;
#[allow(unsafe_code, reason = "instructions that the language has no name for")]
pub mod arch;
pub mod arg_max;
pub mod arithmetic;
pub mod average_pool_2d;
pub mod average_pool_float32;
pub mod axis;
pub mod batch_matmul;
pub mod broadcast;
pub mod cast;
pub mod compare;
pub mod conv2d;
pub mod conv_integer;
mod convolve;
pub mod cumsum;
mod depthwise;
pub mod depthwise_conv2d;
pub mod dot;
pub mod dynamic_quantize;
pub mod elementary;
#[cfg(feature = "emit")]
pub mod emit;
mod error;
mod finish;
pub mod fixed_point_16;
pub mod fixed_point_exp;
pub mod fixed_point_log;
pub mod float16;
pub mod fully_connected;
pub mod functions;
pub mod gather;
pub mod gather_nd;
pub mod hard_swish;
pub mod hybrid;
pub mod l2_normalization;
pub mod l2_pool_2d;
pub mod leaky_relu;
pub mod log_softmax;
pub mod logical;
pub mod logistic;
pub mod lstm;
pub mod lut;
pub mod matmul_integer;
pub mod max_pool_2d;
pub mod maximum_minimum;
pub mod mirror_pad;
pub mod mul;
pub mod mul_float32;
pub mod one_hot;
pub mod packed;
pub mod pad;
pub mod pairs;
pub mod place;
pub mod pool;
pub mod quantize;
pub mod quantized;
pub mod reduce;
pub mod reduce_quantized;
pub mod reduction;
mod remainder;
pub mod requantize;
pub mod resize;
mod rows;
pub mod select;
mod shape;
pub mod softmax;
pub mod softmax_table;
#[cfg(feature = "std")]
pub mod split;
pub mod strided;
pub mod strided_slice;
#[cfg(test)]
mod testing;
pub mod tile;
pub mod tiles;
pub mod tiles_f32;
pub mod top_k;
pub mod transpose;
pub mod transpose_conv2d;
pub mod window;
pub mod winograd;

pub use error::Mismatch;
pub use shape::{MAX_RANK, Shape, strides};

#[cfg(doctest)]
#[doc = include_str!("../../docs/numerics.md")]
mod numerics {}
