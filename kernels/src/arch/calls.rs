//! Where there is a table of kernels: operators call those of the level that was chosen.

use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::depthwise_conv2d::DepthwiseConv2dI8;
use crate::requantize::Rescale;
use crate::tiles::Tiled;

use super::kernels;

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
