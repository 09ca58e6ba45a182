//! What a depthwise convolution multiplies: columns of the image, four taps of a channel side by side.
//! [`super::depthwise`] says what for.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::depthwise::Layer;
use super::dot::Dot;
use super::requantize::{BYTES, copy_few};
use crate::depthwise_conv2d::DepthwiseConv2dI8;

/// Rows of taps that are multiplied at once.
pub(super) const ROWS: usize = 4;

/// Columns that are brought together before they are multiplied, each of a group of rows.
pub(super) const COLUMNS: usize = 64;

/// Bytes of the rows that are copied.
pub(super) const PANEL: usize = 1 << 14;

/// Of four vectors each the columns that are brought together.
pub(super) type Columns<const A: usize> = [[MaybeUninit<[__m256i; A]>; COLUMNS]; 4];

/// Taps of the kernel as they are multiplied, [`ROWS`] at once.
pub(super) struct Taps {
    /// Whether they are neighbours in one row, rather than in a column: of a kernel of one row.
    pub lying: bool,
    /// Groups of rows, and columns of a group.
    pub groups: usize,
    pub columns: usize,
    /// Columns of the image from one column to the next.
    pub step: usize,
    pub kernel: [usize; 2],
}

impl Taps {
    /// Those of a layer; they may be lying if columns are shared.
    pub fn new(p: &DepthwiseConv2dI8<'_>, shared: bool) -> Self {
        let DepthwiseConv2dI8 { kernel, window, .. } = *p;
        let [kernel_h, kernel_w] = kernel;
        let (lying, step) = (shared && kernel_h == 1, window.dilation_w);
        let (columns, step) =
            if lying { (kernel_w.div_ceil(ROWS), ROWS * step) } else { (kernel_w, step) };
        Self { lying, groups: kernel_h.div_ceil(ROWS), columns, step, kernel }
    }

    /// Which tap of the kernel is `i`-th of those that are multiplied at once, if there is one.
    pub fn of(&self, group: usize, column: usize, i: usize) -> Option<usize> {
        let [kernel_h, kernel_w] = self.kernel;
        let [row, column] =
            if self.lying { [0, column * ROWS + i] } else { [group * ROWS + i, column] };
        (row < kernel_h && column < kernel_w).then_some(row * kernel_w + column)
    }
}

/// Some neighbouring positions of a row of outputs, or several whole rows.
pub(super) struct Part {
    /// The first row, and how many.
    pub row: usize,
    pub rows: usize,
    /// The first position of a row, and how many vectors have them.
    pub start: usize,
    pub vectors: usize,
    /// Columns of the image that a row sees.
    pub reach: usize,
    /// Columns that are brought together for a row, of each group of rows of taps.
    pub columns: usize,
}

impl Part {
    /// Columns that are brought together for a row.
    pub fn pitch(&self, groups: usize) -> usize {
        self.columns * groups
    }
}

