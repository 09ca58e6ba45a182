//! What the source of a compiled-in model refers to. Not for use by hand.

pub use half::f16;
pub use systole_kernels::{self as kernels, Mismatch, broadcast::Operand};
pub use zerocopy::transmute;
use zerocopy::{FromBytes, IntoBytes};

use crate::{Arena, Element};
pub use crate::{
    compiled_memory::Memory,
    memory::{Arenas, Memory as Memories, Place},
};

/// `N` bytes of a file, from `at` on; evaluated while compiling.
#[expect(clippy::panic, reason = "evaluated while compiling, where it is an error of the compiler")]
pub const fn bytes<const N: usize>(file: &[u8], at: usize) -> [u8; N] {
    match file.split_at(at).1.first_chunk::<N>() {
        Some(bytes) => *bytes,
        None => panic!("the model's file is shorter than its source says"),
    }
}

/// The bytes of an array, as they are in memory.
pub fn bytes_of<T: Element, const N: usize>(array: &[T; N]) -> &[u8] {
    array.as_slice().as_bytes()
}

/// A constant that is an operand: its bytes as elements.
#[inline(always)]
pub fn constant<T: Element>(bytes: &'static [u8]) -> Result<&'static [T], Mismatch> {
    <[T]>::ref_from_bytes(bytes).map_err(|_| Mismatch)
}

/// Some bytes of an arena.
#[inline(always)]
fn part<const BYTES: usize>(
    arena: &mut Arena<BYTES>,
    offset: usize,
    len: usize,
) -> Option<&mut [u8]> {
    arena.as_mut_slice().get_mut(offset..)?.get_mut(..len)
}

/// Copies a model's input into its arena; uint8 becomes int8 where `flip` is 0x80.
#[inline(always)]
pub fn write<T: Element, const N: usize, const BYTES: usize>(
    arena: &mut Arena<BYTES>,
    offset: usize,
    flip: u8,
    from: &[T; N],
) {
    let bytes = from.as_slice().as_bytes();
    let Some(to) = part(arena, offset, bytes.len()) else { return };
    if flip == 0 {
        to.copy_from_slice(bytes);
    } else {
        for (to, from) in to.iter_mut().zip(bytes) {
            *to = from ^ flip;
        }
    }
}

/// The tensors of an arena, the first `tensors` bytes of it, and the weights behind them.
#[inline(always)]
pub fn split<const BYTES: usize>(arena: &mut Arena<BYTES>, tensors: usize) -> (&mut [u8], &[u8]) {
    let parts = arena.as_mut_slice().split_at_mut_checked(tensors);
    let (tensors, weights) = parts.unwrap_or_default();
    (tensors, weights)
}

/// Weights that were brought into an arena: some bytes of those that are there.
#[inline(always)]
pub fn resident<T: Element, const N: usize>(
    weights: &[u8],
    offset: usize,
) -> Result<&[T; N], Mismatch> {
    let bytes = weights.get(offset..).and_then(|from| from.get(..size_of::<[T; N]>()));
    let elements = bytes.and_then(|bytes| <[T]>::ref_from_bytes(bytes).ok());
    elements.and_then(|elements| elements.first_chunk()).ok_or(Mismatch)
}

/// Brings weights into an arena.
pub fn bring<const BYTES: usize>(arena: &mut Arena<BYTES>, offset: usize, weights: &[u8]) {
    if let Some(to) = part(arena, offset, weights.len()) {
        to.copy_from_slice(weights);
    }
}

/// Fills a part of a model's arena: state that begins anew.
pub fn fill<const BYTES: usize>(arena: &mut Arena<BYTES>, offset: usize, len: usize, value: u8) {
    part(arena, offset, len).unwrap_or_default().fill(value);
}

/// A model's input in its arena.
#[inline(always)]
pub fn input<T: Element, const N: usize, const BYTES: usize>(
    arena: &mut Arena<BYTES>,
    offset: usize,
) -> &mut [T] {
    let bytes = part(arena, offset, size_of::<[T; N]>());
    bytes.and_then(|bytes| <[T]>::mut_from_bytes(bytes).ok()).unwrap_or_default()
}

/// A model's output in its arena; `otherwise` is for places outside, which the source does not have.
#[inline(always)]
pub fn output<'a, T: Element, const N: usize, const BYTES: usize>(
    arena: &'a Arena<BYTES>,
    offset: usize,
    otherwise: &'static [T; N],
) -> &'a [T; N] {
    let bytes = arena.as_slice().get(offset..).and_then(|from| from.get(..size_of::<[T; N]>()));
    let elements = bytes.and_then(|bytes| <[T]>::ref_from_bytes(bytes).ok());
    elements.and_then(|elements| elements.first_chunk()).unwrap_or(otherwise)
}

/// A constant int8 output as the uint8 that users see.
pub const fn flipped<const N: usize>(stored: [i8; N]) -> [u8; N] {
    let mut out = [0; N];
    let (mut to, mut from) = (out.as_mut_slice(), stored.as_slice());
    while let ([first, rest @ ..], [value, values @ ..]) = (to, from) {
        *first = *value as u8 ^ 0x80;
        (to, from) = (rest, values);
    }
    out
}

/// Turns an int8 output of the arena into the uint8 that users see.
pub fn flip_sign<const BYTES: usize>(arena: &mut Arena<BYTES>, offset: usize, len: usize) {
    for byte in part(arena, offset, len).unwrap_or_default() {
        *byte ^= 0x80;
    }
}
