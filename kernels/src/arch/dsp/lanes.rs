//! Products of rows of weights with activations that have been widened to 16 bits before.
//!
//! Of weights and activations as they lie in memory, two instructions of three widen bytes (see
//! [`super::dot`]). Here activations are widened once for all channels, and weights once for four
//! positions, whose activations lie beside each other: elements 0 and 2 of four positions, elements
//! 1 and 3 of four positions, elements 4 and 6 …, in the order in which SXTB16 widens a word of
//! weights. So weights stay as they are in the file. Four elements of four positions:
//!
//! ```text
//! ldr    lr, [r1], #4             weights 0 1 2 3 of the row
//! ldm    r0!, {r8-r11}            elements 0 2 of positions 0 1 2 3
//! sxtb16 r12, lr                  weights 0 2
//! sxtb16 lr, lr, ror #8           weights 1 3
//! smlad  r4, r8, r12, r4          position 0
//! smlad  r5, r9, r12, r5          position 1
//! smlad  r6, r10, r12, r6         position 2
//! smlad  r7, r11, r12, r7         position 3
//! ldm    r0!, {r8-r11}            elements 1 3 of positions 0 1 2 3
//! smlad  r4, r8, lr, r4
//! …
//! ```
//!
//! are 13 instructions for 16 products, 0.81 each, and 0.02 for the loop over eight of them. It is
//! entered in the middle where elements are no multiple of 32. All fourteen registers are used.
//!
//! Where there is one position, two rows of weights share its activations: 19 instructions for 16
//! products.

use super::{smlad, sxtb16, sxtb16_ror_8};

/// Elements whose activations are widened together.
pub(super) const STEP: usize = 4;

/// Elements of four windows that are widened at once, a multiple of [`STEP`].
pub(super) const DEPTH: usize = 96;

/// Four elements of `P` positions: elements 0 and 2 of each, elements 1 and 3 of each.
pub(super) type Quad<const P: usize> = [[u32; P]; 2];

/// Widens `x` to the elements of position `lane`. Elements behind the last are 0 up to a multiple of
/// four.
#[inline(never)]
pub(super) fn widen<const P: usize>(x: &[i8], lane: usize, quads: &mut [Quad<P>]) {
    let (words, rest) = x.as_chunks::<STEP>();
    let Some((whole, behind)) = quads.split_at_mut_checked(words.len()) else { return };
    if lane >= P {
        return;
    }
    widen_words(words, lane, whole);
    if let ([_, ..], [[even, odd], ..]) = (rest, behind) {
        let mut word = [0; STEP];
        for (to, from) in word.iter_mut().zip(rest) {
            *to = *from as u8;
        }
        let word = u32::from_le_bytes(word);
        (even[lane], odd[lane]) = (sxtb16(word), sxtb16_ror_8(word));
    }
}

/// [`widen`] of whole words, as many as there are quads, to a lane below `P`.
#[cfg(not(dsp))]
pub(super) fn widen_words<const P: usize>(
    words: &[[i8; STEP]],
    lane: usize,
    quads: &mut [Quad<P>],
) {
    for (word, [even, odd]) in words.iter().zip(quads) {
        let word = u32::from_le_bytes(word.map(|byte| byte as u8));
        (even[lane], odd[lane]) = (sxtb16(word), sxtb16_ror_8(word));
    }
}

/// Gives all elements of position `lane` this value.
pub(super) fn fill<const P: usize>(x: i8, lane: usize, quads: &mut [Quad<P>]) {
    let word = sxtb16(u32::from_le_bytes([x as u8; STEP]));
    for [even, odd] in quads {
        (even[lane % P], odd[lane % P]) = (word, word);
    }
}

/// `Σ x` of each position.
#[inline(never)]
pub(super) fn sums<const P: usize>(quads: &[Quad<P>], sums: &mut [i32; P]) {
    for [even, odd] in quads {
        for ((sum, &even), &odd) in sums.iter_mut().zip(even).zip(odd) {
            *sum = smlad(odd, 0x0001_0001, smlad(even, 0x0001_0001, *sum));
        }
    }
}

