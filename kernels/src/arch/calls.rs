//! Where there is a table of kernels: operators call those of the level that was chosen.

pub(crate) use crate::conv2d::portable as conv2d_i8;
pub(crate) use crate::conv2d::portable_large as conv2d_large_i8;
pub(crate) use crate::conv2d::portable_pointwise as conv2d_pointwise_i8;
pub(crate) use crate::fully_connected::portable_vector as fully_connected_long_i8;
pub(crate) use crate::pairs::portable as conv2d_paired_i8;
pub(crate) use crate::pairs::portable_pointwise as conv2d_pointwise_paired_i8;
pub(crate) use crate::pairs::portable_row as fully_connected_paired_i8;

use crate::Mismatch;
use crate::add::Add;
use crate::add_float32::AddFloat32;
use crate::average_pool_2d::AveragePool2d;
use crate::batch_matmul::BatchMatMulI8;
use crate::broadcast::{Operand, Walk};
use crate::conv2d::Conv2dI8;
use crate::depthwise_conv2d::{DepthwiseConv2dF32, DepthwiseConv2dI8, DepthwiseConv2dI16};
use crate::lut::LUT_I8_LENGTH;
use crate::max_pool_2d::MaxPool2d;
use crate::mul::Mul;
use crate::quantize::{Dequantize, Quantize, Requantization, requantize_in_place};
use crate::quantized::Quantized;
use crate::reduce_quantized::SumQuantized;
use crate::requantize::{FixedScales, Rescale, Rounding};
use crate::softmax::SoftmaxI8;
use crate::tiles::Tiled;
use crate::tiles_f32::TiledF32;
use crate::winograd::Winograd;

use super::{MulI8, SumI8, batch_matmul_with, blocks, kernels};

/// [`crate::average_pool_2d::average_pool_2d_i8`].
#[inline(always)]
pub(crate) fn average_pool_2d_i8(
    p: &AveragePool2d,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    (kernels().average_pool_2d_i8)(p, x, y)
}

/// [`crate::max_pool_2d::max_pool_2d_i8`].
#[inline(always)]
pub(crate) fn max_pool_2d_i8(p: &MaxPool2d<i8>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    (kernels().max_pool_2d_i8)(p, x, y)
}

/// [`crate::batch_matmul::batch_matmul_i8`].
#[inline(always)]
pub(crate) fn batch_matmul_i8<R: Rescale>(
    p: &BatchMatMulI8<R>,
    x: &[i8],
    w: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let BatchMatMulI8 { shape, x_zero_point, w_zero_point, output_stage, .. } = *p;
    let requantize = p.requantize.any();
    let p = BatchMatMulI8 { shape, x_zero_point, w_zero_point, requantize, output_stage };
    batch_matmul_with(kernels(), &p, x, w, y)
}

/// [`crate::lut::lut_i8`].
#[inline(always)]
pub(crate) fn lut_i8(
    table: &[i8; LUT_I8_LENGTH],
    x: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    (kernels().lut_i8)(table, x, y)
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
    let shift = p.output_shift.clamp(-128, 127) as i8;
    let scale = FixedScales { multiplier: &[p.output_multiplier], shift: &[shift] };
    let product = MulI8 { scales: p, requantize: R::of(scale) };
    let kernel = kernels().mul_i8;
    blocks::in_blocks(walk, [a, b], y, |walk, operands, y| kernel(&product, walk, operands, y))
}

/// [`crate::add_float32::add_float32`].
#[inline(always)]
pub(crate) fn add_float32(
    p: &AddFloat32,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let kernel = kernels().add_float32;
    blocks::in_blocks(walk, [a, b], y, |walk, operands, y| kernel(p, walk, operands, y))
}

/// [`crate::quantize::quantize_i8`].
#[inline(always)]
pub(crate) fn quantize_i8(p: &Quantize, x: &[f32], y: &mut [i8]) -> Result<(), Mismatch> {
    (kernels().quantize_i8)(p, x, y)
}

/// [`crate::quantize::dequantize_i8`].
#[inline(always)]
pub(crate) fn dequantize_i8(p: &Dequantize, x: &[i8], y: &mut [f32]) -> Result<(), Mismatch> {
    (kernels().dequantize_i8)(p, x, y)
}

/// From so many elements on, all that an int8 can become are worth a table.
const TABLE_FROM: usize = 1024;

/// [`crate::quantize::requantize_i8`].
#[inline(always)]
pub(crate) fn requantize_i8<R: Rounding>(
    p: &Requantization,
    x: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    if y.len() < TABLE_FROM {
        return requantize_in_place::<R, i8>(p, x, y);
    }
    // As the table is indexed: 0 to 127, then -128 to -1.
    let table = core::array::from_fn(|i| p.of::<R>(i32::from(i as u8 as i8)));
    (kernels().lut_i8)(&table.map(i8::saturate), x, y)
}

