//! What a measurement needs on the device: a count of instructions, the stack's high-water mark, and
//! a way to print numbers. Small, because it is part of the flash that is measured.
#![no_std]

#[cfg(target_arch = "arm")]
#[path = "cortex_m.rs"]
pub mod machine;
#[cfg(target_arch = "riscv32")]
#[path = "riscv.rs"]
pub mod machine;
pub mod print;
pub mod stack;

/// Counts of a run: in whole and, if asked for, after every operator.
#[derive(Debug)]
pub struct Counter {
    start: u64,
    overhead: u64,
}

impl Counter {
    /// Starts to count, after finding out what reading the count itself takes.
    pub fn start() -> Self {
        machine::start();
        let first = machine::now();
        let overhead = machine::now() - first;
        Self { start: machine::now(), overhead }
    }

    /// Ticks since the start, without those of the reading.
    pub fn ticks(&self) -> u64 {
        (machine::now() - self.start).saturating_sub(self.overhead)
    }
}

/// Ends the run; QEMU's exit status says whether all went well.
pub fn exit(done: bool) -> ! {
    semihosting::process::exit(i32::from(!done))
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    semihosting::process::exit(101)
}
