//! CONV_2D with weights in tiles, for any instruction set with vectors: windows are rows of
//! matrices, which are multiplied.
//!
//! What differs between instruction sets is an [`Isa`]: how activations are copied, the products,
//! and the output stage.

use core::mem::MaybeUninit;

use super::output::{BLOCK, OutputStage, lanes};
use super::padded::Padded;
use super::windows::{LINE, PANEL, Panel, Windows};
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::tiles::{self, Activations, OUTPUTS, STEP, Tiled};

/// Most rows whose sums are held at once.
pub(super) const MOST: usize = 16;

/// An activation as products read it: `x`, or `x + 128`, see [`Isa::ACTIVATIONS`].
pub(super) trait Element: Copy + Default + Into<i32> + 'static {
    /// The activation with this value, which it has room for.
    fn new(value: i32) -> Self;
}

macro_rules! elements {
    ($($element:ty),*) => {
        $(impl Element for $element {
            #[inline(always)]
            fn new(value: i32) -> Self {
                value as Self
            }
        })*
    };
}

elements!(i8, u8, i16);

/// Rows of activations, as the products read them.
///
/// A row is `segments` runs of `steps` × [`STEP`] activations, which begin `pitch` elements apart, and
/// are whole steps of the [`Isa`]; rows begin `stride` elements apart. A matrix has one segment; the
/// windows of an image have one for each row of taps, and overlap.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, E = u8> {
    /// From the first row on; it holds the last one's last run, [`Rows::fit`].
    pub x: &'a [E],
    pub count: usize,
    pub stride: usize,
    pub segments: usize,
    pub pitch: usize,
    pub steps: usize,
}

impl<'a, E: Element> Rows<'a, E> {
    /// The rows of a matrix, which lie one behind the other.
    pub fn of_matrix(x: &'a [E], stride: usize) -> Self {
        let steps = stride / STEP;
        Self { x, count: x.len() / stride, stride, segments: 1, pitch: 0, steps }
    }

    /// Whether all runs are in `x`.
    pub fn fit(&self) -> bool {
        let last = |count: usize, step: usize| count.saturating_sub(1).saturating_mul(step);
        let run = self.steps.saturating_mul(STEP);
        last(self.count, self.stride)
            .saturating_add(last(self.segments, self.pitch))
            .saturating_add(run)
            <= self.x.len()
    }

    /// The rows from `first` on.
    fn from(&self, first: usize) -> Self {
        // Behind the last row there may be nothing.
        let x = self.x.get(first * self.stride..).unwrap_or_default();
        Self { x, count: self.count - first, ..*self }
    }

    /// The sum of a row's activations.
    #[inline(always)]
    fn sum(&self, row: usize) -> i32 {
        let starts = (0..self.segments).map(|segment| row * self.stride + segment * self.pitch);
        let runs = starts.map(|start| &self.x[start..start + self.steps * STEP]);
        runs.map(|run| run.iter().map(|&x| x.into()).sum::<i32>()).sum()
    }
}

/// Sums of some rows, at most [`MOST`], of [`BLOCK`] outputs each.
pub(super) type Sums = [[i32; BLOCK]];

/// The instructions that this needs. Functions are compiled for them, so that processors without
/// them must not come here.
pub(super) trait Isa {
    /// How activations are read.
    const ACTIVATIONS: Activations;

    /// What they are copied to: a byte, or more where products are of more.
    type Element: Element;

    /// Copies activations, with [`Activations::offset`] added; as many as both have.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    unsafe fn copy(to: &mut [MaybeUninit<Self::Element>], from: &[i8]);

    /// Rows that [`Isa::multiply`] takes at most.
    const ROWS: usize = MOST;

