//! AVERAGE_POOL_2D.

use systole::{
    DType, Opcode,
    format::RoundingCode,
    ops::average_pool_2d::Params,
};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    window::{Window, small},
};
use crate::{
    error::{Result, error},
    graph::NodeView,
    lower::Lowering,
    scale::Activation,
    tflite::{Importer, activation},
};

/// The mean of each window.
#[derive(Debug, Clone, PartialEq)]
pub struct AveragePool2d {
    /// Strides and padding.
    pub window: Window,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// The fused activation.
    pub activation: Activation,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_pool_2_doptions()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    let [_, height, width, _] = importer.input(0)?.dims()?;
    let kernel = [options.filter_height(), options.filter_width()];
    let kernel = kernel.map(|size| usize::try_from(size).unwrap_or(0));
    let window = Window::from_tflite(
        [options.stride_h(), options.stride_w()],
        [1, 1],
        options.padding(),
        [height, width],
        kernel,
    )?;
    let activation = activation(options.fused_activation_function())?;
    importer.add(Op::AveragePool2d(AveragePool2d { window, kernel, activation }))
}

impl Operator for AveragePool2d {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::I8])?;
        let [batches, height, width, channels] = x.dims()?;
        let [out_h, out_w] = self.window.output([height, width], self.kernel)?;
        Ok(vec![vec![batches, out_h, out_w, channels]])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        let (activation_min, activation_max) = self.activation.quantized_range(y)?;
        let (stride, _, padding) = self.window.record()?;
        let params = Params {
            stride,
            kernel: small(self.kernel)?,
            padding,
            // uint8 kernels round half up among values that are all positive.
            half_up: u8::from(x.unsigned),
            activation_min,
            activation_max,
        };
        lowering.emit_unary(node, Opcode::AveragePool2d, RoundingCode::None, &params, &[])
    }
}
