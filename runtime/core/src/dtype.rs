//! Element types.

/// The type of a tensor's elements. The discriminants are the codes of the file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum DType {
    /// 8-bit signed integer, usually quantized.
    I8 = 1,
    /// 8-bit unsigned integer.
    U8 = 2,
    /// 16-bit signed integer, usually quantized with zero point 0.
    I16 = 3,
    /// 32-bit signed integer: indices, shapes, biases.
    I32 = 4,
    /// 64-bit signed integer: indices, shapes, biases of 16x8 models.
    I64 = 5,
    /// A byte that is 0 or 1.
    Bool = 6,
    /// IEEE 754 binary32.
    F32 = 7,
    /// IEEE 754 binary16, storage only.
    F16 = 8,
    /// IEEE 754 binary64: scales of the `float64` rounding.
    F64 = 9,
    /// 32-bit unsigned integer.
    U32 = 10,
    /// 16-bit unsigned integer: tables.
    U16 = 11,
}

impl DType {
    /// The type with this code of the file format.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::I8,
            2 => Self::U8,
            3 => Self::I16,
            4 => Self::I32,
            5 => Self::I64,
            6 => Self::Bool,
            7 => Self::F32,
            8 => Self::F16,
            9 => Self::F64,
            10 => Self::U32,
            11 => Self::U16,
            _ => return None,
        })
    }

    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// The name that tools print, as NumPy spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::Bool => "bool",
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::F64 => "float64",
            Self::U32 => "uint32",
            Self::U16 => "uint16",
        }
    }
}

impl core::fmt::Display for DType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that tensors hold. Implemented for the integers and floats of [`DType`].
pub trait Element:
    zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable + Copy + 'static
{
    /// The element type that a tensor read as `Self` must have. [`DType::Bool`] is read as `u8`.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),* $(,)?) => {
        $(impl Element for $rust { const DTYPE: DType = DType::$dtype; })*
    };
}

elements! {
    i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64,
    f32 => F32, f64 => F64, half::f16 => F16,
}
