//! Operators from quantized tensors to quantized ones: QLinearConv and its relatives, of ONNX and of
//! ONNX Runtime's own domain, and what `qdq.rs` makes of operators between DequantizeLinear and
//! QuantizeLinear.

use super::{
    super::{
        importer::{Importer, NodeOf},
        kind::Kind,
        registry,
        value::Value,
    },
    activation, convolution, matrix, pooling,
    quantized::Scales,
    slice, softmax,
};
use crate::{
    error::{Result, bail, error},
    graph::TensorId,
    ops::{
        Op,
        batch_matmul::BatchMatMul,
        binary::{Arithmetic, Binary},
        lut::Lut,
        reduce::Kind as Reduction,
        softmax::Softmax,
    },
    scale::Activation,
};

/// The activation that `qdq.rs` found behind the operator.
fn fused_range(node: &NodeOf<'_>) -> Result<Activation> {
    Ok(match node.attributes.text("fused_activation", "")? {
        "" => Activation::None,
        "Relu" => Activation::Relu,
        "Relu6" => Activation::Relu6,
        other => bail!(UnsupportedFeature, "a fused {other}"),
    })
}

/// QLinearConv.
///
/// # Errors
/// As [`Importer::apply`].
pub fn conv(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (x_scales, w_scales, y_scales) =
        (importer.scales_of(node, 1)?, importer.scales_of(node, 4)?, importer.scales_of(node, 6)?);
    let x = importer.quantized(node.input(0)?, &x_scales, 1)?;
    let w = importer.quantized(node.input(3)?, &w_scales, 0)?;
    let kind = y_scales.output(importer.tensor(&x))?;
    let (bias, activation) = (node.optional(8), fused_range(node)?);
    convolution::convolved(importer, node.attributes, &x, &w, bias, &kind, activation)
}

/// A product of quantized values, whose second may have scales per column.
fn product(
    importer: &mut Importer,
    a: &Value,
    b: &Value,
    bias: Option<TensorId>,
    kind: &Kind,
    activation: Activation,
) -> Result<Value> {
    let b_shape = importer.shape(b);
    if importer.tensor(b).is_constant() && b_shape.len() == 2 && importer.shape(a).len() > 1 {
        let b = importer.stored_plain(b)?;
        let weights = importer.transpose(b, vec![1, 0])?;
        let y = matrix::connected(importer, a, weights, bias, kind, activation)?;
        return Ok(Value::plain(importer.graph(), y));
    }
    if bias.is_some() || activation != Activation::None {
        bail!(UnsupportedFeature, "{} must be a constant", importer.tensor(b));
    }
    let op = Op::BatchMatMul(BatchMatMul { adj_x: false, adj_y: false });
    matrix::product(importer, a, b, |importer, a, b| {
        importer.apply_kind(op, vec![Some(a), Some(b)], kind)
    })
}

/// QLinearMatMul.
///
/// # Errors
/// As [`Importer::apply`].
pub fn matmul(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (a_scales, b_scales, y_scales) =
        (importer.scales_of(node, 1)?, importer.scales_of(node, 4)?, importer.scales_of(node, 6)?);
    let a = importer.quantized(node.input(0)?, &a_scales, 0)?;
    let columns = importer.shape(node.input(3)?).len().saturating_sub(1);
    let b = importer.quantized(node.input(3)?, &b_scales, columns)?;
    let kind = y_scales.output(importer.tensor(&a))?;
    Ok(vec![product(importer, &a, &b, None, &kind, fused_range(node)?)?])
}

/// The operands of QGemm: `A`, `B` (not transposed), their scales, and the bias per column.
pub(super) struct Gemm {
    pub(super) a: Value,
    pub(super) b: Value,
    pub(super) a_scales: Scales,
    pub(super) b_scales: Scales,
    pub(super) bias: Option<TensorId>,
}