/// Adds to `accs[r][p]`, which is 0 where it is the `first` part, the product of row `r` of weights
/// with position `p`. Row `r` begins at `weights[r × pitch]`; it is read as far as there are
/// activations, up to a multiple of four, and what the weights have no more counts as 0.
#[inline(never)]
pub(super) fn multiply(
    accs: &mut [[i32; 4]],
    first: bool,
    quads: &[Quad<4>],
    weights: &[i8],
    pitch: usize,
) {
    let whole = whole_rows(accs.len(), quads.len(), weights, pitch);
    let Some((whole, rest)) = accs.split_at_mut_checked(whole) else { return };
    let rows = whole.len();
    if let ([_, ..], [_, ..]) = (&*whole, quads) {
        rows_by_four(whole, first, quads, weights, pitch);
    }
    for (r, acc) in rest.iter_mut().enumerate() {
        let row = weights.get((rows + r).wrapping_mul(pitch)..).unwrap_or_default();
        *acc = one_row(if first { [0; 4] } else { *acc }, quads, row);
    }
}

/// [`multiply`] of one position.
#[inline(never)]
pub(super) fn multiply_one(
    accs: &mut [i32],
    first: bool,
    quads: &[Quad<1>],
    weights: &[i8],
    pitch: usize,
) {
    let (pairs, _) = accs.as_chunks_mut::<2>();
    let aligned = (weights.as_ptr() as usize | pitch).is_multiple_of(STEP);
    let needed = (2 * pairs.len()).saturating_sub(1).saturating_mul(pitch) + quads.len() * STEP;
    let even = !quads.is_empty() && quads.len().is_multiple_of(2);
    let mut done = 0;
    if aligned && even && !pairs.is_empty() && needed <= weights.len() {
        done = 2 * pairs.len();
        pairs_of_rows(pairs, first, quads, weights, pitch);
    }
    for (r, acc) in accs.iter_mut().enumerate().skip(done) {
        let row = weights.get(r.wrapping_mul(pitch)..).unwrap_or_default();
        [*acc] = one_row([if first { 0 } else { *acc }], quads, row);
    }
}

/// How many rows, of at most `rows`, have weights for all of `quads`. The last has not where its
/// length is no multiple of four.
#[inline(always)]
fn whole_rows(rows: usize, quads: usize, weights: &[i8], pitch: usize) -> usize {
    let needed = |rows: usize| rows.checked_sub(1)?.checked_mul(pitch)?.checked_add(quads * STEP);
    let fits = |rows: usize| needed(rows).is_some_and(|needed| needed <= weights.len());
    if fits(rows) {
        rows
    } else {
        let fewer = rows.saturating_sub(1);
        if fits(fewer) { fewer } else { 0 }
    }
}

/// One row of weights, by words, and the last weights one by one.
#[inline(never)]
fn one_row<const P: usize>(mut acc: [i32; P], quads: &[Quad<P>], row: &[i8]) -> [i32; P] {
    let (words, rest) = row.as_chunks::<STEP>();
    let mut last = [0; STEP];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    for ([even, odd], word) in quads.iter().zip(words.iter().chain([&last])) {
        let word = u32::from_le_bytes(word.map(|byte| byte as u8));
        let (w_even, w_odd) = (sxtb16(word), sxtb16_ror_8(word));
        for ((acc, &even), &odd) in acc.iter_mut().zip(even).zip(odd) {
            *acc = smlad(odd, w_odd, smlad(even, w_even, *acc));
        }
    }
    acc
}

/// [`multiply`] of rows that are [`whole_rows`]. There are rows and quads.
#[cfg(not(dsp))]
fn rows_by_four(
    accs: &mut [[i32; 4]],
    first: bool,
    quads: &[Quad<4>],
    weights: &[i8],
    pitch: usize,
) {
    for (r, acc) in accs.iter_mut().enumerate() {
        *acc = one_row(
            if first { [0; 4] } else { *acc },
            quads,
            weights.get(r * pitch..).unwrap_or_default(),
        );
    }
}

/// [`multiply_one`] of rows two by two. There are rows, and quads, of which the number is even.
#[cfg(not(dsp))]
fn pairs_of_rows(
    accs: &mut [[i32; 2]],
    first: bool,
    quads: &[Quad<1>],
    weights: &[i8],
    pitch: usize,
) {
    for (r, acc) in accs.as_flattened_mut().iter_mut().enumerate() {
        [*acc] = one_row(
            [if first { 0 } else { *acc }],
            quads,
            weights.get(r * pitch..).unwrap_or_default(),
        );
    }
}

#[cfg(dsp)]
pub(super) use assembly::widen_words;
#[cfg(dsp)]
use assembly::{pairs_of_rows, rows_by_four};

#[cfg(dsp)]
mod assembly {
    use core::arch::{asm, naked_asm};

