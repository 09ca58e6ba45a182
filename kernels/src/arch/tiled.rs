//! CONV_2D with weights in tiles, for any instruction set with vectors: bands of windows are copied to
//! the stack and multiplied as matrices.
//!
//! What differs between instruction sets is an [`Isa`]: how activations are copied, the products,
//! and the output stage.

use core::mem::MaybeUninit;

use super::output::{BLOCK, OutputStage};
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::convolve::Plan;
use crate::tiles::{self, Activations, OUTPUTS, STEP, TILE, Tiled};

/// Most rows whose sums are held at once.
pub(super) const MOST: usize = 16;

/// Bytes of windows that are copied at once: they and the tiles that they meet fit the first cache.
const PANEL: usize = 1 << 15;

/// Where windows are copied to.
type Panel = [MaybeUninit<u8>; PANEL];

/// Rows of activations, each padded with zeros to whole steps.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// All of them, behind each other; int8, or `x + 128`.
    pub x: &'a [u8],
    /// Bytes of a row: steps × [`STEP`].
    pub stride: usize,
}

/// Sums of up to [`MOST`] rows of [`BLOCK`] outputs.
pub(super) type Sums = [[i32; BLOCK]; MOST];

/// The instructions that this needs. Functions are compiled for them, so that processors without
/// them must not come here.
pub(super) trait Isa {
    /// How activations are read.
    const ACTIVATIONS: Activations;

    /// Copies activations, with [`Activations::offset`] added; as many as both have.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    unsafe fn copy(to: &mut [MaybeUninit<u8>], from: &[i8]);

