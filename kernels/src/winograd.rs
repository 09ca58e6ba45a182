//! CONV_2D of 3×3 by Winograd's short convolution, exact in integers: a quarter of the products.
//!
//! F(4×4, 3×3) of Lavin and Gray (*Fast Algorithms for Convolutional Neural Networks*, 2015) computes a
//! tile of 4×4 outputs from the 6×6 inputs `d` that its windows see, with 36 products where the
//! definition has 144:
//!
//! ```text
//! y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ d B) ] A          ⊙: element by element, summed over the channels
//! ```
//!
//! `Bᵀ` has small integers. `G` has fractions with the denominator 24, so here it is multiplied by 24, and
//! its last row by 6 with the 4 that is missing in `Aᵀ`: then all are integers and `y` is 576 times the
//! convolution.
//!
//! ```text
//!      ⎡4  0 −5  0 1 0⎤        ⎡ 6  0  0⎤          ⎡1 1  1 1  1 0⎤
//!      ⎢0 −4 −4  1 1 0⎥        ⎢−4 −4 −4⎥   Aᵀ  =  ⎢0 1 −1 2 −2 0⎥
//! Bᵀ = ⎢0  4 −4 −1 1 0⎥    G = ⎢−4  4 −4⎥          ⎢0 1  1 4  4 0⎥
//!      ⎢0 −2 −1  2 1 0⎥        ⎢ 1  2  4⎥          ⎣0 1 −1 8 −8 4⎦
//!      ⎢0  2 −1 −2 1 0⎥        ⎢ 1 −2  4⎥
//!      ⎣0  4  0 −5 0 1⎦        ⎣ 0  0  6⎦
//! ```
//!
//! **Why it is exact.** Transformed activations are within ±100·128, transformed weights of 8 bits within
//! ±144·128: both fit 16 bits, and so the products of processors that multiply pairs of 16 bits. Sums may
//! exceed 32 bits and wrap, as all that follows are sums and products of integers, which are right modulo
//! 2³². At the end 576·s is known modulo 2³². Multiplied by the inverse of 9 it is 64·s, of which an
//! arithmetic shift makes s, as long as s is within ±2²⁵: [`pack`] refuses weights with which it could be
//! more.
//!
//! **Weights** are transformed once. Of a block of [`OUTPUTS`] outputs there are [`POINTS`] matrices, one
//! for each element of the 6×6; in each, the weights of two channels are beside each other, those of all
//! outputs follow, then the next two channels. Outputs behind the last are zero.
//!
//! ```text
//! block 0, point 0:  o0k0 o0k1 o1k0 o1k1 … oFk0 oFk1 │ o0k2 o0k3 o1k2 …
//! ```
//!
//! A filter of 9 bytes for each channel becomes 72, so this is for weights that are packed when a model is
//! loaded, or for processors with memory; and for layers whose transformed weights fit a cache, see
//! [`pays`].

#[cfg(test)]
pub(crate) mod tests;

use crate::Mismatch;
use crate::arch;
use crate::conv2d::Conv2dI8;
pub use crate::convolve::Geometry;
use crate::convolve::Plan;
use crate::requantize::Rescale;
use crate::window::Window;

/// Outputs of a block of weights.
pub const OUTPUTS: usize = 16;

/// Rows and columns of outputs of a tile.
pub const TILE: usize = 4;

/// Rows and columns of inputs that a tile's windows see.
pub const SIDE: usize = 6;

/// Products of a tile, for each channel and output.
pub const POINTS: usize = SIDE * SIDE;

/// Channels are a multiple of this.
pub const CHANNELS: usize = 16;

/// Height and width of the kernel.
pub const KERNEL: usize = 3;

/// The inverse of 9 modulo 2³², which makes 64 times the sum of 576 times the sum.
pub(crate) const INVERSE_OF_9: i32 = 0x38E3_8E39;

/// How far 64 times the sum is shifted.
pub(crate) const SHIFT: u32 = 6;

/// What no sum is beyond, to either side.
pub(crate) const MOST: u32 = 1 << (31 - SHIFT);

