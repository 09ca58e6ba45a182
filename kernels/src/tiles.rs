//! CONV_2D and FULLY_CONNECTED with weights in tiles: packed once, for processors with vectors.
//!
//! The filters of a layer, one a row of `depth` weights (OHWI flattened), are cut into blocks of
//! [`OUTPUTS`] rows, and those into tiles of [`STEP`] columns. A tile holds the columns of its first
//! row, then those of the next; tiles follow each other along the depth, blocks along the outputs:
//!
//! ```text
//!            ── depth ──►
//!            w00 w01 w02 w03 │ w04 …          block 0, tile 0: w00 w01 w02 w03 w10 w11 … wF3
//!  outputs   w10 w11 w12 w13 │ w14 …                   tile 1: w04 w05 w06 w07 w14 …
//!     │       …              │                …
//!     ▼      wF0 wF1 wF2 wF3 │ wF4 …          block 1, tile 0: …
//! ```
//!
//! A tile is one vector of 512 bits, four of 128: one step of sixteen dot products. Rows and columns
//! behind the last are zero.
//!
//! Some instructions multiply unsigned activations by signed weights. Where tiles are
//! [`Activations::Unsigned`], an activation counts as `x + 128` and the bias makes up for it. Some take
//! eight activations at a time: tiles that are [`Activations::Eights`] have 8 columns, all else is the
//! same.

use crate::Mismatch;
use crate::arch;
use crate::conv2d::Conv2dI8;
use crate::convolve::{Geometry, Plan};
use crate::requantize::Rescale;
use crate::window::Window;

/// Rows of a tile.
pub const OUTPUTS: usize = 16;

/// Columns of a tile, but for [`Activations::Eights`], where they are twice as many.
pub const STEP: usize = 4;

/// Weights of a tile of [`STEP`] columns.
pub const TILE: usize = OUTPUTS * STEP;

/// How a kernel reads activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub enum Activations {
    /// As they are, four at a time.
    Signed,
    /// As `x + 128`, in `[0, 255]`, four at a time.
    Unsigned,
    /// As they are, eight at a time. Kernels that do so take [`Activations::Signed`], too.
    Eights,
}

impl Activations {
    /// What is added to an activation.
    pub const fn offset(self) -> i32 {
        match self {
            Self::Signed | Self::Eights => 0,
            Self::Unsigned => 128,
        }
    }

    /// How many are read at a time, which is the columns of a tile.
    pub const fn step(self) -> usize {
        match self {
            Self::Signed | Self::Unsigned => STEP,
            Self::Eights => 2 * STEP,
        }
    }

    /// The same, four at a time.
    pub const fn fours(self) -> Self {
        match self {
            Self::Signed | Self::Eights => Self::Signed,
            Self::Unsigned => Self::Unsigned,
        }
    }
}

/// Weights in tiles.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Tiles<'a> {
    /// [`bytes`] of them.
    pub tiles: &'a [i8],
    /// What they are multiplied with.
    pub activations: Activations,
}

/// A layer whose weights are in tiles.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Tiled<'a, K> {
    /// The weights.
    pub weights: Tiles<'a>,
    /// All else; its own weights are empty. The bias is the layer's, less
    /// `offset × Σ (weights − weights_zero_point)`, see [`Activations::offset`].
    pub layer: K,
}

/// Bytes of the tiles of `outputs` filters of `depth` weights, to be multiplied with `activations`;
/// `None` where they exceed memory.
pub fn bytes(activations: Activations, outputs: usize, depth: usize) -> Option<usize> {
    let columns = depth.checked_next_multiple_of(activations.step())?;
    outputs.div_ceil(OUTPUTS).checked_mul(OUTPUTS)?.checked_mul(columns)
}

/// Puts `weights`, rows of `depth`, into tiles, to be multiplied with `activations`.
///
/// # Errors
///
/// [`Mismatch`] where the weights are no whole rows, or `tiles` does not have the [`bytes`] of them.
pub fn pack(
    activations: Activations,
    weights: &[i8],
    depth: usize,
    tiles: &mut [i8],
) -> Result<(), Mismatch> {
    let outputs = weights.len().checked_div(depth).ok_or(Mismatch)?;
    if outputs.checked_mul(depth) != Some(weights.len())
        || bytes(activations, outputs, depth) != Some(tiles.len())
    {
        return Err(Mismatch);
    }
    tiles.fill(0);
    match activations {
        Activations::Signed | Activations::Unsigned => fill::<STEP>(weights, depth, tiles),
        Activations::Eights => fill::<{ 2 * STEP }>(weights, depth, tiles),
    }
    Ok(())
}

