//! Windows of an image as rows of matrices, for any instruction set with vectors.
//!
//! A band of the image is copied to the stack, with its borders filled in. Where the taps of a row of
//! the kernel are whole steps of a product, windows are read there: each row of taps is one run of
//! memory, and neighbouring windows overlap. Others are copied once more, one behind the other.

use core::marker::PhantomData;
use core::mem::MaybeUninit;

use super::padded::Padded;
use super::tiled::{Element, Isa, Rows};
use crate::convolve::Plan;
use crate::tiles::{Activations, STEP};

/// Bytes of a band, and of copied windows: either fits the first cache, beside the tiles.
pub(super) const PANEL: usize = 1 << 15;

/// Activations that are copied at once, and so may be read and written behind the last.
const CHUNK: usize = 16;

/// Activations of the largest step, to which a window that is copied is filled up.
const LARGEST_STEP: usize = Activations::Eights.step();

/// Bytes of a line of the cache.
pub(super) const LINE: usize = 64;

/// Runs of a window that is copied, at most.
pub(super) const RUNS: usize = 128;

/// Windows of a row of outputs below which copying them pays: products take several rows at once.
const FEW: usize = 8;

/// Memory on the stack: `LINES` lines with [`Panel::MOST`] activations, and one for a chunk.
#[repr(C, align(64))]
pub(super) struct Panel<E, const LINES: usize = { PANEL / LINE }>(
    [[MaybeUninit<u8>; LINE]; LINES],
    [MaybeUninit<u8>; LINE],
    PhantomData<E>,
);

impl<E: Element, const LINES: usize> Panel<E, LINES> {
    /// Activations that it is for.
    const MOST: usize = {
        assert!(align_of::<E>() <= LINE && CHUNK * size_of::<E>() <= LINE);
        assert!(LINE.is_multiple_of(LARGEST_STEP * size_of::<E>()));
        LINES * LINE / size_of::<E>()
    };

    pub fn new() -> Self {
        let line = [MaybeUninit::uninit(); LINE];
        Self([line; LINES], line, PhantomData)
    }

    /// All of it.
    fn all(&mut self) -> &mut [MaybeUninit<E>] {
        let to = core::ptr::from_mut(self).cast();
        // SAFETY: it is aligned for the elements, and its lines, which follow each other, have the bytes
        // of so many.
        unsafe { core::slice::from_raw_parts_mut(to, Self::MOST + CHUNK) }
    }

    /// The first elements.
    ///
    /// # Safety
    ///
    /// They have been written.
    unsafe fn written(&mut self, count: usize) -> &[E] {
        let written = &self.all()[..count];
        // SAFETY: as the caller says.
        unsafe { &*(core::ptr::from_ref(written) as *const [E]) }
    }

    /// Whether it holds a row of so many activations.
    pub fn fits(depth: usize) -> bool {
        // Filled up to whole steps, too.
        depth <= Self::MOST
    }

    /// Copies the first rows of a matrix, of which there are `count` of `depth`: as many as fit, of
    /// which there is at least one.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    pub unsafe fn matrix<I: Isa<Element = E>>(
        &mut self,
        x: &[i8],
        count: usize,
        depth: usize,
    ) -> Rows<'_, E> {
        let stride = depth.next_multiple_of(I::ACTIVATIONS.step());
        let count = if count * stride <= Self::MOST { count } else { Self::MOST / stride };
        let x = &x[..count * depth];
        let to = &mut self.all()[..count * stride];
        if depth == stride {
            // SAFETY: as the caller says.
            unsafe { I::copy(to, x) };
        } else {
            for (to, x) in to.chunks_exact_mut(stride).zip(x.chunks_exact(depth)) {
                let (row, rest) = to.split_at_mut(depth);
                // SAFETY: as the caller says.
                unsafe { I::copy(row, x) };
                rest.fill(MaybeUninit::new(E::new(0)));
            }
        }
        // SAFETY: each row has been written as a whole.
        let x = unsafe { self.written(count * stride) };
        Rows { x, count, stride, segments: 1, pitch: 0, steps: stride / STEP }
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
    /// Whether windows are read where the band is.
    in_place: bool,
    /// Elements of a row of taps there, in whole steps.
    run: usize,
    /// Windows that are copied at once, at most.
    most: usize,
    /// Elements of a window that is copied.
    stride: usize,
}

