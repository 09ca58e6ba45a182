//! Where the target says which kernels there are: operators call the definitions, compiled for the
//! one rounding that they have.

pub(crate) use crate::depthwise_conv2d::portable as depthwise_conv2d_i8;
pub(crate) use crate::depthwise_conv2d::portable_asymmetric as depthwise_conv2d_asymmetric_i8;
pub(crate) use crate::tiles::portable as conv2d_tiled_i8;

use crate::Mismatch;
use crate::add::{Add, add, sub};
use crate::broadcast::{Operand, Walk};
use crate::requantize::Rounding;

/// [`crate::add::add_i8`].
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
