//! The layers that can be divided.

use core::ops::Range;

use super::Split;
use crate::conv2d::{Conv2dF32, Conv2dI8, Conv2dI16};
use crate::convolve::Geometry;
use crate::depthwise_conv2d::{DepthwiseConv2dF32, DepthwiseConv2dI8, DepthwiseConv2dI16};
use crate::fully_connected::{FullyConnectedF32, FullyConnectedI8, FullyConnectedI16};
use crate::requantize::{Accumulate16, FixedScales, Requantize, RequantizeWide};
use crate::tiles::{OUTPUTS, STEP, TILE, Tiled, Tiles};
use crate::tiles_f32::TiledF32;
use crate::window::Window;
use crate::winograd::{self, Winograd};

/// Products of depthwise convolution and of int16 take at least so much longer than those of int8
/// convolution.
const SLOW: usize = 4;

/// Those of float32 do, too, but handing over operands and weights of four bytes takes longer as well: parts
/// of float layers have to be twice as long.
const FLOAT: usize = 2;

/// Layers over an image: the type of their elements, and how much longer their products take than
/// those of int8 convolution.
macro_rules! images {
    ($($layer:ident: $element:ty, $slow:expr;)*) => {$(
        impl Split for $layer<'_> {
            type X = $element;
            type Y = $element;

            fn geometry(&self) -> Geometry {
                let Self { input, output, kernel, window, .. } = *self;
                Geometry { input, output, kernel, window }
            }

            fn cost(&self) -> usize {
                let [.., channels] = self.output;
                self.weights.len().checked_div(channels).unwrap_or(0).saturating_mul($slow)
            }

            fn over(self, g: &Geometry) -> Self {
                let Geometry { input, output, kernel, window } = *g;
                Self { input, output, kernel, window, ..self }
            }

            fn channels(self, _: Range<usize>) -> Option<Self> {
                None
            }
        }
    )*};
}

images! {
    Conv2dI8: i8, 1;
    Conv2dI16: i16, SLOW;
    Conv2dF32: f32, FLOAT;
    DepthwiseConv2dI8: i8, SLOW;
    DepthwiseConv2dI16: i16, SLOW;
    DepthwiseConv2dF32: f32, FLOAT;
}

/// Layers whose image is a column of rows: as those above, and what else of them belongs to
/// channels.
macro_rules! rows {
    ($($layer:ident: $element:ty, $slow:expr, $($field:ident by $of:expr),+;)*) => {$(
        impl Split for $layer<'_> {
            type X = $element;
            type Y = $element;

            fn geometry(&self) -> Geometry {
                let Self { batches, inputs, outputs, .. } = *self;
                Geometry {
                    input: [1, batches, 1, inputs],
                    output: [1, batches, 1, outputs],
                    kernel: [1, 1],
                    window: Window::UNIT,
                }
            }

            fn cost(&self) -> usize {
                self.inputs.saturating_mul($slow)
            }

            fn over(self, g: &Geometry) -> Self {
                let [_, batches, ..] = g.output;
                Self { batches, ..self }
            }

            fn channels(self, channels: Range<usize>) -> Option<Self> {
                let start = channels.start.checked_mul(self.inputs)?;
                let weights = self.weights.get(start..channels.end.checked_mul(self.inputs)?)?;
                $(let $field = $of(self.$field, &channels)?;)+
                Some(Self { outputs: channels.len(), weights, $($field,)+ ..self })
            }
        }
    )*};
}

rows! {
    FullyConnectedI8: i8, 1, bias by of_each, requantize by scales;
    FullyConnectedI16: i16, SLOW, accumulate by accumulate;
    FullyConnectedF32: f32, FLOAT, bias by of_each;
}

impl Split for Tiled<'_, Conv2dI8<'_>> {
    type X = i8;
    type Y = i8;

    fn geometry(&self) -> Geometry {
        self.layer.geometry()
    }

    fn cost(&self) -> usize {
        // The layer's own weights are empty.
        let Conv2dI8 { input: [.., depth], kernel: [h, w], .. } = self.layer;
        depth.saturating_mul(h).saturating_mul(w)
    }

    fn over(self, g: &Geometry) -> Self {
        Self { layer: self.layer.over(g), ..self }
    }

