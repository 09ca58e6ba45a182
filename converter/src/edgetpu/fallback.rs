//! What stands in for a part that is compiled for the device: the same part of the model that it was
//! compiled from.

use std::collections::HashSet;

use crate::{
    error::{Result, bail, error},
    graph::{Graph, Tensor, TensorId},
};

/// The part of `whole` between tensors with the names of `inputs` and of `outputs`, whose types, shapes
/// and quantization are the same. Its inputs and outputs are in the order given.
///
/// # Errors
/// `InvalidGraph` where `whole` has no such tensor, or computes an output from something else than the
/// inputs; `UnsupportedFeature` where a tensor of the name is another.
pub fn part(whole: &Graph, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<Graph> {
    let find = |tensors: &[&Tensor]| -> Result<Vec<TensorId>> {
        tensors.iter().map(|tensor| find(whole, tensor)).collect()
    };
    let (inputs, outputs) = (find(inputs)?, find(outputs)?);
    let given: HashSet<TensorId> = inputs.iter().copied().collect();
    let mut needed: HashSet<TensorId> = outputs.iter().copied().collect();
    let mut nodes = Vec::new();
    for node in whole.nodes.iter().rev() {
        let writes = |output: &TensorId| needed.contains(output) && !given.contains(output);
        if node.outputs.iter().any(writes) {
            needed.extend(node.inputs.iter().flatten());
            node.outputs.iter().for_each(|output| {
                needed.remove(output);
            });
            nodes.push(node.clone());
        }
    }
    nodes.reverse();
    let open = |id: &&TensorId| !given.contains(id) && !whole[**id].is_constant();
    if let Some(&id) = needed.iter().filter(open).min() {
        bail!(
            InvalidGraph,
            "the fallback needs {}, which the compiled operator does not take",
            whole[id]
        );
    }
    Ok(Graph { format: whole.format, tensors: whole.tensors.clone(), nodes, inputs, outputs })
}

/// The tensor of `whole` that is called as `tensor` is.
fn find(whole: &Graph, tensor: &Tensor) -> Result<TensorId> {
    let position = whole.tensors.iter().position(|other| other.name == tensor.name);
    let id = TensorId(position.ok_or_else(|| {
        error!(InvalidGraph, "the fallback has no {tensor}, which the compiled operator has")
    })?);
    let other = &whole[id];
    let same = other.shape == tensor.shape
        && other.dtype == tensor.dtype
        && other.unsigned == tensor.unsigned
        && other.scale_and_zero_point().ok() == tensor.scale_and_zero_point().ok();
    match same {
        true => Ok(id),
        false => Err(error!(
            UnsupportedFeature,
            "the fallback's {other} is another than the compiled operator's {tensor}: it is not the \
             model that was compiled"
        )),
    }
}
