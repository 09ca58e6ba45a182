//! The model's protobuf, and what is fixed of its open dimensions.

use std::collections::BTreeMap;

use tract_onnx::{
    pb::{
        ModelProto, ValueInfoProto,
        tensor_shape_proto::{Dimension, dimension::Value as Dim},
        type_proto,
    },
    tract_hir::internal::Framework,
};

use super::wire;
use crate::error::{Class, Result, bail, error};

/// The oldest operator set that is read.
const OLDEST_OPSET: i64 = 7;
/// The newest one.
const NEWEST_OPSET: i64 = 25;

/// The most nodes, inputs and outputs: a file's indices have 16 bits.
const MAX_NODES: usize = 65_535;

/// What dimensions are that a model leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimensions {
    /// What the first dimension of an input is, where it is open and no name of it is set: 1.
    pub batch: usize,
    /// Dimensions by name.
    pub named: BTreeMap<String, usize>,
}

impl Default for Dimensions {
    fn default() -> Self {
        Self { batch: 1, named: BTreeMap::new() }
    }
}

/// The newest version of the intermediate representation.
const NEWEST_IR: i64 = 13;

/// Protobuf's tag of the field with that version.
const VERSION_TAG: u8 = 0x08;

/// Reads the protobuf.
///
/// # Errors
/// `Corrupt`, `UnsupportedVersion`, and `InvalidGraph` where there is no graph.
pub(super) fn parse(mut bytes: &[u8]) -> Result<ModelProto> {
    let whole = bytes;
    let damaged = |problem: &dyn std::fmt::Display| match whole.first() {
        // Models begin with the version of their representation.
        Some(&VERSION_TAG) => error!(Corrupt, "damaged ONNX model: {problem}"),
        _ => error!(NotAModel, "not an ONNX model: {problem}"),
    };
    wire::check(whole).map_err(|problem| match problem.class {
        Class::Corrupt => damaged(&problem),
        _ => problem,
    })?;
    let model =
        tract_onnx::onnx().proto_model_for_read(&mut bytes).map_err(|problem| damaged(&problem))?;
    if whole.is_empty() {
        bail!(NotAModel, "not an ONNX model: the file is empty");
    }
    let Some(graph) = &model.graph else {
        bail!(InvalidGraph, "the model has no graph; is it an ONNX file?");
    };
    let counts = [
        ("nodes", graph.node.len()),
        ("inputs", graph.input.len()),
        ("outputs", graph.output.len()),
    ];
    if let Some((what, count)) = counts.into_iter().find(|&(_, count)| count > MAX_NODES) {
        bail!(TooLarge, "{count} {what}; at most {MAX_NODES} are supported");
    }
    if model.ir_version > NEWEST_IR {
        bail!(
            UnsupportedVersion,
            "version {} of the intermediate representation; up to {NEWEST_IR} is supported",
            model.ir_version
        );
    }
    let own = model.opset_import.iter().any(|import| is_own(&import.domain));
    let others = !model.opset_import.is_empty();
    if !own && !others {
        bail!(UnsupportedVersion, "the model does not say which operator sets it uses");
    }
    let opset = opset(&model);
    if !(OLDEST_OPSET..=NEWEST_OPSET).contains(&opset) {
        bail!(
            UnsupportedVersion,
            "operator set {opset}; {OLDEST_OPSET} to {NEWEST_OPSET} are supported"
        );
    }
    Ok(model)
}

/// Whether a domain is that of ONNX's own operators.
fn is_own(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// The version of ONNX's own operators.
pub(super) fn opset(model: &ModelProto) -> i64 {
    let found = model.opset_import.iter().find(|import| is_own(&import.domain));
    // Models of ai.onnx.ml operators alone need not name it.
    found.map_or(NEWEST_OPSET, |import| import.version)
}

/// Whether the shape that a value is stated to have is another than `shape`.
pub(super) fn contradicts(stated: &ValueInfoProto, shape: &[usize]) -> bool {
    let value = stated.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = value else { return false };
    let Some(stated) = &tensor.shape else { return false };
    let differs = |(dim, &size): (&Dimension, &usize)| matches!(dim.value, Some(Dim::DimValue(stated @ 1..)) if stated as usize != size);
    // An open batch was set; the first dimension of an output may be stated for another.
    stated.dim.len() != shape.len() || stated.dim.iter().zip(shape).skip(1).any(differs)
}

/// The element type's code and the shape of an input.
///
/// # Errors
/// `InvalidGraph` where it is no tensor, `InvalidShape` where a dimension is open.
pub(super) fn input_type(
    input: &ValueInfoProto,
    dimensions: &Dimensions,
) -> Result<(i32, Vec<usize>)> {
    let value = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = value else {
        bail!(UnsupportedFeature, "is no tensor; sequences, maps and optionals are not supported");
    };
    let Some(shape) = &tensor.shape else {
        bail!(UnsupportedFeature, "has no shape; export the model with fixed shapes");
    };
    let dims = shape.dim.iter().enumerate().map(|(axis, dim)| {
        let name = match &dim.value {
            Some(Dim::DimValue(value @ 1..)) => return super::size(*value, "a dimension"),
            Some(Dim::DimValue(0)) => bail!(
                InvalidShape,
                "dimension {axis} is 0; an input without elements must be a constant"
            ),
            Some(Dim::DimValue(size)) => {
                bail!(InvalidShape, "dimension {axis} is {size}; it must be at least 1")
            }
            Some(Dim::DimParam(name)) => name,
            None => "",
        };
        match dimensions.named.get(name) {
            Some(&size) => Ok(size),
            None if axis == 0 => Ok(dimensions.batch),
            None if name.is_empty() => bail!(
                UnsupportedFeature,
                "dimension {axis} is open and has no name; export the model with a fixed shape"
            ),
            None => bail!(
                UnsupportedFeature,
                "dimension {axis} is '{name}', which is open: set it by --dim {name}=SIZE"
            ),
        }
    });
    Ok((tensor.elem_type, dims.collect::<Result<_>>()?))
}
