//! CAST: another element type.

use systole_core::{DType, Opcode, format::RoundingCode, ops::cast::Params};
use tract_tflite::tflite;

use super::{Op, Operator};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// The input's values in the output's type.
#[derive(Debug, Clone, PartialEq)]
pub struct Cast;

/// Reads CAST from TFLite: the tensors state the types.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    importer.add(Op::Cast(Cast))
}

impl Operator for Cast {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        for tensor in [x, y] {
            if matches!(tensor.dtype, DType::F64 | DType::U16) {
                bail!(UnsupportedFeature, "{tensor} has a type that cannot be cast");
            }
            if tensor.unsigned {
                bail!(
                    UnsupportedFeature,
                    "{tensor} is quantized uint8, whose bytes cannot be cast; dequantize it"
                );
            }
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        if node.input(0)?.dtype == node.output(0)?.dtype {
            lowering.view(node.node.outputs[0], node.input_id(0)?);
            return Ok(());
        }
        lowering.emit_unary(node, Opcode::Cast, RoundingCode::None, &Params {}, &[])
    }
}
