//! A part of TFLite's graph as a `.tflite` model.

use std::{collections::BTreeMap, ffi::c_int};

use flatbuffers::{FlatBufferBuilder, WIPOffset};
use tract_tflite::tflite::{self, BuiltinOperator, TensorType};

use crate::{
    guard::Result,
    host::{Host, Node, Tensor},
    operator,
};

/// The most bytes of constants: flatbuffers address 2 GiB.
const MAX_CONSTANTS: usize = 1 << 30;

/// Shapes of tensors where they are other than the host says.
pub(crate) type Shapes = BTreeMap<c_int, Vec<usize>>;

/// Nodes, and the tensors that go in and out of them.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// In the order of execution.
    pub(crate) nodes: Vec<Node>,
    /// Tensors that are read, not written, and no constants: once each.
    pub(crate) inputs: Vec<c_int>,
    /// Tensors that are read elsewhere.
    pub(crate) outputs: Vec<c_int>,
}

impl Network {
    /// The network of `nodes` that gives `outputs`.
    pub(crate) fn new(host: Host, nodes: Vec<Node>, outputs: Vec<c_int>) -> Result<Self> {
        let mut inputs = Vec::new();
        let mut written: Vec<c_int> = Vec::new();
        for node in &nodes {
            for &input in node.inputs.iter().filter(|&&input| input >= 0) {
                let known = written.contains(&input) || inputs.contains(&input);
                if !known && host.tensor(input)?.constant.is_none() {
                    inputs.push(input);
                }
            }
            written.extend(&node.outputs);
        }
        Ok(Self { nodes, inputs, outputs })
    }

    /// The bytes of a model with these nodes, and with its inputs and outputs in this order.
    pub(crate) fn encode(&self, host: Host, shapes: &Shapes) -> Result<Vec<u8>> {
        let mut file = File::new(host, shapes);
        let operators: Vec<_> =
            self.nodes.iter().map(|node| file.operator(node)).collect::<Result<_>>()?;
        let inputs = file.tensors(&self.inputs)?;
        let outputs = file.tensors(&self.outputs)?;
        Ok(file.finish(&operators, &inputs, &outputs))
    }
}

/// A model that is being written.
struct File<'s> {
    host: Host,
    shapes: &'s Shapes,
    builder: FlatBufferBuilder<'static>,
    /// Tensors by their index in TFLite's graph: the index in the file.
    indices: BTreeMap<c_int, i32>,
    tensors: Vec<WIPOffset<tflite::Tensor<'static>>>,
    buffers: Vec<WIPOffset<tflite::Buffer<'static>>>,
    codes: Vec<BuiltinOperator>,
    constants: usize,
}

impl<'s> File<'s> {
    fn new(host: Host, shapes: &'s Shapes) -> Self {
        let mut builder = FlatBufferBuilder::new();
        // The first buffer is that of tensors without data.
        let empty = tflite::Buffer::create(&mut builder, &tflite::BufferArgs::default());
        Self {
            host,
            shapes,
            builder,
            indices: BTreeMap::new(),
            tensors: Vec::new(),
            buffers: vec![empty],
            codes: Vec::new(),
            constants: 0,
        }
    }

