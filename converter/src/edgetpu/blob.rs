//! One operator of a TFLite model as a model of its own: what a file carries for the device.

use std::collections::HashMap;

use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, Vector, WIPOffset};
use tract_tflite::tflite;

use super::OPERATOR;
use crate::error::{Result, error};

/// The schema's version.
const SCHEMA_VERSION: u32 = 3;

/// The operator with this index of the first subgraph, with its tensors: inputs and outputs of the new
/// model are the operator's in their order, but for constants and for state, which stay inside.
///
/// # Errors
/// `InvalidGraph` for indices that are none.
pub fn alone(model: &tflite::Model<'_>, operator: usize) -> Result<Vec<u8>> {
    let missing = || error!(InvalidGraph, "operator {operator} is not in the model");
    let subgraph = model.subgraphs().unwrap_or_default().iter().next().ok_or_else(missing)?;
    let tensors = subgraph.tensors().unwrap_or_default();
    let operator = at(subgraph.operators(), operator).ok_or_else(missing)?;
    let code = at(model.operator_codes(), operator.opcode_index() as usize);
    let code = code.ok_or_else(missing)?;

    let mut writer = Writer::new(model, tensors);
    let inputs = writer.operands(operator.inputs())?;
    let outputs = writer.operands(operator.outputs())?;
    Ok(writer.finish(&operator, code.version(), &inputs, &outputs))
}

/// The element with this index, if there is one.
fn at<'m, T: flatbuffers::Follow<'m> + 'm>(
    all: Option<Vector<'m, T>>,
    index: usize,
) -> Option<T::Inner> {
    all.filter(|all| index < all.len()).map(|all| all.get(index))
}

type Tensors<'m> = Vector<'m, ForwardsUOffset<tflite::Tensor<'m>>>;

/// A tensor of the new model.
struct Written<'b> {
    offset: WIPOffset<tflite::Tensor<'b>>,
    /// Constants and state are no inputs of the model.
    inside: bool,
}

/// The model being written, and what it is taken from.
struct Writer<'m, 'b> {
    model: &'m tflite::Model<'m>,
    from: Tensors<'m>,
    builder: FlatBufferBuilder<'b>,
    tensors: Vec<Written<'b>>,
    /// Indices in the new model by those in the old one.
    known: HashMap<i32, i32>,
    buffers: Vec<WIPOffset<tflite::Buffer<'b>>>,
}

impl<'m, 'b> Writer<'m, 'b> {
    fn new(model: &'m tflite::Model<'m>, from: Tensors<'m>) -> Self {
        let mut builder = FlatBufferBuilder::new();
        // Buffer 0 is empty by convention.
        let empty = tflite::Buffer::create(&mut builder, &tflite::BufferArgs::default());
        let (tensors, known) = (Vec::new(), HashMap::new());
        Self { model, from, builder, tensors, known, buffers: vec![empty] }
    }

    /// Operands by their indices in the new model; -1 stays "not given".
    fn operands(&mut self, indices: Option<Vector<'_, i32>>) -> Result<Vec<i32>> {
        let indices = indices.unwrap_or_default();
        let mut operands = Vec::with_capacity(indices.len());
        for index in indices.iter() {
            operands.push(if index == -1 { -1 } else { self.tensor(index)? });
        }
        Ok(operands)
    }

