//! Convolution by [`winograd`], for any instruction set with vectors that multiplies pairs of 16 bits.
//!
//! Some tiles at a time: their inputs are transformed into one matrix for each of the 36 points, tiles by
//! channels, which are multiplied by those of the weights, up to 64 outputs at a time; the products are
//! transformed back and requantized.
//!
//! ```text
//!  image, 6×6 pixels a tile     36 × [tiles × channels]   36 × [tiles × outputs]   4×4 pixels a tile
//!        int8             ──►         int16            ──►        int32       ──►        int8
//!                      Bᵀ d B                      × weights               Aᵀ m A, / 576, requantize
//! ```
//!
//! Matrices of points begin a line of the cache more than a power of two apart, so that the 36 of a tile
//! do not all fall into the same few sets.

mod lanes;

use core::mem::MaybeUninit;

pub(super) use lanes::{Lanes, Long, Short};
use lanes::{Pixels, input, output_line};

use super::output::{self, BLOCK, OutputStage};
use super::tiled::Isa;
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::convolve::Plan;
use crate::winograd::{self, INVERSE_OF_9, OUTPUTS, POINTS, SHIFT, SIDE, TILE, Winograd};

/// Blocks of outputs that are multiplied at a time: half as many, or where there are few tiles all.
const BLOCKS: usize = 4;

/// Tiles whose sums are requantized at a time.
const TILES: usize = 4;

/// Products of a point that there is room for: of these tiles by all blocks, or of more by fewer.
const PRODUCTS: usize = TILES * BLOCKS * OUTPUTS;

/// Inputs of a point that there is room for: all in all the memory on the stack stays below what threads have
/// at the least, 128 KB.
const INPUTS: usize = 8 * 96;

/// Elements by which the matrices of points are further apart: a line of the cache.
const LINE16: usize = 32;
const LINE32: usize = 16;

/// Products that could have made the largest sum there is, of activations of 8 bits by weights of 8 bits.
const LEAST_PRODUCTS: usize = winograd::MOST as usize / (128 * 255) + 1;

/// The instructions that this needs beside those of [`Isa`].
pub(super) trait Products {
    /// Vectors of inputs.
    type Short: Short;
    /// The same where channels are a multiple of its lanes, which may be more.
    type Wide: Short;
    /// Vectors of sums.
    type Long: Long;

    /// Tiles that [`Products::multiply`] takes at once by so many blocks: as many as there is room for products
    /// of, at most.
    fn tiles(blocks: usize) -> usize;

    /// Writes the products of all points.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; there are as many tiles and weights as `p` says, at most
    /// [`Products::tiles`], and room for the products.
    unsafe fn multiply(p: &Points);
}

/// The products of all points.
pub(super) struct Points {
    /// Inputs of the first point: of each tile, `depth` channels.
    pub inputs: *const i16,
    /// From a point's inputs to the next one's.
    pub input_pitch: usize,
    pub tiles: usize,
    /// A multiple of [`winograd::CHANNELS`].
    pub depth: usize,
    /// Weights of the first point and block: for each two channels, two of [`OUTPUTS`] outputs. Points
    /// follow each other, then blocks.
    pub weights: *const i16,
    /// One to four.
    pub blocks: usize,
    /// Sums of the first point: of each tile, the outputs of all blocks.
    pub products: *mut i32,
    /// From a point's sums to the next one's.
    pub pitch: usize,
}

impl Points {
    /// Weights of a point.
    pub fn point_weights(&self) -> usize {
        OUTPUTS * self.depth
    }

    /// Weights of a block.
    pub fn block_weights(&self) -> usize {
        POINTS * self.point_weights()
    }
}

