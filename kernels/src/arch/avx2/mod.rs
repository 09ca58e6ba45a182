//! x86-64 with AVX2: Haswell, Zen and later. What is generic here over [`Dot`] serves AVX-VNNI, too.
//!
//! The kernels here are reached through [`kernels`] alone, which gives them to nobody whose
//! processor does not have the instructions.

pub(super) mod add;
mod add_halves;
mod columns;
pub(super) mod copy;
pub(super) mod depthwise;
mod depthwise_3x3;
pub(super) mod depthwise_i16;
mod depthwise_row;
pub(super) mod dot;
mod first;
pub(super) mod float;
pub(super) mod gemm;
mod gemv;
mod last;
pub(super) mod lut;
mod pointwise;
mod positions;
pub(super) mod requantize;
pub(super) mod winograd;

use core::marker::PhantomData;
use core::mem::MaybeUninit;

use std::is_x86_feature_detected;

use dot::{Dot, Widened};
use requantize::{Block, Order};

use super::output::{BLOCK, OutputStage};
use super::tiled::{self, Isa, Rows, Sums, tiled_kernel};
use super::{Kernels, Level, vectors};
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::depthwise_conv2d::{self, DepthwiseConv2dI8};
use crate::tiles::{Activations, Tiled};

static KERNELS: Kernels = Kernels {
    level: Level::Avx2,
    tiles: Some(Activations::Unsigned),
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
    lut_i8: lut::lut_i8,
    ..vectors::AVX2
};

/// The table, if this processor has the instructions.
pub(super) fn kernels() -> Option<&'static Kernels> {
    let detected = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    detected.then_some(&KERNELS)
}

tiled_kernel!(few_or_windows: Avx<Widened, 2>, "avx2");

fn conv2d_tiled_i8(p: &Tiled<'_, Conv2dI8<'_>>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    // SAFETY: `kernels` has seen the instructions; nothing else leads here.
    let done = unsafe {
        match p.matrices() {
            Some([1, depth, channels]) => gemv::row(p, [depth, channels], x, y),
            Some(shape) => pointwise::product(p, shape, x, y),
            None => first::windows(p, x, y)?,
        }
    };
    if done { Ok(()) } else { few_or_windows(p, x, y) }
}

/// With any weights: widened ones have room for what their zero point takes off.
pub(super) fn depthwise_conv2d_asymmetric_i8(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    #[target_feature(enable = "avx2")]
    unsafe fn compiled(
        p: &DepthwiseConv2dI8<'_>,
        x: &[i8],
        y: &mut [i8],
    ) -> Result<bool, Mismatch> {
        // SAFETY: as the caller says.
        unsafe {
            Ok(depthwise_by_pairs(p, x, y)?
                || depthwise::depthwise_conv2d_i8::<Widened, 2>(p, x, y)?)
        }
    }
    // SAFETY: `kernels` has seen the instructions; nothing else leads here.
    if i8::try_from(p.weights_zero_point).is_ok() && unsafe { compiled(p, x, y) }? {
        return Ok(());
    }
    depthwise_conv2d::portable_asymmetric(p, x, y)
}

/// Whether the layer is of the kernels that are multiplied two taps at once, and has been done.
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn depthwise_by_pairs(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<bool, Mismatch> {
    // SAFETY: as the caller says.
    unsafe {
        Ok(depthwise_3x3::depthwise_conv2d_i8(p, x, y)?
            || depthwise_row::depthwise_conv2d_i8(p, x, y)?)
    }
}

fn depthwise_conv2d_i8(p: &DepthwiseConv2dI8<'_>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    if p.weights_zero_point == 0 {
        return depthwise_conv2d_asymmetric_i8(p, x, y);
    }
    depthwise_conv2d::portable(p, x, y)
}

/// Vectors of 256 bits, and the products of a level.
pub(super) struct Avx<D, const A: usize>(PhantomData<D>);

impl<D: Dot<A>, const A: usize> Isa for Avx<D, A> {
    const ACTIVATIONS: Activations = Activations::Unsigned;

    type Element = D::Element;

    const ROWS: usize = gemm::ROWS;

    #[inline(always)]
    unsafe fn copy(to: &mut [MaybeUninit<D::Element>], from: &[i8]) {
        // SAFETY: as the caller says.
        unsafe { copy::copy::<D, A>(to, from) }
    }

    #[inline(always)]
    unsafe fn multiply(
        rows: Rows<'_, D::Element>,
        tiles: &[i8],
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        // SAFETY: as the caller says.
        unsafe { D::multiply(rows, tiles, 0, bias, outputs, acc) }
    }

    #[inline(always)]
    unsafe fn multiply_offset(
        rows: Rows<'_, D::Element>,
        tiles: &[i8],
        zero_point: i32,
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        // SAFETY: as the caller says.
        unsafe {
            if D::OFFSET_WEIGHTS && i8::try_from(zero_point).is_ok() {
                return D::multiply(rows, tiles, zero_point, bias, outputs, acc);
            }
            let taken = D::multiply(rows, tiles, 0, bias, outputs, acc);
            tiled::take_off(&rows, zero_point, outputs, &mut acc[..taken]);
            taken
        }
    }

    type Scales = Block;

    #[inline(always)]
    unsafe fn scales(stage: &OutputStage<'_>, channel: usize, count: usize) -> Block {
        let mut scales = Block::empty();
        // SAFETY: as the caller says.
        unsafe { scales.fill(stage, channel, count, Order::Natural) };
        scales
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
