//! The graph being built, and what the import of an operator works with.

use std::{collections::HashMap, path::Path};

use systole_core::{DType, Element};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::{
    attributes::Attributes,
    kind::{Kind, inherited},
    model,
    order::{in_order, origin, short},
    qdq, registry,
    tensors::{self, Stored},
    value::Value,
};
use crate::{
    error::{Result, Within, bail, error},
    evaluate::{Budget, evaluate},
    graph::{Format, Graph, Node, NodeView, Tensor, TensorId, check_shape},
    ops::{Op, Operator, reshape::Reshape, transpose::Transpose},
    options::Options,
};

/// The most operators that may result: a file's indices have 16 bits.
const MAX_NODES: usize = 65_535;

/// The operators whose first input may have no elements: what models compute shapes with.
const TAKE_EMPTY: &[&str] = &[
    "Concat",
    "ConstantOfShape",
    "Flatten",
    "Identity",
    "Reshape",
    "Shape",
    "Size",
    "Slice",
    "Squeeze",
    "Unsqueeze",
];

/// A node as its import sees it.
#[derive(Debug)]
pub struct NodeOf<'m> {
    /// Its attributes.
    pub attributes: Attributes<'m>,
    /// Its inputs; `None` for those that are not given.
    pub inputs: Vec<Option<Value>>,
    /// How many outputs are asked for, and which of them have a name.
    pub outputs: Vec<bool>,
    /// The version of ONNX's operators.
    pub opset: i64,
}

impl NodeOf<'_> {
    /// An input that has to be there.
    ///
    /// # Errors
    /// `InvalidGraph`.
    pub fn input(&self, index: usize) -> Result<&Value> {
        self.optional(index).ok_or_else(|| error!(InvalidGraph, "input {index} is missing"))
    }

    /// An input that may be left out.
    pub fn optional(&self, index: usize) -> Option<&Value> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    /// Fails where an output from `index` on is asked for, which is `what`.
    ///
    /// # Errors
    /// `UnsupportedFeature`.
    pub fn no_output(&self, index: usize, what: &str) -> Result<()> {
        if self.outputs.get(index).copied().unwrap_or(false) {
            bail!(UnsupportedFeature, "output {index}, {what}, is not supported");
        }
        Ok(())
    }
}

/// The graph being built.
#[derive(Debug)]
pub struct Importer {
    graph: Graph,
    origin: String,
    /// The first output of the node that is imported: what other tensors it needs are named after.
    output: String,
    /// How many those are so far.
    made: usize,
    budget: Budget,
}

/// Reads the model's graph.
pub(super) fn import(
    model: &ModelProto,
    folder: Option<&Path>,
    options: &Options,
) -> Result<Graph> {
    let Some(source) = &model.graph else {
        bail!(InvalidGraph, "the model has no graph");
    };
    let opset = model::opset(model);
    let fused = qdq::fuse(source);
    let nodes = fused.as_deref().unwrap_or(&source.node);
    let format = if fused.is_some() { Format::Qdq } else { Format::Onnx };
    let graph = Graph { format, ..Graph::default() };
    let mut importer = Importer {
        graph,
        origin: String::new(),
        output: String::new(),
        made: 0,
        budget: Budget::new(options),
    };
    let mut values: HashMap<&str, Value> = HashMap::new();
    for proto in &source.initializer {
        let place = || format!("initializer '{}'", proto.name);
        let tensor = tensors::constant(proto, folder).within(place)?;
        let value = importer.constant_value(tensor).within(place)?;
        if values.insert(&proto.name, value).is_some() {
            bail!(InvalidGraph, "initializer '{}' is there twice", proto.name);
        }
    }
    for input in &source.input {
        if values.contains_key(&*input.name) {
            // Older models list initializers among the inputs.
            continue;
        }
        let place = || format!("input '{}'", input.name);
        if let Some(fixed) = options.fixed_inputs.iter().find(|fixed| fixed.name == input.name) {
            let value = importer.constant_value(fixed.clone()).within(place)?;
            values.insert(&input.name, value);
            continue;
        }
        let (code, shape) = model::input_type(input, &options.dimensions).within(place)?;
        let dtype = Stored::of(code).within(place)?.dtype();
        check_shape(&shape, dtype).within(place)?;
        let channels_last = options.channels_last_inputs
            && (3..=5).contains(&shape.len())
            && tensors::is_image(dtype);
        let value = importer.input(&input.name, dtype, shape, channels_last);
        values.insert(&input.name, value);
    }
    for index in in_order(nodes, &values)? {
        let node = &nodes[index];
        importer.node(index, node, opset, &mut values, folder)?;
    }
    importer.finish(source, &values)
}

