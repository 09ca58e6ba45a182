//! DEPTHWISE_CONV_2D: `depthwise-i16i8-c32/avx2`, `depthwise-u8i8-c32/avx_vnni`.
//!
//! The plain loop multiplies one activation by one weight, a channel at a time. This one
//!
//! 1. takes 32 channels at a time; of fewer, the rows of the image that a row of outputs sees are
//!    copied, with the border;
//! 2. brings the activations of four rows of taps, or of a kernel of one row four columns, together by
//!    shuffles, so that they are multiplied and added at once, see [`Dot::dot`];
//! 3. does so once for each column of the image, since the windows of neighbouring positions share
//!    columns: a 3×3 window at stride 1 has one that is new.
//!
//! Four vectors of 32 bytes, a row each, become four of 8 dwords, a channel each:
//!
//! ```text
//!  row 0   a0 a1 a2 …       unpack bytes            unpack words
//!  row 1   b0 b1 b2 …   ►   a0 b0 a1 b1 …       ►   a0 b0 c0 d0  a1 b1 c1 d1  a2 …
//!  row 2   c0 c1 c2 …       c0 d0 c1 d1 …
//!  row 3   d0 d1 d2 …
//! ```
//!
//! Unpacking works in each 128 bits by itself, and so does packing, which undoes it. Of 16 or 8
//! channels a vector has those of two or four positions; no columns are shared then. Where rows are
//! short, several are done at once.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::columns::{COLUMNS, Columns, PANEL, Part, ROWS, Taps, interleave};
use super::dot::Dot;
use super::requantize::{BYTES, Block, Last, Order, put, with_rounding};
use crate::Mismatch;
use crate::arch::output::{BLOCK, OutputStage};
use crate::convolve::volume;
use crate::depthwise_conv2d::DepthwiseConv2dI8;

/// Groups of [`ROWS`] rows times columns of taps, at most.
const TAPS: usize = 16;

/// Groups of taps whose weights registers hold.
const FEW: usize = 4;

/// Memory of a layer on the stack: what has been written is known where it is read.
struct Memory<const A: usize> {
    /// Of each group of rows of taps, and in it each column; rows behind the last have zeros.
    weights: [MaybeUninit<Quarters<A>>; TAPS],
    /// Rows of the image, with their borders.
    panel: [MaybeUninit<i8>; PANEL],
    /// What [`Layer::bring_together`] makes of them.
    columns: Columns<A>,
    /// The sums of a part's vectors.
    sums: [MaybeUninit<Sums>; COLUMNS],
}

impl<const A: usize> Memory<A> {
    fn new() -> Self {
        Self {
            weights: [MaybeUninit::uninit(); TAPS],
            panel: [MaybeUninit::uninit(); PANEL],
            columns: [[MaybeUninit::uninit(); COLUMNS]; 4],
            sums: [MaybeUninit::uninit(); COLUMNS],
        }
    }
}

/// Four vectors of sums, which become 32 bytes.
type Sums = [__m256i; 4];

/// Dwords, four taps of a channel each, in vectors: 32 channels, or 16 or 8 of several positions.
type Quarters<const A: usize> = [[__m256i; A]; 4];

/// Whether the layer could be done here.
///
/// # Safety
///
/// The processor has the level's instructions.
#[inline(always)]
pub(in crate::arch) unsafe fn depthwise_conv2d_i8<D: Dot<A>, const A: usize>(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<bool, Mismatch> {
    let row = p.as_row();
    let p = row.as_ref().unwrap_or(p);
    let DepthwiseConv2dI8 { input, output, kernel: [kernel_h, kernel_w], window, .. } = *p;
    let ([batches, input_h, input_w, channels], [output_batches, height, width, _]) =
        (input, output);
    let taps = kernel_h.saturating_mul(kernel_w);
    let stage = OutputStage::new(p.requantize, p.output_stage, p.bias, taps);
    let image = volume([input_h, input_w, channels])?;
    let out = volume([height, width, channels])?;
    let groups = kernel_h.div_ceil(ROWS);
    let reach = kernel_w.saturating_sub(1).saturating_mul(window.dilation_w).saturating_add(1);
    let row = reach.saturating_add(window.stride_w.saturating_mul(4)).saturating_mul(BYTES);
    if !stage.fits()
        || [kernel_h, kernel_w, window.stride_w].contains(&0)
        || groups.saturating_mul(kernel_w) > TAPS
        || row.saturating_mul(kernel_h) > PANEL
        || reach > COLUMNS / groups.max(1)
        || image.checked_mul(batches) != Some(x.len())
        || out.checked_mul(batches) != Some(y.len())
        || volume([kernel_h, kernel_w, channels])? != p.weights.len()
        || batches != output_batches
        || channels != output[3]
        || channels != p.bias.len()
        || image == 0
        || out == 0
    {
        return Ok(false);
    }
    let layer = Layer { p, stage };
    let memory = &mut Memory::new();
    let mut channel = 0;
    while channel < channels {
        let left = channels - channel;
        // SAFETY: as the caller says.
        channel += unsafe {
            match left {
                ..=8 => layer.channels::<D, A, 8>(memory, x, y, channel, left),
                9..=16 => layer.channels::<D, A, 16>(memory, x, y, channel, left),
                17..=24 => layer.channels::<D, A, 16>(memory, x, y, channel, 16),
                _ => layer.channels::<D, A, 32>(memory, x, y, channel, left.min(32)),
            }
        };
    }
    Ok(true)
}

/// A convolution whose shapes fit.
pub(super) struct Layer<'a> {
    pub p: &'a DepthwiseConv2dI8<'a>,
    stage: OutputStage<'a>,
}