    fn channels(self, channels: Range<usize>) -> Option<Self> {
        let block = self.cost().div_ceil(STEP).checked_mul(TILE)?;
        let first = (channels.start / OUTPUTS).checked_mul(block)?;
        let last = channels.end.div_ceil(OUTPUTS).checked_mul(block)?;
        let weights = Tiles { tiles: self.weights.tiles.get(first..last)?, ..self.weights };
        let Conv2dI8 { output: [n, h, w, _], bias, requantize, .. } = self.layer;
        let layer = Conv2dI8 {
            output: [n, h, w, channels.len()],
            bias: of_each(bias, &channels)?,
            requantize: scales(requantize, &channels)?,
            ..self.layer
        };
        Some(Self { weights, layer })
    }
}

impl Split for Winograd<'_, Conv2dI8<'_>> {
    type X = i8;
    type Y = i8;

    fn geometry(&self) -> Geometry {
        self.layer.geometry()
    }

    fn rows_at_once(&self) -> usize {
        winograd::TILE
    }

    fn cost(&self) -> usize {
        // A quarter of the products, at half the rate.
        let Conv2dI8 { input: [.., depth], kernel: [h, w], .. } = self.layer;
        depth.saturating_mul(h).saturating_mul(w) / 2
    }

    fn over(self, g: &Geometry) -> Self {
        Self { layer: self.layer.over(g), ..self }
    }

    fn channels(self, _: Range<usize>) -> Option<Self> {
        None
    }
}

impl<W: Copy + Send + Sync> Split for TiledF32<'_, W> {
    type X = f32;
    type Y = f32;

    fn geometry(&self) -> Geometry {
        self.layer.geometry()
    }

    fn cost(&self) -> usize {
        self.depth().saturating_mul(FLOAT)
    }

    fn over(self, g: &Geometry) -> Self {
        Self { layer: self.layer.over(g), ..self }
    }

    fn channels(self, channels: Range<usize>) -> Option<Self> {
        let block = self.depth().checked_mul(OUTPUTS)?;
        let first = (channels.start / OUTPUTS).checked_mul(block)?;
        let last = channels.end.div_ceil(OUTPUTS).checked_mul(block)?;
        let Conv2dF32 { output: [n, h, w, _], bias, .. } = self.layer;
        let (output, bias) = ([n, h, w, channels.len()], of_each(bias, &channels)?);
        let layer = Conv2dF32 { output, bias, ..self.layer };
        Some(Self { tiles: self.tiles.get(first..last)?, layer })
    }
}

/// Of a value per channel those of some.
fn of_each<'a, T>(all: &'a [T], channels: &Range<usize>) -> Option<&'a [T]> {
    all.get(channels.clone())
}

/// Of a value per channel those of some; of one for all, this.
fn of_each_or_all<'a, T>(all: &'a [T], channels: &Range<usize>) -> Option<&'a [T]> {
    if all.len() == 1 { Some(all) } else { of_each(all, channels) }
}

fn fixed<'a>(scales: FixedScales<'a>, channels: &Range<usize>) -> Option<FixedScales<'a>> {
    let FixedScales { multiplier, shift } = scales;
    let (multiplier, shift) =
        (of_each_or_all(multiplier, channels)?, of_each_or_all(shift, channels)?);
    Some(FixedScales { multiplier, shift })
}

fn scales<'a>(all: Requantize<'a>, channels: &Range<usize>) -> Option<Requantize<'a>> {
    Some(match all {
        Requantize::Double(all) => Requantize::Double(fixed(all, channels)?),
        Requantize::DoubleUp(all) => Requantize::DoubleUp(fixed(all, channels)?),
        Requantize::Single(all) => Requantize::Single(fixed(all, channels)?),
        Requantize::Float32(all) => Requantize::Float32(of_each_or_all(all, channels)?),
        Requantize::Float64(all) => Requantize::Float64(of_each_or_all(all, channels)?),
    })
}

fn accumulate<'a>(all: Accumulate16<'a>, channels: &Range<usize>) -> Option<Accumulate16<'a>> {
    Some(match all {
        Accumulate16::Narrow(bias, requantize) => {
            Accumulate16::Narrow(of_each(bias, channels)?, scales(requantize, channels)?)
        }
        Accumulate16::Wide(bias, all) => {
            let all = match all {
                RequantizeWide::Fixed(all) => RequantizeWide::Fixed(fixed(all, channels)?),
                RequantizeWide::Float64(all) => {
                    RequantizeWide::Float64(of_each_or_all(all, channels)?)
                }
            };
            Accumulate16::Wide(of_each(bias, channels)?, all)
        }
    })
}
