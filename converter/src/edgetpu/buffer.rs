//! Flatbuffers without a schema: tables by the numbers of their fields.
//!
//! Every read is checked against the whole buffer, since packages are data inside of a model that
//! flatbuffers' verifier does not look into.

use crate::error::{Result, error};

/// A table of a flatbuffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'b> {
    buffer: &'b [u8],
    position: usize,
    vtable: usize,
    fields: usize,
}

/// `N` bytes at `position`.
pub(super) fn read<const N: usize>(buffer: &[u8], position: usize) -> Result<[u8; N]> {
    let bytes = buffer.get(position..).and_then(|rest| rest.first_chunk::<N>());
    bytes.copied().ok_or_else(|| {
        error!(Corrupt, "{N} bytes at {position} are not within the package's {}", buffer.len())
    })
}

fn read_u32(buffer: &[u8], position: usize) -> Result<usize> {
    read(buffer, position).map(|bytes| u32::from_le_bytes(bytes) as usize)
}

/// Where the offset at `position` points.
fn follow(buffer: &[u8], position: usize) -> Result<usize> {
    let offset = read_u32(buffer, position)?;
    let target = position.checked_add(offset).filter(|&target| offset > 0 && target < buffer.len());
    target.ok_or_else(|| error!(Corrupt, "the offset {offset} at {position} leaves the package"))
}

impl<'b> Table<'b> {
    /// The root table.
    pub(super) fn root(buffer: &'b [u8]) -> Result<Self> {
        Self::at(buffer, follow(buffer, 0)?)
    }

    fn at(buffer: &'b [u8], position: usize) -> Result<Self> {
        let back = i64::from(i32::from_le_bytes(read(buffer, position)?));
        let vtable = i64::try_from(position).ok().and_then(|position| position.checked_sub(back));
        let vtable = vtable.and_then(|vtable| usize::try_from(vtable).ok()).ok_or_else(|| {
            error!(Corrupt, "the table at {position} is described outside of the package")
        })?;
        let bytes = usize::from(u16::from_le_bytes(read(buffer, vtable)?));
        Ok(Self { buffer, position, vtable, fields: bytes.saturating_sub(4) / 2 })
    }

    /// Where the field of a number is; `None` where it has its default.
    fn field(&self, number: usize) -> Result<Option<usize>> {
        if number >= self.fields {
            return Ok(None);
        }
        let offset = u16::from_le_bytes(read(self.buffer, self.vtable + 4 + 2 * number)?);
        Ok((offset != 0).then(|| self.position + usize::from(offset)))
    }

    /// The bytes of a number's field; zeros where it has its default.
    fn scalar<const N: usize>(&self, number: usize) -> Result<[u8; N]> {
        match self.field(number)? {
            Some(position) => read(self.buffer, position),
            None => Ok([0; N]),
        }
    }

    pub(super) fn i16(&self, number: usize) -> Result<i16> {
        self.scalar(number).map(i16::from_le_bytes)
    }

    pub(super) fn i32(&self, number: usize) -> Result<i32> {
        self.scalar(number).map(i32::from_le_bytes)
    }

    pub(super) fn i64(&self, number: usize) -> Result<i64> {
        self.scalar(number).map(i64::from_le_bytes)
    }

    pub(super) fn u64(&self, number: usize) -> Result<u64> {
        self.scalar(number).map(u64::from_le_bytes)
    }

    pub(super) fn f32(&self, number: usize) -> Result<f32> {
        self.scalar(number).map(f32::from_le_bytes)
    }

    /// A table inside of the table.
    pub(super) fn table(&self, number: usize) -> Result<Option<Self>> {
        let Some(position) = self.field(number)? else { return Ok(None) };
        Self::at(self.buffer, follow(self.buffer, position)?).map(Some)
    }

    /// The bytes of a text or of a vector of bytes; empty where there is none.
    pub(super) fn bytes(&self, number: usize) -> Result<&'b [u8]> {
        match self.field(number)? {
            Some(position) => vector(self.buffer, position, 1)
                .map(|(start, length)| self.buffer.get(start..start + length).unwrap_or_default()),
            None => Ok(&[]),
        }
    }

    /// The tables of a vector.
    pub(super) fn tables(
        &self,
        number: usize,
    ) -> Result<impl ExactSizeIterator<Item = Result<Self>>> {
        let (start, length) = self.vector_of_offsets(number)?;
        let buffer = self.buffer;
        Ok((0..length).map(move |index| Self::at(buffer, follow(buffer, start + 4 * index)?)))
    }

    /// The texts of a vector, as bytes.
    pub(super) fn texts(
        &self,
        number: usize,
    ) -> Result<impl ExactSizeIterator<Item = Result<&'b [u8]>>> {
        let (start, length) = self.vector_of_offsets(number)?;
        let buffer = self.buffer;
        Ok((0..length).map(move |index| {
            let (start, length) = vector(buffer, start + 4 * index, 1)?;
            Ok(buffer.get(start..start + length).unwrap_or_default())
        }))
    }

    fn vector_of_offsets(&self, number: usize) -> Result<(usize, usize)> {
        match self.field(number)? {
            Some(position) => vector(self.buffer, position, 4),
            None => Ok((0, 0)),
        }
    }
}

/// Start and length of the vector that the offset at `position` points at; all elements of `size`
/// bytes are within the buffer.
fn vector(buffer: &[u8], position: usize, size: usize) -> Result<(usize, usize)> {
    let start = follow(buffer, position)?;
    let length = read_u32(buffer, start)?;
    let start = start + 4;
    let fits =
        length.checked_mul(size).is_some_and(|bytes| bytes <= buffer.len().saturating_sub(start));
    match fits {
        true => Ok((start, length)),
        false => Err(error!(Corrupt, "a vector of {length} at {start} leaves the package")),
    }
}
