//! Activations as 16-bit numbers, which is what products are of.

use core::arch::wasm32::*;
use core::mem::MaybeUninit;

/// [`super::super::tiled::Isa::copy`].
#[inline]
pub(super) fn copy(to: &mut [MaybeUninit<i16>], from: &[i8]) {
    let (eights, rest) = to.as_chunks_mut::<8>();
    let (from_eights, from_rest) = from.as_chunks::<8>();
    for (to, from) in eights.iter_mut().zip(from_eights) {
        // SAFETY: eight int8, and eight int16.
        unsafe {
            v128_store(to.as_mut_ptr().cast(), i16x8_load_extend_i8x8(from.as_ptr()));
        }
    }
    for (to, from) in rest.iter_mut().zip(from_rest) {
        to.write(i16::from(*from));
    }
}
