//! 64-bit Arm with SDOT, dot products of bytes: Cortex-A55, A75, A76 and later, Neoverse, Apple A11.
//!
//! All but the products is shared with [`super::neon`].

mod depthwise;
mod gemm;
mod sdot;

pub(super) use depthwise::Dots;
pub(super) use gemm::Sdot;

use super::neon::{Neon, add, depthwise as loops, depthwise_i16, float, winograd};
use super::{Kernels, Level, tiled, vectors};
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::depthwise_conv2d::DepthwiseConv2dI8;
use crate::tiles::{Activations, Tiled};

static KERNELS: Kernels = Kernels {
    level: Level::NeonDot,
    tiles: Some(Activations::Signed),
    float_tiles: true,
    // Products of bytes are four times as fast as those of 16 bits, which eats up what it saves.
    winograd: None,
    conv2d_tiled_i8,
    conv2d_winograd_i8: winograd::conv2d_winograd_i8,
    depthwise_conv2d_i8,
    depthwise_conv2d_asymmetric_i8,
    conv2d_tiled_f32: float::conv2d_tiled_f32,
    conv2d_tiled_f16: float::conv2d_tiled_f16,
    depthwise_conv2d_f32: float::depthwise_conv2d_f32,
    depthwise_conv2d_i16: depthwise_i16::depthwise_conv2d_i16,
    sum_i8: add::sum_i8,
    ..vectors::PLAIN
};

/// The table, if this processor has the instructions.
pub(super) fn kernels() -> Option<&'static Kernels> {
    #[cfg(feature = "std")]
    let detected = std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(feature = "std"))]
    let detected = cfg!(target_feature = "dotprod");
    detected.then_some(&KERNELS)
}

/// Also of levels with more instructions, for tiles that are not theirs.
pub(super) fn conv2d_tiled_i8(
    p: &Tiled<'_, Conv2dI8<'_>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    #[target_feature(enable = "neon,dotprod")]
    fn compiled(p: &Tiled<'_, Conv2dI8<'_>>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
        // SAFETY: this is compiled for the instructions.
        unsafe { tiled::conv2d_tiled_i8::<Neon<Sdot>>(p, x, y) }
    }
    // SAFETY: the tables that lead here are given out where the processor has the instructions.
    unsafe { compiled(p, x, y) }
}

/// Also of levels with more instructions, which have none better for it.
pub(super) fn depthwise_conv2d_i8(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    #[target_feature(enable = "neon,dotprod")]
    fn compiled(p: &DepthwiseConv2dI8<'_>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
        // SAFETY: this is compiled for the instructions.
        unsafe { loops::depthwise_conv2d_i8::<Dots<false>>(p, x, y) }
    }
    // SAFETY: the tables that lead here are given out where the processor has the instructions.
    unsafe { compiled(p, x, y) }
}

/// As [`depthwise_conv2d_i8`].
pub(super) fn depthwise_conv2d_asymmetric_i8(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    #[target_feature(enable = "neon,dotprod")]
    fn compiled(p: &DepthwiseConv2dI8<'_>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
        // SAFETY: this is compiled for the instructions.
        unsafe { loops::depthwise_conv2d_asymmetric_i8::<Dots<true>>(p, x, y) }
    }
    // SAFETY: the tables that lead here are given out where the processor has the instructions.
    unsafe { compiled(p, x, y) }
}
