//! Products of rows of weights with windows: three rows by two windows, or four rows by one.
//!
//! VMLADAVA multiplies sixteen bytes by sixteen and adds the products to a register: no byte is widened,
//! and weights are read as they lie in the file. Sixteen elements of two windows by three rows:
//!
//! ```text
//! vldrb.u8    q0, [r7], #16       window 0
//! vldrb.u8    q1, [r1], #16       row 0
//! vldrb.u8    q2, [r9], #16       window 1
//! vmladava.s8 r0, q0, q1          window 0, row 0
//! vldrb.u8    q3, [r3], #16       row 1
//! vmladava.s8 r6, q2, q1          window 1, row 0
//! vldrb.u8    q1, [r5], #16       row 2
//! vmladava.s8 r2, q0, q3          and so on
//! vmladava.s8 r8, q2, q3
//! vmladava.s8 r4, q0, q1
//! vmladava.s8 r10, q2, q1
//! letp        lr, …
//! ```
//!
//! are twelve instructions for 96 products; a window that is alone by four rows, ten for 64. A loop of
//! DLSTP and LETP has lanes only for the elements that there are, so that windows of any length have no
//! rest. Sums are in even registers, as VMLADAVA wants them, pointers in odd ones.

use super::pairs;

/// Rows of weights that are multiplied together.
const ROWS: usize = 4;

/// Windows and rows of weights that are multiplied.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// Windows of `depth` elements, one behind the other.
    pub x: &'a [i8],
    /// Elements of a window.
    pub depth: usize,
    /// Rows of weights, from the first element that meets the windows on.
    pub weights: &'a [i8],
    /// From a row of weights to the next.
    pub pitch: usize,
}

/// What sums begin with.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// One number for each row of weights.
    Bias(&'a [i32]),
    /// The sums that are there, of so many rows and one window.
    Sums(usize),
}

impl Product<'_> {
    /// Writes the sums of each window by each row of weights, `sums[window][row]`, of as many windows as
    /// there are. `None` where a slice is too short.
    #[inline(never)]
    pub fn multiply(&self, start: Start<'_>, sums: &mut [i32]) -> Option<()> {
        let Self { x, depth, weights, pitch } = *self;
        let (rows, windows) = match start {
            Start::Bias(bias) => (bias.len(), x.len().checked_div(depth)?),
            Start::Sums(rows) => (rows, 1),
        };
        let sums = sums.get_mut(..rows.checked_mul(windows)?)?;
        let x = x.get(..depth.checked_mul(windows)?)?;
        if sums.is_empty() {
            return Some(());
        }
        let needed = rows.checked_sub(1)?.checked_mul(pitch)?.checked_add(depth)?;
        let weights = weights.get(..needed)?;
        // Windows in pairs, then what is left of them.
        let paired = if rows < pairs::ROWS { 0 } else { windows - windows % 2 };
        if let (Start::Bias(bias), true) = (start, paired > 0) {
            let (x, sums) = (x.get(..paired * depth)?, sums.get_mut(..paired * rows)?);
            // SAFETY: there are `paired × depth` elements, `rows` rows of as many weights, at least three,
            // as many biases, and `paired × rows` sums.
            unsafe { pairs::multiply(x, depth, weights, pitch, bias, sums) };
        }
        let (x, sums) = (x.get(paired * depth..)?, sums.get_mut(paired * rows..)?);
        if sums.is_empty() {
            return Some(());
        }
        let whole = rows - rows % ROWS;
        if whole > 0 {
            // SAFETY: there are windows of `depth` elements, `rows` rows of as many weights and `rows` sums
            // of each window, and a number for each row to begin with, or one window.
            unsafe { four_rows(x, depth, weights, pitch, start, sums, rows) };
        }
        let mut left = sums.chunks_exact_mut(rows.max(1));
        for x in x.chunks_exact(depth.max(1)) {
            for (row, sum) in left.next()?.iter_mut().enumerate().skip(whole) {
                let first = match start {
                    Start::Bias(bias) => *bias.get(row)?,
                    Start::Sums(_) => *sum,
                };
                *sum = dot(first, x, weights.get(row * pitch..)?.get(..depth)?);
            }
        }
        Some(())
    }
}

/// `acc + Σ x·w`; the runs have one length.
#[cfg(not(helium))]
pub(super) fn dot(acc: i32, x: &[i8], w: &[i8]) -> i32 {
    let products = x.iter().zip(w).map(|(&x, &w)| i32::from(x) * i32::from(w));
    products.fold(acc, i32::wrapping_add)
}

/// [`Product::multiply`] of rows four by four.
///
/// # Safety
///
/// `x` has whole windows of `depth` elements, `weights` `rows` rows, of which the last has `depth`
/// elements, `sums` the rows of each window. [`Start::Sums`] is of one window.
#[cfg(not(helium))]
unsafe fn four_rows(
    x: &[i8],
    depth: usize,
    weights: &[i8],
    pitch: usize,
    start: Start<'_>,
    sums: &mut [i32],
    rows: usize,
) {
    for (x, sums) in x.chunks_exact(depth).zip(sums.chunks_exact_mut(rows)) {
        for (row, sum) in sums.iter_mut().enumerate().take(rows - rows % ROWS) {
            let first = match start {
                Start::Bias(bias) => bias[row],
                Start::Sums(_) => *sum,
            };
            *sum = dot(first, x, &weights[row * pitch..][..depth]);
        }
    }
}

