//! PAD and PADV2.

use systole_core::{DType, Opcode, format::RoundingCode, ops::pad::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    movement::{pairs, per_axis, same_type},
};
use crate::{
    error::{Result, bail},
    graph::{NodeView, Tensor},
    lower::{Lowering, SlotId},
    tflite::Importer,
};

/// A border of one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Pad {
    /// Elements in front of and behind each axis.
    pub padding: Vec<[usize; 2]>,
    /// The value, as the bytes of an element; where there is none, real zero: the zero point of a
    /// quantized tensor.
    pub value: Option<i64>,
}

/// Reads PAD and PADV2 from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let x = importer.input_id(0)?;
    let padding = pairs(importer, 1, importer.tensor(x).shape.len())?;
    let value = match importer.inputs().get(2).copied().flatten() {
        Some(value) => Some(element(importer.tensor(value), importer.tensor(x))?),
        None => None,
    };
    let op = Op::Pad(Pad { padding, value });
    importer.add_node(op, vec![Some(x)], importer.outputs().to_vec())
}

/// The one element of `value`, which has to be of the type of `x`.
fn element(value: &Tensor, x: &Tensor) -> Result<i64> {
    let Some(data) = value.data.as_deref() else {
        bail!(UnsupportedFeature, "{value} must be a constant");
    };
    if value.dtype != x.dtype || value.unsigned != x.unsigned || value.elements() != 1 {
        bail!(InvalidShape, "{value} must be one element of the type of {x}");
    }
    let mut bytes = [0; 8];
    bytes[..data.len()].copy_from_slice(data);
    Ok(i64::from_le_bytes(bytes))
}

impl Operator for Pad {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = same_type(node)?;
        Ok(vec![x.shape.iter().zip(&self.padding).map(|(&dim, &pair)| padded(dim, pair)).collect()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let value = self.value.unwrap_or(zero(node.output(0)?));
        let (x, y) = (lowering.tensor(node.input_id(0)?), lowering.tensor(node.node.outputs[0]));
        emit(lowering, x, &self.padding, value, y)
    }
}

/// An extent with its padding. Numbers that a file may state add up without overflow.
pub(super) fn padded(dim: usize, [before, after]: [usize; 2]) -> usize {
    dim.saturating_add(before).saturating_add(after)
}

/// What stands for real zero in a tensor.
pub(crate) fn zero(tensor: &Tensor) -> i64 {
    match tensor.dtype {
        DType::I8 | DType::I16 => tensor.zero_point().unwrap_or(0).into(),
        _ => 0,
    }
}

/// Emits the padding of `x` to `y`.
///
/// # Errors
/// `UnsupportedFeature` for numbers that do not fit a record.
pub(super) fn emit(
    lowering: &mut Lowering<'_>,
    x: SlotId,
    padding: &[[usize; 2]],
    value: i64,
    y: SlotId,
) -> Result<()> {
    let before: Vec<usize> = padding.iter().map(|pair| pair[0]).collect();
    let params = Params { before: per_axis(&before)?, value };
    lowering.emit(Opcode::Pad, RoundingCode::None, &params, vec![Some(x)], vec![y]);
    Ok(())
}
