//! Convolution by Winograd with vectors of 128 bits: `winograd-i16-4x8c2/simd128`.
//!
//! Four tiles by eight outputs are 8 sums, and engines keep about as many in registers; a step of two channels
//! is 2 loads of weights, 4 loads that repeat a pair of activations, 8 `i32x4.dot_i16x8_s` and 8 sums.

use core::arch::wasm32::*;

use super::Simd128;
use crate::Mismatch;
use crate::arch::winograd::{self, Lanes, Long, Points, Products, Short};
use crate::conv2d::Conv2dI8;
use crate::winograd::{OUTPUTS, POINTS, Winograd};

/// Outputs whose sums are kept at once.
const AT_ONCE: usize = 8;

/// Eight integers of 16 bits.
#[derive(Clone, Copy)]
struct I16x8(v128);

/// Four of 32 bits.
#[derive(Clone, Copy)]
struct I32x4(v128);

impl Lanes for I16x8 {
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(i16x8_add(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(i16x8_sub(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn shift<const BITS: i32>(self) -> Self {
        Self(i16x8_shl(self.0, BITS as u32))
    }
}

impl Short for I16x8 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self(i16x8_splat(0))
    }

    #[inline(always)]
    unsafe fn widened(from: *const i8) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { i16x8_load_extend_i8x8(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i16) {
        // SAFETY: as the caller says.
        unsafe { v128_store(to.cast(), self.0) };
    }
}

impl Lanes for I32x4 {
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(i32x4_add(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(i32x4_sub(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn shift<const BITS: i32>(self) -> Self {
        Self(i32x4_shl(self.0, BITS as u32))
    }
}

impl Long for I32x4 {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        Self(i32x4_splat(x))
    }

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { v128_load(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: as the caller says.
        unsafe { v128_store(to.cast(), self.0) };
    }

    #[inline(always)]
    unsafe fn multiply(self, other: Self) -> Self {
        Self(i32x4_mul(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn halved<const BITS: i32>(self) -> Self {
        Self(i32x4_shr(self.0, BITS as u32))
    }
}

/// [`Products`] by `i32x4.dot_i16x8_s`.
struct Dots;

impl Products for Dots {
    type Short = I16x8;
    type Wide = I16x8;
    type Long = I32x4;

    fn tiles(_: usize) -> usize {
        4
    }

    #[inline(always)]
    unsafe fn multiply(p: &Points) {
        // SAFETY: as the caller says.
        unsafe {
            match p.tiles {
                4 => product::<4>(p),
                3 => product::<3>(p),
                2 => product::<2>(p),
                1 => product::<1>(p),
                _ => {}
            }
        }
    }
}

/// The products of `R` tiles, point by point.
///
/// # Safety
///
/// As [`Products::multiply`].
unsafe fn product<const R: usize>(p: &Points) {
    let outputs = p.blocks * OUTPUTS;
    for point in 0..POINTS {
        for first in (0..outputs).step_by(AT_ONCE) {
            // SAFETY: as the caller says.
            unsafe {
                let mut x = p.inputs.add(point * p.input_pitch);
                let block = first / OUTPUTS * p.block_weights() + point * p.point_weights();
                let mut weights = p.weights.add(block + 2 * (first % OUTPUTS));
                let to = p.products.add(point * p.pitch + first);
                let mut sums = [[i32x4_splat(0); 2]; R];
                for _ in 0..p.depth / 2 {
                    let w = [v128_load(weights.cast()), v128_load(weights.add(AT_ONCE).cast())];
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let pair = v128_load32_splat(x.add(r * p.depth).cast());
                        for (sum, w) in sums.iter_mut().zip(w) {
                            *sum = i32x4_add(*sum, i32x4_dot_i16x8(w, pair));
                        }
                    }
                    (x, weights) = (x.add(2), weights.add(2 * OUTPUTS));
                }
                for (r, [a, b]) in sums.into_iter().enumerate() {
                    let to = to.add(r * outputs);
                    v128_store(to.cast(), a);
                    v128_store(to.add(4).cast(), b);
                }
            }
        }
    }
}

pub(super) fn conv2d_winograd_i8(
    p: &Winograd<'_, Conv2dI8<'_>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // SAFETY: this is compiled for the instructions.
    unsafe { winograd::conv2d_winograd_i8::<Simd128, Dots>(p, x, y) }
}