/// A layer whose weights have been transformed.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Winograd<'a, K> {
    /// [`len`] of them.
    pub weights: &'a [i16],
    /// All else; its own weights are empty, their zero point is taken off already.
    pub layer: K,
}

/// How many `i16` the transformed weights of `outputs` filters over `depth` channels are; `None` where
/// they exceed memory, or channels are no multiple of [`CHANNELS`].
pub fn len(outputs: usize, depth: usize) -> Option<usize> {
    if !depth.is_multiple_of(CHANNELS) {
        return None;
    }
    outputs.checked_next_multiple_of(OUTPUTS)?.checked_mul(POINTS)?.checked_mul(depth)
}

/// Which layers take less time in this way.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Channels times outputs from which on products take longer than what is done around them.
    pub least: usize,
    /// Channels up to which enough tiles fit the first cache.
    pub depth: usize,
    /// Transformed weights up to which they are read fast enough.
    pub weights: usize,
}

impl Limits {
    /// Of levels whose products are of 16 bits anyway.
    pub const HALVES: Self = Self { least: 16 * 16, depth: 256, weights: POINTS * 256 * 256 };

    /// Of levels whose products of 8 bits are twice as fast: weights have to fit the second cache.
    pub const BYTES: Self = Self { least: 32 * 32, depth: 128, weights: POINTS * 128 * 128 };
}

/// Whether a convolution of one group can be computed in this way, if its weights are such, see [`fits`].
pub fn can(g: &Geometry) -> bool {
    let ([.., depth], [.., channels]) = (g.input, g.output);
    let Window { stride_h, stride_w, dilation_h, dilation_w, .. } = g.window;
    g.kernel == [KERNEL; 2]
        && [stride_h, stride_w, dilation_h, dilation_w] == [1; 4]
        && len(channels, depth).is_some()
}

/// Whether a convolution that [can] be computed in this way takes less time so.
pub fn pays(g: &Geometry, limits: &Limits) -> bool {
    let ([.., depth], [.., height, width, channels]) = (g.input, g.output);
    let tiles = height.div_ceil(TILE).saturating_mul(width.div_ceil(TILE));
    // Tiles at the border may stand out.
    let computed = tiles.saturating_mul(TILE * TILE);
    can(g)
        && channels >= OUTPUTS
        && depth <= limits.depth
        && depth.saturating_mul(channels) >= limits.least
        && len(channels, depth).is_some_and(|len| len <= limits.weights)
        && tiles >= 4
        && computed.saturating_mul(2) <= height.saturating_mul(width).saturating_mul(3)
}

/// Transforms `weights`, filters OHWI of 3×3 over `depth` channels, less their `zero_point`.
///
/// # Errors
///
/// [`Mismatch`] where the weights are no whole filters, `transformed` does not have the [`len`] of them,
/// or they are too large, see [`fits`].
pub fn pack(
    weights: &[i8],
    zero_point: i32,
    depth: usize,
    transformed: &mut [i16],
) -> Result<(), Mismatch> {
    let filter = depth.checked_mul(KERNEL * KERNEL).ok_or(Mismatch)?;
    let outputs = weights.len().checked_div(filter).ok_or(Mismatch)?;
    if outputs.checked_mul(filter) != Some(weights.len())
        || len(outputs, depth) != Some(transformed.len())
        || !fits(weights, zero_point, filter)
    {
        return Err(Mismatch);
    }
    transformed.fill(0);
    let block = (POINTS * OUTPUTS * depth).max(1);
    let blocks = transformed.chunks_exact_mut(block);
    for (filters, to) in weights.chunks(filter.max(1) * OUTPUTS).zip(blocks) {
        for (o, taps) in filters.chunks_exact(filter.max(1)).enumerate() {
            for k in 0..depth {
                let mut kernel = [[0; KERNEL]; KERNEL];
                let all = taps.iter().skip(k).step_by(depth.max(1));
                for (to, &w) in kernel.iter_mut().flatten().zip(all) {
                    *to = i32::from(w) - zero_point;
                }
                let at = k / 2 * 2 * OUTPUTS + 2 * o + k % 2;
                let points = to.iter_mut().skip(at).step_by((OUTPUTS * depth).max(1));
                for (to, point) in points.zip(both(kernel, weights_line).into_iter().flatten()) {
                    *to = i16::try_from(point).map_err(|_| Mismatch)?;
                }
            }
        }
    }
    Ok(())
}