/// Some outputs.
#[derive(Clone, Copy)]
pub(super) struct Band {
    row: usize,
    column: usize,
    pub rows: usize,
    columns: usize,
    /// Elements of a row of the band of the image.
    pitch: usize,
}

impl Windows {
    /// `None` where a window is too large for the stack, or the layer has groups. `plain` says whether nothing
    /// but weights is multiplied with activations, so that zeros may stand between them.
    pub fn new<I: Isa>(plan: &Plan, plain: bool) -> Option<Self> {
        let (most, step) = (Panel::<I::Element>::MOST, I::ACTIVATIONS.step());
        let Plan { kernel_h, kernel_w, depth, filter, groups, window, output, .. } = *plan;
        let [_, height, width, _] = output;
        if groups != 1 || [window.stride_h, window.stride_w].contains(&0) {
            return None;
        }
        let span = |taps: usize, dilation: usize| (taps - 1).checked_mul(dilation)?.checked_add(1);
        let reach_h = span(kernel_h, window.dilation_h)?;
        let reach_w = span(kernel_w, window.dilation_w)?;
        let input_columns = most.checked_div(reach_h.checked_mul(depth)?)?;
        let stride = filter.next_multiple_of(step);
        if input_columns < reach_w || stride > most || kernel_h * kernel_w > RUNS {
            return None;
        }
        let columns = ((input_columns - reach_w) / window.stride_w + 1).min(width);
        let pitch = ((columns.max(1) - 1) * window.stride_w + reach_w) * depth;
        let rows = ((most / pitch - reach_h) / window.stride_h + 1).min(height);
        let run = Padded::run(plan, step);
        let whole = run == kernel_w * depth || (plain && Padded::fits(plan, step));
        let in_place = window.dilation_w == 1 && whole && columns >= FEW;
        let most = (most / stride).max(1);
        Some(Self {
            plan: *plan,
            reach: [reach_h, reach_w],
            rows,
            columns,
            in_place,
            run,
            most,
            stride,
        })
    }

    /// Bands of the outputs, each of which fits the stack.
    pub fn bands(&self) -> impl Iterator<Item = Band> + use<> {
        let this = *self;
        let [_, height, width, _] = this.plan.output;
        (0..height).step_by(this.rows.max(1)).flat_map(move |row| {
            (0..width).step_by(this.columns.max(1)).map(move |column| {
                let rows = this.rows.min(height - row);
                let columns = this.columns.min(width - column);
                let [_, reach_w] = this.reach;
                let input_columns = (columns - 1) * this.plan.window.stride_w + reach_w;
                Band { row, column, rows, columns, pitch: input_columns * this.plan.depth }
            })
        })
    }

    /// Whether windows have to be copied.
    pub fn copied(&self) -> bool {
        !self.in_place
    }

    /// Whether they are read in the image, and meet zeros behind each row of taps.
    pub fn padded(&self) -> bool {
        self.in_place && self.run != self.plan.kernel_w * self.plan.depth
    }

