//! Holds kernels that follow from the target against the definitions, on processors that lack the
//! instructions: with what these compute.

use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::{Kernels, Level};
use crate::Mismatch;
use crate::conv2d::{Conv2dI8, Windows, portable_large};
use crate::convolve::Geometry;
use crate::depthwise_conv2d::{self, DepthwiseConv2dI8};
use crate::fully_connected::{FullyConnectedI8, portable_vector};
use crate::requantize::Requantize;
use crate::testing::{self, Scales, Values, cases, check, output_stage, shapes};
use crate::window::Window;

/// A kernel, of a layer that says its rounding while it runs.
type Convolution =
    for<'a> fn(&Conv2dI8<'a, Requantize<'a>>, &[i8], &mut [i8]) -> Result<(), Mismatch>;
type FullyConnected =
    for<'a> fn(&FullyConnectedI8<'a, Requantize<'a>>, &[i8], &mut [i8]) -> Result<(), Mismatch>;

type Depthwise =
    for<'a> fn(&DepthwiseConv2dI8<'a, Requantize<'a>>, &[i8], &mut [i8]) -> Result<(), Mismatch>;

/// The kernels of an instruction set.
pub(crate) struct Layers {
    pub conv2d: Convolution,
    pub conv2d_large: Convolution,
    pub conv2d_pointwise: Convolution,
    pub fully_connected_long: FullyConnected,
    pub depthwise_conv2d: Depthwise,
}

/// The tests of an instruction set's [`Layers`].
macro_rules! definitions_hold {
    ($layers:expr) => {
        #[test]
        fn convolution_is_its_definition() {
            $layers.convolution_holds();
        }

        #[test]
        fn convolution_of_groups_is_its_definition() {
            $layers.groups_hold();
        }

        #[test]
        fn pointwise_convolution_is_its_definition() {
            $layers.pointwise_holds();
        }

        #[test]
        fn fully_connected_is_its_definition() {
            $layers.fully_connected_holds();
        }

        #[test]
        fn depthwise_convolution_is_its_definition() {
            $layers.depthwise_holds();
        }
    };
}
pub(super) use definitions_hold;

