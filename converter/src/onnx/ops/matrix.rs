//! Gemm, MatMul, Einsum.

use systole_core::DType;

use super::super::{
    importer::{Importer, NodeOf},
    kind::Kind,
    value::Value,
};
use crate::{
    error::{Result, bail, error},
    graph::TensorId,
    ops::{
        Op,
        batch_matmul::BatchMatMul,
        binary::Arithmetic::{Add, Mul},
        fully_connected::FullyConnected,
    },
    scale::Activation,
};

/// The matrix `[out, in]` by which rows of a value are multiplied, its columns in the order of the
/// value's tensor where that is a flattened image.
fn columns_as_stored(importer: &mut Importer, x: &Value, weights: TensorId) -> Result<TensorId> {
    if !x.flattened {
        return Ok(weights);
    }
    let out = importer.graph()[weights].shape[0];
    let image = x.unflattened_shape(importer.graph());
    let axes: Vec<usize> = image.iter().skip(1).copied().collect();
    let split = std::iter::once(out).chain(axes.iter().copied()).collect();
    let split = importer.reshape(weights, split)?;
    let moved = importer.transpose(split, x.order.clone())?;
    importer.reshape(moved, vec![out, axes.iter().product()])
}

/// The rows of a value as a matrix, flattened images as they are stored.
fn rows(importer: &mut Importer, x: &Value) -> Result<TensorId> {
    if x.flattened && x.stored_axis(0) == 0 {
        return importer.reshape(x.id, x.shape(importer.graph()));
    }
    importer.stored_plain(x)
}

/// `x·weightsᵀ + bias`: weights `[out, in]`.
fn fully_connected(
    importer: &mut Importer,
    x: &Value,
    weights: TensorId,
    bias: Option<TensorId>,
) -> Result<TensorId> {
    connected(importer, x, weights, bias, &Kind::from(DType::F32), Activation::None)
}

/// `x·weightsᵀ + bias`, weights `[out, in]`, to any kind of output.
///
/// # Errors
/// As [`Importer::apply`].
pub(super) fn connected(
    importer: &mut Importer,
    x: &Value,
    weights: TensorId,
    bias: Option<TensorId>,
    kind: &Kind,
    activation: Activation,
) -> Result<TensorId> {
    let weights = columns_as_stored(importer, x, weights)?;
    let x = rows(importer, x)?;
    let op = FullyConnected { keep_dims: true, activation, asymmetric: false };
    importer.apply_kind(Op::FullyConnected(op), vec![Some(x), Some(weights), bias], kind)
}

/// A constant times a number.
fn scaled(importer: &mut Importer, id: TensorId, number: f32) -> Result<TensorId> {
    if number == 1.0 { Ok(id) } else { importer.with_number(Mul, id, number.into()) }
}

/// Gemm: `alpha × A·B + beta × C`.
///
/// # Errors
/// As [`Importer::apply`].
pub fn gemm(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let attributes = node.attributes;
    let (a, b) = (node.input(0)?, node.input(1)?);
    let alpha = attributes.float("alpha", 1.0);
    let beta = attributes.float("beta", 1.0);
    let (trans_a, trans_b) = (attributes.flag("transA", false), attributes.flag("transB", false));
    for value in [a, b] {
        if importer.shape(value).len() != 2 {
            bail!(InvalidShape, "{} must be a matrix", importer.tensor(value));
        }
        importer.expect_finite(value.id)?;
    }
    let b_id = importer.stored_plain(b)?;
    if importer.graph()[b_id].is_constant() && !trans_a {
        let order = if trans_b { vec![0, 1] } else { vec![1, 0] };
        let weights = importer.transpose(b_id, order)?;
        let weights = scaled(importer, weights, alpha)?;
        let outputs = importer.graph()[weights].shape[0];
        let c = node.optional(2);
        // A bias per output, unless it is one for each row or for all.
        let bias = c.filter(|c| {
            let tensor = importer.tensor(c);
            tensor.is_constant()
                && tensor.elements() == outputs
                && tensor.shape.last() == Some(&outputs)
        });
        if let Some(bias) = bias {
            importer.expect_finite(bias.id)?;
            let bias = importer.reshape(bias.id, vec![outputs])?;
            let bias = scaled(importer, bias, beta)?;
            let y = fully_connected(importer, a, weights, Some(bias))?;
            return Ok(vec![Value::plain(importer.graph(), y)]);
        }
        let y = fully_connected(importer, a, weights, None)?;
        return plus(importer, y, c, beta);
    }
    let a = importer.stored_plain(a)?;
    let op = Op::BatchMatMul(BatchMatMul { adj_x: trans_a, adj_y: trans_b });
    let y = importer.apply(op, &[a, b_id], DType::F32)?;
    let y = scaled(importer, y, alpha)?;
    plus(importer, y, node.optional(2), beta)
}

fn plus(importer: &mut Importer, y: TensorId, c: Option<&Value>, beta: f32) -> Result<Vec<Value>> {
    let y = Value::plain(importer.graph(), y);
    Ok(vec![match c {
        None => y,
        Some(c) => {
            let c = c.like(scaled(importer, c.id, beta)?);
            importer.binary_values(Add, &y, &c)?
        }
    }])
}