/// Makes a function of [`winograd::conv2d_winograd_i8`] for an [`Isa`] and its [`Products`], compiled for
/// their features. What it is called by has to have seen them.
#[cfg(target_arch = "x86_64")]
macro_rules! winograd_kernel {
    ($name:ident: $isa:ty, $products:ty, $features:literal) => {
        pub(super) fn $name(
            p: &crate::winograd::Winograd<'_, crate::conv2d::Conv2dI8<'_>>,
            x: &[i8],
            y: &mut [i8],
        ) -> Result<(), crate::Mismatch> {
            #[target_feature(enable = $features)]
            unsafe fn compiled(
                p: &crate::winograd::Winograd<'_, crate::conv2d::Conv2dI8<'_>>,
                x: &[i8],
                y: &mut [i8],
            ) -> Result<(), crate::Mismatch> {
                // SAFETY: as the caller says.
                unsafe { $crate::arch::winograd::conv2d_winograd_i8::<$isa, $products>(p, x, y) }
            }
            // SAFETY: the table that leads here is given out where there are the instructions.
            unsafe { compiled(p, x, y) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) use winograd_kernel;

/// Memory on the stack.
#[repr(C, align(64))]
struct Scratch {
    /// Transformed inputs: of each point, tiles of channels.
    inputs: [MaybeUninit<i16>; POINTS * (INPUTS + LINE16)],
    /// Products: of each point, tiles of outputs.
    products: [MaybeUninit<i32>; POINTS * (PRODUCTS + LINE32)],
    /// Sums: of each row of tiles' outputs, all positions.
    sums: [[[i32; BLOCK]; TILES * TILE]; TILE],
    /// A pixel outside of the image.
    outside: [i8; INPUTS],
}

/// [`winograd::conv2d_winograd_i8`].
///
/// # Safety
///
/// The processor has the instructions.
#[inline(always)]
pub(super) unsafe fn conv2d_winograd_i8<I: Isa, P: Products>(
    p: &Winograd<'_, Conv2dI8<'_>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let Conv2dI8 { requantize, output_stage, bias, .. } = p.layer;
    let plan = p.plan()?;
    // Sums are below `MOST`, whatever the weights are.
    let stage = OutputStage::new(requantize, output_stage, bias, plan.filter.max(LEAST_PRODUCTS));
    let depth = plan.depth;
    let [_, height, width, channels] = plan.output;
    let tiles = height.div_ceil(TILE).saturating_mul(width.div_ceil(TILE));
    let room = INPUTS.checked_div(depth).unwrap_or(0).min(tiles);
    // Fewer tiles by more outputs, where there are no more tiles.
    let most = if room <= P::tiles(BLOCKS) { BLOCKS } else { BLOCKS / 2 };
    let blocks = channels.div_ceil(OUTPUTS).clamp(1, most);
    let at_once = room.min(P::tiles(blocks));
    if room == 0 || !stage.fits() {
        return winograd::portable(p, x, y);
    }
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let mut scratch = const { MaybeUninit::<Scratch>::uninit() };
    let scratch = scratch.as_mut_ptr();
    let layer = Layer { p, plan, stage };
    // SAFETY: parts of the memory. The output stage may read sums of a position that no channel has.
    unsafe {
        let sums = (&raw mut (*scratch).sums).cast::<i32>();
        for position in 0..TILE * TILES * TILE {
            let written = blocks * OUTPUTS;
            sums.add(position * BLOCK + written).write_bytes(0, BLOCK - written);
        }
        (&raw mut (*scratch).outside)
            .cast::<i8>()
            .write_bytes(p.layer.input_zero_point as u8, INPUTS);
    }
    for (x, y) in x.chunks_exact(image.max(1)).zip(y.chunks_exact_mut(out.max(1))) {
        // SAFETY: as the caller says; the pixel has been written.
        unsafe { layer.image::<I, P>([at_once, blocks], x, y, scratch) };
    }
    Ok(())
}

/// A convolution whose shapes fit.
struct Layer<'a> {
    p: &'a Winograd<'a, Conv2dI8<'a>>,
    plan: Plan,
    stage: OutputStage<'a>,
}

impl Layer<'_> {
    /// One image, so many tiles by so many blocks at a time.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; `scratch` has a pixel that is outside, and nobody else has it.
    #[inline(always)]
    unsafe fn image<I: Isa, P: Products>(
        &self,
        [at_once, blocks]: [usize; 2],
        x: &[i8],
        y: &mut [i8],
        scratch: *mut Scratch,
    ) {
        let Plan { depth, output: [_, height, width, channels], .. } = self.plan;
        let [rows, columns] = [height, width].map(|size| size.div_ceil(TILE));
        let count = rows * columns;
        // About as many each time.
        let times = count.div_ceil(at_once).max(1);
        // SAFETY: these are fields; what points there leaves their elements alone until it writes them.
        let (inputs, products) =
            unsafe { (&raw mut (*scratch).inputs, &raw mut (*scratch).products) };
        let mut points = Points {
            inputs: inputs.cast(),
            input_pitch: at_once * depth + LINE16,
            tiles: 0,
            depth,
            weights: self.p.weights.as_ptr(),
            blocks: 0,
            products: products.cast(),
            pitch: PRODUCTS + LINE32,
        };
        let block = points.block_weights();
        let mut scales = None;
        for time in 0..times {
            let tiles = time * count / times..(time + 1) * count / times;
            for (i, tile) in tiles.clone().enumerate() {
                let at = [tile / columns * TILE, tile % columns * TILE];
                // SAFETY: as the caller says; there is room for `at_once` tiles.
                unsafe {
                    let pixels = self.pixels(x, at, (&raw const (*scratch).outside).cast());
                    let to = inputs.cast::<i16>().add(i * depth);
                    match depth.is_multiple_of(P::Wide::LANES) {
                        true => input::<P::Wide>(&pixels, depth, to, points.input_pitch),
                        false => input::<P::Short>(&pixels, depth, to, points.input_pitch),
                    }
                }
            }
            for (first, weights) in self.p.weights.chunks(blocks * block).enumerate() {
                let channel = first * blocks * OUTPUTS;
                points.weights = weights.as_ptr();
                points.blocks = weights.len() / block;
                points.tiles = tiles.len();
                let of_channels = (points.blocks * OUTPUTS).min(channels - channel);
                // SAFETY: as the caller says; inputs of these tiles have been written, and there is room for
                // the products of so many by so many blocks.
                unsafe { P::multiply(&points) };
                let scales = match &scales {
                    Some((of, scales)) if *of == channel => scales,
                    _ => {
                        // SAFETY: as the caller says.
                        let new = unsafe { I::scales(&self.stage, channel, of_channels) };
                        &scales.insert((channel, new)).1
                    }
                };
                let mut first = tiles.start;
                while first < tiles.end {
                    let some = first..tiles.end.min(first + TILES);
                    // SAFETY: as the caller says; the products have been written, and nobody else has the sums.
                    unsafe {
                        let sums = &mut (*scratch).sums;
                        points.tiles = some.len();
                        self.outputs::<P::Long>(&points, first - tiles.start, channel, sums);
                        let output = Outputs { tiles: some, columns, channel, of_channels };
                        self.store::<I>(&output, scales, sums, y);
                    }
                    first += TILES;
                }
            }
        }
    }

    /// The pixels that a tile sees whose first output is at `[top, left]`.
    #[inline(always)]
    fn pixels(&self, x: &[i8], [top, left]: [usize; 2], outside: *const i8) -> Pixels {
        let Plan { depth, window, input: [_, height, width, _], .. } = self.plan;
        let mut pixels = [[outside; SIDE]; SIDE];
        let corner = [top.checked_sub(window.pad_top), left.checked_sub(window.pad_left)];
        if let [Some(row), Some(column)] = corner
            && row + SIDE <= height
            && column + SIDE <= width
        {
            let first = x[(row * width + column) * depth..].as_ptr();
            for (i, pixels) in pixels.iter_mut().enumerate() {
                for (j, pixel) in pixels.iter_mut().enumerate() {
                    *pixel = first.wrapping_add((i * width + j) * depth);
                }
            }
            return pixels;
        }
        for (i, pixels) in pixels.iter_mut().enumerate() {
            let Some(row) = winograd::inside(top + i, window.pad_top, height) else { continue };
            for (j, pixel) in pixels.iter_mut().enumerate() {
                if let Some(column) = winograd::inside(left + j, window.pad_left, width) {
                    *pixel = x[(row * width + column) * depth..].as_ptr();
                }
            }
        }
        pixels
    }

    /// Transforms products back into the sums of tiles, from tile `first` on, with their biases.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; the products are there.
    #[expect(
        clippy::needless_range_loop,
        reason = "iterators over arrays may keep these in memory"
    )]
    #[inline(always)]
    unsafe fn outputs<V: Long>(
        &self,
        p: &Points,
        first_tile: usize,
        channel: usize,
        sums: &mut [[[i32; BLOCK]; TILES * TILE]; TILE],
    ) {
        let outputs = p.blocks * OUTPUTS;
        let count = outputs.min(self.p.layer.bias.len() - channel);
        let bias: [i32; BLOCKS * OUTPUTS] = output::lanes(self.p.layer.bias, channel, count);
        for tile in 0..p.tiles {
            for first in (0..outputs).step_by(V::LANES) {
                // SAFETY: as the caller says; outputs are a multiple of the lanes, as `OUTPUTS` is.
                unsafe {
                    let products = p.products.add((first_tile + tile) * outputs + first);
                    let zero = V::splat(0);
                    let mut columns = [[zero; TILE]; SIDE];
                    for j in 0..SIDE {
                        let mut column = [zero; SIDE];
                        for i in 0..SIDE {
                            column[i] = V::load(products.add((i * SIDE + j) * p.pitch));
                        }
                        columns[j] = output_line(column);
                    }
                    let bias = V::load(bias.as_ptr().add(first));
                    let inverse = V::splat(INVERSE_OF_9);
                    for i in 0..TILE {
                        let mut row = [zero; SIDE];
                        for j in 0..SIDE {
                            row[j] = columns[j][i];
                        }
                        let row = output_line(row);
                        for j in 0..TILE {
                            let sum = row[j].multiply(inverse).halved::<{ SHIFT as i32 }>();
                            sum.add(bias).store(sums[i][tile * TILE + j].as_mut_ptr().add(first));
                        }
                    }
                }
            }
        }
    }

    /// Requantizes the sums of tiles that are neighbours, row by row, and stores them to the image `y`.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; `scales` are those of the channels.
    #[inline(always)]
    unsafe fn store<I: Isa>(
        &self,
        outputs: &Outputs,
        scales: &I::Scales,
        sums: &[[[i32; BLOCK]; TILES * TILE]; TILE],
        y: &mut [i8],
    ) {
        let Plan { output: [_, height, width, channels], .. } = self.plan;
        let Outputs { ref tiles, columns, channel, of_channels } = *outputs;
        let mut tile = tiles.start;
        while tile < tiles.end {
            // To the end of the row of tiles.
            let (top, left) = (tile / columns * TILE, tile % columns * TILE);
            let next = tiles.end.min((tile / columns + 1) * columns);
            let first = (tile - tiles.start) * TILE;
            let count = ((next - tile) * TILE).min(width - left);
            for (sums, row) in sums.iter().zip(top..height) {
                let y = &mut y[(row * width + left) * channels..];
                // SAFETY: as the caller says.
                unsafe {
                    I::store(
                        scales,
                        &self.stage,
                        &sums[first..first + count],
                        y,
                        channel,
                        of_channels,
                    );
                }
            }
            tile = next;
        }
    }
}

/// Which outputs have been computed.
struct Outputs {
    /// Of the image, row by row.
    tiles: core::ops::Range<usize>,
    /// Tiles of a row.
    columns: usize,
    channel: usize,
    of_channels: usize,
}
