//! BATCH_TO_SPACE_ND: batches become every `block`-th pixel of an image, which is then cropped.

use systole_core::{Opcode, format::RoundingCode};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    movement::{pairs, same_type},
    space_to_batch_nd::blocks,
    strided_slice::{Steps, StridedSlice},
    transpose::emit_seen_as,
};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// The inverse of [`super::space_to_batch_nd::SpaceToBatchNd`].
#[derive(Debug, Clone, PartialEq)]
pub struct BatchToSpaceNd {
    /// Distance along each spatial axis, one or two of them.
    pub block: Vec<usize>,
    /// Pixels cut off in front of and behind each spatial axis.
    pub crops: Vec<[usize; 2]>,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let (x, block) = (importer.input_id(0)?, blocks(importer)?);
    let crops = pairs(importer, 2, block.len())?;
    let op = Op::BatchToSpaceNd(BatchToSpaceNd { block, crops });
    importer.add_node(op, vec![Some(x)], importer.outputs().to_vec())
}

impl BatchToSpaceNd {
    /// How many batches make up an image, at least 1.
    fn batches(&self) -> usize {
        self.block.iter().fold(1, |product: usize, &block| product.saturating_mul(block))
    }

    /// The shape before it is cropped.
    fn whole(&self, shape: &[usize]) -> Vec<usize> {
        let mut whole = shape.to_vec();
        for (dim, block) in whole.iter_mut().skip(1).zip(&self.block) {
            *dim = dim.saturating_mul(*block);
        }
        whole[0] /= self.batches();
        whole
    }
}

impl Operator for BatchToSpaceNd {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = same_type(node)?;
        let blocks = self.batches();
        if !x.shape[0].is_multiple_of(blocks) {
            bail!(InvalidShape, "{x} has {} batches, no multiple of {blocks}", x.shape[0]);
        }
        let mut shape = self.whole(&x.shape);
        for (dim, [before, after]) in shape.iter_mut().skip(1).zip(&self.crops) {
            match dim.checked_sub(before.saturating_add(*after)) {
                Some(left @ 1..) => *dim = left,
                _ => bail!(InvalidShape, "crops of {before} and {after} leave nothing of {dim}"),
            }
        }
        Ok(vec![shape])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (input, output) = (node.input(0)?, node.output(0)?);
        let (x, y) = (lowering.tensor(node.input_id(0)?), lowering.tensor(node.node.outputs[0]));
        let whole = self.whole(&input.shape);
        let cropped = whole != output.shape;
        let to = if cropped {
            let (scale, zero_point) = output.scale_and_zero_point().unwrap_or((0.0, 0));
            lowering.temporary(output.dtype, &whole, scale, zero_point)
        } else {
            y
        };
        match (&input.shape[..], &self.block[..]) {
            (&[n, h, w, c], &[rows, columns]) => {
                let dims = [rows, columns, n / (rows * columns), h, w, c];
                emit_seen_as(lowering, x, &dims, &[2, 3, 0, 4, 1, 5], to)?;
            }
            (&[n, w, c], &[block]) => {
                emit_seen_as(lowering, x, &[block, n / block, w, c], &[1, 2, 0, 3], to)?;
            }
            _ => bail!(UnsupportedFeature, "{input} must have 3 or 4 dimensions"),
        }
        if cropped {
            let before = [0].into_iter().chain(self.crops.iter().map(|crop| crop[0])).chain([0]);
            let steps = before.zip(&output.shape).map(|(at, &count)| Steps::range(at, count));
            let params = StridedSlice { axes: steps.collect() }.params()?;
            let none = RoundingCode::None;
            lowering.emit(Opcode::StridedSlice, none, &params, vec![Some(to)], vec![y]);
        }
        Ok(())
    }
}
