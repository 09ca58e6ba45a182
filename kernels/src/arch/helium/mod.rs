//! Cortex-M with Helium, the M-profile Vector Extension: M52, M55, M85. Vectors of 128 bits.
//!
//! Stable compilers have no intrinsics for it. Loops are assembly, each beside what it computes in Rust,
//! so that the kernels are tested on other processors, too.

mod add;
mod columns;
mod conv2d;
mod copy;
mod depthwise_conv2d;
mod fully_connected;
mod output;
mod pairs;
mod product;
#[cfg(test)]
mod tests;

pub(crate) use add::{add_i8, sub_i8};
pub(crate) use conv2d::{conv2d_i8, conv2d_large_i8, conv2d_pointwise_i8};
pub(crate) use depthwise_conv2d::depthwise_conv2d_i8;
pub(crate) use fully_connected::fully_connected_long_i8;
