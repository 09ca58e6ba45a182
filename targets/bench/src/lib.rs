//! What a measurement needs on the device: a count of instructions, the stack's high-water mark, and
//! a way to print numbers. Small, because it is part of the flash that is measured.
#![no_std]

pub mod host;
pub mod layers;
#[cfg(target_arch = "arm")]
#[path = "cortex_m.rs"]
pub mod machine;
#[cfg(target_arch = "riscv32")]
#[path = "riscv.rs"]
pub mod machine;
pub mod stack;

/// A reading of the machine's counter since it was started; the host knows what a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How often `ticks` has overflowed.
    pub wraps: u32,
    /// Units of the counter.
    pub ticks: u32,
}

impl Count {
    /// Nothing counted.
    pub const ZERO: Self = Self { wraps: 0, ticks: 0 };

    /// Prints the reading: `name=wraps,ticks`.
    pub fn print(self, name: &str) {
        host::text(name);
        host::text("=");
        host::hex(self.wraps);
        host::text(",");
        host::hex(self.ticks);
        host::text("\n");
    }
}

/// Stack that a run has used, since [`stack::paint`]: `stack=0x` and the number.
pub fn print_stack() {
    let bytes = stack::high_water();
    host::text("stack=0x");
    host::hex(bytes as u32);
    host::text("\n");
}

/// One output of the model, the first byte first: `output=bytes`.
pub fn print_output(bytes: &[u8]) {
    host::text("output=");
    host::hex_bytes(bytes);
    host::text("\n");
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    host::exit(false)
}
