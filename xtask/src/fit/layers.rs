//! The models that costs are fitted to: all kernels that there are costs for, over shapes as networks for
//! microcontrollers have them and some that they do not have, so that all that a kernel does around its
//! inner loop is seen at several sizes. No real model is among them: those are for testing.

use systole_converter::{AlignedBytes, Match, ops::binary::Arithmetic, scale::Activation};

use systole_core::pack_pairs;

use super::builder::{Builder, Moves, inside, square};
use crate::error::{Result, failed};
use Activation::{None as Plain, Relu, Relu6};

/// A model to be measured.
#[derive(Debug)]
pub struct Made {
    /// Its name in reports.
    pub name: &'static str,
    /// The `.systole` file.
    pub file: AlignedBytes,
    /// Whether it is made for its code and stack alone, not for its instructions.
    pub sizes: bool,
    /// Whether its weights are in pairs, for processors with the DSP extension.
    pub pairs: bool,
}

/// What adds the layers of a model.
type Layers = fn(&mut Builder);

/// Makes all of them.
///
/// # Errors
/// Where one is refused: a mistake here.
pub fn all() -> Result<Vec<Made>> {
    let layers: [(&'static str, Layers, Match); 19] = [
        ("conv2d", convolutions, Match::Tflm),
        ("conv2d_deep", deep_convolutions, Match::Tflm),
        ("pointwise", pointwise, Match::Tflm),
        ("depthwise", depthwise, Match::Tflm),
        ("depthwise_other", other_depthwise, Match::Tflm),
        ("fully_connected", fully_connected, Match::Tflm),
        ("fully_connected_short", short_fully_connected, Match::Tflm),
        ("one_scale", one_scale, Match::Tflm),
        ("pool", pools, Match::Tflm),
        ("softmax", softmax, Match::Tflm),
        ("mean", means, Match::Tflm),
        ("add", sums, Match::Tflm),
        ("mul", products, Match::Tflm),
        ("movement", movement, Match::Tflm),
        ("conversion", conversions, Match::Tflm),
        ("single", single, Match::Native),
        ("network", network, Match::Tflm),
        ("residual", residual, Match::Native),
        ("deep_network", deep_network, Match::Tflm),
    ];
    let make = |&(name, layers, matching): &(&'static str, Layers, Match)| {
        let mut builder = Builder::default();
        layers(&mut builder);
        Ok(Made { name, file: builder.finish(matching)?, sizes: false, pairs: false })
    };
    let mut made: Vec<Made> = layers.iter().map(make).chain(alone()).collect::<Result<_>>()?;
    for (of, name) in PAIRED {
        let Some(plain) = made.iter().find(|plain| plain.name == of) else { continue };
        let packed = pack_pairs(plain.file.as_slice()).map_err(|problem| failed!("{problem}"))?;
        let file = packed.ok_or_else(|| failed!("{of}: it has no weights for pairs"))?;
        made.push(Made { name, file, sizes: plain.sizes, pairs: true });
    }
    Ok(made)
}

/// Models that are made once more with their weights in pairs, and the names that they then have.
const PAIRED: [(&str, &str); 9] = [
    ("conv2d", "conv2d_pairs"),
    ("conv2d_deep", "conv2d_deep_pairs"),
    ("pointwise", "pointwise_pairs"),
    ("fully_connected", "fully_connected_pairs"),
    ("single", "single_pairs"),
    ("network", "network_pairs"),
    ("one_conv2d", "one_conv2d_pairs"),
    ("one_pointwise", "one_pointwise_pairs"),
    ("one_fully_connected", "one_fully_connected_pairs"),
];

/// Models of a single layer each, for the code of its kernel.
fn alone() -> impl Iterator<Item = Result<Made>> {
    let layers: [(&'static str, Layers); 11] = [
        ("one_conv2d", |b| {
            let x = b.input(&[1, 10, 10, 8]);
            b.conv(x, 16, square(3, 1), Relu);
        }),
        ("one_pointwise", |b| {
            let x = b.input(&[1, 10, 10, 8]);
            b.conv(x, 16, square(1, 1), Relu);
        }),
        ("one_depthwise", |b| {
            let x = b.input(&[1, 10, 10, 8]);
            b.depthwise(x, square(3, 1), Relu);
        }),
        ("one_fully_connected", |b| {
            let x = b.input(&[1, 128]);
            b.fully_connected(x, 10, Plain);
        }),
        ("one_fully_connected_short", |b| {
            let x = b.input(&[1, 32]);
            b.fully_connected(x, 10, Plain);
        }),
        ("one_average_pool", |b| {
            let x = b.input(&[1, 6, 6, 32]);
            b.pool(x, inside([6, 6], 6), false);
        }),
        ("one_max_pool", |b| {
            let x = b.input(&[1, 6, 6, 32]);
            b.pool(x, inside([2, 2], 2), true);
        }),
        ("one_softmax", |b| {
            let x = b.logits(&[1, 10]);
            b.softmax(x);
        }),
        ("one_mean", |b| {
            let x = b.input(&[1, 6, 6, 32]);
            b.mean(x, &[1, 2]);
        }),
        ("one_add", |b| {
            let (x, z) = (b.input(&[1, 6, 6, 32]), b.input(&[1, 6, 6, 32]));
            b.binary(Arithmetic::Add, x, z);
        }),
        ("one_mul", |b| {
            let (x, z) = (b.input(&[1, 6, 6, 32]), b.input(&[1, 6, 6, 32]));
            b.binary(Arithmetic::Mul, x, z);
        }),
    ];
    layers.into_iter().map(|(name, layer)| {
        let mut builder = Builder::default();
        layer(&mut builder);
        Ok(Made { name, file: builder.finish(Match::Tflm)?, sizes: true, pairs: false })
    })
}

/// Windows that are copied or widened row by row, and first layers, whose rows are no whole words.
fn convolutions(b: &mut Builder) {
    let mut layer = |shape: [usize; 3], outputs, moves: Moves, activation| {
        let x = b.input(&[1, shape[0], shape[1], shape[2]]);
        b.conv(x, outputs, moves, activation);
    };
    layer([8, 8, 16], 16, square(3, 1), Relu);
    layer([12, 12, 8], 24, square(3, 2), Plain);
    layer([10, 10, 3], 16, square(3, 1), Relu);
    layer([24, 24, 3], 8, square(3, 2), Relu6);
    layer([20, 10, 1], 32, Moves { kernel: [10, 4], stride: [2, 2], same: true }, Relu);
    layer([16, 12, 1], 8, Moves { kernel: [10, 8], stride: [2, 2], same: true }, Relu);
    layer([7, 7, 32], 20, inside([3, 3], 1), Plain);
    layer([9, 5, 12], 17, inside([5, 1], 1), Plain);
    layer([8, 8, 64], 16, square(1, 2), Plain);
    layer([12, 12, 16], 32, square(1, 2), Plain);
    layer([5, 5, 24], 40, square(5, 1), Relu);
    layer([11, 1, 20], 33, Moves { kernel: [3, 1], stride: [1, 1], same: true }, Plain);
    layer([14, 14, 4], 12, square(3, 1), Relu6);
    layer([24, 6, 1], 5, square(3, 1), Plain);
    layer([13, 9, 6], 30, inside([3, 3], 1), Plain);
    layer([16, 16, 16], 16, square(3, 1), Relu);
    layer([28, 28, 1], 8, inside([5, 5], 1), Relu);
    layer([16, 16, 2], 64, square(3, 2), Plain);
}

/// Windows of several parts, and those that are too large to be copied.
fn deep_convolutions(b: &mut Builder) {
    let mut layer = |shape: [usize; 3], outputs, moves: Moves| {
        let x = b.input(&[1, shape[0], shape[1], shape[2]]);
        b.conv(x, outputs, moves, Relu);
    };
    layer([4, 4, 64], 64, square(3, 1));
    layer([8, 8, 32], 64, square(3, 2));
    layer([6, 6, 32], 32, square(3, 1));
    layer([5, 4, 96], 32, square(3, 1));
    layer([3, 3, 128], 24, square(3, 1));
    layer([6, 5, 40], 10, square(5, 1));
    layer([7, 1, 128], 32, Moves { kernel: [5, 1], stride: [1, 1], same: false });
}

/// Kernels of one pixel, rows of matrices, and fully connected layers of several rows.
fn pointwise(b: &mut Builder) {
    let mut layer = |shape: [usize; 3], outputs, activation| {
        let x = b.input(&[1, shape[0], shape[1], shape[2]]);
        b.conv(x, outputs, square(1, 1), activation);
    };
    layer([25, 5, 64], 64, Relu);
    layer([12, 12, 16], 32, Relu6);
    layer([6, 6, 128], 64, Relu);
    layer([3, 3, 200], 96, Plain);
    layer([1, 1, 128], 32, Plain);
    layer([1, 1, 256], 2, Plain);
    layer([24, 24, 8], 16, Relu6);
    layer([7, 7, 20], 10, Plain);
    layer([5, 3, 33], 17, Plain);
    layer([10, 10, 12], 72, Relu);
    layer([4, 4, 48], 96, Relu6);
    layer([2, 3, 100], 50, Plain);
    layer([1, 7, 64], 5, Plain);
    layer([3, 3, 256], 40, Relu);
    layer([24, 1, 128], 48, Relu);
    layer([16, 16, 4], 4, Plain);
    for (rows, inputs, outputs) in [(5, 40, 12), (9, 64, 33)] {
        let x = b.input(&[rows, inputs]);
        b.fully_connected(x, outputs, Plain);
    }
}

fn depthwise(b: &mut Builder) {
    let mut layer = |shape: [usize; 3], moves: Moves, activation| {
        let x = b.input(&[1, shape[0], shape[1], shape[2]]);
        b.depthwise(x, moves, activation);
    };
    layer([25, 5, 64], square(3, 1), Relu);
    layer([12, 12, 16], square(3, 2), Relu6);
    layer([32, 32, 8], square(3, 1), Relu6);
    layer([24, 24, 12], square(3, 2), Relu6);
    layer([6, 6, 64], square(3, 1), Relu);
    layer([3, 3, 96], square(3, 1), Relu);
    layer([6, 6, 32], square(3, 2), Relu);
    layer([10, 14, 20], inside([3, 3], 1), Plain);
    layer([9, 9, 10], square(3, 1), Plain);
    layer([48, 48, 4], square(3, 1), Relu6);
    layer([12, 4, 128], square(3, 1), Relu);
    layer([12, 12, 32], square(3, 1), Relu6);
    layer([17, 9, 24], square(3, 1), Plain);
    layer([40, 20, 16], square(3, 2), Relu);
    layer([28, 1, 40], inside([3, 1], 1), Relu);
}

/// Kernels of other sizes, among them those of networks over time, and few channels.
fn other_depthwise(b: &mut Builder) {
    let mut layer = |shape: [usize; 3], moves: Moves| {
        let x = b.input(&[1, shape[0], shape[1], shape[2]]);
        b.depthwise(x, moves, Relu);
    };
    layer([30, 1, 40], inside([3, 1], 1));
    layer([24, 1, 128], inside([5, 1], 1));
    layer([24, 1, 64], inside([10, 1], 1));
    layer([15, 1, 96], inside([15, 1], 1));
    layer([20, 1, 48], inside([8, 1], 2));
    layer([7, 7, 24], square(5, 1));
    layer([14, 14, 16], square(5, 2));
    layer([10, 10, 12], square(7, 1));
    layer([8, 8, 3], square(3, 1));
    layer([12, 9, 2], square(3, 2));
    layer([16, 1, 32], inside([4, 1], 1));
    layer([12, 12, 8], square(2, 2));
    layer([18, 1, 32], inside([18, 1], 1));
    layer([26, 1, 16], inside([12, 1], 1));
}

fn fully_connected(b: &mut Builder) {
    let shapes = [
        (64, 10),
        (640, 128),
        (128, 128),
        (128, 8),
        (100, 20),
        (65, 7),
        (256, 31),
        (1000, 4),
        (200, 50),
        (72, 33),
        (4000, 4),
        (384, 64),
    ];
    for (index, (inputs, outputs)) in shapes.into_iter().enumerate() {
        let x = b.input(&[1, inputs]);
        b.fully_connected(x, outputs, if index % 2 == 0 { Plain } else { Relu });
    }
}

/// Layers whose outputs share a scale: fully connected ones, and convolutions.
fn one_scale(b: &mut Builder) {
    b.one_scale = true;
    let shapes = [
        (72, 24),
        (512, 96),
        (96, 96),
        (192, 12),
        (80, 320),
        (256, 64),
        (1024, 16),
        (64, 500),
        (100, 200),
        (330, 33),
    ];
    for (index, (inputs, outputs)) in shapes.into_iter().enumerate() {
        let x = b.input(&[1, inputs]);
        b.fully_connected(x, outputs, if index % 2 == 0 { Plain } else { Relu });
    }
    for (shape, outputs, moves) in [
        ([10, 10, 16], 24, square(3, 1)),
        ([9, 7, 8], 40, square(3, 1)),
        ([12, 6, 32], 48, square(1, 1)),
        ([5, 5, 96], 128, square(1, 1)),
        ([14, 14, 8], 16, square(1, 1)),
    ] {
        let x = b.input(&[1, shape[0], shape[1], shape[2]]);
        b.conv(x, outputs, moves, Relu);
    }
}

fn short_fully_connected(b: &mut Builder) {
    let shapes = [(32, 3), (16, 16), (1, 16), (16, 1), (50, 12), (63, 9), (8, 100), (8, 128)];
    for (inputs, outputs) in shapes {
        let x = b.input(&[1, inputs]);
        b.fully_connected(x, outputs, Relu);
    }
}

fn pools(b: &mut Builder) {
    for max in [false, true] {
        let mut layer = |shape: [usize; 3], moves: Moves| {
            let x = b.input(&[1, shape[0], shape[1], shape[2]]);
            b.pool(x, moves, max);
        };
        layer([8, 8, 64], inside([8, 8], 8));
        layer([25, 5, 64], inside([25, 5], 5));
        layer([3, 3, 256], inside([3, 3], 3));
        layer([12, 12, 16], inside([2, 2], 2));
        layer([10, 10, 8], square(3, 1));
        layer([7, 7, 20], square(3, 2));
        layer([24, 24, 4], inside([2, 2], 2));
        layer([24, 1, 30], inside([4, 1], 4));
        layer([6, 6, 100], inside([3, 3], 3));
    }
}

fn softmax(b: &mut Builder) {
    for (rows, depth) in [(1, 2), (1, 3), (1, 10), (1, 12), (1, 100), (4, 10), (1, 30), (20, 5)] {
        let x = b.logits(&[rows, depth]);
        b.softmax(x);
    }
}

fn means(b: &mut Builder) {
    let mut layer = |shape: [usize; 3], axes: &[usize]| {
        let x = b.input(&[1, shape[0], shape[1], shape[2]]);
        b.mean(x, axes);
    };
    layer([8, 8, 32], &[1, 2]);
    layer([25, 5, 64], &[1, 2]);
    layer([3, 3, 256], &[1, 2]);
    layer([6, 6, 20], &[1, 2]);
    layer([16, 16, 10], &[1, 2]);
    layer([12, 6, 40], &[1]);
    layer([7, 7, 112], &[1, 2]);
}

/// An operand that is computed, and that nobody reads later: the result is put where it lies.
fn in_place(b: &mut Builder, operation: Arithmetic, shape: &[usize]) {
    let (x, z) = (b.input(shape), b.input(shape));
    let x = b.logistic(x);
    b.binary(operation, x, z);
}

fn sums(b: &mut Builder) {
    for shape in [[8, 8, 16], [12, 12, 32], [5, 7, 9], [1, 1, 100], [16, 16, 16], [4, 4, 64]] {
        let shape = [1, shape[0], shape[1], shape[2]];
        let (x, z) = (b.input(&shape), b.input(&shape));
        // The first leaves its operands to the second, which takes the place of one.
        b.binary(Arithmetic::Add, x, z);
        b.binary(Arithmetic::Add, x, z);
        in_place(b, Arithmetic::Add, &shape);
    }
}

fn products(b: &mut Builder) {
    for shape in [[8, 8, 16], [12, 12, 32], [5, 7, 9], [1, 1, 100], [16, 16, 16], [4, 4, 64]] {
        let shape = [1, shape[0], shape[1], shape[2]];
        let (x, z) = (b.input(&shape), b.input(&shape));
        // The first leaves its operands to the second, which takes the place of one.
        b.binary(Arithmetic::Mul, x, z);
        b.binary(Arithmetic::Mul, x, z);
        in_place(b, Arithmetic::Mul, &shape);
    }
}

fn movement(b: &mut Builder) {
    for (shape, axis) in [([8, 8, 16], 3), ([12, 12, 5], 3), ([6, 6, 32], 1), ([30, 1, 40], 1)] {
        let shape = [1, shape[0], shape[1], shape[2]];
        let (x, z) = (b.input(&shape), b.input(&shape));
        b.concatenation(x, z, axis);
    }
    for shape in [[8, 8, 16], [12, 12, 5], [24, 24, 3], [6, 6, 64]] {
        let x = b.input(&[1, shape[0], shape[1], shape[2]]);
        b.pad(x, &[[0, 0], [1, 1], [1, 1], [0, 0]]);
        b.pad(x, &[[0, 0], [0, 1], [0, 2], [0, 0]]);
    }
}

fn conversions(b: &mut Builder) {
    for length in [10, 128, 500, 1000] {
        let x = b.input(&[1, length]);
        b.dequantize(x);
        let x = b.input(&[1, length]);
        b.logistic(x);
        let x = b.input(&[1, length]);
        b.quantize(x);
        let x = b.float_input(&[1, length]);
        b.quantize(x);
    }
}

/// The rounding of models that are quantized here: all layers that have an output stage.
fn single(b: &mut Builder) {
    let x = b.input(&[1, 8, 8, 16]);
    b.conv(x, 16, square(3, 1), Relu);
    b.depthwise(x, square(3, 1), Relu);
    b.conv(x, 48, square(1, 1), Relu6);
    b.mean(x, &[1, 2]);
    let x = b.input(&[1, 12, 12, 3]);
    b.conv(x, 24, square(3, 2), Plain);
    let x = b.input(&[1, 25, 5, 8]);
    b.conv(x, 40, square(1, 1), Plain);
    b.depthwise(x, square(3, 1), Plain);
    b.mean(x, &[1, 2]);
    let x = b.input(&[1, 20, 20, 12]);
    b.depthwise(x, square(3, 2), Relu6);
    let z = b.input(&[1, 20, 20, 12]);
    b.binary(Arithmetic::Add, x, z);
    b.binary(Arithmetic::Mul, x, z);
    b.binary(Arithmetic::Mul, x, z);
    let x = b.input(&[1, 5, 5, 40]);
    let z = b.input(&[1, 5, 5, 40]);
    b.binary(Arithmetic::Add, x, z);
    b.binary(Arithmetic::Mul, x, z);
    b.binary(Arithmetic::Mul, x, z);
    in_place(b, Arithmetic::Add, &[1, 6, 6, 40]);
    in_place(b, Arithmetic::Add, &[1, 9, 10, 20]);
    in_place(b, Arithmetic::Mul, &[1, 6, 6, 40]);
    in_place(b, Arithmetic::Mul, &[1, 9, 10, 20]);
    let x = b.input(&[1, 64]);
    b.fully_connected(x, 100, Relu);
    let x = b.input(&[1, 200]);
    b.fully_connected(x, 10, Plain);
    let x = b.input(&[1, 16]);
    b.fully_connected(x, 100, Relu);
    let x = b.input(&[1, 40]);
    b.fully_connected(x, 10, Plain);
    let x = b.input(&[1, 8, 8, 3]);
    b.depthwise(x, square(3, 1), Relu);
    let x = b.input(&[1, 700]);
    b.quantize(x);
}

/// A network as they are, for what is around layers, and for code that kernels share.
fn network(b: &mut Builder) {
    let x = b.input(&[1, 20, 20, 3]);
    let x = b.conv(x, 8, square(3, 2), Relu6);
    let x = b.depthwise(x, square(3, 1), Relu6);
    let x = b.conv(x, 16, square(1, 1), Relu6);
    let x = b.depthwise(x, square(3, 2), Relu6);
    let x = b.conv(x, 32, square(1, 1), Relu6);
    let x = b.pool(x, inside([5, 5], 5), false);
    let x = b.reshape(x, &[1, 32]);
    let x = b.fully_connected(x, 7, Plain);
    b.softmax(x);
}

/// Another, with sums.
fn residual(b: &mut Builder) {
    let x = b.input(&[1, 16, 16, 2]);
    let x = b.conv(x, 16, square(3, 1), Relu);
    let y = b.conv(x, 16, square(3, 1), Relu);
    let x = b.binary(Arithmetic::Add, x, y);
    let y = b.conv(x, 24, square(3, 2), Plain);
    let x = b.conv(x, 24, square(1, 2), Plain);
    let x = b.binary(Arithmetic::Add, x, y);
    let x = b.pool(x, inside([2, 2], 2), true);
    let x = b.reshape(x, &[1, 384]);
    let x = b.fully_connected(x, 20, Relu);
    let x = b.fully_connected(x, 5, Plain);
    b.softmax(x);
}

/// One of many layers, for what calls take.
fn deep_network(b: &mut Builder) {
    let x = b.input(&[1, 24, 24, 1]);
    let mut x = b.conv(x, 8, square(3, 2), Relu);
    for (channels, stride) in [(16, 1), (24, 2), (24, 1), (24, 1), (40, 2), (40, 1), (64, 1)] {
        x = b.depthwise(x, square(3, stride), Relu);
        x = b.conv(x, channels, square(1, 1), Relu);
    }
    let x = b.pool(x, inside([3, 3], 3), false);
    let x = b.reshape(x, &[1, 64]);
    let x = b.fully_connected(x, 4, Plain);
    b.softmax(x);
}
