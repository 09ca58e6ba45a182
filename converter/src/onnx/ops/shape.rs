//! Shape and Size, which are constants, and Expand and Tile.

use super::super::{
    importer::{Importer, NodeOf},
    size,
    value::Value,
};
use crate::{
    error::{Result, bail},
    ops::{Op, tile},
};

/// Shape, or a part of it.
///
/// # Errors
/// None.
pub fn shape(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let shape = importer.shape(node.input(0)?);
    let rank = shape.len() as i64;
    let bound = |name, default| {
        let stated = node.attributes.int(name, default);
        (if stated < 0 { stated + rank } else { stated }).clamp(0, rank) as usize
    };
    let (start, end) = (bound("start", 0), bound("end", rank));
    let dims: Vec<i64> =
        shape.get(start..end).unwrap_or_default().iter().map(|&d| d as i64).collect();
    let id = importer.constant(vec![dims.len()], &dims);
    Ok(vec![Value::plain(importer.graph(), id)])
}

/// Size.
///
/// # Errors
/// None.
pub fn elements(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let elements = importer.tensor(node.input(0)?).elements();
    let id = importer.constant(vec![], &[elements as i64]);
    Ok(vec![Value::plain(importer.graph(), id)])
}

/// A value repeated to another shape, in the order in which it is stored.
fn tiled(importer: &mut Importer, x: &Value, shape: Vec<usize>) -> Result<Value> {
    let dtype = importer.tensor(x).dtype;
    let from = importer.shape(x);
    if from.len() == shape.len() && !x.flattened {
        let stored = x.order.iter().map(|&axis| shape[axis]).collect();
        let op = Op::Tile(tile::Tile { shape: stored });
        return Ok(x.like(importer.apply(op, &[x.id], dtype)?));
    }
    let id = importer.stored_plain(x)?;
    let y = importer.apply(Op::Tile(tile::Tile { shape }), &[id], dtype)?;
    Ok(Value::plain(importer.graph(), y))
}

/// Expand: broadcasting of both shapes.
///
/// # Errors
/// `InvalidShape`.
pub fn expand(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let from = importer.shape(x);
    let wanted = importer.integers(node.input(1)?)?;
    let wanted: Vec<usize> =
        wanted.iter().map(|&dim| size(dim, "a dimension")).collect::<Result<_>>()?;
    let rank = from.len().max(wanted.len());
    let dim = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    let mut shape = Vec::new();
    for axis in 0..rank {
        shape.push(match (dim(&from, axis), dim(&wanted, axis)) {
            (a, b) if a == b || b == 1 => a,
            (1, b) => b,
            (a, b) => bail!(InvalidShape, "{from:?} and {wanted:?} do not broadcast: {a}, {b}"),
        });
    }
    if shape == from {
        return Ok(vec![x.clone()]);
    }
    Ok(vec![tiled(importer, x, shape)?])
}

/// Tile.
///
/// # Errors
/// `InvalidShape`.
pub fn tile(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let from = importer.shape(x);
    let repeats = importer.integers(node.input(1)?)?;
    if repeats.len() != from.len() {
        bail!(InvalidShape, "{} repeats for {} axes", repeats.len(), from.len());
    }
    let mut shape = Vec::new();
    for (&dim, &repeat) in from.iter().zip(&repeats) {
        match dim.checked_mul(size(repeat, "a repeat")?) {
            Some(product) => shape.push(product),
            None => bail!(TooLarge, "{dim} repeated {repeat} times"),
        }
    }
    Ok(vec![tiled(importer, x, shape)?])
}
