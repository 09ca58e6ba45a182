//! Tensor records.

use systole_kernels::tiles::Activations;

use super::{array, u16_at, u32_at};

/// Bytes of a tensor record.
pub const TENSOR_BYTES: usize = 24;

/// Flag of tensors that users see as uint8: stored as int8, `q − 128`, with the sign bit flipped on
/// the way in and out.
pub const FLAG_UNSIGNED: u8 = 1;

/// Flag of tensors that keep their bytes from one run to the next: the state of recurrent layers.
pub const FLAG_PERSISTS: u8 = 2;

/// Where a tensor's bytes are; the codes of a record's `storage` byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Storage {
    /// In an arena; `offset` counts from its start.
    Arena = 0,
    /// In the file; `offset` counts from the start of the constants section.
    Constant = 1,
    /// In a memory of its own, beside the file; `offset` counts from where the weights begin there. Weights
    /// of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED alone.
    Apart = 2,
}

impl Storage {
    /// The storage with this code.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Arena,
            1 => Self::Constant,
            2 => Self::Apart,
            _ => return None,
        })
    }
}

/// How a constant's elements are arranged; the codes of a record's `layout` byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Layout {
    /// Row-major.
    Plain = 0,
    /// Weights of CONV_2D or FULLY_CONNECTED in tiles, see [`systole_kernels::tiles`] and, of floats,
    /// [`systole_kernels::tiles_f32`].
    Tiles = 1,
    /// Tiles that are multiplied with `x + 128`; the operator's bias makes up for it.
    UnsignedTiles = 2,
    /// Tiles of twice as many columns, for products of small matrices.
    DeepTiles = 3,
    /// Weights of CONV_2D of one group or FULLY_CONNECTED, int8 that are widened to 16 bits, see
    /// [`systole_kernels::pairs`].
    Pairs = 4,
    /// Weights of CONV_2D of 3×3 and one group, int8 that have been transformed, see
    /// [`systole_kernels::winograd`].
    Winograd = 5,
}

impl Layout {
    /// The layout with this code.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Plain,
            1 => Self::Tiles,
            2 => Self::UnsignedTiles,
            3 => Self::DeepTiles,
            4 => Self::Pairs,
            5 => Self::Winograd,
            _ => return None,
        })
    }

    /// How activations are read, where these are tiles.
    pub const fn activations(self) -> Option<Activations> {
        match self {
            Self::Plain | Self::Pairs | Self::Winograd => None,
            Self::Tiles => Some(Activations::Signed),
            Self::UnsignedTiles => Some(Activations::Unsigned),
            Self::DeepTiles => Some(Activations::Eights),
        }
    }
}

impl From<Activations> for Layout {
    fn from(activations: Activations) -> Self {
        match activations {
            Activations::Signed => Self::Tiles,
            Activations::Unsigned => Self::UnsignedTiles,
            Activations::Eights => Self::DeepTiles,
        }
    }
}

/// A tensor as the file states it, before validation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TensorRecord {
    /// Code of a [`crate::DType`].
    pub dtype: u8,
    /// Number of dimensions.
    pub rank: u8,
    /// Code of a [`Storage`].
    pub storage: u8,
    /// [`FLAG_UNSIGNED`] and [`FLAG_PERSISTS`], or 0.
    pub flags: u8,
    /// Index of the first dimension in the shapes section.
    pub shape: u32,
    /// Bytes from the start of the arena or the constants section.
    pub offset: u32,
    /// Length in bytes: the product of the dimensions times the element size, or what tiles of the
    /// shape take.
    pub bytes: u32,
    /// Quantization scale, 0 where the tensor is not quantized per tensor.
    pub scale: f32,
    /// Quantization zero point.
    pub zero_point: i16,
    /// Which arena; 0 for constants.
    pub arena: u8,
    /// Code of a [`Layout`].
    pub layout: u8,
}

impl TensorRecord {
    /// The record at the start of `bytes`.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [dtype, rank, storage, flags] = array(bytes, 0)?;
        let [arena, layout] = array(bytes, 22)?;
        Some(Self {
            dtype,
            rank,
            storage,
            flags,
            shape: u32_at(bytes, 4)?,
            offset: u32_at(bytes, 8)?,
            bytes: u32_at(bytes, 12)?,
            scale: f32::from_bits(u32_at(bytes, 16)?),
            zero_point: u16_at(bytes, 20)? as i16,
            arena,
            layout,
        })
    }

    /// The record's bytes.
    pub fn to_bytes(&self) -> [u8; TENSOR_BYTES] {
        let mut out = [0; TENSOR_BYTES];
        let fields = [self.dtype, self.rank, self.storage, self.flags]
            .into_iter()
            .chain(self.shape.to_le_bytes())
            .chain(self.offset.to_le_bytes())
            .chain(self.bytes.to_le_bytes())
            .chain(self.scale.to_le_bytes())
            .chain(self.zero_point.to_le_bytes())
            .chain([self.arena, self.layout]);
        for (to, from) in out.iter_mut().zip(fields) {
            *to = from;
        }
        out
    }
}
