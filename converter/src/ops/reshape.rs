//! RESHAPE, and all that only changes the shape: a view, no work at run time.

use tract_tflite::tflite;

use super::{Op, Operator, movement::integer, reduce::normalized_axis};
use crate::{
    error::{Result, bail, error},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// The input's bytes under the output's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Reshape;

/// Reads RESHAPE from TFLite: the output states the shape.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    if importer.infers_shapes() {
        let shape = stated_shape(importer, operator)?;
        importer.set_shape(importer.output_id(0)?, shape)?;
    }
    view(importer)
}

/// Reads SQUEEZE from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_squeeze(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    if importer.infers_shapes() {
        let shape = &importer.input(0)?.shape;
        let options = operator.builtin_options_as_squeeze_options();
        let stated = options.and_then(|options| options.squeeze_dims()).unwrap_or_default();
        let axes = stated.iter().map(|axis| normalized_axis(axis.into(), shape.len()));
        let axes = axes.collect::<Result<Vec<usize>>>()?;
        let all = axes.is_empty();
        let squeezed = |axis: usize| axes.contains(&axis) || (all && shape[axis] == 1);
        let kept = (0..shape.len()).filter(|&axis| !squeezed(axis)).map(|axis| shape[axis]);
        let kept = kept.collect();
        importer.set_shape(importer.output_id(0)?, kept)?;
    }
    view(importer)
}

/// Reads EXPAND_DIMS from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_expand_dims(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    if importer.infers_shapes() {
        let mut shape = importer.input(0)?.shape.clone();
        let axis = normalized_axis(integer(importer, 1)?, shape.len() + 1)?;
        shape.insert(axis, 1);
        importer.set_shape(importer.output_id(0)?, shape)?;
    }
    view(importer)
}

fn view(importer: &mut Importer) -> Result<()> {
    let x = importer.input_id(0)?;
    importer.add_node(Op::Reshape(Reshape), vec![Some(x)], importer.outputs().to_vec())
}

/// The shape that RESHAPE states, by its second input or, in old models, by its options; −1 is what
/// is left.
fn stated_shape(importer: &Importer, operator: &tflite::Operator<'_>) -> Result<Vec<usize>> {
    let x = importer.input(0)?;
    let given = importer.inputs().get(1).copied().flatten();
    let stated: Vec<i64> = match given {
        Some(shape) => importer.tensor(shape).integers()?,
        None => {
            let options = operator.builtin_options_as_reshape_options();
            let stated = options.and_then(|options| options.new_shape()).unwrap_or_default();
            stated.iter().map(i64::from).collect()
        }
    };
    let known = stated.iter().filter(|&&dim| dim != -1);
    let known = known.fold(1, |product: i64, &dim| product.saturating_mul(dim));
    let left = x.elements() as i64 / known.max(1);
    let dim = |&dim: &i64| usize::try_from(if dim == -1 { left } else { dim }).ok();
    let shape: Option<Vec<usize>> = stated.iter().map(dim).collect();
    shape.ok_or_else(|| error!(InvalidShape, "{x} cannot become {stated:?}"))
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
