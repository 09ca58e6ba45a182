//! Kernels for instruction sets, each equal to the portable one to the last bit.
//!
//! Which ones are built follows from the target, for microcontrollers when the crate is built:
//! `build.rs` looks whether the core has the instructions. All of this crate's `unsafe` is here.

#[cfg(dsp)]
pub mod dsp;
#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
mod portable;
#[cfg(all(not(dsp), any(target_arch = "arm", target_arch = "riscv32")))]
mod scalar;

#[cfg(dsp)]
pub(crate) use dsp::dot;
#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
pub(crate) use portable::dot;
#[cfg(all(not(dsp), any(target_arch = "arm", target_arch = "riscv32")))]
pub(crate) use scalar::dot;
