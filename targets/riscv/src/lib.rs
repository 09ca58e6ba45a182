//! What the programs see of the board, whichever it is.
#![no_std]

// Brings critical sections for a single core.
use riscv as _;

pub use riscv_rt::entry;
pub use systole_support::*;

// The light of boards without a driver here.
#[path = "../../cortex-m/src/light.rs"]
mod light;
pub use light::light;

#[cfg(feature = "esp32c3")]
mod esp32c3;

/// Waits as long as an eye needs to follow: 10 to 20 ms on most boards. QEMU has no eyes.
pub fn pause() {
    #[cfg(feature = "probe")]
    riscv::asm::delay(1_000_000);
}