/// [`crate::reduce_quantized::sum_i8`].
#[inline(always)]
pub(crate) fn sum_groups_i8<R: Rescale>(
    p: &SumQuantized<R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let SumQuantized { reduction, acc_offset, output, .. } = *p;
    let p = SumQuantized { reduction, acc_offset, requantize: p.requantize.any(), output };
    (kernels().sum_groups_i8)(&p, x, y)
}

/// [`crate::dot::dots_i16_definition`].
#[inline(always)]
pub(crate) fn dots_i16(
    x: [&[i16]; 2],
    w: [&[i8]; 2],
    sums: &mut [[i32; 2]; 2],
) -> Result<(), Mismatch> {
    (kernels().dots_i16)(x, w, sums)
}

/// [`crate::softmax::softmax_i8`].
#[inline(always)]
pub(crate) fn softmax_i8(p: &SoftmaxI8, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    (kernels().softmax_i8)(p, x, y)
}

/// [`crate::tiles::conv2d_tiled_i8`].
#[inline(always)]
pub(crate) fn conv2d_tiled_i8<R: Rescale>(
    p: &Tiled<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    R::run_tiled(p, |p| (kernels().conv2d_tiled_i8)(p, x, y))
}

/// [`crate::winograd::conv2d_winograd_i8`].
#[inline(always)]
pub(crate) fn conv2d_winograd_i8<R: Rescale>(
    p: &Winograd<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let layer = p.layer.with_any_rounding();
    (kernels().conv2d_winograd_i8)(&Winograd { weights: p.weights, layer }, x, y)
}

/// [`crate::depthwise_conv2d::depthwise_conv2d_i8`].
#[inline(always)]
pub(crate) fn depthwise_conv2d_i8<R: Rescale>(
    p: &DepthwiseConv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    (kernels().depthwise_conv2d_i8)(&p.with_any_rounding(), x, y)
}

/// [`crate::depthwise_conv2d::depthwise_conv2d_asymmetric_i8`].
#[inline(always)]
pub(crate) fn depthwise_conv2d_asymmetric_i8<R: Rescale>(
    p: &DepthwiseConv2dI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    (kernels().depthwise_conv2d_asymmetric_i8)(&p.with_any_rounding(), x, y)
}

/// [`crate::depthwise_conv2d::depthwise_conv2d_i16`].
#[inline(always)]
pub(crate) fn depthwise_conv2d_i16<R: Rescale>(
    p: &DepthwiseConv2dI16<'_, R>,
    x: &[i16],
    y: &mut [i16],
) -> Result<(), Mismatch> {
    (kernels().depthwise_conv2d_i16)(&p.with_any_rounding(), x, y)
}

/// [`crate::tiles_f32::conv2d_tiled_f32`].
#[inline(always)]
pub(crate) fn conv2d_tiled_f32(
    p: &TiledF32<'_, f32>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    (kernels().conv2d_tiled_f32)(p, x, y)
}

/// [`crate::tiles_f32::conv2d_tiled_f16`].
#[inline(always)]
pub(crate) fn conv2d_tiled_f16(
    p: &TiledF32<'_, u16>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    (kernels().conv2d_tiled_f16)(p, x, y)
}

/// [`crate::depthwise_conv2d::depthwise_conv2d_f32`].
#[inline(always)]
pub(crate) fn depthwise_conv2d_f32(
    p: &DepthwiseConv2dF32<'_>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    (kernels().depthwise_conv2d_f32)(p, x, y)
}

/// [`crate::add::add_i8`].
#[inline(always)]
pub(crate) fn add_i8<R: Rounding>(
    p: &Add,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    sum_i8::<R>(p, walk, [a, b], y, false)
}

/// [`crate::add::sub_i8`].
#[inline(always)]
pub(crate) fn sub_i8<R: Rounding>(
    p: &Add,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    sum_i8::<R>(p, walk, [a, b], y, true)
}

fn sum_i8<R: Rounding>(
    p: &Add,
    walk: &Walk<2>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
    subtract: bool,
) -> Result<(), Mismatch> {
    // Shifts are those of int8, but for hostile files, whose shifts stay out of range.
    let shift = p.output_shift.clamp(-128, 127) as i8;
    let scale = FixedScales { multiplier: &[p.output_multiplier], shift: &[shift] };
    let sum = SumI8 { scales: p, requantize: R::of(scale), subtract };
    let kernel = kernels().sum_i8;
    blocks::in_blocks(walk, operands, y, |walk, operands, y| kernel(&sum, walk, operands, y))
}