    fn operator(&mut self, node: &Node) -> Result<WIPOffset<tflite::Operator<'static>>> {
        let code = BuiltinOperator(node.code);
        let opcode_index = self.codes.iter().position(|&known| known == code);
        let opcode_index = opcode_index.unwrap_or_else(|| {
            self.codes.push(code);
            self.codes.len() - 1
        });
        let (inputs, outputs) = (self.tensors(&node.inputs)?, self.tensors(&node.outputs)?);
        let (builtin_options_type, builtin_options) = operator::options(&mut self.builder, node)?;
        let arguments = tflite::OperatorArgs {
            opcode_index: opcode_index as u32,
            inputs: Some(self.builder.create_vector(&inputs)),
            outputs: Some(self.builder.create_vector(&outputs)),
            builtin_options_type,
            builtin_options,
            ..Default::default()
        };
        Ok(tflite::Operator::create(&mut self.builder, &arguments))
    }

    /// Indices in the file; tensors that it does not have yet are added.
    fn tensors(&mut self, indices: &[c_int]) -> Result<Vec<i32>> {
        indices.iter().map(|&index| self.tensor(index)).collect()
    }

    fn tensor(&mut self, index: c_int) -> Result<i32> {
        if index < 0 {
            return Ok(-1);
        }
        if let Some(&known) = self.indices.get(&index) {
            return Ok(known);
        }
        let mut tensor = self.host.tensor(index)?;
        if let Some(shape) = self.shapes.get(&index) {
            tensor.shape.clone_from(shape);
        }
        let offset = self.write(&tensor).map_err(|why| format!("'{}': {why}", tensor.name))?;
        self.tensors.push(offset);
        let at = self.tensors.len() as i32 - 1;
        self.indices.insert(index, at);
        Ok(at)
    }

    fn write(&mut self, tensor: &Tensor<'_>) -> Result<WIPOffset<tflite::Tensor<'static>>> {
        if tensor.is_sparse {
            return Err("sparse tensors are not supported".to_owned());
        }
        let type_ = element_type(tensor.kind)?;
        let buffer = tensor.constant.map_or(Ok(0), |data| self.buffer(data))?;
        let b = &mut self.builder;
        let quantization = tensor.quantization.map(|(scales, zero_points, dimension)| {
            let zero_points: Vec<i64> = zero_points.iter().map(|&zero| zero.into()).collect();
            let arguments = tflite::QuantizationParametersArgs {
                scale: Some(b.create_vector(scales)),
                zero_point: Some(b.create_vector(&zero_points)),
                quantized_dimension: dimension,
                ..Default::default()
            };
            tflite::QuantizationParameters::create(b, &arguments)
        });
        let dim = |&dim: &usize| i32::try_from(dim).map_err(|_| format!("a dimension of {dim}"));
        let shape: Vec<i32> = tensor.shape.iter().map(dim).collect::<Result<_>>()?;
        let arguments = tflite::TensorArgs {
            shape: Some(b.create_vector(&shape)),
            type_,
            buffer,
            name: Some(b.create_string(&tensor.name)),
            quantization,
            is_variable: tensor.is_variable,
            ..Default::default()
        };
        Ok(tflite::Tensor::create(b, &arguments))
    }

    fn buffer(&mut self, data: &[u8]) -> Result<u32> {
        self.constants += data.len();
        if self.constants > MAX_CONSTANTS {
            return Err(format!("constants of more than {MAX_CONSTANTS} bytes"));
        }
        let data = Some(self.builder.create_vector(data));
        let buffer = tflite::Buffer::create(&mut self.builder, &tflite::BufferArgs { data });
        self.buffers.push(buffer);
        Ok(self.buffers.len() as u32 - 1)
    }

    fn finish(
        mut self,
        operators: &[WIPOffset<tflite::Operator<'static>>],
        inputs: &[i32],
        outputs: &[i32],
    ) -> Vec<u8> {
        let b = &mut self.builder;
        let arguments = tflite::SubGraphArgs {
            tensors: Some(b.create_vector(&self.tensors)),
            inputs: Some(b.create_vector(inputs)),
            outputs: Some(b.create_vector(outputs)),
            operators: Some(b.create_vector(operators)),
            ..Default::default()
        };
        let subgraph = tflite::SubGraph::create(b, &arguments);
        let code = |&builtin_code: &BuiltinOperator| {
            let arguments = tflite::OperatorCodeArgs { builtin_code, ..Default::default() };
            tflite::OperatorCode::create(b, &arguments)
        };
        let codes: Vec<_> = self.codes.iter().map(code).collect();
        let arguments = tflite::ModelArgs {
            version: 3,
            operator_codes: Some(b.create_vector(&codes)),
            subgraphs: Some(b.create_vector(&[subgraph])),
            buffers: Some(b.create_vector(&self.buffers)),
            ..Default::default()
        };
        let model = tflite::Model::create(b, &arguments);
        b.finish(model, Some("TFL3"));
        b.finished_data().to_vec()
    }
}

/// The file's number of a `TfLiteType`.
fn element_type(kind: c_int) -> Result<TensorType> {
    Ok(match kind {
        1 => TensorType::FLOAT32,
        2 => TensorType::INT32,
        3 => TensorType::UINT8,
        4 => TensorType::INT64,
        6 => TensorType::BOOL,
        7 => TensorType::INT16,
        9 => TensorType::INT8,
        10 => TensorType::FLOAT16,
        16 => TensorType::UINT32,
        other => return Err(format!("elements of TfLiteType {other} are not supported")),
    })
}
