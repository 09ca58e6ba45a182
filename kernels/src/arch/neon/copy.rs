//! Activations as they are.

use core::mem::MaybeUninit;

/// [`super::super::tiled::Isa::copy`].
#[inline(always)]
pub(super) fn copy(to: &mut [MaybeUninit<i8>], from: &[i8]) {
    let count = to.len().min(from.len());
    to[..count].write_copy_of_slice(&from[..count]);
}