#[cfg(helium)]
use assembly::{dot, four_rows};

#[cfg(helium)]
mod assembly {
    use core::arch::{asm, naked_asm};

    use super::{ROWS, Start};

    /// `acc + Σ x·w`; of runs of two lengths as far as both reach.
    pub fn dot(mut acc: i32, x: &[i8], w: &[i8]) -> i32 {
        let len = x.len().min(w.len());
        if len == 0 {
            return acc;
        }
        // SAFETY: reads `len` elements of both.
        unsafe {
            asm!(
                "dlstp.8 lr, {len}",
                "2:",
                "vldrb.u8 q0, [{x}], #16",
                "vldrb.u8 q1, [{w}], #16",
                "vmladava.s8 r0, q0, q1",
                "letp lr, 2b",
                inout("r0") acc,
                x = inout(reg) x.as_ptr() => _,
                w = inout(reg) w.as_ptr() => _,
                len = in(reg) len,
                out("lr") _,
                out("q0") _,
                out("q1") _,
                options(readonly, nostack, preserves_flags),
            );
        }
        acc
    }

    /// What the loop reads from memory.
    #[repr(C)]
    struct Rows {
        x: *const i8,
        sums: *mut i32,
        windows: usize,
        weights: *const i8,
        pitch: usize,
        /// What the sums of each window begin with.
        start: *const i32,
        depth: usize,
        /// Rows four by four, at least one.
        fours: usize,
        /// Bytes of sums of rows that are left to others.
        behind: usize,
        /// Bytes from where a row of weights has been read to, whole vectors, to the fourth behind it.
        skip: usize,
        /// Bytes of whole vectors.
        back: usize,
    }

    /// See [`super::Product::multiply`].
    ///
    /// # Safety
    ///
    /// `x` has whole windows of `depth` elements, `weights` `rows` rows, of which the last has `depth`
    /// elements, `sums` the rows of each window, and there are at least four. [`Start::Sums`] is of one
    /// window.
    #[inline(always)]
    pub unsafe fn four_rows(
        x: &[i8],
        depth: usize,
        weights: &[i8],
        pitch: usize,
        start: Start<'_>,
        sums: &mut [i32],
        rows: usize,
    ) {
        let sums_start = sums.as_mut_ptr();
        let back = depth.next_multiple_of(16);
        let windows = sums.len().checked_div(rows).unwrap_or_default();
        let mut product = Rows {
            x: x.as_ptr(),
            sums: sums_start,
            windows,
            weights: weights.as_ptr(),
            pitch,
            start: match start {
                Start::Bias(bias) => bias.as_ptr(),
                Start::Sums(_) => sums_start,
            },
            depth,
            fours: rows / ROWS,
            behind: rows % ROWS * size_of::<i32>(),
            skip: pitch.wrapping_mul(ROWS).wrapping_sub(back),
            back,
        };
        // SAFETY: the caller's; there is a window, a row of four and an element.
        unsafe { by_four(&raw mut product) }
    }

    /// r8 window, r1, r3, r5, r7 rows of weights, r0, r2, r4, r6 their sums; r9 elements, r10 what sums
    /// begin with, r11 where they go, r12 rows of four that are left. On the stack: the product, how
    /// rows and the window are moved.
    ///
    /// # Safety
    ///
    /// The pointers are those of [`Rows`] with at least one window, one row of four and one element.
    #[unsafe(naked)]
    unsafe extern "C" fn by_four(product: *mut Rows) {
        naked_asm!(
            ".cpu cortex-m55",
            "push {{r4-r11, lr}}",
            "ldrd r1, r2, [r0, #36]",
            "push {{r0-r2}}",
            "1:",
            "ldr r12, [sp]",
            "ldrd r8, r11, [r12]",
            "ldrd r1, r3, [r12, #12]",
            "ldrd r10, r9, [r12, #20]",
            "add r5, r1, r3, lsl #1",
            "add r7, r5, r3",
            "add r3, r1",
            "ldr r12, [r12, #28]",
            "2:",
            "ldrd r0, r2, [r10], #8",
            "ldrd r4, r6, [r10], #8",
            "dlstp.8 lr, r9",
            "3:",
            "vldrb.u8 q0, [r8], #16",
            "vldrb.u8 q1, [r1], #16",
            "vldrb.u8 q2, [r3], #16",
            "vmladava.s8 r0, q0, q1",
            "vldrb.u8 q1, [r5], #16",
            "vmladava.s8 r2, q0, q2",
            "vldrb.u8 q2, [r7], #16",
            "vmladava.s8 r4, q0, q1",
            "vmladava.s8 r6, q0, q2",
            "letp lr, 3b",
            "strd r0, r2, [r11], #8",
            "strd r4, r6, [r11], #8",
            "ldrd r0, r2, [sp, #4]",
            "add r1, r0",
            "add r3, r0",
            "add r5, r0",
            "add r7, r0",
            "subs r8, r2",
            "subs r12, #1",
            "bne 2b",
            // The next window begins where this one ends.
            "ldr r12, [sp]",
            "add r8, r9",
            "ldr r0, [r12, #32]",
            "ldr r1, [r12, #8]",
            "add r11, r0",
            "subs r1, #1",
            "strd r8, r11, [r12]",
            "str r1, [r12, #8]",
            "bne 1b",
            "add sp, #12",
            "pop {{r4-r11, pc}}",
        )
    }
}
