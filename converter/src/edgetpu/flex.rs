//! The one thing that is read of a FlexBuffer: a text in the map at its root.
//!
//! A FlexBuffer is read from its end: the last byte is the width of the root, the one before it
//! type and width of what the root points at. Vectors have their length before them, maps before
//! that the width and the offset of their keys, and behind their values a byte of type for each.

use crate::error::{Result, bail, error};

const STRING: u8 = 5;
const MAP: u8 = 9;
const BLOB: u8 = 25;

/// The text of `key` in the map that `buffer` holds.
pub(super) fn text<'b>(buffer: &'b [u8], key: &str) -> Result<&'b [u8]> {
    let [.., packed, width] = *buffer else {
        bail!(Corrupt, "{} bytes hold no package", buffer.len());
    };
    let (kind, inner) = unpacked(packed);
    let root = (buffer.len() - 2).checked_sub(usize::from(width));
    let (true, Some(root)) = (kind == MAP, root) else {
        bail!(Corrupt, "the operator's options are no map, but of FlexBuffers' type {kind}");
    };
    let values = indirect(buffer, root, usize::from(width))?;
    let length = before(buffer, values, inner, 1)?;
    let keys_width = before(buffer, values, inner, 2)?;
    let keys_at = values.checked_sub(3 * inner).ok_or_else(outside)?;
    let keys = indirect(buffer, keys_at, inner)?;
    let types = length.checked_mul(inner).and_then(|bytes| bytes.checked_add(values));
    for index in 0..length {
        let name = indirect(buffer, element(keys, index, keys_width)?, keys_width)?;
        let name = buffer.get(name..).unwrap_or_default();
        if name.strip_prefix(key.as_bytes()).and_then(<[u8]>::first) != Some(&0) {
            continue;
        }
        let packed = types.and_then(|types| buffer.get(types.checked_add(index)?));
        let (kind, width) = unpacked(*packed.ok_or_else(outside)?);
        if kind != STRING && kind != BLOB {
            bail!(Corrupt, "'{key}' of the options is of FlexBuffers' type {kind}, not text");
        }
        let start = indirect(buffer, element(values, index, inner)?, inner)?;
        let length = before(buffer, start, width, 1)?;
        let end = start.checked_add(length).ok_or_else(outside)?;
        return buffer.get(start..end).ok_or_else(outside);
    }
    Err(error!(Corrupt, "the operator's options have no '{key}', which holds the executables"))
}

/// Type, and width in bytes, of a packed byte of type.
fn unpacked(packed: u8) -> (u8, usize) {
    (packed >> 2, 1 << (packed & 3))
}

fn outside() -> crate::Error {
    error!(Corrupt, "the operator's options point outside of themselves")
}

/// An unsigned number of 1, 2, 4 or 8 bytes.
fn number(buffer: &[u8], position: usize, width: usize) -> Result<usize> {
    let bytes = buffer.get(position..).and_then(|rest| rest.get(..width)).ok_or_else(outside)?;
    let mut all = [0; 8];
    if !matches!(width, 1 | 2 | 4 | 8) {
        return Err(outside());
    }
    all[..width].copy_from_slice(bytes);
    usize::try_from(u64::from_le_bytes(all)).map_err(|_| outside())
}

/// Where the offset at `position` points, which is backwards.
fn indirect(buffer: &[u8], position: usize, width: usize) -> Result<usize> {
    position.checked_sub(number(buffer, position, width)?).ok_or_else(outside)
}

/// The number that lies `count` widths before `position`.
fn before(buffer: &[u8], position: usize, width: usize, count: usize) -> Result<usize> {
    let at = position.checked_sub(count * width).ok_or_else(outside)?;
    number(buffer, at, width)
}

fn element(start: usize, index: usize, width: usize) -> Result<usize> {
    index.checked_mul(width).and_then(|bytes| bytes.checked_add(start)).ok_or_else(outside)
}
