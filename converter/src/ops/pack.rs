//! PACK: a concatenation of tensors that have got an axis of 1.

use tract_tflite::tflite;

use super::{
    Op, concatenation::Concatenation, movement::intermediate, reduce::normalized_axis,
    reshape::Reshape,
};
use crate::{
    error::{Result, error},
    tflite::Importer,
};

/// Reads PACK from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_pack_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    let rank = importer.input(0)?.shape.len();
    let axis = normalized_axis(options.axis().into(), rank + 1)?;
    let mut inputs = Vec::new();
    for index in 0..importer.inputs().len() {
        let x = importer.input_id(index)?;
        let mut shape = importer.tensor(x).shape.clone();
        shape.insert(axis.min(shape.len()), 1);
        let view = intermediate(importer, x, shape)?;
        importer.add_node(Op::Reshape(Reshape), vec![Some(x)], vec![view])?;
        inputs.push(Some(view));
    }
    let op = Op::Concatenation(Concatenation { axis });
    importer.add_node(op, inputs, importer.outputs().to_vec())
}
