//! The header and the section table.

use super::{array, u16_at, u32_at};

/// The first eight bytes of a file.
pub const MAGIC: [u8; 8] = *b"SYSTOLE\0";

/// The version of the format that this crate reads and writes.
pub const VERSION: u16 = 1;

/// Bytes of the header; the section table follows it.
pub const HEADER_BYTES: usize = 32;

/// Bytes of a section table entry.
pub const SECTION_BYTES: usize = 16;

/// The header's fields behind the magic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Header {
    /// Format version.
    pub version: u16,
    /// Number of section table entries.
    pub sections: u16,
    /// Length of the file in bytes.
    pub file_bytes: u32,
    /// [`super::checksum`] of the bytes from offset 20 on.
    pub checksum: u32,
    /// Multiply-accumulates of one inference, for tools.
    pub macs: u64,
}

impl Header {
    /// The header of a file, or `None` where there are fewer than [`HEADER_BYTES`] bytes. The magic
    /// is not looked at.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            version: u16_at(bytes, 8)?,
            sections: u16_at(bytes, 10)?,
            file_bytes: u32_at(bytes, 12)?,
            checksum: u32_at(bytes, 16)?,
            macs: u64::from_le_bytes(array(bytes, 20)?),
        })
        .filter(|_| bytes.len() >= HEADER_BYTES)
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let fields = MAGIC
            .into_iter()
            .chain(self.version.to_le_bytes())
            .chain(self.sections.to_le_bytes())
            .chain(self.file_bytes.to_le_bytes())
            .chain(self.checksum.to_le_bytes())
            .chain(self.macs.to_le_bytes());
        for (to, from) in out.iter_mut().zip(fields) {
            *to = from;
        }
        out
    }
}

/// What a section holds; the codes of the section table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u16)]
pub enum SectionKind {
    /// Indices of the input and output tensors.
    Ports = 1,
    /// Tensor records.
    Tensors = 2,
    /// Dimensions, `u32` each, shared by tensors.
    Shapes = 3,
    /// Operator records in order of execution.
    Operators = 4,
    /// Tensor indices, `u16` each: the operands of operators.
    Operands = 5,
    /// Arena records.
    Arenas = 6,
    /// Weights and tables.
    Constants = 7,
    /// Names, labels and origin; may be stripped.
    Metadata = 8,
    /// How far tensors move from one repetition of a program's part to the next.
    Advances = 9,
    /// How long weights are that lie in a memory of their own, and their checksum.
    Apart = 10,
    /// Weights that are brought into an arena when a session is made.
    Residents = 11,
}

impl SectionKind {
    /// The kind with this code.
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            1 => Self::Ports,
            2 => Self::Tensors,
            3 => Self::Shapes,
            4 => Self::Operators,
            5 => Self::Operands,
            6 => Self::Arenas,
            7 => Self::Constants,
            8 => Self::Metadata,
            9 => Self::Advances,
            10 => Self::Apart,
            11 => Self::Residents,
            _ => return None,
        })
    }
}

/// An entry of the section table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Section {
    /// A [`SectionKind`], or a code that this version does not know.
    pub kind: u16,
    /// Bit 0: a reader that does not know `kind` may skip the section.
    pub flags: u16,
    /// Where the section begins, in bytes from the file's start; a multiple of 4, of 16 for
    /// constants.
    pub offset: u32,
    /// Its length in bytes.
    pub bytes: u32,
}

impl Section {
    /// The flag of sections that may be skipped.
    pub const OPTIONAL: u16 = 1;

    /// The entry at the start of `bytes`.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: u16_at(bytes, 0)?,
            flags: u16_at(bytes, 2)?,
            offset: u32_at(bytes, 4)?,
            bytes: u32_at(bytes, 8)?,
        })
    }

    /// The entry's bytes; the last four are reserved and 0.
    pub fn to_bytes(&self) -> [u8; SECTION_BYTES] {
        let mut out = [0; SECTION_BYTES];
        let fields = self
            .kind
            .to_le_bytes()
            .into_iter()
            .chain(self.flags.to_le_bytes())
            .chain(self.offset.to_le_bytes())
            .chain(self.bytes.to_le_bytes());
        for (to, from) in out.iter_mut().zip(fields) {
            *to = from;
        }
        out
    }

    /// The section's bytes within the file, `None` where they lie outside of it.
    pub fn slice<'m>(&self, file: &'m [u8]) -> Option<&'m [u8]> {
        let start = self.offset as usize;
        file.get(start..start.checked_add(self.bytes as usize)?)
    }
}
