//! Import functions by family: what each ONNX operator becomes in the graph.

pub mod activation;
pub mod arithmetic;
pub mod comparison;
pub mod constant;
pub mod convolution;
pub mod gather;
pub mod integer;
pub mod matrix;
pub mod normalization;
pub mod pad;
pub mod pooling;
pub mod qlinear;
pub mod quantized;
pub mod rearrange;
pub mod reduction;
pub mod resize;
pub mod selection;
pub mod shape;
pub mod slice;
pub mod softmax;
pub mod unary;
