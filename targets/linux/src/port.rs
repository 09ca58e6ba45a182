//! Inputs and outputs, the same for every backend.

use systole_core::{DType, Element, Quantization, TensorInfo};
use zerocopy::IntoBytes;

use crate::{Error, Result, backend::Runner};

/// What is known of an input or output.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// Its name; empty where the model has none.
    pub name: String,
    /// Type of the elements as users see them: uint8 also where Systole stores int8.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// How integers stand for real numbers; `None` where they do not.
    pub quantization: Option<Quantization>,
}

impl Port {
    pub(crate) fn of(info: &TensorInfo<'_>) -> Self {
        let quantization = Quantization { scale: info.scale(), zero_point: info.zero_point() };
        Self {
            name: info.name().unwrap_or_default().to_owned(),
            dtype: info.dtype(),
            shape: info.shape().dims().iter().map(|&dim| dim as usize).collect(),
            quantization: (info.scale() > 0.0).then_some(quantization),
        }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }

    fn check(&self, asked: DType, found: usize) -> Result<()> {
        self.check_type(asked)?;
        self.check_length(found)
    }

    fn check_type(&self, asked: DType) -> Result<()> {
        let found = self.dtype;
        match found == asked || (found == DType::Bool && asked == DType::U8) {
            true => Ok(()),
            false => Err(Error::Type { tensor: self.name.clone(), found, asked }),
        }
    }

    fn check_length(&self, found: usize) -> Result<()> {
        let wanted = self.elements();
        match found == wanted {
            true => Ok(()),
            false => Err(Error::Length { tensor: self.name.clone(), wanted, found }),
        }
    }

    /// The quantization of integers that have one.
    fn real(&self) -> Result<Quantization> {
        let not_real = || Error::NotReal { tensor: self.name.clone(), found: self.dtype };
        self.quantization.ok_or_else(not_real)
    }
}

/// An input, to be written.
#[derive(Debug)]
pub struct Input<'e> {
    pub(crate) runner: &'e mut Runner,
    pub(crate) index: usize,
    pub(crate) port: &'e Port,
}

impl Input<'_> {
    /// Name, type, shape and quantization.
    pub fn port(&self) -> &Port {
        self.port
    }

    /// Copies elements in, row-major. Truth values are given as `u8`.
    ///
    /// # Errors
    /// [`Error::Type`], [`Error::Length`].
    pub fn copy_from<T: Element>(&mut self, elements: &[T]) -> Result<()> {
        self.port.check(T::DTYPE, elements.len())?;
        self.runner.write(self.index, elements.as_bytes())
    }

    /// Copies the elements' bytes in, in the machine's order.
    ///
    /// # Errors
    /// [`Error::Length`], where the bytes are no whole elements of the tensor's number.
    pub fn copy_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() != self.port.bytes() {
            let found = bytes.len() / self.port.dtype.size();
            let (tensor, wanted) = (self.port.name.clone(), self.port.elements());
            return Err(Error::Length { tensor, wanted, found });
        }
        self.runner.write(self.index, bytes)
    }

    /// Converts real numbers in: `round(x / scale) + zero_point`, ties away from zero, clamped to the
    /// type. Float tensors are copied.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::NotReal`] for integers without scale and for types that are not
    /// quantized.
    pub fn quantize_from(&mut self, reals: &[f32]) -> Result<()> {
        self.port.check_length(reals.len())?;
        if self.port.dtype == DType::F32 {
            return self.runner.write(self.index, reals.as_bytes());
        }
        let by = self.port.real()?;
        let each = reals.iter();
        let bytes: Vec<u8> = match self.port.dtype {
            DType::I8 => each.map(|&x| by.quantize_i8(x) as u8).collect(),
            DType::U8 => each.map(|&x| by.quantize_u8(x)).collect(),
            DType::I16 => each.flat_map(|&x| by.quantize_i16(x).to_ne_bytes()).collect(),
            found => return Err(Error::NotReal { tensor: self.port.name.clone(), found }),
        };
        self.runner.write(self.index, &bytes)
    }
}

/// An output, as the last run left it.
#[derive(Debug)]
pub struct Output<'e> {
    pub(crate) runner: &'e Runner,
    pub(crate) index: usize,
    pub(crate) port: &'e Port,
}

impl Output<'_> {
    /// Name, type, shape and quantization.
    pub fn port(&self) -> &Port {
        self.port
    }

    /// The elements, row-major. Truth values are asked for as `u8`.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.port.check_type(T::DTYPE)?;
        let bytes = self.to_bytes()?;
        let elements = bytes.chunks_exact(size_of::<T>());
        Ok(elements.filter_map(|bytes| T::read_from_bytes(bytes).ok()).collect())
    }

    /// The elements' bytes, in the machine's order.
    ///
    /// # Errors
    /// Those of TFLite, for an output that has no memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.runner.read(self.index)
    }

    /// The real numbers that the elements stand for, `scale × (q − zero_point)`; those of float tensors
    /// as they are.
    ///
    /// # Errors
    /// [`Error::NotReal`] for integers without scale and for types that are not quantized.
    pub fn dequantize(&self) -> Result<Vec<f32>> {
        if self.port.dtype == DType::F32 {
            return self.to_vec();
        }
        let by = self.port.real()?;
        Ok(match self.port.dtype {
            DType::I8 => self.to_vec::<i8>()?.into_iter().map(|q| by.dequantize(q)).collect(),
            DType::U8 => self.to_vec::<u8>()?.into_iter().map(|q| by.dequantize(q)).collect(),
            DType::I16 => self.to_vec::<i16>()?.into_iter().map(|q| by.dequantize(q)).collect(),
            found => return Err(Error::NotReal { tensor: self.port.name.clone(), found }),
        })
    }
}
