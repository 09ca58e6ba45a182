//! Softmax, LogSoftmax, Hardmax's relatives over one axis.

use super::super::{
    importer::{Importer, NodeOf, axis},
    value::Value,
};
use crate::{
    error::Result,
    ops::{Op, log_softmax::LogSoftmax, softmax::Softmax},
};

/// Applies an operator over the innermost axis to the stated one. Up to operator set 12 it is over
/// all axes from the stated one on.
fn along(importer: &mut Importer, node: &NodeOf<'_>, op: Op) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let shape = importer.shape(x);
    let dtype = importer.tensor(x).dtype;
    if shape.is_empty() {
        let id = importer.reshape(x.id, vec![1])?;
        let y = importer.apply(op, &[id], dtype)?;
        let y = importer.reshape(y, vec![])?;
        return Ok(vec![Value::plain(importer.graph(), y)]);
    }
    let old = node.opset < 13;
    let axis = axis(node.attributes.int("axis", if old { 1 } else { -1 }), shape.len())?;
    if old && axis + 1 < shape.len() {
        let id = importer.stored_plain(x)?;
        let rows = shape[..axis].iter().product();
        let matrix = importer.reshape(id, vec![rows, shape[axis..].iter().product()])?;
        let y = importer.apply(op, &[matrix], dtype)?;
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
    Ok(vec![x.like(importer.apply(op, &[x.id], dtype)?)])
}

/// Softmax.
///
/// # Errors
/// As [`Importer::apply`].
pub fn softmax(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    along(importer, node, Op::Softmax(Softmax { beta: 1.0 }))
}

/// LogSoftmax.
///
/// # Errors
/// As [`Importer::apply`].
pub fn log_softmax(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    along(importer, node, Op::LogSoftmax(LogSoftmax))
}