/// Some neighbouring channels.
struct Channels {
    first: usize,
    count: usize,
    bias: [__m256i; 4],
    scales: Block,
}

impl Layer<'_> {
    /// `count` channels from `first` on, of which vectors have `C`. Returns `count`.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions.
    #[inline(always)]
    unsafe fn channels<D: Dot<A>, const A: usize, const C: usize>(
        &self,
        memory: &mut Memory<A>,
        x: &[i8],
        y: &mut [i8],
        first_channel: usize,
        count: usize,
    ) -> usize {
        let DepthwiseConv2dI8 { input, output, kernel: [kernel_h, kernel_w], window, .. } = *self.p;
        let ([_, input_h, input_w, channels], [_, height, width, _]) = (input, output);
        let (image, out) = (input_h * input_w * channels, height * width * channels);
        let direct = C == BYTES && count == BYTES;
        let taps = Taps::new(self.p, direct);
        let Taps { groups, columns: tap_columns, .. } = taps;
        // SAFETY: as the caller says.
        let block =
            unsafe { self.block::<D, A, C>(first_channel, count, &taps, &mut memory.weights) };
        let together = BYTES / C;
        // Of each position, or of those that are in a vector together, there are columns of their own
        // unless the columns are shared.
        let reach = (tap_columns - 1) * taps.step + 1;
        let room = COLUMNS / groups;
        let most = match together {
            1 => (room - reach) / window.stride_w + 1,
            _ => room / kernel_w * together,
        };
        let fits = (PANEL / kernel_h / C - reach) / window.stride_w + 1;
        let most = (most.min(fits) / together).max(1) * together;
        let part = |row: usize, rows: usize, start: usize| {
            let positions = most.min(width - start).next_multiple_of(together);
            let vectors = positions / together;
            let reach = (positions - 1) * window.stride_w + reach;
            let columns = if together == 1 { reach } else { vectors * kernel_w };
            Part { row, rows, start, vectors, reach, columns }
        };
        // Rows one behind the other, where vectors do not reach over their ends.
        let first = part(0, 1, 0);
        let rows = match most >= width && width.is_multiple_of(together) {
            true => room / first.columns,
            false => 1,
        };
        let rows = rows.min(COLUMNS / first.vectors).max(1);
        for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(out)) {
            for (i, y) in y.chunks_mut(rows * width * channels).enumerate() {
                let rows_here = y.len() / (width * channels);
                for (j, y) in y.chunks_mut(rows * most * channels).enumerate() {
                    let part = part(i * rows, rows_here, j * most);
                    // SAFETY: as the caller says; what is read has been written by what is before.
                    unsafe {
                        for row in 0..part.rows {
                            if direct {
                                let columns = &mut memory.columns;
                                self.bring_directly::<D, A>(
                                    x,
                                    &part,
                                    row,
                                    (first_channel, &taps),
                                    columns,
                                );
                            } else {
                                let block = (block.first, block.count);
                                self.copy::<C>(x, &part, row, block, &mut memory.panel);
                                let Memory { panel, columns, .. } = memory;
                                self.bring_together::<D, A, C>(&part, row, panel, columns);
                            }
                        }
                        let Memory { weights, columns, sums, .. } = memory;
                        let sums = &mut sums[..part.rows * part.vectors];
                        let bias = &block.bias;
                        self.sum::<D, A, C>(&part, &taps, (weights, bias), columns, sums);
                        self.store::<C>(&block, sums, y);
                    }
                }
            }
        }
        count
    }
}