    /// Copies the part of the image that a band's windows see; `outside` is what is there outside of
    /// the image.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    #[inline(always)]
    pub unsafe fn image<'p, I: Isa>(
        &self,
        band: &Band,
        x: &[i8],
        outside: I::Element,
        panel: &'p mut Panel<I::Element>,
    ) -> &'p [I::Element] {
        let Plan { depth, window, input: [_, input_h, input_w, _], .. } = self.plan;
        let [reach_h, _] = self.reach;
        let rows = (band.rows - 1) * window.stride_h + reach_h;
        let outside = MaybeUninit::new(outside);
        // Columns of the band on the left of the image, and where in the image the next is.
        let start = band.column * window.stride_w;
        let left = window.pad_left.saturating_sub(start) * depth;
        let left = left.min(band.pitch);
        let first = start.saturating_sub(window.pad_left).min(input_w) * depth;
        let inside = (band.pitch - left).min(input_w * depth - first);
        for (i, to) in panel.all().chunks_exact_mut(band.pitch).take(rows).enumerate() {
            let row = (band.row * window.stride_h + i).checked_sub(window.pad_top);
            let Some(row) = row.filter(|&row| row < input_h) else {
                to.fill(outside);
                continue;
            };
            let (before, rest) = to.split_at_mut(left);
            let (to, behind) = rest.split_at_mut(inside);
            before.fill(outside);
            behind.fill(outside);
            // SAFETY: as the caller says.
            unsafe { I::copy(to, &x[row * input_w * depth + first..][..inside]) };
        }
        let end = rows * band.pitch;
        panel.all()[end..end + CHUNK].fill(outside);
        // SAFETY: each row has been written as a whole, and what is behind the last.
        unsafe { panel.written(end + CHUNK) }
    }

    /// The windows of a band's row of outputs, and the position of the first, where they are read in
    /// the image.
    #[inline(always)]
    pub fn row<'a, E: Element>(
        &self,
        band: &Band,
        row: usize,
        image: &'a [E],
    ) -> (Rows<'a, E>, usize) {
        let Plan { kernel_h, depth, window, output: [_, _, width, _], .. } = self.plan;
        let rows = Rows {
            x: &image[row * window.stride_h * band.pitch..],
            count: band.columns,
            stride: window.stride_w * depth,
            segments: kernel_h,
            pitch: window.dilation_h * band.pitch,
            steps: self.run / STEP,
        };
        (rows, (band.row + row) * width + band.column)
    }

    /// Parts of a band's windows that fit the stack: the first, as row and column of the band, and how
    /// many. They are neighbours in the output.
    pub fn parts(&self, band: &Band) -> impl Iterator<Item = (usize, usize)> + use<> {
        let [_, _, width, _] = self.plan.output;
        parts([band.rows, band.columns], width, self.most)
    }

    /// Copies `count` windows from the band's window `first` on to the stack, and the position of the
    /// first.
    pub fn gather<'p, E: Element>(
        &self,
        band: &Band,
        (first, count): (usize, usize),
        image: &[E],
        panel: &'p mut Panel<E>,
    ) -> (Rows<'p, E>, usize) {
        let [_, _, width, _] = self.plan.output;
        let stride = self.stride;
        let to = &mut panel.all()[..count * stride + CHUNK];
        let band_image = BandImage { plan: &self.plan, columns: band.columns, pitch: band.pitch };
        band_image.gather::<E, CHUNK>((first, count), image, stride, to);
        let position =
            (band.row + first / band.columns) * width + band.column + first % band.columns;
        // SAFETY: the windows have been written one behind the other, each as a whole.
        let x = unsafe { panel.written(count * stride) };
        (Rows::of_matrix(x, stride), position)
    }
}

/// Parts of at most `most` of a band's windows, which has so many rows and columns of them: the first,
/// as its number in the band, and how many. They are neighbours in an output of `width` columns.
pub(super) fn parts(
    [rows, columns]: [usize; 2],
    width: usize,
    most: usize,
) -> impl Iterator<Item = (usize, usize)> {
    // Rows that are whole follow each other.
    let run = if columns == width { rows * columns } else { columns };
    (0..rows * columns)
        .step_by(run.max(1))
        .flat_map(move |start| (0..run).step_by(most).map(move |i| (start + i, most.min(run - i))))
}

/// The part of an image that a band's windows see.
pub(super) struct BandImage<'a> {
    pub plan: &'a Plan,
    /// Windows of a row.
    pub columns: usize,
    /// Elements of a row.
    pub pitch: usize,
}

