//! The count of retired instructions that RISC-V keeps itself.

pub use riscv_rt::entry;

use crate::Count;

static mut START: u64 = 0;

/// Counts from zero on.
#[inline(never)]
pub fn start() {
    // SAFETY: there is one thread and no interrupt.
    unsafe { (&raw mut START).write_volatile(riscv::register::minstret::read64()) };
}

/// What has been counted since [`start`].
#[inline(never)]
pub fn read() -> Count {
    // SAFETY: as above.
    let count = riscv::register::minstret::read64() - unsafe { (&raw const START).read_volatile() };
    Count { wraps: (count >> 32) as u32, ticks: count as u32 }
}

/// Two instructions per turn.
#[inline(never)]
pub fn spin(turns: u32) {
    // SAFETY: changes one register.
    unsafe {
        core::arch::asm!("2: addi {n}, {n}, -1", "bnez {n}, 2b", n = inout(reg) turns => _, options(nomem, nostack));
    }
}
