//! WebAssembly with vectors of 128 bits.
//!
//! There is nothing to detect: a module that uses these instructions is refused as a whole where they
//! are missing. So this is compiled where the target has them, and is then all that is called.
//!
//! Relaxed SIMD is not used. Its dot product of bytes takes seven bits of one operand; what it makes of
//! the eighth differs from machine to machine.

mod add;
mod copy;
mod depthwise;
mod depthwise_i16;
mod float;
mod gemm;
mod requantize;
mod winograd;

use core::mem::MaybeUninit;

use requantize::Block;

use super::output::{BLOCK, OutputStage};
use super::tiled::{self, Isa, Rows, Sums};
use super::{Kernels, Level, vectors};
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::tiles::{Activations, Tiled};

static KERNELS: Kernels = Kernels {
    level: Level::Simd128,
    tiles: Some(Activations::Signed),
    float_tiles: true,
    winograd: Some(crate::winograd::Limits::HALVES),
    conv2d_tiled_i8,
    conv2d_winograd_i8: winograd::conv2d_winograd_i8,
    depthwise_conv2d_i8: depthwise::depthwise_conv2d_i8,
    depthwise_conv2d_asymmetric_i8: depthwise::depthwise_conv2d_asymmetric_i8,
    sum_i8: add::sum_i8,
    conv2d_tiled_f32: float::conv2d_tiled_f32,
    conv2d_tiled_f16: float::conv2d_tiled_f16,
    depthwise_conv2d_f32: float::depthwise_conv2d_f32,
    depthwise_conv2d_i16: depthwise_i16::depthwise_conv2d_i16,
    ..vectors::PLAIN
};

/// The table.
pub(super) fn kernels() -> &'static Kernels {
    &KERNELS
}

fn conv2d_tiled_i8(p: &Tiled<'_, Conv2dI8<'_>>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    // SAFETY: this is compiled for the instructions.
    unsafe { tiled::conv2d_tiled_i8::<Simd128>(p, x, y) }
}

/// The level's instructions.
struct Simd128;

impl Isa for Simd128 {
    const ACTIVATIONS: Activations = Activations::Signed;

    type Element = i16;

    #[inline(always)]
    unsafe fn copy(to: &mut [MaybeUninit<i16>], from: &[i8]) {
        copy::copy(to, from);
    }

    #[inline(always)]
    unsafe fn multiply(
        rows: Rows<'_, i16>,
        tiles: &[i8],
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        // SAFETY: as the caller says.
        unsafe { gemm::multiply(rows, tiles, bias, outputs, acc) }
    }

    type Scales = Block;

    #[inline(always)]
    unsafe fn scales(stage: &OutputStage<'_>, channel: usize, count: usize) -> Block {
        Block::new(stage, channel, count)
    }

    #[inline(always)]
    unsafe fn store(
        scales: &Block,
        stage: &OutputStage<'_>,
        acc: &[[i32; BLOCK]],
        y: &mut [i8],
        channel: usize,
        count: usize,
    ) {
        scales.store(stage, acc, y, channel, count);
    }
}
