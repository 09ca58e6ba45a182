//! QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, and how values become quantized ones.
//!
//! uint8 becomes int8 with everything moved by 128, as in TFLite models.

use std::sync::Arc;

use systole_core::DType;
use tract_onnx::pb::tensor_proto::DataType;

use super::super::{
    importer::{Importer, NodeOf, axis},
    kind::Kind,
    value::Value,
};
use crate::{
    error::{Result, bail},
    graph::{Quantization, Tensor, TensorId, check_shape},
    ops::{
        Op,
        binary::Arithmetic::{Add, Div, Maximum, Minimum, Mul, Sub},
        cast::Cast,
        dequantize::Dequantize,
        dynamic_quantize::DynamicQuantize,
        quantize::Quantize,
        unary::Unary,
    },
};

/// What a scale may be: beyond, products of scales leave f32.
const SCALES: std::ops::RangeInclusive<f32> = 1e-30..=1e20;

/// The bit that uint8 and int8 differ by.
const SIGN_BIT: u8 = 0x80;

/// Scales and zero points as a model states them.
#[derive(Debug, Clone)]
pub(super) struct Scales {
    pub(super) scales: Vec<f32>,
    /// As many, in the model's own type: of uint8 in `[0, 255]`.
    pub(super) zero_points: Vec<i32>,
    /// Their type, which is that of the quantized tensor; `None` where none are stated.
    pub(super) dtype: Option<DType>,
    /// The shape of the scales: none or `[1]` where there is one.
    shape: Vec<usize>,
}

impl Scales {
    /// One scale of 1 with zero point 0: the numbers themselves.
    pub(super) fn numbers() -> Self {
        Self { scales: vec![1.0], zero_points: vec![0], dtype: None, shape: vec![] }
    }

    /// The kind of a tensor of type `dtype` (uint8 among them) with these scales along `axis`.
    fn kind(&self, dtype: DType, axis: usize) -> Kind {
        let unsigned = dtype == DType::U8;
        let shift = if unsigned { 128 } else { 0 };
        let quantization = Quantization {
            scales: self.scales.clone(),
            zero_points: self.zero_points.iter().map(|zero_point| zero_point - shift).collect(),
            axis: if self.scales.len() == 1 { 0 } else { axis },
        };
        let dtype = if unsigned { DType::I8 } else { dtype };
        Kind { dtype, quantization: Some(quantization), unsigned }
    }

    /// The kind of an output whose type its zero point tells; without one it is uint8, or `like`.
    pub(super) fn output(&self, like: &Tensor) -> Result<Kind> {
        let own = if like.unsigned { DType::U8 } else { like.dtype };
        let dtype = self.dtype.unwrap_or(own);
        if !matches!(dtype, DType::I8 | DType::U8) || self.scales.len() != 1 {
            bail!(UnsupportedFeature, "an output that is not int8 or uint8 with one scale");
        }
        Ok(self.kind(dtype, 0))
    }
}

impl Importer {
    /// Scales and zero points, which have to be constants.
    ///
    /// # Errors
    /// `UnsupportedFeature` where they are not, `InvalidQuantization` for scales that are none.
    pub(super) fn scales(&self, scale: &Value, zero_point: Option<&Value>) -> Result<Scales> {
        let tensor = self.tensor(scale);
        let scales: Vec<f32> = tensor.values()?;
        if scales.is_empty() {
            bail!(InvalidQuantization, "{tensor}, the scale, has no elements");
        }
        if let Some(wrong) = scales.iter().find(|scale| !SCALES.contains(scale)) {
            bail!(
                InvalidQuantization,
                "{tensor} holds a scale of {wrong}; scales lie within {SCALES:?}"
            );
        }
        let shape = self.shape(scale);
        let Some(zero_point) = zero_point else {
            let zero_points = vec![0; scales.len()];
            return Ok(Scales { scales, zero_points, dtype: None, shape });
        };
        let tensor = self.tensor(zero_point);
        let zero_points = match (tensor.dtype, &tensor.data) {
            (_, None) => bail!(UnsupportedFeature, "{tensor} must be a constant"),
            (DType::U8, Some(data)) => data.iter().map(|&byte| byte.into()).collect(),
            (DType::I8 | DType::I16, _) => tensor.integers()?.iter().map(|&z| z as i32).collect(),
            (DType::I32, _) if tensor.integers()?.iter().all(|&zero_point| zero_point == 0) => {
                vec![0; tensor.elements()]
            }
            _ => bail!(UnsupportedFeature, "{tensor}, a zero point, is of no type supported here"),
        };
        if zero_points.len() != scales.len() {
            bail!(
                InvalidQuantization,
                "{} zero points for {} scales",
                zero_points.len(),
                scales.len()
            );
        }
        Ok(Scales { scales, zero_points, dtype: Some(tensor.dtype), shape })
    }

