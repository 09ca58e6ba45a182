//! From sums to outputs, for blocks of neighbouring channels: what convolution, depthwise
//! convolution and transposed convolution do last.

use crate::hybrid::{Activations, HybridOutput};
use crate::pool::ActivationRange;
use crate::requantize::{Output, RequantizeWide, Rescale, of_channels};

/// Turns sums into outputs.
pub(crate) trait Finish<Acc> {
    /// The output's element.
    type Y: Copy;
    /// What is known of `C` neighbouring channels: biases and scales.
    type Block<const C: usize>;

    /// Looks up channels from `channel` on. Those behind the last have some values.
    fn block<const C: usize>(&self, channel: usize) -> Self::Block<C>;

    /// [`Finish::finish`], not inlined: loops around sums need the registers, and compilers that take
    /// the scales out of such a loop widen them to 64 bits, for which a Cortex-M multiplies three
    /// times.
    #[inline(never)]
    fn finish_apart<const C: usize, const P: usize>(
        &self,
        block: &Self::Block<C>,
        accs: [[Acc; C]; P],
    ) -> [[Self::Y; C]; P] {
        self.finish(block, accs)
    }

    /// The outputs `[p][c]` of a block's channels at some positions.
    fn finish<const C: usize, const P: usize>(
        &self,
        block: &Self::Block<C>,
        accs: [[Acc; C]; P],
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
    bias: &'a [i32],
    requantize: R,
    output: Output,
    element: core::marker::PhantomData<Y>,
}

impl<'a, Y, R> Requantized<'a, Y, R> {
    pub(crate) fn new(bias: &'a [i32], requantize: R, output: Output) -> Self {
        Self { bias, requantize, output, element: core::marker::PhantomData }
    }
}

impl<Y: Quantized, R: Rescale> Finish<i32> for Requantized<'_, Y, R> {
    type Y = Y;

    type Block<const C: usize> = ([i32; C], R::Block<C>);

    #[inline(always)]
    fn block<const C: usize>(&self, channel: usize) -> Self::Block<C> {
        (of_channels(self.bias, channel), self.requantize.block(channel))
    }

    #[inline(always)]
    fn finish<const C: usize, const P: usize>(
        &self,
        (biases, scales): &Self::Block<C>,
        accs: [[i32; C]; P],
    ) -> [[Y; C]; P] {
        accs.map(|mut accs| {
            for (acc, bias) in accs.iter_mut().zip(biases) {
                *acc = acc.wrapping_add(*bias);
            }
            let scaled = R::rescale_block(scales, accs);
            scaled.map(|scaled| Y::from_clamped(self.output.apply(scaled)))
        })
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
    /// The first channel.
    type Block<const C: usize> = usize;

    #[inline(always)]
    fn block<const C: usize>(&self, channel: usize) -> usize {
        channel
    }

    #[inline(never)]
    fn finish<const C: usize, const P: usize>(
        &self,
        &channel: &usize,
        accs: [[i64; C]; P],
    ) -> [[i16; C]; P] {
        accs.map(|accs| {
            each(channel, accs, |channel, acc: i64| {
                let acc = acc.wrapping_add(of(self.bias, channel));
                i16::from_clamped(self.output.apply(self.requantize.rescale(acc, channel)))
            })
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
    /// The first channel.
    type Block<const C: usize> = usize;

    #[inline(always)]
    fn block<const C: usize>(&self, channel: usize) -> usize {
        channel
    }

    #[inline(always)]
    fn finish<const C: usize, const P: usize>(
        &self,
        &channel: &usize,
        accs: [[f32; C]; P],
    ) -> [[f32; C]; P] {
        accs.map(|accs| {
            each(channel, accs, |channel, acc| self.activation.clamp(acc + of(self.bias, channel)))
        })
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
    /// The first channel.
    type Block<const C: usize> = usize;

    #[inline(always)]
    fn block<const C: usize>(&self, channel: usize) -> usize {
        channel
    }

    #[inline(never)]
    fn finish<const C: usize, const P: usize>(
        &self,
        &channel: &usize,
        accs: [[i32; C]; P],
    ) -> [[f32; C]; P] {
        accs.map(|accs| {
            each(channel, accs, |channel, acc| self.output.finish(acc, channel, self.activations))
        })
    }
}

/// `of(channel + c, accs[c])` for all of them.
#[inline(always)]
fn each<Acc: Copy, Y: Copy, const C: usize>(
    channel: usize,
    accs: [Acc; C],
    of: impl Fn(usize, Acc) -> Y,
) -> [Y; C] {
    let mut next = channel;
    accs.map(|acc| {
        let y = of(next, acc);
        next += 1;
        y
    })
}

/// One element per channel, 0 behind the last.
#[inline(always)]
fn of<T: Copy + Default>(all: &[T], channel: usize) -> T {
    all.get(channel).copied().unwrap_or_default()
}
