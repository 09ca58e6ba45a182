//! The output stage: sums of some positions to int8.
//!
//! A sum whose double fits 32 bits takes, under a rounding of fixed-point scales below 1/2,
//!
//! | `double` | `double_up` | `single` |
//! | --- | --- | --- |
//! | ADD of the bias and the sum, doubled | the same | the same |
//! | SMMULR: the product's high half, rounded | SMMULR | SMMUL |
//! | ADD of the sign: one less if negative | | |
//! | ASR by one less than the scale says | ASR | ASR |
//! | ADD of 1/2 and the zero point | ADD | ADD |
//! | SSAT of the half | SSAT | SSAT |
//!
//! and a load and a store ([`super::scales`]). Layers that have other channels go the way of the definition, those that RELU6 and the
//! like clamp are clamped once they are stored.

use super::scales::{double, double_up, single};
use super::{add_doubled, smmul, smmulr, ssat8_asr_1};
use crate::convolve::fill_from;
use crate::requantize::{FixedScales, Output, Requantize, Rescale};

/// Filters with fewer weights have sums below 2²⁹, whatever their weights' zero point is.
const SMALL_FILTER: usize = 1 << 14;

/// Biases up to here, with such a sum added, can be doubled.
const SMALL_BIAS: i32 = 1 << 29;

/// Channels whose sums are finished together, at most.
pub(super) const CHANNELS: usize = 16;

/// From sums to outputs.
pub(super) struct Stage<'a, R> {
    bias: &'a [i32],
    requantize: R,
    output: Output,
    /// Whether zero point and range are those of int8, and sums small.
    ordinary: bool,
    /// Whether biases and scales are what the fast way is for.
    fast: bool,
}

/// The scale of a channel, below 1/2.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    /// The bias, doubled.
    pub(super) doubled: i32,
    pub(super) multiplier: i32,
    /// One less than it shifts to the right.
    pub(super) right: u32,
}

impl Scale {
    /// The scale of a channel, if that is what the fast way is for.
    #[inline(always)]
    fn new(bias: i32, (multiplier, shift): (&i32, &i8)) -> Option<Self> {
        let right = (-1 - i32::from(*shift)) as u32;
        let small = bias.wrapping_add(SMALL_BIAS) as u32 <= 2 * SMALL_BIAS as u32;
        (small && right <= 30).then_some(Self {
            doubled: bias << 1,
            multiplier: *multiplier,
            right,
        })
    }
}

impl<'a, R: Rescale> Stage<'a, R> {
    /// For sums of filters of `filter` weights; `many` of them, so that it is worth to look at all
    /// channels before.
    #[inline(never)]
    pub fn new(bias: &'a [i32], requantize: R, output: Output, filter: usize, many: bool) -> Self {
        let Output { output_offset, activation_min, activation_max } = output;
        let int8 = |number: i32| (-128..=127).contains(&number);
        let ordinary = filter < SMALL_FILTER
            && [output_offset, activation_min, activation_max].into_iter().all(int8);
        let mut stage = Self { bias, requantize, output, ordinary, fast: false };
        stage.fast = many && (0..bias.len()).all(|channel| stage.scale(channel).is_some());
        stage
    }

    /// Scales of fixed point, and how they are applied.
    #[inline(always)]
    fn scales(&self) -> Option<(Rounded, FixedScales<'_>)> {
        match self.requantize.any() {
            Requantize::Double(scales) => Some((Rounded::Double, scales)),
            Requantize::DoubleUp(scales) => Some((Rounded::DoubleUp, scales)),
            Requantize::Single(scales) => Some((Rounded::Single, scales)),
            Requantize::Float32(_) | Requantize::Float64(_) => None,
        }
    }

    /// The scale of a channel, if that is what the fast way is for.
    #[inline(always)]
    fn scale(&self, channel: usize) -> Option<Scale> {
        let (_, FixedScales { multiplier, shift }) = self.scales()?;
        let index = if multiplier.len() == 1 { 0 } else { channel };
        let scale = (multiplier.get(index)?, shift.get(index)?);
        Scale::new(*self.bias.get(channel)?, scale).filter(|_| self.ordinary)
    }

