//! Where the target says which kernels there are: operators call the definitions, compiled for the
//! one rounding that they have.

pub(crate) use crate::add_float32::portable as add_float32;
pub(crate) use crate::average_pool_2d::portable as average_pool_2d_i8;
pub(crate) use crate::batch_matmul::portable as batch_matmul_i8;
#[cfg(not(layers))]
pub(crate) use crate::conv2d::portable as conv2d_i8;
#[cfg(not(layers))]
pub(crate) use crate::conv2d::portable_large as conv2d_large_i8;
#[cfg(not(layers))]
pub(crate) use crate::conv2d::portable_pointwise as conv2d_pointwise_i8;
#[cfg(not(layers))]
pub(crate) use crate::depthwise_conv2d::portable as depthwise_conv2d_i8;
pub(crate) use crate::depthwise_conv2d::portable_asymmetric as depthwise_conv2d_asymmetric_i8;
pub(crate) use crate::depthwise_conv2d::portable_f32 as depthwise_conv2d_f32;
pub(crate) use crate::depthwise_conv2d::portable_i16 as depthwise_conv2d_i16;
pub(crate) use crate::dot::dots_i16_definition as dots_i16;
#[cfg(not(layers))]
pub(crate) use crate::fully_connected::portable_vector as fully_connected_long_i8;
pub(crate) use crate::lut::portable as lut_i8;
pub(crate) use crate::max_pool_2d::portable as max_pool_2d_i8;
#[cfg(not(dsp))]
pub(crate) use crate::pairs::portable as conv2d_paired_i8;
#[cfg(not(dsp))]
pub(crate) use crate::pairs::portable_pointwise as conv2d_pointwise_paired_i8;
#[cfg(not(dsp))]
pub(crate) use crate::pairs::portable_row as fully_connected_paired_i8;
pub(crate) use crate::reduce_quantized::portable as sum_groups_i8;
pub(crate) use crate::softmax::portable as softmax_i8;
pub(crate) use crate::tiles::portable as conv2d_tiled_i8;
pub(crate) use crate::tiles_f32::portable as conv2d_tiled_f16;
pub(crate) use crate::tiles_f32::portable as conv2d_tiled_f32;
pub(crate) use crate::winograd::portable as conv2d_winograd_i8;

#[cfg(dsp)]
pub(crate) use super::dsp::{
    add_i8, conv2d_i8, conv2d_i8 as conv2d_large_i8, conv2d_paired_i8, conv2d_pointwise_i8,
    conv2d_pointwise_paired_i8, depthwise_conv2d_i8, fully_connected_long_i8,
    fully_connected_paired_i8,
};
#[cfg(helium)]
pub(crate) use super::helium::{
    add_i8, conv2d_i8, conv2d_large_i8, conv2d_pointwise_i8, depthwise_conv2d_i8,
    fully_connected_long_i8, sub_i8,
};
#[cfg(scalar)]
pub(crate) use super::scalar::{
    conv2d_i8, conv2d_i8 as conv2d_large_i8, conv2d_pointwise_i8, depthwise_conv2d_i8,
    fully_connected_long_i8,
};
use crate::Mismatch;
#[cfg(not(any(dsp, helium)))]
use crate::add::add;
#[cfg(not(helium))]
use crate::add::{Add, sub};
use crate::broadcast::{Operand, Walk};
use crate::mul::{Mul, mul};
use crate::quantize::{
    Dequantize, Quantize, Requantization, dequantize, quantize, requantize_in_place,
};
use crate::requantize::Rounding;

/// [`crate::add::add_i8`].
#[cfg(not(any(dsp, helium)))]
#[inline(always)]
pub(crate) fn add_i8<R: Rounding>(
    p: &Add,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    add::<R, i8>(p, walk, a, b, y)
}

/// [`crate::add::sub_i8`].
#[cfg(not(helium))]
#[inline(always)]
pub(crate) fn sub_i8<R: Rounding>(
    p: &Add,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    sub::<R, i8>(p, walk, a, b, y)
}

/// [`crate::mul::mul_i8`].
#[inline(always)]
pub(crate) fn mul_i8<R: Rounding>(
    p: &Mul,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    mul::<R, i8>(p, walk, a, b, y)
}

/// [`crate::quantize::quantize_i8`].
#[inline(always)]
pub(crate) fn quantize_i8(p: &Quantize, x: &[f32], y: &mut [i8]) -> Result<(), Mismatch> {
    quantize(p, x, y)
}

/// [`crate::quantize::dequantize_i8`].
#[inline(always)]
pub(crate) fn dequantize_i8(p: &Dequantize, x: &[i8], y: &mut [f32]) -> Result<(), Mismatch> {
    dequantize(p, x, y)
}

/// [`crate::quantize::requantize_i8`].
#[inline(always)]
pub(crate) fn requantize_i8<R: Rounding>(
    p: &Requantization,
    x: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    requantize_in_place::<R, i8>(p, x, y)
}
