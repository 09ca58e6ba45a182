//! Where the target says which kernels there are: operators call the definitions, compiled for the
//! one rounding that they have.

pub(crate) use crate::depthwise_conv2d::portable as depthwise_conv2d_i8;
pub(crate) use crate::tiles::portable as conv2d_tiled_i8;
