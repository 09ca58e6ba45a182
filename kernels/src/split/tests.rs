//! Layers in parts against the whole.

use std::fmt::Debug;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::arch;
use crate::conv2d::{Conv2dF32, Conv2dI8, Conv2dI16, conv2d_f32, conv2d_i16, conv2d_large_i8};
use crate::depthwise_conv2d::{
    DepthwiseConv2dF32, DepthwiseConv2dI8, DepthwiseConv2dI16, depthwise_conv2d_asymmetric_i8,
    depthwise_conv2d_f32, depthwise_conv2d_i16,
};
use crate::fully_connected::{
    FullyConnectedF32, FullyConnectedI8, FullyConnectedI16, fully_connected_f32,
    fully_connected_i8, fully_connected_i16,
};
use crate::pool::ActivationRange;
use crate::requantize::{Accumulate16, Output};
use crate::testing::{Scales, Values, geometry, output_stage};
use crate::tiles::{self, Activations, Tiled, Tiles};
use crate::tiles_f32::{self, TiledF32};
use crate::winograd::{self, Winograd};

/// Whether `kernel` gives the same in parts; how many there were, at most 5.
fn same<P: Split>(
    threads: &mut Threads,
    kernel: impl Fn(&P, &[P::X], &mut [P::Y]) -> Result<(), Mismatch> + Sync,
    p: &P,
    x: &[P::X],
) -> usize
where
    P::Y: Copy + Default + PartialEq + Debug,
{
    let elements: usize = p.geometry().output.iter().product();
    let mut whole = vec![P::Y::default(); elements];
    kernel(p, x, &mut whole).unwrap();
    let mut most = 0;
    for count in [2, 5] {
        let mut y = vec![P::Y::default(); elements];
        run_in(count, threads, &kernel, p, x, &mut y).unwrap();
        assert_eq!(y, whole, "{count} parts");
        most = most.max(divide(count, p, x, &mut y).map_or(1, |parts| parts.len()));
    }
    most
}

const RANGE: ActivationRange<f32> = ActivationRange { min: -2.0, max: 9.0 };
const OUTPUT16: Output =
    Output { output_offset: 0, activation_min: -30_000, activation_max: 32_767 };

/// Weights, biases, scales of a layer.
struct Numbers {
    values: Values,
    weights: Vec<i8>,
    reals: Vec<f32>,
    bias: Vec<i32>,
    scales: Scales,
    output_stage: Output,
}

