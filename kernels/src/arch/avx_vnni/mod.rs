//! x86-64 with AVX2 and dot products of bytes in 256 bits: Alder Lake, Zen 5 and later.
//!
//! All but the products is [`super::avx2`]'s, and of those all but one instruction, [`Dpbusd`]. Tests
//! put the same of AVX2 in its place, so that processors without it test what is here, too.

use core::arch::asm;
use core::arch::x86_64::*;
use core::marker::PhantomData;

use std::is_x86_feature_detected;

use super::avx2::dot::{Dot, Product};
use super::avx2::winograd::{Madd, Pairs};
use super::avx2::{self, Avx, depthwise, gemm};
use super::output::BLOCK;
use super::tiled::{Rows, Sums, tiled_kernel};
use super::winograd::winograd_kernel;
use super::{Kernels, Level, vectors};
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::depthwise_conv2d::{self, DepthwiseConv2dI8};
use crate::tiles::{Activations, Tiled};

static KERNELS: Kernels = Kernels {
    level: Level::AvxVnni,
    tiles: Some(Activations::Unsigned),
    float_tiles: true,
    winograd: Some(crate::winograd::Limits::BYTES),
    conv2d_tiled_i8,
    conv2d_winograd_i8,
    depthwise_conv2d_i8,
    depthwise_conv2d_asymmetric_i8: avx2::depthwise_conv2d_asymmetric_i8,
    conv2d_tiled_f32: avx2::float::conv2d_tiled_f32,
    conv2d_tiled_f16: avx2::float::conv2d_tiled_f16,
    depthwise_conv2d_f32: avx2::float::depthwise_conv2d_f32,
    depthwise_conv2d_i16: avx2::depthwise_i16::depthwise_conv2d_i16,
    sum_i8: avx2::add::sum_i8,
    lut_i8: avx2::lut::lut_i8,
    ..vectors::AVX2
};

/// The table, if this processor has the instructions.
pub(super) fn kernels() -> Option<&'static Kernels> {
    // All but the products is that level's.
    let detected = avx2::kernels().is_some() && is_x86_feature_detected!("avxvnni");
    detected.then_some(&KERNELS)
}

/// `vpdpbusd`, or what gives the same.
///
/// # Safety
///
/// The processor has the instructions.
trait Dpbusd: 'static {
    /// Adds to each lane of 32 bits the sum of four products of an unsigned byte of `x` by a signed
    /// one of `w`.
    unsafe fn dpbusd(sum: __m256i, x: __m256i, w: __m256i) -> __m256i;
}

/// The instruction.
struct Vex;

impl Dpbusd for Vex {
    #[inline(always)]
    unsafe fn dpbusd(sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_dpbusd_avx_epi32(sum, x, w) }
    }
}

impl Madd for Vex {
    #[inline(always)]
    unsafe fn madd(sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { dpwssd(sum, x, w) }
    }
}

/// `vpdpwssd`, which the compiler would take apart into two instructions: a sum has less latency then, but
/// here there are enough of them.
#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn dpwssd(mut sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
    // SAFETY: it touches nothing but its operands.
    unsafe {
        asm!(
            "{{vex}} vpdpwssd {sum}, {x}, {w}",
            sum = inout(ymm_reg) sum, x = in(ymm_reg) x, w = in(ymm_reg) w,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Bytes, four products at once.
struct Bytes<I>(PhantomData<I>);

impl<I: Dpbusd> Dot<1> for Bytes<I> {
    type Element = u8;

    #[inline(always)]
    unsafe fn store(to: *mut u8, x: __m128i) {
        // SAFETY: as the caller says.
        unsafe { _mm_storeu_si128(to.cast(), _mm_xor_si128(x, _mm_set1_epi8(i8::MIN))) };
    }

    #[inline(always)]
    unsafe fn split(x: __m256i) -> [__m256i; 1] {
        [x]
    }

    #[inline(always)]
    unsafe fn split_weights(w: __m256i, _: __m256i) -> [__m256i; 1] {
        [w]
    }

    #[inline(always)]
    unsafe fn dot(sum: __m256i, [x]: [__m256i; 1], [w]: [__m256i; 1]) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { I::dpbusd(sum, x, w) }
    }

    const OFFSET_WEIGHTS: bool = false;

    #[inline(always)]
    unsafe fn multiply(
        rows: Rows<'_, u8>,
        tiles: &[i8],
        _zero_point: i32,
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        // SAFETY: as the caller says.
        unsafe { gemm::multiply::<Self>(rows, tiles, bias, outputs, acc) }
    }
}

impl<I: Dpbusd> Product for Bytes<I> {
    type Element = u8;

    const PARTS: usize = 1;

    type Weights = __m256i;

    type Sum = __m256i;

    #[inline(always)]
    unsafe fn activations(x: *const u8, _: usize) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_set1_epi32(x.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn weights(w: *const i8, _: usize) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_loadu_si256(w.cast()) }
    }

    /// Bytes have no room for it: the zero point is 0.
    #[inline(always)]
    unsafe fn offset(_: &mut __m256i, _: __m256i) {}

    #[inline(always)]
    unsafe fn start(sum: &mut __m256i, bias: __m256i) {
        *sum = bias;
    }

    #[inline(always)]
    unsafe fn add(sum: &mut __m256i, x: __m256i, w: &__m256i) {
        // SAFETY: as the caller says.
        unsafe { *sum = I::dpbusd(*sum, x, *w) };
    }

    #[inline(always)]
    unsafe fn outputs(sum: __m256i, _: __m256i) -> __m256i {
        sum
    }
}

