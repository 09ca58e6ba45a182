//! Heap memory with the alignment that files and arenas need: for hosts.

use alloc::{vec, vec::Vec};

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// A line of the cache: more than files need ([`crate::format::ALIGNMENT`]), so that no vector of
/// weights lies on two.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C, align(64))]
struct Block([u8; 64]);

/// Bytes at an address that is a multiple of 64.
#[derive(Debug, Clone, Default)]
pub struct AlignedBytes {
    blocks: Vec<Block>,
    length: usize,
}

impl AlignedBytes {
    /// `length` zeros.
    pub fn zeroed(length: usize) -> Self {
        Self { blocks: vec![Block::new_zeroed(); length.div_ceil(size_of::<Block>())], length }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
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
