//! Memory with the alignment that files and arenas need.

/// Bytes at an address that is a multiple of 16, for files compiled in with `include_bytes!`.
///
/// ```
/// static MODEL: &systole_core::Aligned<[u8]> = &systole_core::Aligned(*b"bytes of a .systole file");
/// assert_eq!(MODEL.0.as_ptr() as usize % 16, 0);
/// ```
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(pub T);

/// An arena of `BYTES` bytes, aligned as [`crate::Session::new`] needs it. May live in a `static`.
#[derive(Debug)]
pub struct Arena<const BYTES: usize>(Aligned<[u8; BYTES]>);

impl<const BYTES: usize> Arena<BYTES> {
    /// An arena filled with zeros.
    pub const fn new() -> Self {
        Self(Aligned([0; BYTES]))
    }

    /// The arena's memory, to be read.
    pub const fn as_slice(&self) -> &[u8] {
        &self.0.0
    }

    /// The arena's memory.
    pub const fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0.0
    }
}

impl<const BYTES: usize> Default for Arena<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}
