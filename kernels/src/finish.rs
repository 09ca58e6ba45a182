//! From sums to outputs, for blocks of neighbouring channels: what convolution, depthwise
//! convolution and transposed convolution do last.

use crate::hybrid::{Activations, HybridOutput};
use crate::pool::ActivationRange;
use crate::requantize::{Output, RequantizeWide, Rescale};

/// Turns the sums `accs[p][c]` of channel `channel + c` at position `p` into outputs.
///
/// Channels behind the last give some value, which callers do not store.
pub(crate) trait Finish<Acc> {
    /// The output's element.
    type Y: Copy;

    fn finish<const C: usize, const P: usize>(
        &self,
        channel: usize,
        accs: &[[Acc; C]; P],
    ) -> [[Self::Y; C]; P];
}

/// A quantized element.
pub(crate) trait Quantized: Copy {
    /// `value`, which is clamped to the type's range already.
    fn from_clamped(value: i32) -> Self;
}

impl Quantized for i8 {
    #[inline(always)]
    fn from_clamped(value: i32) -> Self {
        value as Self
    }
}

impl Quantized for i16 {
    #[inline(always)]
    fn from_clamped(value: i32) -> Self {
        value as Self
    }
}

/// int32 sums to quantized outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requantized<'a, Y, R> {
    pub bias: &'a [i32],
    pub requantize: R,
    pub output: Output,
    pub element: core::marker::PhantomData<Y>,
}

impl<Y: Quantized, R: Rescale> Finish<i32> for Requantized<'_, Y, R> {
    type Y = Y;

    #[inline(always)]
    fn finish<const C: usize, const P: usize>(
        &self,
        channel: usize,
        accs: &[[i32; C]; P],
    ) -> [[Y; C]; P] {
        let accs =
            each(channel, accs, |channel, acc: i32| acc.wrapping_add(of(self.bias, channel)));
        let scaled = self.requantize.rescale_block(channel, &accs);
        scaled.map(|scaled| scaled.map(|scaled| Y::from_clamped(self.output.apply(scaled))))
    }
}

/// int64 sums to int16 outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequantizedWide<'a> {
    pub bias: &'a [i64],
    pub requantize: RequantizeWide<'a>,
    pub output: Output,
}

impl Finish<i64> for RequantizedWide<'_> {
    type Y = i16;

    #[inline(never)]
    fn finish<const C: usize, const P: usize>(
        &self,
        channel: usize,
        accs: &[[i64; C]; P],
    ) -> [[i16; C]; P] {
        each(channel, accs, |channel, acc: i64| {
            let acc = acc.wrapping_add(of(self.bias, channel));
            i16::from_clamped(self.output.apply(self.requantize.rescale(acc, channel)))
        })
    }
}

/// f32 sums to f32 outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Biased<'a> {
    pub bias: &'a [f32],
    pub activation: ActivationRange<f32>,
}

impl Finish<f32> for Biased<'_> {
    type Y = f32;

    #[inline(always)]
    fn finish<const C: usize, const P: usize>(
        &self,
        channel: usize,
        accs: &[[f32; C]; P],
    ) -> [[f32; C]; P] {
        each(channel, accs, |channel, acc| self.activation.clamp(acc + of(self.bias, channel)))
    }
}

/// int32 sums of activations that were quantized on the fly to f32 outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dequantized<'a> {
    pub output: HybridOutput<'a>,
    pub activations: Activations,
}

impl Finish<i32> for Dequantized<'_> {
    type Y = f32;

    #[inline(never)]
    fn finish<const C: usize, const P: usize>(
        &self,
        channel: usize,
        accs: &[[i32; C]; P],
    ) -> [[f32; C]; P] {
        each(channel, accs, |channel, acc| self.output.finish(acc, channel, self.activations))
    }
}

/// `of(channel + c, accs[p][c])` for all of them.
#[inline(always)]
fn each<Acc: Copy, Y: Copy, const C: usize, const P: usize>(
    channel: usize,
    accs: &[[Acc; C]; P],
    of: impl Fn(usize, Acc) -> Y,
) -> [[Y; C]; P] {
    accs.map(|accs| {
        let mut next = channel;
        accs.map(|acc| {
            let y = of(next, acc);
            next += 1;
            y
        })
    })
}

/// One element per channel, 0 behind the last.
#[inline(always)]
fn of<T: Copy + Default>(all: &[T], channel: usize) -> T {
    all.get(channel).copied().unwrap_or_default()
}
