//! Inner loops for Cortex-M3.

use core::arch::naked_asm;

use super::columns::Windows;
use super::lanes::Product;

/// r0 activations, r1 weights, r2 sums, r3 end of the activations; r4-r7 sums, r8-r11 activations, lr
/// a weight; r12 where the loop is entered. On the stack: the product.
///
/// # Safety
///
/// The pointers are those of a [`Product`] with at least one sum and one element.
#[unsafe(naked)]
pub unsafe extern "C" fn by_four(product: *const Product) {
    naked_asm!(
        "push {{r0, r4-r11, lr}}",
        "ldr r2, [r0]",
        "ldr r1, [r0, #16]",
        "ldr r4, [r0, #8]",
        "ldr r3, [r0, #12]",
        // Of eight steps in the loop, 24 bytes each, the first turn does the odd ones.
        "subs r4, r3, r4",
        "subs r4, #16",
        "ubfx r4, r4, #4, #3",
        "adds r4, #1",
        "movs r5, #24",
        "mul r4, r4, r5",
        "adr r5, 3f",
        "subs r5, r5, r4",
        "orr r12, r5, #1",
        "1:",
        "ldr lr, [sp]",
        "movs r5, #0",
        "ldr r4, [lr, #24]",
        "ldr r0, [lr, #8]",
        "movs r6, #0",
        "cbnz r4, 4f",
        "movs r7, #0",
        "bx r12",
        "4:",
        "ldm r2, {{r4-r7}}",
        "bx r12",
        ".p2align 2",
        "2:",
        ".rept 8",
        "ldrsb lr, [r1], #1",
        "ldm.w r0!, {{r8-r11}}",
        "mla r4, r8, lr, r4",
        "mla r5, r9, lr, r5",
        "mla r6, r10, lr, r6",
        "mla r7, r11, lr, r7",
        ".endr",
        "3:",
        "cmp r0, r3",
        "bne 2b",
        "ldr r8, [sp]",
        "stm r2!, {{r4-r7}}",
        "ldrd r8, r9, [r8, #20]",
        "add r1, r8",
        "ldr r8, [sp]",
        "ldr r8, [r8, #4]",
        "cmp r2, r8",
        "bne 1b",
        "add sp, #4",
        "pop {{r4-r11, pc}}",
    )
}

/// r0 activations, r1 weights; r4-r7 sums, r8-r11 activations, r2, r3, r12 and lr weights. On the
/// stack: where the loop is entered, and the windows, of which the sums' beginning moves.
///
/// # Safety
///
/// The pointers are those of a [`Windows`] with at least one sum and one tap.
#[unsafe(naked)]
pub unsafe extern "C" fn sums(windows: *const Windows) {
    naked_asm!(
        "push {{r4-r11, lr}}",
        "ldm r0, {{r0-r5}}",
        // r0 activations, r1 weights, r2 their end, r3 sums, r4 their end, r5 back.
        // Of nine steps in the loop, 24 bytes each, the first turn does what is more than nines.
        "subs r6, r2, r1",
        "lsrs r6, r6, #4",
        "movs r7, #9",
        "subs r6, #1",
        "udiv r8, r6, r7",
        "mls r6, r8, r7, r6",
        "adds r6, #1",
        "movs r7, #24",
        "mul r6, r6, r7",
        "adr.w r7, 3f",
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
        ".rept 9",
        "ldm.w r0!, {{r8-r11}}",
        "ldm.w r1!, {{r2, r3, r12, lr}}",
        "mla r4, r8, r2, r4",
        "mla r5, r9, r3, r5",
        "mla r6, r10, r12, r6",
        "mla r7, r11, lr, r7",
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
        "bne.w 1b",
        "add sp, #24",
        "pop {{r4-r11, pc}}",
    )
}

/// r0 activations, r1 and r4-r6 rows, r2 how often the loop is to go, r7 an activation, r12 a weight;
/// r8-r11 sums, lr where the loop is entered.
///
/// # Safety
///
/// From each of the beginnings on there are `len` elements, at least one.
#[unsafe(naked)]
pub unsafe extern "C" fn four_rows(
    x: *const i8,
    rows: *const [*const i8; 4],
    len: usize,
    accs: *mut [i32; 4],
) {
    naked_asm!(
        "push {{r3-r11, lr}}",
        // Of four steps in the loop, 36 bytes each, the first turn does the odd ones.
        "subs r4, r2, #1",
        "and r5, r4, #3",
        "lsrs r2, r4, #2",
        "adds r2, #1",
        "adds r5, #1",
        "movs r6, #36",
        "mul r5, r5, r6",
        "adr r6, 3f",
        "subs r6, r6, r5",
        "orr lr, r6, #1",
        "ldm r1, {{r1, r4-r6}}",
        "mov r8, #0",
        "mov r9, #0",
        "mov r10, #0",
        "mov r11, #0",
        "bx lr",
        ".p2align 2",
        "2:",
        ".rept 4",
        "ldrsb r7, [r0], #1",
        "ldrsb r12, [r1], #1",
        "mla r8, r7, r12, r8",
        "ldrsb r12, [r4], #1",
        "mla r9, r7, r12, r9",
        "ldrsb r12, [r5], #1",
        "mla r10, r7, r12, r10",
        "ldrsb r12, [r6], #1",
        "mla r11, r7, r12, r11",
        ".endr",
        "3:",
        "subs r2, #1",
        "bne 2b",
        "pop {{r3}}",
        "stm r3!, {{r8-r11}}",
        "pop {{r4-r11, pc}}",
    )
}
