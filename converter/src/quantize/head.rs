//! The last layer in higher precision.
//!
//! A softmax tells classes apart by differences of its inputs of some hundredths, while their whole
//! range is often a hundred: with 256 levels, classes that are close become equal, and the first of
//! them wins. In int16 the layer that gives these inputs costs a few hundred operations, and a float
//! softmax a few exponentials.

use std::collections::BTreeMap;

use systole_core::DType;

use super::{
    linear::Linear,
    recipe::{PortType, Precision, Recipe, Scheme},
    rules::{Rule, rule},
};
use crate::{
    graph::{Graph, Node},
    ops::{Op, unary::Unary},
};

/// A last layer with no more multiply-accumulates than this is small,
const SMALL: u64 = 4096;

/// or one that is no more than this part of all.
const PART: u64 = 10;

/// The precision of nodes at the end of the graph, by their index.
pub fn precisions(graph: &Graph, recipe: &Recipe) -> BTreeMap<usize, Precision> {
    let mut head = BTreeMap::new();
    let wanted = recipe.precise_output
        && recipe.quantize == Scheme::Int8
        && recipe.output_type == PortType::F32;
    if !wanted {
        return head;
    }
    let total: u64 = graph.nodes.iter().map(|node| macs(graph, node)).sum();
    for &output in &graph.outputs {
        if graph[output].dtype != DType::F32 {
            continue;
        }
        let (mut at, mut behind) = (output, Vec::new());
        while let Some(index) = graph.writer(at) {
            let node = &graph.nodes[index];
            if Linear::of(graph, node).is_some() {
                let macs = macs(graph, node);
                if macs <= SMALL || macs <= total / PART {
                    head.insert(index, Precision::Int16);
                    head.extend(behind);
                }
                break;
            }
            let ends = matches!(
                node.op,
                Op::Softmax(_) | Op::LogSoftmax(_) | Op::Unary(Unary::Logistic | Unary::Tanh)
            );
            let moves = rule(&node.op, Precision::Int8) == Rule::Shared;
            let alone = node.inputs.iter().flatten().count() == 1;
            let Some(input) = node.inputs.first().copied().flatten() else { break };
            if !((ends || moves) && alone && graph.readers(input).count() == 1) {
                break;
            }
            behind.push((index, Precision::Float));
            at = input;
        }
    }
    head
}

/// Multiply-accumulates of a layer with weights: each output meets the weights of its filter, or,
/// in a transposed convolution, each input those of its channel.
pub fn macs(graph: &Graph, node: &Node) -> u64 {
    let Some(layer) = Linear::of(graph, node) else { return 0 };
    let per_position = (layer.taps() * layer.depth * layer.outputs) as u64;
    let positions = match (&node.op, node.inputs[0]) {
        (Op::TransposeConv2d(_), Some(x)) => graph[x].elements() / layer.inputs.max(1),
        _ => graph[node.outputs[0]].elements() / layer.outputs.max(1),
    };
    per_position * positions as u64
}