/// The test of an instruction set's ADD and SUB, functions of a rounding.
macro_rules! sums_hold {
    ($add:ident, $sub:ident) => {
        /// A sum or a difference, of a rounding that is said while it runs.
        fn sum_i8(
            p: &crate::arch::SumI8<'_>,
            walk: &crate::broadcast::Walk<2>,
            [a, b]: [crate::broadcast::Operand<'_, i8>; 2],
            y: &mut [i8],
        ) -> Result<(), crate::Mismatch> {
            use crate::requantize::{Double, DoubleUp, Requantize, Single};
            match (p.requantize, p.subtract) {
                (Requantize::Double(_), false) => $add::<Double>(p.scales, walk, a, b, y),
                (Requantize::Double(_), true) => $sub::<Double>(p.scales, walk, a, b, y),
                (Requantize::DoubleUp(_), false) => $add::<DoubleUp>(p.scales, walk, a, b, y),
                (Requantize::DoubleUp(_), true) => $sub::<DoubleUp>(p.scales, walk, a, b, y),
                (Requantize::Single(_), false) => $add::<Single>(p.scales, walk, a, b, y),
                (Requantize::Single(_), true) => $sub::<Single>(p.scales, walk, a, b, y),
                (Requantize::Float32(_) | Requantize::Float64(_), _) => Err(crate::Mismatch),
            }
        }

        #[test]
        fn a_sum_is_its_definition() {
            let kernels = crate::arch::Kernels { sum_i8, ..crate::arch::Kernels::PORTABLE };
            crate::add::tests::holds(&kernels, crate::testing::cases());
        }
    };
}
pub(super) use sums_hold;

impl Layers {
    /// Holds convolutions against the definition.
    pub fn convolution_holds(&self) {
        let strategy = (shapes::convolution(), any::<u64>());
        check(Level::Portable, cases(), strategy, |(g, seed)| convolution(self, &g, 1, seed));
    }

    /// Those of groups.
    pub fn groups_hold(&self) {
        let strategy = (testing::geometry(), 1..21_usize, 1..4_usize, 1..40_usize, any::<u64>());
        check(Level::Portable, cases(), strategy, |(mut g, depth, groups, outputs, seed)| {
            (g.input[3], g.output[3]) = (depth * groups, outputs * groups);
            convolution(self, &g, groups, seed)
        });
    }

    /// Those of kernels of one pixel.
    pub fn pointwise_holds(&self) {
        let strategy = (1..20_usize, 1..300_usize, 1..80_usize, any::<u64>());
        check(Level::Portable, cases(), strategy, |(positions, depth, outputs, seed)| {
            let g = Geometry {
                input: [1, 1, positions, depth],
                output: [1, 1, positions, outputs],
                kernel: [1, 1],
                window: Window::UNIT,
            };
            convolution(self, &g, 1, seed)
        });
    }

    /// Holds fully connected layers against the definition.
    pub fn fully_connected_holds(&self) {
        let strategy = (1..1300_usize, 1..80_usize, any::<u64>());
        check(Level::Portable, cases(), strategy, |(inputs, outputs, seed)| {
            let numbers = Numbers::new(seed, inputs, inputs * outputs, outputs);
            for requantize in numbers.scales.all() {
                let p = FullyConnectedI8 {
                    batches: 1,
                    inputs,
                    outputs,
                    weights: &numbers.weights,
                    weights_zero_point: numbers.weights_zero_point,
                    bias: &numbers.bias,
                    requantize,
                    output_stage: numbers.output_stage,
                };
                let (mut y, mut expected) = (vec![1; outputs], vec![2; outputs]);
                portable_vector(&p, &numbers.x, &mut expected).unwrap();
                prop_assert_eq!((self.fully_connected_long)(&p, &numbers.x, &mut y), Ok(()));
                prop_assert_eq!(&y, &expected, "{:?}", requantize);
            }
            Ok(())
        });
    }

    /// Holds depthwise convolutions against the definition.
    pub fn depthwise_holds(&self) {
        let kernels = Kernels { depthwise_conv2d_i8: self.depthwise_conv2d, ..Kernels::PORTABLE };
        depthwise_conv2d::tests::holds(&kernels, cases());
    }
}

/// Numbers of a random layer: activations, weights, biases, and what is done with sums.
struct Numbers {
    x: Vec<i8>,
    weights: Vec<i8>,
    weights_zero_point: i32,
    input_zero_point: i32,
    bias: Vec<i32>,
    scales: Scales,
    output_stage: crate::requantize::Output,
}

impl Numbers {
    fn new(seed: u64, x: usize, weights: usize, channels: usize) -> Self {
        let mut values = Values::new(seed);
        let symmetric = !values.next().is_multiple_of(4);
        Self {
            x: values.i8s(x),
            weights: values.i8s(weights),
            weights_zero_point: if symmetric { 0 } else { values.i32s(1, -128, 127)[0] },
            input_zero_point: values.i32s(1, -128, 127)[0],
            // As large as they get, around the largest that the fast way takes, and ordinary.
            bias: match values.next() % 8 {
                0 => values.i32s(channels, i32::MIN.into(), i32::MAX.into()),
                1 => values.i32s(channels, (1 << 29) - 2, (1 << 29) + 2),
                2 => values.i32s(channels, -(1 << 29) - 2, -(1 << 29) + 2),
                _ => values.i32s(channels, -100_000, 100_000),
            },
            scales: Scales::new(&mut values, channels),
            output_stage: output_stage(&mut values),
        }
    }

    fn conv2d<'a>(&'a self, g: &Geometry, requantize: Requantize<'a>) -> Conv2dI8<'a> {
        Conv2dI8 {
            input: g.input,
            output: g.output,
            kernel: g.kernel,
            window: g.window,
            weights: &self.weights,
            weights_zero_point: self.weights_zero_point,
            input_zero_point: self.input_zero_point,
            bias: &self.bias,
            requantize,
            output_stage: self.output_stage,
        }
    }
}

fn convolution(
    layers: &Layers,
    g: &Geometry,
    groups: usize,
    seed: u64,
) -> Result<(), TestCaseError> {
    let depth = g.input[3] / groups;
    let weights = g.output[3] * g.kernel[0] * g.kernel[1] * depth;
    let numbers = Numbers::new(seed, g.input.iter().product(), weights, g.output[3]);
    for requantize in numbers.scales.all() {
        let p = numbers.conv2d(g, requantize);
        let len = g.output.iter().product();
        let (mut y, mut expected) = (vec![1; len], vec![2; len]);
        portable_large(&p, &numbers.x, &mut expected).unwrap();
        prop_assert_eq!((layers.conv2d_large)(&p, &numbers.x, &mut y), Ok(()));
        prop_assert_eq!(&y, &expected, "{:?}", requantize);
        if p.windows() == Some(Windows::Small) {
            y.fill(4);
            prop_assert_eq!((layers.conv2d)(&p, &numbers.x, &mut y), Ok(()));
            prop_assert_eq!(&y, &expected, "{:?}", requantize);
        }
        if groups == 1 && p.is_product() {
            y.fill(3);
            prop_assert_eq!((layers.conv2d_pointwise)(&p, &numbers.x, &mut y), Ok(()));
            prop_assert_eq!(&y, &expected, "{:?}", requantize);
        }
    }
    Ok(())
}
