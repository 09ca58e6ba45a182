//! Semihosting: characters to the computer that runs the emulator, and the end of the run. By hand,
//! in a few instructions, because files and errors of a library would be most of a small image.

use core::arch::asm;

/// Writes the character that the argument points to.
const SYS_WRITEC: u32 = 0x03;
/// Ends the run for the reason in the argument.
const SYS_EXIT: u32 = 0x18;
/// The program has ended by itself.
const APPLICATION_EXIT: u32 = 0x2_0026;
/// It has not.
const RUN_TIME_ERROR: u32 = 0x2_0023;

/// Prints text.
#[inline(never)]
pub fn text(text: &str) {
    for byte in text.bytes() {
        character(byte);
    }
}

/// Prints a number in hexadecimal, eight digits.
pub fn hex(value: u32) {
    hex_bytes(&value.to_be_bytes());
}

/// Prints bytes in hexadecimal, two digits each.
#[inline(never)]
pub fn hex_bytes(bytes: &[u8]) {
    for byte in bytes {
        digit(byte >> 4);
        digit(byte & 15);
    }
}

/// Ends the run; QEMU's exit status is 0 where all is `well`, and 1 where not.
pub fn exit(well: bool) -> ! {
    let reason = if well { APPLICATION_EXIT } else { RUN_TIME_ERROR };
    // SAFETY: this call reads no memory.
    unsafe { call(SYS_EXIT, reason as usize) };
    loop {}
}

#[inline(never)]
fn digit(digit: u8) {
    character(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
}

#[inline(never)]
fn character(byte: u8) {
    // SAFETY: the argument is the address of a byte, which is read before the call returns.
    unsafe { call(SYS_WRITEC, &raw const byte as usize) };
}

/// # Safety
/// `argument` must be what `operation` expects.
#[cfg(target_arch = "arm")]
#[inline(always)]
unsafe fn call(operation: u32, argument: usize) {
    // SAFETY: the breakpoint changes nothing but r0; the caller vouches for the argument.
    unsafe { asm!("bkpt 0xab", inout("r0") operation => _, in("r1") argument, options(nostack)) };
}

/// # Safety
/// `argument` must be what `operation` expects.
#[cfg(target_arch = "riscv32")]
#[inline(always)]
unsafe fn call(operation: u32, argument: usize) {
    // The instructions around the breakpoint tell it from a debugger's; all have to be on one page.
    // SAFETY: it changes nothing but a0; the caller vouches for the argument.
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inout("a0") operation => _,
            in("a1") argument,
            options(nostack)
        );
    }
}