    /// Stores outputs of channels from `first` on, of which `accs` has the sums at four positions. The
    /// channels of a position follow each other in `y`, which begins with the first position, and
    /// positions, of which there may be fewer, are `pitch` apart.
    #[inline(never)]
    pub fn channels(
        &self,
        first: usize,
        accs: &[[i32; 4]],
        positions: usize,
        y: &mut [i8],
        pitch: usize,
    ) {
        let count = accs.len().min(CHANNELS);
        let whole = (3 * pitch).saturating_add(first + count) <= y.len();
        if self.fast && positions == 4 && whole && count > 0 {
            // SAFETY: in `y` are the channels of four positions.
            unsafe { self.four_positions(first, accs, y.as_mut_ptr().wrapping_add(first), pitch) };
        } else if self.fast && count > 0 {
            // By way of four positions elsewhere.
            let mut four = [0; 4 * CHANNELS];
            // SAFETY: `four` has as many channels of four positions.
            unsafe { self.four_positions(first, accs, four.as_mut_ptr(), CHANNELS) };
            let rows = y.chunks_mut(pitch.max(1)).zip(four.as_chunks::<CHANNELS>().0);
            for (y, row) in rows.take(positions) {
                let y = y.get_mut(first..).and_then(|y| y.get_mut(..count));
                fill_from(y.unwrap_or_default(), row.get(..count).unwrap_or_default());
            }
        } else {
            for (c, accs) in accs.iter().enumerate() {
                self.slow(first + c, accs, 1, positions, y, pitch);
            }
            return;
        }
        self.clamp(first, count, y, positions, pitch);
    }

    /// The same of four channels from `first` on, of which `accs` has the sums at any number of
    /// positions.
    #[inline(never)]
    pub fn positions(&self, first: usize, accs: &[[i32; 4]], y: &mut [i8], pitch: usize) {
        let last = accs.len().saturating_sub(1).saturating_mul(pitch);
        let whole = last.saturating_add(first + 4) <= y.len();
        if !self.fast || accs.is_empty() || !whole {
            for c in 0..4 {
                let sums = accs.as_flattened().get(c..).unwrap_or_default();
                self.slow(first + c, sums, 4, accs.len(), y, pitch);
            }
            return;
        }
        for c in [0, 2] {
            let scales = [self.scale(first + c), self.scale(first + c + 1)];
            let ([Some(a), Some(b)], Some((rounded, _))) = (scales, self.scales()) else { return };
            let channels = TwoChannels {
                accs: accs.as_flattened().as_ptr().wrapping_add(c),
                y: y.as_mut_ptr().wrapping_add(first + c),
                doubled: [a.doubled, b.doubled],
                multiplier: [a.multiplier, b.multiplier],
                right: [a.right, b.right],
                half: self.half(),
                pitch,
                end: accs.as_flattened().as_ptr().wrapping_add(c + 4 * accs.len()),
            };
            // SAFETY: two sums of each position are read from `accs`, and two outputs stored to `y`, which
            // has those of all positions.
            unsafe {
                match rounded {
                    Rounded::Double => double::two_channels(&raw const channels),
                    Rounded::DoubleUp => double_up::two_channels(&raw const channels),
                    Rounded::Single => single::two_channels(&raw const channels),
                }
            }
        }
        self.clamp(first, 4, y, accs.len(), pitch);
    }

    /// Outputs of channels from `first` on, at one position.
    #[inline(never)]
    pub fn position(&self, first: usize, accs: &[i32], y: &mut [i8]) {
        let half = self.half();
        let Some((rounded, FixedScales { multiplier, shift })) = self.scales() else {
            self.slowly(first, accs, y);
            return;
        };
        // One scale for all channels is looked at again and again.
        let step = usize::from(multiplier.len() != 1);
        let last = (first + accs.len()).saturating_sub(1) * step;
        let known = last < multiplier.len() && last < shift.len();
        let bias = self.bias.get(first..).unwrap_or_default();
        if !self.ordinary || !known || bias.len() < accs.len() {
            self.slowly(first, accs, y);
            return;
        }
        let mut index = first * step;
        for (c, ((y, &acc), &bias)) in y.iter_mut().zip(accs).zip(bias).enumerate() {
            // SAFETY: at most `last`, for which there is a scale.
            let scale = unsafe { (multiplier.get_unchecked(index), shift.get_unchecked(index)) };
            index += step;
            let Some(Scale { doubled, multiplier, right }) = Scale::new(bias, scale) else {
                *y = self.one(acc, first + c);
                continue;
            };
            let doubled = add_doubled(doubled, acc);
            let high = match rounded {
                Rounded::Double => {
                    let high = smmulr(doubled, multiplier);
                    high.wrapping_add(high >> 31)
                }
                Rounded::DoubleUp => smmulr(doubled, multiplier),
                Rounded::Single => smmul(doubled, multiplier),
            };
            *y = ssat8_asr_1((high >> right).wrapping_add(half)) as i8;
        }
        // What the definition has made is within the range already.
        self.clamp(0, accs.len(), y, 1, accs.len());
    }

    /// [`Stage::position`] by the definition.
    #[cold]
    #[inline(never)]
    fn slowly(&self, first: usize, accs: &[i32], y: &mut [i8]) {
        for (c, (y, acc)) in y.iter_mut().zip(accs).enumerate() {
            *y = self.one(*acc, first + c);
        }
    }

