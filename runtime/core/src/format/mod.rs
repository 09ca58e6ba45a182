//! The `.systole` file: layout constants and readers of its fixed-size records.
//!
//! `docs/format.md` specifies the file; the numbers here are its single source in code, shared by
//! the runtime, which reads, and the converter, which writes. Everything is little-endian.

mod header;
mod metadata;
mod params;
mod tensor_record;

pub use header::{HEADER_BYTES, Header, MAGIC, SECTION_BYTES, Section, SectionKind, VERSION};
pub use metadata::{Entries, Entry, Key};
pub use params::{Field, Params, ParamsReader, ParamsWriter};
pub use tensor_record::{
    FLAG_PERSISTS, FLAG_UNSIGNED, Layout, Storage, TENSOR_BYTES, TensorRecord,
};

pub(crate) use params::params;

/// Alignment of the file, of constants in it, and of the arena, in bytes.
pub const ALIGNMENT: usize = 16;

/// Bytes of an operator record.
pub const OPERATOR_BYTES: usize = 64;

/// Bytes of an operator record that hold the operator's own parameters.
pub const PARAMS_BYTES: usize = 52;

/// The operand that says "not given".
pub const NO_TENSOR: u16 = 0xFFFF;

/// The most arenas that a model has.
pub const MAX_ARENAS: usize = 4;

/// Bytes of an arena record: size, lower bound, how many bytes at its end hold weights, and 4 reserved bytes.
pub const ARENA_BYTES: usize = 16;

/// Bytes of an advance record: a tensor's index, 2 reserved bytes, and the advance.
pub const ADVANCE_BYTES: usize = 8;

/// Bytes of the section on weights apart: their length, their checksum, and 8 reserved bytes.
pub const APART_BYTES: usize = 16;

/// Bytes of a record on resident weights: a tensor's index, its arena, a reserved byte, and the offset there.
pub const RESIDENT_BYTES: usize = 8;

/// The checksum of a file's bytes from offset 20 on: XXH32 with seed 0.
pub fn checksum(bytes: &[u8]) -> u32 {
    xxhash_rust::xxh32::xxh32(bytes, 0)
}

/// `bytes[at..at + N]`, `None` past the end.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The little-endian `u16` at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// The little-endian `u32` at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// How an operator rounds when it scales an accumulator; the codes of a record's `rounding` byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum RoundingCode {
    /// The operator does not requantize.
    None = 0,
    /// [`systole_kernels::requantize::Double`].
    Double = 1,
    /// [`systole_kernels::requantize::DoubleUp`].
    DoubleUp = 2,
    /// [`systole_kernels::requantize::Single`].
    Single = 3,
    /// `f32` product, half to even.
    Float32 = 4,
    /// `f64` product, half away from zero.
    Float64 = 5,
}

impl RoundingCode {
    /// The rounding with this code.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::None,
            1 => Self::Double,
            2 => Self::DoubleUp,
            3 => Self::Single,
            4 => Self::Float32,
            5 => Self::Float64,
            _ => return None,
        })
    }

    /// The name used in `docs/numerics.md` and by `systole inspect`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Double => "double",
            Self::DoubleUp => "double_up",
            Self::Single => "single",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }
}
