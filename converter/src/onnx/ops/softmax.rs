//! Softmax, LogSoftmax, Hardmax's relatives over one axis.

use super::super::{
    importer::{Importer, NodeOf, axis},
    kind::Kind,
    value::Value,
};
use crate::{
    error::Result,
    ops::{Op, log_softmax::LogSoftmax, softmax::Softmax},
};

/// Applies an operator over the innermost axis to the stated one. Up to operator set 12 it is over
/// all axes from the stated one on.
pub(super) fn along(
    importer: &mut Importer,
    node: &NodeOf<'_>,
    x: &Value,
    op: Op,
    kind: &Kind,
) -> Result<Vec<Value>> {
    let shape = importer.shape(x);
    if shape.is_empty() {
        let id = importer.reshape(x.id, vec![1])?;
        let y = importer.apply_kind(op, vec![Some(id)], kind)?;
        let y = importer.reshape(y, vec![])?;
        return Ok(vec![Value::plain(importer.graph(), y)]);
    }
    let old = node.opset < 13;
    let axis = axis(node.attributes.int("axis", if old { 1 } else { -1 }), shape.len())?;
    if old && axis + 1 < shape.len() {
        let id = importer.stored_plain(x)?;
        let rows = shape[..axis].iter().product();
        let matrix = importer.reshape(id, vec![rows, shape[axis..].iter().product()])?;
        let y = importer.apply_kind(op, vec![Some(matrix)], kind)?;
        let y = importer.reshape(y, shape)?;
        return Ok(vec![Value::plain(importer.graph(), y)]);
    }
    // Any order with this axis last.
    let x = match x.order.last() {
        Some(&last) if last == axis && !x.flattened => x.clone(),
        _ => {
            let mut order: Vec<usize> = (0..shape.len()).filter(|&other| other != axis).collect();
            order.push(axis);
            Value::ordered(importer.stored(x, &order)?, order)
        }
    };
    Ok(vec![x.like(importer.apply_kind(op, vec![Some(x.id)], kind)?)])
}

/// Softmax.
///
/// # Errors
/// As [`Importer::apply`].
pub fn softmax(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let kind = Kind::of(importer.tensor(x));
    along(importer, node, x, Op::Softmax(Softmax { beta: 1.0 }), &kind)
}

/// LogSoftmax.
///
/// # Errors
/// As [`Importer::apply`].
pub fn log_softmax(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let kind = Kind::of(importer.tensor(x));
    along(importer, node, x, Op::LogSoftmax(LogSoftmax), &kind)
}