impl Gemm {
    pub(super) fn of(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Self> {
        let attributes = node.attributes;
        if attributes.float("alpha", 1.0) != 1.0 {
            bail!(
                UnsupportedFeature,
                "alpha is {}; 1 is supported",
                attributes.float("alpha", 1.0)
            );
        }
        let (a_scales, b_scales) = (importer.scales_of(node, 1)?, importer.scales_of(node, 4)?);
        for index in [0, 3] {
            if importer.shape(node.input(index)?).len() != 2 {
                bail!(InvalidShape, "{} must be a matrix", importer.tensor(node.input(index)?));
            }
        }
        let columns = if attributes.flag("transB", false) { 0 } else { 1 };
        let mut a = importer.quantized(node.input(0)?, &a_scales, 0)?;
        let mut b = importer.quantized(node.input(3)?, &b_scales, columns)?;
        for (matrix, name) in [(&mut a, "transA"), (&mut b, "transB")] {
            if attributes.flag(name, false) {
                let id = importer.stored_plain(matrix)?;
                let id = importer.transpose(id, vec![1, 0])?;
                *matrix = Value::plain(importer.graph(), id);
            }
        }
        let outputs = importer.shape(&b)[1];
        let bias = match node.optional(6) {
            None => None,
            Some(c) => {
                let tensor = importer.tensor(c);
                if !tensor.is_constant() || tensor.elements() != outputs {
                    bail!(UnsupportedFeature, "{tensor}, the bias, must be a constant per column");
                }
                Some(importer.reshape(c.id, vec![outputs])?)
            }
        };
        Ok(Self { a, b, a_scales, b_scales, bias })
    }
}

/// QGemm: to quantized values, or to float32 where no scale is stated for them.
///
/// # Errors
/// As [`Importer::apply`].
pub fn gemm(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let operands = Gemm::of(importer, node)?;
    if node.optional(7).is_none() {
        return super::integer::gemm_to_float(importer, &operands);
    }
    let Gemm { a, b, bias, .. } = operands;
    let kind = importer.scales_of(node, 7)?.output(importer.tensor(&a))?;
    Ok(vec![product(importer, &a, &b, bias, &kind, fused_range(node)?)?])
}

fn binary(importer: &mut Importer, node: &NodeOf<'_>, operation: Arithmetic) -> Result<Vec<Value>> {
    let (a_scales, b_scales, y_scales) =
        (importer.scales_of(node, 1)?, importer.scales_of(node, 4)?, importer.scales_of(node, 6)?);
    let a = importer.quantized(node.input(0)?, &a_scales, 0)?;
    let b = importer.quantized(node.input(3)?, &b_scales, 0)?;
    let kind = y_scales.output(importer.tensor(&a))?;
    let (tensors, like) = importer.aligned(&[&a, &b])?;
    let activation = fused_range(node)?;
    let op = Op::Binary(Binary { operation, activation, power_of_two: false });
    let inputs = tensors.into_iter().map(Some).collect();
    Ok(vec![like.like(importer.apply_kind(op, inputs, &kind)?)])
}

/// QLinearAdd.
///
/// # Errors
/// As [`Importer::apply`].
pub fn add(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    binary(importer, node, Arithmetic::Add)
}

/// QLinearMul.
///
/// # Errors
/// As [`Importer::apply`].
pub fn mul(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    binary(importer, node, Arithmetic::Mul)
}

/// The quantized input and the kind of the output of an operator with one of each.
fn one(importer: &mut Importer, node: &NodeOf<'_>) -> Result<(Value, Kind)> {
    if node.attributes.flag("channels_last", false) {
        bail!(UnsupportedFeature, "channels_last = 1 is not supported; 0 is");
    }
    let (x_scales, y_scales) = (importer.scales_of(node, 1)?, importer.scales_of(node, 3)?);
    let x = importer.quantized(node.input(0)?, &x_scales, 0)?;
    let kind = y_scales.output(importer.tensor(&x))?;
    Ok((x, kind))
}

/// QLinearGlobalAveragePool.
///
/// # Errors
/// As [`Importer::apply`].
pub fn global_average_pool(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (x, kind) = one(importer, node)?;
    let x = importer.unflattened(&x)?;
    Ok(vec![pooling::global(importer, &x, Reduction::Mean, &kind)?])
}

/// QLinearAveragePool.
///
/// # Errors
/// As [`Importer::apply`].
pub fn average_pool(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (x, kind) = one(importer, node)?;
    pooling::averaged(importer, node, &x, &kind)
}

/// QLinearSoftmax.
///
/// # Errors
/// As [`Importer::apply`].
pub fn softmax(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (x, kind) = one(importer, node)?;
    let opset = node.attributes.int("opset", node.opset);
    let node = NodeOf { opset, inputs: vec![], outputs: vec![], attributes: node.attributes };
    softmax::along(importer, &node, &x, Op::Softmax(Softmax { beta: 1.0 }), &kind)
}

/// QLinearConcat: scale and zero point of the output come first, then those of each input behind it.
/// Inputs of another scale are brought to the output's by a table.
///
/// # Errors
/// As [`Importer::apply`].
pub fn concat(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let y_scales = importer.scales_of(node, 0)?;
    let mut inputs = Vec::new();
    for index in (2..node.inputs.len()).step_by(3) {
        let scales = importer.scales_of(node, index + 1)?;
        let x = importer.quantized(node.input(index)?, &scales, 0)?;
        let kind = y_scales.output(importer.tensor(&x))?;
        inputs.push(Some(rescaled(importer, &x, &kind)?));
    }
    let outputs = vec![true];
    let node = NodeOf { inputs, outputs, attributes: node.attributes, opset: node.opset };
    slice::concat(importer, &node)
}

/// A quantized value in another scale.
fn rescaled(importer: &mut Importer, x: &Value, kind: &Kind) -> Result<Value> {
    if Kind::of(importer.tensor(x)) == *kind {
        return Ok(x.clone());
    }
    tabulated(importer, x, kind, |_, reals| Ok(reals))
}

/// A function of each element, as a table: it is evaluated over the real numbers that the 256 stored
/// values stand for, by the operators that float models become.
fn tabulated(
    importer: &mut Importer,
    x: &Value,
    kind: &Kind,
    function: impl FnOnce(&mut Importer, Value) -> Result<Value>,
) -> Result<Value> {
    let (scale, zero_point) = importer.tensor(x).scale_and_zero_point()?;
    let reals: Vec<f32> =
        (0..=u8::MAX).map(|byte| scale * (i32::from(byte as i8) - zero_point) as f32).collect();
    let reals = importer.constant(vec![256], &reals);
    let reals = Value::plain(importer.graph(), reals);
    let y = function(importer, reals)?;
    let y = importer.floats(&y)?;
    let (scale, zero_point) = kind.clone().tensor(vec![]).scale_and_zero_point()?;
    let quantized = |real: f32| {
        // What is not a number becomes the zero point.
        let rounded = (real / scale).round_ties_even() as i32;
        rounded.saturating_add(zero_point).clamp(-128, 127) as i8
    };
    let op = Op::from(Lut { table: y.into_iter().map(quantized).collect() });
    Ok(x.like(importer.apply_kind(op, vec![Some(x.id)], kind)?))
}

/// A function of one element between quantized values: the ONNX operator of this name, whose inputs
/// behind the first follow the scales.
fn function(importer: &mut Importer, node: &NodeOf<'_>, name: &str) -> Result<Vec<Value>> {
    let (x, kind) = one(importer, node)?;
    let import = registry::import("", name)
        .ok_or_else(|| error!(UnsupportedOperator, "a function {name} is not supported"))?;
    let y = tabulated(importer, &x, &kind, |importer, reals| {
        let others = node.inputs.iter().skip(5).cloned();
        let inputs = std::iter::once(Some(reals.clone())).chain(others).collect();
        if name == "HardSwish" {
            // ONNX Runtime computes it from these two, which rounds otherwise.
            let gate = activation::hard_sigmoid_of(importer, reals.id, 1.0 / 6.0, 0.5)?;
            return Ok(reals.like(importer.binary(Arithmetic::Mul, reals.id, gate)?));
        }
        let (attributes, opset) = (node.attributes, node.opset);
        let inner = NodeOf { inputs, outputs: vec![true], attributes, opset };
        let mut outputs = import(importer, &inner)?;
        outputs.pop().ok_or_else(|| error!(InvalidGraph, "has no output"))
    })?;
    Ok(vec![y])
}

/// QLinearSigmoid.
///
/// # Errors
/// As [`Importer::apply`].
pub fn sigmoid(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    function(importer, node, "Sigmoid")
}

/// QLinearLeakyRelu.
///
/// # Errors
/// As [`Importer::apply`].
pub fn leaky_relu(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    function(importer, node, "LeakyRelu")
}

/// The same value, quantized as its scales say.
///
/// # Errors
/// As [`Importer::apply`].
pub fn label(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let scales = importer.scales_of(node, 1)?;
    Ok(vec![importer.quantized(node.input(0)?, &scales, 0)?])
}

/// Any other function of one element, between DequantizeLinear and QuantizeLinear.
///
/// # Errors
/// As [`Importer::apply`].
pub fn fused_function(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let name = node.attributes.text("fused_operator", "Identity")?.to_owned();
    function(importer, node, &name)
}