/// [`pack`] into tiles of `N` columns, which are zero.
fn fill<const N: usize>(weights: &[i8], depth: usize, tiles: &mut [i8]) {
    let block_bytes = depth.next_multiple_of(N) * OUTPUTS;
    let rows = weights.chunks(depth * OUTPUTS);
    for (rows, block) in rows.zip(tiles.chunks_exact_mut(block_bytes.max(1))) {
        for (o, row) in rows.chunks_exact(depth.max(1)).enumerate() {
            let mut columns = block.as_chunks_mut::<N>().0.iter_mut().skip(o).step_by(OUTPUTS);
            let (steps, last) = row.as_chunks::<N>();
            for (step, column) in steps.iter().zip(columns.by_ref()) {
                *column = *step;
            }
            for (from, to) in last.iter().zip(columns.flatten()) {
                *to = *from;
            }
        }
    }
}

impl<R> Tiled<'_, Conv2dI8<'_, R>> {
    /// Rows, depth and outputs of the product of matrices that the layer is, where its kernel is one
    /// pixel that visits every pixel.
    #[cfg_attr(not(simd), expect(dead_code, reason = "for kernels with vectors"))]
    pub(crate) fn matrices(&self) -> Option<[usize; 3]> {
        let Conv2dI8 { input, output, kernel, window, .. } = self.layer;
        let [batches, height, width, depth] = input;
        // One by one: as arrays they are put together first, and small layers wait for that.
        let [out_batches, out_height, out_width, channels] = output;
        let same = batches == out_batches && height == out_height && width == out_width;
        let count = batches.checked_mul(height)?.checked_mul(width)?;
        (same && kernel == [1, 1] && window == Window::UNIT).then_some([count, depth, channels])
    }

    /// The layer's shapes, if they fit each other and the tiles. There is one group.
    pub(crate) fn plan(&self) -> Result<Plan, Mismatch> {
        let Conv2dI8 { input, output, kernel, window, .. } = self.layer;
        let ([.., depth], [.., channels], [kernel_h, kernel_w]) = (input, output, kernel);
        let filter = kernel_h.checked_mul(kernel_w).and_then(|taps| taps.checked_mul(depth));
        let filter = filter.ok_or(Mismatch)?;
        let weights = filter.checked_mul(channels).ok_or(Mismatch)?;
        let Tiles { tiles, activations } = self.weights;
        if bytes(activations, channels, filter) != Some(tiles.len())
            || self.layer.bias.len() != channels
        {
            return Err(Mismatch);
        }
        Plan::new(Geometry { input, output, kernel, window }, weights)
    }
}

/// [`crate::conv2d::conv2d_i8`] with weights in tiles, of one group.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn conv2d_tiled_i8<R: Rescale>(
    p: &Tiled<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::conv2d_tiled_i8(p, x, y)
}

/// The definition of [`conv2d_tiled_i8`].
#[inline(never)]
pub(crate) fn portable<R: Rescale>(
    p: &Tiled<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let plan = p.plan()?;
    let [_, height, width, channels] = p.layer.output;
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        let pixels = (0..height).flat_map(|out_y| (0..width).map(move |out_x| [out_y, out_x]));
        for (y, position) in y.chunks_exact_mut(channels.max(1)).zip(pixels) {
            for (block, y) in y.chunks_mut(OUTPUTS).enumerate() {
                let (accs, sum) = sums(p, &plan, block, x, position)?;
                let taken = sum.wrapping_mul(p.layer.weights_zero_point);
                for (o, (y, acc)) in y.iter_mut().zip(accs).enumerate() {
                    let channel = block * OUTPUTS + o;
                    let bias = p.layer.bias.get(channel).copied().unwrap_or_default();
                    let acc = acc.wrapping_sub(taken).wrapping_add(bias);
                    let scaled = p.layer.requantize.rescale(acc, channel);
                    *y = p.layer.output_stage.apply(scaled) as i8;
                }
            }
        }
    }
    Ok(())
}

