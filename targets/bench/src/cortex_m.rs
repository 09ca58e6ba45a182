//! SysTick on the core's clock. Under `-icount shift=6` an instruction is 64 ns and a tick is shorter
//! than that, so the number of instructions follows from the ticks exactly; the host knows the
//! board's clock.

use core::ptr::{read_volatile, write_volatile};

use cortex_m::peripheral::SYST;
pub use cortex_m_rt::entry;
use cortex_m_rt::exception;

use crate::{Count, host};

/// SysTick has 24 bits.
const RELOAD: u32 = 0x00FF_FFFF;
const HALF: u32 = RELOAD / 2;
/// Enabled, with its interrupt, on the core's clock.
const ON: u32 = 0b111;

static mut WRAPS: u32 = 0;

/// Other interrupts: none, but the table behind the exceptions may not be empty.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [usize; 1] = [0];

#[exception]
fn SysTick() {
    let wraps = &raw mut WRAPS;
    // SAFETY: a single word, which the main program only writes while the timer cannot have wrapped.
    unsafe { write_volatile(wraps, read_volatile(wraps) + 1) };
}

/// Ends the run, where a loop would keep the emulator busy.
#[exception(trampoline = false)]
unsafe fn HardFault() -> ! {
    host::exit(false)
}

/// Counts from zero on.
#[inline(never)]
pub fn start() {
    // SAFETY: nothing else in this firmware touches SysTick.
    unsafe {
        let timer = &*SYST::PTR;
        timer.rvr.write(RELOAD);
        timer.csr.write(ON);
        write_volatile(&raw mut WRAPS, 0);
        timer.cvr.write(0);
    }
}

/// What has been counted since [`start`].
#[inline(never)]
pub fn read() -> Count {
    // SAFETY: reads of a register and of a word that an interrupt writes.
    let (before, current, after) = unsafe {
        let wraps = &raw const WRAPS;
        (read_volatile(wraps), (*SYST::PTR).cvr.read(), read_volatile(wraps))
    };
    // A turn may end while this reads. At 0 it is counted already, although the reload is to come.
    let wraps = match current {
        0 => after.saturating_sub(1),
        1..HALF => before,
        _ => after,
    };
    Count { wraps, ticks: RELOAD - current }
}

/// Two instructions per turn.
#[inline(never)]
pub fn spin(turns: u32) {
    // SAFETY: changes one register and the flags.
    unsafe {
        core::arch::asm!("2: subs {n}, {n}, #1", "bne 2b", n = inout(reg) turns => _, options(nomem, nostack));
    }
}
