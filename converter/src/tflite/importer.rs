//! What the import of an operator works with.

use tract_tflite::tflite::{self, ActivationFunctionType, BuiltinOperator};

use super::registry;
use crate::{
    edgetpu::{self, Package, blob, fallback},
    error::{Class, Result, Within, bail, error},
    evaluate::{Budget, evaluate},
    graph::{Graph, Node, NodeView, Tensor, TensorId, check_shape},
    ops::{Op, Operator, delegate::Delegate},
    options::Options,
    passes,
    scale::Activation,
};

/// The graph being built, and the operator that is being read.
#[derive(Debug)]
pub struct Importer {
    graph: Graph,
    /// Which tensors hold something: inputs, constants and outputs of operators read so far.
    written: Vec<bool>,
    origin: String,
    inputs: Vec<Option<TensorId>>,
    outputs: Vec<TensorId>,
    /// What the folding of constants may still cost.
    budget: Budget,
    /// Whether outputs get the shapes that follow from inputs.
    infer_shapes: bool,
}

impl Importer {
    /// An importer into `graph`, which has tensors, inputs and outputs but no nodes.
    /// Tensors of `state` are those that compiled operators keep for themselves.
    pub(super) fn new(graph: Graph, state: &[bool], options: &Options) -> Self {
        let filled = graph.tensors.iter().zip(state);
        let mut written: Vec<bool> =
            filled.map(|(it, &state)| it.is_constant() || it.persists || state).collect();
        for input in &graph.inputs {
            written[input.0] = true;
        }
        Self {
            graph,
            written,
            origin: String::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            budget: Budget::new(options),
            infer_shapes: options.infer_shapes,
        }
    }

    /// Reads one operator.
    pub(super) fn operator(
        &mut self,
        index: usize,
        code: BuiltinOperator,
        operator: &tflite::Operator<'_>,
    ) -> Result<()> {
        let name = code.variant_name().unwrap_or("unknown");
        self.origin = format!("operator {index} ({name})");
        let origin = self.origin.clone();
        self.read(code, operator).within(|| origin)
    }

    /// Reads one operator that is compiled for the Edge TPU. Tensors of `state` stay inside of it.
    pub(super) fn compiled(
        &mut self,
        index: usize,
        model: &tflite::Model<'_>,
        operator: &tflite::Operator<'_>,
        state: &[bool],
        fallback: Option<&Graph>,
    ) -> Result<()> {
        self.origin = format!("operator {index} ({})", edgetpu::OPERATOR);
        let origin = self.origin.clone();
        let read = |importer: &mut Self| {
            importer.operands(operator)?;
            let options = operator.custom_options().map(|options| options.bytes());
            match Package::from_options(options.unwrap_or_default()) {
                // What is not understood may still run.
                Err(problem) if problem.class != Class::UnsupportedFeature => return Err(problem),
                _ => {}
            }
            let outside = |id: &TensorId| !state[id.0] && !importer.graph[*id].is_constant();
            let inputs: Vec<TensorId> =
                importer.inputs.iter().flatten().copied().filter(outside).collect();
            let blob = blob::alone(model, index)?;
            // Operators of a small file may share what they carry.
            importer.budget.spend(0, blob.len())?;
            let fallback = match fallback {
                Some(whole) => {
                    let tensors = |ids: &[TensorId]| -> Vec<&Tensor> {
                        ids.iter().map(|&id| &importer.graph[id]).collect()
                    };
                    let part =
                        fallback::part(whole, &tensors(&inputs), &tensors(&importer.outputs));
                    let mut part = part?;
                    passes::run(&mut part)?;
                    Some(Box::new(part))
                }
                None => None,
            };
            let node = Node {
                op: Op::Delegate(Delegate { blob: blob.into(), fallback }),
                inputs: inputs.into_iter().map(Some).collect(),
                outputs: importer.outputs.clone(),
                origin: importer.origin.clone(),
            };
            importer.graph.nodes.push(node);
            Ok(())
        };
        read(self).within(|| origin)
    }

