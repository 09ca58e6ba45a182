//! Tensors of a TFLite model: types, shapes, quantization and data, each checked.

use std::{collections::HashMap, sync::Arc};

use systole_core::DType;
use tract_tflite::tflite::{self, TensorType};

use crate::{
    error::{Result, bail, error},
    graph::{Quantization, Tensor, check_shape},
    options::Options,
};

/// Scales beyond these bounds mean a damaged file: products of them leave f32.
const SCALES: std::ops::RangeInclusive<f32> = 1e-30..=1e20;

/// The bit that uint8 and int8 differ by.
const SIGN_BIT: u8 = 0x80;

/// The buffers of a model. Tensors may share one, which is copied only once.
pub(super) struct Buffers<'m> {
    model: &'m tflite::Model<'m>,
    /// By index, and whether the sign bits are flipped.
    copies: HashMap<(usize, bool), Arc<[u8]>>,
}

impl<'m> Buffers<'m> {
    pub(super) fn new(model: &'m tflite::Model<'m>) -> Self {
        Self { model, copies: HashMap::new() }
    }

    /// The bytes of buffer `index`, which has `data`; flipped for uint8 that becomes int8.
    fn copy(&mut self, index: usize, data: &[u8], flip: bool) -> Arc<[u8]> {
        let mask = if flip { SIGN_BIT } else { 0 };
        let copy = || data.iter().map(|byte| byte ^ mask).collect();
        self.copies.entry((index, flip)).or_insert_with(copy).clone()
    }
}

/// What operators use a tensor for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// As an operand.
    Operand,
    /// As state that none but compiled operators touch.
    KeptInside,
    /// To state a scale of what an operator computes within: it holds nothing, and may have no elements.
    Intermediate,
}

/// Reads one tensor.
pub(super) fn import(
    buffers: &mut Buffers<'_>,
    source: &tflite::Tensor<'_>,
    options: &Options,
    used: Use,
) -> Result<Tensor> {
    let dtype = dtype(source.type_())?;
    let shape = shape(source)?;
    // RESHAPE to a scalar states its shape by a list of no numbers.
    let no_numbers = shape == [0] && matches!(dtype, DType::I32 | DType::I64);
    if !no_numbers && used != Use::Intermediate {
        check_shape(&shape, dtype)?;
    }
    if source.sparsity().is_some() {
        bail!(UnsupportedFeature, "sparse tensors are not supported; convert without sparsity");
    }
    let mut tensor = Tensor::new(source.name().unwrap_or_default(), dtype, shape);
    let data = data(buffers.model, source, &tensor)?;
    tensor.quantization = quantization(source, &tensor, data.is_some())?;
    if tensor.dtype == DType::U8 && tensor.quantization.is_some() {
        to_signed(&mut tensor);
    }
    tensor.data = data.map(|(index, data)| buffers.copy(index, data, tensor.unsigned));
    if no_numbers {
        tensor.data = Some(Arc::from([]));
    }
    if tensor.data.is_none() && tensor.bytes() > options.max_arena {
        bail!(
            TooLarge,
            "shape {:?} takes {} bytes of arena; the limit is {} (--max-arena)",
            tensor.shape,
            tensor.bytes(),
            options.max_arena
        );
    }
    tensor.persists = source.is_variable() && used == Use::Operand;
    Ok(tensor)
}

fn dtype(code: TensorType) -> Result<DType> {
    Ok(match code {
        TensorType::FLOAT32 => DType::F32,
        TensorType::FLOAT16 => DType::F16,
        TensorType::INT8 => DType::I8,
        TensorType::UINT8 => DType::U8,
        TensorType::INT16 => DType::I16,
        TensorType::INT32 => DType::I32,
        TensorType::INT64 => DType::I64,
        TensorType::BOOL => DType::Bool,
        TensorType::UINT32 => DType::U32,
        other => bail!(
            UnsupportedFeature,
            "element type {}; supported are float32, float16, int8, uint8, int16, int32, uint32, \
             int64 and bool",
            other.variant_name().map_or_else(|| format!("code {}", other.0), str::to_owned)
        ),
    })
}

/// The shape, where a dimension stated as unknown may only be the batch, which becomes 1.
fn shape(source: &tflite::Tensor<'_>) -> Result<Vec<usize>> {
    let signature = source.shape_signature().unwrap_or_default();
    for (axis, dim) in signature.iter().enumerate() {
        if dim < 0 && axis > 0 {
            bail!(
                UnsupportedFeature,
                "dimension {axis} is dynamic (signature {:?}); convert the model with fixed shapes",
                signature.iter().collect::<Vec<_>>()
            );
        }
    }
    let shape = source.shape().unwrap_or_default();
    shape
        .iter()
        .map(|dim| {
            usize::try_from(dim)
                .map_err(|_| error!(InvalidShape, "a dimension of {dim} in its shape"))
        })
        .collect()
}

