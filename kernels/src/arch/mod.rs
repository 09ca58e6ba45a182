//! Kernels for instruction sets, each equal to the portable one to the last bit.
//!
//! Microcontrollers have those that follow from the target: `build.rs` looks whether the core has the
//! instructions. All other processors have a table of kernels per level, see [`Kernels`], of which
//! one is chosen when the program runs. All of this crate's `unsafe` is here.

#[cfg(all(target_arch = "x86_64", feature = "std"))]
mod add_halves;
#[cfg(all(target_arch = "x86_64", feature = "std"))]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod avx2;
#[cfg(all(target_arch = "x86_64", feature = "std"))]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod avx512_vnni;
#[cfg(all(target_arch = "x86_64", feature = "std"))]
mod avx_vnni;
#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
#[allow(clippy::indexing_slicing, reason = "arrays of two, and blocks of constant length")]
mod blocks;
#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
mod calls;
#[cfg(any(target_arch = "arm", target_arch = "riscv32"))]
#[path = "calls_portable.rs"]
mod calls;
#[cfg(simd)]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod depthwise_f32;
#[cfg(simd)]
#[allow(clippy::indexing_slicing, reason = "bounds follow from shapes that have been checked")]
mod depthwise_i16;
#[cfg(all(not(dsp), any(target_arch = "arm", target_arch = "riscv32")))]
#[path = "scalar/dot.rs"]
pub mod dot;
#[cfg(any(dsp, test))]
#[allow(clippy::indexing_slicing, reason = "arrays of constant length")]
mod dsp;
#[cfg(simd)]
mod floats;
#[cfg(any(helium, test))]
#[allow(clippy::indexing_slicing, reason = "arrays of constant length")]
mod helium;
#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
mod kernels;
#[cfg(test)]
mod layers;
mod level;
#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
#[allow(clippy::indexing_slicing, reason = "bounds follow from shapes that have been checked")]
mod matmul;
#[cfg(all(target_arch = "aarch64", simd))]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod neon;
#[cfg(all(target_arch = "aarch64", simd))]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod neon_dot;
#[cfg(all(target_arch = "aarch64", simd))]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod neon_i8mm;
#[cfg(simd)]
mod output;
#[cfg(simd)]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod padded;
#[cfg(feature = "std")]
pub mod peak;
#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
mod portable;
#[cfg(any(scalar, test))]
#[allow(clippy::indexing_slicing, reason = "arrays of constant length")]
mod scalar;
#[cfg(simd)]
#[allow(clippy::indexing_slicing, reason = "slices of one length, cut once before the loops")]
mod scales_i16;
#[cfg(all(target_arch = "wasm32", simd))]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod simd128;
#[cfg(feature = "std")]
mod threads;
#[cfg(simd)]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod tiled;
#[cfg(simd)]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod tiled_f32;
#[cfg(simd)]
mod vector;
#[cfg(simd)]
#[allow(clippy::indexing_slicing, reason = "bounds follow from shapes that have been checked")]
mod vectors;
#[cfg(simd)]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod windows;
#[cfg(simd)]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod windows_f32;
#[cfg(simd)]
#[allow(clippy::indexing_slicing, reason = "bounds follow from plans that have been checked")]
mod winograd;

pub(crate) use calls::*;
#[cfg(dsp)]
pub use dsp::dot;
#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
pub use kernels::*;
pub use level::Level;
#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
pub(crate) use matmul::batch_matmul_with;
#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
pub(crate) use portable::dot;
#[cfg(feature = "std")]
pub use threads::Threads;
