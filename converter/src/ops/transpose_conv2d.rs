//! TRANSPOSE_CONV.

use systole_core::{Opcode, ops::transpose_conv2d::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    movement::sizes,
    weights::{self, Channels, Rules},
    window::{Window, small},
};
use crate::{
    error::{Result, bail, error},
    graph::NodeView,
    lower::Lowering,
    scale::Activation,
    tflite::{Importer, activation},
};

/// A transposed convolution: inputs are NHWC, OHWI weights, and a bias that may be left out.
#[derive(Debug, Clone, PartialEq)]
pub struct TransposeConv2d {
    /// Strides, and the output's rows and columns that are cut off.
    pub window: Window,
    /// The output's shape, which strides and padding leave open.
    pub output: [usize; 4],
    /// The fused activation.
    pub activation: Activation,
}

/// Reads the operator from TFLite, whose first input states the output's shape.
///
/// # Errors
/// As [`Importer::add_node`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_transpose_conv_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    let [_, kernel_h, kernel_w, _] = importer.input(1)?.dims()?;
    if importer.infers_shapes() {
        let shape = sizes(importer, 0)?;
        importer.set_shape(importer.output_id(0)?, shape)?;
    }
    let stated = importer.input(0)?;
    let output: [usize; 4] = importer.output(0)?.dims()?;
    if stated.is_constant() && stated.integers()? != output.map(|dim| dim as i64) {
        bail!(InvalidShape, "{stated} states another shape than the output has, {output:?}");
    }
    let [_, height, width, _] = output;
    // The padding is that of the convolution from the output back to the input.
    let window = Window::from_tflite(
        [options.stride_h(), options.stride_w()],
        [1, 1],
        options.padding(),
        [height, width],
        [kernel_h, kernel_w],
    )?;
    let activation = activation(options.fused_activation_function())?;
    let mut inputs = vec![Some(importer.input_id(2)?), Some(importer.input_id(1)?)];
    inputs.extend(importer.inputs().get(3));
    let outputs = importer.outputs().to_vec();
    let op = TransposeConv2d { window, output, activation };
    importer.add_node(Op::TransposeConv2d(op), inputs, outputs)
}

impl Operator for TransposeConv2d {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        weights::expect_types(node, false)?;
        let (x, weights) = (node.input(0)?, node.input(1)?);
        let [batches, _, _, channels] = x.dims()?;
        let [outputs, _, _, depth] = weights.dims()?;
        if depth != channels {
            bail!(
                InvalidShape,
                "{weights} has {depth} input channels, but the input has {channels}"
            );
        }
        let [_, height, width, _] = self.output;
        Ok(vec![vec![batches, height, width, outputs]])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let y = node.output(0)?;
        let rules = Rules {
            channels: Channels::First,
            // Which taps meet an output differs from one to the next.
            fold: false,
            litert_float64: false,
            weights_zero_point: false,
            asymmetric: false,
            as_filters: false,
        };
        let operands = weights::operands(node, lowering, rules)?;
        let (activation_min, activation_max) = self.activation.integer_range(y)?;
        let (real_min, real_max) = self.activation.real_range();
        let params = Params {
            stride: small(self.window.stride)?,
            padding: small([self.window.padding.rows[0], self.window.padding.columns[0]])?,
            weights_zero_point: operands.weights_zero_point,
            activation_min,
            activation_max,
            real_min,
            real_max,
        };
        weights::emit(node, lowering, Opcode::TransposeConv2d, &params, operands, 0)
    }
}
