//! GATHER_ND.

use systole_core::{Opcode, format::RoundingCode, ops::gather_nd::Params};
use tract_tflite::tflite;

use super::{Op, Operator, gather::check_indices, movement::same_type};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// Slices picked by tuples of indices: the innermost axis of the second input.
#[derive(Debug, Clone, PartialEq)]
pub struct GatherNd;

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    importer.add(Op::GatherNd(GatherNd))
}

impl Operator for GatherNd {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let (x, indices) = (same_type(node)?, node.input(1)?);
        let Some((&depth, tuples)) = indices.shape.split_last() else {
            bail!(InvalidShape, "{indices} must hold tuples");
        };
        let (Some(named), Some(inner)) = (x.shape.get(..depth), x.shape.get(depth..)) else {
            bail!(InvalidShape, "{indices} holds tuples of {depth}, more than {x} has axes");
        };
        check_indices(indices, named)?;
        Ok(vec![tuples.iter().chain(inner).copied().collect()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let indices = lowering.tensor(node.input_id(1)?);
        lowering.emit_unary(node, Opcode::GatherNd, RoundingCode::None, &Params {}, &[indices])
    }
}
