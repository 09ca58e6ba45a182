//! Damaged ONNX models: mutations of the protobuf's fields, which get further than flipped bits do,
//! and ONNX's own tests of operators as models to damage.

use std::{fs, path::Path};

use prost::Message;
use systole_converter::onnx::SUPPORTED;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
    tensor_shape_proto::{Dimension, dimension::Value as Dim},
    type_proto,
};

use crate::hostile::Noise;

/// The model of one of ONNX's tests with all inputs but the first as constants: weights, axes,
/// shapes. `None` where there is one input.
pub fn with_constants(case: &Path) -> Option<ModelProto> {
    let mut model = ModelProto::decode(&*fs::read(case.join("model.onnx")).ok()?).ok()?;
    let graph = model.graph.as_mut().filter(|graph| graph.input.len() > 1)?;
    for (index, input) in graph.input.drain(1..).enumerate() {
        let path = case.join(format!("test_data_set_0/input_{}.pb", index + 1));
        let mut tensor = TensorProto::decode(&*fs::read(path).ok()?).ok()?;
        tensor.name = input.name;
        graph.initializer.push(tensor);
    }
    Some(model)
}

/// Numbers that overflow something somewhere, and some that only do not fit.
const INTEGERS: &[i64] = &[
    0,
    1,
    2,
    3,
    5,
    7,
    -1,
    -2,
    -3,
    64,
    65_535,
    65_536,
    1 << 24,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 40,
    1 << 60,
    i64::MAX,
    i64::MAX - 1,
    i64::MIN,
    i64::MIN + 1,
];

const FLOATS: &[f32] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-45,
    1e-30,
    1e-7,
    -1e-7,
    1e9,
    1e30,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

const TEXTS: &[&str] = &[
    "",
    "constant",
    "reflect",
    "edge",
    "wrap",
    "nearest",
    "linear",
    "cubic",
    "half_pixel",
    "align_corners",
    "asymmetric",
    "SAME_UPPER",
    "SAME_LOWER",
    "VALID",
    "NOTSET",
    "floor",
    "ceil",
    "DCR",
    "CRD",
    "not_larger",
    "not_smaller",
    "add",
    "mul",
    "max",
    "ij,jk->ik",
    "bij,bjk->bik",
    "\u{1b}",
];

/// The bytes of a model with some fields changed; `None` where they are no model.
pub fn mutated(bytes: &[u8], noise: &mut Noise) -> Option<Vec<u8>> {
    let mut model = ModelProto::decode(bytes).ok()?;
    mutate(&mut model, noise);
    Some(model.encode_to_vec())
}

/// Changes one to three fields of a model.
pub fn mutate(model: &mut ModelProto, noise: &mut Noise) {
    for _ in 0..=noise.below(3) {
        if noise.below(40) == 0 {
            for import in &mut model.opset_import {
                import.version = 1 + noise.below(27) as i64;
            }
        }
        let Some(graph) = &mut model.graph else { return };
        match noise.below(16) {
            0..2 => rewire(graph, noise),
            2..4 => nodes(graph, noise),
            4..9 => {
                let donor = pick(&graph.node, noise).and_then(|node| pick(&node.attribute, noise));
                let donor = donor.cloned();
                if let Some(node) = pick_mut(&mut graph.node, noise) {
                    attributes(node, donor, noise);
                }
            }
            9..13 => {
                if let Some(tensor) = pick_mut(&mut graph.initializer, noise) {
                    constant(tensor, noise);
                }
            }
            13 | 14 => {
                if let Some(input) = pick_mut(&mut graph.input, noise) {
                    port(input, noise);
                }
            }
            _ => {
                let name = name(graph, noise);
                match (noise.below(3), pick_mut(&mut graph.output, noise)) {
                    (0, Some(output)) => output.name = name,
                    (1, Some(output)) => {
                        let more = ValueInfoProto { name, ..output.clone() };
                        graph.output.push(more);
                    }
                    (_, Some(output)) => port(output, noise),
                    (_, None) => {}
                }
            }
        }
    }
}

fn pick<'a, T>(from: &'a [T], noise: &mut Noise) -> Option<&'a T> {
    from.get(noise.below(from.len()))
}

fn pick_mut<'a, T>(from: &'a mut [T], noise: &mut Noise) -> Option<&'a mut T> {
    let index = noise.below(from.len());
    from.get_mut(index)
}

fn integer(noise: &mut Noise) -> i64 {
    INTEGERS[noise.below(INTEGERS.len())]
}

fn float(noise: &mut Noise) -> f32 {
    FLOATS[noise.below(FLOATS.len())]
}

/// A name of the graph, none, or one that nothing has.
fn name(graph: &GraphProto, noise: &mut Noise) -> String {
    let name = match noise.below(8) {
        0 => Some(""),
        1 => Some("ghost"),
        2 | 3 => pick(&graph.initializer, noise).map(|tensor| &*tensor.name),
        4 => pick(&graph.input, noise).map(|input| &*input.name),
        _ => {
            pick(&graph.node, noise).and_then(|node| pick(&node.output, noise)).map(|name| &**name)
        }
    };
    name.unwrap_or_default().to_owned()
}

