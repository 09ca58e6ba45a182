//! BATCH_MATMUL of int8 as the product that convolutions are: `w` is put into tiles while it runs.
//!
//! A block of columns of `w` becomes the tiles of as many filters, four columns each, on the stack; the rows of `x` are the
//! pixels of an image, of which a filter takes one. Tiles cost about as much as a few rows of the
//! product: fewer rows are left to the definition, as are sums that are too long for the stack.

use super::Kernels;
use crate::Mismatch;
use crate::batch_matmul::{self, BatchMatMulI8, BatchMatMulShape, source};
use crate::conv2d::Conv2dI8;
use crate::requantize::Requantize;
use crate::tiles::{self, Activations, OUTPUTS, STEP, TILE, Tiled, Tiles};
use crate::window::Window;

/// Columns that are in tiles at once.
const COLUMNS: usize = 4 * OUTPUTS;

/// Longest sums.
const DEPTH: usize = 512;

/// Fewest rows.
const FEWEST: usize = 8;

/// Rows at once, where there are more columns than [`COLUMNS`].
const ROWS: usize = 64;

/// [`batch_matmul::batch_matmul_i8`] with the kernels of a level.
pub(crate) fn batch_matmul_with(
    kernels: &Kernels,
    p: &BatchMatMulI8<Requantize<'_>>,
    x: &[i8],
    w: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let BatchMatMulShape { m, k, n, adj_x, adj_y, .. } = p.shape;
    let Some(activations) = kernels.tiles.map(Activations::fours) else {
        return batch_matmul::portable(p, x, w, y);
    };
    if adj_x || m < FEWEST || !(1..=DEPTH).contains(&k) || n == 0 {
        return batch_matmul::portable(p, x, w, y);
    }
    p.shape.check(x.len(), w.len(), y.len())?;
    let mut tiles = [0; COLUMNS * DEPTH];
    let mut bias = [0; COLUMNS];
    for (batch, y) in y.chunks_exact_mut(m * n).enumerate() {
        let x = &x[source(batch, &p.shape.batches, &p.shape.x_batches) * (m * k)..][..m * k];
        let w = &w[source(batch, &p.shape.batches, &p.shape.w_batches) * (k * n)..][..k * n];
        for first in (0..n).step_by(COLUMNS) {
            let columns = (n - first).min(COLUMNS);
            let tiles = &mut tiles[..tiles::bytes(activations, columns, k).ok_or(Mismatch)?];
            if adj_y {
                tiles::pack(activations, &w[first * k..][..columns * k], k, tiles)?;
            } else {
                pack_columns(w, [k, n], first, columns, tiles);
            }
            let bias = &mut bias[..columns];
            fold(p, activations, tiles, bias);
            let tiles = Tiles { tiles, activations };
            let part = Part { kernels, p, tiles, bias };
            if columns == n {
                part.multiply(x, y)?;
                continue;
            }
            let mut block = [0; ROWS * COLUMNS];
            for (x, y) in x.chunks(ROWS * k).zip(y.chunks_mut(ROWS * n)) {
                let block = &mut block[..y.len() / n * columns];
                part.multiply(x, block)?;
                for (from, y) in block.chunks_exact(columns).zip(y.chunks_exact_mut(n)) {
                    y[first..][..columns].copy_from_slice(from);
                }
            }
        }
    }
    Ok(())
}

/// Columns of `w` in tiles.
struct Part<'a> {
    kernels: &'a Kernels,
    p: &'a BatchMatMulI8<Requantize<'a>>,
    tiles: Tiles<'a>,
    bias: &'a [i32],
}

impl Part<'_> {
    /// Rows of `x` times these columns, into rows that hold nothing else.
    fn multiply(&self, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
        let (k, columns) = (self.p.shape.k, self.bias.len());
        let rows = x.len() / k;
        let layer = Conv2dI8 {
            input: [1, 1, rows, k],
            output: [1, 1, rows, columns],
            kernel: [1, 1],
            window: Window::UNIT,
            weights: &[],
            weights_zero_point: self.p.w_zero_point,
            input_zero_point: self.p.x_zero_point,
            bias: self.bias,
            requantize: self.p.requantize,
            output_stage: self.p.output_stage,
        };
        (self.kernels.conv2d_tiled_i8)(&Tiled { weights: self.tiles, layer }, x, y)
    }
}

/// [`tiles::pack`] of columns `first..first + columns` of `w`, which is `[k, n]`.
fn pack_columns(w: &[i8], [k, n]: [usize; 2], first: usize, columns: usize, tiles: &mut [i8]) {
    let block_bytes = k.div_ceil(STEP) * TILE;
    for (i, block) in tiles.chunks_exact_mut(block_bytes).enumerate() {
        let start = first + i * OUTPUTS;
        let count = (columns - i * OUTPUTS).min(OUTPUTS);
        let (steps, _) = block.as_chunks_mut::<TILE>();
        for (step, tile) in steps.iter_mut().enumerate() {
            // Rows and columns behind the last are zero.
            let mut rows = [[0; OUTPUTS]; STEP];
            for (row, to) in rows.iter_mut().enumerate().take(k - step * STEP) {
                let from = &w[(step * STEP + row) * n + start..];
                match from.first_chunk().filter(|_| count == OUTPUTS) {
                    Some(from) => *to = *from,
                    None => to[..count].copy_from_slice(&from[..count]),
                }
            }
            let [row0, row1, row2, row3] = rows;
            for (o, to) in tile.as_chunks_mut::<STEP>().0.iter_mut().enumerate() {
                *to = [row0[o], row1[o], row2[o], row3[o]];
            }
        }
    }
}

/// The bias that takes the activations' zero point, and what kernels add to them, from the sums:
/// `−(x_zero_point + offset) × Σ (w − w_zero_point)` for each column.
fn fold(
    p: &BatchMatMulI8<Requantize<'_>>,
    activations: Activations,
    tiles: &[i8],
    bias: &mut [i32],
) {
    let k = p.shape.k;
    let blocks = tiles.chunks_exact(k.div_ceil(STEP) * TILE);
    for (bias, block) in bias.chunks_mut(OUTPUTS).zip(blocks) {
        let mut sums = [0_i32; OUTPUTS];
        for tile in block.as_chunks::<TILE>().0 {
            for (sum, column) in sums.iter_mut().zip(tile.as_chunks::<STEP>().0) {
                *sum += column.iter().map(|&w| i32::from(w)).sum::<i32>();
            }
        }
        for (bias, sum) in bias.iter_mut().zip(sums) {
            let sum = sum.wrapping_sub(p.w_zero_point.wrapping_mul(k as i32));
            *bias =
                p.x_zero_point.wrapping_add(activations.offset()).wrapping_mul(sum).wrapping_neg();
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn products_in_tiles_are_the_definitions() {
        for kernels in crate::arch::available() {
            crate::batch_matmul::tests::holds(kernels, crate::testing::cases());
        }
    }
}
