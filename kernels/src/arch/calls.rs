//! Where there is a table of kernels: operators call those of the level that was chosen.

use crate::Mismatch;
use crate::add::Add;
use crate::broadcast::{Operand, Walk};
use crate::conv2d::Conv2dI8;
use crate::depthwise_conv2d::DepthwiseConv2dI8;
use crate::requantize::{FixedScales, Rescale, Rounding};
use crate::tiles::Tiled;

use super::{SumI8, kernels};

/// [`crate::tiles::conv2d_tiled_i8`].
#[inline(always)]
pub(crate) fn conv2d_tiled_i8<R: Rescale>(
    p: &Tiled<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let layer = p.layer.with_any_rounding();
    (kernels().conv2d_tiled_i8)(&Tiled { weights: p.weights, layer }, x, y)
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
    (kernels().sum_i8)(&sum, walk, operands, y)
}
