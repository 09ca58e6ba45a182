//! Products of rows of activations by tiles of weights: `gemm-i8-6x16c4/neon_dot`. The loops, and the
//! picture, are those of [`super::super::neon::gemm`]; a step of four outputs is one `sdot`, which
//! picks the four activations of its row.

use core::arch::aarch64::*;

use super::sdot::sdot_lane;
use crate::arch::neon::Product;
use crate::arch::neon::gemm::{self, Dot};
use crate::arch::output::BLOCK;
use crate::arch::tiled::{Rows, Sums};
use crate::tiles::Activations;

/// Products of bytes added in 32 bits.
pub(in crate::arch) struct Sdot;

impl Dot for Sdot {
    type Sum = int32x4_t;

    const ROWS: usize = 6;

    #[inline(always)]
    unsafe fn start(bias: int32x4_t) -> int32x4_t {
        bias
    }

    #[inline(always)]
    unsafe fn add<const LANE: i32>(sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: as the caller says.
        unsafe { sdot_lane::<LANE>(sum, w, x) }
    }

    #[inline(always)]
    unsafe fn end(sum: int32x4_t) -> int32x4_t {
        sum
    }
}

impl Product for Sdot {
    const ACTIVATIONS: Activations = Activations::Signed;

    const ROWS: usize = <Self as Dot>::ROWS;

    #[inline(always)]
    unsafe fn multiply(
        rows: Rows<'_, i8>,
        tiles: &[i8],
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn compiled(
            rows: Rows<'_, i8>,
            tiles: &[i8],
            bias: &[i32; BLOCK],
            outputs: usize,
            acc: &mut Sums,
        ) -> usize {
            // SAFETY: as the caller says.
            unsafe { gemm::multiply::<Sdot>(rows, tiles, bias, outputs, acc) }
        }
        // SAFETY: as the caller says.
        unsafe { compiled(rows, tiles, bias, outputs, acc) }
    }
}