impl Numbers {
    fn new(seed: u64, channels: usize, filter: usize) -> Self {
        let mut values = Values::new(seed);
        Self {
            weights: values.i8s(channels * filter),
            reals: values.f32s(channels * filter + channels),
            bias: values.i32s(channels, -100_000, 100_000),
            scales: Scales::new(&mut values, channels),
            output_stage: output_stage(&mut values),
            values,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn convolutions_in_parts_are_the_whole(
        mut g in geometry(), depth in 1..9_usize, channels in 1..5_usize, seed: u64,
    ) {
        let mut threads = Threads::new(2);
        (g.input[3], g.output[3]) = (depth, channels);
        let Geometry { input, output, kernel, window } = g;
        let mut n = Numbers::new(seed, channels, kernel[0] * kernel[1] * depth);
        let elements = input.iter().product();
        let x = n.values.i8s(elements);
        for requantize in n.scales.all() {
            let p = Conv2dI8 {
                input, output, kernel, window, weights: &n.weights, weights_zero_point: 3,
                input_zero_point: -5, bias: &n.bias, requantize, output_stage: n.output_stage,
            };
            same(&mut threads, conv2d_large_i8, &p, &x);
        }
        let accumulate = Accumulate16::Narrow(&n.bias, n.scales.all()[0]);
        let p = Conv2dI16 {
            input, output, kernel, window, weights: &n.weights, accumulate, output_stage: OUTPUT16,
        };
        same(&mut threads, conv2d_i16, &p, &n.values.i16s(elements));
        let (bias, weights) = n.reals.split_at(channels);
        let p = Conv2dF32 { input, output, kernel, window, weights, bias, activation: RANGE };
        same(&mut threads, conv2d_f32, &p, &n.values.f32s(elements));
    }

    #[test]
    fn depthwise_convolutions_in_parts_are_the_whole(
        mut g in geometry(), channels in 1..9_usize, seed: u64,
    ) {
        let mut threads = Threads::new(2);
        (g.input[3], g.output[3]) = (channels, channels);
        let Geometry { input, output, kernel, window } = g;
        let mut n = Numbers::new(seed, channels, kernel[0] * kernel[1]);
        let elements = input.iter().product();
        let p = DepthwiseConv2dI8 {
            input, output, kernel, window, weights: &n.weights, weights_zero_point: -7,
            input_zero_point: 9, bias: &n.bias, requantize: n.scales.all()[2],
            output_stage: n.output_stage,
        };
        same(&mut threads, depthwise_conv2d_asymmetric_i8, &p, &n.values.i8s(elements));
        let accumulate = Accumulate16::Narrow(&n.bias, n.scales.all()[1]);
        let p = DepthwiseConv2dI16 {
            input, output, kernel, window, weights: &n.weights, accumulate, output_stage: OUTPUT16,
        };
        same(&mut threads, depthwise_conv2d_i16, &p, &n.values.i16s(elements));
        let (bias, weights) = n.reals.split_at(channels);
        let p = DepthwiseConv2dF32 {
            input, output, kernel, window, weights, bias, activation: RANGE,
        };
        same(&mut threads, depthwise_conv2d_f32, &p, &n.values.f32s(elements));
    }

    #[test]
    fn fully_connected_in_parts_is_the_whole(
        batches in 1..4_usize, inputs in 1..9_usize, outputs in 1..300_usize, seed: u64,
    ) {
        let mut threads = Threads::new(2);
        let mut n = Numbers::new(seed, outputs, inputs);
        let most = if batches > 1 { batches } else { outputs.div_ceil(CHANNELS).min(5) };
        let elements = batches * inputs;
        let x = n.values.i8s(elements);
        for requantize in n.scales.all() {
            let p = FullyConnectedI8 {
                batches, inputs, outputs, weights: &n.weights, weights_zero_point: 5,
                bias: &n.bias, requantize, output_stage: n.output_stage,
            };
            prop_assert_eq!(same(&mut threads, fully_connected_i8, &p, &x), most);
        }
        let x = n.values.i16s(elements);
        let wide = n.values.integers(outputs, -1 << 34, 1 << 34);
        let [fixed, double] = n.scales.wide();
        let narrow = Accumulate16::Narrow(&n.bias, n.scales.all()[3]);
        for accumulate in [narrow, Accumulate16::Wide(&wide, fixed), Accumulate16::Wide(&wide, double)] {
            let p = FullyConnectedI16 {
                batches, inputs, outputs, weights: &n.weights, accumulate, output_stage: OUTPUT16,
            };
            prop_assert_eq!(same(&mut threads, fully_connected_i16, &p, &x), most);
        }
        let (bias, weights) = n.reals.split_at(outputs);
        let p = FullyConnectedF32 { batches, inputs, outputs, weights, bias, activation: RANGE };
        prop_assert_eq!(same(&mut threads, fully_connected_f32, &p, &n.values.f32s(elements)), most);
    }

    #[test]
    fn layers_in_tiles_in_parts_are_the_whole(
        mut g in geometry(), depth in 1..9_usize, channels in 1..300_usize, single: bool, seed: u64,
    ) {
        if single {
            g = Geometry {
                input: [1; 4], output: [1; 4], kernel: [1, 1], window: Window::UNIT,
            };
        }
        let mut threads = Threads::new(2);
        (g.input[3], g.output[3]) = (depth, channels);
        let Geometry { input, output, kernel, window } = g;
        let filter = kernel[0] * kernel[1] * depth;
        let mut n = Numbers::new(seed, channels, filter);
        let layer = Conv2dI8 {
            input, output, kernel, window, weights: &[], weights_zero_point: 3,
            input_zero_point: -5, bias: &n.bias, requantize: n.scales.all()[0],
            output_stage: n.output_stage,
        };
        let x = n.values.i8s(input.iter().product());
        for kernels in arch::available() {
            let activations = kernels.tiles.unwrap_or(Activations::Signed);
            let mut tiles = vec![0; tiles::bytes(activations, channels, filter).unwrap()];
            tiles::pack(activations, &n.weights, filter, &mut tiles).unwrap();
            let p = Tiled { weights: Tiles { tiles: &tiles, activations }, layer };
            let most = same(&mut threads, kernels.conv2d_tiled_i8, &p, &x);
            if single {
                prop_assert_eq!(most, channels.div_ceil(CHANNELS).min(5));
            }
        }
        let (bias, weights) = n.reals.split_at(channels);
        let mut tiles = vec![0.0; tiles_f32::len(channels, filter).unwrap()];
        tiles_f32::pack(weights, filter, &mut tiles).unwrap();
        let layer = Conv2dF32 { input, output, kernel, window, weights: &[], bias, activation: RANGE };
        let p = TiledF32 { tiles: &tiles, layer };
        let x = n.values.f32s(input.iter().product());
        for kernels in arch::available() {
            let most = same(&mut threads, kernels.conv2d_tiled_f32, &p, &x);
            if single {
                prop_assert_eq!(most, channels.div_ceil(CHANNELS).min(5));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]
    #[test]
    fn tiles_of_rows_stay_whole(rows in 1..20_usize, columns in 1..9_usize, pad in 0..3_usize, seed: u64) {
        let mut n = Numbers::new(seed, 16, 9 * 16);
        let mut weights = vec![0; winograd::len(16, 16).unwrap()];
        winograd::pack(&n.weights, 0, 16, &mut weights).unwrap();
        let window = Window { pad_top: pad, pad_left: 1, ..Window::UNIT };
        let layer = Conv2dI8 {
            input: [1, rows + 2 - pad, columns, 16], output: [1, rows, columns, 16], kernel: [3, 3], window,
            weights: &[], weights_zero_point: 0, input_zero_point: -5, bias: &n.bias,
            requantize: n.scales.all()[0], output_stage: n.output_stage,
        };
        let x = n.values.i8s(layer.input.iter().product());
        for kernels in arch::available() {
            let p = Winograd { weights: &weights, layer };
            let most = same(&mut Threads::new(2), kernels.conv2d_winograd_i8, &p, &x);
            // A part that would see nothing but padding is none.
            prop_assert!(most == rows.div_ceil(4).min(5) || (most == 1 && pad == 2));
        }
    }
}

#[test]
fn matrices_are_divided_into_rows() {
    let p = FullyConnectedI8 {
        batches: 100,
        inputs: 1,
        outputs: 1,
        weights: &[1],
        weights_zero_point: 0,
        bias: &[0],
        requantize: crate::requantize::Requantize::Float32(&[1.0]),
        output_stage: Output { output_offset: 0, activation_min: -128, activation_max: 127 },
    };
    // An image whose rows are too few is divided into pixels.
    let p = p.as_convolution();
    assert_eq!(same(&mut Threads::new(2), crate::conv2d::conv2d_pointwise_i8, &p, &[7; 100]), 5);
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let p = DepthwiseConv2dF32 {
        input: [1, 4, 1, 1],
        output: [1, 4, 1, 1],
        kernel: [1, 1],
        window: Window::UNIT,
        weights: &[1.0],
        bias: &[0.0],
        activation: RANGE,
    };
    let mut threads = Threads::new(2);
    let mut run = |x, y| {
        run_in(2, &mut threads, depthwise_conv2d_f32, &p, &[0.0; 9][..x], &mut [0.0; 9][..y])
    };
    assert_eq!(run(4, 4), Ok(()));
    for (x, y) in [(3, 4), (5, 4), (4, 3), (4, 5)] {
        assert_eq!(run(x, y), Err(Mismatch));
    }
}
