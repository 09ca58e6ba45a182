//! x86-64 with AVX-512 and its dot products of bytes: Ice Lake, Sapphire Rapids, Zen 4 and later.
//!
//! The kernels here are reached through [`kernels`] alone, which gives them to nobody whose
//! processor does not have the instructions.

mod add;
mod add_halves;
mod copy;
mod depthwise;
mod depthwise_i16;
mod depthwise_narrow;
mod float;
mod gemm;
mod gemv;
mod lut;
mod requantize;
mod winograd;

use core::mem::MaybeUninit;

use std::is_x86_feature_detected;

use requantize::{Block, Order};

use super::output::{BLOCK, OutputStage};
use super::tiled::{Isa, Rows, Sums, tiled_kernel};
use super::{Kernels, Level, vectors};
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::tiles::{Activations, Tiled};

static KERNELS: Kernels = Kernels {
    level: Level::Avx512Vnni,
    tiles: Some(Activations::Unsigned),
    float_tiles: true,
    winograd: Some(crate::winograd::Limits::BYTES),
    conv2d_tiled_i8,
    conv2d_winograd_i8: winograd::conv2d_winograd_i8,
    depthwise_conv2d_i8: depthwise::depthwise_conv2d_i8,
    depthwise_conv2d_asymmetric_i8: depthwise::depthwise_conv2d_asymmetric_i8,
    conv2d_tiled_f32: float::conv2d_tiled_f32,
    conv2d_tiled_f16: float::conv2d_tiled_f16,
    depthwise_conv2d_f32: float::depthwise_conv2d_f32,
    depthwise_conv2d_i16: depthwise_i16::depthwise_conv2d_i16,
    sum_i8: add::sum_i8,
    lut_i8: lut::lut_i8,
    ..vectors::AVX512
};

/// The table, if this processor has the instructions.
pub(super) fn kernels() -> Option<&'static Kernels> {
    let detected = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vnni");
    detected.then_some(&KERNELS)
}

fn conv2d_tiled_i8(p: &Tiled<'_, Conv2dI8<'_>>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    if let Some([1, depth, _]) = p.matrices() {
        // SAFETY: the table that leads here is given out where there are the instructions.
        if unsafe { gemv::row(p, depth, x, y) } {
            return Ok(());
        }
    }
    any_tiled_i8(p, x, y)
}

tiled_kernel!(
    any_tiled_i8: Avx512Vnni,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni"
);

/// The level's instructions.
struct Avx512Vnni;

impl Isa for Avx512Vnni {
    const ACTIVATIONS: Activations = Activations::Unsigned;

    type Element = u8;

    #[inline(always)]
    unsafe fn copy(to: &mut [MaybeUninit<u8>], from: &[i8]) {
        // SAFETY: as the caller says.
        unsafe { copy::copy(to, from) }
    }

    #[inline(always)]
    unsafe fn multiply(
        rows: Rows<'_>,
        tiles: &[i8],
        bias: &[i32; BLOCK],
        _outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        // SAFETY: as the caller says.
        unsafe { gemm::multiply(rows, tiles, bias, acc) }
    }

    #[inline(always)]
    unsafe fn multiply_offset(
        rows: Rows<'_>,
        tiles: &[i8],
        zero_point: i32,
        bias: &[i32; BLOCK],
        _outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        // SAFETY: as the caller says.
        unsafe {
            let taken = gemm::multiply(rows, tiles, bias, acc);
            gemm::take_off(&rows, zero_point, &mut acc[..taken]);
            taken
        }
    }

    type Scales = Block;

    #[inline(always)]
    unsafe fn scales(stage: &OutputStage<'_>, channel: usize, count: usize) -> Block {
        // SAFETY: as the caller says.
        unsafe { Block::new(stage, channel, count, Order::Natural) }
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
