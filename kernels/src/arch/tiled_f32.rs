//! CONV_2D in f32 with weights in tiles, for any instruction set with vectors: windows are rows of
//! matrices, which are multiplied.
//!
//! The simple loop is: for each row and each block of 16 outputs, for each activation of the row, add
//! activation × tile to 16 sums. It departs from that in three ways:
//!
//! 1. Several rows are taken at once, so that a tile is loaded once for all of them, and enough sums
//!    are in the making that none waits for another: a sum takes 3 or 4 cycles.
//! 2. Where there are fewer rows than that, several blocks are taken at once.
//! 3. Blocks go outside, rows inside: the tiles of a block stay in the first cache.
//!
//! ```text
//!                          tile k of the block
//!                       ┌──── w0 ────┬──── w1 ────┐
//!        row 0 ── x0k ──┤   sum 00   │   sum 01   │     here 6 rows by 2 vectors: 12 sums,
//!        row 1 ── x1k ──┤   sum 10   │   sum 11   │     2 weights, 1 activation in all lanes,
//!          …            │     …      │     …      │     1 product: the 16 registers of AVX2
//!        row 5 ── x5k ──┤   sum 50   │   sum 51   │
//!                       └────────────┴────────────┘
//! ```
//!
//! Sums run in the order of the weights, as the definition's do. A product and a sum are rounded together
//! where the level has an instruction that does both, [`Level::fuses`](super::Level::fuses), else each.

use super::output::lanes;
use super::vector::{Vector, Weight};
use super::windows_f32::{Gathered, PANEL, Panel, Windows};
use crate::Mismatch;
use crate::conv2d::Conv2dF32;
use crate::pool::ActivationRange;
use crate::tiles::OUTPUTS;
use crate::tiles_f32::{self, TiledF32};

/// Blocks that are taken at once, at most.
const BLOCKS: usize = 4;

/// Rows that are taken at once, at most.
const ROWS: usize = 8;

/// Rows of activations.
///
/// A row is `runs[0] × runs[1]` runs of `steps` activations, which begin `pitch` apart; rows begin
/// `stride` apart. A matrix has one run; windows of an image have one for each row of taps, and
/// overlap.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// From the first row on; it holds the last one's last run, [`Rows::fit`].
    pub x: &'a [f32],
    pub count: usize,
    pub stride: usize,
    pub runs: [usize; 2],
    pub pitch: [usize; 2],
    pub steps: usize,
}

impl<'a> Rows<'a> {
    /// Rows that lie one behind the other.
    pub fn of_matrix(x: &'a [f32], depth: usize) -> Self {
        let count = x.len() / depth;
        Self { x, count, stride: depth, runs: [1, 1], pitch: [0, 0], steps: depth }
    }

    /// Whether all runs are in `x`.
    fn fit(&self) -> bool {
        let last = |count: usize, step: usize| count.saturating_sub(1).saturating_mul(step);
        let ([outer, inner], [pitch_outer, pitch_inner]) = (self.runs, self.pitch);
        last(self.count, self.stride)
            .saturating_add(last(outer, pitch_outer))
            .saturating_add(last(inner, pitch_inner))
            .saturating_add(self.steps)
            <= self.x.len()
    }

    /// The rows from `first` on.
    fn from(&self, first: usize) -> Self {
        // Behind the last row there may be nothing.
        let x = self.x.get(first * self.stride..).unwrap_or_default();
        Self { x, count: self.count - first, ..*self }
    }
}

/// Some blocks of a layer.
pub(super) struct Blocks<'a, W> {
    /// From the first block on.
    tiles: &'a [W],
    /// Weights of a block.
    block: usize,
    bias: [f32; BLOCKS * OUTPUTS],
    activation: ActivationRange<f32>,
    /// Elements from the outputs of one row to those of the next.
    channels: usize,
    /// Channels of these blocks, from the first on.
    count: usize,
}

/// The instructions that this needs. Functions are compiled for them, so that processors without
/// them must not come here.
pub(super) trait Isa {
    /// The widest vector.
    type V: Vector;

    /// A narrower one, for what is left; that of one where there is none.
    type Half: Vector;

    /// A vector of one.
    type One: Vector;

    /// Vectors of sums that registers can hold, beside a row of weights and an activation.
    const SUMS: usize;

    /// [`products`], compiled for the instructions.
    ///
    /// # Safety
    ///
    /// That of [`products`].
    unsafe fn products<W: Weight, const R: usize, const B: usize, const P: usize>(
        rows: Rows<'_>,
        blocks: &Blocks<'_, W>,
        y: &mut [f32],
    );
}