    /// The scales of inputs `index` and `index + 1` of a node.
    ///
    /// # Errors
    /// As [`Importer::scales`].
    pub(super) fn scales_of(&self, node: &NodeOf<'_>, index: usize) -> Result<Scales> {
        self.scales(node.input(index)?, node.optional(index + 1))
    }

    /// A value with these scales: int8 from int8 and uint8, other types as they are. Several scales
    /// are along `axis` of the value.
    ///
    /// # Errors
    /// `InvalidQuantization` where the number of scales is not that of the axis.
    pub(super) fn quantized(&mut self, x: &Value, scales: &Scales, axis: usize) -> Result<Value> {
        let shape = self.shape(x);
        if scales.scales.len() != 1 && shape.get(axis) != Some(&scales.scales.len()) {
            bail!(
                InvalidQuantization,
                "{} scales along axis {axis} of {shape:?}",
                scales.scales.len()
            );
        }
        let tensor = self.tensor(x);
        let own = if tensor.unsigned { DType::U8 } else { tensor.dtype };
        if scales.dtype.is_some_and(|dtype| dtype != own) {
            bail!(InvalidGraph, "{tensor} has a zero point of another type");
        }
        let kind = scales.kind(own, x.stored_axis(axis));
        if own == DType::U8 && !tensor.unsigned {
            return Ok(x.like(self.moved_to_signed(x.id, &kind)?));
        }
        if Kind::of(tensor) == kind {
            return Ok(x.clone());
        }
        Ok(x.like(self.relabelled(x.id, &kind)?))
    }

    /// A tensor of numbers with another zero point, as it is stored.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub(super) fn with_zero_point(&mut self, x: &Value, zero_point: i32) -> Result<Value> {
        let mut kind = Kind::of(self.tensor(x));
        let zero_points = vec![zero_point];
        kind.quantization = Some(Quantization { scales: vec![1.0], zero_points, axis: 0 });
        Ok(x.like(self.relabelled(x.id, &kind)?))
    }

    /// uint8 as int8 of this kind.
    fn moved_to_signed(&mut self, id: TensorId, kind: &Kind) -> Result<TensorId> {
        if self.input_to_signed(id) {
            return self.relabelled(id, kind);
        }
        let tensor = &self.graph()[id];
        if let Some(data) = &tensor.data {
            let flipped: Arc<[u8]> = data.iter().map(|byte| byte ^ SIGN_BIT).collect();
            let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
            let constant = Tensor { name, data: Some(flipped), ..kind.clone().tensor(shape) };
            return Ok(self.constant_value(constant)?.id);
        }
        // Wide enough to be moved by 128.
        let wide = self.apply(Op::Cast(Cast), &[id], DType::I32)?;
        let quantization = Scales::numbers().kind(DType::I32, 0).quantization;
        let numbers = Kind { quantization, ..Kind::from(DType::I32) };
        let wide = self.relabelled(wide, &numbers)?;
        let moved = Scales::numbers().kind(DType::U8, 0);
        let narrow = self.apply_kind(Op::Quantize(Quantize), vec![Some(wide)], &moved)?;
        self.relabelled(narrow, kind)
    }

    /// The numbers of a tensor that was uint8, in float32.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub(super) fn numbers(&mut self, id: TensorId) -> Result<TensorId> {
        let x = self.relabelled(id, &Scales::numbers().kind(DType::U8, 0))?;
        self.apply(Op::Dequantize(Dequantize), &[x], DType::F32)
    }
}

/// Numbers, one per scale, as a value that broadcasts along the scales' axis, or, of blocks, for each
/// element.
fn spread(
    importer: &mut Importer,
    node: &NodeOf<'_>,
    scales: &Scales,
    numbers: &[f32],
    shape: &[usize],
) -> Result<Value> {
    let mut extents = vec![1; shape.len()];
    let mut values = numbers.to_vec();
    if numbers.len() > 1 {
        let axis = axis(node.attributes.int("axis", 1), shape.len())?;
        let block = super::super::size(node.attributes.int("block_size", 0), "block_size")?;
        if block == 0 {
            if scales.shape != [shape[axis]] {
                bail!(
                    InvalidQuantization,
                    "scales of shape {:?} along axis {axis} of {shape:?}",
                    scales.shape
                );
            }
            extents[axis] = shape[axis];
        } else {
            check_shape(shape, DType::F32)?;
            let mut expected = shape.to_vec();
            expected[axis] = shape[axis].div_ceil(block);
            if scales.shape != expected {
                bail!(
                    InvalidQuantization,
                    "scales of shape {:?} for blocks of {block} along axis {axis} of {shape:?}",
                    scales.shape
                );
            }
            let inner: usize = shape[axis + 1..].iter().product();
            let count: usize = shape.iter().product();
            importer.spend(count)?;
            extents = shape.to_vec();
            values = (0..count)
                .map(|at| {
                    let (place, outer) = (at / inner % shape[axis], at / inner / shape[axis]);
                    numbers[(outer * expected[axis] + place / block) * inner + at % inner]
                })
                .collect();
        }
    }
    let id = importer.constant(extents, &values);
    Ok(Value::plain(importer.graph(), id))
}

