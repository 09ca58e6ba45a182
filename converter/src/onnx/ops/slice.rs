//! Slice, Split, Concat.

use super::super::{
    importer::{Importer, NodeOf, axis},
    size,
    value::Value,
};
use crate::{
    error::{Result, bail, error},
    graph::Tensor,
    ops::{
        Op,
        concatenation::Concatenation,
        strided_slice::{Steps, StridedSlice},
    },
};

impl Importer {
    /// A part of a value, per axis of it.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn sliced(&mut self, x: &Value, steps: &[Steps]) -> Result<Value> {
        let dtype = self.tensor(x).dtype;
        if let Some(axis) = steps.iter().position(|steps| steps.count == 0) {
            // Of shapes that a model computes with, nothing may be left.
            if !self.tensor(x).is_constant() {
                bail!(UnsupportedFeature, "nothing is left of axis {axis}");
            }
            let shape = steps.iter().map(|steps| steps.count).collect();
            let empty = Tensor { data: Some([].into()), ..Tensor::new("", dtype, shape) };
            return self.constant_value(empty);
        }
        let axes = x.order.iter().map(|&axis| steps[axis]).collect();
        let op = Op::StridedSlice(StridedSlice { axes });
        Ok(x.like(self.apply(op, &[x.id], dtype)?))
    }

    /// A value that is not flattened: the same, or brought in its own order.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn unflattened(&mut self, x: &Value) -> Result<Value> {
        if !x.flattened {
            return Ok(x.clone());
        }
        let id = self.stored_plain(x)?;
        Ok(Value::plain(self.graph(), id))
    }
}

/// Slice: starts, ends, axes and steps are inputs, up to operator set 9 attributes.
///
/// # Errors
/// `InvalidShape`.
pub fn slice(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let shape = importer.shape(&x);
    let read = |index: usize, name: &str| -> Result<Option<Vec<i64>>> {
        Ok(match node.optional(index) {
            Some(input) => Some(importer.integers(input)?),
            None => node.attributes.ints(name).map(<[i64]>::to_vec),
        })
    };
    let missing = |name| move || error!(InvalidGraph, "{name} is missing");
    let starts = read(1, "starts")?.ok_or_else(missing("starts"))?;
    let ends = read(2, "ends")?.ok_or_else(missing("ends"))?;
    let axes = read(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = read(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        bail!(InvalidShape, "starts, ends, axes and steps are of different lengths");
    }
    let mut all: Vec<Steps> = shape.iter().map(|&dim| Steps::all(dim)).collect();
    for (((&start, &end), &stated), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = axis(stated, shape.len())?;
        all[axis] = steps_of(start, end, step, shape[axis])?;
    }
    Ok(vec![importer.sliced(&x, &all)?])
}

/// The elements of an axis from `start` to before `end`, as numpy counts.
fn steps_of(start: i64, end: i64, step: i64, dim: usize) -> Result<Steps> {
    let len = dim as i64;
    let bounds = if step < 0 { (-1, len - 1) } else { (0, len) };
    let place = |index: i64| {
        let counted = if index < 0 { index.saturating_add(len) } else { index };
        counted.clamp(bounds.0, bounds.1)
    };
    let (start, end) = (place(start), place(end));
    let span = if step < 0 { start - end } else { end - start };
    let Some(distance) = step.checked_abs().filter(|&distance| distance > 0) else {
        bail!(InvalidShape, "a step of {step}");
    };
    let count = if span > 0 { (span - 1) / distance + 1 } else { 0 };
    let stride = if count == 1 { 1 } else { step };
    Ok(Steps { begin: start as usize, stride, count: count as usize })
}

/// Split: lengths are an input, up to operator set 12 an attribute; else equal parts.
///
/// # Errors
/// `InvalidShape`.
pub fn split(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let shape = importer.shape(&x);
    let axis = axis(node.attributes.int("axis", 0), shape.len())?;
    let stated = match node.optional(1) {
        Some(input) => Some(importer.integers(input)?),
        None => node.attributes.ints("split").map(<[i64]>::to_vec),
    };
    let lengths = match stated {
        Some(lengths) => {
            lengths.iter().map(|&len| size(len, "a part")).collect::<Result<Vec<usize>>>()?
        }
        None => {
            let parts = node.outputs.len();
            let stated = node.attributes.int("num_outputs", parts as i64);
            if stated != parts as i64 {
                bail!(InvalidGraph, "num_outputs is {stated}, but there are {parts} outputs");
            }
            // The last part may be shorter.
            let part = shape[axis].div_ceil(parts.max(1));
            let mut left = shape[axis];
            let lengths = (0..parts).map(|_| {
                let len = part.min(left);
                left -= len;
                len
            });
            lengths.collect()
        }
    };
    let sum = lengths.iter().try_fold(0_usize, |sum, &len| sum.checked_add(len));
    if sum != Some(shape[axis]) || lengths.len() != node.outputs.len() {
        bail!(
            InvalidShape,
            "parts of {lengths:?} for an axis of {} and {} outputs",
            shape[axis],
            node.outputs.len()
        );
    }
    let mut begin = 0;
    let mut parts = Vec::new();
    for len in lengths {
        let mut steps: Vec<Steps> = shape.iter().map(|&dim| Steps::all(dim)).collect();
        steps[axis] = Steps::range(begin, len);
        begin += len;
        parts.push(importer.sliced(&x, &steps)?);
    }
    Ok(parts)
}

/// Concat, in the order of the first input that has one of its own. Empty inputs add nothing.
///
/// # Errors
/// `InvalidShape`.
pub fn concat(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let mut values = Vec::new();
    for value in node.inputs.iter().flatten() {
        if importer.tensor(value).elements() > 0 {
            values.push(importer.unflattened(value)?);
        }
    }
    let first = values.first().ok_or_else(|| error!(InvalidGraph, "has no inputs"))?;
    let rank = importer.shape(first).len();
    let axis = axis(node.attributes.int("axis", 0), rank)?;
    let dtype = importer.tensor(first).dtype;
    if let [value] = &values[..] {
        return Ok(vec![value.clone()]);
    }
    let ordered =
        values.iter().find(|value| !importer.tensor(value).is_constant() && !value.is_plain());
    let order = ordered.unwrap_or(first).order.clone();
    let mut tensors = Vec::new();
    for value in &values {
        if importer.shape(value).len() != rank {
            bail!(InvalidShape, "{} must have {rank} dimensions", importer.tensor(value));
        }
        tensors.push(importer.stored(value, &order)?);
    }
    let like = Value::ordered(tensors[0], order);
    let op = Op::Concatenation(Concatenation { axis: like.stored_axis(axis) });
    Ok(vec![like.like(importer.apply(op, &tensors, dtype)?)])
}