/// [`tiles_f32::conv2d_tiled_f32`].
///
/// # Safety
///
/// The processor has the instructions.
#[inline(always)]
pub(super) unsafe fn conv2d_tiled<I: Isa, W: Weight>(
    p: &TiledF32<'_, W>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    if let Some([count, depth, channels]) = p.matrices() {
        // Without a plan, which takes as long as a small layer.
        if count.checked_mul(depth) != Some(x.len())
            || count.checked_mul(channels) != Some(y.len())
            || channels != p.layer.bias.len()
            || tiles_f32::len(channels, depth) != Some(p.tiles.len())
            || depth == 0
        {
            return tiles_f32::portable(p, x, y);
        }
        let rows = (PANEL / depth).max(ROWS);
        let outputs = y.chunks_mut((rows * channels).max(1));
        for (x, y) in x.chunks(rows * depth).zip(outputs) {
            // SAFETY: as the caller says.
            unsafe { layer::<I, W>(p, depth, 1, |_| (Rows::of_matrix(x, depth), 0), y) };
        }
        return Ok(());
    }
    let plan = p.plan()?;
    let Some(windows) = Windows::new(&plan) else {
        return tiles_f32::portable(p, x, y);
    };
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let mut panel = Panel::new();
    let mut gathered = Gathered::new();
    for (x, y) in x.chunks_exact(image.max(1)).zip(y.chunks_exact_mut(out.max(1))) {
        for band in windows.bands() {
            let image = windows.image(&band, x, &mut panel);
            if windows.gathers() {
                for part in windows.parts(&band) {
                    let rows = windows.gather(&band, part, image, &mut gathered);
                    // SAFETY: as the caller says.
                    unsafe { layer::<I, W>(p, plan.filter, 1, |_| rows, y) };
                }
                continue;
            }
            let row = |row| windows.row(&band, row, image);
            // SAFETY: as the caller says.
            unsafe { layer::<I, W>(p, plan.filter, band.rows, row, y) };
        }
    }
    Ok(())
}

/// The outputs of several groups of rows, each with the position of its first output in `y`. Groups
/// have the same number of rows; a row has `filter` activations.
///
/// # Safety
///
/// The processor has the instructions.
#[inline(always)]
unsafe fn layer<'x, I: Isa, W: Weight>(
    p: &TiledF32<'_, W>,
    filter: usize,
    groups: usize,
    group: impl Fn(usize) -> (Rows<'x>, usize),
    y: &mut [f32],
) {
    let Conv2dF32 { bias, activation, output: [.., channels], .. } = p.layer;
    let block = filter * OUTPUTS;
    let vectors = OUTPUTS / I::V::LANES;
    let mut channel = 0;
    while channel < channels {
        let left = (channels - channel).div_ceil(OUTPUTS);
        let at_once = (I::SUMS / (vectors * group(0).0.count.clamp(1, ROWS))).min(left);
        let at_once = [4, 2].into_iter().find(|&blocks| blocks <= at_once).unwrap_or(1);
        let count = (channels - channel).min(at_once * OUTPUTS);
        let first = channel / OUTPUTS * block;
        let blocks = Blocks {
            tiles: &p.tiles[first..first + at_once * block],
            block,
            bias: lanes(bias, channel, count),
            activation,
            channels,
            count,
        };
        for (rows, position) in (0..groups).map(&group) {
            assert!(rows.fit(), "windows lie within the image or what has been copied of it");
            let y = &mut y[position * channels + channel..];
            // SAFETY: as the caller says; rows fit, and there are so many blocks.
            unsafe {
                match at_once {
                    4 => multiply::<I, W, 4>(rows, &blocks, y),
                    2 => multiply::<I, W, 2>(rows, &blocks, y),
                    _ => multiply::<I, W, 1>(rows, &blocks, y),
                }
            }
        }
        channel += at_once * OUTPUTS;
    }
}

/// The products of rows by `B` blocks. Rows are taken in equal shares, as many at once as registers
/// allow.
///
/// # Safety
///
/// That of [`products`].
#[inline(always)]
unsafe fn multiply<I: Isa, W: Weight, const B: usize>(
    rows: Rows<'_>,
    blocks: &Blocks<'_, W>,
    y: &mut [f32],
) {
    let lanes = I::V::LANES;
    let half = B == 1 && blocks.count <= OUTPUTS / 2 && lanes < OUTPUTS;
    let vectors = B * OUTPUTS / lanes / if half { 2 } else { 1 };
    let most = (I::SUMS / vectors).clamp(1, ROWS);
    let shares = rows.count.div_ceil(most);
    let (each, more) = (rows.count / shares.max(1), rows.count % shares.max(1));
    let first = more * (each + 1);
    // SAFETY: as the caller says.
    unsafe {
        if more > 0 {
            let rows = Rows { count: first, ..rows };
            shared::<I, W, B>(each + 1, half, rows, blocks, y);
        }
        if each > 0 {
            shared::<I, W, B>(
                each,
                half,
                rows.from(first),
                blocks,
                &mut y[first * blocks.channels..],
            );
        }
    }
}

