//! The inner loop of depthwise convolution: four channels, two taps at once.
//!
//! Of two rows of taps, the bytes of four channels are widened and put beside each other, so that a
//! word has the two taps of a channel. A column of an image is such words for each two rows of the
//! kernel, from the first to the last; columns follow each other, and a window is neighbouring columns.
//! Weights are put in the same order, so that a window is a run of words:
//!
//! ```text
//! row a   c0 c1 c2 c3            c0: a b   c1: a b   c2: a b   c3: a b
//! row b   c0 c1 c2 c3
//!
//! ldm.w r0!, {r8-r11}            two taps of four channels
//! ldm.w r1!, {r12, …}            their weights
//! smlad r4, r8, …, r4            channel 0
//! …
//! ```
//!
//! Six instructions for eight products, 0.75 each. A column is made once for all windows that it is in;
//! of the last row of an odd number there is nothing to be put together, and half of the weights are 0.

use super::{lower_halves, sxtb16, sxtb16_ror_8, upper_halves};

/// Rows of taps that are put together.
pub(super) const TAPS: usize = 2;

/// Two taps of four channels, a word for each channel.
pub(super) type Pair = [u32; 4];

/// Two taps of each of four channels.
#[inline(always)]
pub(super) fn pair(a: [i8; 4], b: [i8; 4]) -> Pair {
    let ([a_even, a_odd], [b_even, b_odd]) = (widen(a), widen(b));
    [
        lower_halves(a_even, b_even),
        lower_halves(a_odd, b_odd),
        upper_halves(a_even, b_even),
        upper_halves(a_odd, b_odd),
    ]
}

/// One tap of each of four channels, each beside one of another.
#[inline(always)]
pub(super) fn single(a: [i8; 4]) -> Pair {
    let [even, odd] = widen(a);
    [even, odd, even, odd]
}

/// The weights that a [`single`] is multiplied with: 0 for what is beside.
#[inline(always)]
pub(super) fn single_weights(a: [i8; 4]) -> Pair {
    let [even, odd] = widen(a);
    [even & 0xFFFF, odd & 0xFFFF, even & 0xFFFF_0000, odd & 0xFFFF_0000]
}

/// Channels 0 and 2, channels 1 and 3.
#[inline(always)]
fn widen(bytes: [i8; 4]) -> [u32; 2] {
    let word = u32::from_le_bytes(bytes.map(|byte| byte as u8));
    [sxtb16(word), sxtb16_ror_8(word)]
}

/// The sums of windows that begin `step` pairs from each other, of as many pairs as there are
/// weights.
#[cfg(not(dsp))]
pub(super) fn multiply(accs: &mut [[i32; 4]], x: &[Pair], weights: &[Pair], step: usize) {
    for (i, accs) in accs.iter_mut().enumerate() {
        *accs = [0; 4];
        for (x, w) in x.iter().skip(i * step).zip(weights) {
            for ((acc, &x), &w) in accs.iter_mut().zip(x).zip(w) {
                *acc = super::smlad(x, w, *acc);
            }
        }
    }
}

#[cfg(dsp)]
pub(super) use assembly::multiply;

#[cfg(dsp)]
mod assembly {
    use core::arch::naked_asm;

    use super::Pair;

    /// What the loop reads from memory.
    #[repr(C)]
    struct Windows {
        x: *const Pair,
        weights: *const Pair,
        weights_end: *const Pair,
        accs: *mut [i32; 4],
        accs_end: *mut [i32; 4],
        /// Bytes from the end of a window to the beginning of the next.
        back: isize,
    }

    /// The sums of windows that begin `step` pairs from each other, of as many pairs as there are
    /// weights.
    #[inline(never)]
    pub fn multiply(accs: &mut [[i32; 4]], x: &[Pair], weights: &[Pair], step: usize) {
        let last = accs.len().saturating_sub(1).checked_mul(step);
        let end = last.and_then(|last| last.checked_add(weights.len()));
        if accs.is_empty() || weights.is_empty() || end.is_none_or(|end| end > x.len()) {
            return;
        }
        let back = step.wrapping_mul(size_of::<Pair>()).wrapping_sub(size_of_val(weights));
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
        unsafe { sums(&raw const windows) }
    }

    /// r0 activations, r1 weights; r4-r7 sums, r8-r11 activations, r2, r3, r12 and lr weights. On the
    /// stack: where the loop is entered, and the windows, of which the sums' beginning moves.
    ///
    /// # Safety
    ///
    /// The pointers are those of a [`Windows`] with at least one sum and one pair of weights.
    #[unsafe(naked)]
    unsafe extern "C" fn sums(windows: *const Windows) {
        naked_asm!(
            core!(),
            "push {{r0, r4-r11, lr}}",
            "ldm r0, {{r0, r1, r2, r3, r4, r5}}",
            // r0 activations, r1 weights, r2 their end, r3 sums, r4 their end, r5 back.
            // Of six steps in the loop, 24 bytes each, the first turn does what is more than sixes.
            "subs r6, r2, r1",
            "lsrs r6, r6, #4",
            "movs r7, #6",
            "subs r6, #1",
            "udiv r8, r6, r7",
            "mls r6, r8, r7, r6",
            "adds r6, #1",
            "movs r7, #24",
            "mul r6, r6, r7",
            "adr r7, 3f",
            "subs r6, r7, r6",
            "orr r6, r6, #1",
            // sp: entry, weights, their end, sums, their end, back.
            "push {{r1-r5}}",
            "push {{r6}}",
            "1:",
            "movs r4, #0",
            "movs r5, #0",
            "movs r6, #0",
            "movs r7, #0",
            "ldr r1, [sp, #4]",
            "ldr pc, [sp]",
            ".p2align 2",
            "2:",
            ".rept 6",
            "ldm.w r0!, {{r8-r11}}",
            "ldm.w r1!, {{r2, r3, r12, lr}}",
            "smlad r4, r8, r2, r4",
            "smlad r5, r9, r3, r5",
            "smlad r6, r10, r12, r6",
            "smlad r7, r11, lr, r7",
            ".endr",
            "3:",
            "ldr r2, [sp, #8]",
            "cmp r1, r2",
            "bne 2b",
            "add r8, sp, #12",
            "ldm r8, {{r2, r3, r9}}",
            "stm r2!, {{r4-r7}}",
            "add r0, r9",
            "str r2, [r8]",
            "cmp r2, r3",
            "bne 1b",
            "add sp, #28",
            "pop {{r4-r11, pc}}",
        )
    }
}
