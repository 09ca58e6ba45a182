//! Activation functions with parameters, and those that the graph composes.
//!
//! Source of the formulas: ONNX's operator specification.

use super::super::{
    importer::{Importer, NodeOf},
    value::Value,
};
use crate::{
    error::Result,
    graph::TensorId,
    ops::{
        Op,
        binary::Arithmetic::{Add, Div, Minimum, Mul, Sub},
        compare::{Compare, Comparison},
        prelu::Prelu,
        select::Select,
        unary::Unary,
    },
    scale::Activation,
};

/// LeakyRelu.
///
/// # Errors
/// As [`Importer::apply`].
pub fn leaky_relu(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let alpha = node.attributes.float("alpha", 0.01);
    Ok(vec![x.like(importer.unary(Unary::LeakyRelu { alpha }, x.id)?)])
}

/// PRelu, whose slopes broadcast.
///
/// # Errors
/// As [`Importer::apply`].
pub fn prelu(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (x, slope) = (node.input(0)?, node.input(1)?);
    let dtype = importer.tensor(x).dtype;
    let (tensors, like) = importer.aligned(&[x, slope])?;
    Ok(vec![like.like(importer.apply(Op::Prelu(Prelu), &tensors, dtype)?)])
}

/// Gelu.
///
/// # Errors
/// As [`Importer::apply`].
pub fn gelu(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let approximate = node.attributes.text("approximate", "none")? == "tanh";
    Ok(vec![x.like(importer.unary(Unary::Gelu { approximate }, x.id)?)])
}

/// HardSigmoid: `max(0, min(1, alpha × x + beta))`.
///
/// # Errors
/// As [`Importer::apply`].
pub fn hard_sigmoid(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let alpha = node.attributes.float("alpha", 0.2);
    let beta = node.attributes.float("beta", 0.5);
    Ok(vec![x.like(hard_sigmoid_of(importer, x.id, alpha, beta)?)])
}

/// `max(0, min(1, alpha × x + beta))`.
///
/// # Errors
/// As [`Importer::apply`].
pub(super) fn hard_sigmoid_of(
    importer: &mut Importer,
    x: TensorId,
    alpha: f32,
    beta: f32,
) -> Result<TensorId> {
    let scaled = importer.with_number(Mul, x, alpha.into())?;
    let moved = importer.with_number(Add, scaled, beta.into())?;
    importer.unary(Unary::Range(Activation::Relu0To1), moved)
}

/// `scale × (max(x, 0) + min(alpha × (exp(x / width) − 1), 0))`, which ELU, SELU and CELU are.
fn exponential(
    importer: &mut Importer,
    x: TensorId,
    alpha: f32,
    width: f32,
    scale: f32,
) -> Result<TensorId> {
    let positive = importer.unary(Unary::Range(Activation::Relu), x)?;
    let narrowed = if width == 1.0 { x } else { importer.with_number(Div, x, width.into())? };
    // Of what is negative only: the exponential of large numbers is none.
    let negative = importer.with_number(Minimum, narrowed, 0.0)?;
    let below = importer.unary(Unary::Elu, negative)?;
    let below = importer.with_number(Mul, below, alpha.into())?;
    let sum = importer.binary(Add, positive, below)?;
    if scale == 1.0 { Ok(sum) } else { importer.with_number(Mul, sum, scale.into()) }
}

/// Elu.
///
/// # Errors
/// As [`Importer::apply`].
pub fn elu(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let alpha = node.attributes.float("alpha", 1.0);
    let id = match alpha {
        1.0 => importer.unary(Unary::Elu, x.id)?,
        _ => exponential(importer, x.id, alpha, 1.0, 1.0)?,
    };
    Ok(vec![x.like(id)])
}

/// Selu.
///
/// # Errors
/// As [`Importer::apply`].
pub fn selu(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let alpha = node.attributes.float("alpha", 1.673_263_2);
    let gamma = node.attributes.float("gamma", 1.050_701);
    Ok(vec![x.like(exponential(importer, x.id, alpha, 1.0, gamma)?)])
}

