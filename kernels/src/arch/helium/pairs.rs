//! Products of two windows at a time with three rows of weights, see [`super::product`].
//!
//! Rows that are no multiple of three end with the last three, of which one or two are computed again.

/// Rows of weights that are multiplied with two windows.
pub(super) const ROWS: usize = 3;

/// [`super::product::Product::multiply`] of two windows at a time.
///
/// # Safety
///
/// `x` has whole pairs of windows of `depth` elements, at least one, `weights` a row for each of at least
/// three biases, of which the last has `depth` elements, `sums` the rows of each window.
#[cfg(not(helium))]
pub(super) unsafe fn multiply(
    x: &[i8],
    depth: usize,
    weights: &[i8],
    pitch: usize,
    bias: &[i32],
    sums: &mut [i32],
) {
    for (x, sums) in x.chunks_exact(depth).zip(sums.chunks_exact_mut(bias.len())) {
        for (row, (sum, &bias)) in sums.iter_mut().zip(bias).enumerate() {
            *sum = super::product::dot(bias, x, &weights[row * pitch..][..depth]);
        }
    }
}

/// What the loop reads from memory: the first five in its registers, the next five on its
/// stack.
#[cfg(helium)]
#[repr(C)]
struct Pairs {
    weights: *const i8,
    x: *const i8,
    sums: *mut i32,
    bias: *const i32,
    pitch: usize,
    /// Bytes of whole vectors.
    back: usize,
    /// Bytes from where a row of weights has been read to, whole vectors, to the third behind it.
    skip: usize,
    /// Bytes from behind the sums of three rows of a window to those of the next window.
    second: usize,
    /// The last three biases.
    last: *const i32,
    depth: usize,
    /// Pairs of windows.
    pairs: usize,
    /// Bytes from a pair of windows to the next, and from their sums.
    windows: usize,
    window_sums: usize,
}

/// See [`super::product::Product::multiply`].
///
/// # Safety
///
/// `x` has whole pairs of windows of `depth` elements, at least one, `weights` a row for each of at
/// least three biases, of which the last has `depth` elements, `sums` the rows of each window.
#[cfg(helium)]
#[inline(always)]
pub(super) unsafe fn multiply(
    x: &[i8],
    depth: usize,
    weights: &[i8],
    pitch: usize,
    bias: &[i32],
    sums: &mut [i32],
) {
    let (back, rows) = (depth.next_multiple_of(16), bias.len());
    let tile = ROWS * size_of::<i32>();
    let mut product = Pairs {
        weights: weights.as_ptr(),
        x: x.as_ptr(),
        sums: sums.as_mut_ptr(),
        bias: bias.as_ptr(),
        pitch,
        back,
        skip: pitch.wrapping_mul(ROWS).wrapping_sub(back),
        second: size_of_val(bias).wrapping_sub(tile),
        last: bias.as_ptr().wrapping_add(rows.wrapping_sub(ROWS)),
        depth,
        pairs: sums.len().checked_div(2 * rows).unwrap_or_default(),
        windows: 2 * depth,
        window_sums: 2 * size_of_val(bias),
    };
    // SAFETY: the caller's; there is a pair, an element and a tile.
    unsafe { by_pairs(&raw mut product) }
}

/// r1, r3, r5 rows of weights, r7, r9 windows, r0, r2, r4 sums of the first, r6, r8, r10 of the second;
/// r11 biases, r12 where the first window's sums go. On the stack: what [`Pairs`] has there, and the
/// product. The last three rows may be some of those before, again.
///
/// # Safety
///
/// The pointers are those of [`Pairs`] with at least one pair, three rows and one element.
#[cfg(helium)]
#[unsafe(naked)]
unsafe extern "C" fn by_pairs(product: *mut Pairs) {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "mov r5, r0",
        "adds r0, #20",
        "ldm r0, {{r0-r4}}",
        "push {{r0-r5}}",
        "1:",
        "ldr r12, [sp, #20]",
        "ldrd r1, r7, [r12]",
        "ldr r3, [r12, #16]",
        "ldr r9, [sp, #16]",
        "add r5, r1, r3, lsl #1",
        "add r3, r1",
        "add r9, r7",
        "ldrd r12, r11, [r12, #8]",
        "2:",
        "ldm r11!, {{r0, r2, r4}}",
        "mov r6, r0",
        "mov r8, r2",
        "mov r10, r4",
        "ldr lr, [sp, #16]",
        "dlstp.8 lr, lr",
        "3:",
        "vldrb.u8 q0, [r7], #16",
        "vldrb.u8 q1, [r1], #16",
        "vldrb.u8 q2, [r9], #16",
        "vmladava.s8 r0, q0, q1",
        "vldrb.u8 q3, [r3], #16",
        "vmladava.s8 r6, q2, q1",
        "vldrb.u8 q1, [r5], #16",
        "vmladava.s8 r2, q0, q3",
        "vmladava.s8 r8, q2, q3",
        "vmladava.s8 r4, q0, q1",
        "vmladava.s8 r10, q2, q1",
        "letp lr, 3b",
        "stm r12!, {{r0, r2, r4}}",
        "ldm sp, {{r0, r2, r4, lr}}",
        "add r4, r12",
        "stm r4, {{r6, r8, r10}}",
        "subs r7, r0",
        "subs r9, r0",
        "add r1, r2",
        "add r3, r2",
        "add r5, r2",
        "cmp r11, lr",
        "bls 2b",
        // One or two rows are left, or none.
        "sub r0, r11, lr",
        "cmp r0, #12",
        "beq 4f",
        "sub r11, r0",
        "sub r12, r0",
        "ldr r2, [sp, #20]",
        "ldr r2, [r2, #16]",
        "lsrs r0, r0, #2",
        "muls r0, r2, r0",
        "subs r1, r0",
        "subs r3, r0",
        "subs r5, r0",
        "b 2b",
        // The next pair.
        "4:",
        "ldr r12, [sp, #20]",
        "ldrd r0, r2, [r12, #44]",
        "ldrd r4, r6, [r12, #4]",
        "ldr r8, [r12, #40]",
        "add r4, r0",
        "add r6, r2",
        "strd r4, r6, [r12, #4]",
        "subs r8, #1",
        "str r8, [r12, #40]",
        "bne 1b",
        "add sp, #24",
        "pop {{r4-r11, pc}}",
    )
}
