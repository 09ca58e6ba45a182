//! Constant, ConstantOfShape, Range.

use std::path::Path;

use systole_core::DType;

use super::super::{
    importer::{Importer, NodeOf},
    size, tensors,
    value::Value,
};
use crate::{
    error::{Result, bail, error},
    graph::Tensor,
};

/// The most elements of a constant that a model describes instead of storing it.
const MAX_ELEMENTS: usize = 1 << 26;

/// Constant.
///
/// # Errors
/// `UnsupportedFeature` for sparse constants and text.
pub fn import(
    importer: &mut Importer,
    node: &NodeOf<'_>,
    folder: Option<&Path>,
) -> Result<Vec<Value>> {
    let attributes = node.attributes;
    let tensor = if let Some(proto) = attributes.tensor("value") {
        Tensor { name: String::new(), ..tensors::constant(proto, folder)? }
    } else if attributes.has("value_float") {
        Tensor::constant("", vec![], &[attributes.float("value_float", 0.0)])
    } else if attributes.has("value_int") {
        Tensor::constant("", vec![], &[attributes.int("value_int", 0)])
    } else if let Some(floats) = attributes.floats("value_floats") {
        Tensor::constant("", vec![floats.len()], floats)
    } else if let Some(ints) = attributes.ints("value_ints") {
        Tensor::constant("", vec![ints.len()], ints)
    } else {
        bail!(UnsupportedFeature, "holds no numbers; sparse constants and text are not supported");
    };
    Ok(vec![importer.constant_value(tensor)?])
}

/// ConstantOfShape.
///
/// # Errors
/// `TooLarge`, `InvalidShape`.
pub fn of_shape(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let shape = importer.integers(node.input(0)?)?;
    let shape =
        shape.iter().map(|&dim| size(dim, "a dimension")).collect::<Result<Vec<usize>>>()?;
    let value = match node.attributes.tensor("value") {
        Some(proto) => tensors::constant(proto, None)?,
        None => Tensor::constant("", vec![1], &[0.0_f32]),
    };
    tensors::check_sizes(&shape, value.dtype)?;
    let elements = shape.iter().product::<usize>();
    if elements > MAX_ELEMENTS {
        bail!(TooLarge, "{elements} elements; at most {MAX_ELEMENTS} are made from a shape");
    }
    importer.spend(elements)?;
    let element = value.data.as_deref().unwrap_or_default();
    if element.len() != value.dtype.size() {
        bail!(InvalidShape, "its value must be one element, but is {value}");
    }
    let data = Some(element.repeat(elements).into());
    let tensor = Tensor { data, ..Tensor::new("", value.dtype, shape) };
    Ok(vec![importer.constant_value(tensor)?])
}

/// Range, of constants.
///
/// # Errors
/// `UnsupportedFeature`, `TooLarge`.
pub fn range(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (start, limit, delta) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let dtype = importer.tensor(start).dtype;
    let tensor = if dtype == DType::F32 {
        let read = |value| importer.floats(value).map(|v| v.first().copied().unwrap_or(0.0));
        let (start, limit, delta) = (read(start)?, read(limit)?, read(delta)?);
        let count = count(f64::from(start), f64::from(limit), f64::from(delta))?;
        importer.spend(count)?;
        let values: Vec<f32> = (0..count).map(|i| start + i as f32 * delta).collect();
        Tensor::constant("", vec![count], &values)
    } else {
        let read = |value| importer.integers(value).map(|v| v.first().copied().unwrap_or(0));
        let (start, limit, delta) = (read(start)?, read(limit)?, read(delta)?);
        let count = count(start as f64, limit as f64, delta as f64)?;
        importer.spend(count)?;
        let values = (0..count as i64).map(|i| start.wrapping_add(i.wrapping_mul(delta)));
        match dtype {
            DType::I64 => Tensor::constant("", vec![count], &values.collect::<Vec<i64>>()),
            DType::I32 => {
                let values: Vec<i32> = values.map(|value| value as i32).collect();
                Tensor::constant("", vec![count], &values)
            }
            other => bail!(UnsupportedFeature, "ranges of {other}; float, int32 and int64 are"),
        }
    };
    Ok(vec![importer.constant_value(tensor)?])
}

fn count(start: f64, limit: f64, delta: f64) -> Result<usize> {
    let count = ((limit - start) / delta).ceil().max(0.0);
    if !count.is_finite() || count > MAX_ELEMENTS as f64 {
        return Err(error!(TooLarge, "from {start} to {limit} by {delta}: too many elements"));
    }
    Ok(count as usize)
}
