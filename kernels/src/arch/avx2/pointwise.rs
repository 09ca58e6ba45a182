//! Products of many rows of activations by tiles of weights: `gemm-i16i16-6x16c2/avx2`.
//!
//! Where weights meet many rows it pays to put them in order first: as 16-bit numbers, two of each of
//! eight outputs in a vector. Then a sum has one lane, nothing is left to add up at its end, and the
//! loop has no instruction but products, additions and loads:
//!
//! ```text
//!                        w0                w1            8 outputs each, 2 deep, 16 bits
//!                    ┌───────────────┬───────────────┐
//!  row 0  x (2 deep) │ acc 0 0       │ acc 0 1       │   6 vpbroadcastd, 12 vpmaddwd, 12 vpaddd
//!   …                │       …       │               │
//!  row 5  x          │ acc 5 0       │ acc 5 1       │
//!                    └───────────────┴───────────────┘
//! ```

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::Avx;
use super::dot::{Pairs, Product, Widened};
use super::positions::{EIGHT, Positions};
use super::requantize::{Block, Order};
use crate::arch::output::{OutputStage, lanes};
use crate::arch::tiled::Rows;
use crate::arch::windows::{LINE, Panel};
use crate::conv2d::Conv2dI8;
use crate::tiles::{self, Activations, OUTPUTS, STEP, TILE, Tiled};

/// Rows from which on putting weights in order, which takes as long as a row, pays.
const MANY: usize = 6;

/// Activations of a row, at most.
const DEPTH: usize = 2048;

/// Rows that are multiplied at once.
const ROWS: usize = 6;

/// Half of them.
const THREE: usize = ROWS / 2;

/// Rows whose sums are stored before they are scaled.
const POSITIONS: usize = 10 * ROWS;

/// Bytes of activations, as 16-bit numbers, and outputs that are worked on at once, if that leaves
/// [`LEAST`] rows: so they are in the first cache when they are needed again.
const NEAR: usize = 1 << 15;

/// Rows that weights are put in order for, at least.
const LEAST: usize = 128;

/// Lines of memory for activations, and steps of a row: of small layers, because memory on the stack
/// takes time to get, and of others.
const FEW_LINES: usize = (1 << 14) / LINE;
const FEW_STEPS: usize = 64;
const MOST_LINES: usize = 3 * (1 << 15) / LINE;
const MOST_STEPS: usize = DEPTH / STEP;

/// Weights of two activations by a tile's outputs.
type Pair = [__m256i; 2];

/// A layer that is a product of matrices.
struct Layer<'a> {
    p: &'a Tiled<'a, Conv2dI8<'a>>,
    stage: OutputStage<'a>,
    depth: usize,
}

/// Whether the product, of so many rows, their depth and outputs, could be done here.
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn product(
    p: &Tiled<'_, Conv2dI8<'_>>,
    [count, depth, channels]: [usize; 3],
    x: &[i8],
    y: &mut [i8],
) -> bool {
    let Conv2dI8 { requantize, output_stage, bias, weights_zero_point, .. } = p.layer;
    if count < MANY || !(1..=DEPTH).contains(&depth) {
        return false;
    }
    let stage = OutputStage::new(requantize, output_stage, bias, depth);
    if count.checked_mul(depth) != Some(x.len())
        || count.checked_mul(channels) != Some(y.len())
        || channels != bias.len()
        || tiles::bytes(Activations::Unsigned, channels, depth) != Some(p.weights.tiles.len())
        || p.weights.activations != Activations::Unsigned
        || i8::try_from(weights_zero_point).is_err()
        || !(stage.fits() && stage.ordinary)
    {
        return false;
    }
    let layer = Layer { p, stage, depth };
    let stride = depth.next_multiple_of(STEP);
    // Parts of one size, so that none of them has few rows.
    let most = (NEAR / (2 * stride + channels)).max(LEAST);
    let rows = count.div_ceil(count.div_ceil(most)).next_multiple_of(ROWS);
    let few = rows * stride * size_of::<i16>() <= FEW_LINES * LINE && stride <= FEW_STEPS * STEP;
    // SAFETY: as the caller says.
    unsafe {
        match few {
            true => layer.parts::<FEW_LINES, FEW_STEPS>(rows, x, y),
            false => layer.parts::<MOST_LINES, MOST_STEPS>(rows, x, y),
        }
    }
    true
}