impl BandImage<'_> {
    /// Runs of a window's row of taps, and elements of a run.
    pub fn runs(plan: &Plan) -> [usize; 2] {
        let Plan { kernel_w, depth, window, .. } = *plan;
        if window.dilation_w == 1 { [1, kernel_w * depth] } else { [kernel_w, depth] }
    }

    /// Copies `count` windows from window `first` on, `stride` elements each, one behind the other, as
    /// [`Runs::copy`] does. They have at most [`RUNS`] runs each.
    pub fn gather<E: Copy + Default, const CHUNK: usize>(
        &self,
        (first, count): (usize, usize),
        image: &[E],
        stride: usize,
        mut to: &mut [MaybeUninit<E>],
    ) {
        let Plan { kernel_h, depth, window, .. } = *self.plan;
        let [taps, run] = Self::runs(self.plan);
        let step = window.stride_w * depth;
        // Where the runs of a window begin, from the first tap.
        let mut starts = [0; RUNS];
        let starts = &mut starts[..kernel_h * taps];
        for (i, start) in starts.iter_mut().enumerate() {
            *start =
                i / taps * window.dilation_h * self.pitch + i % taps * window.dilation_w * depth;
        }
        let (mut row, mut column) = (first / self.columns, first % self.columns);
        let mut left = count;
        while left > 0 {
            let windows = left.min(self.columns - column);
            let start = row * window.stride_h * self.pitch + column * step;
            let from = Runs { x: &image[start..], step, starts, run };
            from.copy::<CHUNK>(windows, stride, to);
            to = &mut to[windows * stride..];
            (row, column, left) = (row + 1, 0, left - windows);
        }
    }
}

/// The windows of a row of outputs, of which each is the same runs of activations.
struct Runs<'a, E> {
    /// From the first run of the first window on.
    x: &'a [E],
    /// From one window to the next.
    step: usize,
    /// Where the runs begin, from the first.
    starts: &'a [usize],
    /// Activations of a run.
    run: usize,
}

impl<E: Copy + Default> Runs<'_, E> {
    /// Copies `count` windows, `stride` elements each, `CHUNK` at once; a chunk may be read behind the
    /// last window's last run, and another written behind the window.
    fn copy<const CHUNK: usize>(&self, count: usize, stride: usize, to: &mut [MaybeUninit<E>]) {
        match self.run.div_ceil(CHUNK) {
            1 => self.copy_chunks::<CHUNK, 1>(count, stride, to),
            2 => self.copy_chunks::<CHUNK, 2>(count, stride, to),
            3 => self.copy_chunks::<CHUNK, 3>(count, stride, to),
            _ => self.copy_chunks::<CHUNK, 0>(count, stride, to),
        }
    }

    /// The same where a run has `CHUNKS` chunks or, where that is 0, as many as it needs.
    #[inline(never)]
    fn copy_chunks<const CHUNK: usize, const CHUNKS: usize>(
        &self,
        count: usize,
        stride: usize,
        to: &mut [MaybeUninit<E>],
    ) {
        let Self { x, step, starts, run } = *self;
        let chunks = if CHUNKS == 0 { run.div_ceil(CHUNK) } else { CHUNKS };
        let filter = starts.len() * run;
        assert!(stride - filter < LARGEST_STEP && stride <= to.len());
        let last = starts.iter().max().copied().unwrap_or(0);
        let reads = (count - 1) * step + last + chunks * CHUNK;
        // The last run's chunks end at most a chunk behind the window.
        let writes = (count - 1) * stride + filter - run + chunks * CHUNK;
        assert!(reads <= x.len() && writes <= to.len() && filter <= stride);
        for i in 0..count {
            let mut at = i * stride;
            for &start in starts {
                for chunk in 0..chunks {
                    // SAFETY: the numbers above are those of the last window's last chunk.
                    unsafe {
                        let from = x.as_ptr().add(i * step + start + chunk * CHUNK);
                        let to = to.as_mut_ptr().add(at + chunk * CHUNK);
                        to.cast::<[E; CHUNK]>()
                            .write_unaligned(from.cast::<[E; CHUNK]>().read_unaligned());
                    }
                }
                at += run;
            }
            // What is left of the last step, over which the last chunk may have been copied. All of a
            // step is written, as the next window is still to come.
            if filter < stride
                && let Some(step) = to[at..].first_chunk_mut::<LARGEST_STEP>()
            {
                *step = [MaybeUninit::new(E::default()); LARGEST_STEP];
            }
        }
    }
}
