//! Arrays from and to `.npz` files.

use std::{
    fs::File,
    io::{BufWriter, Cursor},
    path::Path,
};

use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, NpzWriter, ReadNpzError, ReadableElement};
use systole_core::DType;
use zerocopy::IntoBytes;

use crate::{
    error::{Result, bail, error},
    graph::Tensor,
};

/// One array: its name, dimensions and little-endian elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Name in the file.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub bytes: Vec<u8>,
}

impl From<Array> for Tensor {
    /// A constant of the array's name.
    fn from(array: Array) -> Self {
        let data = Some(array.bytes.into());
        Self { data, ..Self::new(array.name, array.dtype, array.shape) }
    }
}

impl Array {
    /// The bytes of the sample `index` along the first axis, `None` past the end.
    pub fn sample(&self, index: usize) -> Option<&[u8]> {
        let samples = *self.shape.first()?;
        let size = self.bytes.len().checked_div(samples)?;
        self.bytes.get(index * size..(index + 1) * size)
    }

    /// An array of some of the samples.
    #[must_use]
    pub fn select(&self, samples: &[usize]) -> Self {
        let rest = self.shape.iter().skip(1).copied();
        let bytes = samples.iter().filter_map(|&sample| self.sample(sample)).flatten();
        Self {
            name: self.name.clone(),
            dtype: self.dtype,
            shape: [samples.len()].into_iter().chain(rest).collect(),
            bytes: bytes.copied().collect(),
        }
    }
}

/// Reads all arrays of a file.
///
/// # Errors
/// `Io` where it cannot be read, `InvalidData` for element types that no tensor has.
pub fn read(path: &Path) -> Result<Vec<Array>> {
    let bytes = std::fs::read(path)
        .map_err(|problem| error!(Io, "{}: cannot be read: {problem}", path.display()))?;
    parse(&bytes, &path.display().to_string())
}

/// Reads all arrays of an `.npz` file in memory; `name` is what errors call it.
///
/// # Errors
/// `InvalidData` for bytes that are no `.npz` file, and for element types that no tensor has.
pub fn parse(bytes: &[u8], name: &str) -> Result<Vec<Array>> {
    let invalid = |problem: &dyn std::fmt::Display| error!(InvalidData, "{name}: {problem}");
    let mut npz = NpzReader::new(Cursor::new(bytes)).map_err(|problem| invalid(&problem))?;
    let names = npz.names().map_err(|problem| invalid(&problem))?;
    let mut arrays = Vec::new();
    for name in names {
        let array = read_one(&mut npz, &name).ok_or_else(|| {
            invalid(&format!("array '{name}' is damaged, or of a type that no tensor has"))
        })?;
        arrays.push(array);
    }
    Ok(arrays)
}

type Npz<'a> = NpzReader<Cursor<&'a [u8]>>;

fn read_one(npz: &mut Npz<'_>, name: &str) -> Option<Array> {
    read_as::<i8>(npz, name, DType::I8)
        .or_else(|| read_as::<u8>(npz, name, DType::U8))
        .or_else(|| read_as::<f32>(npz, name, DType::F32))
        .or_else(|| read_as::<i32>(npz, name, DType::I32))
        .or_else(|| read_as::<i64>(npz, name, DType::I64))
        .or_else(|| read_as::<i16>(npz, name, DType::I16))
        .or_else(|| read_as::<f64>(npz, name, DType::F64))
        .or_else(|| read_as::<u32>(npz, name, DType::U32))
        .or_else(|| read_as::<u16>(npz, name, DType::U16))
        .or_else(|| {
            let array: ArrayD<bool> = npz.by_name::<OwnedRepr<bool>, IxDyn>(name).ok()?;
            let shape = array.shape().to_vec();
            let bytes = array.iter().map(|&value| u8::from(value)).collect();
            Some(Array { name: name.to_owned(), dtype: DType::Bool, shape, bytes })
        })
}

/// The array, `None` where its elements are of another type.
fn read_as<T>(npz: &mut Npz<'_>, name: &str, dtype: DType) -> Option<Array>
where
    T: ReadableElement + IntoBytes + zerocopy::Immutable + Copy,
{
    let array: Result<ArrayD<T>, ReadNpzError> = npz.by_name::<OwnedRepr<T>, IxDyn>(name);
    let array = array.ok()?;
    let shape = array.shape().to_vec();
    let elements: Vec<T> = array.iter().copied().collect();
    Some(Array { name: name.to_owned(), dtype, shape, bytes: elements.as_bytes().to_vec() })
}

/// Writes arrays to a new file: to a temporary one first, then renamed.
///
/// # Errors
/// `Io`; `InvalidData` for element types that `.npy` does not have.
pub fn write(path: &Path, arrays: &[Array]) -> Result<()> {
    let failed = |problem: &dyn std::fmt::Display| {
        error!(Io, "{}: cannot be written: {problem}", path.display())
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let temporary = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
        .map_err(|problem| failed(&problem))?;
    let mut npz = NpzWriter::new_compressed(BufWriter::new(temporary.as_file()));
    for array in arrays {
        macro_rules! add {
            ($kind:ty) => {{
                let elements = array
                    .bytes
                    .chunks_exact(size_of::<$kind>())
                    .map(|bytes| <$kind>::from_le_bytes(bytes.try_into().expect("exact chunks")))
                    .collect();
                let dense = ArrayD::<$kind>::from_shape_vec(IxDyn(&array.shape), elements)
                    .map_err(|problem| failed(&problem))?;
                npz.add_array(&array.name, &dense).map_err(|problem| failed(&problem))?;
            }};
        }
        match array.dtype {
            DType::I8 => add!(i8),
            DType::U8 => add!(u8),
            DType::I16 => add!(i16),
            DType::U16 | DType::F16 => add!(u16),
            DType::I32 => add!(i32),
            DType::U32 => add!(u32),
            DType::I64 => add!(i64),
            DType::F32 => add!(f32),
            DType::F64 => add!(f64),
            DType::Bool => {
                let elements = array.bytes.iter().map(|&byte| byte != 0).collect();
                let dense = ArrayD::<bool>::from_shape_vec(IxDyn(&array.shape), elements)
                    .map_err(|problem| failed(&problem))?;
                npz.add_array(&array.name, &dense).map_err(|problem| failed(&problem))?;
            }
        }
    }
    npz.finish().map_err(|problem| failed(&problem))?;
    temporary.persist(path).map_err(|problem| failed(&problem))?;
    if array_count(path) != Some(arrays.len()) {
        bail!(Io, "{}: the file does not hold what was written", path.display());
    }
    Ok(())
}

fn array_count(path: &Path) -> Option<usize> {
    NpzReader::new(File::open(path).ok()?).ok().map(|npz| npz.len())
}
