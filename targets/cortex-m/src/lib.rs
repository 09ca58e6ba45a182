//! What the programs in `src/bin` see of the board, whichever it is.
#![no_std]

// Brings critical sections for a single core.
use cortex_m as _;

pub use cortex_m_rt::entry;
pub use systole_support::*;

#[cfg_attr(feature = "rp2040", path = "../boards/rp2040/light.rs")]
#[cfg_attr(feature = "rp2350", path = "../boards/rp2350/light.rs")]
mod light;
pub use light::light;

#[cfg(feature = "rp2040")]
#[unsafe(link_section = ".boot2")]
#[used]
static BOOT2: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

/// The image definition that the RP2350's boot ROM asks for: an executable for its Arm cores, in
/// secure mode, as the only block of a loop (RP2350 datasheet, 5.9.5.1).
#[cfg(feature = "rp2350")]
#[unsafe(link_section = ".start_block")]
#[used]
static IMAGE_DEFINITION: [u32; 5] = [0xFFFF_DED3, 0x1021_0142, 0x0000_01FF, 0, 0xAB12_3579];

/// Waits as long as an eye needs to follow: 10 to 20 ms on most boards. QEMU has no eyes.
pub fn pause() {
    #[cfg(feature = "probe")]
    cortex_m::asm::delay(1_000_000);
}
