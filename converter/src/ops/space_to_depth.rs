//! SPACE_TO_DEPTH: blocks of pixels become blocks of channels.

use tract_tflite::tflite;

use super::{
    Op, Operator, depth_to_space::block_size, movement::same_type, transpose::emit_seen_as,
};
use crate::{
    error::{Result, bail, error},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// `block × block` pixels become one with as many times more channels.
#[derive(Debug, Clone, PartialEq)]
pub struct SpaceToDepth {
    /// Height and width of what becomes a pixel.
    pub block: usize,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_space_to_depth_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    let block = block_size(options.block_size())?;
    importer.add(Op::SpaceToDepth(SpaceToDepth { block }))
}

impl Operator for SpaceToDepth {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = same_type(node)?;
        let ([n, h, w, c], block) = (x.dims()?, self.block);
        if !h.is_multiple_of(block) || !w.is_multiple_of(block) {
            bail!(InvalidShape, "{x} is {h} × {w}, not made of blocks of {block} × {block}");
        }
        Ok(vec![vec![n, h / block, w / block, c * block * block]])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let ([n, h, w, c], block) = (node.input(0)?.dims()?, self.block);
        let (x, y) = (lowering.tensor(node.input_id(0)?), lowering.tensor(node.node.outputs[0]));
        let dims = [n, h / block, block, w / block, block, c];
        emit_seen_as(lowering, x, &dims, &[0, 1, 3, 2, 4, 5], y)
    }
}