/// MatMul, as numpy's.
///
/// # Errors
/// As [`Importer::apply`].
pub fn matmul(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (a, b) = (node.input(0)?, node.input(1)?);
    let (a_shape, b_shape) = (importer.shape(a), importer.shape(b));
    if a_shape.is_empty() || b_shape.is_empty() {
        bail!(InvalidShape, "a number cannot be multiplied as a matrix");
    }
    importer.expect_finite(a.id)?;
    importer.expect_finite(b.id)?;
    if b_shape.len() == 2 && importer.tensor(b).is_constant() && a_shape.len() > 1 {
        let b = importer.stored_plain(b)?;
        let weights = importer.transpose(b, vec![1, 0])?;
        let y = fully_connected(importer, a, weights, None)?;
        return Ok(vec![Value::plain(importer.graph(), y)]);
    }
    let op = Op::BatchMatMul(BatchMatMul { adj_x: false, adj_y: false });
    Ok(vec![product(importer, a, b, |importer, a, b| importer.apply(op, &[a, b], DType::F32))?])
}

/// A product of matrices or vectors, as numpy's, by an operator that multiplies matrices.
///
/// # Errors
/// As [`Importer::apply`].
pub(super) fn product(
    importer: &mut Importer,
    a: &Value,
    b: &Value,
    multiply: impl FnOnce(&mut Importer, TensorId, TensorId) -> Result<TensorId>,
) -> Result<Value> {
    let (a_shape, b_shape) = (importer.shape(a), importer.shape(b));
    if a_shape.is_empty() || b_shape.is_empty() {
        bail!(InvalidShape, "a number cannot be multiplied as a matrix");
    }
    let mut a = importer.stored_plain(a)?;
    let mut b = importer.stored_plain(b)?;
    if a_shape.len() == 1 {
        a = importer.reshape(a, vec![1, a_shape[0]])?;
    }
    if b_shape.len() == 1 {
        b = importer.reshape(b, vec![b_shape[0], 1])?;
    }
    let mut y = multiply(importer, a, b)?;
    let mut shape = importer.graph()[y].shape.clone();
    if b_shape.len() == 1 {
        shape.pop();
    }
    if a_shape.len() == 1 {
        shape.remove(shape.len() - if b_shape.len() == 1 { 1 } else { 2 });
    }
    y = importer.reshape(y, shape)?;
    Ok(Value::plain(importer.graph(), y))
}

/// Einsum of two values that is a product of matrices: letters of both and of the result are
/// batches, and one each is summed, of the first alone, and of the second alone.
///
/// # Errors
/// `UnsupportedFeature` for other equations.
pub fn einsum(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let equation: String = node
        .attributes
        .text("equation", "")?
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let other = || error!(UnsupportedFeature, "equation {equation}: products of two matrices are");
    let (inputs, output) = equation.split_once("->").ok_or_else(other)?;
    let (a, b) = inputs.split_once(',').ok_or_else(other)?;
    let [a, b, output] = [a, b, output].map(|letters| letters.chars().collect::<Vec<char>>());
    let distinct = |letters: &[char]| {
        letters
            .iter()
            .enumerate()
            .all(|(i, letter)| letter.is_ascii_alphabetic() && !letters[..i].contains(letter))
    };
    if ![&a, &b, &output].iter().all(|letters| distinct(letters)) {
        return Err(other());
    }
    let pick = |from: &[char], wanted: [bool; 3]| -> Vec<char> {
        let is = |letter: &char| [a.contains(letter), b.contains(letter), output.contains(letter)];
        from.iter().copied().filter(|letter| is(letter) == wanted).collect()
    };
    let batches = pick(&a, [true, true, true]);
    let summed = pick(&a, [true, true, false]);
    let rows = pick(&a, [true, false, true]);
    let columns = pick(&b, [false, true, true]);
    let complete = batches.len() + rows.len() + columns.len() == output.len()
        && batches.len() + rows.len() + summed.len() == a.len()
        && batches.len() + summed.len() + columns.len() == b.len();
    if !complete || summed.len() != 1 || rows.len() > 1 || columns.len() > 1 {
        return Err(other());
    }
    let mut matrix = |index: usize, letters: &[char], wanted: [&[char]; 3]| {
        let value = node.input(index)?;
        if importer.shape(value).len() != letters.len() {
            bail!(InvalidShape, "{} does not fit {equation}", importer.tensor(value));
        }
        let order: Vec<usize> = wanted
            .concat()
            .iter()
            .filter_map(|letter| letters.iter().position(|other| other == letter))
            .collect();
        let id = importer.stored(value, &order)?;
        let mut shape = importer.graph()[id].shape.clone();
        for (group, at) in [(wanted[1], batches.len()), (wanted[2], batches.len() + 1)] {
            if group.is_empty() {
                shape.insert(at, 1);
            }
        }
        importer.reshape(id, shape)
    };
    let x = matrix(0, &a, [&batches, &rows, &summed])?;
    let y = matrix(1, &b, [&batches, &summed, &columns])?;
    let op = Op::BatchMatMul(BatchMatMul { adj_x: false, adj_y: false });
    let product = importer.apply(op, &[x, y], DType::F32)?;
    let letters = [&batches[..], &rows, &columns].concat();
    let mut shape = importer.graph()[product].shape.clone();
    if columns.is_empty() {
        shape.pop();
    }
    if rows.is_empty() {
        shape.remove(batches.len());
    }
    let product = importer.reshape(product, shape)?;
    // Axis i of the tensor is this axis of the result.
    let order = letters
        .iter()
        .filter_map(|letter| output.iter().position(|other| other == letter))
        .collect();
    Ok(vec![Value::ordered(product, order)])
}