/// Weights, less their zero point, whose transformed ones fit 16 bits: 144 times as much.
const LARGEST: u32 = i16::MAX as u32 / 144;

/// Whether [`pack`] takes weights, filters of `filter` weights each, less their `zero_point`: transformed ones
/// fit 16 bits, and no sum of activations of 8 bits by a filter reaches 2²⁵.
pub fn fits(weights: &[i8], zero_point: i32, filter: usize) -> bool {
    weights.chunks(filter.max(1)).all(|row| {
        let magnitudes = row.iter().map(|&w| (i32::from(w) - zero_point).unsigned_abs());
        let (sum, largest) =
            magnitudes.fold((0, 0), |(sum, most), it| (u64::from(it) + sum, it.max(most)));
        largest <= LARGEST && sum * 128 < MOST.into()
    })
}

/// Applies `line` to rows, then to columns.
fn both<const N: usize, const M: usize>(
    matrix: [[i32; N]; N],
    line: impl Fn([i32; N]) -> [i32; M],
) -> [[i32; M]; M] {
    let rows = transposed(matrix.map(&line));
    transposed(rows.map(line))
}

fn transposed<const N: usize, const M: usize>(matrix: [[i32; M]; N]) -> [[i32; N]; M] {
    let mut turned = [[0; N]; M];
    for (row, i) in matrix.iter().zip(0..N) {
        for (to, &from) in turned.iter_mut().zip(row) {
            if let Some(to) = to.get_mut(i) {
                *to = from;
            }
        }
    }
    turned
}

/// `G` by a column.
fn weights_line([a, b, c]: [i32; KERNEL]) -> [i32; SIDE] {
    let (even, odd) = (a + c, b);
    let (far, near) = (a + 4 * c, 2 * b);
    [6 * a, -4 * (even + odd), -4 * (even - odd), far + near, far - near, 6 * c]
}

/// `Bᵀ` by a column.
fn input_line([a, b, c, d, e, f]: [i32; SIDE]) -> [i32; SIDE] {
    let (even, odd) = (e - 4 * c, d - 4 * b);
    let (far, near) = (e - c, 2 * (d - b));
    [4 * (a - c) + far, even + odd, even - odd, far + near, far - near, 4 * (b - d) + f - d]
}

/// `Aᵀ` by a column, modulo 2³².
fn output_line([a, b, c, d, e, f]: [i32; SIDE]) -> [i32; TILE] {
    let (near, near_odd) = (b.wrapping_add(c), b.wrapping_sub(c));
    let (far, far_odd) = (d.wrapping_add(e), d.wrapping_sub(e).wrapping_mul(2));
    [
        a.wrapping_add(near).wrapping_add(far),
        near_odd.wrapping_add(far_odd),
        near.wrapping_add(far.wrapping_mul(4)),
        near_odd.wrapping_add(far_odd.wrapping_add(f).wrapping_mul(4)),
    ]
}

impl<R> Winograd<'_, Conv2dI8<'_, R>> {
    /// The layer's shapes, if they fit each other and the weights.
    pub(crate) fn plan(&self) -> Result<Plan, Mismatch> {
        let Conv2dI8 { input, output, kernel, window, bias, .. } = self.layer;
        let ([.., depth], [.., channels]) = (input, output);
        let strides = Window { pad_top: 0, pad_left: 0, ..window };
        let filters = depth.checked_mul(KERNEL * KERNEL).and_then(|it| it.checked_mul(channels));
        if len(channels, depth) != Some(self.weights.len())
            || bias.len() != channels
            || kernel != [KERNEL; 2]
            || strides != Window::UNIT
        {
            return Err(Mismatch);
        }
        Plan::new(Geometry { input, output, kernel, window }, filters.ok_or(Mismatch)?)
    }
}