/// The index and the bytes of a constant's buffer; `None` for activations.
fn data<'m>(
    model: &tflite::Model<'m>,
    source: &tflite::Tensor<'_>,
    tensor: &Tensor,
) -> Result<Option<(usize, &'m [u8])>> {
    let buffers = model.buffers().unwrap_or_default();
    let index = source.buffer() as usize;
    if index == 0 {
        return Ok(None);
    }
    if index >= buffers.len() {
        bail!(InvalidGraph, "its data is in buffer {index}; the model has {}", buffers.len());
    }
    let Some(data) = buffers.get(index).data().filter(|data| !data.is_empty()) else {
        // Activations may name an empty buffer of their own.
        return Ok(None);
    };
    if data.len() == tensor.bytes() {
        return Ok(Some((index, data.bytes())));
    }
    let scales = source.quantization().and_then(|stated| stated.scale()).map_or(0, |s| s.len());
    if tensor.shape.len() == 1 && scales > 1 && data.len() == scales * tensor.dtype.size() {
        bail!(
            InvalidShape,
            "its shape is {:?}, but it has {scales} scales and as many elements of data",
            tensor.shape
        );
    }
    bail!(
        InvalidGraph,
        "its buffer {index} has {} bytes; its shape needs {}",
        data.len(),
        tensor.bytes()
    )
}

fn quantization(
    source: &tflite::Tensor<'_>,
    tensor: &Tensor,
    constant: bool,
) -> Result<Option<Quantization>> {
    let Some(stated) = source.quantization() else { return Ok(None) };
    let scales: Vec<f32> = stated.scale().unwrap_or_default().iter().collect();
    let zero_points: Vec<i64> = stated.zero_point().unwrap_or_default().iter().collect();
    if scales.is_empty() {
        return Ok(None);
    }
    // Bias scales are never used: they follow from the input's and the weights'.
    let unused = matches!(tensor.dtype, DType::I32 | DType::I64) && constant;
    for &scale in &scales {
        if !unused && !SCALES.contains(&scale) {
            bail!(InvalidQuantization, "a scale of {scale}; scales lie within {SCALES:?}");
        }
    }
    let (min, max) = match tensor.dtype {
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DType::U8 => (u8::MIN.into(), u8::MAX.into()),
        DType::I16 => (i16::MIN.into(), i16::MAX.into()),
        _ => (i32::MIN.into(), i64::from(i32::MAX)),
    };
    for &zero_point in &zero_points {
        if !(min..=max).contains(&zero_point) {
            bail!(
                InvalidQuantization,
                "zero point {zero_point} is outside of {}, {min} to {max}",
                tensor.dtype
            );
        }
    }
    let axis = if scales.len() == 1 { 0 } else { axis(&stated, tensor, scales.len())? };
    let mut zero_points: Vec<i32> = zero_points.into_iter().map(|zero| zero as i32).collect();
    match (zero_points.len(), scales.len()) {
        (0, n) => zero_points = vec![0; n],
        (1, n) => zero_points = vec![zero_points[0]; n],
        (zeros, n) if zeros == n => {}
        (zeros, n) => bail!(InvalidQuantization, "{zeros} zero points for {n} scales"),
    }
    Ok(Some(Quantization { scales, zero_points, axis }))
}

/// The axis that several scales belong to.
fn axis(
    stated: &tflite::QuantizationParameters<'_>,
    tensor: &Tensor,
    scales: usize,
) -> Result<usize> {
    let axis = stated.quantized_dimension();
    let dim = usize::try_from(axis).ok().and_then(|axis| tensor.shape.get(axis));
    match dim {
        Some(&dim) if dim == scales => Ok(axis as usize),
        // One-dimensional tensors, biases, leave no doubt about their axis.
        _ if tensor.shape == [scales] => Ok(0),
        Some(&dim) => bail!(
            InvalidQuantization,
            "{scales} scales along dimension {axis}, which has {dim} entries; one or {dim} fit"
        ),
        None => bail!(
            InvalidQuantization,
            "{scales} scales along dimension {axis}; the tensor has {} dimensions",
            tensor.shape.len()
        ),
    }
}

/// uint8 with zero point `z` as int8 with zero point `z − 128`: the same real values, where the sign
/// bits of the data are flipped too.
fn to_signed(tensor: &mut Tensor) {
    tensor.dtype = DType::I8;
    tensor.unsigned = true;
    if let Some(quantization) = &mut tensor.quantization {
        quantization.zero_points.iter_mut().for_each(|zero_point| *zero_point -= 128);
    }
}