tiled_kernel!(conv2d_tiled_i8: Avx<Bytes<Vex>, 1>, "avx2,avxvnni");

winograd_kernel!(conv2d_winograd_i8: Avx<Bytes<Vex>, 1>, Pairs<Vex>, "avx2,avxvnni");

fn depthwise_conv2d_i8(p: &DepthwiseConv2dI8<'_>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn compiled(
        p: &DepthwiseConv2dI8<'_>,
        x: &[i8],
        y: &mut [i8],
    ) -> Result<bool, Mismatch> {
        // SAFETY: as the caller says.
        unsafe {
            Ok(avx2::depthwise_by_pairs(p, x, y)?
                || depthwise::depthwise_conv2d_i8::<Bytes<Vex>, 1>(p, x, y)?)
        }
    }
    // SAFETY: `kernels` has seen the instructions; nothing else leads here.
    if p.weights_zero_point == 0 && unsafe { compiled(p, x, y) }? {
        return Ok(());
    }
    depthwise_conv2d::portable(p, x, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cases;

    /// The same of AVX2: even bytes and odd ones as 16-bit numbers.
    struct Emulated;

    impl Dpbusd for Emulated {
        #[inline(always)]
        unsafe fn dpbusd(sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
            // SAFETY: as the caller says.
            unsafe {
                let even = _mm256_madd_epi16(
                    _mm256_and_si256(x, _mm256_set1_epi16(0xFF)),
                    _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w)),
                );
                let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(x), _mm256_srai_epi16::<8>(w));
                _mm256_add_epi32(sum, _mm256_add_epi32(even, odd))
            }
        }
    }

    tiled_kernel!(emulated_conv2d_tiled_i8: Avx<Bytes<Emulated>, 1>, "avx2");

    fn emulated_depthwise_conv2d_i8(
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
            unsafe { depthwise::depthwise_conv2d_i8::<Bytes<Emulated>, 1>(p, x, y) }
        }
        // SAFETY: `emulated` has seen the instructions; nothing else leads here.
        match unsafe { compiled(p, x, y) }? {
            true => Ok(()),
            false => depthwise_conv2d::portable(p, x, y),
        }
    }

    /// The level's kernels over the emulated instruction, if this processor has AVX2.
    fn emulated() -> Option<Kernels> {
        let kernels = Kernels {
            conv2d_tiled_i8: emulated_conv2d_tiled_i8,
            depthwise_conv2d_i8: emulated_depthwise_conv2d_i8,
            ..KERNELS
        };
        let there = is_x86_feature_detected!("avx2");
        if !there {
            std::println!("SKIPPED: this processor has no AVX2");
        }
        if !is_x86_feature_detected!("avxvnni") {
            std::println!("avx_vnni: its instruction is emulated, as this processor lacks it");
        }
        there.then_some(kernels)
    }

    #[test]
    fn conv2d_tiled_i8_holds_over_an_emulated_instruction() {
        if let Some(kernels) = emulated() {
            crate::tiles::tests::holds(&kernels, cases());
        }
    }

    #[test]
    fn depthwise_conv2d_i8_holds_over_an_emulated_instruction() {
        if let Some(kernels) = emulated() {
            depthwise_conv2d::tests::holds(&kernels, cases());
        }
    }
}
