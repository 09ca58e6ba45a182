//! SysTick on the core's clock. Under `-icount shift=6` an instruction is 64 ns, so the number of
//! instructions follows from ticks exactly; the board's frequency is known to the host.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::exception;

pub use cortex_m_rt::entry;

/// SysTick has 24 bits.
const RELOAD: u32 = 0x00FF_FFFF;

static WRAPS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    // No read-modify-write: Armv6-M has none, and nobody else writes.
    WRAPS.store(WRAPS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Starts the timer.
pub fn start() {
    // SAFETY: nothing else in this firmware touches SysTick.
    let mut timer = unsafe { cortex_m::Peripherals::steal() }.SYST;
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(RELOAD);
    timer.clear_current();
    timer.enable_interrupt();
    timer.enable_counter();
}

/// Ticks since [`start`].
pub fn now() -> u64 {
    loop {
        let wraps = WRAPS.load(Ordering::Relaxed);
        let ticks = RELOAD - SYST::get_current();
        // A wrap in between is counted as soon as its interrupt is taken: before this line.
        if wraps == WRAPS.load(Ordering::Relaxed) {
            return u64::from(wraps) * u64::from(RELOAD + 1) + u64::from(ticks);
        }
    }
}