    /// Adds the products of the first rows by the blocks of tiles `tiles`, of which there are up to
    /// four, to `bias`, and stores the sums to `acc`. Returns how many rows it took, at least 1: as
    /// many as registers can hold, and not more than there are.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; there is a row and a block.
    unsafe fn multiply(rows: Rows<'_>, tiles: &[i8], bias: &[i32; BLOCK], acc: &mut Sums) -> usize;

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

/// [`tiles::conv2d_tiled_i8`].
///
/// # Safety
///
/// The processor has the instructions.
#[inline(always)]
pub(super) unsafe fn conv2d_tiled_i8<I: Isa>(
    p: &Tiled<'_, Conv2dI8<'_>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let Conv2dI8 { requantize, output_stage, output: [.., channels], .. } = p.layer;
    let stage = OutputStage { requantize, output: output_stage, channels };
    let plan = p.plan()?;
    let stride = plan.filter.next_multiple_of(STEP);
    if p.weights.activations != I::ACTIVATIONS || !stage.fits() || stride > PANEL {
        return tiles::portable(p, x, y);
    }
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let layer = Layer { p, plan, stride, stage };
    let mut panel = [MaybeUninit::uninit(); PANEL];
    for (x, y) in x.chunks_exact(image.max(1)).zip(y.chunks_exact_mut(out.max(1))) {
        // SAFETY: as the caller says.
        unsafe { layer.image::<I>(x, y, &mut panel) };
    }
    Ok(())
}

/// A convolution whose shapes fit.
struct Layer<'a> {
    p: &'a Tiled<'a, Conv2dI8<'a>>,
    plan: Plan,
    /// Bytes of a window in the panel.
    stride: usize,
    stage: OutputStage<'a>,
}

impl Layer<'_> {
    /// One image, which has the shapes that the plan says.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn image<I: Isa>(&self, x: &[i8], y: &mut [i8], panel: &mut Panel) {
        let [_, height, width, channels] = self.plan.output;
        let band = (PANEL / self.stride).min(height * width);
        let mut first = 0;
        for y in y.chunks_mut(band * channels) {
            let count = y.len() / channels;
            // SAFETY: as the caller says.
            unsafe {
                let rows = self.copy::<I>(x, first, count, panel);
                self.multiply::<I>(rows, y);
            }
            first += count;
        }
    }

    /// The outputs of a band of windows.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn multiply<I: Isa>(&self, x: &[u8], y: &mut [i8]) {
        let Conv2dI8 { bias, weights_zero_point, output: [.., channels], .. } = self.p.layer;
        let block_bytes = self.stride / STEP * TILE;
        let mut acc = [[0; BLOCK]; MOST];
        for channel in (0..channels).step_by(BLOCK) {
            let count = BLOCK.min(channels - channel);
            let blocks = channel / OUTPUTS..(channel + count).div_ceil(OUTPUTS);
            let tiles = &self.p.weights.tiles[blocks.start * block_bytes..blocks.end * block_bytes];
            let mut biases = [0; BLOCK];
            biases[..count].copy_from_slice(&bias[channel..channel + count]);
            // SAFETY: as the caller says.
            let scales = unsafe { I::scales(&self.stage, channel, count) };
            let (mut x, mut y) = (x, &mut *y);
            while !x.is_empty() {
                // SAFETY: as the caller says.
                unsafe {
                    let rows = Rows { x, stride: self.stride };
                    let taken = I::multiply(rows, tiles, &biases, &mut acc);
                    let (now, rest) = x.split_at(taken * self.stride);
                    if weights_zero_point != 0 {
                        self.take_off(now, &mut acc);
                    }
                    I::store(&scales, &self.stage, &acc[..taken], y, channel, count);
                    (x, y) = (rest, &mut y[taken * channels..]);
                }
            }
        }
    }

    /// Takes off what the weights' zero point has added over the windows `x`: of models that were
    /// uint8.
    fn take_off(&self, x: &[u8], acc: &mut Sums) {
        for (x, acc) in x.chunks_exact(self.stride).zip(acc) {
            // What the row is padded with is zero.
            let sum: i32 = x.iter().map(|&x| i32::from(x)).sum();
            let taken = sum.wrapping_mul(self.p.layer.weights_zero_point);
            for acc in acc {
                *acc = acc.wrapping_sub(taken);
            }
        }
    }

    /// Copies `count` windows from output position `first` on, and returns them.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn copy<'p, I: Isa>(
        &self,
        x: &[i8],
        first: usize,
        count: usize,
        panel: &'p mut Panel,
    ) -> &'p [u8] {
        let Plan { filter, .. } = self.plan;
        let to = &mut panel[..count * self.stride];
        if self.plan.is_product() {
            let x = &x[first * filter..][..count * filter];
            if filter == self.stride {
                // SAFETY: as the caller says.
                unsafe { I::copy(to, x) };
            } else {
                for (to, x) in to.chunks_exact_mut(self.stride).zip(x.chunks_exact(filter)) {
                    let (row, rest) = to.split_at_mut(filter);
                    // SAFETY: as the caller says.
                    unsafe { I::copy(row, x) };
                    rest.fill(MaybeUninit::new(0));
                }
            }
        } else {
            let [_, _, width, _] = self.plan.output;
            let (mut out_y, mut out_x) = (first / width, first % width);
            for to in to.chunks_exact_mut(self.stride) {
                let (row, rest) = to.split_at_mut(filter);
                // SAFETY: as the caller says.
                unsafe { self.window::<I>(x, [out_y, out_x], row) };
                rest.fill(MaybeUninit::new(0));
                out_x += 1;
                if out_x == width {
                    (out_y, out_x) = (out_y + 1, 0);
                }
            }
        }
        // SAFETY: each of the rows has been written as a whole.
        unsafe { &*(core::ptr::from_ref(to) as *const [u8]) }
    }

    /// Copies one window; activations outside of the image are the input's zero point.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn window<I: Isa>(
        &self,
        x: &[i8],
        [out_y, out_x]: [usize; 2],
        to: &mut [MaybeUninit<u8>],
    ) {
        let Plan { kernel_w, depth, window, input: [_, _, input_w, _], .. } = self.plan;
        let outside =
            MaybeUninit::new((self.p.layer.input_zero_point + I::ACTIVATIONS.offset()) as u8);
        let (rows, columns) = (self.plan.rows(out_y), self.plan.columns(out_x));
        let (left, right) = (columns.inside.start * depth, columns.inside.end * depth);
        let mut start = (rows.first * input_w + columns.first) * depth;
        for (tap_y, to) in to.chunks_exact_mut(kernel_w * depth).enumerate() {
            if !rows.inside.contains(&tap_y) || left == right {
                to.fill(outside);
                continue;
            }
            to[..left].fill(outside);
            to[right..].fill(outside);
            let to = &mut to[left..right];
            if window.dilation_w == 1 {
                // SAFETY: as the caller says.
                unsafe { I::copy(to, &x[start..start + to.len()]) };
            } else {
                for (i, to) in to.chunks_exact_mut(depth).enumerate() {
                    let at = start + i * window.dilation_w * depth;
                    // SAFETY: as the caller says.
                    unsafe { I::copy(to, &x[at..at + depth]) };
                }
            }
            // Behind the last row it may lie anywhere.
            start = start.wrapping_add(window.dilation_h.wrapping_mul(input_w * depth));
        }
    }
}
