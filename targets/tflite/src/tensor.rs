//! Tensors of an interpreter, borrowed from it.

use std::{ffi::c_int, marker::PhantomData, slice};

use crate::{
    Error, Result,
    api::Api,
    library::text,
    sys::{self, AffineQuantization, FloatArray, IntArray},
};

/// Type of a tensor's elements, of those that TFLite has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// 32-bit float.
    F32,
    /// 32-bit integer.
    I32,
    /// Unsigned 8-bit integer.
    U8,
    /// 64-bit integer.
    I64,
    /// Truth value, one byte.
    Bool,
    /// 16-bit integer.
    I16,
    /// 8-bit integer.
    I8,
    /// Another of TFLite's types, by its number: text, complex, float16, four bits, and so on.
    Other(i32),
}

impl ElementType {
    /// The type of a `TfLiteType`.
    pub fn from_raw(raw: c_int) -> Self {
        match raw {
            1 => Self::F32,
            2 => Self::I32,
            3 => Self::U8,
            4 => Self::I64,
            6 => Self::Bool,
            7 => Self::I16,
            9 => Self::I8,
            other => Self::Other(other),
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Rust's types that tensors are copied from and to.
pub trait Element: Copy + sealed::Sealed {
    /// The type of such elements.
    const TYPE: ElementType;
    #[doc(hidden)]
    fn read(bytes: &[u8]) -> Self;
    #[doc(hidden)]
    fn write(self, bytes: &mut [u8]);
}

macro_rules! elements {
    ($($element:ty => $name:ident,)*) => {$(
        impl sealed::Sealed for $element {}
        impl Element for $element {
            const TYPE: ElementType = ElementType::$name;
            fn read(bytes: &[u8]) -> Self {
                // Chunks of a tensor have an element's length.
                Self::from_ne_bytes(bytes.try_into().unwrap_or_default())
            }
            fn write(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_ne_bytes());
            }
        }
    )*};
}

elements! {
    f32 => F32,
    i32 => I32,
    u8 => U8,
    i64 => I64,
    i16 => I16,
    i8 => I8,
}

/// What a tensor's integers stand for: `(q - zero_point) × scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantization {
    /// Real value of one step, greater than 0.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i32,
}

/// Scales and zero points that differ along a dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelQuantization {
    /// One scale per channel, or a single one for all.
    pub scales: Vec<f32>,
    /// As many zero points.
    pub zero_points: Vec<i32>,
    /// The dimension that channels are along.
    pub dimension: usize,
}

/// A tensor to be read. While it is there, the interpreter cannot run.
#[derive(Clone, Copy)]
pub struct Tensor<'i> {
    raw: *const sys::Tensor,
    api: &'i Api,
}

impl std::fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}' {:?} {:?}", self.name(), self.element_type(), self.shape())
    }
}

impl<'i> Tensor<'i> {
    /// # Safety
    /// `raw` is a tensor of the library of `api` that stays as it is during `'i`.
    pub(crate) unsafe fn new(raw: *const sys::Tensor, api: &'i Api) -> Self {
        Self { raw, api }
    }

    /// The tensor's name; empty where it has none.
    pub fn name(&self) -> String {
        // SAFETY: a valid tensor, by construction; its name is a C text or null.
        unsafe { text((self.api.tensor_name)(self.raw)) }
    }

    /// Type of the elements.
    pub fn element_type(&self) -> ElementType {
        // SAFETY: a valid tensor, by construction.
        ElementType::from_raw(unsafe { (self.api.tensor_type)(self.raw) })
    }

    /// Dimensions, outermost first; empty for a scalar.
    pub fn shape(&self) -> Vec<usize> {
        // SAFETY: a valid tensor, by construction, asked for the dimensions that it says it has.
        let dims = unsafe { (self.api.tensor_dims)(self.raw) };
        // SAFETY: as above.
        let dim = |index| unsafe { (self.api.tensor_dim)(self.raw, index) };
        (0..dims.max(0)).map(|index| usize::try_from(dim(index)).unwrap_or(0)).collect()
    }

    /// Scale and zero point; `None` where the tensor is not quantized as a whole.
    pub fn quantization(&self) -> Option<Quantization> {
        // SAFETY: a valid tensor, by construction.
        let params = unsafe { (self.api.tensor_params)(self.raw) };
        (params.scale > 0.0)
            .then_some(Quantization { scale: params.scale, zero_point: params.zero_point })
    }