impl Importer {
    fn input(&mut self, name: &str, dtype: DType, shape: Vec<usize>, channels_last: bool) -> Value {
        let order: Vec<usize> = match channels_last {
            true => super::value::channels_last(shape.len()),
            false => (0..shape.len()).collect(),
        };
        let stored = order.iter().map(|&axis| shape[axis]).collect();
        let id = self.graph.add_tensor(Tensor::new(name, dtype, stored));
        self.graph.inputs.push(id);
        Value::ordered(id, order)
    }

    fn node<'m>(
        &mut self,
        index: usize,
        node: &'m NodeProto,
        opset: i64,
        values: &mut HashMap<&'m str, Value>,
        folder: Option<&Path>,
    ) -> Result<()> {
        self.origin = origin(index, node);
        self.name_after(node.output.first().map_or("", |name| name));
        let place = self.origin.clone();
        let of = |name: &String| match &**name {
            "" => None,
            name => values.get(name).cloned(),
        };
        let inputs = node.input.iter().map(of).collect();
        let outputs = node.output.iter().map(|name| !name.is_empty()).collect();
        let attributes = Attributes(node);
        attributes.check().within(|| place.clone())?;
        let view = NodeOf { attributes, inputs, outputs, opset };
        if let Some(x) = view.optional(0).map(|x| self.tensor(x))
            && x.elements() == 0
            && !TAKE_EMPTY.contains(&&*node.op_type)
        {
            return Err(error!(InvalidShape, "{x} has no elements").within(place));
        }
        let results = match registry::import_fused(&node.domain, &node.op_type) {
            // The one operator that holds a tensor, which may be in another file.
            _ if node.op_type == "Constant" => {
                super::ops::constant::import(self, &view, folder).within(|| place.clone())?
            }
            Some(import) => import(self, &view).within(|| place.clone())?,
            None => bail!(UnsupportedOperator, "{place}: not supported"),
        };
        for (name, value) in node.output.iter().zip(results) {
            if name.is_empty() {
                continue;
            }
            if self.is_made(value.id) {
                self.graph[value.id].name.clone_from(name);
            }
            values.insert(name, value);
        }
        Ok(())
    }

    fn finish(mut self, source: &GraphProto, values: &HashMap<&str, Value>) -> Result<Graph> {
        if source.output.is_empty() {
            bail!(InvalidGraph, "the graph has no outputs");
        }
        for output in &source.output {
            let place = || format!("output '{}'", output.name);
            let Some(value) = values.get(&*output.name) else {
                return Err(error!(InvalidGraph, "no node writes it").within(place()));
            };
            self.origin = place();
            self.name_after(&output.name);
            let shape = value.shape(&self.graph);
            if model::contradicts(output, &shape) {
                return Err(error!(InvalidShape, "states another shape than results, {shape:?}")
                    .within(place()));
            }
            let mut id = self.stored_plain(value).within(place)?;
            let taken = self.graph.inputs.contains(&id) || self.graph.outputs.contains(&id);
            if taken || self.graph[id].is_constant() {
                // An output needs a tensor of its own.
                let tensor = &self.graph[id];
                check_shape(&tensor.shape, tensor.dtype).within(place)?;
                let copy = Kind::of(tensor).tensor(tensor.shape.clone());
                let copy = self.graph.add_tensor(copy);
                let (inputs, outputs) = (vec![Some(id)], vec![copy]);
                let op = Op::Reshape(Reshape);
                self.graph.nodes.push(Node { op, inputs, outputs, origin: place() });
                id = copy;
            }
            self.graph[id].name.clone_from(&output.name);
            self.graph.outputs.push(id);
        }
        Ok(self.graph)
    }

    /// The same elements as another kind of the same type: another scale or zero point, which moves
    /// nothing.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn relabelled(&mut self, id: TensorId, kind: &Kind) -> Result<TensorId> {
        let tensor = &self.graph[id];
        let label = |tensor: &Tensor| Tensor {
            quantization: kind.quantization.clone(),
            unsigned: kind.unsigned,
            ..tensor.clone()
        };
        if tensor.is_constant() {
            let labelled = label(tensor);
            return Ok(self.graph.add_tensor(labelled));
        }
        if self.graph.inputs.contains(&id) && self.graph.readers(id).next().is_none() {
            self.graph[id] = label(&self.graph[id]);
            return Ok(id);
        }
        let output = self.add_made(kind.clone().tensor(self.graph[id].shape.clone()));
        self.add(Op::Reshape(Reshape), vec![Some(id)], vec![output])?;
        Ok(output)
    }

    /// An input of uint8 that nothing has read yet, made int8 in place; whether it was.
    pub fn input_to_signed(&mut self, id: TensorId) -> bool {
        let is_input = self.graph.inputs.contains(&id) && self.graph[id].dtype == DType::U8;
        let turned = is_input && self.graph.readers(id).next().is_none();
        if turned {
            (self.graph[id].dtype, self.graph[id].unsigned) = (DType::I8, true);
        }
        turned
    }

    /// Sets what the tensors that are made from now on are named after.
    fn name_after(&mut self, output: &str) {
        self.output = short(output).to_owned();
        self.made = 0;
    }

    /// Adds a tensor that the model has no name for.
    fn add_made(&mut self, tensor: Tensor) -> TensorId {
        let name = self.made_name();
        self.graph.add_tensor(Tensor { name, ..tensor })
    }

    /// A name for it.
    fn made_name(&mut self) -> String {
        if self.output.is_empty() {
            return String::new();
        }
        self.made += 1;
        format!("{}#{}", self.output, self.made)
    }

    /// Whether a tensor has no name of the model's own.
    fn is_made(&self, id: TensorId) -> bool {
        let name = &self.graph[id].name;
        let rest = name.strip_prefix(&self.output).and_then(|rest| rest.strip_prefix('#'));
        name.is_empty() || rest.is_some_and(|number| number.parse::<usize>().is_ok())
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The tensor of a value.
    pub fn tensor(&self, value: &Value) -> &Tensor {
        &self.graph[value.id]
    }

    /// The shape of a value.
    pub fn shape(&self, value: &Value) -> Vec<usize> {
        value.shape(&self.graph)
    }

    /// A constant of the model.
    ///
    /// # Errors
    /// `InvalidQuantization` where it holds NaN.
    pub fn constant_value(&mut self, tensor: Tensor) -> Result<Value> {
        if tensor.dtype == DType::F32 {
            let values = tensor.values::<f32>()?;
            if let Some(index) = values.iter().position(|value| value.is_nan()) {
                bail!(InvalidQuantization, "{tensor} is not a number at element {index}");
            }
        }
        let id = self.graph.add_tensor(tensor);
        Ok(Value::plain(&self.graph, id))
    }

    /// Fails where weights are infinite: times zero they would not be numbers. In sums and as bounds,
    /// as masks are, infinity is what it says.
    ///
    /// # Errors
    /// `InvalidQuantization`, naming the tensor.
    pub fn expect_finite(&self, id: TensorId) -> Result<()> {
        let tensor = &self.graph[id];
        if !tensor.is_constant() || tensor.dtype != DType::F32 {
            return Ok(());
        }
        match tensor.values::<f32>()?.iter().position(|value| !value.is_finite()) {
            Some(index) => bail!(
                InvalidQuantization,
                "{tensor} is infinite at element {index}; weights must be finite"
            ),
            None => Ok(()),
        }
    }

    /// Takes from the budget what it costs to make a constant of so many elements, which is more than
    /// its description in the model.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn spend(&mut self, elements: usize) -> Result<()> {
        self.budget.spend(elements as u64, elements.saturating_mul(size_of::<f32>()))
    }

    /// A constant of the import's own.
    pub fn constant<T: Element>(&mut self, shape: Vec<usize>, data: &[T]) -> TensorId {
        self.add_made(Tensor::constant("", shape, data))
    }

    /// A constant number of a type that can be computed with.
    ///
    /// # Errors
    /// `UnsupportedFeature` for other types.
    pub fn number(&mut self, dtype: DType, number: f64) -> Result<TensorId> {
        Ok(match dtype {
            DType::F32 => self.constant(vec![], &[number as f32]),
            DType::I32 => self.constant(vec![], &[number as i32]),
            DType::I64 => self.constant(vec![], &[number as i64]),
            DType::I16 => self.constant(vec![], &[number as i16]),
            DType::I8 => self.constant(vec![], &[number as i8]),
            other => bail!(UnsupportedFeature, "arithmetic of {other} is not supported"),
        })
    }

    /// The tensor that stores a value in the order of its axes.
    ///
    /// # Errors
    /// None that a valid value can cause.
    pub fn stored_plain(&mut self, value: &Value) -> Result<TensorId> {
        let order: Vec<usize> = (0..value.order.len()).collect();
        let id = self.stored(&Value { flattened: false, ..value.clone() }, &order)?;
        if value.flattened { self.reshape(id, value.shape(&self.graph)) } else { Ok(id) }
    }

    /// The tensor that stores a value, which is not flattened, in this order.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn stored(&mut self, value: &Value, order: &[usize]) -> Result<TensorId> {
        if value.flattened {
            let id = self.stored_plain(value)?;
            let plain = Value::plain(&self.graph, id);
            return self.stored(&plain, order);
        }
        let permutation: Vec<usize> = order.iter().map(|&axis| value.stored_axis(axis)).collect();
        self.transpose(value.id, permutation)
    }

    /// Axis `i` of the result is axis `permutation[i]`.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn transpose(&mut self, id: TensorId, permutation: Vec<usize>) -> Result<TensorId> {
        if permutation.iter().enumerate().all(|(axis, &from)| axis == from) {
            return Ok(id);
        }
        let shape = &self.graph[id].shape;
        // Where only axes of extent 1 move, no element does.
        let moving: Vec<usize> =
            permutation.iter().copied().filter(|&axis| shape[axis] != 1).collect();
        if moving.is_sorted() {
            let shape = permutation.iter().map(|&axis| shape[axis]).collect();
            return self.reshape(id, shape);
        }
        let dtype = self.graph[id].dtype;
        self.apply(Op::Transpose(Transpose { permutation }), &[id], dtype)
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// `InvalidShape` where the number of elements differs.
    pub fn reshape(&mut self, id: TensorId, shape: Vec<usize>) -> Result<TensorId> {
        let tensor = &self.graph[id];
        check_shape(&shape, tensor.dtype)?;
        if tensor.shape == shape {
            return Ok(id);
        }
        if tensor.is_constant() {
            let constant = Tensor { shape, name: tensor.name.clone(), ..tensor.clone() };
            if constant.elements() != self.graph[id].elements() {
                bail!(InvalidShape, "{} cannot become {:?}", self.graph[id], constant.shape);
            }
            return Ok(self.graph.add_tensor(constant));
        }
        let output = Kind::of(tensor).tensor(shape);
        let output = self.add_made(output);
        self.add(Op::Reshape(Reshape), vec![Some(id)], vec![output])?;
        Ok(output)
    }

    /// Adds an operator with one output of type `dtype`, and returns that.
    ///
    /// # Errors
    /// Where the operator does not take such inputs.
    pub fn apply(&mut self, op: Op, inputs: &[TensorId], dtype: DType) -> Result<TensorId> {
        let inputs = inputs.iter().copied().map(Some).collect();
        let outputs = self.apply_all(op, inputs, &[dtype])?;
        outputs.first().copied().ok_or_else(|| error!(InvalidGraph, "has no output"))
    }

    /// Adds an operator with outputs of these types.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn apply_all(
        &mut self,
        op: Op,
        inputs: Vec<Option<TensorId>>,
        dtypes: &[DType],
    ) -> Result<Vec<TensorId>> {
        let kinds = dtypes.iter().map(|&dtype| Kind::from(dtype)).collect();
        self.apply_kinds(op, inputs, kinds)
    }

    /// Adds an operator with one output of this kind, and returns that.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn apply_kind(
        &mut self,
        op: Op,
        inputs: Vec<Option<TensorId>>,
        kind: &Kind,
    ) -> Result<TensorId> {
        let outputs = self.apply_kinds(op, inputs, vec![kind.clone()])?;
        outputs.first().copied().ok_or_else(|| error!(InvalidGraph, "has no output"))
    }

    /// Adds an operator with outputs of these kinds.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn apply_kinds(
        &mut self,
        op: Op,
        inputs: Vec<Option<TensorId>>,
        mut kinds: Vec<Kind>,
    ) -> Result<Vec<TensorId>> {
        for id in inputs.iter().flatten() {
            let tensor = &self.graph[*id];
            check_shape(&tensor.shape, tensor.dtype).within(|| tensor.to_string())?;
        }
        for kind in &mut kinds {
            inherited(&self.graph, &op, &inputs, kind)?;
        }
        let outputs: Vec<TensorId> =
            kinds.into_iter().map(|kind| self.add_made(kind.tensor(Vec::new()))).collect();
        let node = Node { op, inputs, outputs, origin: self.origin.clone() };
        let shapes = node.op.infer(&NodeView { graph: &self.graph, node: &node })?;
        for (&id, shape) in node.outputs.iter().zip(shapes) {
            check_shape(&shape, self.graph[id].dtype)?;
            self.graph[id].shape = shape;
        }
        let Node { op, inputs, outputs, .. } = node;
        self.add(op, inputs, outputs.clone())?;
        Ok(outputs)
    }

    fn add(&mut self, op: Op, inputs: Vec<Option<TensorId>>, outputs: Vec<TensorId>) -> Result<()> {
        let node = Node { op, inputs, outputs, origin: self.origin.clone() };
        self.graph.check(&node).map_err(|mut error| {
            // The caller adds the place; the check has added it too.
            error.place.clear();
            error
        })?;
        let constant = node.inputs.iter().flatten().all(|&id| self.graph[id].is_constant());
        if constant && !node.inputs.is_empty() {
            let of = node.inputs.iter().flatten().find(|&&id| !self.is_made(id));
            let name = of.map(|&id| self.graph[id].name.clone());
            for (id, data) in evaluate(&self.graph, &node, &mut self.budget)? {
                self.graph[id].data = Some(data);
                // Weights in another order are those weights to a reader.
                if let Some(name) = &name {
                    self.graph[id].name.clone_from(name);
                }
            }
            return Ok(());
        }
        if self.graph.nodes.len() >= MAX_NODES {
            bail!(TooLarge, "more than {MAX_NODES} operators result");
        }
        self.graph.nodes.push(node);
        Ok(())
    }

    /// The integers of an input that has to be a constant.
    ///
    /// # Errors
    /// `UnsupportedFeature`.
    pub fn integers(&self, value: &Value) -> Result<Vec<i64>> {
        if !self.tensor(value).is_constant() {
            bail!(
                UnsupportedFeature,
                "{} must be a constant, or follow from shapes and constants",
                self.tensor(value)
            );
        }
        self.tensor(value).integers()
    }

    /// The floats of an input that has to be a constant.
    ///
    /// # Errors
    /// `UnsupportedFeature`.
    pub fn floats(&self, value: &Value) -> Result<Vec<f32>> {
        self.tensor(value).values()
    }
}

/// An axis that may be counted from the end.
///
/// # Errors
/// `InvalidShape`.
pub fn axis(axis: i64, rank: usize) -> Result<usize> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(counted) {
        Ok(counted) if counted < rank => Ok(counted),
        _ => bail!(InvalidShape, "axis {axis} of a value of {rank} dimensions"),
    }
}
