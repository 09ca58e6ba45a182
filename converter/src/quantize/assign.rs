//! Which precision each layer is computed in.

use systole_core::DType;

use super::{
    head,
    linear::Linear,
    masks, pattern,
    recipe::{PortType, Precision, Recipe},
    rules::{Rule, real_inputs, real_outputs, rule},
};
use crate::{
    calibrate::Calibration,
    error::{Result, bail},
    graph::{Graph, Node, TensorId},
    ops::{Op, binary::Arithmetic},
};

/// The precision of each node: what the recipe's rules say, where there is a kernel for it.
///
/// Operators that only move values follow the layer that writes them, so that nothing is converted
/// for their sake. Float constants added to a float input, or multiplied with it, stay float: the
/// input has to be converted anyway, and behind such a normalization its channels are of one size.
/// So do masks in front of a softmax.
///
/// # Errors
/// `InvalidData` for rules that match no layer, and for those that ask for what no kernel does.
pub fn precisions(
    graph: &Graph,
    calibration: &Calibration,
    recipe: &Recipe,
) -> Result<Vec<Precision>> {
    let mut used = vec![false; recipe.layers.len()];
    // What writes each tensor.
    let mut held: Vec<Option<Precision>> = vec![None; graph.tensors.len()];
    let mut raw: Vec<bool> = vec![false; graph.tensors.len()];
    if recipe.input_type == PortType::F32 {
        graph.inputs.iter().for_each(|id| raw[id.0] = true);
    }
    let mut given = head::precisions(graph, recipe);
    given.extend(masks::nodes(graph, calibration).into_iter().map(|node| (node, Precision::Float)));
    let mut precisions = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let mut named = given.get(&index).copied();
        for (layer, used) in recipe.layers.iter().zip(&mut used) {
            if pattern::names(&layer.name, graph, node) {
                named = Some(layer.precision);
                *used = true;
            }
        }
        let normalizes = normalizes(graph, node, &raw);
        let wanted = named.unwrap_or_else(|| {
            let moved = rule(&node.op, Precision::Int8) == Rule::Shared;
            let first = real_inputs(graph, node).next().and_then(|id| held[id.0]);
            match first.filter(|_| moved) {
                _ if normalizes => Precision::Float,
                Some(precision) => precision,
                None => recipe.quantize.precision(),
            }
        });
        let precision = if possible(graph, node, wanted) { wanted } else { Precision::Float };
        for id in real_outputs(graph, node) {
            held[id.0] = Some(precision);
            raw[id.0] = normalizes && precision == Precision::Float;
        }
        precisions.push(precision);
    }
    if let Some((layer, _)) = recipe.layers.iter().zip(used).find(|(_, used)| !used) {
        let some: Vec<&str> =
            graph.nodes.iter().take(5).map(|node| pattern::layer_name(graph, node)).collect();
        bail!(
            InvalidData,
            "no layer is named '{}'; `systole inspect` lists the names, the first are {some:?}",
            layer.name
        );
    }
    Ok(precisions)
}

/// Whether there is a kernel for the node in `precision`.
fn possible(graph: &Graph, node: &Node, precision: Precision) -> bool {
    match rule(&node.op, precision) {
        Rule::Float => false,
        Rule::Weights => Linear::of(graph, node).is_some(),
        // Integers that are no quantized numbers, such as indices, are nothing to quantize.
        _ => {
            let mut reals = real_inputs(graph, node).chain(real_outputs(graph, node));
            reals.next().is_some()
        }
    }
}

/// Whether a node adds constants to a float input of the model, or multiplies it with them.
fn normalizes(graph: &Graph, node: &Node, raw: &[bool]) -> bool {
    let Op::Binary(binary) = &node.op else { return false };
    use Arithmetic::{Add, Div, Mul, Sub};
    let affine = matches!(binary.operation, Add | Sub | Mul | Div);
    let operand = |id: &TensorId| raw[id.0] || graph[*id].is_constant();
    let float = graph[node.outputs[0]].dtype == DType::F32;
    affine && float && node.inputs.iter().flatten().all(operand)
}
