//! Operators between DequantizeLinear and QuantizeLinear become operators on quantized values.
//!
//! A model in QDQ form computes in float32 between the two; what is meant are integers. Before the
//! import, each such node is replaced by the operator that ONNX has for it in QOperator form (ONNX
//! Runtime does the same, with the same result), functions of one element by tables, and what only
//! moves elements by itself. DequantizeLinear and QuantizeLinear that are left stay float32 between.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType,
    tensor_proto::DataType, type_proto::Value::TensorType,
};

use super::registry::{FUSED, MICROSOFT};

/// More scales than channels of any layer are none.
const MAX_SCALES: i64 = 65_536;

const INT8: i32 = DataType::Int8 as i32;
const UINT8: i32 = DataType::Uint8 as i32;
const INT32: i32 = DataType::Int32 as i32;

/// Functions of one element that ONNX Runtime computes in float32 between the two; a table gives the
/// same.
const FUNCTIONS: &[&str] = &[
    "Abs",
    "Celu",
    "Ceil",
    "Clip",
    "Cos",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Log",
    "Mish",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sign",
    "Sin",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
];

/// Operators that move elements of their first input, or choose among them.
const MOVEMENTS: &[&str] = &[
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GlobalMaxPool",
    "Identity",
    "MaxPool",
    "Pad",
    "ReduceMax",
    "ReduceMin",
    "Reshape",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// The graph's nodes with such replaced; `None` where there are none.
pub(super) fn fuse(graph: &GraphProto) -> Option<Vec<NodeProto>> {
    let model = Model::of(graph);
    let mut fused: HashMap<usize, Vec<NodeProto>> = HashMap::new();
    let mut gone: HashSet<usize> = HashSet::new();
    for (index, node) in graph.node.iter().enumerate() {
        if let Some((nodes, taken)) = model.fused(node) {
            fused.insert(index, nodes);
            gone.extend(taken);
        }
    }
    if fused.is_empty() {
        return None;
    }
    let mut nodes = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        match fused.remove(&index) {
            Some(replacement) => nodes.extend(replacement),
            None if gone.contains(&index) => {}
            None => nodes.push(node.clone()),
        }
    }
    Some(without_unread(nodes, graph))
}

/// The nodes whose outputs are read, by others or as the graph's.
fn without_unread(nodes: Vec<NodeProto>, graph: &GraphProto) -> Vec<NodeProto> {
    let writers: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.output.iter().map(move |name| (&**name, index)))
        .collect();
    let mut read = vec![false; nodes.len()];
    let outputs = graph.output.iter().filter_map(|output| writers.get(&*output.name));
    let mut open: Vec<usize> = outputs.copied().collect();
    while let Some(index) = open.pop() {
        if !std::mem::replace(&mut read[index], true) {
            open.extend(nodes[index].input.iter().filter_map(|name| writers.get(&**name)));
        }
    }
    // Others than these are not for this pass to judge.
    let kept = |(node, read): (NodeProto, bool)| {
        (read || node.op_type != "DequantizeLinear").then_some(node)
    };
    nodes.into_iter().zip(read).filter_map(kept).collect()
}

/// What is known of the model's names.
struct Model<'m> {
    graph: &'m GraphProto,
    constants: HashMap<&'m str, &'m TensorProto>,
    /// Types of the graph's inputs.
    inputs: HashMap<&'m str, i32>,
    writers: HashMap<&'m str, usize>,
    readers: HashMap<&'m str, Vec<usize>>,
    outputs: HashSet<&'m str>,
}

/// Scale and zero point of a quantized value, by the names of their constants.
struct Quantized<'m> {
    /// The quantized value.
    name: &'m str,
    scale: &'m str,
    zero_point: &'m str,
    /// ONNX's code of its type.
    dtype: i32,
    /// Whether there is one scale.
    whole: bool,
}

impl<'m> Model<'m> {
    fn of(graph: &'m GraphProto) -> Self {
        let mut constants: HashMap<&str, &TensorProto> =
            graph.initializer.iter().map(|proto| (&*proto.name, proto)).collect();
        let (mut writers, mut readers) = (HashMap::new(), HashMap::<&str, Vec<usize>>::new());
        for (index, node) in graph.node.iter().enumerate() {
            for name in &node.output {
                writers.insert(&**name, index);
            }
            for name in node.input.iter().filter(|name| !name.is_empty()) {
                readers.entry(name).or_default().push(index);
            }
            if let ("Constant", [name]) = (&*node.op_type, &node.output[..]) {
                let value = node.attribute.iter().find(|attribute| attribute.name == "value");
                if let Some(tensor) = value.and_then(|attribute| attribute.t.as_ref()) {
                    constants.insert(name, tensor);
                }
            }
        }
        let outputs = graph.output.iter().map(|output| &*output.name).collect();
        let typed = graph.input.iter().filter_map(|input| {
            let TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
            Some((&*input.name, tensor.elem_type))
        });
        Self { graph, constants, inputs: typed.collect(), writers, readers, outputs }
    }

