//! Normalization of the input as a part of the model: `(x − mean) / std` in front of the first layer.

use systole_core::DType;

use super::recipe::Recipe;
use crate::{
    error::{Result, bail},
    graph::{Graph, Node, Tensor, TensorId},
    ops::{
        Op,
        binary::{Arithmetic, Binary},
    },
    scale::Activation,
};

/// Puts the recipe's normalization in front of a model of one input.
///
/// # Errors
/// `UnsupportedFeature` for models with several inputs, or one that is not float; `InvalidData` for
/// as many numbers as there are no channels, and for those that cannot be divided by.
pub fn normalize(graph: &mut Graph, recipe: &Recipe) -> Result<()> {
    if recipe.mean.is_empty() && recipe.std.is_empty() {
        return Ok(());
    }
    let &[input] = &graph.inputs[..] else {
        bail!(
            UnsupportedFeature,
            "mean and std belong to a model with one input; this one has {}",
            graph.inputs.len()
        );
    };
    if graph[input].dtype != DType::F32 {
        bail!(UnsupportedFeature, "{} is not float32, so it has no mean and std", graph[input]);
    }
    let channels = graph[input].shape.last().copied().unwrap_or(1);
    for (name, values) in [("mean", &recipe.mean), ("std", &recipe.std)] {
        if !matches!(values.len(), 0 | 1) && values.len() != channels {
            bail!(
                InvalidData,
                "{name} has {} numbers; {} has {channels} channels",
                values.len(),
                graph[input]
            );
        }
        let usable = |x: &f32| x.is_finite() && (name == "mean" || x.abs() > f32::MIN_POSITIVE);
        if let Some(odd) = values.iter().find(|x| !usable(x)) {
            bail!(InvalidData, "{name} holds {odd}");
        }
    }
    let mut at = input;
    let mut nodes = Vec::new();
    for (operation, values, what) in [
        (Arithmetic::Sub, recipe.mean.clone(), "mean"),
        (Arithmetic::Mul, recipe.std.iter().map(|std| 1.0 / std).collect(), "std"),
    ] {
        if !values.is_empty() {
            let (node, y) = behind(graph, at, operation, &values, what);
            nodes.push(node);
            at = y;
        }
    }
    graph.replace_uses(input, at);
    graph.nodes.splice(0..0, nodes);
    Ok(())
}

fn behind(
    graph: &mut Graph,
    x: TensorId,
    operation: Arithmetic,
    values: &[f32],
    what: &str,
) -> (Node, TensorId) {
    let constant = graph.add_tensor(Tensor::constant(what, vec![values.len()], values));
    let name = format!("{}/{what}", graph[x].name);
    let y = graph.add_tensor(Tensor::new(name, DType::F32, graph[x].shape.clone()));
    let op = Op::Binary(Binary { operation, activation: Activation::None, power_of_two: false });
    let origin = format!("{what} of '{}'", graph[x].name);
    (Node { op, inputs: vec![Some(x), Some(constant)], outputs: vec![y], origin }, y)
}
