//! The kernels against the definitions, on processors that need no DSP extension: with what its
//! instructions compute.

use super::{conv2d_i8, conv2d_pointwise_i8, depthwise_conv2d_i8, fully_connected_long_i8};
use crate::arch::Kernels;
use crate::arch::layers::Layers;
use crate::depthwise_conv2d;
use crate::testing::cases;

const LAYERS: Layers = Layers {
    conv2d: |p, x, y| conv2d_i8(p, x, y),
    conv2d_large: |p, x, y| conv2d_i8(p, x, y),
    conv2d_pointwise: |p, x, y| conv2d_pointwise_i8(p, x, y),
    fully_connected_long: |p, x, y| fully_connected_long_i8(p, x, y),
};

#[test]
fn convolution_is_its_definition() {
    LAYERS.convolution_holds();
}

#[test]
fn convolution_of_groups_is_its_definition() {
    LAYERS.groups_hold();
}

#[test]
fn pointwise_convolution_is_its_definition() {
    LAYERS.pointwise_holds();
}

#[test]
fn fully_connected_is_its_definition() {
    LAYERS.fully_connected_holds();
}

#[test]
fn depthwise_convolution_is_its_definition() {
    let kernels = Kernels {
        depthwise_conv2d_i8: |p, x, y| depthwise_conv2d_i8(p, x, y),
        ..Kernels::PORTABLE
    };
    depthwise_conv2d::tests::holds(&kernels, cases());
}