    fn writer(&self, name: &str) -> Option<&'m NodeProto> {
        self.writers.get(name).and_then(|&index| self.graph.node.get(index))
    }

    /// The one node that reads a value which is no output of the graph.
    fn only_reader(&self, name: &str) -> Option<(usize, &'m NodeProto)> {
        match self.readers.get(name).map(|readers| &readers[..]) {
            Some(&[index]) if !self.outputs.contains(name) => {
                self.graph.node.get(index).map(|node| (index, node))
            }
            _ => None,
        }
    }

    /// The type of a value, where it is a constant, an input, or quantized.
    fn dtype(&self, name: &str) -> Option<i32> {
        if let Some(constant) = self.constants.get(name) {
            return Some(constant.data_type);
        }
        if let Some(&dtype) = self.inputs.get(name) {
            return Some(dtype);
        }
        let writer = self.writer(name).filter(|node| node.op_type == "QuantizeLinear")?;
        self.zero_point_dtype(writer).or(Some(UINT8))
    }

    /// The type of a node's zero point, input 2.
    fn zero_point_dtype(&self, node: &NodeProto) -> Option<i32> {
        let name = node.input.get(2).filter(|name| !name.is_empty())?;
        self.constants.get(&**name).map(|constant| constant.data_type)
    }

    /// What a DequantizeLinear or QuantizeLinear says of its quantized side, `name`, where its
    /// parameters are constants.
    fn quantized(&self, node: &'m NodeProto, name: &'m str) -> Option<Quantized<'m>> {
        let blocked = node.attribute.iter().any(|a| a.name == "block_size" && a.i != 0);
        let scale: &str = node.input.get(1)?;
        let zero_point = node.input.get(2).map_or("", |name| name);
        let constant = self.constants.get(scale)?;
        if blocked || (!zero_point.is_empty() && !self.constants.contains_key(zero_point)) {
            return None;
        }
        let stated = node.attribute.iter().find(|a| a.name == "output_dtype" && a.i != 0);
        let dtype = self
            .zero_point_dtype(node)
            .or_else(|| stated.and_then(|attribute| i32::try_from(attribute.i).ok()))
            .or_else(|| self.dtype(name))?;
        let count = constant.dims.iter().try_fold(1_i64, |count, &dim| count.checked_mul(dim))?;
        if count > MAX_SCALES {
            return None;
        }
        let whole = count == 1;
        Some(Quantized { name, scale, zero_point, dtype, whole })
    }

    /// The quantized value behind a float one that DequantizeLinear has made, of one of `dtypes`.
    fn dequantized(&self, name: &str, dtypes: &[i32]) -> Option<Quantized<'m>> {
        let node = self.writer(name).filter(|node| node.op_type == "DequantizeLinear")?;
        let quantized = self.quantized(node, node.input.first()?)?;
        dtypes.contains(&quantized.dtype).then_some(quantized)
    }

    /// As [`Model::dequantized`], of int8 or uint8 with one scale.
    fn activation(&self, name: &str) -> Option<Quantized<'m>> {
        self.dequantized(name, &[INT8, UINT8]).filter(|quantized| quantized.whole)
    }

    /// As [`Model::dequantized`], of a constant, which may have scales per channel.
    fn weights(&self, name: &str) -> Option<Quantized<'m>> {
        let weights = self.dequantized(name, &[INT8, UINT8])?;
        (weights.whole || self.constants.contains_key(weights.name)).then_some(weights)
    }

    /// A bias of int32 whose scales are those of the input and the weights, multiplied: it is added to
    /// their sums.
    fn bias(&self, name: &str, x: &Quantized<'_>, w: &Quantized<'_>) -> Option<&'m str> {
        let bias = self.dequantized(name, &[INT32])?;
        let [x, w, scales] = [x.scale, w.scale, bias.scale].map(|name| self.floats(name));
        let (x, w, scales) = (*x?.first()?, w?, scales?);
        let expected = |index: usize| w.get(index).or(w.first()).map(|w| x * w);
        let fits = |(index, &scale): (usize, &f32)| {
            expected(index).is_some_and(|expected| (scale - expected).abs() <= 1e-5 * expected)
        };
        let as_many = scales.len() == w.len() || w.len() == 1;
        (as_many && scales.iter().enumerate().all(fits)).then_some(bias.name)
    }

    /// The numbers of a constant of float32.
    fn floats(&self, name: &str) -> Option<Vec<f32>> {
        let constant = self.constants.get(name)?;
        if constant.data_type != DataType::Float as i32 {
            return None;
        }
        let raw = constant.raw_data.as_chunks::<4>().0.iter().map(|&raw| f32::from_le_bytes(raw));
        Some(if raw.len() > 0 { raw.collect() } else { constant.float_data.clone() })
    }

    /// The quantized value that a float one becomes and nothing else, of type `dtype`, and the nodes
    /// up to there: the QuantizeLinear and, where `ranges`, a Relu or Clip before it, by its name.
    fn quantized_to(
        &self,
        name: &str,
        dtype: i32,
        ranges: bool,
    ) -> Option<(Quantized<'m>, Vec<usize>, &'static str)> {
        let (mut index, mut node) = self.only_reader(name)?;
        let (mut taken, mut range) = (vec![], "");
        if ranges && matches!(&*node.op_type, "Relu" | "Clip") {
            range = self.range(node)?;
            taken.push(index);
            (index, node) = self.only_reader(node.output.first()?)?;
        }
        if node.op_type != "QuantizeLinear" || node.input.is_empty() {
            return None;
        }
        let quantized = self.quantized(node, node.output.first()?)?;
        taken.push(index);
        (quantized.whole && quantized.dtype == dtype).then_some((quantized, taken, range))
    }

    /// The activation that a node is which can be part of the operator before it.
    fn range(&self, node: &NodeProto) -> Option<&'static str> {
        if node.op_type == "Relu" {
            return Some("Relu");
        }
        let bound = |index: usize| {
            let name = node.input.get(index).filter(|name| !name.is_empty())?;
            match self.floats(name)?[..] {
                [bound] => Some(bound),
                _ => None,
            }
        };
        match (bound(1), bound(2)) {
            (Some(0.0), Some(6.0)) => Some("Relu6"),
            (Some(0.0), None) if node.input.get(2).is_none_or(String::is_empty) => Some("Relu"),
            _ => None,
        }
    }

    /// The nodes that replace a node, and those that go beside it.
    fn fused(&self, node: &NodeProto) -> Option<(Vec<NodeProto>, Vec<usize>)> {
        if !matches!(&*node.domain, "" | "ai.onnx") {
            return None;
        }
        let one = |made: (NodeProto, Vec<usize>)| (vec![made.0], made.1);
        match &*node.op_type {
            "Conv" => self.conv(node).map(one),
            "MatMul" => self.matmul(node).map(one),
            "Gemm" => self.gemm(node).map(one),
            "Add" | "Mul" => self.binary(node).map(one),
            "AveragePool" | "GlobalAveragePool" | "LeakyRelu" | "Sigmoid" | "Softmax" => {
                self.unary(node, MICROSOFT, format!("QLinear{}", node.op_type)).map(one)
            }
            "Concat" => self.concat(node).map(one),
            "Split" => self.split(node),
            // One of two in a row: another scale.
            "QuantizeLinear" => self.rescaled(node).map(one),
            name if FUNCTIONS.contains(&name) => {
                self.unary(node, FUSED, "Function".to_owned()).map(one)
            }
            name if MOVEMENTS.contains(&name) => self.movement(node),
            _ => None,
        }
    }

    fn conv(&self, node: &NodeProto) -> Option<(NodeProto, Vec<usize>)> {
        let x = self.activation(node.input.first()?)?;
        let w = self.weights(node.input.get(1)?)?;
        let bias = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => self.bias(name, &x, &w)?,
            None => "",
        };
        let (y, taken, range) = self.quantized_to(node.output.first()?, x.dtype, true)?;
        let mut inputs = [x.inputs(), w.inputs()].concat();
        inputs.extend([y.scale, y.zero_point, bias]);
        Some((made(node, "", "QLinearConv", &inputs, y.name, range), taken))
    }

    fn matmul(&self, node: &NodeProto) -> Option<(NodeProto, Vec<usize>)> {
        let a = self.activation(node.input.first()?)?;
        let b = self.weights(node.input.get(1)?)?;
        let output = node.output.first()?;
        let Some((y, taken, range)) = self.quantized_to(output, a.dtype, true) else {
            let inputs = [a.name, b.name, a.scale, b.scale, a.zero_point, b.zero_point];
            return Some((
                made(node, MICROSOFT, "MatMulIntegerToFloat", &inputs, output, ""),
                vec![],
            ));
        };
        let mut inputs = [a.inputs(), b.inputs()].concat();
        inputs.extend([y.scale, y.zero_point]);
        Some((made(node, "", "QLinearMatMul", &inputs, y.name, range), taken))
    }

    fn gemm(&self, node: &NodeProto) -> Option<(NodeProto, Vec<usize>)> {
        let a = self.activation(node.input.first()?)?;
        let b = self.weights(node.input.get(1)?)?;
        let float = |name: &str| node.attribute.iter().find(|a| a.name == name).map(|a| a.f);
        let bias = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => self.bias(name, &a, &b)?,
            None => "",
        };
        let beta = float("beta").unwrap_or(1.0);
        if float("alpha").unwrap_or(1.0) != 1.0 || (beta != 1.0 && !bias.is_empty()) {
            return None;
        }
        let mut inputs = [a.inputs(), b.inputs()].concat();
        inputs.push(bias);
        let output = node.output.first()?;
        let Some((y, taken, range)) = self.quantized_to(output, a.dtype, true) else {
            return Some((made(node, MICROSOFT, "QGemm", &inputs, output, ""), vec![]));
        };
        inputs.extend([y.scale, y.zero_point]);
        Some((made(node, MICROSOFT, "QGemm", &inputs, y.name, range), taken))
    }

    fn binary(&self, node: &NodeProto) -> Option<(NodeProto, Vec<usize>)> {
        let (a, b) = (self.activation(node.input.first()?)?, self.activation(node.input.get(1)?)?);
        let (y, taken, range) = self.quantized_to(node.output.first()?, a.dtype, true)?;
        let mut inputs = [a.inputs(), b.inputs()].concat();
        inputs.extend([y.scale, y.zero_point]);
        let name = format!("QLinear{}", node.op_type);
        let made = made(node, MICROSOFT, &name, &inputs, y.name, range);
        (a.dtype == b.dtype).then_some((made, taken))
    }

    /// Operators of one quantized value; inputs behind it follow the scales.
    fn unary(
        &self,
        node: &NodeProto,
        domain: &str,
        name: String,
    ) -> Option<(NodeProto, Vec<usize>)> {
        let x = self.activation(node.input.first()?)?;
        let (y, taken, _) = self.quantized_to(node.output.first()?, x.dtype, false)?;
        let mut inputs = x.inputs().to_vec();
        inputs.extend([y.scale, y.zero_point]);
        inputs.extend(node.input.iter().skip(1).map(String::as_str));
        let mut made = made(node, domain, &name, &inputs, y.name, "");
        if domain == FUSED {
            made.attribute.push(text("fused_operator", &node.op_type));
        }
        Some((made, taken))
    }

    fn concat(&self, node: &NodeProto) -> Option<(NodeProto, Vec<usize>)> {
        let parts: Vec<Quantized<'_>> =
            node.input.iter().map(|name| self.activation(name)).collect::<Option<_>>()?;
        let dtype = parts.first()?.dtype;
        let (y, taken, _) = self.quantized_to(node.output.first()?, dtype, false)?;
        let mut inputs = vec![y.scale, y.zero_point];
        inputs.extend(parts.iter().flat_map(Quantized::inputs));
        let made = made(node, MICROSOFT, "QLinearConcat", &inputs, y.name, "");
        parts.iter().all(|part| part.dtype == dtype).then_some((made, taken))
    }

    /// QuantizeLinear of what DequantizeLinear has made.
    fn rescaled(&self, node: &'m NodeProto) -> Option<(NodeProto, Vec<usize>)> {
        let x = self.activation(node.input.first()?)?;
        let y = self.quantized(node, node.output.first()?)?;
        if !y.whole || y.dtype != x.dtype {
            return None;
        }
        Some((rescaling(node, &x, x.name, &y), vec![]))
    }

    /// What moves elements: by itself, and behind it another scale where that differs.
    fn movement(&self, node: &NodeProto) -> Option<(Vec<NodeProto>, Vec<usize>)> {
        let x = self.activation(node.input.first()?)?;
        let mode = node.attribute.iter().find(|attribute| attribute.name == "mode");
        let mode = mode.map_or(&b""[..], |attribute| &attribute.s);
        let is_pad = node.op_type == "Pad";
        if is_pad {
            let stated = node.input.get(2).filter(|name| !name.is_empty());
            let zero = stated.is_none_or(|name| {
                self.floats(name).is_some_and(|value| value.iter().all(|&value| value == 0.0))
            });
            if !zero || node.input.len() < 2 {
                return None;
            }
        }
        if node.op_type == "Resize" && !matches!(mode, b"" | b"nearest") {
            return None;
        }
        let single = node.output.iter().skip(1).all(String::is_empty);
        let (y, taken, _) = self.quantized_to(node.output.first()?, x.dtype, false)?;
        if !single {
            return None;
        }
        let (label, name) = labelled(node, &x);
        let mut moved = node.clone();
        moved.input[0] = name;
        if is_pad {
            // What stands for the 0 that it pads with.
            moved.input.resize(moved.input.len().max(3), String::new());
            moved.input[2] = x.zero_point.to_owned();
        }
        if self.equal(&x, &y) {
            moved.output[0] = y.name.to_owned();
            return Some((vec![label, moved], taken));
        }
        let between = moved.output.first()?.clone();
        let rescaling = rescaling(node, &x, &between, &y);
        Some((vec![label, moved, rescaling], taken))
    }

    /// Split, where every part has the scale of the whole.
    fn split(&self, node: &NodeProto) -> Option<(Vec<NodeProto>, Vec<usize>)> {
        let x = self.activation(node.input.first()?)?;
        let mut split = node.clone();
        let (label, name) = labelled(node, &x);
        split.input[0] = name;
        let mut all = vec![];
        for output in &mut split.output {
            let (y, taken, _) = self.quantized_to(output, x.dtype, false)?;
            if !self.equal(&x, &y) {
                return None;
            }
            *output = y.name.to_owned();
            all.extend(taken);
        }
        Some((vec![label, split], all))
    }

    /// Whether two quantized values have equal scales and zero points.
    fn equal(&self, a: &Quantized<'_>, b: &Quantized<'_>) -> bool {
        let same = |a: &str, b: &str| match (self.constants.get(a), self.constants.get(b)) {
            _ if a == b => true,
            (Some(a), Some(b)) => {
                a.data_type == b.data_type
                    && a.raw_data == b.raw_data
                    && a.int32_data == b.int32_data
                    && a.float_data == b.float_data
            }
            _ => false,
        };
        same(a.scale, b.scale) && same(a.zero_point, b.zero_point)
    }
}

