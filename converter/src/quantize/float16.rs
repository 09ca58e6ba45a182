//! Weights of float layers stored in float16.

use super::linear::Linear;
use crate::{
    error::Result,
    graph::{Graph, Tensor},
    ops::Op,
    passes::Applied,
};

/// Rounds the weights of all layers that have a kernel for it; counts them. Weights beyond what
/// float16 holds stay as they are.
///
/// # Errors
/// None for valid graphs.
pub(super) fn run(graph: &mut Graph) -> Result<Applied> {
    let mut count = 0;
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let kernel = !matches!(node.op, Op::TransposeConv2d(_));
        let Some(layer) = Linear::of(graph, node).filter(|_| kernel) else { continue };
        let values: Vec<f32> = graph[layer.weights].values()?;
        let halves: Vec<half::f16> = values.iter().map(|&w| half::f16::from_f32_const(w)).collect();
        if halves.iter().any(|half| !half.is_finite()) {
            continue;
        }
        let old = &graph[layer.weights];
        let tensor = Tensor::constant(&old.name[..], old.shape.clone(), &halves);
        let id = graph.add_tensor(tensor);
        graph.nodes[index].inputs[1] = Some(id);
        count += 1;
    }
    Ok(Applied { name: "float16", what: "layers with weights in float16", count })
}
