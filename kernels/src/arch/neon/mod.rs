//! 64-bit Arm with NEON, as all of them have: any Cortex-A of Armv8.
//!
//! The levels with more instructions, `neon_dot` and `neon_i8mm`, share all of it but the products:
//! what they bring is a [`Product`].

pub(super) mod add;
mod copy;
pub(super) mod depthwise;
pub(super) mod depthwise_i16;
pub(super) mod float;
pub(super) mod gemm;
pub(super) mod requantize;
pub(super) mod winograd;

use core::marker::PhantomData;
use core::mem::MaybeUninit;

use super::output::{BLOCK, OutputStage};
use super::tiled::{self, Isa, Rows, Sums};
use super::{Kernels, Level, vectors};
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::depthwise_conv2d::DepthwiseConv2dI8;
use crate::tiles::{Activations, Tiled};
use depthwise::Widening;
use gemm::Pairs;
use requantize::Block;

static KERNELS: Kernels = Kernels {
    level: Level::Neon,
    tiles: Some(Activations::Signed),
    float_tiles: true,
    winograd: Some(crate::winograd::Limits::HALVES),
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

/// The table: the target says that all of its processors have the instructions.
pub(super) fn kernels() -> Option<&'static Kernels> {
    Some(&KERNELS)
}

fn conv2d_tiled_i8(p: &Tiled<'_, Conv2dI8<'_>>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    // SAFETY: the target has the instructions.
    unsafe { tiled::conv2d_tiled_i8::<Neon<Pairs>>(p, x, y) }
}

fn depthwise_conv2d_i8(p: &DepthwiseConv2dI8<'_>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    // SAFETY: the target has the instructions.
    unsafe { depthwise::depthwise_conv2d_i8::<Widening>(p, x, y) }
}

fn depthwise_conv2d_asymmetric_i8(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // SAFETY: the target has the instructions.
    unsafe { depthwise::depthwise_conv2d_asymmetric_i8::<Widening>(p, x, y) }
}

/// What a level multiplies rows of activations by tiles with.
pub(super) trait Product {
    /// [`Isa::ACTIVATIONS`], signed ones.
    const ACTIVATIONS: Activations;

    /// [`Isa::ROWS`].
    const ROWS: usize;

    /// [`Isa::multiply`].
    ///
    /// # Safety
    ///
    /// As there.
    unsafe fn multiply(
        rows: Rows<'_, i8>,
        tiles: &[i8],
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize;
}

/// The instructions of a level with these products.
pub(super) struct Neon<P>(PhantomData<P>);

impl<P: Product> Isa for Neon<P> {
    const ACTIVATIONS: Activations = P::ACTIVATIONS;

    const ROWS: usize = P::ROWS;

    type Element = i8;

    #[inline(always)]
    unsafe fn copy(to: &mut [MaybeUninit<i8>], from: &[i8]) {
        copy::copy(to, from);
    }

    #[inline(always)]
    unsafe fn multiply(
        rows: Rows<'_, i8>,
        tiles: &[i8],
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        // SAFETY: as the caller says.
        unsafe { P::multiply(rows, tiles, bias, outputs, acc) }
    }

    type Scales = Block;

    #[inline(always)]
    unsafe fn scales(stage: &OutputStage<'_>, channel: usize, count: usize) -> Block {
        // SAFETY: as the caller says.
        unsafe { Block::new(stage, channel, count) }
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
        // SAFETY: as the caller says.
        unsafe { scales.store(stage, acc, y, channel, count) }
    }
}
