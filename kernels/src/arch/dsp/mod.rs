//! Cortex-M with the DSP extension: M4, M7, most M33. Two products of 16 bits an instruction.
//!
//! `core::arch` has these instructions on nightly compilers only; each is wrapped once here.

use core::arch::asm;

pub mod dot;

/// SMLAD: `acc + x₀·y₀ + x₁·y₁` of the signed halves of `x` and `y`, wrapping.
#[inline(always)]
pub fn smlad(x: u32, y: u32, acc: i32) -> i32 {
    let sum;
    // SAFETY: reads and writes nothing but the operands; the crate is built with this module for
    // cores that have the instruction. The flag Q that it may set is nobody's.
    unsafe {
        asm!(
            "smlad {sum}, {x}, {y}, {acc}",
            sum = lateout(reg) sum,
            x = in(reg) x,
            y = in(reg) y,
            acc = in(reg) acc,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// SXTB16: bytes 0 and 2, each widened to 16 bits with its sign.
#[inline(always)]
pub fn sxtb16(x: u32) -> u32 {
    let halves;
    // SAFETY: as `smlad`.
    unsafe {
        asm!(
            "sxtb16 {halves}, {x}",
            halves = lateout(reg) halves,
            x = in(reg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    halves
}

/// SXTB16 of `x` rotated by a byte: bytes 1 and 3, each widened to 16 bits with its sign.
#[inline(always)]
pub fn sxtb16_ror_8(x: u32) -> u32 {
    let halves;
    // SAFETY: as `smlad`.
    unsafe {
        asm!(
            "sxtb16 {halves}, {x}, ror #8",
            halves = lateout(reg) halves,
            x = in(reg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    halves
}