impl Layer<'_> {
    /// Copies the rows of the padded image that row `row` of a part sees, `C` channels of each column.
    #[inline(always)]
    pub(super) fn copy<const C: usize>(
        &self,
        x: &[i8],
        part: &Part,
        row: usize,
        (first, count): (usize, usize),
        panel: &mut [MaybeUninit<i8>; PANEL],
    ) {
        let DepthwiseConv2dI8 { input, kernel: [kernel_h, _], window, .. } = *self.p;
        let [_, input_h, input_w, channels] = input;
        let outside = MaybeUninit::new(self.p.input_zero_point as i8);
        let start = part.start * window.stride_w;
        // Columns of the panel on the left of the image, and where in the image the next is.
        let left = window.pad_left.saturating_sub(start).min(part.reach);
        let from = start.saturating_sub(window.pad_left).min(input_w);
        let inside = (part.reach - left).min(input_w - from);
        let rows = window.rows(part.row + row, kernel_h, input_h);
        for (tap_y, to) in panel.chunks_exact_mut(part.reach * C).enumerate().take(kernel_h) {
            if !rows.inside.contains(&tap_y) {
                to.fill(outside);
                continue;
            }
            let row = rows.first + (tap_y - rows.inside.start) * window.dilation_h;
            let row = &x[(row * input_w + from) * channels..][..inside * channels];
            let (before, to) = to.split_at_mut(left * C);
            let (to, behind) = to.split_at_mut(inside * C);
            before.fill(outside);
            behind.fill(outside);
            if channels == C {
                to.write_copy_of_slice(row);
                continue;
            }
            for (to, pixel) in to.as_chunks_mut::<C>().0.iter_mut().zip(row.chunks_exact(channels))
            {
                let pixel = &pixel[first..];
                // What is behind the channels does not matter, but has to be there.
                match pixel.first_chunk::<C>() {
                    Some(pixel) => {
                        to.write_copy_of_slice(pixel);
                    }
                    None => {
                        let mut few = [0; C];
                        copy_few(&mut few[..count], &pixel[..count]);
                        to.write_copy_of_slice(&few);
                    }
                }
            }
        }
    }

    /// Brings the rows of taps of each column of row `row` of a part together, 32 channels from
    /// `channel` on.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions.
    #[inline(always)]
    pub(super) unsafe fn bring_directly<D: Dot<A>, const A: usize>(
        &self,
        x: &[i8],
        part: &Part,
        row: usize,
        (channel, taps): (usize, &Taps),
        columns: &mut Columns<A>,
    ) {
        let DepthwiseConv2dI8 { input, kernel: [kernel_h, _], window, .. } = *self.p;
        let [_, input_h, input_w, channels] = input;
        let rows = window.rows(part.row + row, kernel_h, input_h);
        let start = part.start * window.stride_w;
        // From a line's column to the next line's.
        let next = if taps.lying { window.dilation_w } else { 0 };
        for group in 0..taps.groups {
            // Rows of the image, from the block's first channel on; none where a tap is outside.
            let mut lines: [&[i8]; ROWS] = [&[]; ROWS];
            for (r, line) in lines.iter_mut().enumerate() {
                let tap = if taps.lying { 0 } else { group * ROWS + r };
                if rows.inside.contains(&tap) {
                    let row = rows.first + (tap - rows.inside.start) * window.dilation_h;
                    *line = &x[row * input_w * channels..][..input_w * channels][channel..];
                }
            }
            let to = row * part.pitch(taps.groups) + group * part.columns;
            for column in 0..part.columns {
                let mut at = (start + column).wrapping_sub(window.pad_left);
                // SAFETY: as the caller says; what is loaded are 32 bytes.
                unsafe {
                    let mut taps = [_mm256_set1_epi8(self.p.input_zero_point as i8); ROWS];
                    for (tap, line) in taps.iter_mut().zip(lines) {
                        let pixel = line.get(at.wrapping_mul(channels)..);
                        if let Some(bytes) = pixel.and_then(|x| x.first_chunk::<BYTES>()) {
                            *tap = _mm256_loadu_si256(bytes.as_ptr().cast());
                        }
                        at = at.wrapping_add(next);
                        *tap = _mm256_xor_si256(*tap, _mm256_set1_epi8(i8::MIN));
                    }
                    for (quarter, bytes) in columns.iter_mut().zip(interleave(taps)) {
                        quarter[to + column].write(D::split(bytes));
                    }
                }
            }
        }
    }

    /// Brings the rows of taps of each column of row `row` of a part together, or those of each
    /// vector's columns.
    ///
    /// # Safety
    ///
    /// The processor has the level's instructions; the rows that the part sees have been copied.
    #[inline(always)]
    pub(super) unsafe fn bring_together<D: Dot<A>, const A: usize, const C: usize>(
        &self,
        part: &Part,
        row: usize,
        panel: &[MaybeUninit<i8>; PANEL],
        columns: &mut Columns<A>,
    ) {
        let DepthwiseConv2dI8 { kernel: [kernel_h, kernel_w], window, .. } = *self.p;
        let groups = kernel_h.div_ceil(ROWS);
        let together = BYTES / C;
        let pitch = part.reach * C;
        let step = window.stride_w * C;
        for group in 0..groups {
            let rows = (kernel_h - group * ROWS).min(ROWS);
            let to = row * part.pitch(groups) + group * part.columns;
            let panel = &panel[group * ROWS * pitch..][..rows * pitch];
            for i in 0..part.columns {
                let column = match together {
                    1 => i,
                    _ => {
                        i / kernel_w * together * window.stride_w + i % kernel_w * window.dilation_w
                    }
                };
                let last = (rows - 1) * pitch + column * C + (together - 1) * step;
                assert!(last + C <= panel.len());
                // SAFETY: as the caller says; the last column of the last row is in the panel.
                unsafe {
                    let mut taps = [_mm256_setzero_si256(); ROWS];
                    for (r, tap) in taps.iter_mut().enumerate().take(rows) {
                        let from = panel.as_ptr().add(r * pitch + column * C);
                        *tap = match (C, window.stride_w) {
                            (32, _) | (_, 1) => _mm256_loadu_si256(from.cast()),
                            (16, _) => _mm256_loadu2_m128i(from.add(step).cast(), from.cast()),
                            _ => {
                                let eight = |i| from.add(i * step).cast::<i64>().read_unaligned();
                                _mm256_setr_epi64x(eight(0), eight(1), eight(2), eight(3))
                            }
                        };
                        *tap = _mm256_xor_si256(*tap, _mm256_set1_epi8(i8::MIN));
                    }
                    for (quarter, bytes) in columns.iter_mut().zip(interleave(taps)) {
                        quarter[to + i].write(D::split(bytes));
                    }
                }
            }
        }
    }
}

/// The bytes of four rows, those of a channel side by side.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn interleave([a, b, c, d]: [__m256i; ROWS]) -> [__m256i; 4] {
    let (ab, ab_high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
    let (cd, cd_high) = (_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d));
    [
        _mm256_unpacklo_epi16(ab, cd),
        _mm256_unpackhi_epi16(ab, cd),
        _mm256_unpacklo_epi16(ab_high, cd_high),
        _mm256_unpackhi_epi16(ab_high, cd_high),
    ]
}