/// Celu.
///
/// # Errors
/// As [`Importer::apply`].
pub fn celu(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let alpha = node.attributes.float("alpha", 1.0);
    Ok(vec![x.like(exponential(importer, x.id, alpha, alpha, 1.0)?)])
}

/// `ln(1 + exp(x))`, as `max(x, 0) + ln(1 + exp(−|x|))`, which does not overflow.
fn softplus_of(importer: &mut Importer, x: TensorId) -> Result<TensorId> {
    let positive = importer.unary(Unary::Range(Activation::Relu), x)?;
    let magnitude = importer.unary(Unary::Abs, x)?;
    let negative = importer.unary(Unary::Neg, magnitude)?;
    let small = importer.unary(Unary::Exp, negative)?;
    let above_one = importer.with_number(Add, small, 1.0)?;
    let rest = importer.unary(Unary::Log, above_one)?;
    importer.binary(Add, positive, rest)
}

/// Softplus.
///
/// # Errors
/// As [`Importer::apply`].
pub fn softplus(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    Ok(vec![x.like(softplus_of(importer, x.id)?)])
}

/// Mish: `x × tanh(softplus(x))`.
///
/// # Errors
/// As [`Importer::apply`].
pub fn mish(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let softplus = softplus_of(importer, x.id)?;
    let gate = importer.unary(Unary::Tanh, softplus)?;
    Ok(vec![x.like(importer.binary(Mul, x.id, gate)?)])
}

/// Softsign: `x / (1 + |x|)`.
///
/// # Errors
/// As [`Importer::apply`].
pub fn softsign(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let magnitude = importer.unary(Unary::Abs, x.id)?;
    let divisor = importer.with_number(Add, magnitude, 1.0)?;
    Ok(vec![x.like(importer.binary(Div, x.id, divisor)?)])
}

/// ThresholdedRelu: `x` above alpha, else 0.
///
/// # Errors
/// As [`Importer::apply`].
pub fn thresholded_relu(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let dtype = importer.tensor(x).dtype;
    let alpha = importer.number(dtype, node.attributes.float("alpha", 1.0).into())?;
    let zero = importer.number(dtype, 0.0)?;
    let above = Op::Compare(Compare { comparison: Comparison::Greater });
    let above = importer.apply(above, &[x.id, alpha], systole_core::DType::Bool)?;
    Ok(vec![x.like(importer.apply(Op::Select(Select), &[above, x.id, zero], dtype)?)])
}

/// Shrink: `x + bias` below −lambd, `x − bias` above lambd, else 0.
///
/// # Errors
/// As [`Importer::apply`].
pub fn shrink(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let lambda = f64::from(node.attributes.float("lambd", 0.5));
    let bias = f64::from(node.attributes.float("bias", 0.0));
    let dtype = importer.tensor(x).dtype;
    let zero = importer.number(dtype, 0.0)?;
    let mut side = |threshold: f64, comparison, operation| {
        let threshold = importer.number(dtype, threshold)?;
        let compare = Op::Compare(Compare { comparison });
        let beyond = importer.apply(compare, &[x.id, threshold], systole_core::DType::Bool)?;
        let moved = importer.with_number(operation, x.id, bias)?;
        importer.apply(Op::Select(Select), &[beyond, moved, zero], dtype)
    };
    let below = side(-lambda, Comparison::Less, Add)?;
    let above = side(lambda, Comparison::Greater, Sub)?;
    Ok(vec![x.like(importer.binary(Add, below, above)?)])
}

/// Swish: `x × sigmoid(alpha × x)`.
///
/// # Errors
/// As [`Importer::apply`].
pub fn swish(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let alpha = node.attributes.float("alpha", 1.0);
    let scaled = if alpha == 1.0 { x.id } else { importer.with_number(Mul, x.id, alpha.into())? };
    let gate = importer.unary(Unary::Logistic, scaled)?;
    Ok(vec![x.like(importer.binary(Mul, x.id, gate)?)])
}