/// The sums of a block of outputs at one position of the image `x`, and the sum of the activations.
fn sums<R>(
    p: &Tiled<'_, Conv2dI8<'_, R>>,
    plan: &Plan,
    block: usize,
    x: &[i8],
    position: [usize; 2],
) -> Result<([i32; OUTPUTS], i32), Mismatch> {
    let ([kernel_h, kernel_w], [.., depth]) = (p.layer.kernel, p.layer.input);
    let offset = p.weights.activations.offset();
    let outside = p.layer.input_zero_point as i8;
    let step = p.weights.activations.step();
    let block_bytes = plan.filter.next_multiple_of(step) * OUTPUTS;
    let tiles = p.weights.tiles.get(block * block_bytes..).ok_or(Mismatch)?;
    let (mut accs, mut sum, mut k) = ([0_i32; OUTPUTS], 0_i32, 0);
    for tap_y in 0..kernel_h {
        for tap_x in 0..kernel_w {
            let run = plan.tap(position, [tap_y, tap_x]).and_then(|start| x.get(start..));
            for channel in 0..depth {
                let x = run.map_or(Some(&outside), |run| run.get(channel)).ok_or(Mismatch)?;
                let x = i32::from(*x) + offset;
                let tile = tiles.get(k / step * step * OUTPUTS..).ok_or(Mismatch)?;
                let column = tile.iter().skip(k % step).step_by(step);
                for (acc, w) in accs.iter_mut().zip(column) {
                    *acc = acc.wrapping_add(x * i32::from(*w));
                }
                sum = sum.wrapping_add(x);
                k += 1;
            }
        }
    }
    Ok((accs, sum))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::arch::{Conv2dTiledI8, Kernels};
    use crate::conv2d::conv2d_large_i8;
    use crate::requantize::Requantize;
    use crate::testing::shapes::convolution;
    use crate::testing::{Scales, Values, check, output_stage};

    const ALL: [Activations; 3] = [Activations::Signed, Activations::Unsigned, Activations::Eights];

    /// A random layer over `g`, plain and in tiles.
    pub(crate) struct Case {
        pub geometry: Geometry,
        pub weights: Vec<i8>,
        pub tiles: Vec<i8>,
        pub weights_zero_point: i32,
        pub input_zero_point: i32,
        pub bias: Vec<i32>,
        pub tiled_bias: Vec<i32>,
        pub scales: Scales,
        pub output_stage: crate::requantize::Output,
        pub x: Vec<i8>,
        pub activations: Activations,
    }

    impl Case {
        pub fn new(g: Geometry, activations: Activations, values: &mut Values) -> Self {
            let ([.., depth], [.., channels]) = (g.input, g.output);
            let filter = g.kernel[0] * g.kernel[1] * depth;
            let weights = values.i8s(filter * channels);
            let mut tiles = vec![77; bytes(activations, channels, filter).unwrap()];
            pack(activations, &weights, filter, &mut tiles).unwrap();
            let symmetric = values.next().is_multiple_of(2);
            let weights_zero_point = if symmetric { 0 } else { values.i32s(1, -128, 127)[0] };
            let input_zero_point = values.i32s(1, -128, 127)[0];
            // One in eight as large as they get: what is added to them wraps.
            let bias = match values.next() % 8 {
                0 => values.i32s(channels, i32::MIN.into(), i32::MAX.into()),
                _ => values.i32s(channels, -100_000, 100_000),
            };
            let tiled_bias = bias
                .iter()
                .zip(weights.chunks(filter))
                .map(|(bias, row)| {
                    let sum: i32 = row.iter().map(|&w| i32::from(w) - weights_zero_point).sum();
                    bias.wrapping_sub(activations.offset().wrapping_mul(sum))
                })
                .collect();
            let scales = Scales::new(values, channels);
            let output_stage = output_stage(values);
            let x = values.i8s(g.input.iter().product());
            Self {
                geometry: g,
                weights,
                tiles,
                weights_zero_point,
                input_zero_point,
                bias,
                tiled_bias,
                scales,
                output_stage,
                x,
                activations,
            }
        }

        pub fn tiled<'a>(&'a self, requantize: Requantize<'a>) -> Tiled<'a, Conv2dI8<'a>> {
            let weights = Tiles { tiles: &self.tiles, activations: self.activations };
            let bias = &self.tiled_bias;
            Tiled { weights, layer: Conv2dI8 { weights: &[], bias, ..self.plain(requantize) } }
        }

        fn plain<'a>(&'a self, requantize: Requantize<'a>) -> Conv2dI8<'a> {
            Conv2dI8 {
                input: self.geometry.input,
                output: self.geometry.output,
                kernel: self.geometry.kernel,
                window: self.geometry.window,
                weights: &self.weights,
                weights_zero_point: self.weights_zero_point,
                input_zero_point: self.input_zero_point,
                bias: &self.bias,
                requantize,
                output_stage: self.output_stage,
            }
        }
    }

    /// Holds a level's kernel against the definition, with all tiles that it is for.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let best = kernels.tiles.unwrap_or(Activations::Signed);
        let mut all = vec![best, best.fours()];
        all.dedup();
        for activations in all {
            check(kernels.level, cases, (convolution(), any::<u64>()), |(g, seed)| {
                conv2d_tiled_i8(kernels.conv2d_tiled_i8, activations, g, seed)
            });
        }
    }

    fn conv2d_tiled_i8(
        kernel: Conv2dTiledI8,
        activations: Activations,
        g: Geometry,
        seed: u64,
    ) -> Result<(), TestCaseError> {
        let case = Case::new(g, activations, &mut Values::new(seed));
        let len = g.output.iter().product();
        for requantize in case.scales.all() {
            let (mut y, mut expected) = (vec![1; len], vec![2; len]);
            prop_assert_eq!(kernel(&case.tiled(requantize), &case.x, &mut y), Ok(()));
            conv2d_large_i8(&case.plain(requantize), &case.x, &mut expected).unwrap();
            prop_assert_eq!(&y, &expected, "{:?}", requantize);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn tiles_hold_each_weight_where_the_picture_says(
            outputs in 1..40_usize, depth in 1..20_usize, deep: bool, seed: u64,
        ) {
            let weights = Values::new(seed).i8s(outputs * depth);
            let (activations, n) =
                if deep { (Activations::Eights, 8) } else { (Activations::Signed, 4) };
            let mut tiles = vec![1; bytes(activations, outputs, depth).unwrap()];
            pack(activations, &weights, depth, &mut tiles).unwrap();
            let blocks = tiles.chunks(depth.div_ceil(n) * 16 * n).enumerate();
            for (block, tiles) in blocks {
                for (i, &w) in tiles.iter().enumerate() {
                    let (row, column) = (block * 16 + i % (16 * n) / n, i / (16 * n) * n + i % n);
                    let inside = row < outputs && column < depth;
                    prop_assert_eq!(w, if inside { weights[row * depth + column] } else { 0 });
                }
            }
        }

        #[test]
        fn tiles_give_what_plain_weights_give(
            g in convolution(),
            activations in prop::sample::select(ALL.as_slice()),
            seed: u64,
        ) {
            conv2d_tiled_i8(|p, x, y| portable(p, x, y), activations, g, seed)?;
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        assert_eq!(pack(Activations::Signed, &[0; 6], 4, &mut [0; 64]), Err(Mismatch));
        assert_eq!(pack(Activations::Signed, &[0; 8], 4, &mut [0; 63]), Err(Mismatch));
        assert_eq!(pack(Activations::Eights, &[0; 8], 4, &mut [0; 64]), Err(Mismatch));
        assert_eq!(pack(Activations::Signed, &[], 0, &mut []), Err(Mismatch));
        let g = Geometry {
            input: [1, 2, 2, 3],
            output: [1, 2, 2, 5],
            kernel: [1, 1],
            window: Window::UNIT,
        };
        let case = Case::new(g, Activations::Signed, &mut Values::new(1));
        let p = case.tiled(Requantize::Float32(&[0.5]));
        let run = |p: Tiled<'_, Conv2dI8<'_>>, x, y| conv2d_tiled_i8_of(&p, x, y);
        assert_eq!(run(p, 12, 20), Ok(()));
        assert_eq!(run(p, 11, 20), Err(Mismatch));
        assert_eq!(run(p, 12, 19), Err(Mismatch));
        let weights = Tiles { tiles: &case.tiles[1..], ..p.weights };
        assert_eq!(run(Tiled { weights, ..p }, 12, 20), Err(Mismatch));
        let layer = Conv2dI8 { bias: &[0; 4], ..p.layer };
        assert_eq!(run(Tiled { layer, ..p }, 12, 20), Err(Mismatch));
        let layer = Conv2dI8 { kernel: [usize::MAX, 2], ..p.layer };
        assert_eq!(run(Tiled { layer, ..p }, 12, 20), Err(Mismatch));
    }

    /// The portable kernel on some activations, of which there are so many.
    fn conv2d_tiled_i8_of(p: &Tiled<'_, Conv2dI8<'_>>, x: usize, y: usize) -> Result<(), Mismatch> {
        portable(p, &vec![3; x], &mut vec![0; y])
    }
}
