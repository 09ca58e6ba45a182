//! Views of a session's inputs and outputs.

use zerocopy::{FromBytes, IntoBytes};

use crate::{DType, Element, TensorError, TensorInfo};

/// An output, or an input to be read.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'m, 'a> {
    info: TensorInfo<'m>,
    bytes: &'a [u8],
}

/// An input to be written.
#[derive(Debug)]
pub struct TensorMut<'m, 'a> {
    info: TensorInfo<'m>,
    bytes: &'a mut [u8],
}

impl<'m, 'a> Tensor<'m, 'a> {
    pub(crate) fn new(info: TensorInfo<'m>, bytes: &'a [u8]) -> Self {
        Self { info, bytes }
    }

    /// Shape, type, scale, zero point and name.
    pub fn info(&self) -> &TensorInfo<'m> {
        &self.info
    }

    /// The elements, in place and row-major.
    ///
    /// # Errors
    /// [`TensorError::Type`] where the tensor holds another type than `T`;
    /// [`TensorError::NotBorrowable`] for uint8 tensors, which are stored as int8.
    pub fn as_slice<T: Element>(&self) -> Result<&'a [T], TensorError> {
        check_type::<T>(&self.info)?;
        if self.info.is_unsigned() {
            return Err(TensorError::NotBorrowable);
        }
        <[T]>::ref_from_bytes(self.bytes).map_err(|_| TensorError::NotBorrowable)
    }

    /// The bytes in memory: int8 where users see uint8.
    pub fn stored_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Copies the elements out, row-major.
    ///
    /// # Errors
    /// [`TensorError::Type`] and [`TensorError::Length`] where `out` does not fit.
    pub fn copy_to<T: Element>(&self, out: &mut [T]) -> Result<(), TensorError> {
        check_type::<T>(&self.info)?;
        check_length(&self.info, out.len())?;
        let flip = self.info.sign_flip();
        for (to, from) in out.as_mut_bytes().iter_mut().zip(self.bytes) {
            *to = from ^ flip;
        }
        Ok(())
    }

    /// Converts the elements to real numbers, `scale × (q − zero_point)`; float tensors are copied.
    ///
    /// # Errors
    /// [`TensorError::Length`]; [`TensorError::NotReal`] for integers without scale.
    pub fn dequantize_into(&self, out: &mut [f32]) -> Result<(), TensorError> {
        check_length(&self.info, out.len())?;
        let quantization = self.info.stored_quantization();
        match self.info.dtype {
            DType::F32 => return self.copy_to(out),
            DType::I8 if quantization.scale > 0.0 => {
                for (to, &from) in out.iter_mut().zip(self.bytes) {
                    *to = quantization.dequantize(from as i8);
                }
            }
            DType::I16 if quantization.scale > 0.0 => {
                for (to, from) in out.iter_mut().zip(self.bytes.chunks_exact(2)) {
                    let q = from.first_chunk().map_or(0, |&bytes| i16::from_le_bytes(bytes));
                    *to = quantization.dequantize(q);
                }
            }
            tensor => return Err(TensorError::NotReal { tensor }),
        }
        Ok(())
    }
}

impl<'m, 'a> TensorMut<'m, 'a> {
    pub(crate) fn new(info: TensorInfo<'m>, bytes: &'a mut [u8]) -> Self {
        Self { info, bytes }
    }

    /// Shape, type, scale, zero point and name.
    pub fn info(&self) -> &TensorInfo<'m> {
        &self.info
    }

    /// Copies elements in, row-major.
    ///
    /// # Errors
    /// [`TensorError::Type`] and [`TensorError::Length`] where `data` does not fit.
    pub fn copy_from<T: Element>(&mut self, data: &[T]) -> Result<(), TensorError> {
        check_type::<T>(&self.info)?;
        check_length(&self.info, data.len())?;
        let flip = self.info.sign_flip();
        for (to, from) in self.bytes.iter_mut().zip(data.as_bytes()) {
            *to = from ^ flip;
        }
        Ok(())
    }

    /// Copies bytes in as they are stored: int8 where users see uint8, numbers little-endian.
    ///
    /// # Errors
    /// [`TensorError::Length`], in bytes.
    pub fn copy_stored(&mut self, bytes: &[u8]) -> Result<(), TensorError> {
        if self.bytes.len() != bytes.len() {
            return Err(TensorError::Length { tensor: self.bytes.len(), given: bytes.len() });
        }
        self.bytes.copy_from_slice(bytes);
        Ok(())
    }

    /// Converts real numbers in: `round(x / scale) + zero_point`, ties away from zero, clamped to
    /// the type; NaN becomes the zero point. Float tensors are copied.
    ///
    /// # Errors
    /// [`TensorError::Length`]; [`TensorError::NotReal`] for integers without scale.
    pub fn quantize_from(&mut self, data: &[f32]) -> Result<(), TensorError> {
        check_length(&self.info, data.len())?;
        let quantization = self.info.stored_quantization();
        match self.info.dtype {
            DType::F32 => return self.copy_from(data),
            DType::I8 if quantization.scale > 0.0 => {
                for (to, &from) in self.bytes.iter_mut().zip(data) {
                    *to = quantization.quantize_i8(from) as u8;
                }
            }
            DType::I16 if quantization.scale > 0.0 => {
                for (to, &from) in self.bytes.chunks_exact_mut(2).zip(data) {
                    to.copy_from_slice(&quantization.quantize_i16(from).to_le_bytes());
                }
            }
            tensor => return Err(TensorError::NotReal { tensor }),
        }
        Ok(())
    }

    /// The elements, in place and row-major.
    ///
    /// # Errors
    /// As [`Tensor::as_slice`].
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T], TensorError> {
        check_type::<T>(&self.info)?;
        if self.info.is_unsigned() {
            return Err(TensorError::NotBorrowable);
        }
        <[T]>::mut_from_bytes(self.bytes).map_err(|_| TensorError::NotBorrowable)
    }
}

fn check_type<T: Element>(info: &TensorInfo<'_>) -> Result<(), TensorError> {
    let (tensor, asked) = (info.dtype(), T::DTYPE);
    let same = tensor == asked || (tensor == DType::Bool && asked == DType::U8);
    if same { Ok(()) } else { Err(TensorError::Type { tensor, asked }) }
}

fn check_length(info: &TensorInfo<'_>, given: usize) -> Result<(), TensorError> {
    let tensor = info.shape().len();
    if tensor == given { Ok(()) } else { Err(TensorError::Length { tensor, given }) }
}
