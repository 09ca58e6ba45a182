//! The count of retired instructions that RISC-V keeps itself.

pub use riscv_rt::entry;

/// Nothing has to be started.
pub fn start() {}

/// Instructions so far.
pub fn now() -> u64 {
    riscv::register::minstret::read64()
}