/// Connects a node otherwise.
fn rewire(graph: &mut GraphProto, noise: &mut Noise) {
    let name = name(graph, noise);
    let Some(node) = pick_mut(&mut graph.node, noise) else { return };
    match noise.below(6) {
        0 => node.input.push(name),
        1 => drop(node.input.pop()),
        2 => node.output.push(name),
        3 => {
            if let Some(output) = pick_mut(&mut node.output, noise) {
                *output = name;
            }
        }
        _ => {
            if let Some(input) = pick_mut(&mut node.input, noise) {
                *input = name;
            }
        }
    }
}

/// Removes, repeats, moves or renames a node.
fn nodes(graph: &mut GraphProto, noise: &mut Noise) {
    let index = noise.below(graph.node.len());
    let Some(node) = graph.node.get_mut(index) else { return };
    match noise.below(6) {
        0 => drop(graph.node.remove(index)),
        1 => {
            let twin = node.clone();
            graph.node.push(twin);
        }
        2 => {
            let other = noise.below(graph.node.len());
            graph.node.swap(index, other);
        }
        3 => node.domain = ["com.nobody", "ai.onnx", "ai.onnx.ml"][noise.below(3)].to_owned(),
        _ => node.op_type = SUPPORTED[noise.below(SUPPORTED.len())].to_owned(),
    }
}

fn attributes(node: &mut NodeProto, donor: Option<AttributeProto>, noise: &mut Noise) {
    let index = noise.below(node.attribute.len());
    let Some(attribute) = node.attribute.get_mut(index) else {
        return node.attribute.extend(donor);
    };
    match noise.below(12) {
        0 => drop(node.attribute.remove(index)),
        1 => node.attribute.extend(donor),
        2 => attribute.r#type = noise.below(15) as i32,
        3 => attribute.s = TEXTS[noise.below(TEXTS.len())].into(),
        4 | 5 => attribute.i = integer(noise),
        6 => attribute.f = float(noise),
        7 => match noise.below(3) {
            0 => attribute.ints.push(integer(noise)),
            1 => drop(attribute.ints.pop()),
            _ => attribute.ints.reverse(),
        },
        8 => {
            if let Some(value) = pick_mut(&mut attribute.floats, noise) {
                *value = float(noise);
            }
        }
        9 => {
            if let Some(tensor) = &mut attribute.t {
                constant(tensor, noise);
            }
        }
        _ => {
            if let Some(value) = pick_mut(&mut attribute.ints, noise) {
                *value = integer(noise);
            }
        }
    }
}

fn constant(tensor: &mut TensorProto, noise: &mut Noise) {
    match noise.below(10) {
        0 => tensor.data_type = noise.below(26) as i32,
        1 => tensor.dims.push(integer(noise)),
        2 => drop(tensor.dims.pop()),
        3 => {
            if let Some(dim) = pick_mut(&mut tensor.dims, noise) {
                *dim = integer(noise);
            }
        }
        4 => tensor.dims.reverse(),
        5 => {
            // No elements at all, which is valid.
            (tensor.dims, tensor.raw_data) = (vec![0], Vec::new());
            (tensor.float_data, tensor.int64_data, tensor.int32_data) = Default::default();
        }
        6 => {
            tensor.raw_data.truncate(tensor.raw_data.len() / 2);
            tensor.data_location = [None, Some(0), Some(1)][noise.below(3)];
        }
        _ => element(tensor, noise),
    }
}

/// Changes one element.
fn element(tensor: &mut TensorProto, noise: &mut Noise) {
    if let Some(value) = pick_mut(&mut tensor.float_data, noise) {
        *value = float(noise);
    }
    if let Some(value) = pick_mut(&mut tensor.int64_data, noise) {
        *value = integer(noise);
    }
    if let Some(value) = pick_mut(&mut tensor.int32_data, noise) {
        *value = integer(noise) as i32;
    }
    let size = if matches!(tensor.data_type, 7 | 11) { 8 } else { 4 };
    let mut elements: Vec<&mut [u8]> = tensor.raw_data.chunks_exact_mut(size).collect();
    if let Some(bytes) = pick_mut(&mut elements, noise) {
        let (integer, float) = (integer(noise).to_le_bytes(), float(noise).to_le_bytes());
        let value = if tensor.data_type == 1 { &float[..] } else { &integer[..] };
        bytes.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
    }
}

/// Changes the type or the shape of an input or output.
fn port(port: &mut ValueInfoProto, noise: &mut Noise) {
    let value = port.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    let Some(type_proto::Value::TensorType(tensor)) = value else { return };
    let Some(shape) = &mut tensor.shape else { return };
    let value = match noise.below(8) {
        0 => Some(Dim::DimParam("n".to_owned())),
        1 => None,
        _ => Some(Dim::DimValue(integer(noise))),
    };
    match noise.below(6) {
        0 => tensor.elem_type = noise.below(26) as i32,
        1 => drop(shape.dim.pop()),
        2 => shape.dim.push(Dimension { value, ..Default::default() }),
        3 => tensor.shape = None,
        _ => {
            if let Some(dim) = pick_mut(&mut shape.dim, noise) {
                dim.value = value;
            }
        }
    }
}