    /// Twice the sum of 1/2 and the zero point.
    fn half(&self) -> i32 {
        self.output.output_offset.wrapping_mul(2).wrapping_add(1)
    }

    /// Stores four positions of channels to `y`.
    ///
    /// # Safety
    ///
    /// There are `first + accs.len()` channels, and room for as many bytes as `accs` has channels at
    /// each of four places, `pitch` apart.
    #[inline(never)]
    unsafe fn four_positions(&self, first: usize, accs: &[[i32; 4]], y: *mut i8, pitch: usize) {
        let Some((rounded, FixedScales { multiplier, shift })) = self.scales() else { return };
        let shared: ([i32; CHANNELS], [i8; CHANNELS]);
        let (multiplier, shift) = match (multiplier, shift) {
            // One scale for all channels.
            (&[multiplier], &[shift]) => {
                shared = ([multiplier; CHANNELS], [shift; CHANNELS]);
                (shared.0.as_slice(), shared.1.as_slice())
            }
            _ => (
                multiplier.get(first..).unwrap_or_default(),
                shift.get(first..).unwrap_or_default(),
            ),
        };
        let bias = self.bias.get(first..).unwrap_or_default();
        let accs = accs.get(..accs.len().min(CHANNELS)).unwrap_or_default();
        if [bias.len(), multiplier.len(), shift.len()].into_iter().any(|len| len < accs.len()) {
            return;
        }
        let accs = accs.as_ptr_range();
        let channels = FourPositions {
            accs: accs.start,
            y,
            bias: bias.as_ptr(),
            multiplier: multiplier.as_ptr(),
            shift: shift.as_ptr(),
            half: self.half(),
            pitch,
            end: accs.end,
        };
        // SAFETY: for each channel there are sums, a bias and a scale, and places, as the caller says.
        unsafe {
            match rounded {
                Rounded::Double => double::four_positions(&raw const channels),
                Rounded::DoubleUp => double_up::four_positions(&raw const channels),
                Rounded::Single => single::four_positions(&raw const channels),
            }
        }
    }

    /// Brings stored outputs into the range of a fused activation.
    #[inline(always)]
    fn clamp(&self, first: usize, count: usize, y: &mut [i8], positions: usize, pitch: usize) {
        let Output { activation_min, activation_max, .. } = self.output;
        let (min, max) = (activation_min as i8, activation_max as i8);
        if (min, max) != (i8::MIN, i8::MAX) {
            let positions = y.chunks_mut(pitch.max(1)).take(positions);
            positions.for_each(|y| clamp(y.get_mut(first..).unwrap_or_default(), count, min, max));
        }
    }

    /// A channel by the definition, at some positions, whose sums are `step` from each other.
    #[cold]
    #[inline(never)]
    fn slow(
        &self,
        channel: usize,
        accs: &[i32],
        step: usize,
        positions: usize,
        y: &mut [i8],
        pitch: usize,
    ) {
        for position in 0..positions {
            let acc = accs.get(position * step).copied().unwrap_or_default();
            if let Some(y) = y.get_mut(position * pitch + channel) {
                *y = self.one(acc, channel);
            }
        }
    }

    /// An output by the definition.
    #[cold]
    #[inline(never)]
    fn one(&self, acc: i32, channel: usize) -> i8 {
        let bias = self.bias.get(channel).copied().unwrap_or_default();
        let scaled = self.requantize.rescale(acc.wrapping_add(bias), channel);
        self.output.apply(scaled) as i8
    }
}

/// Brings `count` outputs into a range.
#[inline(never)]
fn clamp(y: &mut [i8], count: usize, min: i8, max: i8) {
    for y in y.iter_mut().take(count) {
        *y = (*y).min(max).max(min);
    }
}

/// A rounding of fixed-point scales.
#[derive(Clone, Copy)]
pub(super) enum Rounded {
    Double,
    DoubleUp,
    Single,
}

/// What four positions of some channels are read from and stored to. There is at least one channel.
#[repr(C)]
pub(super) struct FourPositions {
    pub(super) accs: *const [i32; 4],
    pub(super) y: *mut i8,
    pub(super) bias: *const i32,
    pub(super) multiplier: *const i32,
    pub(super) shift: *const i8,
    pub(super) half: i32,
    pub(super) pitch: usize,
    /// The end of the sums.
    pub(super) end: *const [i32; 4],
}

/// What two channels of some positions are read from and stored to. There is at least one position.
#[repr(C)]
pub(super) struct TwoChannels {
    /// The first of the two, which are followed by two others.
    pub(super) accs: *const i32,
    pub(super) y: *mut i8,
    pub(super) doubled: [i32; 2],
    pub(super) multiplier: [i32; 2],
    pub(super) right: [u32; 2],
    pub(super) half: i32,
    pub(super) pitch: usize,
    /// The end of the sums.
    pub(super) end: *const i32,
}