    /// Copies a tensor that is not there yet; its index.
    fn tensor(&mut self, index: i32) -> Result<i32> {
        if let Some(&known) = self.known.get(&index) {
            return Ok(known);
        }
        let tensor = usize::try_from(index).ok().and_then(|index| at(Some(self.from), index));
        let tensor = tensor.ok_or_else(|| {
            error!(InvalidGraph, "tensor {index}; the graph has {} tensors", self.from.len())
        })?;
        let data = at(self.model.buffers(), tensor.buffer() as usize);
        let data = data.and_then(|buffer| buffer.data());
        let data = data.filter(|data| !data.is_empty());
        let builder = &mut self.builder;
        let buffer = match data {
            None => 0,
            Some(data) => {
                let data = Some(builder.create_vector(data.bytes()));
                self.buffers.push(tflite::Buffer::create(builder, &tflite::BufferArgs { data }));
                self.buffers.len() as u32 - 1
            }
        };
        let quantization = tensor.quantization().map(|stated| {
            let scale = stated.scale().map(|all| all.iter().collect::<Vec<f32>>());
            let scale = scale.map(|scale| builder.create_vector(&scale));
            let zero_point = stated.zero_point().map(|all| all.iter().collect::<Vec<i64>>());
            let zero_point = zero_point.map(|zero_point| builder.create_vector(&zero_point));
            let arguments = tflite::QuantizationParametersArgs {
                scale,
                zero_point,
                quantized_dimension: stated.quantized_dimension(),
                ..Default::default()
            };
            tflite::QuantizationParameters::create(builder, &arguments)
        });
        let shape = tensor.shape().map(|shape| shape.iter().collect::<Vec<i32>>());
        let arguments = tflite::TensorArgs {
            shape: shape.map(|shape| builder.create_vector(&shape)),
            type_: tensor.type_(),
            buffer,
            name: tensor.name().map(|name| builder.create_string(name)),
            quantization,
            is_variable: tensor.is_variable(),
            has_rank: tensor.has_rank(),
            ..Default::default()
        };
        let offset = tflite::Tensor::create(builder, &arguments);
        let inside = data.is_some() || tensor.is_variable();
        let new = self.tensors.len() as i32;
        self.tensors.push(Written { offset, inside });
        self.known.insert(index, new);
        Ok(new)
    }

    fn finish(
        mut self,
        operator: &tflite::Operator<'_>,
        version: i32,
        inputs: &[i32],
        outputs: &[i32],
    ) -> Vec<u8> {
        let outside =
            |&&index: &&i32| usize::try_from(index).is_ok_and(|index| !self.tensors[index].inside);
        let ports: Vec<i32> = inputs.iter().filter(outside).copied().collect();
        let b = &mut self.builder;
        let custom_options = operator.custom_options().map(|options| options.bytes());
        let mutating = operator.mutating_variable_inputs();
        let mutating = mutating.map(|mutating| mutating.iter().collect::<Vec<bool>>());
        let arguments = tflite::OperatorArgs {
            inputs: Some(b.create_vector(inputs)),
            outputs: Some(b.create_vector(outputs)),
            custom_options: custom_options.map(|options| b.create_vector(options)),
            mutating_variable_inputs: mutating.map(|mutating| b.create_vector(&mutating)),
            ..Default::default()
        };
        let operator = tflite::Operator::create(b, &arguments);
        let arguments = tflite::OperatorCodeArgs {
            deprecated_builtin_code: tflite::BuiltinOperator::CUSTOM.0 as i8,
            builtin_code: tflite::BuiltinOperator::CUSTOM,
            custom_code: Some(b.create_string(OPERATOR)),
            version,
        };
        let code = tflite::OperatorCode::create(b, &arguments);
        let tensors: Vec<_> = self.tensors.iter().map(|tensor| tensor.offset).collect();
        let arguments = tflite::SubGraphArgs {
            tensors: Some(b.create_vector(&tensors)),
            inputs: Some(b.create_vector(&ports)),
            outputs: Some(b.create_vector(outputs)),
            operators: Some(b.create_vector(&[operator])),
            name: None,
        };
        let subgraph = tflite::SubGraph::create(b, &arguments);
        let arguments = tflite::ModelArgs {
            version: SCHEMA_VERSION,
            operator_codes: Some(b.create_vector(&[code])),
            subgraphs: Some(b.create_vector(&[subgraph])),
            buffers: Some(b.create_vector(&self.buffers)),
            ..Default::default()
        };
        let model = tflite::Model::create(b, &arguments);
        tflite::finish_model_buffer(b, model);
        self.builder.finished_data().to_vec()
    }
}
