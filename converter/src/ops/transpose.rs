//! TRANSPOSE.

use systole_core::{Opcode, format::RoundingCode, ops::transpose::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    movement::{per_axis, same_type},
    reduce::normalized_axis,
};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::{Lowering, SlotId},
    tflite::Importer,
};

/// The axes in another order: axis `k` of the output is axis `permutation[k]` of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct Transpose {
    /// Each axis once.
    pub permutation: Vec<usize>,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let rank = importer.input(0)?.shape.len();
    let axes = importer.input(1)?.integers()?.into_iter();
    let permutation = axes.map(|axis| normalized_axis(axis, rank)).collect::<Result<_>>()?;
    let x = importer.input_id(0)?;
    let op = Op::Transpose(Transpose { permutation });
    importer.add_node(op, vec![Some(x)], importer.outputs().to_vec())
}

impl Operator for Transpose {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = same_type(node)?;
        let mut sorted = self.permutation.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..x.shape.len()) {
            bail!(
                InvalidShape,
                "the permutation {:?} does not name each of the {} axes once",
                self.permutation,
                x.shape.len()
            );
        }
        Ok(vec![self.permutation.iter().map(|&axis| x.shape[axis]).collect()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = Params { permutation: per_axis(&self.permutation)? };
        lowering.emit_unary(node, Opcode::Transpose, RoundingCode::None, &params, &[])
    }
}

/// Transposes `x`, seen as a tensor of shape `dims`, into the bytes of `y`: how blocks change places
/// with depth or batches.
///
/// # Errors
/// `UnsupportedFeature` for more axes than are supported.
pub(super) fn emit_seen_as(
    lowering: &mut Lowering<'_>,
    x: SlotId,
    dims: &[usize],
    permutation: &[usize],
    y: SlotId,
) -> Result<()> {
    let moved: Vec<usize> = permutation.iter().map(|&axis| dims[axis]).collect();
    let params = Params { permutation: per_axis(permutation)? };
    let (x, y) = (lowering.seen_as(x, dims), lowering.seen_as(y, &moved));
    lowering.emit(Opcode::Transpose, RoundingCode::None, &params, vec![Some(x)], vec![y]);
    Ok(())
}
