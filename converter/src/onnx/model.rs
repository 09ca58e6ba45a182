//! The model's protobuf, and what is fixed of its open dimensions.

use std::collections::BTreeMap;

use tract_onnx::{
    pb::{ModelProto, ValueInfoProto, tensor_shape_proto::dimension::Value as Dim, type_proto},
    tract_hir::internal::Framework,
};

use crate::error::{Result, bail, error};

/// The oldest operator set that is read.
const OLDEST_OPSET: i64 = 7;
/// The newest one.
const NEWEST_OPSET: i64 = 25;

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

/// Reads the protobuf.
///
/// # Errors
/// `Corrupt`, `UnsupportedVersion`, and `InvalidGraph` where there is no graph.
pub(super) fn parse(mut bytes: &[u8]) -> Result<ModelProto> {
    let model = tract_onnx::onnx()
        .proto_model_for_read(&mut bytes)
        .map_err(|problem| error!(Corrupt, "damaged ONNX model: {problem}"))?;
    if model.graph.is_none() {
        bail!(InvalidGraph, "the model has no graph; is it an ONNX file?");
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

/// The version of ONNX's own operators.
pub(super) fn opset(model: &ModelProto) -> i64 {
    let own = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let found = model.opset_import.iter().find(|import| own(&import.domain));
    // Models of ai.onnx.ml operators alone need not name it.
    found.map_or(NEWEST_OPSET, |import| import.version)
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
        bail!(InvalidShape, "has no shape; export the model with fixed shapes");
    };
    let dims = shape.dim.iter().enumerate().map(|(axis, dim)| {
        let name = match &dim.value {
            Some(Dim::DimValue(value @ 1..)) => return super::size(*value, "a dimension"),
            Some(Dim::DimValue(value)) if *value < 0 => "",
            Some(Dim::DimValue(_)) => {
                bail!(
                    InvalidShape,
                    "dimension {axis} is 0; an input without elements must be a constant"
                )
            }
            Some(Dim::DimParam(name)) => name,
            None => "",
        };
        match dimensions.named.get(name) {
            Some(&size) => Ok(size),
            None if axis == 0 => Ok(dimensions.batch),
            None if name.is_empty() => bail!(
                InvalidShape,
                "dimension {axis} is open and has no name; export the model with a fixed shape"
            ),
            None => bail!(
                InvalidShape,
                "dimension {axis} is '{name}', which is open: set it by --dim {name}=SIZE"
            ),
        }
    });
    Ok((tensor.elem_type, dims.collect::<Result<_>>()?))
}
