//! CONV_2D.

use systole_core::{Opcode, ops::conv2d::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    weights::{self, Channels, Rules, scales_differ},
    window::Window,
};
use crate::{
    error::{Result, bail, error},
    graph::NodeView,
    lower::Lowering,
    scale::Activation,
    tflite::{Importer, activation},
};

/// A convolution over images: inputs are NHWC, OHWI weights, and a bias that may be left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2d {
    /// Strides, dilations and padding.
    pub window: Window,
    /// The fused activation.
    pub activation: Activation,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_conv_2_doptions()
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
    importer.add(Op::Conv2d(Conv2d { window, activation }))
}

impl Operator for Conv2d {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        weights::expect_types(node, true)?;
        let (x, weights) = (node.input(0)?, node.input(1)?);
        let [batches, height, width, channels] = x.dims()?;
        let [outputs, kernel_h, kernel_w, group_channels] = weights.dims()?;
        let groups = channels / group_channels;
        if groups * group_channels != channels || !outputs.is_multiple_of(groups) {
            bail!(
                InvalidShape,
                "{weights} has {group_channels} input channels, but the input has {channels}"
            );
        }
        let [out_h, out_w] = self.window.output([height, width], [kernel_h, kernel_w])?;
        Ok(vec![vec![batches, out_h, out_w, outputs]])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, weights) = (node.input(0)?, node.input(1)?);
        let grouped = weights.shape[3] != x.shape[3];
        let rules = Rules {
            channels: Channels::First,
            fold: true,
            litert_float64: false,
            weights_zero_point: false,
            asymmetric: grouped || scales_differ(weights),
            as_filters: false,
        };
        lower(node, lowering, Opcode::Conv2d, &self.window, self.activation, rules)
    }
}

/// Lowers a convolution, which depthwise ones are but for their opcode and rules.
///
/// # Errors
/// As [`Operator::lower`].
pub(super) fn lower(
    node: &NodeView<'_>,
    lowering: &mut Lowering<'_>,
    opcode: Opcode,
    window: &Window,
    activation: Activation,
    rules: Rules,
) -> Result<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let operands = weights::operands(node, lowering, rules)?;
    let (stride, dilation, padding) = window.record()?;
    let (activation_min, activation_max) = activation.integer_range(y)?;
    let (real_min, real_max) = activation.real_range();
    let params = Params {
        stride,
        dilation,
        padding,
        weights_zero_point: operands.weights_zero_point,
        activation_min,
        activation_max,
        real_min,
        real_max,
        asymmetric: rules.asymmetric.into(),
    };
    weights::emit(node, lowering, opcode, &params, operands, x.elements() / x.shape[0])
}
