//! Activations as `x + 128`, as bytes or as 16-bit numbers.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::dot::Dot;
use crate::arch::tiled::Element;

/// Activations of a vector.
const SIXTEEN: usize = 16;

/// [`super::super::tiled::Isa::copy`].
///
/// # Safety
///
/// The processor has the level's instructions.
#[inline(always)]
pub(in crate::arch) unsafe fn copy<D: Dot<A>, const A: usize>(
    to: &mut [MaybeUninit<D::Element>],
    from: &[i8],
) {
    let count = to.len().min(from.len());
    let (to, from) = (&mut to[..count], &from[..count]);
    if count < SIXTEEN {
        for (to, from) in to.iter_mut().zip(from) {
            *to = MaybeUninit::new(D::Element::new(i32::from(*from) + 128));
        }
        return;
    }
    let (to, from) = (to.as_mut_ptr().cast::<D::Element>(), from.as_ptr());
    let last = count - SIXTEEN;
    let mut i = 0;
    while i < last {
        // SAFETY: both have sixteen elements from `i` on.
        unsafe { D::store(to.add(i), _mm_loadu_si128(from.add(i).cast())) };
        i += SIXTEEN;
    }
    // SAFETY: these are the last sixteen, of which some may have been copied before.
    unsafe { D::store(to.add(last), _mm_loadu_si128(from.add(last).cast())) };
}
