//! L2_NORMALIZATION.

use systole_core::{DType, Opcode, format::RoundingCode, ops::l2_normalization::Params};
use tract_tflite::tflite;

use super::{Op, Operator, softmax::expect_output};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    scale::Activation,
    tflite::{Importer, activation},
};

/// Vectors along the last axis, divided by their length.
#[derive(Debug, Clone, PartialEq)]
pub struct L2Normalization;

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`], and `UnsupportedFeature` for a fused activation: no runtime has one.
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    if let Some(options) = operator.builtin_options_as_l2_norm_options() {
        let activation = activation(options.fused_activation_function())?;
        if activation != Activation::None {
            bail!(UnsupportedFeature, "a fused activation, {activation:?}");
        }
    }
    importer.add(Op::L2Normalization(L2Normalization))
}

impl Operator for L2Normalization {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let (x, y) = (node.expect_types(0, &[DType::I8, DType::F32])?, node.output(0)?);
        if x.dtype != y.dtype {
            bail!(UnsupportedFeature, "{x} and {y} must be of one type");
        }
        if x.shape.is_empty() {
            bail!(InvalidShape, "{x} needs at least one dimension");
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        if x.dtype == DType::I8 {
            x.zero_point()?;
            expect_output(y, 1.0 / 128.0, 0)?;
        }
        let params = Params { scale_first: u8::from(x.unsigned) };
        lowering.emit_unary(node, Opcode::L2Normalization, RoundingCode::None, &params, &[])
    }
}
