//! What the tests of passes share: graphs of one chain, and a run before and after a pass.

use systole_core::{AlignedBytes, DType, Model, Session};

use super::Pass;
use crate::{
    compile::compile,
    graph::{Graph, Node, Tensor, TensorId},
    ops::Op,
    options::Options,
};

/// A graph of float32 operators, each of which reads the one before it.
#[derive(Debug)]
pub(crate) struct Chain {
    graph: Graph,
    last: TensorId,
}

impl Chain {
    /// An input of this shape.
    pub(crate) fn new(shape: &[usize]) -> Self {
        let mut graph = Graph::default();
        let last = graph.add_tensor(Tensor::new("x", DType::F32, shape.to_vec()));
        graph.inputs = vec![last];
        Self { graph, last }
    }

    /// The shape of what the chain gives so far.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.graph[self.last].shape
    }

    /// Adds an operator whose output has this shape.
    pub(crate) fn add(&mut self, op: Op, shape: &[usize]) {
        self.add_with(op, &[], shape);
    }

    /// Adds an operator with constants behind its first input.
    pub(crate) fn add_with(&mut self, op: Op, constants: &[Tensor], shape: &[usize]) {
        let mut inputs = vec![Some(self.last)];
        inputs.extend(constants.iter().map(|tensor| Some(self.graph.add_tensor(tensor.clone()))));
        let name = format!("t{}", self.graph.nodes.len());
        self.last = self.graph.add_tensor(Tensor::new(name, DType::F32, shape.to_vec()));
        let node = Node { op, inputs, outputs: vec![self.last], origin: String::new() };
        self.graph.add_node(node).unwrap();
    }

    /// The graph, whose output is what the last operator gives.
    pub(crate) fn finish(mut self) -> Graph {
        self.graph.outputs = vec![self.last];
        self.graph
    }
}

/// Runs `pass` over `graph`, after making sure that it leaves the output's bytes as they were and
/// the graph valid; returns what the pass counts.
pub(super) fn same_outputs(graph: &mut Graph, pass: Pass) -> usize {
    let before = output(graph);
    let count = pass(graph).unwrap();
    for node in &graph.nodes {
        graph.check(node).unwrap();
    }
    assert_eq!(output(graph), before);
    count
}

/// The bytes of output 0 for an input of different numbers.
pub(crate) fn output(graph: &Graph) -> Vec<u8> {
    let compiled = compile(graph, &Options::default()).unwrap();
    let file = AlignedBytes::from(&compiled.written.bytes[..]);
    let model = Model::from_bytes(file.as_slice()).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    let x: Vec<f32> = (0..graph[graph.inputs[0]].elements()).map(|i| i as f32 + 0.25).collect();
    session.input(0).unwrap().copy_from(&x).unwrap();
    session.run().unwrap();
    session.output(0).unwrap().stored_bytes().to_vec()
}
