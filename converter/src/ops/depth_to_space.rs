//! DEPTH_TO_SPACE: blocks of channels become blocks of pixels.

use tract_tflite::tflite;

use super::{Op, Operator, movement::same_type, transpose::emit_seen_as};
use crate::{
    error::{Result, bail, error},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// Each pixel becomes `block × block` pixels with as many times fewer channels.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthToSpace {
    /// Height and width of what a pixel becomes.
    pub block: usize,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_depth_to_space_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    let block = block_size(options.block_size())?;
    importer.add(Op::DepthToSpace(DepthToSpace { block }))
}

/// A block size of at least 1.
///
/// # Errors
/// `InvalidShape`.
pub(super) fn block_size(stated: i32) -> Result<usize> {
    match usize::try_from(stated) {
        Ok(block @ 1..) => Ok(block),
        _ => bail!(InvalidShape, "a block size of {stated}; it must be at least 1"),
    }
}

impl Operator for DepthToSpace {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = same_type(node)?;
        let ([n, h, w, c], block) = (x.dims()?, self.block);
        if !c.is_multiple_of(block.saturating_mul(block)) {
            bail!(InvalidShape, "{x} has {c} channels, no multiple of {block} × {block}");
        }
        Ok(vec![vec![n, h * block, w * block, c / (block * block)]])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let ([n, h, w, c], block) = (node.input(0)?.dims()?, self.block);
        let (x, y) = (lowering.tensor(node.input_id(0)?), lowering.tensor(node.node.outputs[0]));
        let dims = [n, h, w, block, block, c / (block * block)];
        emit_seen_as(lowering, x, &dims, &[0, 1, 3, 2, 4, 5], y)
    }
}
