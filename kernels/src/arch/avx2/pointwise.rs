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
use super::positions::{EIGHT, Positions, bias};
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

/// Weights of four activations by a tile's outputs, two activations and then the other two.
pub(super) type Step = [[__m256i; 2]; STEP / 2];

/// A layer whose shapes fit.
pub(super) struct Layer<'a> {
    pub p: &'a Tiled<'a, Conv2dI8<'a>>,
    pub stage: OutputStage<'a>,
    /// Activations of a row, and weights, of which a filter may have more, zeros.
    pub depth: usize,
    pub tiles: &'a [i8],
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
    let layer = Layer { p, stage, depth, tiles: p.weights.tiles };
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
        let mut weights = [const { MaybeUninit::<Step>::uninit() }; STEPS];
        let parts = x.chunks(most * self.depth).zip(y.chunks_mut(most * channels));
        for (mut x, mut y) in parts {
            while !x.is_empty() {
                // SAFETY: as the caller says; so many steps' weights are written.
                unsafe {
                    let rows = x.len() / self.depth;
                    let rows = panel.matrix::<Avx<Widened, 2>>(x, rows, self.depth);
                    for channel in (0..channels).step_by(OUTPUTS) {
                        let tiles = &self.tiles[channel * rows.steps * STEP..];
                        self.arrange(tiles, &mut weights[..rows.steps]);
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

    /// Puts the weights of tiles in order.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub unsafe fn arrange(&self, tiles: &[i8], weights: &mut [MaybeUninit<Step>]) {
        // SAFETY: as the caller says.
        unsafe {
            match self.p.layer.weights_zero_point {
                0 => arrange::<false>(tiles, 0, weights),
                taken => arrange::<true>(tiles, taken, weights),
            }
        }
    }

    /// All outputs of some rows, with weights that have been put in order. `y` begins with the first row's.
    ///
    /// # Safety
    ///
    /// As [`Layer::outputs`].
    #[inline]
    #[target_feature(enable = "avx2")]
    pub unsafe fn all_outputs(&self, rows: Rows<'_, i16>, weights: &[Step], y: &mut [i8]) {
        let channels = self.stage.channels;
        let blocks = weights.chunks_exact(rows.segments * rows.steps);
        for (channel, weights) in (0..channels).step_by(OUTPUTS).zip(blocks) {
            // SAFETY: as the caller says.
            unsafe {
                match channels - channel {
                    ..=EIGHT => self.outputs::<1>(rows, weights, y, channel),
                    _ => self.outputs::<2>(rows, weights, y, channel),
                }
            }
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
        weights: &[Step],
        y: &mut [i8],
        channel: usize,
    ) {
        assert!(rows.fit(), "rows lie within what has been copied");
        let channels = self.stage.channels;
        let count = (V * EIGHT).min(channels - channel);
        let mut scales = Block::empty();
        scales.fill(&self.stage, channel, count, Order::Natural);
        let biases: [i32; OUTPUTS] = lanes(self.p.layer.bias, channel, count);
        let bias = bias::<V>(&biases);
        let positions = Positions::<V> { stage: &self.stage, scales: &scales, count };
        let mut sums = [const { MaybeUninit::uninit() }; POSITIONS];
        for first in (0..rows.count).step_by(POSITIONS) {
            let count = POSITIONS.min(rows.count - first);
            // SAFETY: as the caller says; each row's sums are written.
            unsafe {
                for (i, sums) in sums[..count].chunks_mut(ROWS).enumerate() {
                    let x = rows.x.as_ptr().add((first + i * ROWS) * rows.stride);
                    match sums.len() {
                        1 => sum::<1, V>(x, rows, weights, bias, sums),
                        2 => sum::<2, V>(x, rows, weights, bias, sums),
                        3 => sum::<3, V>(x, rows, weights, bias, sums),
                        4 => sum::<4, V>(x, rows, weights, bias, sums),
                        5 => sum::<5, V>(x, rows, weights, bias, sums),
                        _ => sum::<ROWS, V>(x, rows, weights, bias, sums),
                    }
                }
                let y = &mut y[first * channels + channel..];
                positions.store(sums[..count].assume_init_ref(), y);
            }
        }
    }
}

/// Puts the weights of tiles in order, with `OFFSET` less their zero point.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn arrange<const OFFSET: bool>(
    tiles: &[i8],
    zero_point: i32,
    weights: &mut [MaybeUninit<Step>],
) {
    let zero_points = _mm256_set1_epi16(zero_point as i16);
    for (to, tile) in weights.iter_mut().zip(tiles.as_chunks::<TILE>().0) {
        let (halves, _) = tile.as_chunks::<{ TILE / 2 }>();
        let mut step = [[_mm256_setzero_si256(); 2]; STEP / 2];
        for (part, pair) in step.iter_mut().enumerate() {
            for (to, half) in pair.iter_mut().zip(halves) {
                // SAFETY: half a tile.
                *to = unsafe { Pairs::weights(half.as_ptr(), part) };
                if OFFSET {
                    *to = _mm256_sub_epi16(*to, zero_points);
                }
            }
        }
        to.write(step);
    }
}

/// The sums of `R` rows, the first of which begins at `x`.
///
/// # Safety
///
/// The processor has AVX2; `rows` has them, and the weights have its steps.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sum<const R: usize, const V: usize>(
    mut x: *const i16,
    rows: Rows<'_, i16>,
    weights: &[Step],
    bias: [__m256i; V],
    sums: &mut [MaybeUninit<[__m256i; V]>],
) {
    let Rows { stride, steps, pitch, .. } = rows;
    let mut acc = [bias; R];
    for weights in weights.chunks_exact(steps) {
        // Of every three rows the first: the others' addresses are part of the instructions.
        let mut threes = [x, x.wrapping_add(THREE * stride)];
        for step in weights {
            for (part, pair) in step.iter().enumerate() {
                for (r, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: as the caller says.
                    let x = unsafe {
                        Pairs::activations(threes[r / THREE].add(r % THREE * stride), part)
                    };
                    for (acc, w) in acc.iter_mut().zip(pair) {
                        *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(x, *w));
                    }
                }
            }
            threes = threes.map(|x| x.wrapping_add(STEP));
        }
        x = x.wrapping_add(pitch);
    }
    // So many that the compiler knows.
    if let Some(sums) = sums.first_chunk_mut::<R>() {
        for (sums, acc) in sums.iter_mut().zip(acc) {
            sums.write(acc);
        }
    }
}
