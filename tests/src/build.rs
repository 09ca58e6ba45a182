//! ONNX models written by hand.

use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_shape_proto::{Dimension, dimension::Value as Dim},
    type_proto,
};

/// ONNX's code of float32.
pub const FLOAT: i32 = 1;

/// An input, of dimensions that are numbers or names.
pub fn input(name: &str, dims: &[&str]) -> ValueInfoProto {
    let dim = dims.iter().map(|dim| {
        let value = match dim.parse() {
            Ok(size) => Dim::DimValue(size),
            Err(_) => Dim::DimParam((*dim).to_owned()),
        };
        Dimension { value: Some(value), ..Default::default() }
    });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor = type_proto::Tensor { elem_type: FLOAT, shape };
    let value = Some(type_proto::Value::TensorType(tensor));
    let r#type = Some(TypeProto { value, ..Default::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..Default::default() }
}

/// A node without attributes.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeProto {
        op_type: op.to_owned(),
        input: owned(inputs),
        output: owned(outputs),
        ..Default::default()
    }
}

/// A float constant.
pub fn weights(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let (dims, float_data) = (dims.to_vec(), values.to_vec());
    let name = name.to_owned();
    TensorProto { name, dims, data_type: FLOAT, float_data, ..Default::default() }
}

/// A model with one output, `y`.
pub fn model(
    inputs: Vec<ValueInfoProto>,
    nodes: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
) -> ModelProto {
    let graph = GraphProto {
        input: inputs,
        node: nodes,
        initializer,
        output: vec![ValueInfoProto { name: "y".to_owned(), ..Default::default() }],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
    ModelProto { graph: Some(graph), opset_import: vec![opset], ..Default::default() }
}

/// An int64 constant.
pub fn integers(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    let (dims, int64_data) = (dims.to_vec(), values.to_vec());
    let name = name.to_owned();
    TensorProto { name, dims, data_type: 7, int64_data, ..Default::default() }
}

/// A float constant in another file.
pub fn external(name: &str, dims: &[i64], entries: &[(&str, &str)]) -> TensorProto {
    let entry = |&(key, value): &(&str, &str)| StringStringEntryProto {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    TensorProto {
        data_location: Some(1),
        external_data: entries.iter().map(entry).collect(),
        ..weights(name, dims, &[])
    }
}

/// An attribute of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.to_owned(), ints: values.to_vec(), ..Default::default() }
}

/// An attribute of one integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: value, ..Default::default() }
}

/// An attribute of text.
pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { name: name.to_owned(), s: value.as_bytes().into(), ..Default::default() }
}

/// A node with attributes.
pub fn with(node: NodeProto, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto { attribute, ..node }
}
