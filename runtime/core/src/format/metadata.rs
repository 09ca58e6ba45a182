//! The metadata section: a list of strings, each with a key and an index.

use super::{u16_at, u32_at};

/// What a metadata entry says; the codes of its `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u16)]
pub enum Key {
    /// Name of the tensor with this index.
    TensorName = 1,
    /// Name of the class with this index.
    Label = 2,
    /// What wrote the file.
    Producer = 3,
    /// Where the model is from.
    Origin = 4,
    /// The model's licence.
    Licence = 5,
    /// What the model does.
    Description = 6,
    /// Name of the operator with this index in the model that was converted.
    OperatorName = 7,
    /// Name of the memory that the arena with this index is for.
    MemoryName = 8,
    /// The processor that the model was converted for.
    Target = 9,
}

/// One string of the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry<'m> {
    /// A [`Key`]'s code, or one that this version does not know.
    pub key: u16,
    /// What it is about: a tensor, an operator, a class.
    pub index: u32,
    /// The text.
    pub text: &'m str,
}

/// Walks the entries: `key u16, length u16, index u32, length bytes of UTF-8`, padded to a multiple
/// of 4. Ends at the first entry that does not fit or is not UTF-8.
#[derive(Debug, Clone)]
pub struct Entries<'m> {
    rest: &'m [u8],
}

impl<'m> Entries<'m> {
    /// The entries of a metadata section.
    pub fn new(section: &'m [u8]) -> Self {
        Self { rest: section }
    }

    /// Whether the walk is at the end: true after a walk over a well-formed section.
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'m> Iterator for Entries<'m> {
    type Item = Entry<'m>;

    fn next(&mut self) -> Option<Entry<'m>> {
        let key = u16_at(self.rest, 0)?;
        let length = usize::from(u16_at(self.rest, 2)?);
        let index = u32_at(self.rest, 4)?;
        let text = core::str::from_utf8(self.rest.get(8..8 + length)?).ok()?;
        self.rest = self.rest.get(8 + length.next_multiple_of(4)..)?;
        Some(Entry { key, index, text })
    }
}
