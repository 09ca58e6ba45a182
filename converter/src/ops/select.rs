//! SELECT and SELECT_V2: elements of one tensor or another, as a condition says.

use systole_core::{DType, Opcode, format::RoundingCode, ops::select::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    elementwise::{broadcast, expect_output},
    reshape::Reshape,
};
use crate::{
    error::{Result, bail},
    graph::{NodeView, Tensor},
    lower::Lowering,
    tflite::Importer,
};

/// The second input where the first is true, else the third; all broadcast.
#[derive(Debug, Clone, PartialEq)]
pub struct Select;

/// Reads SELECT_V2 from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_v2(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    importer.add(Op::Select(Select))
}

/// Reads SELECT from TFLite, whose condition of rank one selects whole rows.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let (condition, x) = (importer.input(0)?, importer.input(1)?);
    if condition.shape.len() != 1 || x.shape.len() < 2 {
        return importer.add(Op::Select(Select));
    }
    let mut shape = vec![1; x.shape.len()];
    shape[0] = condition.shape[0];
    let rows = Tensor::new("", condition.dtype, shape);
    let rows = importer.add_tensor(rows);
    let condition = importer.input_id(0)?;
    importer.add_node(Op::Reshape(Reshape), vec![Some(condition)], vec![rows])?;
    let mut inputs = importer.inputs().to_vec();
    inputs[0] = Some(rows);
    importer.add_node(Op::Select(Select), inputs, importer.outputs().to_vec())
}

impl Operator for Select {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let condition = node.expect_types(0, &[DType::Bool])?;
        let (a, b) = (node.input(1)?, node.input(2)?);
        if a.dtype != b.dtype {
            bail!(UnsupportedFeature, "{a} and {b} must be of one type");
        }
        expect_output(node, a.dtype)?;
        Ok(vec![broadcast(&broadcast(&condition.shape, &a.shape)?, &b.shape)?])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let rest = [node.input_id(1)?, node.input_id(2)?].map(|id| lowering.tensor(id));
        lowering.emit_unary(node, Opcode::Select, RoundingCode::None, &Params {}, &rest)
    }
}
