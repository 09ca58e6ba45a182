//! ArgMax, ArgMin, TopK, OneHot, CumSum.

use systole_core::DType;

use super::super::{
    importer::{Importer, NodeOf, axis},
    size,
    value::Value,
};
use crate::{
    error::{Result, bail},
    ops::{
        Op,
        arg_max::ArgMax,
        binary::Arithmetic::{Add, Sub},
        cumsum::CumSum,
        one_hot::OneHot,
        strided_slice::Steps,
        top_k::TopK,
        unary::Unary,
    },
};

fn arg(importer: &mut Importer, node: &NodeOf<'_>, smallest: bool) -> Result<Vec<Value>> {
    let mut x = importer.unflattened(node.input(0)?)?;
    let shape = importer.shape(&x);
    let axis = axis(node.attributes.int("axis", 0), shape.len())?;
    let last = node.attributes.flag("select_last_index", false);
    if last {
        // The last of equals is the first from the end.
        let mut steps: Vec<Steps> = shape.iter().map(|&dim| Steps::all(dim)).collect();
        steps[axis] = Steps { begin: shape[axis] - 1, stride: -1, count: shape[axis] };
        if shape[axis] > 1 {
            x = importer.sliced(&x, &steps)?;
        }
    }
    let stored = x.stored_axis(axis);
    let op = Op::ArgMax(ArgMax { axis: stored, smallest });
    let mut id = importer.apply(op, &[x.id], DType::I64)?;
    if last {
        let end = importer.number(DType::I64, (shape[axis] - 1) as f64)?;
        id = importer.binary(Sub, end, id)?;
    }
    if node.attributes.flag("keepdims", true) {
        let mut shape = importer.tensor(&x).shape.clone();
        shape[stored] = 1;
        return Ok(vec![x.like(importer.reshape(id, shape)?)]);
    }
    let left = x.order.iter().filter(|&&other| other != axis);
    let order = left.map(|&other| if other > axis { other - 1 } else { other }).collect();
    Ok(vec![Value::ordered(id, order)])
}

/// ArgMax.
///
/// # Errors
/// As [`Importer::apply`].
pub fn arg_max(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    arg(importer, node, false)
}

/// ArgMin.
///
/// # Errors
/// As [`Importer::apply`].
pub fn arg_min(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    arg(importer, node, true)
}

/// TopK: the smallest are the largest of what is negated.
///
/// # Errors
/// `UnsupportedFeature` where k is no constant.
pub fn top_k(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let shape = importer.shape(x);
    let dtype = importer.tensor(x).dtype;
    let axis = axis(node.attributes.int("axis", -1), shape.len())?;
    let k = match node.optional(1) {
        Some(value) => importer.integers(value)?.first().copied().unwrap_or(0),
        None => node.attributes.int("k", 0),
    };
    let k = size(k, "k")?;
    if !(1..=shape[axis]).contains(&k) {
        bail!(InvalidShape, "k = {k} of an axis of {}", shape[axis]);
    }
    let mut order: Vec<usize> = (0..shape.len()).filter(|&other| other != axis).collect();
    order.push(axis);
    let mut id = importer.stored(x, &order)?;
    let smallest = !node.attributes.flag("largest", true);
    if smallest {
        id = importer.unary(Unary::Neg, id)?;
    }
    let op = Op::TopK(TopK { k });
    let outputs = importer.apply_all(op, vec![Some(id)], &[dtype, DType::I32])?;
    let [mut values, indices] = outputs[..] else {
        bail!(InvalidGraph, "has no outputs");
    };
    if smallest {
        values = importer.unary(Unary::Neg, values)?;
    }
    let indices = importer.cast(indices, DType::I64)?;
    Ok(vec![Value::ordered(values, order.clone()), Value::ordered(indices, order)])
}

/// OneHot: indices may be counted from the end.
///
/// # Errors
/// `UnsupportedFeature` where the depth is no constant.
pub fn one_hot(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (indices, values) = (node.input(0)?, node.input(2)?);
    let depth = node.input(1)?;
    let depth = match importer.tensor(depth).dtype {
        DType::F32 => importer.floats(depth)?.first().map_or(0, |&depth| depth as i64),
        _ => importer.integers(depth)?.first().copied().unwrap_or(0),
    };
    let depth = size(depth, "the depth")?;
    let rank = importer.shape(indices).len() + 1;
    let axis = axis(node.attributes.int("axis", -1), rank)?;
    let dtype = importer.tensor(values).dtype;
    let id = importer.stored_plain(indices)?;
    let id = importer.cast(id, DType::I32)?;
    // Two rows of results: for indices from the start, and for those from the end.
    let moved = importer.with_number(Add, id, depth as f64)?;
    let zero = importer.number(DType::I32, 0.0)?;
    let compare = Op::Compare(crate::ops::compare::Compare {
        comparison: crate::ops::compare::Comparison::Less,
    });
    let negative = importer.apply(compare, &[id, zero], DType::Bool)?;
    let select = Op::Select(crate::ops::select::Select);
    let id = importer.apply(select, &[negative, moved, id], DType::I32)?;
    let mut value = |index: usize| {
        let steps = [Steps::range(index, 1)];
        if importer.shape(values) != [2] {
            bail!(InvalidShape, "{} must be two values", importer.tensor(values));
        }
        let part = importer.sliced(values, &steps)?;
        importer.reshape(part.id, vec![])
    };
    let (off, on) = (value(0)?, value(1)?);
    let op = Op::OneHot(OneHot { axis, depth });
    let y = importer.apply(op, &[id, on, off], dtype)?;
    Ok(vec![Value::plain(importer.graph(), y)])
}

/// CumSum.
///
/// # Errors
/// `UnsupportedFeature` where the axis is no constant.
pub fn cum_sum(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let stated = importer.integers(node.input(1)?)?.first().copied().unwrap_or(0);
    let axis = x.stored_axis(axis(stated, importer.shape(&x).len())?);
    let exclusive = node.attributes.flag("exclusive", false);
    let reverse = node.attributes.flag("reverse", false);
    let dtype = importer.tensor(&x).dtype;
    let op = Op::CumSum(CumSum { axis, exclusive, reverse });
    Ok(vec![x.like(importer.apply(op, &[x.id], dtype)?)])
}