    /// Scales and zero points by channel; `None` where the tensor is not quantized, or the
    /// library does not export the function that says.
    pub fn channel_quantization(&self) -> Option<ChannelQuantization> {
        // SAFETY: a valid tensor, by construction; opaque tensors are the same structure.
        let quantization = unsafe { (self.api.tensor_quantization?)(self.raw) };
        if quantization.kind != 1 || quantization.params.is_null() {
            return None;
        }
        // SAFETY: parameters of kind 1 are of this type, and as constant as the tensor.
        let affine = unsafe { &*quantization.params.cast::<AffineQuantization>() };
        // SAFETY: both are arrays of TFLite's, or null, as constant as the tensor.
        let (scales, zero_points) =
            unsafe { (FloatArray::as_slice(affine.scale), IntArray::as_slice(affine.zero_point)) };
        let dimension = usize::try_from(affine.quantized_dimension).ok()?;
        (!scales.is_empty()).then(|| ChannelQuantization {
            scales: scales.to_vec(),
            zero_points: zero_points.to_vec(),
            dimension,
        })
    }

    /// The elements' bytes, in the machine's order.
    ///
    /// # Errors
    /// [`Error::NoData`] before there is memory for them.
    pub fn bytes(&self) -> Result<&'i [u8]> {
        // SAFETY: a valid tensor, by construction.
        let (data, length) =
            unsafe { ((self.api.tensor_data)(self.raw), (self.api.tensor_bytes)(self.raw)) };
        match data.is_null() {
            true if length == 0 => Ok(&[]),
            true => Err(Error::NoData { tensor: self.name() }),
            // SAFETY: TFLite holds `length` bytes there until the interpreter is changed, which the
            // borrow of it during 'i prevents.
            false => Ok(unsafe { slice::from_raw_parts(data.cast(), length) }),
        }
    }

    /// The elements.
    ///
    /// # Errors
    /// [`Error::Type`] for another type than the tensor's, [`Error::NoData`].
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.check::<T>()?;
        Ok(self.bytes()?.chunks_exact(size_of::<T>()).map(T::read).collect())
    }

    fn check<T: Element>(&self) -> Result<()> {
        let found = self.element_type();
        match found == T::TYPE {
            true => Ok(()),
            false => Err(Error::Type { tensor: self.name(), found, wanted: T::TYPE }),
        }
    }
}

/// An input tensor to be written.
#[derive(Debug)]
pub struct TensorMut<'i> {
    tensor: Tensor<'i>,
    unique: PhantomData<&'i mut u8>,
}

impl<'i> TensorMut<'i> {
    /// # Safety
    /// As [`Tensor::new`], and nobody else reads or writes the tensor's elements during `'i`.
    pub(crate) unsafe fn new(raw: *mut sys::Tensor, api: &'i Api) -> Self {
        // SAFETY: by the caller.
        Self { tensor: unsafe { Tensor::new(raw, api) }, unique: PhantomData }
    }

    /// The tensor, to be read.
    pub fn as_tensor(&self) -> &Tensor<'_> {
        &self.tensor
    }

    /// The elements' bytes, in the machine's order.
    ///
    /// # Errors
    /// [`Error::NoData`] before there is memory for them.
    pub fn bytes_mut(&mut self) -> Result<&mut [u8]> {
        let bytes = self.tensor.bytes()?;
        let (length, api) = (bytes.len(), self.tensor.api);
        if length == 0 {
            return Ok(&mut []);
        }
        // SAFETY: a valid tensor, by construction.
        let data = unsafe { (api.tensor_data)(self.tensor.raw) };
        // SAFETY: `bytes` found memory of this length, which is not used any more; `self` is
        // borrowed, and is the only one that lends these elements, by construction.
        Ok(unsafe { slice::from_raw_parts_mut(data.cast(), length) })
    }

    /// Fills the tensor.
    ///
    /// # Errors
    /// [`Error::Type`] and [`Error::Length`] for elements that are not the tensor's,
    /// [`Error::NoData`].
    pub fn copy_from<T: Element>(&mut self, elements: &[T]) -> Result<()> {
        self.tensor.check::<T>()?;
        let name = self.tensor.name();
        let bytes = self.bytes_mut()?;
        let wanted = bytes.len() / size_of::<T>();
        if elements.len() != wanted {
            return Err(Error::Length { tensor: name, found: elements.len(), wanted });
        }
        for (to, &element) in bytes.chunks_exact_mut(size_of::<T>()).zip(elements) {
            element.write(to);
        }
        Ok(())
    }
}
