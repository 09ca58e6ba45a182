//! Constants: ONNX's tensors as those of the graph.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Component, Path},
    sync::Arc,
};

use half::{bf16, f16};
use systole_core::DType;
use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

use crate::{
    error::{Result, bail, error},
    graph::{Tensor, check_shape},
};

/// How elements of a type are stored in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// As they are.
    As(DType),
    /// float16, bfloat16 and float64 become float32, in which everything is computed.
    Float(DataType),
}

impl Stored {
    /// What becomes of ONNX's type with this code.
    ///
    /// # Errors
    /// `UnsupportedFeature`, naming the type.
    pub(super) fn of(code: i32) -> Result<Self> {
        let Ok(kind) = DataType::try_from(code) else {
            bail!(UnsupportedFeature, "elements of type {code}, which is not known");
        };
        Ok(Self::As(match kind {
            DataType::Float => DType::F32,
            DataType::Int8 => DType::I8,
            DataType::Uint8 => DType::U8,
            DataType::Int16 => DType::I16,
            DataType::Int32 => DType::I32,
            DataType::Int64 => DType::I64,
            DataType::Uint32 => DType::U32,
            DataType::Bool => DType::Bool,
            DataType::Float16 | DataType::Bfloat16 | DataType::Double => {
                return Ok(Self::Float(kind));
            }
            other => bail!(
                UnsupportedFeature,
                "elements of type {}; supported are float, double, float16, bfloat16, int8, \
                 uint8, int16, int32, uint32, int64 and bool",
                other.as_str_name().to_lowercase()
            ),
        }))
    }

    /// The type in the graph.
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::As(dtype) => dtype,
            Self::Float(_) => DType::F32,
        }
    }
}

/// Whether values of this type can be images: numbers, or quantized ones.
pub(super) fn is_image(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::U8 | DType::I8)
}

/// Reads a constant.
///
/// # Errors
/// `UnsupportedFeature` for types that are not known, `Corrupt` where the data does not fit the
/// shape, `InvalidShape` and `TooLarge` for absurd shapes.
pub(super) fn constant(proto: &TensorProto, folder: Option<&Path>) -> Result<Tensor> {
    let stored = Stored::of(proto.data_type)?;
    let shape = proto
        .dims
        .iter()
        .map(|&dim| super::size(dim, "a dimension"))
        .collect::<Result<Vec<usize>>>()?;
    let empty = shape.contains(&0);
    check_sizes(&shape, stored.dtype())?;
    let data = if empty { Vec::new() } else { data(proto, stored, folder)? };
    let mut tensor = Tensor::new(&*proto.name, stored.dtype(), shape);
    if data.len() != tensor.bytes() {
        bail!(Corrupt, "{tensor} takes {} bytes, but there are {}", tensor.bytes(), data.len());
    }
    tensor.data = Some(Arc::from(data));
    Ok(tensor)
}

/// Checks dimensions, of which some may be 0.
///
/// # Errors
/// As [`check_shape`].
pub(super) fn check_sizes(shape: &[usize], dtype: DType) -> Result<()> {
    let shape: Vec<usize> = shape.iter().map(|&dim| dim.max(1)).collect();
    check_shape(&shape, dtype)
}

/// The elements, little-endian, in the graph's type.
fn data(proto: &TensorProto, stored: Stored, folder: Option<&Path>) -> Result<Vec<u8>> {
    if proto.data_location == Some(1) {
        return external(proto, stored, folder);
    }
    if !proto.raw_data.is_empty() {
        return raw(&proto.raw_data, stored);
    }
    let ints = &proto.int32_data;
    Ok(match stored {
        Stored::As(DType::F32) => bytes_of(&proto.float_data, |value| value.to_le_bytes()),
        Stored::As(DType::I64) => bytes_of(&proto.int64_data, |value| value.to_le_bytes()),
        Stored::As(DType::U32) => {
            bytes_of(&proto.uint64_data, |value| (*value as u32).to_le_bytes())
        }
        Stored::As(dtype) if dtype.size() == 4 => bytes_of(ints, |value| value.to_le_bytes()),
        Stored::As(dtype) if dtype.size() == 2 => {
            bytes_of(ints, |value| (*value as i16).to_le_bytes())
        }
        Stored::As(_) => bytes_of(ints, |value| (*value as i8).to_le_bytes()),
        Stored::Float(DataType::Double) => {
            bytes_of(&proto.double_data, |value| (*value as f32).to_le_bytes())
        }
        Stored::Float(kind) => bytes_of(ints, |&bits| half(kind, bits as u16).to_le_bytes()),
    })
}

