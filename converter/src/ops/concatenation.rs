//! CONCATENATION.

use systole::{Opcode, format::RoundingCode, ops::concatenation::Params};
use tract_tflite::tflite;

use super::{Op, Operator, reduce::normalized_axis};
use crate::{
    error::{Result, bail, error},
    graph::NodeView,
    lower::Lowering,
    scale::Activation,
    tflite::{Importer, activation},
};

/// Tensors beside each other along an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Concatenation {
    /// The axis.
    pub axis: usize,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_concatenation_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    if activation(options.fused_activation_function())? != Activation::None {
        bail!(UnsupportedFeature, "a fused activation; none is supported, as in TFLite");
    }
    let axis = normalized_axis(options.axis().into(), importer.input(0)?.shape.len())?;
    importer.add(Op::Concatenation(Concatenation { axis }))
}

impl Operator for Concatenation {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let y = node.output(0)?;
        let mut shape = node.input(0)?.shape.clone();
        shape[self.axis] = 0;
        for index in 0..node.node.inputs.len() {
            let x = node.input(index)?;
            if x.dtype != y.dtype || x.unsigned != y.unsigned {
                bail!(UnsupportedFeature, "{x} and {y} must be of one type");
            }
            let mut axes = x.shape.iter().zip(&shape).enumerate();
            if x.shape.len() != shape.len() || !axes.all(|(i, (x, y))| i == self.axis || x == y) {
                bail!(InvalidShape, "{x} does not fit the others along axis {}", self.axis);
            }
            shape[self.axis] += x.shape[self.axis];
        }
        Ok(vec![shape])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let mut inputs = Vec::new();
        for index in 0..node.node.inputs.len() {
            inputs.push(Some(lowering.tensor(node.input_id(index)?)));
        }
        let y = lowering.tensor(node.node.outputs[0]);
        let params = Params { axis: self.axis as u8 };
        lowering.emit(Opcode::Concatenation, RoundingCode::None, &params, inputs, vec![y]);
        Ok(())
    }
}
