//! Constant folding by running the operator: the runtime is the definition, so it also folds.

use std::sync::Arc;

use systole::{Model, Session};

use crate::{
    aligned::AlignedBytes,
    compile::compile,
    error::{Result, error},
    graph::{Graph, Node, TensorId},
    options::{Names, Options},
};

/// The outputs of a node whose inputs are all constants.
///
/// # Errors
/// Those of lowering the node.
pub fn evaluate(graph: &Graph, node: &Node) -> Result<Vec<(TensorId, Arc<[u8]>)>> {
    let single = Graph {
        tensors: graph.tensors.clone(),
        nodes: vec![node.clone()],
        inputs: Vec::new(),
        outputs: node.outputs.clone(),
    };
    let options = Options { names: Names::None, ..Options::default() };
    let compiled = compile(&single, &options).map_err(|mut error| {
        // The caller names the operator.
        error.place.clear();
        error
    })?;
    let file = AlignedBytes::from(&compiled.written.bytes[..]);
    let failed =
        |problem: &dyn std::fmt::Display| error!(InvalidGraph, "cannot be folded: {problem}");
    let model = Model::from_bytes(file.as_slice()).map_err(|problem| failed(&problem))?;
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session =
        Session::new(&model, arena.as_mut_slice()).map_err(|problem| failed(&problem))?;
    session.run().map_err(|problem| failed(&problem))?;
    let outputs = node.outputs.iter().enumerate().map(|(index, &id)| {
        let tensor = session.output(index).map_err(|problem| failed(&problem))?;
        Ok((id, Arc::from(tensor.stored_bytes())))
    });
    outputs.collect()
}
