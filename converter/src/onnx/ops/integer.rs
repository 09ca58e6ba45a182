//! Operators whose sums stay integers, or are scaled to float32: MatMulInteger, ConvInteger, and
//! DynamicQuantizeMatMul and MatMulIntegerToFloat of ONNX Runtime.

use systole_core::DType;

use super::{
    super::{
        importer::{Importer, NodeOf},
        kind::Kind,
        value::Value,
    },
    convolution::{Image, filters_and_window},
    matrix,
    qlinear::Gemm,
    quantized::{Scales, dynamically},
};
use crate::{
    error::{Result, bail},
    graph::{Tensor, TensorId},
    ops::{
        Op,
        binary::Arithmetic::{Add, Mul},
        conv_integer::ConvInteger,
        matmul_integer::MatMulInteger,
    },
};

/// The value's numbers as int8: scale 1, and a zero point that is an input of its own.
fn as_numbers(importer: &mut Importer, x: &Value) -> Result<Value> {
    if importer.tensor(x).unsigned {
        return Ok(x.clone());
    }
    importer.quantized(x, &Scales::numbers(), 0)
}

/// The zero point of `x` as a tensor of one int8, or of `columns`: 0 where it is not given.
fn zero_tensor(
    importer: &mut Importer,
    zero: Option<&Value>,
    x: &Value,
    columns: usize,
) -> Result<TensorId> {
    let Some(zero) = zero else {
        let unsigned = importer.tensor(x).unsigned;
        return constant_zero(importer, if unsigned { i8::MIN } else { 0 }, unsigned);
    };
    let id = importer.stored_plain(zero)?;
    let zero = as_numbers(importer, &Value::plain(importer.graph(), id))?;
    let tensor = importer.tensor(&zero);
    if [1, columns].contains(&tensor.elements()) {
        return Ok(zero.id);
    }
    let (unsigned, values) = (tensor.unsigned, tensor.values::<i8>()?);
    match values[..] {
        [first, ref others @ ..] if others.iter().all(|&other| other == first) => {
            constant_zero(importer, first, unsigned)
        }
        _ => bail!(UnsupportedFeature, "{tensor}: zero points that differ"),
    }
}

fn constant_zero(importer: &mut Importer, stored: i8, unsigned: bool) -> Result<TensorId> {
    let constant = Tensor { unsigned, ..Tensor::constant("", vec![], &[stored]) };
    Ok(importer.constant_value(constant)?.id)
}

/// The zero point that a quantized tensor has, as a tensor.
fn own_zero(importer: &mut Importer, x: &Value) -> Result<TensorId> {
    let tensor = importer.tensor(x);
    let zero_points = tensor.quantization.as_ref().map_or(&[][..], |q| &q.zero_points);
    let stored: Vec<i8> = zero_points.iter().map(|&zero_point| zero_point as i8).collect();
    let unsigned = tensor.unsigned;
    let constant = Tensor { unsigned, ..Tensor::constant("", vec![stored.len()], &stored) };
    Ok(importer.constant_value(constant)?.id)
}

/// The sums of a product of int8 values, in int32, with their zero points.
fn sums(importer: &mut Importer, a: &Value, b: &Value, zeros: [TensorId; 2]) -> Result<Value> {
    // Constant matrices are stored by columns, so that sums run over neighbours.
    let transposed = importer.tensor(b).is_constant() && importer.shape(b).len() == 2;
    matrix::product(importer, a, b, |importer, a, b| {
        let b = if transposed { importer.transpose(b, vec![1, 0])? } else { b };
        let op = Op::MatMulInteger(MatMulInteger { adj_y: transposed });
        let inputs = [a, b].into_iter().chain(zeros).map(Some).collect();
        importer.apply_kind(op, inputs, &Kind::from(DType::I32))
    })
}

/// The columns of a matrix; a vector is one.
fn columns_of(importer: &Importer, matrix: &Value) -> usize {
    match importer.shape(matrix)[..] {
        [.., _, columns] => columns,
        _ => 1,
    }
}

/// MatMulInteger.
///
/// # Errors
/// As [`Importer::apply`].
pub fn matmul(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let a = as_numbers(importer, node.input(0)?)?;
    let b = as_numbers(importer, node.input(1)?)?;
    let columns = columns_of(importer, &b);
    let a_zero = zero_tensor(importer, node.optional(2), &a, 1)?;
    let b_zero = zero_tensor(importer, node.optional(3), &b, columns)?;
    Ok(vec![sums(importer, &a, &b, [a_zero, b_zero])?])
}

