//! The output stage of int8 layers, for any instruction set with vectors: what of it is not vectors.

use core::ops::RangeInclusive;

use super::SumI8;
use crate::add::InputScale;
use crate::broadcast::{Operand, Walk};
use crate::requantize::{Output, Requantize, Rescale};

/// Channels that are requantized at once.
pub(super) const BLOCK: usize = 64;

/// How sums become int8.
#[derive(Clone, Copy)]
pub(super) struct OutputStage<'a> {
    pub requantize: Requantize<'a>,
    pub output: Output,
    /// Channels of the output: from one position to the next.
    pub channels: usize,
    /// Whether sums lie within ±2^30, so that they can be doubled.
    #[cfg_attr(target_arch = "aarch64", expect(dead_code, reason = "`SQRDMULH` doubles any sum"))]
    pub small: bool,
    /// Products of a sum, and the largest bias.
    products: u64,
    bias: u32,
    /// The least and the largest shift of all channels' scales, where these are fixed-point numbers in their
    /// range, as those of valid files are.
    pub shifts: Option<[i8; 2]>,
    /// Whether scales are in their ranges, as those of valid files are.
    pub ordinary: bool,
    /// Whether a single position is scaled, so that what takes long to prepare does not pay.
    #[cfg(target_arch = "x86_64")]
    single: bool,
}

/// The largest product of an activation, as `x + 128`, and a weight with its zero point, and that of
/// the zero point alone.
const PRODUCT: u64 = 2 * 255 * 255;

/// The furthest shift to the right with which the offset fits the constant of [`OutputStage::folds`].
#[cfg(target_arch = "x86_64")]
const FOLDED_SHIFT: i8 = -23;

impl<'a> OutputStage<'a> {
    /// For sums of so many products and a bias each.
    #[inline(always)]
    pub fn new(requantize: Requantize<'a>, output: Output, bias: &[i32], products: usize) -> Self {
        let channels = bias.len();
        let products = products as u64;
        let bias = bias.iter().fold(0, |most, bias| bias.unsigned_abs().max(most));
        let (shifts, ordinary) = match requantize {
            Requantize::Double(s) | Requantize::DoubleUp(s) | Requantize::Single(s) => {
                let [least, most] = extremes(s.shift);
                let all = s.multiplier.len() == s.shift.len() && one_each(s.shift, channels);
                let valid = all && -31 <= least && least <= most && most < 31;
                (valid.then_some([least, most]), valid)
            }
            Requantize::Float32(s) => {
                (None, one_each(s, channels) && s.iter().all(|s| s.is_finite()))
            }
            Requantize::Float64(s) => {
                (None, one_each(s, channels) && s.iter().all(|s| s.is_finite()))
            }
        };
        let small = false;
        let stage = Self {
            requantize,
            output,
            channels,
            small,
            products,
            bias,
            shifts,
            ordinary,
            #[cfg(target_arch = "x86_64")]
            single: false,
        };
        Self { small: stage.bound(PRODUCT) < 1 << 30, ..stage }
    }