    use super::{Quad, STEP};

    /// [`super::widen`] of whole words, as many as there are quads, to a lane below `P`. Seven
    /// instructions a word; the compiler would unroll it wherever it is called.
    #[inline(always)]
    pub fn widen_words<const P: usize>(words: &[[i8; STEP]], lane: usize, quads: &mut [Quad<P>]) {
        if words.is_empty() || words.len() != quads.len() || lane >= P {
            return;
        }
        let words = words.as_ptr_range();
        // SAFETY: reads the words, and writes two lanes of as many quads.
        unsafe {
            asm!(
                "2:",
                "ldr {word}, [{x}], #4",
                "sxtb16 {even}, {word}",
                "sxtb16 {word}, {word}, ror #8",
                "str {word}, [{to}, #{odd}]",
                "str {even}, [{to}], #{quad}",
                "cmp {x}, {end}",
                "bne 2b",
                x = inout(reg) words.start => _,
                end = in(reg) words.end,
                to = inout(reg) quads.as_mut_ptr().cast::<u32>().wrapping_add(lane) => _,
                word = out(reg) _,
                even = out(reg) _,
                odd = const 4 * P,
                quad = const 8 * P,
                options(nostack),
            );
        }
    }

    /// What the loops read from memory.
    #[repr(C)]
    struct Product {
        accs: *mut [i32; 4],
        accs_end: *mut [i32; 4],
        x: *const u32,
        x_end: *const u32,
        weights: *const i8,
        /// Bytes from the end of what is read of a row, or of four, to the beginning of the next.
        skip: isize,
        /// Bytes from a row to the next.
        pitch: usize,
        /// Whether there are sums already; else 0.
        continued: u32,
    }

    /// See [`super::multiply`].
    #[inline(always)]
    pub fn rows_by_four(
        accs: &mut [[i32; 4]],
        first: bool,
        quads: &[Quad<4>],
        weights: &[i8],
        pitch: usize,
    ) {
        let accs = accs.as_mut_ptr_range();
        let x = quads.as_flattened().as_flattened().as_ptr_range();
        let product = Product {
            accs: accs.start,
            accs_end: accs.end,
            x: x.start,
            x_end: x.end,
            weights: weights.as_ptr(),
            skip: pitch.wrapping_sub(quads.len() * STEP) as isize,
            pitch,
            continued: (!first).into(),
        };
        // SAFETY: there are sums, of which the loop reads and writes the ones between the pointers,
        // and quads, of which it reads all for each; of weights it reads a word for each quad, row by
        // row, which the caller says there are.
        unsafe { by_four(&raw const product) }
    }

    /// See [`super::multiply_one`].
    #[inline(always)]
    pub fn pairs_of_rows(
        accs: &mut [[i32; 2]],
        first: bool,
        quads: &[Quad<1>],
        weights: &[i8],
        pitch: usize,
    ) {
        let accs = accs.as_mut_ptr_range();
        let x = quads.as_flattened().as_flattened().as_ptr_range();
        let product = Product {
            accs: accs.start.cast(),
            accs_end: accs.end.cast(),
            x: x.start,
            x_end: x.end,
            weights: weights.as_ptr(),
            skip: pitch.wrapping_mul(2).wrapping_sub(quads.len() * STEP) as isize,
            pitch,
            continued: (!first).into(),
        };
        // SAFETY: as in `rows_by_four`, with two rows for each two sums, of an even number of quads; words
        // of weights are aligned.
        unsafe { two_rows(&raw const product) }
    }

