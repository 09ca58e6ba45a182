//! Activations as `x + 128`, which flips their sign bits.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

/// [`super::super::tiled::Isa::copy`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn copy(to: &mut [MaybeUninit<u8>], from: &[i8]) {
    let sign = _mm512_set1_epi8(i8::MIN);
    let count = to.len().min(from.len());
    let (mut to, mut from) = (to.as_mut_ptr().cast::<i8>(), from.as_ptr());
    let mut left = count;
    while left >= 64 {
        // SAFETY: there are 64 elements left in both.
        unsafe {
            let x = _mm512_loadu_si512(from.cast());
            _mm512_storeu_si512(to.cast(), _mm512_xor_si512(x, sign));
            (to, from) = (to.add(64), from.add(64));
        }
        left -= 64;
    }
    if left > 0 {
        let mask = u64::MAX >> (64 - left);
        // SAFETY: the mask has as many bits as there are elements left.
        unsafe {
            let x = _mm512_maskz_loadu_epi8(mask, from);
            _mm512_mask_storeu_epi8(to, mask, _mm512_xor_si512(x, sign));
        }
    }
}