    /// The same for so many positions.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn of_positions(self, count: usize) -> Self {
        Self { single: count == 1, ..self }
    }

    /// What no sum is beyond, to either side, where no product is beyond `product`.
    #[inline(always)]
    pub fn bound(&self, product: u64) -> u64 {
        self.products.saturating_mul(product).saturating_add(self.bias.into())
    }

    /// Whether ranges are within int8, as in all files that converters write: then saturating on the
    /// way to 8 bits changes nothing.
    pub fn fits(&self) -> bool {
        let byte = i32::from(i8::MIN)..=i32::from(i8::MAX);
        byte.contains(&self.output.output_offset)
            && byte.contains(&self.output.activation_min)
            && byte.contains(&self.output.activation_max)
    }

    /// Whether all scales are as almost all are: below 1/2.
    #[inline(always)]
    pub fn below_half(&self) -> bool {
        self.ordinary && self.shifts.is_none_or(|[_, most]| most < 0)
    }

    /// Whether what is below zero becomes the minimum.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn is_relu(&self) -> bool {
        self.output.output_offset <= self.output.activation_min
    }

    /// Whether scales are below 1/2, their roundings never look at a sign, and it pays. To round twice half up is
    /// to round once with a constant of its own, and the offset is another part of it:
    ///
    /// ```text
    /// v = floor((acc × multiplier + 2^30) / 2^31)
    /// floor((v + 2^(s − 1)) / 2^s) = floor((acc × multiplier + 2^30 + 2^(30 + s)) / 2^(31 + s))
    /// ```
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub fn folds(&self) -> bool {
        let rounding = match self.requantize {
            // What is negative becomes the minimum, however it is rounded.
            Requantize::Double(_) => self.is_relu(),
            Requantize::DoubleUp(_) | Requantize::Single(_) => true,
            Requantize::Float32(_) | Requantize::Float64(_) => false,
        };
        let shifts = self.shifts.is_some_and(|[least, _]| least >= FOLDED_SHIFT);
        rounding && shifts && self.small && self.below_half() && !self.single
    }

    /// The definition, of one position: for scales that are not ordinary.
    #[cold]
    pub fn one_by_one(&self, acc: &[i32; BLOCK], y: &mut [i8], channel: usize, count: usize) {
        for (i, (y, acc)) in y.iter_mut().skip(channel).zip(acc).take(count).enumerate() {
            let scaled = self.requantize.rescale(*acc, channel + i);
            *y = self.output.apply(scaled) as i8;
        }
    }
}

/// Whether there is a value for each channel, or one for all.
fn one_each<T>(all: &[T], channels: usize) -> bool {
    all.len() == 1 || all.len() == channels
}

/// The least and the largest shift.
#[inline(always)]
fn extremes(shifts: &[i8]) -> [i8; 2] {
    let least = shifts.iter().fold(i8::MAX, |least, &shift| least.min(shift));
    [least, shifts.iter().fold(i8::MIN, |most, &shift| most.max(shift))]
}

/// The elements of `count` channels from `channel` on; the only one where one serves all.
fn part<T>(all: &[T], channel: usize, count: usize) -> &[T] {
    match all {
        [_] => all,
        _ => all.get(channel..channel + count).unwrap_or_default(),
    }
}

/// The same as an array, 0 where there are fewer.
#[inline(always)]
pub(super) fn lanes<T: Copy + Default, const N: usize>(
    all: &[T],
    channel: usize,
    count: usize,
) -> [T; N] {
    if let [only] = all {
        return [*only; N];
    }
    if let Some(lanes) = all.get(channel..).and_then(|rest| rest.first_chunk()) {
        return *lanes;
    }
    let mut lanes = [T::default(); N];
    for (to, from) in lanes.iter_mut().zip(part(all, channel, count)) {
        *to = *from;
    }
    lanes
}

impl SumI8<'_> {
    /// The output stage of a sum whose operands and output have `count` elements each, one behind the
    /// other, and whose numbers vectors have room for: operands have nine bits and are shifted to the
    /// left by one of `left_shifts`, then only to the right. `None` of others.
    pub(super) fn whole(
        &self,
        walk: &Walk<2>,
        operands: &[Operand<'_, i8>; 2],
        count: usize,
        left_shifts: RangeInclusive<u32>,
    ) -> Option<OutputStage<'_>> {
        let headroom = |scale: &InputScale| {
            (-128..=128).contains(&scale.offset)
                && (-31..=0).contains(&scale.shift)
                && scale.multiplier >= 0
        };
        let stage = OutputStage::new(self.requantize, self.scales.output, &[0], 0);
        let whole = walk.is_whole(operands, count);
        let ordinary = left_shifts.contains(&self.scales.left_shift)
            && [&self.scales.a, &self.scales.b].into_iter().all(headroom)
            && stage.fits()
            && stage.ordinary;
        (whole && ordinary).then_some(stage)
    }
}