    /// r0 activations, r1 weights, r2 sums, r3 end of the activations; r4-r7 sums, r8-r11 activations,
    /// r12 and lr weights. On the stack: where the loop is entered, and the product.
    ///
    /// # Safety
    ///
    /// The pointers are those of a [`Product`] with at least one sum and one activation.
    #[unsafe(naked)]
    unsafe extern "C" fn by_four(product: *const Product) {
        naked_asm!(
            core!(),
            "push {{r0, r4-r11, lr}}",
            "ldr r2, [r0]",
            "ldr r1, [r0, #16]",
            "ldr r4, [r0, #8]",
            "ldr r3, [r0, #12]",
            // Of eight steps in the loop, 52 bytes each, the first turn does the odd ones.
            "subs r4, r3, r4",
            "subs r4, #32",
            "ubfx r4, r4, #5, #3",
            "adds r4, #1",
            "movs r5, #52",
            "mul r4, r4, r5",
            "adr r5, 3f",
            "subs r5, r5, r4",
            "orr r5, r5, #1",
            "push {{r5}}",
            "1:",
            "ldr r0, [sp, #4]",
            "ldr r4, [r0, #28]",
            "ldr r0, [r0, #8]",
            "cbnz r4, 4f",
            "movs r5, #0",
            "movs r6, #0",
            "movs r7, #0",
            "ldr pc, [sp]",
            "4:",
            "ldm r2, {{r4-r7}}",
            "ldr pc, [sp]",
            ".p2align 2",
            "2:",
            ".rept 8",
            "ldr lr, [r1], #4",
            "ldm.w r0!, {{r8-r11}}",
            "sxtb16 r12, lr",
            "sxtb16 lr, lr, ror #8",
            "smlad r4, r8, r12, r4",
            "smlad r5, r9, r12, r5",
            "smlad r6, r10, r12, r6",
            "smlad r7, r11, r12, r7",
            "ldm.w r0!, {{r8-r11}}",
            "smlad r4, r8, lr, r4",
            "smlad r5, r9, lr, r5",
            "smlad r6, r10, lr, r6",
            "smlad r7, r11, lr, r7",
            ".endr",
            "3:",
            "cmp r0, r3",
            "bne 2b",
            "ldr r12, [sp, #4]",
            "stm r2!, {{r4-r7}}",
            "ldr lr, [r12, #20]",
            "ldr r12, [r12, #4]",
            "add r1, lr",
            "cmp r2, r12",
            "bne 1b",
            "add sp, #8",
            "pop {{r4-r11, pc}}",
        )
    }

    /// r0 activations, r1 and r2 weights of two rows, r3 end of the activations; r4 and r5 sums, r6-r9
    /// activations, r10-r12 weights, lr where sums are. On the stack as in [`by_four`].
    ///
    /// # Safety
    ///
    /// As [`by_four`], with an even number of quads, and weights that are aligned.
    #[unsafe(naked)]
    unsafe extern "C" fn two_rows(product: *const Product) {
        naked_asm!(
            core!(),
            "push {{r0, r4-r11, lr}}",
            "ldr lr, [r0]",
            "ldr r1, [r0, #16]",
            "ldr r2, [r0, #24]",
            "ldrd r4, r3, [r0, #8]",
            "add r2, r1",
            // Of four steps in the loop, 76 bytes each, the first turn does the odd ones.
            "subs r4, r3, r4",
            "subs r4, #16",
            "ubfx r4, r4, #4, #2",
            "adds r4, #1",
            "movs r5, #76",
            "mul r4, r4, r5",
            "adr r5, 3f",
            "subs r5, r5, r4",
            "orr r5, r5, #1",
            "push {{r5}}",
            "1:",
            "ldr r0, [sp, #4]",
            "ldr r4, [r0, #28]",
            "ldr r0, [r0, #8]",
            "movs r5, #0",
            "cbz r4, 4f",
            "ldrd r4, r5, [lr]",
            "4:",
            "ldr pc, [sp]",
            ".p2align 2",
            "2:",
            ".rept 4",
            "ldm.w r0!, {{r6-r9}}",
            "ldrd r10, r11, [r1], #8",
            "sxtb16 r12, r10",
            "sxtb16 r10, r10, ror #8",
            "smlad r4, r6, r12, r4",
            "smlad r4, r7, r10, r4",
            "sxtb16 r12, r11",
            "sxtb16 r11, r11, ror #8",
            "smlad r4, r8, r12, r4",
            "smlad r4, r9, r11, r4",
            "ldrd r10, r11, [r2], #8",
            "sxtb16 r12, r10",
            "sxtb16 r10, r10, ror #8",
            "smlad r5, r6, r12, r5",
            "smlad r5, r7, r10, r5",
            "sxtb16 r12, r11",
            "sxtb16 r11, r11, ror #8",
            "smlad r5, r8, r12, r5",
            "smlad r5, r9, r11, r5",
            ".endr",
            "3:",
            "cmp r0, r3",
            "bne 2b",
            "ldr r12, [sp, #4]",
            "strd r4, r5, [lr], #8",
            "ldr r10, [r12, #20]",
            "ldr r12, [r12, #4]",
            "add r1, r10",
            "add r2, r10",
            "cmp lr, r12",
            "bne 1b",
            "add sp, #8",
            "pop {{r4-r11, pc}}",
        )
    }
}
