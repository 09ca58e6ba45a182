//! The kernels against the definitions, on processors that need no Helium: with what its instructions
//! compute.

use super::{
    add_i8, conv2d_i8, conv2d_large_i8, conv2d_pointwise_i8, depthwise_conv2d_i8,
    fully_connected_long_i8, sub_i8,
};
use crate::arch::layers::{Layers, definitions_hold, sums_hold};

const LAYERS: Layers = Layers {
    conv2d: |p, x, y| conv2d_i8(p, x, y),
    conv2d_large: |p, x, y| conv2d_large_i8(p, x, y),
    conv2d_pointwise: |p, x, y| conv2d_pointwise_i8(p, x, y),
    fully_connected_long: |p, x, y| fully_connected_long_i8(p, x, y),
    depthwise_conv2d: |p, x, y| depthwise_conv2d_i8(p, x, y),
};

definitions_hold!(LAYERS);

sums_hold!(add_i8, sub_i8);