impl<'m> Quantized<'m> {
    /// Value, scale and zero point, as operators take them.
    fn inputs(&self) -> [&'m str; 3] {
        [self.name, self.scale, self.zero_point]
    }
}

/// A node of this kind in place of `node`, with its attributes.
fn made(
    node: &NodeProto,
    domain: &str,
    name: &str,
    inputs: &[&str],
    output: &str,
    range: &str,
) -> NodeProto {
    let mut made = NodeProto {
        op_type: name.to_owned(),
        domain: domain.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..node.clone()
    };
    if !range.is_empty() {
        made.attribute.push(text("fused_activation", range));
    }
    made
}

/// A node that says how a value is quantized, which those that move elements do not, and the name of
/// the value behind it.
fn labelled(node: &NodeProto, x: &Quantized<'_>) -> (NodeProto, String) {
    let reader = node.output.first().map_or("", |name| name);
    let name = format!("{} (read for {reader})", x.name);
    let mut label = made(node, FUSED, "Label", &x.inputs(), &name, "");
    label.attribute.clear();
    (label, name)
}

/// A node that brings a value from the scale of `x` to that of `y`.
fn rescaling(node: &NodeProto, x: &Quantized<'_>, from: &str, y: &Quantized<'_>) -> NodeProto {
    let inputs = [from, x.scale, x.zero_point, y.scale, y.zero_point];
    let mut made = made(node, FUSED, "Function", &inputs, y.name, "");
    made.attribute = vec![text("fused_operator", "Identity")];
    made
}

fn text(name: &str, text: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::String as i32,
        s: text.as_bytes().to_vec(),
        ..AttributeProto::default()
    }
}
