//! x86-64 with AVX2: Haswell, Zen and later.
//!
//! The kernels here are reached through [`kernels`] alone, which gives them to nobody whose
//! processor does not have the instructions.

mod lut;

use std::is_x86_feature_detected;

use super::{Kernels, Level, vectors};

static KERNELS: Kernels = Kernels { level: Level::Avx2, lut_i8: lut::lut_i8, ..vectors::AVX2 };

/// The table, if this processor has the instructions.
pub(super) fn kernels() -> Option<&'static Kernels> {
    is_x86_feature_detected!("avx2").then_some(&KERNELS)
}
