//! ONE_HOT.

use systole_core::{DType, Opcode, format::RoundingCode, ops::one_hot::Params};
use tract_tflite::tflite;

use super::{Op, Operator, movement::integer, reduce::normalized_axis};
use crate::{
    error::{Result, bail, error},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// One value where an index points, another elsewhere. Inputs: indices, the value there, the value
/// elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct OneHot {
    /// Which axis of the output is the new one.
    pub axis: usize,
    /// Its extent.
    pub depth: usize,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator.builtin_options_as_one_hot_options();
    let axis = options.map_or(-1, |options| options.axis());
    let axis = normalized_axis(axis.into(), importer.input(0)?.shape.len() + 1)?;
    let depth = integer(importer, 1)?;
    let depth = usize::try_from(depth)
        .map_err(|_| error!(InvalidShape, "a depth of {depth}; it must not be negative"))?;
    let inputs = [0, 2, 3].into_iter().map(|i| importer.input_id(i).map(Some));
    let inputs = inputs.collect::<Result<_>>()?;
    importer.add_node(Op::OneHot(OneHot { axis, depth }), inputs, importer.outputs().to_vec())
}

impl Operator for OneHot {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let (indices, y) = (node.expect_types(0, &[DType::I32, DType::I64])?, node.output(0)?);
        for value in [node.input(1)?, node.input(2)?] {
            if value.elements() != 1 || value.dtype != y.dtype || value.unsigned != y.unsigned {
                bail!(InvalidShape, "{value} must be one element of the type of {y}");
            }
        }
        let mut shape = indices.shape.clone();
        shape.insert(self.axis, self.depth);
        Ok(vec![shape])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let values = [lowering.tensor(node.input_id(1)?), lowering.tensor(node.input_id(2)?)];
        let params = Params { axis: self.axis as u8 };
        lowering.emit_unary(node, Opcode::OneHot, RoundingCode::None, &params, &values)
    }
}