/// [`crate::conv2d::conv2d_i8`] of a kernel of 3×3 that moves by one, with transformed weights, of one
/// group.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state, or the kernel is another.
#[inline(never)]
pub fn conv2d_winograd_i8<R: Rescale>(
    p: &Winograd<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::conv2d_winograd_i8(p, x, y)
}

/// The definition of [`conv2d_winograd_i8`].
#[inline(never)]
pub(crate) fn portable<R: Rescale>(
    p: &Winograd<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let plan = p.plan()?;
    let [_, height, width, channels] = plan.output;
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let block = (POINTS * OUTPUTS * plan.depth).max(1);
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        for (top, left) in (0..height)
            .step_by(TILE)
            .flat_map(|top| (0..width).step_by(TILE).map(move |left| (top, left)))
        {
            for (i, weights) in p.weights.chunks_exact(block).enumerate() {
                let points = points(p, &plan, x, [top, left], weights)?;
                for (o, channel) in (i * OUTPUTS..channels).take(OUTPUTS).enumerate() {
                    let bias = p.layer.bias.get(channel).copied().ok_or(Mismatch)?;
                    let mut sums = [[0; SIDE]; SIDE];
                    for (to, from) in sums.iter_mut().flatten().zip(&points) {
                        *to = from.get(o).copied().ok_or(Mismatch)?;
                    }
                    let rows = (top..height).zip(both(sums, output_line));
                    for (row, column, sum) in rows.flat_map(|(row, sums)| {
                        (left..width).zip(sums).map(move |(column, sum)| (row, column, sum))
                    }) {
                        let acc = (sum.wrapping_mul(INVERSE_OF_9) >> SHIFT).wrapping_add(bias);
                        let scaled = p.layer.requantize.rescale(acc, channel);
                        let at = (row * width + column) * channels + channel;
                        *y.get_mut(at).ok_or(Mismatch)? = p.layer.output_stage.apply(scaled) as i8;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Where in an image of so many rows, or columns, a padded one is, if it is inside.
pub(crate) fn inside(padded: usize, pad: usize, size: usize) -> Option<usize> {
    padded.checked_sub(pad).filter(|&it| it < size)
}

/// The products of a tile of the image `x`, whose first output is at `position`, by a block of weights,
/// summed over the channels, modulo 2³².
fn points<R>(
    p: &Winograd<'_, Conv2dI8<'_, R>>,
    plan: &Plan,
    x: &[i8],
    [top, left]: [usize; 2],
    weights: &[i16],
) -> Result<[[i32; OUTPUTS]; POINTS], Mismatch> {
    let [_, height, width, _] = plan.input;
    let outside = p.layer.input_zero_point as i8;
    let mut points = [[0_i32; OUTPUTS]; POINTS];
    for k in 0..plan.depth {
        let mut tile = [[0; SIDE]; SIDE];
        for (tap_y, row) in tile.iter_mut().enumerate() {
            for (tap_x, to) in row.iter_mut().enumerate() {
                let row = inside(top + tap_y, plan.window.pad_top, height);
                let column = inside(left + tap_x, plan.window.pad_left, width);
                let at =
                    row.zip(column).map(|(row, column)| (row * width + column) * plan.depth + k);
                let x = at.map_or(Some(&outside), |at| x.get(at)).ok_or(Mismatch)?;
                *to = i32::from(*x);
            }
        }
        let tile = both(tile, input_line);
        let of_points = weights.chunks_exact((OUTPUTS * plan.depth).max(1));
        for ((sums, weights), &x) in points.iter_mut().zip(of_points).zip(tile.iter().flatten()) {
            let weights = weights.iter().skip(k / 2 * 2 * OUTPUTS + k % 2).step_by(2);
            for (sum, &w) in sums.iter_mut().zip(weights) {
                *sum = sum.wrapping_add(x.wrapping_mul(w.into()));
            }
        }
    }
    Ok(points)
}
