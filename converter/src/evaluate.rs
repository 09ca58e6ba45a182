//! Constant folding by running the operator: the runtime is the definition, so it also folds.

use std::sync::Arc;

use systole_core::{AlignedBytes, Model, Session};

use crate::{
    compile::compile,
    error::{Result, bail, error},
    graph::{Graph, Node, TensorId},
    options::{Match, Names, Options},
};

/// The most work that the folding of a whole model may take, see [`Model::work`]. Weights that are
/// dequantized or transposed take one step per element.
const MAX_WORK: u64 = 2_000_000_000;

/// What the folding of a model's constants may still cost, since a small file can ask for much, and
/// whose answers it reproduces.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    work: u64,
    bytes: usize,
    matching: Match,
}

impl Budget {
    /// The budget of one model: as many bytes of constants as its arena may have.
    pub fn new(options: &Options) -> Self {
        Self {
            work: MAX_WORK.min(options.max_work),
            bytes: options.max_arena,
            matching: options.matching,
        }
    }

    /// Takes from the budget.
    ///
    /// # Errors
    /// `TooLarge` where there is less left.
    pub fn spend(&mut self, work: u64, bytes: usize) -> Result<()> {
        match (self.work.checked_sub(work), self.bytes.checked_sub(bytes)) {
            (Some(work), Some(bytes)) => *self = Self { work, bytes, ..*self },
            (None, _) => bail!(TooLarge, "what is computed from constants takes too much work"),
            (_, None) => bail!(
                TooLarge,
                "what is computed from constants takes more bytes than an arena may (--max-arena)"
            ),
        }
        Ok(())
    }
}

/// The outputs of a node whose inputs are all constants.
///
/// # Errors
/// Those of lowering the node; `TooLarge` where `budget` does not suffice.
pub fn evaluate(
    graph: &Graph,
    node: &Node,
    budget: &mut Budget,
) -> Result<Vec<(TensorId, Arc<[u8]>)>> {
    let single = alone(graph, node);
    // What is read is copied, however little comes of it.
    let read: usize = node.inputs.iter().flatten().map(|&id| graph[id].bytes()).sum();
    budget.spend(read as u64, 0)?;
    let options = Options {
        matching: budget.matching,
        names: Names::None,
        max_arena: budget.bytes,
        ..Options::default()
    };
    let compiled = compile(&single, &options).map_err(|mut error| {
        // The caller names the operator.
        error.place.clear();
        error
    })?;
    let file = AlignedBytes::from(&compiled.written.bytes[..]);
    let failed =
        |problem: &dyn std::fmt::Display| error!(InvalidGraph, "cannot be folded: {problem}");
    let model = Model::from_bytes(file.as_slice()).map_err(|problem| failed(&problem))?;
    budget.spend(model.work(), single.outputs.iter().map(|&id| single[id].bytes()).sum())?;
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

/// A graph of the node and its operands alone.
fn alone(graph: &Graph, node: &Node) -> Graph {
    let mut single = Graph { format: graph.format, ..Graph::default() };
    let mut moved = |id: TensorId| single.add_tensor(graph[id].clone());
    let inputs = node.inputs.iter().map(|input| input.map(&mut moved)).collect();
    let outputs: Vec<TensorId> = node.outputs.iter().map(|&output| moved(output)).collect();
    single.outputs.clone_from(&outputs);
    single.nodes = vec![Node { inputs, outputs, ..node.clone() }];
    single
}
