//! Windows of an image of f32 as rows of matrices, for any instruction set with vectors.
//!
//! Windows are read where the image is. Where some reach over its border, a band of the image is
//! copied to the stack with zeros around it, and windows are read there. Either way a window is one
//! run of memory for each row of taps, or for each tap where columns are dilated. Where runs are short,
//! as those of images with few channels, windows are copied once more, one behind the other: a product
//! over one long run takes less than what that costs.

use core::mem::MaybeUninit;

use super::tiled_f32::Rows;
use super::windows::{BandImage, RUNS, parts};
use crate::convolve::Plan;

/// Elements of a band: they fit the second cache, beside the tiles.
pub(super) const PANEL: usize = 1 << 14;

/// Elements of a run from which on windows are read where they are.
const LONG: usize = 16;

/// Elements that are copied at once, and so may be read and written behind the last.
const CHUNK: usize = 4;

/// Elements of copied windows: they fit the first cache, beside the tiles of a block.
const GATHERED: usize = 1 << 12;

/// Windows on the stack, one behind the other.
pub(super) struct Gathered([MaybeUninit<f32>; GATHERED + CHUNK]);

impl Gathered {
    pub fn new() -> Self {
        Self([MaybeUninit::uninit(); GATHERED + CHUNK])
    }
}

/// Memory on the stack.
pub(super) struct Panel([MaybeUninit<f32>; PANEL + CHUNK]);

impl Panel {
    pub fn new() -> Self {
        Self([MaybeUninit::uninit(); PANEL + CHUNK])
    }
}

/// How the windows of a convolution become rows.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    plan: Plan,
    /// Rows and columns of the image that a window spans.
    reach: [usize; 2],
    /// Rows and columns of outputs whose windows are in a band.
    rows: usize,
    columns: usize,
    /// Whether bands are copied.
    copied: bool,
}

/// Some outputs.
#[derive(Clone, Copy)]
pub(super) struct Band {
    row: usize,
    column: usize,
    pub rows: usize,
    columns: usize,
    /// Elements from one row of its image to the next.
    pitch: usize,
}

impl Windows {
    /// `None` where a window is too large for the stack, the layer has groups or no outputs.
    pub fn new(plan: &Plan) -> Option<Self> {
        let Plan { kernel_h, kernel_w, depth, groups, window, .. } = *plan;
        let ([_, input_h, input_w, _], [_, height, width, _]) = (plan.input, plan.output);
        if groups != 1 || [window.stride_h, window.stride_w, height, width].contains(&0) {
            return None;
        }
        // What `count` steps span, the last of which spans `last`.
        let span = |count: usize, step: usize, last: usize| {
            (count - 1).checked_mul(step)?.checked_add(last)
        };
        let reach_h = span(kernel_h, window.dilation_h, 1)?;
        let reach_w = span(kernel_w, window.dilation_w, 1)?;
        let all_h = span(height, window.stride_h, reach_h)?;
        let all_w = span(width, window.stride_w, reach_w)?;
        let padded = [window.pad_top, window.pad_left] != [0, 0];
        let copied = padded || all_h > input_h || all_w > input_w;
        let (columns, pitch) = if copied {
            let input_columns = PANEL.checked_div(reach_h.checked_mul(depth)?)?;
            let columns = (input_columns.checked_sub(reach_w)? / window.stride_w + 1).min(width);
            (columns, span(columns, window.stride_w, reach_w)? * depth)
        } else {
            (width, input_w * depth)
        };
        // One row at least, which fits where it is copied.
        let spare = (PANEL / pitch).saturating_sub(reach_h);
        let rows = (spare / window.stride_h + 1).min(height);
        Some(Self { plan: *plan, reach: [reach_h, reach_w], rows, columns, copied })
    }

    /// Bands of the outputs.
    pub fn bands(&self) -> impl Iterator<Item = Band> + use<> {
        let this = *self;
        let Plan { output: [_, height, width, _], input: [_, _, input_w, _], depth, .. } =
            this.plan;
        (0..height).step_by(this.rows).flat_map(move |row| {
            (0..width).step_by(this.columns).map(move |column| {
                let rows = this.rows.min(height - row);
                let columns = this.columns.min(width - column);
                let [_, reach_w] = this.reach;
                let copied = (columns - 1) * this.plan.window.stride_w + reach_w;
                let pitch = if this.copied { copied } else { input_w } * depth;
                Band { row, column, rows, columns, pitch }
            })
        })
    }

