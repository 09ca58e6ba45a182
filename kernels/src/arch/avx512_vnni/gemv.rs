//! One row of activations by tiles of weights, to bytes: `gemv-u8i8-1x64c4/avx512_vnni`.
//!
//! The product is that of [`super::gemm`]. Of a single row it is short, and what stands around it
//! counts: here sums stay in registers until they are bytes, and nothing is looked at twice.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::gemm::sums;
use super::requantize::{DOUBLE, DOUBLE_UP, Last, SINGLE, Scales, bytes, dwords};
use crate::arch::output::{BLOCK, OutputStage};
use crate::arch::tiled::Rows;
use crate::conv2d::Conv2dI8;
use crate::requantize::{FixedScales, Requantize};
use crate::tiles::{self, Activations, OUTPUTS, STEP, Tiled};

/// Activations of a row, at most.
const DEPTH: usize = 1024;

/// Bytes of a vector.
const BYTES: usize = 64;

/// A layer of one row.
struct Row<'a> {
    stage: OutputStage<'a>,
    scales: FixedScales<'a>,
    bias: &'a [i32],
    tiles: &'a [i8],
    /// Activations with 128 added, in whole steps.
    x: &'a [u8],
}

/// Whether the layer is one row of `depth` activations, of which this is made, and has been done.
///
/// # Safety
///
/// The processor has the level's instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn row(
    p: &Tiled<'_, Conv2dI8<'_>>,
    depth: usize,
    x: &[i8],
    y: &mut [i8],
) -> bool {
    let Conv2dI8 { requantize, output_stage, bias, weights_zero_point, .. } = p.layer;
    let (Requantize::Double(scales) | Requantize::DoubleUp(scales) | Requantize::Single(scales)) =
        requantize
    else {
        return false;
    };
    let stage = OutputStage::new(requantize, output_stage, bias, depth);
    if !(1..=DEPTH).contains(&depth)
        || x.len() != depth
        || y.len() != bias.len()
        || tiles::bytes(Activations::Unsigned, y.len(), depth) != Some(p.weights.tiles.len())
        || p.weights.activations != Activations::Unsigned
        || weights_zero_point != 0
        || !(stage.fits() && stage.small && stage.below_half())
    {
        return false;
    }
    let mut line = [const { MaybeUninit::<[u8; BYTES]>::uninit() }; DEPTH / BYTES];
    for (to, x) in line.iter_mut().zip(x.chunks(BYTES)) {
        let mask = u64::MAX >> (BYTES - x.len());
        // SAFETY: the mask has as many bits as there are activations; a vector is written.
        unsafe {
            let x = _mm512_maskz_loadu_epi8(mask, x.as_ptr());
            let x = _mm512_xor_si512(x, _mm512_set1_epi8(i8::MIN));
            _mm512_storeu_si512(to.as_mut_ptr().cast(), x);
        }
    }
    // SAFETY: as many vectors have been written as activations need; a step has a part of one.
    let x =
        unsafe { core::slice::from_raw_parts(line.as_ptr().cast(), depth.next_multiple_of(STEP)) };
    let row = Row { stage, scales, bias, tiles: p.weights.tiles, x };
    match requantize {
        // What is negative becomes the minimum, however it is rounded.
        Requantize::Double(_) if !stage.is_relu() => row.outputs::<DOUBLE>(y),
        Requantize::Double(_) | Requantize::DoubleUp(_) => row.outputs::<DOUBLE_UP>(y),
        _ => row.outputs::<SINGLE>(y),
    }
    true
}

impl Row<'_> {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn outputs<const ROUNDING: u8>(&self, y: &mut [i8]) {
        let last = Last::new(&self.stage.output);
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        for (i, y) in y.chunks_mut(BLOCK).enumerate() {
            let tiles = &self.tiles[i * BLOCK * self.x.len()..];
            let count = y.len();
            let mut scaled = match count.div_ceil(OUTPUTS) {
                1 => self.sums::<1, 4>(tiles, i * BLOCK, count),
                2 => self.sums::<2, 2>(tiles, i * BLOCK, count),
                3 => self.sums::<3, 2>(tiles, i * BLOCK, count),
                _ => self.sums::<4, 2>(tiles, i * BLOCK, count),
            };
            let multipliers = dwords(self.scales.multiplier, i * BLOCK, count);
            let shifts = bytes(self.scales.shift, i * BLOCK, count);
            let scales = multipliers.into_iter().zip(shifts);
            for (sum, (multiplier, shift)) in scaled.iter_mut().zip(scales) {
                *sum = Scales::fixed(multiplier, shift, ROUNDING == SINGLE).apply::<ROUNDING>(*sum);
            }
            let bytes = _mm512_permutexvar_epi32(order, last.packed::<ROUNDING>(scaled));
            let mask = u64::MAX >> (BLOCK - count);
            // SAFETY: the mask has as many bits as there are outputs.
            unsafe { _mm512_mask_storeu_epi8(y.as_mut_ptr(), mask, bytes) };
        }
    }

    /// The sums of `B` blocks of outputs, the `count` from `channel` on, and zeros.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn sums<const B: usize, const U: usize>(
        &self,
        tiles: &[i8],
        channel: usize,
        count: usize,
    ) -> [__m512i; 4] {
        let tiles = &tiles[..B * OUTPUTS * self.x.len()];
        let bias = dwords(self.bias, channel, count);
        let bias = core::array::from_fn(|b| bias[b]);
        // SAFETY: there is a row, and there are so many blocks.
        let [row] = unsafe { sums::<1, B, U>(Rows::of_matrix(self.x, self.x.len()), tiles, bias) };
        let mut all = [_mm512_setzero_si512(); 4];
        for (all, sum) in all.iter_mut().zip(row) {
            *all = sum;
        }
        all
    }
}