/// ConvInteger.
///
/// # Errors
/// As [`Importer::apply`].
pub fn conv(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let x = as_numbers(importer, &x)?;
    let zero = zero_tensor(importer, node.optional(2), &x, 1)?;
    let image = Image::of(importer, &x)?;
    let w = as_numbers(importer, node.input(1)?)?;
    let w_zero = zero_tensor(importer, node.optional(3), &w, 1)?;
    let w_zero = importer.graph()[w_zero].integers()?;
    let w = importer.with_zero_point(&w, w_zero.first().map_or(0, |&zero| zero as i32))?;
    let (filters, _, window) = filters_and_window(importer, node.attributes, &image, &w)?;
    let filters = importer.transpose(filters, vec![0, 2, 3, 1])?;
    let op = Op::ConvInteger(ConvInteger { window });
    let inputs = vec![Some(image.id), Some(filters), Some(zero)];
    let y = importer.apply_kind(op, inputs, &Kind::from(DType::I32))?;
    Ok(vec![image.value(importer, y)?])
}

/// Sums times a scale, plus what is added: float32.
fn to_float(
    importer: &mut Importer,
    sums: &Value,
    scale: &Value,
    bias: Option<&Value>,
) -> Result<Vec<Value>> {
    let real = sums.like(importer.cast(sums.id, DType::F32)?);
    let y = importer.binary_values(Mul, &real, scale)?;
    Ok(vec![match bias {
        Some(bias) => importer.binary_values(Add, &y, bias)?,
        None => y,
    }])
}

/// One scale times others, as a constant that broadcasts along columns.
fn products(importer: &mut Importer, a: &Scales, b: &Scales) -> Value {
    let first = a.scales.first().copied().unwrap_or(1.0);
    let scales: Vec<f32> = b.scales.iter().map(|scale| first * scale).collect();
    let shape = if scales.len() == 1 { vec![] } else { vec![scales.len()] };
    let id = importer.constant(shape, &scales);
    Value::plain(importer.graph(), id)
}

/// QGemm whose output is float32.
///
/// # Errors
/// As [`Importer::apply`].
pub(super) fn gemm_to_float(importer: &mut Importer, gemm: &Gemm) -> Result<Vec<Value>> {
    let Gemm { a, b, a_scales, b_scales, bias } = gemm;
    let (mut y, scale) = real_product(importer, [a, b], [a_scales, b_scales])?;
    if let Some(bias) = bias {
        let bias = Value::plain(importer.graph(), *bias);
        y = importer.binary_values(Add, &y, &bias)?;
    }
    to_float(importer, &y, &scale, None)
}

/// The sums of quantized matrices, and the scale that is theirs.
fn real_product(
    importer: &mut Importer,
    [a, b]: [&Value; 2],
    [a_scales, b_scales]: [&Scales; 2],
) -> Result<(Value, Value)> {
    let zeros = [own_zero(importer, a)?, own_zero(importer, b)?];
    let y = sums(importer, a, b, zeros)?;
    let scale = products(importer, a_scales, b_scales);
    Ok((y, scale))
}

/// MatMulIntegerToFloat: `A`, `B`, their scales, their zero points, bias.
///
/// # Errors
/// As [`Importer::apply`].
pub fn matmul_to_float(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let a_scales = importer.scales(node.input(2)?, node.optional(4))?;
    let b_scales = importer.scales(node.input(3)?, node.optional(5))?;
    let a = importer.quantized(node.input(0)?, &a_scales, 0)?;
    let columns = importer.shape(node.input(1)?).len().saturating_sub(1);
    let b = importer.quantized(node.input(1)?, &b_scales, columns)?;
    let (y, scale) = real_product(importer, [&a, &b], [&a_scales, &b_scales])?;
    to_float(importer, &y, &scale, node.optional(6))
}

/// DynamicQuantizeMatMul: `A` in float32, `B`, its scale, its zero point, bias.
///
/// # Errors
/// As [`Importer::apply`].
pub fn dynamic_matmul(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let [a, scale, zero] = dynamically(importer, &x)?;
    let b_scales = importer.scales(node.input(2)?, None)?;
    let b = as_numbers(importer, node.input(1)?)?;
    let columns = columns_of(importer, &b);
    let b_zero = zero_tensor(importer, node.optional(3), &b, columns)?;
    let y = sums(importer, &x.like(a), &b, [zero, b_zero])?;
    let b_scale = products(importer, &Scales::numbers(), &b_scales);
    let scale = Value::plain(importer.graph(), scale);
    let scale = importer.binary_values(Mul, &scale, &b_scale)?;
    to_float(importer, &y, &scale, node.optional(4))
}
