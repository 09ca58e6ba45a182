//! GATHER.

use systole_core::{DType, Opcode, format::RoundingCode, ops::gather::Params};
use tract_tflite::tflite;

use super::{Op, Operator, movement::same_type, reduce::normalized_axis};
use crate::{
    error::{Result, bail},
    graph::{NodeView, Tensor},
    lower::Lowering,
    tflite::Importer,
};

/// Slices along an axis, picked by indices: the second input.
#[derive(Debug, Clone, PartialEq)]
pub struct Gather {
    /// The axis that is indexed.
    pub axis: usize,
    /// How many leading axes input and indices share.
    pub batch_dims: usize,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator.builtin_options_as_gather_options();
    let (axis, batch_dims) =
        options.map_or((0, 0), |options| (options.axis(), options.batch_dims()));
    let axis = normalized_axis(axis.into(), importer.input(0)?.shape.len())?;
    let positions = importer.input(1)?.shape.len() as i64;
    let stated = i64::from(batch_dims);
    let Ok(batch_dims) = usize::try_from(if stated < 0 { stated + positions } else { stated })
    else {
        bail!(InvalidShape, "{stated} batch dimensions of indices with {positions} dimensions");
    };
    importer.add(Op::Gather(Gather { axis, batch_dims }))
}

/// Fails unless `indices` may index, and, where they are constants, stay below `limits`: repeated
/// for each tuple.
///
/// # Errors
/// `UnsupportedFeature` for other types, `InvalidShape` for indices outside.
pub(super) fn check_indices(indices: &Tensor, limits: &[usize]) -> Result<()> {
    if !matches!(indices.dtype, DType::I16 | DType::I32 | DType::I64) {
        bail!(UnsupportedFeature, "{indices} holds indices: int16, int32 or int64");
    }
    if !indices.is_constant() {
        return Ok(());
    }
    for (index, &limit) in indices.integers()?.into_iter().zip(limits.iter().cycle()) {
        if !(0..limit as i64).contains(&index) {
            bail!(InvalidShape, "{indices} holds {index}; indices from 0 to {} exist", limit - 1);
        }
    }
    Ok(())
}

impl Operator for Gather {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let (x, indices) = (same_type(node)?, node.input(1)?);
        let Gather { axis, batch_dims } = *self;
        let (x_batches, index_batches) = (x.shape.get(..batch_dims), indices.shape.get(..batch_dims));
        if batch_dims > axis || x_batches.is_none() || x_batches != index_batches {
            bail!(
                InvalidShape,
                "{batch_dims} batch dimensions; {x} and {indices} must share them, before axis {axis}"
            );
        }
        check_indices(indices, &x.shape[axis..=axis])?;
        let shape = x.shape[..axis].iter().chain(&indices.shape[batch_dims..]);
        Ok(vec![shape.chain(&x.shape[axis + 1..]).copied().collect()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = Params { axis: self.axis as u8, batch_dims: self.batch_dims as u8 };
        let indices = lowering.tensor(node.input_id(1)?);
        lowering.emit_unary(node, Opcode::Gather, RoundingCode::None, &params, &[indices])
    }
}