    fn read(&mut self, code: BuiltinOperator, operator: &tflite::Operator<'_>) -> Result<()> {
        self.operands(operator)?;
        let Some(import) = registry::import(code) else {
            bail!(UnsupportedOperator, "not supported");
        };
        import(self, operator)
    }

    /// Reads and checks the operands of an operator.
    fn operands(&mut self, operator: &tflite::Operator<'_>) -> Result<()> {
        self.inputs = operands(&self.graph, operator.inputs(), "input")?;
        self.outputs = tensor_ids(&self.graph, operator.outputs(), "its outputs")?;
        for input in self.inputs.iter().flatten() {
            if !self.written[input.0] {
                bail!(
                    InvalidGraph,
                    "reads {}, which no earlier operator writes",
                    self.graph[*input]
                );
            }
        }
        for output in &self.outputs {
            let tensor = &self.graph[*output];
            if tensor.is_constant() {
                bail!(InvalidGraph, "writes {tensor}, which is a constant");
            }
            if std::mem::replace(&mut self.written[output.0], true) {
                bail!(InvalidGraph, "writes {tensor}, which is an input or already written");
            }
        }
        Ok(())
    }

    /// The finished graph.
    pub(super) fn finish(self) -> Result<Graph> {
        for &output in &self.graph.outputs {
            if !self.written[output.0] {
                bail!(
                    InvalidGraph,
                    "the graph's output {} is written by no operator",
                    self.graph[output]
                );
            }
        }
        for node in &self.graph.nodes {
            if let Some(&id) = node.inputs.iter().flatten().find(|&&id| self.graph[id].persists) {
                let state = error!(
                    UnsupportedFeature,
                    "{} keeps state between runs, which none but the layer whose state it is may read",
                    self.graph[id]
                );
                return Err(state.within(&node.origin));
            }
        }
        Ok(self.graph)
    }

    /// The operator's inputs; `None` for optional ones that are not given.
    pub fn inputs(&self) -> &[Option<TensorId>] {
        &self.inputs
    }

    /// The operator's outputs.
    pub fn outputs(&self) -> &[TensorId] {
        &self.outputs
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Any tensor.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.graph[id]
    }

    /// Index of an input that has to be there.
    ///
    /// # Errors
    /// `InvalidGraph`.
    pub fn input_id(&self, index: usize) -> Result<TensorId> {
        self.inputs.get(index).copied().flatten().ok_or_else(|| {
            error!(InvalidGraph, "input {index} is missing; {} are given", self.inputs.len())
        })
    }

    /// An input that has to be there.
    ///
    /// # Errors
    /// `InvalidGraph`.
    pub fn input(&self, index: usize) -> Result<&Tensor> {
        self.input_id(index).map(|id| &self.graph[id])
    }

    /// An output that has to be there.
    ///
    /// # Errors
    /// `InvalidGraph`.
    pub fn output(&self, index: usize) -> Result<&Tensor> {
        self.output_id(index).map(|id| &self.graph[id])
    }

    /// Index of an output that has to be there.
    ///
    /// # Errors
    /// `InvalidGraph`.
    pub fn output_id(&self, index: usize) -> Result<TensorId> {
        let id = self.outputs.get(index).copied();
        id.ok_or_else(|| error!(InvalidGraph, "output {index} is missing"))
    }

    /// Adds the operator as a single node with the operands as they are in the model.
    ///
    /// # Errors
    /// As [`Graph::add_node`].
    pub fn add(&mut self, op: Op) -> Result<()> {
        self.add_node(op, self.inputs.clone(), self.outputs.clone())
    }