impl Layer<'_> {
    /// All rows, `most` of them at once. There is room for a row of so many steps.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; shapes fit.
    #[target_feature(enable = "avx2")]
    unsafe fn parts<const LINES: usize, const STEPS: usize>(
        &self,
        most: usize,
        x: &[i8],
        y: &mut [i8],
    ) {
        let channels = self.stage.channels;
        let mut panel = Panel::<i16, LINES>::new();
        let mut weights = [const { MaybeUninit::<[Pair; STEP / 2]>::uninit() }; STEPS];
        let parts = x.chunks(most * self.depth).zip(y.chunks_mut(most * channels));
        for (mut x, mut y) in parts {
            while !x.is_empty() {
                // SAFETY: as the caller says; so many steps' weights are written.
                unsafe {
                    let rows = x.len() / self.depth;
                    let rows = panel.matrix::<Avx<Widened, 2>>(x, rows, self.depth);
                    for channel in (0..channels).step_by(OUTPUTS) {
                        let to = &mut weights[..rows.steps];
                        match self.p.layer.weights_zero_point {
                            0 => self.arrange::<false>(channel, to),
                            _ => self.arrange::<true>(channel, to),
                        }
                        let weights = weights[..rows.steps].assume_init_ref();
                        match channels - channel {
                            ..=EIGHT => self.outputs::<1>(rows, weights, y, channel),
                            _ => self.outputs::<2>(rows, weights, y, channel),
                        }
                    }
                    x = &x[rows.count * self.depth..];
                    y = &mut y[rows.count * channels..];
                }
            }
        }
    }

    /// Puts the weights of the tiles of outputs from `channel` on in order, with `OFFSET` less their zero
    /// point.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn arrange<const OFFSET: bool>(
        &self,
        channel: usize,
        weights: &mut [MaybeUninit<[Pair; STEP / 2]>],
    ) {
        let zero_points = _mm256_set1_epi16(self.p.layer.weights_zero_point as i16);
        let tiles = &self.p.weights.tiles[channel * weights.len() * STEP..];
        for (to, tile) in weights.iter_mut().zip(tiles.as_chunks::<TILE>().0) {
            let (halves, _) = tile.as_chunks::<{ TILE / 2 }>();
            let mut pairs = [[_mm256_setzero_si256(); 2]; STEP / 2];
            for (part, pair) in pairs.iter_mut().enumerate() {
                for (to, half) in pair.iter_mut().zip(halves) {
                    // SAFETY: half a tile.
                    *to = unsafe { Pairs::weights(half.as_ptr(), part) };
                    if OFFSET {
                        *to = _mm256_sub_epi16(*to, zero_points);
                    }
                }
            }
            to.write(pairs);
        }
    }

    /// `V` times eight outputs of some rows, from `channel` on.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; the weights have the rows' steps.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn outputs<const V: usize>(
        &self,
        rows: Rows<'_, i16>,
        weights: &[[Pair; STEP / 2]],
        y: &mut [i8],
        channel: usize,
    ) {
        let channels = self.stage.channels;
        let count = (V * EIGHT).min(channels - channel);
        let scales = Block::new(&self.stage, channel, count, Order::Natural);
        let biases: [i32; OUTPUTS] = lanes(self.p.layer.bias, channel, count);
        let mut bias = [_mm256_setzero_si256(); V];
        for (bias, eight) in bias.iter_mut().zip(biases.as_chunks::<EIGHT>().0) {
            // SAFETY: eight int32.
            *bias = unsafe { _mm256_loadu_si256(eight.as_ptr().cast()) };
        }
        let positions = Positions::<V> { stage: &self.stage, scales: &scales, count };
        let mut sums = [const { MaybeUninit::uninit() }; POSITIONS];
        let x = rows.x.chunks(POSITIONS * rows.stride);
        for (x, y) in x.zip(y.chunks_mut(POSITIONS * channels)) {
            let count = x.len() / rows.stride;
            let groups = x.chunks(ROWS * rows.stride);
            // SAFETY: as the caller says; each row's sums are written.
            unsafe {
                for (x, sums) in groups.zip(sums[..count].chunks_mut(ROWS)) {
                    match sums.len() {
                        1 => sum::<1, V>(x, weights, bias, sums),
                        2 => sum::<2, V>(x, weights, bias, sums),
                        3 => sum::<3, V>(x, weights, bias, sums),
                        4 => sum::<4, V>(x, weights, bias, sums),
                        5 => sum::<5, V>(x, weights, bias, sums),
                        _ => sum::<ROWS, V>(x, weights, bias, sums),
                    }
                }
                positions.store(sums[..count].assume_init_ref(), &mut y[channel..]);
            }
        }
    }
}

/// The sums of `R` rows.
///
/// # Safety
///
/// The processor has AVX2; `x` are so many rows of the weights' steps, of which `sums` has the same number.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sum<const R: usize, const V: usize>(
    x: &[i16],
    weights: &[[Pair; STEP / 2]],
    bias: [__m256i; V],
    sums: &mut [MaybeUninit<[__m256i; V]>],
) {
    let stride = weights.len() * STEP;
    let mut acc = [bias; R];
    // Of every three rows the first: the others' addresses are part of the instructions.
    let mut threes = [x.as_ptr(), x.as_ptr().wrapping_add(THREE * stride)];
    for step in weights {
        for (part, pair) in step.iter().enumerate() {
            for (r, acc) in acc.iter_mut().enumerate() {
                // SAFETY: as the caller says.
                let x =
                    unsafe { Pairs::activations(threes[r / THREE].add(r % THREE * stride), part) };
                for (acc, w) in acc.iter_mut().zip(pair) {
                    *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(x, *w));
                }
            }
        }
        threes = threes.map(|x| x.wrapping_add(STEP));
    }
    // So many that the compiler knows.
    if let Some(sums) = sums.first_chunk_mut::<R>() {
        for (sums, acc) in sums.iter_mut().zip(acc) {
            sums.write(acc);
        }
    }
}
