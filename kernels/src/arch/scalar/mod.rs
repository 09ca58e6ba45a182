//! Cores without vectors: Cortex-M0 and M3, RISC-V without `V`.

pub mod dot;