/// The products of rows, `share` at once; `half` says that the first half of the tile is enough.
///
/// # Safety
///
/// That of [`products`].
#[inline(always)]
unsafe fn shared<I: Isa, W: Weight, const B: usize>(
    share: usize,
    half: bool,
    rows: Rows<'_>,
    blocks: &Blocks<'_, W>,
    y: &mut [f32],
) {
    macro_rules! by_rows {
        ($vectors:literal) => {
            match share {
                1 => I::products::<W, 1, B, $vectors>(rows, blocks, y),
                2 => I::products::<W, 2, B, $vectors>(rows, blocks, y),
                3 => I::products::<W, 3, B, $vectors>(rows, blocks, y),
                4 => I::products::<W, 4, B, $vectors>(rows, blocks, y),
                5 => I::products::<W, 5, B, $vectors>(rows, blocks, y),
                6 => I::products::<W, 6, B, $vectors>(rows, blocks, y),
                7 => I::products::<W, 7, B, $vectors>(rows, blocks, y),
                _ => I::products::<W, 8, B, $vectors>(rows, blocks, y),
            }
        };
    }
    // SAFETY: as the caller says.
    unsafe {
        match (I::V::LANES, half) {
            (16, _) | (8, true) => by_rows!(1),
            (8, false) | (_, true) => by_rows!(2),
            _ => by_rows!(4),
        }
    }
}

/// Multiplies rows, `R` at once, by `B` blocks, of whose tiles the first `P` vectors are read, and
/// stores what bias and activation make of the sums to `y`, which begins with the first row's output
/// of the first block.
///
/// # Safety
///
/// The processor has the instructions, [`Rows::fit`] holds, and the number of rows is a multiple of
/// `R`.
#[inline(always)]
pub(super) unsafe fn products<
    V: Vector,
    W: Weight,
    const R: usize,
    const B: usize,
    const P: usize,
>(
    rows: Rows<'_>,
    blocks: &Blocks<'_, W>,
    y: &mut [f32],
) {
    let Rows { count, stride, runs, pitch, steps, .. } = rows;
    let Blocks { channels, block, activation, .. } = *blocks;
    assert!(blocks.tiles.len() >= B * block && block == runs[0] * runs[1] * steps * OUTPUTS);
    assert!(count == 0 || y.len() >= (count - 1) * channels + blocks.count);
    assert!(blocks.count <= B * OUTPUTS && P * V::LANES <= OUTPUTS);
    let mut x_rows = rows.x.as_ptr();
    let mut y = y.as_mut_ptr();
    for _ in 0..count / R {
        // SAFETY: pointers to activations are those that `Rows::fit` has seen, those to tiles go from
        // the first to the last of each block; both lengths have been compared. Outputs go as far as
        // the last row's last channel.
        unsafe {
            let mut sums = [[[V::splat(0.0); P]; B]; R];
            let mut w = blocks.tiles.as_ptr();
            for outer in 0..runs[0] {
                for inner in 0..runs[1] {
                    let x = x_rows.add(outer * pitch[0] + inner * pitch[1]);
                    for k in 0..steps {
                        for b in 0..B {
                            let tile = w.add(b * block);
                            let mut weights = [V::splat(0.0); P];
                            for (p, weight) in weights.iter_mut().enumerate() {
                                *weight = W::load(tile.add(p * V::LANES));
                            }
                            for (r, sums) in sums.iter_mut().enumerate() {
                                let x = V::splat(*x.add(r * stride + k));
                                for (sum, weight) in sums[b].iter_mut().zip(weights) {
                                    *sum = sum.multiply_add(x, weight);
                                }
                            }
                        }
                        w = w.add(OUTPUTS);
                    }
                }
            }
            let (min, max) = (V::splat(activation.min), V::splat(activation.max));
            for (r, sums) in sums.iter().enumerate() {
                for (b, sums) in sums.iter().enumerate() {
                    for (p, sum) in sums.iter().enumerate() {
                        let first = b * OUTPUTS + p * V::LANES;
                        let bias = V::load(blocks.bias.as_ptr().add(first));
                        let value = sum.add(bias).clamp(min, max);
                        let y = y.wrapping_add(r * channels + first);
                        store(value, y, blocks.count.saturating_sub(first));
                    }
                }
            }
            x_rows = x_rows.wrapping_add(R * stride);
            y = y.wrapping_add(R * channels);
        }
    }
}

/// Stores the first `count` lanes, or all where that is more.
///
/// # Safety
///
/// The processor has the instructions, and there are so many elements.
#[inline(always)]
unsafe fn store<V: Vector>(value: V, y: *mut f32, count: usize) {
    // SAFETY: as the caller says; no vector has more than 16 lanes.
    unsafe {
        if count >= V::LANES {
            value.store(y);
        } else if count > 0 {
            let mut all = [0.0; 16];
            value.store(all.as_mut_ptr());
            core::ptr::copy_nonoverlapping(all.as_ptr(), y, count);
        }
    }
}