    /// Adds a node with operands of the caller's choice: parameters that TFLite passes as tensors
    /// have become attributes. Nodes over constants alone are evaluated here and now, so that what
    /// reads them sees constants.
    ///
    /// # Errors
    /// As [`Graph::add_node`].
    pub fn add_node(
        &mut self,
        op: Op,
        inputs: Vec<Option<TensorId>>,
        outputs: Vec<TensorId>,
    ) -> Result<()> {
        let node = Node { op, inputs, outputs, origin: self.origin.clone() };
        if self.infer_shapes {
            let shapes = node.op.infer(&NodeView { graph: &self.graph, node: &node })?;
            for (&output, shape) in node.outputs.iter().zip(shapes) {
                self.set_shape(output, shape)?;
            }
        }
        self.graph.check(&node).map_err(|mut error| {
            // The caller adds the place; the check has added it too.
            error.place.clear();
            error
        })?;
        let constant = node.inputs.iter().flatten().all(|&id| self.graph[id].is_constant());
        let state = node.outputs.iter().any(|&id| self.graph[id].persists);
        if constant && !state && !node.inputs.is_empty() {
            for (id, data) in evaluate(&self.graph, &node, &mut self.budget)? {
                self.graph[id].data = Some(data);
            }
            return Ok(());
        }
        self.graph.nodes.push(node);
        Ok(())
    }

    /// Adds a tensor that the model does not have: an intermediate of an operator that becomes
    /// several nodes, or a constant.
    pub fn add_tensor(&mut self, tensor: Tensor) -> TensorId {
        self.written.push(true);
        self.graph.add_tensor(tensor)
    }

    /// Whether outputs get the shapes that follow from inputs, see [`Options::infer_shapes`]. Then an
    /// import that makes a view states its shape by [`Importer::set_shape`].
    pub fn infers_shapes(&self) -> bool {
        self.infer_shapes
    }

    /// Gives a tensor that nothing reads yet another shape.
    ///
    /// # Errors
    /// As [`check_shape`].
    pub fn set_shape(&mut self, id: TensorId, shape: Vec<usize>) -> Result<()> {
        check_shape(&shape, self.graph[id].dtype)?;
        self.graph[id].shape = shape;
        Ok(())
    }

    /// Gives an output its value at import: what follows from shapes alone.
    ///
    /// # Errors
    /// `TooLarge` where all that is computed from constants takes more than it may.
    pub fn set_constant(&mut self, id: TensorId, data: Vec<u8>) -> Result<()> {
        self.budget.spend(data.len() as u64, data.len())?;
        self.graph[id].data = Some(data.into());
        Ok(())
    }
}

/// The fused activation that TFLite's code stands for.
///
/// # Errors
/// `UnsupportedFeature` for activations that no kernel fuses.
pub fn activation(code: ActivationFunctionType) -> Result<Activation> {
    Ok(match code {
        ActivationFunctionType::NONE => Activation::None,
        ActivationFunctionType::RELU => Activation::Relu,
        ActivationFunctionType::RELU6 => Activation::Relu6,
        ActivationFunctionType::RELU_N1_TO_1 => Activation::ReluN1To1,
        other => bail!(
            UnsupportedFeature,
            "fused activation {}; supported are NONE, RELU, RELU6 and RELU_N1_TO_1",
            other.variant_name().map_or_else(|| format!("code {}", other.0), str::to_owned)
        ),
    })
}

/// Tensor indices that all have to be valid.
pub(super) fn tensor_ids(
    graph: &Graph,
    indices: Option<flatbuffers::Vector<'_, i32>>,
    what: &str,
) -> Result<Vec<TensorId>> {
    let ids = operands(graph, indices, what)?;
    ids.into_iter()
        .map(|id| id.ok_or_else(|| error!(InvalidGraph, "{what} name tensor -1")))
        .collect()
}

/// Tensor indices, where -1 says "not given".
fn operands(
    graph: &Graph,
    indices: Option<flatbuffers::Vector<'_, i32>>,
    what: &str,
) -> Result<Vec<Option<TensorId>>> {
    let count = graph.tensors.len();
    let id = |index: i32| match usize::try_from(index) {
        Ok(index) if index < count => Ok(Some(TensorId(index))),
        _ if index == -1 => Ok(None),
        _ => bail!(InvalidGraph, "{what}: tensor {index}; the graph has {count} tensors"),
    };
    indices.unwrap_or_default().iter().map(id).collect()
}
