//! The stack's high-water mark, by painting what is free and looking what was painted over.

use core::ptr::{addr_of, read_volatile, write_volatile};

/// What free words hold.
const PAINT: u32 = 0x5AFE_57AC;

/// Bytes below the current frame that painting leaves alone: its own.
const MARGIN: usize = 128;

unsafe extern "C" {
    /// First address behind the statics, from the linker script.
    static __sheap: u32;
    /// First address above the stack, from the linker script.
    static _stack_start: u32;
}

/// Fills what is free below the current frame.
#[inline(never)]
pub fn paint() {
    let here = 0_u32;
    let (mut at, end) = (addr_of!(__sheap) as usize, addr_of!(here) as usize - MARGIN);
    while at < end {
        // SAFETY: between the end of the statics and the stack's lowest frame there is memory that
        // nobody uses: the firmware has no heap.
        unsafe { write_volatile(at as *mut u32, PAINT) };
        at += 4;
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