    /// The part of the image that a band's windows see, from the first on.
    #[inline(always)]
    pub fn image<'p>(&self, band: &Band, x: &'p [f32], panel: &'p mut Panel) -> &'p [f32] {
        if self.copied {
            self.copy(band, x, panel)
        } else {
            &x[band.row * self.plan.window.stride_h * band.pitch..]
        }
    }

    /// Copies that part, with zeros outside of the image.
    fn copy<'p>(&self, band: &Band, x: &[f32], panel: &'p mut Panel) -> &'p [f32] {
        let Plan { depth, window, input: [_, input_h, input_w, _], .. } = self.plan;
        let [reach_h, _] = self.reach;
        let rows = (band.rows - 1) * window.stride_h + reach_h;
        let zero = MaybeUninit::new(0.0);
        // Columns of the band on the left of the image, and where in the image the next is.
        let start = band.column * window.stride_w;
        let left = window.pad_left.saturating_sub(start).saturating_mul(depth).min(band.pitch);
        let first = start.saturating_sub(window.pad_left).min(input_w) * depth;
        let inside = (band.pitch - left).min(input_w * depth - first);
        let (band_image, rest) = panel.0.split_at_mut(rows * band.pitch);
        rest[..CHUNK].fill(zero);
        for (i, to) in band_image.chunks_exact_mut(band.pitch).enumerate() {
            let row = (band.row * window.stride_h + i).checked_sub(window.pad_top);
            let Some(row) = row.filter(|&row| row < input_h) else {
                to.fill(zero);
                continue;
            };
            let (before, rest) = to.split_at_mut(left);
            let (to, behind) = rest.split_at_mut(inside);
            before.fill(zero);
            behind.fill(zero);
            let from = &x[row * input_w * depth + first..][..inside];
            for (to, from) in to.iter_mut().zip(from) {
                to.write(*from);
            }
        }
        let written = &panel.0[..rows * band.pitch + CHUNK];
        // SAFETY: each row has been written as a whole, and what is behind the last.
        unsafe { written.assume_init_ref() }
    }

    /// The windows of a band's row of outputs, and the position of the first.
    #[inline(always)]
    pub fn row<'a>(&self, band: &Band, row: usize, image: &'a [f32]) -> (Rows<'a>, usize) {
        let Plan { kernel_h, kernel_w, depth, window, output: [_, _, width, _], .. } = self.plan;
        let dense = window.dilation_w == 1;
        let rows = Rows {
            x: &image[row * window.stride_h * band.pitch..],
            count: band.columns,
            stride: window.stride_w * depth,
            runs: [kernel_h, if dense { 1 } else { kernel_w }],
            pitch: [window.dilation_h * band.pitch, window.dilation_w * depth],
            steps: if dense { kernel_w * depth } else { depth },
        };
        (rows, (band.row + row) * width + band.column)
    }

    /// Whether windows are to be copied by [`Windows::gather`], from a band that is a copy itself.
    pub fn gathers(&self) -> bool {
        let Plan { kernel_h, filter, .. } = self.plan;
        let [taps, run] = BandImage::runs(&self.plan);
        self.copied
            && run < LONG
            && kernel_h * taps > 1
            && filter <= GATHERED
            && kernel_h * taps <= RUNS
    }

    /// Parts of a band's windows that are copied at once: the first, as its number in the band, and how
    /// many. They are neighbours in the output.
    pub fn parts(&self, band: &Band) -> impl Iterator<Item = (usize, usize)> + use<> {
        let [_, _, width, _] = self.plan.output;
        parts([band.rows, band.columns], width, (GATHERED / self.plan.filter).max(1))
    }

    /// Copies `count` windows from the band's window `first` on, and the position of that.
    pub fn gather<'p>(
        &self,
        band: &Band,
        (first, count): (usize, usize),
        image: &[f32],
        panel: &'p mut Gathered,
    ) -> (Rows<'p>, usize) {
        let Plan { filter, output: [_, _, width, _], .. } = self.plan;
        let band_image = BandImage { plan: &self.plan, columns: band.columns, pitch: band.pitch };
        let to = &mut panel.0[..count * filter + CHUNK];
        band_image.gather::<f32, CHUNK>((first, count), image, filter, to);
        // SAFETY: the windows have been written one behind the other, each as a whole.
        let x = unsafe { panel.0[..count * filter].assume_init_ref() };
        let position = (band.row + first / band.columns) * width + band.column;
        (Rows::of_matrix(x, filter), position + first % band.columns)
    }
}
