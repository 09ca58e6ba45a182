//! RESHAPE, and all that only changes the shape: a view, no work at run time.

use tract_tflite::tflite;

use super::{Op, Operator};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// The input's bytes under the output's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Reshape;

/// Reads the operator from TFLite: the output states the shape.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let x = importer.input_id(0)?;
    importer.add_node(Op::Reshape(Reshape), vec![Some(x)], importer.outputs().to_vec())
}

impl Operator for Reshape {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        if x.elements() != y.elements() {
            bail!(InvalidShape, "{x} cannot become {y}: the numbers of elements differ");
        }
        if x.dtype != y.dtype {
            bail!(UnsupportedFeature, "{x} and {y} must be of one type");
        }
        Ok(vec![y.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        node.output(0)?;
        lowering.view(node.node.outputs[0], node.input_id(0)?);
        Ok(())
    }
}