impl Layer<'_> {
    /// The biases and scales of some channels; their weights go to `packed`.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions.
    #[inline(always)]
    unsafe fn block<D: Dot<A>, const A: usize, const C: usize>(
        &self,
        first: usize,
        count: usize,
        taps: &Taps,
        packed: &mut [MaybeUninit<Quarters<A>>; TAPS],
    ) -> Channels {
        let DepthwiseConv2dI8 { weights, bias, .. } = *self.p;
        let channels = self.stage.channels;
        let zero_point = self.p.weights_zero_point as i8;
        // SAFETY: as the caller says; what is loaded are arrays of 32 bytes and of eight int32.
        unsafe {
            let zero = _mm256_setzero_si256();
            // What activations being `x + 128` adds.
            let mut added = [zero; 4];
            let offset = D::split(_mm256_set1_epi8(i8::MIN));
            for (i, packed) in packed.iter_mut().enumerate().take(taps.groups * taps.columns) {
                let mut rows = [zero; ROWS];
                let mut zero_points = rows;
                for (r, row) in rows.iter_mut().enumerate() {
                    let Some(tap) = taps.of(i / taps.columns, i % taps.columns, r) else { break };
                    let natural = repeated::<_, C>(&weights[tap * channels + first..][..count]);
                    *row = _mm256_loadu_si256(natural.as_ptr().cast());
                    zero_points[r] = _mm256_set1_epi8(zero_point);
                }
                let rows = interleave(rows).into_iter().zip(interleave(zero_points));
                let mut quarters = [[zero; A]; 4];
                for ((quarter, (w, zero_point)), added) in
                    quarters.iter_mut().zip(rows).zip(&mut added)
                {
                    *quarter = D::split_weights(w, zero_point);
                    *added = D::dot(*added, offset, *quarter);
                }
                packed.write(quarters);
            }
            let bias = repeated::<_, C>(&bias[first..first + count]);
            let mut start = [zero; 4];
            for (j, (start, added)) in start.iter_mut().zip(added).enumerate() {
                let halves: [[i32; 4]; 2] =
                    [0, 16].map(|half| core::array::from_fn(|i| bias[half + j * 4 + i]));
                *start = _mm256_sub_epi32(_mm256_loadu_si256(halves.as_ptr().cast()), added);
            }
            let mut scales = Block::empty();
            scales.fill(&self.stage, first, count, Order::Packed(C));
            Channels { first, count, bias: start, scales }
        }
    }

    /// The sums of a part's vectors.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions; the part's columns have been brought together.
    #[inline(always)]
    unsafe fn sum<D: Dot<A>, const A: usize, const C: usize>(
        &self,
        part: &Part,
        taps: &Taps,
        weights: Weights<'_, A>,
        columns: &Columns<A>,
        sums: &mut [MaybeUninit<Sums>],
    ) {
        let Taps { groups, columns: tap_columns, step, .. } = *taps;
        let [position, tap] = match BYTES / C {
            1 => [self.p.window.stride_w, step],
            _ => [tap_columns, 1],
        };
        let steps = Steps { position, tap, group: part.columns, row: part.pitch(groups) };
        let (vectors, taps) = (part.vectors, [groups, tap_columns]);
        macro_rules! sum {
            ($groups:literal, $columns:literal) => {
                sum_taps::<D, A, $groups, $columns>(weights, columns, sums, vectors, &steps, taps)
            };
        }
        // SAFETY: as the caller says.
        unsafe {
            match taps {
                [1, 1] => sum!(1, 1),
                [1, 2] => sum!(1, 2),
                [1, 3] => sum!(1, 3),
                [1, 4] => sum!(1, 4),
                [2, 5] => sum!(2, 5),
                _ => sum!(0, 0),
            }
        }
    }

    /// Requantizes a part's sums.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; the sums have been written.
    #[target_feature(enable = "avx2")]
    unsafe fn store<const C: usize>(
        &self,
        block: &Channels,
        sums: &[MaybeUninit<Sums>],
        y: &mut [i8],
    ) {
        // SAFETY: as the caller says.
        let sums = unsafe { sums.assume_init_ref() };
        match block.scales.rounding {
            Some(rounding) => {
                with_rounding!(rounding, R => {
                    // SAFETY: they were made for it.
                    unsafe { self.store_with::<R, C>(block, sums, y) }
                });
            }
            None => self.one_by_one::<C>(block, sums, y),
        }
    }

    /// [`Layer::store`] under a rounding.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; it is the rounding that the scales were made for.
    #[target_feature(enable = "avx2")]
    unsafe fn store_with<const ROUNDING: u8, const C: usize>(
        &self,
        block: &Channels,
        sums: &[Sums],
        y: &mut [i8],
    ) {
        let last = Last::new(&self.stage.output);
        let channels = self.stage.channels;
        for (sums, y) in sums.iter().zip(y.chunks_mut(BYTES / C * channels)) {
            let mut scaled = *sums;
            for (sum, scales) in scaled.iter_mut().zip(block.scales.scales()) {
                // SAFETY: as the caller says.
                *sum = unsafe { scales.apply::<ROUNDING>(*sum) };
            }
            let bytes = last.packed::<ROUNDING>(scaled);
            put(bytes, C, y, channels, block.first, block.count);
        }
    }

    /// The definition: for scales that are not as almost all are.
    #[cold]
    fn one_by_one<const C: usize>(&self, block: &Channels, sums: &[Sums], y: &mut [i8]) {
        let channels = self.stage.channels;
        let vectors = y.chunks_mut(BYTES / C * channels).zip(sums);
        for (y, sums) in vectors {
            // SAFETY: four vectors are 32 int32.
            let sums: [i32; BYTES] = unsafe { core::mem::transmute(*sums) };
            for (position, y) in y.chunks_exact_mut(channels).enumerate() {
                let mut acc = [0; BLOCK];
                for (c, acc) in acc.iter_mut().enumerate().take(C) {
                    let at = position * C + c;
                    // Its half of the vectors, its vector, its lane.
                    *acc = sums[at % 16 / 4 * 8 + at / 16 * 4 + at % 4];
                }
                self.stage.one_by_one(&acc, y, block.first, block.count);
            }
        }
    }
}

