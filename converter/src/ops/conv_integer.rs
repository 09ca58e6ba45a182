//! CONV_INTEGER: ONNX's convolution of int8 whose sums stay int32.

use systole_core::{DType, Opcode, format::RoundingCode, ops::conv_integer::Params};

use super::{Operator, window::Window};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
};

/// A convolution over images. Inputs are NHWC, constant OHWI weights, and the zero point of the image,
/// one int8, which need not be a constant. That of the weights is the tensor's.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvInteger {
    /// Strides, dilations and padding.
    pub window: Window,
}

impl Operator for ConvInteger {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::I8])?;
        let weights = node.expect_types(1, &[DType::I8])?;
        let zero = node.expect_types(2, &[DType::I8])?;
        if zero.elements() != 1 || zero.unsigned != x.unsigned {
            bail!(UnsupportedFeature, "{zero} must be one number of the type of {x}");
        }
        super::elementwise::expect_output(node, DType::I32)?;
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
        let weights_zero_point = node.input(1)?.zero_point()? as i16;
        let weights = lowering.tensor(node.input_id(1)?);
        let zero = lowering.tensor(node.input_id(2)?);
        let (stride, dilation, padding) = self.window.record()?;
        let params = Params { stride, dilation, padding, weights_zero_point };
        let none = RoundingCode::None;
        lowering.emit_unary(node, Opcode::ConvInteger, none, &params, &[weights, zero])
    }
}
