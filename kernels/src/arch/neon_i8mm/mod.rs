//! 64-bit Arm with SMMLA, products of small matrices of bytes: Cortex-A510, A710, X2 and later,
//! Neoverse V1, Apple M2.
//!
//! All but the products is shared with [`super::neon`] and [`super::neon_dot`].

mod gemm;
mod smmla;

use super::neon::{Neon, add, depthwise_i16, float, winograd};
use super::{Kernels, Level, neon_dot, tiled, vectors};
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::tiles::{Activations, Tiled};
use gemm::Smmla;

static KERNELS: Kernels = Kernels {
    level: Level::NeonI8mm,
    tiles: Some(Activations::Eights),
    float_tiles: true,
    // Products of bytes are four times as fast as those of 16 bits, which eats up what it saves.
    winograd: None,
    conv2d_tiled_i8,
    conv2d_winograd_i8: winograd::conv2d_winograd_i8,
    depthwise_conv2d_i8: neon_dot::depthwise_conv2d_i8,
    depthwise_conv2d_asymmetric_i8: neon_dot::depthwise_conv2d_asymmetric_i8,
    conv2d_tiled_f32: float::conv2d_tiled_f32,
    conv2d_tiled_f16: float::conv2d_tiled_f16,
    depthwise_conv2d_f32: float::depthwise_conv2d_f32,
    depthwise_conv2d_i16: depthwise_i16::depthwise_conv2d_i16,
    sum_i8: add::sum_i8,
    ..vectors::PLAIN
};

/// The table, if this processor has the instructions.
pub(super) fn kernels() -> Option<&'static Kernels> {
    neon_dot::kernels()?;
    #[cfg(feature = "std")]
    let detected = std::arch::is_aarch64_feature_detected!("i8mm");
    #[cfg(not(feature = "std"))]
    let detected = cfg!(target_feature = "i8mm");
    detected.then_some(&KERNELS)
}

fn conv2d_tiled_i8(p: &Tiled<'_, Conv2dI8<'_>>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    #[target_feature(enable = "neon,dotprod,i8mm")]
    fn compiled(p: &Tiled<'_, Conv2dI8<'_>>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
        // SAFETY: this is compiled for the instructions.
        unsafe { tiled::conv2d_tiled_i8::<Neon<Smmla>>(p, x, y) }
    }
    match p.weights.activations {
        // Of files that were packed for all levels.
        Activations::Signed => neon_dot::conv2d_tiled_i8(p, x, y),
        // SAFETY: `kernels` has seen the instructions; nothing else leads here.
        Activations::Unsigned | Activations::Eights => unsafe { compiled(p, x, y) },
    }
}
