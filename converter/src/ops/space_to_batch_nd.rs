//! SPACE_TO_BATCH_ND: every `block`-th pixel of a padded image goes to a batch of its own.

use tract_tflite::tflite;

use super::{
    Op, Operator,
    movement::{pairs, same_type, sizes},
    pad,
    transpose::emit_seen_as,
};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    options::Match,
    tflite::Importer,
};

/// Pixels at distance `block` of each other become neighbours in a batch of their own. The spatial
/// axes are those between the first and the last.
#[derive(Debug, Clone, PartialEq)]
pub struct SpaceToBatchNd {
    /// Distance along each spatial axis, one or two of them.
    pub block: Vec<usize>,
    /// Elements in front of and behind each spatial axis: real zeros in LiteRT, stored zeros in
    /// TFLite Micro.
    pub padding: Vec<[usize; 2]>,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let (x, block) = (importer.input_id(0)?, blocks(importer)?);
    let padding = pairs(importer, 2, block.len())?;
    let op = Op::SpaceToBatchNd(SpaceToBatchNd { block, padding });
    importer.add_node(op, vec![Some(x)], importer.outputs().to_vec())
}

/// The block of input 1, which has to fit the rank of input 0.
///
/// # Errors
/// `UnsupportedFeature` for ranks other than 3 and 4, as in TFLite; `InvalidShape`.
pub(super) fn blocks(importer: &Importer) -> Result<Vec<usize>> {
    let (x, block) = (importer.input(0)?, sizes(importer, 1)?);
    if !matches!(x.shape.len(), 3 | 4) {
        bail!(UnsupportedFeature, "{x} must have 3 or 4 dimensions");
    }
    if block.len() + 2 != x.shape.len() || block.contains(&0) {
        bail!(InvalidShape, "blocks of {block:?} do not fit {x}");
    }
    Ok(block)
}

impl SpaceToBatchNd {
    fn padded(&self, shape: &[usize]) -> Vec<usize> {
        let spatial = shape.iter().skip(1).zip(&self.padding);
        let padded = spatial.map(|(&dim, &pair)| pad::padded(dim, pair));
        shape.iter().take(1).copied().chain(padded).chain(shape.last().copied()).collect()
    }
}

impl Operator for SpaceToBatchNd {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = same_type(node)?;
        let mut shape = self.padded(&x.shape);
        for (axis, &block) in self.block.iter().enumerate() {
            if !shape[axis + 1].is_multiple_of(block) {
                bail!(InvalidShape, "{} padded pixels are no multiple of {block}", shape[axis + 1]);
            }
            shape[axis + 1] /= block;
            shape[0] = shape[0].saturating_mul(block);
        }
        Ok(vec![shape])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (input, output) = (node.input(0)?, node.output(0)?);
        let (mut x, y) = (lowering.tensor(node.input_id(0)?), lowering.tensor(node.node.outputs[0]));
        let padded = self.padded(&input.shape);
        if padded != input.shape {
            let (scale, zero_point) = input.scale_and_zero_point().unwrap_or((0.0, 0));
            let wide = lowering.temporary(input.dtype, &padded, scale, zero_point);
            let padding: Vec<[usize; 2]> =
                [[0; 2]].into_iter().chain(self.padding.iter().copied()).chain([[0; 2]]).collect();
            let value = match lowering.matching() {
                // TFLite Micro never sets the value that the kernel pads with.
                Match::Tflm => 0,
                _ => pad::zero(output),
            };
            pad::emit(lowering, x, &padding, value, wide)?;
            x = wide;
        }
        match (&padded[..], &self.block[..]) {
            (&[n, h, w, c], &[rows, columns]) => {
                let dims = [n, h / rows, rows, w / columns, columns, c];
                emit_seen_as(lowering, x, &dims, &[2, 4, 0, 1, 3, 5], y)
            }
            (&[n, w, c], &[block]) => {
                emit_seen_as(lowering, x, &[n, w / block, block, c], &[2, 0, 1, 3], y)
            }
            _ => bail!(UnsupportedFeature, "{input} must have 3 or 4 dimensions"),
        }
    }
}