fn bytes_of<T, const N: usize>(values: &[T], bytes: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(bytes).collect()
}

/// The value of 16 bits.
fn half(kind: DataType, bits: u16) -> f32 {
    match kind {
        DataType::Bfloat16 => bf16::from_bits(bits).to_f32(),
        _ => f16::from_bits(bits).to_f32(),
    }
}

fn raw(bytes: &[u8], stored: Stored) -> Result<Vec<u8>> {
    let Stored::Float(kind) = stored else {
        return Ok(bytes.to_vec());
    };
    let floats: Vec<f32> = match kind {
        DataType::Double => {
            bytes.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect()
        }
        _ => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&bytes| half(kind, u16::from_le_bytes(bytes)))
            .collect(),
    };
    Ok(bytes_of(&floats, |value| value.to_le_bytes()))
}

/// Data in a file of its own, in the model's folder or below.
///
/// Read here and not by tract, which trusts the shape to fit the data.
fn external(proto: &TensorProto, stored: Stored, folder: Option<&Path>) -> Result<Vec<u8>> {
    let Some(folder) = folder else {
        bail!(UnsupportedFeature, "'{}' is external data, which needs a file", proto.name);
    };
    let entry = |key: &str| {
        let found = proto.external_data.iter().find(|entry| entry.key == key);
        found.map(|entry| &*entry.value)
    };
    let Some(location) = entry("location") else {
        bail!(Corrupt, "external data of '{}' names no file", proto.name);
    };
    let number = |key: &str| match entry(key).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => {
            bail!(
                Corrupt,
                "external data of '{}' states {} that is no number of bytes",
                proto.name,
                if key == "offset" { "an offset" } else { "a length" }
            )
        }
    };
    let failed = |problem: &dyn std::fmt::Display| {
        error!(
            Corrupt,
            "external data of '{}' cannot be read from {location:?}: {problem}", proto.name
        )
    };
    let outside = || {
        error!(
            UnsupportedFeature,
            "external data of '{}' is in {location:?}; it must be inside the model's folder",
            proto.name
        )
    };
    let below = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(location).components().all(below) {
        return Err(outside());
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let folder = folder.canonicalize().map_err(|problem| failed(&problem))?;
    let path = folder.join(location).canonicalize().map_err(|problem| failed(&problem))?;
    // Links may lead elsewhere.
    if !path.starts_with(&folder) {
        return Err(outside());
    }
    let size = match stored {
        Stored::As(dtype) => dtype.size(),
        Stored::Float(DataType::Double) => 8,
        Stored::Float(_) => 2,
    };
    let elements = proto.dims.iter().map(|&dim| dim as usize).product::<usize>();
    let wanted = (elements * size) as u64;
    let mut file = File::open(path).map_err(|problem| failed(&problem))?;
    let all = file.metadata().map_err(|problem| failed(&problem))?;
    if !all.is_file() {
        return Err(failed(&"it is no file"));
    }
    let offset = number("offset")?.unwrap_or(0);
    let there = all.len().saturating_sub(offset);
    let length = number("length")?.unwrap_or(wanted);
    if length != wanted || length > there {
        return Err(failed(&format!(
            "{wanted} bytes are needed; {length} are stated, and {there} are there from {offset} on"
        )));
    }
    file.seek(SeekFrom::Start(offset)).map_err(|problem| failed(&problem))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(|problem| failed(&problem))?;
    raw(&bytes, stored)
}
