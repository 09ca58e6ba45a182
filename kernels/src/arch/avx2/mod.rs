//! x86-64 with AVX2: Haswell, Zen and later.
//!
//! The kernels here are reached through [`kernels`] alone, which gives them to nobody whose
//! processor does not have the instructions.

pub(super) mod float;
mod lut;

use std::is_x86_feature_detected;

use super::{Kernels, Level, vectors};

static KERNELS: Kernels = Kernels {
    level: Level::Avx2,
    float_tiles: true,
    conv2d_tiled_f32: float::conv2d_tiled_f32,
    conv2d_tiled_f16: float::conv2d_tiled_f16,
    depthwise_conv2d_f32: float::depthwise_conv2d_f32,
    lut_i8: lut::lut_i8,
    ..vectors::AVX2
};

/// The table, if this processor has the instructions.
pub(super) fn kernels() -> Option<&'static Kernels> {
    let detected = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c");
    detected.then_some(&KERNELS)
}
