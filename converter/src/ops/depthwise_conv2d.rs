//! DEPTHWISE_CONV_2D.

use systole::{DType, Opcode, ops::depthwise_conv2d::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    weights::{channel_scales, folded_bias, weights_zero_point},
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
        let x = node.expect_types(0, &[DType::I8])?;
        let weights = node.input(1)?;
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
        let (x, weights, y) = (node.input(0)?, node.input(1)?, node.output(0)?);
        let zero_point = weights_zero_point(weights)?;
        let values: Vec<i8> = weights.values()?;
        let channels = weights.shape[3];
        let taps: Vec<Vec<i8>> = (0..channels)
            .map(|channel| values.iter().skip(channel).step_by(channels).copied().collect())
            .collect();
        let bias = folded_bias(node, &taps, x.zero_point()?, zero_point)?;
        let (min, max) = self.activation.quantized_range(y)?;
        let (stride, dilation, padding) = self.window.record()?;
        let rounding = lowering.rounding();
        let mut constants = vec![
            lowering.constant(&weights.shape, &values),
            lowering.constant(&[bias.len()], &bias),
        ];
        constants.extend(lowering.scales(rounding, &channel_scales(x, weights, y, 3)?)?);
        let params = Params {
            stride,
            dilation,
            padding,
            weights_zero_point: zero_point as i16,
            activation_min: min,
            activation_max: max,
        };
        lowering.emit_unary(node, Opcode::DepthwiseConv2d, rounding, &params, &constants)
    }

    fn macs(&self, node: &NodeView<'_>) -> u64 {
        match (node.input(1), node.output(0)) {
            (Ok(weights), Ok(y)) => {
                let taps = weights.shape.iter().skip(1).take(2).product::<usize>();
                y.elements() as u64 * taps as u64
            }
            _ => 0,
        }
    }
}