/// Whether scales belong to channels or blocks.
fn several(node: &NodeOf<'_>, scales: &Scales) -> bool {
    scales.scales.len() > 1 || node.attributes.int("block_size", 0) != 0
}

/// DequantizeLinear.
///
/// # Errors
/// As [`Importer::apply`].
pub fn dequantize(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let scales = importer.scales_of(node, 1)?;
    if !several(node, &scales) {
        let x = importer.quantized(&x, &scales, 0)?;
        let id = importer.apply(Op::Dequantize(Dequantize), &[x.id], DType::F32)?;
        return Ok(vec![x.like(id)]);
    }
    let numbers = Scales { dtype: scales.dtype, ..Scales::numbers() };
    let x = importer.quantized(&x, &numbers, 0)?;
    let real = importer.apply(Op::Dequantize(Dequantize), &[x.id], DType::F32)?;
    let mut real = x.like(real);
    let shape = importer.shape(&real);
    let zeros: Vec<f32> = scales.zero_points.iter().map(|&zero| zero as f32).collect();
    if zeros.iter().any(|&zero| zero != 0.0) {
        let zeros = spread(importer, node, &scales, &zeros, &shape)?;
        real = importer.binary_values(Sub, &real, &zeros)?;
    }
    let factors = spread(importer, node, &scales, &scales.scales, &shape)?;
    Ok(vec![importer.binary_values(Mul, &real, &factors)?])
}

/// The type that QuantizeLinear gives: its zero point's, or the one that it states, or uint8.
fn quantized_type(node: &NodeOf<'_>, scales: &Scales) -> Result<DType> {
    let stated = match node.attributes.int("output_dtype", 0) {
        0 => None,
        code => Some(match DataType::try_from(i32::try_from(code).unwrap_or(0)) {
            Ok(DataType::Int8) => DType::I8,
            Ok(DataType::Uint8) => DType::U8,
            Ok(DataType::Int16) => DType::I16,
            _ => bail!(UnsupportedFeature, "output_dtype {code}; int8, uint8 and int16 are"),
        }),
    };
    match scales.dtype.or(stated).unwrap_or(DType::U8) {
        dtype @ (DType::I8 | DType::U8 | DType::I16) => Ok(dtype),
        other => bail!(UnsupportedFeature, "quantization to {other}; int8, uint8 and int16 are"),
    }
}

/// QuantizeLinear.
///
/// # Errors
/// As [`Importer::apply`].
pub fn quantize(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let x = x.like(importer.cast(x.id, DType::F32)?);
    let scales = importer.scales_of(node, 1)?;
    let dtype = quantized_type(node, &scales)?;
    if !several(node, &scales) {
        let kind = scales.kind(dtype, 0);
        let id = importer.apply_kind(Op::Quantize(Quantize), vec![Some(x.id)], &kind)?;
        return Ok(vec![x.like(id)]);
    }
    // Per channel or block: rounded numbers, of which each is its own quantized value.
    let shape = importer.shape(&x);
    let divisors = spread(importer, node, &scales, &scales.scales, &shape)?;
    let scaled = importer.binary_values(Div, &x, &divisors)?;
    let mut y = scaled.like(importer.unary(Unary::Round, scaled.id)?);
    let zeros: Vec<f32> = scales.zero_points.iter().map(|&zero| zero as f32).collect();
    if zeros.iter().any(|&zero| zero != 0.0) {
        let zeros = spread(importer, node, &scales, &zeros, &shape)?;
        y = importer.binary_values(Add, &y, &zeros)?;
    }
    let (min, max) = match dtype {
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        _ => (-32768.0, 32767.0),
    };
    let id = importer.with_number(Maximum, y.id, min)?;
    let id = importer.with_number(Minimum, id, max)?;
    let kind = Scales::numbers().kind(dtype, 0);
    Ok(vec![y.like(importer.apply_kind(Op::Quantize(Quantize), vec![Some(id)], &kind)?)])
}

/// DynamicQuantizeLinear.
///
/// # Errors
/// As [`Importer::apply`].
pub fn dynamic(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let [y, scale, zero] = dynamically(importer, x)?;
    let [scale, zero] = [scale, zero].map(|id| Value::plain(importer.graph(), id));
    Ok(vec![x.like(y), scale, zero])
}

/// Values, scale and zero point of a tensor that is quantized by its range.
///
/// # Errors
/// As [`Importer::apply`].
pub(super) fn dynamically(importer: &mut Importer, x: &Value) -> Result<[TensorId; 3]> {
    let numbers = Scales::numbers().kind(DType::U8, 0);
    let kinds = vec![numbers.clone(), Kind::from(DType::F32), numbers];
    let op = Op::DynamicQuantize(DynamicQuantize);
    match importer.apply_kinds(op, vec![Some(x.id)], kinds)?[..] {
        [y, scale, zero] => Ok([y, scale, zero]),
        _ => bail!(InvalidGraph, "has not 3 outputs"),
    }
}
