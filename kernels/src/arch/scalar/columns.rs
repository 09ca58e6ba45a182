//! The inner loop of depthwise convolution: four channels, a tap of each.
//!
//! A column of an image is the rows of taps from the first to the last, four channels of each widened to
//! words; columns follow each other, and a window is neighbouring columns. Weights are put in the
//! same order, so that a window is a run of words:
//!
//! ```text
//! ldm.w r0!, {r8-r11}            a tap of four channels
//! ldm.w r1!, {r2, r3, r12, lr}   their weights
//! mla r4, r8, r2, r4             channel 0
//! …                              three more
//! ```
//!
//! 1.5 instructions a product on a Cortex-M3, 2.75 on a Cortex-M0. A column is made once for all windows
//! that it is in.

#[cfg(any(armv6m, armv7m))]
use super::assembly;

/// Rows of taps that are put together: none.
pub(super) const TAPS: usize = 1;

/// A tap of four channels.
pub(super) type Pair = [i32; 4];

/// One tap of each of four channels; there are never two.
#[inline(always)]
pub(super) fn pair(a: [i8; 4], _: [i8; 4]) -> Pair {
    single(a)
}

/// One tap of each of four channels.
#[inline(always)]
pub(super) fn single(a: [i8; 4]) -> Pair {
    a.map(i32::from)
}

/// The weights that a [`single`] is multiplied with.
#[inline(always)]
pub(super) fn single_weights(a: [i8; 4]) -> Pair {
    single(a)
}

/// The sums of windows that begin `step` taps from each other, of as many taps as there are weights.
#[cfg(not(any(armv6m, armv7m)))]
#[inline(never)]
pub(super) fn multiply(accs: &mut [[i32; 4]], x: &[Pair], weights: &[Pair], step: usize) {
    let mut x = x;
    for accs in accs {
        let [mut acc0, mut acc1, mut acc2, mut acc3] = [0_i32; 4];
        for (&[x0, x1, x2, x3], &[w0, w1, w2, w3]) in x.iter().zip(weights) {
            acc0 = acc0.wrapping_add(x0.wrapping_mul(w0));
            acc1 = acc1.wrapping_add(x1.wrapping_mul(w1));
            acc2 = acc2.wrapping_add(x2.wrapping_mul(w2));
            acc3 = acc3.wrapping_add(x3.wrapping_mul(w3));
        }
        *accs = [acc0, acc1, acc2, acc3];
        x = x.get(step..).unwrap_or_default();
    }
}

/// What the loop reads from memory.
#[cfg(any(armv6m, armv7m))]
#[repr(C)]
pub(super) struct Windows {
    x: *const [i32; 4],
    weights: *const [i32; 4],
    weights_end: *const [i32; 4],
    accs: *mut [i32; 4],
    accs_end: *mut [i32; 4],
    /// Bytes from the end of a window to the beginning of the next.
    back: isize,
}

/// The sums of windows that begin `step` taps from each other, of as many taps as there are weights.
#[cfg(any(armv6m, armv7m))]
#[inline(never)]
pub(super) fn multiply(accs: &mut [[i32; 4]], x: &[Pair], weights: &[Pair], step: usize) {
    let last = accs.len().saturating_sub(1).checked_mul(step);
    let end = last.and_then(|last| last.checked_add(weights.len()));
    if accs.is_empty() || weights.is_empty() || end.is_none_or(|end| end > x.len()) {
        return;
    }
    let back = step.wrapping_sub(weights.len()).wrapping_mul(size_of::<Pair>());
    let (accs, weights) = (accs.as_mut_ptr_range(), weights.as_ptr_range());
    let windows = Windows {
        x: x.as_ptr(),
        weights: weights.start,
        weights_end: weights.end,
        accs: accs.start,
        accs_end: accs.end,
        back: back as isize,
    };
    // SAFETY: there are sums and weights, and windows lie within `x`, as has been compared.
    unsafe { assembly::sums(&raw const windows) }
}
