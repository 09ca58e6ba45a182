//! ARG_MAX and ARG_MIN.

use systole_core::{DType, Opcode, format::RoundingCode, ops::arg_max::Params};
use tract_tflite::tflite;

use super::{Op, Operator, reduce::normalized_axis};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// The index of the largest or smallest value along an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct ArgMax {
    /// The axis.
    pub axis: usize,
    /// Whether the smallest is looked for.
    pub smallest: bool,
}

/// Reads ARG_MAX from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_max(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    import(importer, false)
}

/// Reads ARG_MIN from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_min(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    import(importer, true)
}

fn import(importer: &mut Importer, smallest: bool) -> Result<()> {
    let (x, axis) = (importer.input(0)?, importer.input(1)?);
    let [axis] = axis.integers()?[..] else {
        bail!(InvalidShape, "{axis} must hold one axis");
    };
    let axis = normalized_axis(axis, x.shape.len())?;
    let x = importer.input_id(0)?;
    let op = Op::ArgMax(ArgMax { axis, smallest });
    importer.add_node(op, vec![Some(x)], importer.outputs().to_vec())
}

impl Operator for ArgMax {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let types =
            [DType::I8, DType::I16, DType::I32, DType::I64, DType::F32, DType::Bool];
        let (x, y) = (node.expect_types(0, &types)?, node.output(0)?);
        if !matches!(y.dtype, DType::I32 | DType::I64) {
            bail!(UnsupportedFeature, "{y} holds indices, which must be int32 or int64");
        }
        let mut shape = x.shape.clone();
        shape.remove(self.axis);
        Ok(vec![shape])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = Params { axis: self.axis as u8, smallest: self.smallest.into() };
        lowering.emit_unary(node, Opcode::ArgMax, RoundingCode::None, &params, &[])
    }
}
