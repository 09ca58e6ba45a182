//! Products of int16 by int8 for neighbouring channels.
//!
//! `i32x4.dot_i16x8_s` adds the products of two neighbouring numbers; where one of the weights is 0, it
//! is the product of the other. So sums of even and of odd channels are apart until they are stored.

use core::arch::wasm32::*;

use crate::arch::depthwise_i16::{Channels, depthwise_i16_kernel};

/// The level's instructions.
struct Simd128;

// Eight sums, four weights, an activation and a product: the 16 registers of processors with SSE.
depthwise_i16_kernel!(Simd128: Sixteen, Sixteen, Eight, "simd128");

/// Sums of even channels and of odd ones.
#[derive(Clone, Copy)]
struct Eight([v128; 2]);

impl Channels for Eight {
    const COUNT: usize = 8;

    type X = v128;
    /// The same, and zeros between.
    type W = [v128; 2];

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([i32x4_splat(0); 2])
    }

    #[inline(always)]
    unsafe fn activations(from: *const i16) -> v128 {
        // SAFETY: as the caller says.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn activation(x: i16) -> v128 {
        i16x8_splat(x)
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [v128; 2] {
        // SAFETY: as the caller says.
        let all = unsafe { i16x8_load_extend_i8x8(from) };
        [v128_and(all, i32x4_splat(0xFFFF)), v128_andnot(all, i32x4_splat(0xFFFF))]
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: v128, [even, odd]: [v128; 2]) -> Self {
        Self([
            i32x4_add(self.0[0], i32x4_dot_i16x8(x, even)),
            i32x4_add(self.0[1], i32x4_dot_i16x8(x, odd)),
        ])
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        let [even, odd] = self.0;
        // SAFETY: as the caller says.
        unsafe {
            v128_store(to.cast(), i32x4_shuffle::<0, 4, 1, 5>(even, odd));
            v128_store(to.add(4).cast(), i32x4_shuffle::<2, 6, 3, 7>(even, odd));
        }
    }
}

/// Two of them.
#[derive(Clone, Copy)]
struct Sixteen([Eight; 2]);

impl Channels for Sixteen {
    const COUNT: usize = 16;

    type X = [v128; 2];
    type W = [[v128; 2]; 2];

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as the caller says.
        Self([unsafe { Eight::zero() }; 2])
    }

    #[inline(always)]
    unsafe fn activations(from: *const i16) -> [v128; 2] {
        // SAFETY: as the caller says.
        unsafe { [Eight::activations(from), Eight::activations(from.add(8))] }
    }

    #[inline(always)]
    unsafe fn activation(x: i16) -> [v128; 2] {
        // SAFETY: as the caller says.
        [unsafe { Eight::activation(x) }; 2]
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [[v128; 2]; 2] {
        // SAFETY: as the caller says.
        unsafe { [Eight::weights(from), Eight::weights(from.add(8))] }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: [v128; 2], w: [[v128; 2]; 2]) -> Self {
        let [first, second] = self.0;
        // SAFETY: as the caller says.
        unsafe { Self([first.multiply_add(x[0], w[0]), second.multiply_add(x[1], w[1])]) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        let [first, second] = self.0;
        // SAFETY: as the caller says.
        unsafe {
            first.store(to);
            second.store(to.add(8));
        }
    }
}
