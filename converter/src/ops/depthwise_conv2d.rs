//! DEPTHWISE_CONV_2D.

use systole_core::{DType, Opcode};
use tract_tflite::tflite;

use super::{
    Op, Operator, conv2d,
    weights::{self, Channels, Rules},
    window::Window,
};
use crate::{
    error::{Result, bail, error},
    graph::NodeView,
    lower::Lowering,
    scale::Activation,
    tflite::{Importer, activation},
};

/// A convolution of each channel by itself: inputs are NHWC, 1HWC weights, and a bias that may be
/// left out. The weights' channels are a multiple of the input's.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthwiseConv2d {
    /// Strides, dilations and padding.
    pub window: Window,
    /// The fused activation.
    pub activation: Activation,
}

/// Reads the operator from TFLite. Its `depth_multiplier` is redundant and ignored, as TFLite does.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_depthwise_conv_2_doptions()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    let [_, height, width, _] = importer.input(0)?.dims()?;
    let [_, kernel_h, kernel_w, _] = importer.input(1)?.dims()?;
    let window = Window::from_tflite(
        [options.stride_h(), options.stride_w()],
        [options.dilation_h_factor(), options.dilation_w_factor()],
        options.padding(),
        [height, width],
        [kernel_h, kernel_w],
    )?;
    let activation = activation(options.fused_activation_function())?;
    importer.add(Op::DepthwiseConv2d(DepthwiseConv2d { window, activation }))
}

impl Operator for DepthwiseConv2d {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        weights::expect_types(node, true)?;
        let (x, weights) = (node.input(0)?, node.input(1)?);
        let [batches, height, width, channels] = x.dims()?;
        let [one, kernel_h, kernel_w, outputs] = weights.dims()?;
        if one != 1 || !outputs.is_multiple_of(channels) {
            bail!(
                InvalidShape,
                "{weights} must be [1, height, width, a multiple of the input's {channels} channels]"
            );
        }
        let [out_h, out_w] = self.window.output([height, width], [kernel_h, kernel_w])?;
        Ok(vec![vec![batches, out_h, out_w, outputs]])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        // Of a single input channel it is a convolution, whose kernel is the faster one.
        let x = node.input(0)?;
        let is_convolution = x.shape[3] == 1 && x.dtype == DType::I8;
        let rules = Rules {
            channels: Channels::Last,
            fold: true,
            litert_float64: false,
            weights_zero_point: false,
            asymmetric: true,
            as_filters: is_convolution,
        };
        let opcode = if is_convolution { Opcode::Conv2d } else { Opcode::DepthwiseConv2d };
        conv2d::lower(node, lowering, opcode, &self.window, self.activation, rules)
    }
}
