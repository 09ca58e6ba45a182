//! The stack's high-water mark, by painting what is free and looking what was painted over.

use core::{
    arch::asm,
    ptr::{addr_of, read_volatile},
};

/// What free words hold.
const PAINT: u32 = 0x5AFE_57AC;

unsafe extern "C" {
    /// First address behind the statics, from the linker script.
    static __sheap: u32;
    /// First address above the stack, from the linker script.
    static _stack_start: u32;
}

/// Fills everything from the statics up to the stack pointer.
#[inline(always)]
pub fn paint() {
    let start = addr_of!(__sheap) as usize;
    // SAFETY: nobody uses what is between the statics and the stack pointer: there is no heap, and
    // no interrupt is enabled yet.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!(
            "mov {end}, sp",
            "2: cmp {at}, {end}",
            "bhs 3f",
            "str {paint}, [{at}]",
            "adds {at}, #4",
            "b 2b",
            "3:",
            at = inout(reg) start => _,
            end = out(reg) _,
            paint = in(reg) PAINT,
            options(nostack)
        );
        #[cfg(target_arch = "riscv32")]
        asm!(
            "2: bgeu {at}, sp, 3f",
            "sw {paint}, 0({at})",
            "addi {at}, {at}, 4",
            "j 2b",
            "3:",
            at = inout(reg) start => _,
            paint = in(reg) PAINT,
            options(nostack)
        );
    }
}

/// Bytes of stack that have been in use since [`paint`], from its top.
#[inline(never)]
pub fn high_water() -> usize {
    let (mut at, top) = (addr_of!(__sheap) as usize, addr_of!(_stack_start) as usize);
    // SAFETY: reads of RAM inside of the region that the linker script states.
    while at < top && unsafe { read_volatile(at as *const u32) } == PAINT {
        at += 4;
    }
    top - at
}
