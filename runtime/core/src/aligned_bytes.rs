//! Heap memory with the alignment that files and arenas need: for hosts.

use alloc::{vec, vec::Vec};

use zerocopy::IntoBytes;

/// A block whose type has the alignment: `u128` is aligned to 16 bytes since Rust 1.77.
type Block = u128;

/// Bytes at an address that is a multiple of 16.
#[derive(Debug, Clone, Default)]
pub struct AlignedBytes {
    blocks: Vec<Block>,
    length: usize,
}

impl AlignedBytes {
    /// `length` zeros.
    pub fn zeroed(length: usize) -> Self {
        Self { blocks: vec![0; length.div_ceil(16)], length }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        const { assert!(align_of::<Block>() == crate::format::ALIGNMENT) };
        self.blocks.as_slice().as_bytes().get(..self.length).unwrap_or_default()
    }

    /// The bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.blocks.as_mut_slice().as_mut_bytes().get_mut(..self.length).unwrap_or_default()
    }
}

impl From<&[u8]> for AlignedBytes {
    fn from(bytes: &[u8]) -> Self {
        let mut aligned = Self::zeroed(bytes.len());
        aligned.as_mut_slice().copy_from_slice(bytes);
        aligned
    }
}