    /// Adds the products of the first rows by the blocks of tiles `tiles`, of which there are up to
    /// four, to `bias`, and stores the sums to `acc`, of which the first `outputs` are asked for: at
    /// most as many as the tiles have. Returns how many rows it took, at least 1: as many as registers
    /// can hold, and not more than there are.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; there is a row and a block, and [`Rows::fit`] holds. `acc` has
    /// [`Isa::ROWS`] rows, or as many as there are.
    unsafe fn multiply(
        rows: Rows<'_, Self::Element>,
        tiles: &[i8],
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize;

    /// [`Isa::multiply`] by weights less their zero point.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    unsafe fn multiply_offset(
        rows: Rows<'_, Self::Element>,
        tiles: &[i8],
        zero_point: i32,
        bias: &[i32; BLOCK],
        outputs: usize,
        acc: &mut Sums,
    ) -> usize {
        // SAFETY: as the caller says.
        let taken = unsafe { Self::multiply(rows, tiles, bias, outputs, acc) };
        take_off(&rows, zero_point, outputs, &mut acc[..taken]);
        taken
    }

    /// The scales of a block of channels.
    type Scales;

    /// Prepares those of channels `channel..channel + count`.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; `count` is at most [`BLOCK`].
    unsafe fn scales(stage: &OutputStage<'_>, channel: usize, count: usize) -> Self::Scales;

    /// Requantizes the sums of these channels, of a position each, and stores them to `y`, which
    /// begins with the first position's channel 0.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; `scales` are those of the channels.
    unsafe fn store(
        scales: &Self::Scales,
        stage: &OutputStage<'_>,
        acc: &[[i32; BLOCK]],
        y: &mut [i8],
        channel: usize,
        count: usize,
    );
}

/// Makes a function of [`tiles::conv2d_tiled_i8`] for an [`Isa`], compiled for its features. What it is
/// called by has to have seen them.
///
/// Windows, large products and small ones are compiled apart: the memory on the stack that the former
/// need takes longer to get than a small product.
#[cfg(target_arch = "x86_64")]
macro_rules! tiled_kernel {
    ($name:ident: $isa:ty, $features:literal) => {
        fn $name(p: &Tiled<'_, Conv2dI8<'_>>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
            #[target_feature(enable = $features)]
            unsafe fn product<const LINES: usize>(
                p: &Tiled<'_, Conv2dI8<'_>>,
                shape: [usize; 3],
                x: &[i8],
                y: &mut [i8],
            ) -> Result<(), Mismatch> {
                // SAFETY: as the caller says.
                unsafe { $crate::arch::tiled::product::<$isa, LINES>(p, shape, x, y) }
            }
            #[target_feature(enable = $features)]
            unsafe fn windows(
                p: &Tiled<'_, Conv2dI8<'_>>,
                x: &[i8],
                y: &mut [i8],
            ) -> Result<(), Mismatch> {
                // SAFETY: as the caller says.
                unsafe { $crate::arch::tiled::windows::<$isa>(p, x, y) }
            }
            use $crate::arch::tiled::{FEW, FEW_LINES, PANEL_LINES};
            // SAFETY: the table that leads here is given out where there are the instructions.
            unsafe {
                match p.matrices() {
                    Some(shape) if x.len() < FEW => product::<FEW_LINES>(p, shape, x, y),
                    Some(shape) => product::<PANEL_LINES>(p, shape, x, y),
                    None => windows(p, x, y),
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) use tiled_kernel;

/// Activations of a small product, and lines of memory that they fit, as 16-bit numbers.
#[cfg(target_arch = "x86_64")]
pub(super) const FEW: usize = 1024;
#[cfg(target_arch = "x86_64")]
pub(super) const FEW_LINES: usize = 2 * FEW / LINE;

/// [`tiles::conv2d_tiled_i8`].
///
/// # Safety
///
/// The processor has the instructions.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) unsafe fn conv2d_tiled_i8<I: Isa>(
    p: &Tiled<'_, Conv2dI8<'_>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // SAFETY: as the caller says.
    unsafe {
        match p.matrices() {
            Some(shape) => product::<I, PANEL_LINES>(p, shape, x, y),
            None => windows::<I>(p, x, y),
        }
    }
}

/// Lines of memory that products copy activations to.
pub(super) const PANEL_LINES: usize = PANEL / LINE;

/// A convolution that is a product of matrices: rows, depth and outputs. Activations are copied to so
/// many lines of memory.
///
/// # Safety
///
/// The processor has the instructions.
#[inline(always)]
pub(super) unsafe fn product<I: Isa, const LINES: usize>(
    p: &Tiled<'_, Conv2dI8<'_>>,
    [count, depth, channels]: [usize; 3],
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let Conv2dI8 { requantize, output_stage, bias, .. } = p.layer;
    // Without a plan, which takes as long as a small layer.
    let stage = OutputStage::new(requantize, output_stage, bias, depth);
    #[cfg(target_arch = "x86_64")]
    let stage = stage.of_positions(count);
    if count.checked_mul(depth) != Some(x.len())
        || count.checked_mul(channels) != Some(y.len())
        || channels != bias.len()
        || tiles::bytes(I::ACTIVATIONS, channels, depth) != Some(p.weights.tiles.len())
        || depth == 0
        || p.weights.activations != I::ACTIVATIONS
        || !stage.fits()
        || !Panel::<I::Element, LINES>::fits(depth)
    {
        return tiles::portable(p, x, y);
    }
    let layer = Layer { p, filter: depth, stage, tiles: p.weights.tiles };
    // SAFETY: as the caller says.
    unsafe { layer.matrix::<I, LINES>(x, count, y) };
    Ok(())
}

/// Any other convolution.
///
/// # Safety
///
/// The processor has the instructions.
#[inline(always)]
pub(super) unsafe fn windows<I: Isa>(
    p: &Tiled<'_, Conv2dI8<'_>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let Conv2dI8 { requantize, output_stage, bias, .. } = p.layer;
    let plan = p.plan()?;
    let stage = OutputStage::new(requantize, output_stage, bias, plan.filter);
    let plain = p.layer.weights_zero_point == 0;
    let (Some(windows), true, true) =
        (Windows::new::<I>(&plan, plain), p.weights.activations == I::ACTIVATIONS, stage.fits())
    else {
        return tiles::portable(p, x, y);
    };
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let mut padded = None;
    let (filter, tiles) = if windows.padded() {
        let padded = padded.insert(Padded::new());
        let run = Padded::run(&plan, I::ACTIVATIONS.step());
        (plan.kernel_h * run, padded.tiles(&plan, I::ACTIVATIONS, p.weights.tiles))
    } else {
        (plan.filter, p.weights.tiles)
    };
    let layer = Layer { p, filter, stage, tiles };
    let mut panels = [Panel::new(), Panel::new()];
    for (x, y) in x.chunks_exact(image.max(1)).zip(y.chunks_exact_mut(out.max(1))) {
        // SAFETY: as the caller says.
        unsafe { layer.image::<I>(&windows, x, y, &mut panels) };
    }
    Ok(())
}

/// A convolution whose shapes fit.
struct Layer<'a> {
    p: &'a Tiled<'a, Conv2dI8<'a>>,
    /// Weights of a filter, with the zeros that there may be between them.
    filter: usize,
    stage: OutputStage<'a>,
    tiles: &'a [i8],
}

impl Layer<'_> {
    /// A product of matrices: `count` rows of activations.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn matrix<I: Isa, const LINES: usize>(&self, x: &[i8], count: usize, y: &mut [i8]) {
        let mut panel = Panel::<_, LINES>::new();
        let mut position = 0;
        while position < count {
            // SAFETY: as the caller says.
            unsafe {
                let x = &x[position * self.filter..];
                let rows = panel.matrix::<I>(x, count - position, self.filter);
                self.multiply::<I>(1, |_| (rows, position), y);
                position += rows.count;
            }
        }
    }

    /// One image, which has the shapes that the plan says.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn image<I: Isa>(
        &self,
        windows: &Windows,
        x: &[i8],
        y: &mut [i8],
        [first, second]: &mut [Panel<I::Element>; 2],
    ) {
        let outside = i32::from(self.p.layer.input_zero_point as i8) + I::ACTIVATIONS.offset();
        let outside = I::Element::new(outside);
        for band in windows.bands() {
            // SAFETY: as the caller says.
            unsafe {
                let image = windows.image::<I>(&band, x, outside, first);
                if windows.copied() {
                    for part in windows.parts(&band) {
                        let rows = windows.gather(&band, part, image, second);
                        self.multiply::<I>(1, |_| rows, y);
                    }
                } else {
                    self.multiply::<I>(band.rows, |row| windows.row(&band, row, image), y);
                }
            }
        }
    }

