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
    // Images that come channels first are turned at once: behind that channels are innermost.
    let (mut at, position) = match turned(graph, input) {
        Some((turned, node)) => (turned, node + 1),
        None => (input, 0),
    };
    let channels = graph[at].shape.last().copied().unwrap_or(1);
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
    let start = at;
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
    graph.replace_uses(start, at);
    graph.nodes.splice(position..position, nodes);
    Ok(())
}

/// The input with channels innermost, and the node that alone reads it and makes that of it.
fn turned(graph: &Graph, input: TensorId) -> Option<(TensorId, usize)> {
    let mut readers = graph.readers(input);
    let (reader, None) = (readers.next()?, readers.next()) else { return None };
    let node = &graph.nodes[reader];
    match &node.op {
        Op::Transpose(transpose) if transpose.permutation == [0, 2, 3, 1] => {
            Some((node.outputs[0], reader))
        }
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use zerocopy::FromBytes;

    use super::*;
    use crate::{
        ops::transpose::Transpose,
        passes::testing::{Chain, output},
    };

    fn floats(graph: &Graph) -> Vec<f32> {
        output(graph).chunks(4).map(|bytes| f32::read_from_bytes(bytes).unwrap()).collect()
    }

    fn recipe(mean: &[f32], std: &[f32]) -> Recipe {
        Recipe { mean: mean.to_vec(), std: std.to_vec(), ..Recipe::default() }
    }

    /// Channels are the innermost axis, also of images that come channels first.
    #[test]
    fn channels_are_normalized_whichever_axis_they_come_in() {
        let mut chain = Chain::new(&[1, 2, 3, 4]);
        let turn = Op::Transpose(Transpose { permutation: vec![0, 2, 3, 1] });
        chain.add(turn, &[1, 3, 4, 2]);
        let mut graph = chain.finish();
        let before = floats(&graph);
        normalize(&mut graph, &recipe(&[1.0, -2.0], &[4.0, 0.5])).unwrap();
        for node in &graph.nodes {
            graph.check(node).unwrap();
        }
        for (index, (before, after)) in before.iter().zip(floats(&graph)).enumerate() {
            let (mean, std) = [(1.0, 4.0), (-2.0, 0.5)][index % 2];
            assert_eq!(after, (before - mean) / std);
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let refused = |mean: &[f32], std: &[f32]| {
            let mut chain = Chain::new(&[1, 3]);
            chain.add(Op::Reshape(crate::ops::reshape::Reshape), &[3, 1]);
            normalize(&mut chain.finish(), &recipe(mean, std)).is_err()
        };
        assert!(!refused(&[1.0, 2.0, 3.0], &[2.0]));
        assert!(refused(&[1.0, 2.0], &[]));
        assert!(refused(&[], &[1.0, 0.0, 1.0]));
        assert!(refused(&[f32::NAN], &[]));
    }
}