/// The weights of some channels, and where sums begin.
type Weights<'a, const A: usize> = (&'a [MaybeUninit<Quarters<A>>; TAPS], &'a [__m256i; 4]);

/// Columns from one vector of sums to the next, from one column of taps to the next, from one group of
/// rows to the next, and from one row of outputs to the next.
struct Steps {
    position: usize,
    tap: usize,
    group: usize,
    row: usize,
}

/// The sums of some vectors, so many a row, with a kernel of `G` groups of rows and `T` columns, or where
/// that is 0 of so many.
///
/// # Safety
///
/// The processor has the level's instructions; the columns that are read have been written.
#[inline(always)]
unsafe fn sum_taps<D: Dot<A>, const A: usize, const G: usize, const T: usize>(
    (weights, bias): Weights<'_, A>,
    columns: &Columns<A>,
    sums: &mut [MaybeUninit<Sums>],
    vectors: usize,
    steps: &Steps,
    [groups, taps]: [usize; 2],
) {
    let (groups, taps) = if T == 0 { (groups, taps) } else { (G, T) };
    let &Steps { position, tap, group, row } = steps;
    let last_row = (sums.len() / vectors).saturating_sub(1) * row;
    let last = last_row + (vectors - 1) * position + (taps - 1) * tap + (groups - 1) * group;
    assert!(last < COLUMNS && groups * taps <= TAPS);
    // One after the other, so that weights stay in registers.
    for (j, columns) in columns.iter().enumerate() {
        // SAFETY: as the caller says; vectors may be zero.
        let few = unsafe {
            let mut few: [[__m256i; A]; FEW] = core::mem::zeroed();
            if G * T <= FEW {
                for (few, weights) in few.iter_mut().zip(weights).take(G * T) {
                    *few = weights.assume_init_ref()[j];
                }
            }
            few
        };
        for (start, sums) in sums.chunks_exact_mut(vectors).enumerate() {
            for (i, sums) in sums.iter_mut().enumerate() {
                let sums: *mut __m256i = sums.as_mut_ptr().cast();
                let mut sum = bias[j];
                for g in 0..groups {
                    for t in 0..taps {
                        // SAFETY: as the caller says; the last of the columns and weights is there.
                        unsafe {
                            let at = start * row + i * position + t * tap + g * group;
                            let x = columns.get_unchecked(at).assume_init();
                            let w = match (1..=FEW).contains(&(G * T)) {
                                true => few[g * taps + t],
                                false => weights.get_unchecked(g * taps + t).assume_init_ref()[j],
                            };
                            sum = D::dot(sum, x, w);
                        }
                    }
                }
                // SAFETY: there are four vectors.
                unsafe { sums.add(j).write(sum) };
            }
        }
    }
}

/// Up to `C` values, over and over.
#[inline(always)]
fn repeated<T: Copy + Default, const C: usize>(values: &[T]) -> [T; BYTES] {
    if let Some(values) = values.first_chunk() {
        return *values;
    }
    let mut all = [T::default(); BYTES];
    for all in all.chunks_exact_mut(C) {
        for (to, from) in all.iter_mut().zip(values) {
            *to = *from;
        }
    }
    all
}