    /// The outputs of several groups of rows, each with the position of its first output in `y`, an
    /// image.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn multiply<'x, I: Isa>(
        &self,
        groups: usize,
        group: impl Fn(usize) -> (Rows<'x, I::Element>, usize),
        y: &mut [i8],
    ) {
        let Conv2dI8 { bias, weights_zero_point, output: [.., channels], .. } = self.p.layer;
        let block_bytes = self.filter.next_multiple_of(I::ACTIVATIONS.step()) * OUTPUTS;
        // As many rows as are summed at once: of one row all of it would take longer than the product.
        let most = (0..groups).map(|i| group(i).0.count).max().unwrap_or(0).min(MOST);
        let mut acc = [const { MaybeUninit::uninit() }; MOST];
        let acc = &mut acc[..most];
        for row in acc.iter_mut() {
            row.write([0; BLOCK]);
        }
        // SAFETY: they have just been written.
        let acc = unsafe { acc.assume_init_mut() };
        for channel in (0..channels).step_by(BLOCK) {
            let count = BLOCK.min(channels - channel);
            let blocks = channel / OUTPUTS..(channel + count).div_ceil(OUTPUTS);
            let tiles = &self.tiles[blocks.start * block_bytes..blocks.end * block_bytes];
            let biases = lanes(bias, channel, count);
            // SAFETY: as the caller says.
            let scales = unsafe { I::scales(&self.stage, channel, count) };
            for (mut rows, mut position) in (0..groups).map(&group) {
                assert!(rows.fit(), "windows lie within what has been copied");
                while rows.count > 0 {
                    // As many as there is room for, so that their outputs are stored at once.
                    let mut filled = 0;
                    while rows.count > 0 && acc.len() - filled >= rows.count.min(I::ROWS) {
                        let acc = &mut acc[filled..];
                        // SAFETY: as the caller says; rows fit, and what is left of them does; there is
                        // room for those that are taken.
                        let taken = unsafe {
                            match weights_zero_point {
                                0 => I::multiply(rows, tiles, &biases, count, acc),
                                taken => {
                                    I::multiply_offset(rows, tiles, taken, &biases, count, acc)
                                }
                            }
                        };
                        (rows, filled) = (rows.from(taken), filled + taken);
                    }
                    let y = &mut y[position * channels..];
                    // SAFETY: as the caller says.
                    unsafe { I::store(&scales, &self.stage, &acc[..filled], y, channel, count) };
                    position += filled;
                }
            }
        }
    }
}

/// Takes off what the weights' zero point has added to the first outputs of the first rows: of models
/// that were uint8.
#[inline(always)]
pub(super) fn take_off<E: Element>(
    rows: &Rows<'_, E>,
    zero_point: i32,
    outputs: usize,
    acc: &mut Sums,
) {
    for (row, acc) in acc.iter_mut().enumerate() {
        // What the row is padded with is zero.
        let taken = rows.sum(row).wrapping_mul(zero_point);
        let (blocks, _) = acc.as_chunks_mut::<OUTPUTS>();
        for block in &mut blocks[..outputs.div_ceil(OUTPUTS)] {
            for acc in block {
                *acc = acc.wrapping_sub(taken);
            }
        }
    }
}
