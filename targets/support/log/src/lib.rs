//! Where `defmt`'s frames go: over RTT to a debug probe (`defmt-rtt`), or in QEMU to standard
//! output, like `defmt-semihosting`, but without its panics. Programs that log say
//! `use systole_log as _;`.
#![no_std]

#[cfg(feature = "rtt")]
use defmt_rtt as _;

#[cfg(feature = "semihosting")]
mod semihosted;

/// What `defmt::panic!` does here; nothing uses it.
#[defmt::panic_handler]
fn panic() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
