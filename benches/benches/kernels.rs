//! Kernels of every level on layers of real models, beside what its instructions reach with nothing
//! else to do (`peak`). Elements are multiply-accumulates.
//!
//! `cargo bench -p systole-benches --bench kernels -- avx2/int8/v2` runs those with such a name.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use systole_benches::shapes::{Kind, Layer, layers};
use systole_kernels::{
    arch::{self, Kernels, Level, peak},
    conv2d::{Conv2dF32, Conv2dI8},
    depthwise_conv2d::{DepthwiseConv2dF32, DepthwiseConv2dI8},
    pool::ActivationRange,
    requantize::{FixedScales, Output, Requantize},
    tiles::{self, Tiled, Tiles},
    tiles_f32::{self, TiledF32},
    winograd::{self, Winograd},
};

/// Bytes that differ, the same in every run.
fn bytes(count: usize) -> Vec<i8> {
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as i8
    };
    (0..count).map(|_| next()).collect()
}

fn floats(count: usize) -> Vec<f32> {
    bytes(count).into_iter().map(|x| f32::from(x) / 128.0).collect()
}

/// Elements that begin at a line of the cache, as constants of files do.
struct Aligned<T> {
    elements: Vec<T>,
    first: usize,
    count: usize,
}

impl<T: Copy> Aligned<T> {
    fn new(zero: T, count: usize) -> Self {
        const LINE: usize = 64;
        let elements = vec![zero; count + LINE];
        let first = elements.as_ptr().align_offset(LINE);
        Self { elements, first, count }
    }

    fn all(&mut self) -> &mut [T] {
        &mut self.elements[self.first..][..self.count]
    }
}

/// Runs so many rounds of a level's instructions, and says how many multiply-accumulates those are.
type Products = fn(Level, u32) -> Option<u64>;

fn peaks(c: &mut Criterion) {
    const ROUNDS: u32 = 100_000;
    let kinds: [(&str, Products); 2] = [("int8", peak::int8_products), ("f32", peak::f32_products)];
    for kernels in arch::available() {
        let level = kernels.level;
        for (kind, products) in kinds {
            let Some(macs) = products(level, ROUNDS) else { continue };
            let mut group = c.benchmark_group(format!("{}/{kind}", level.name()));
            group.throughput(Throughput::Elements(macs));
            group.bench_function("peak", |bencher| bencher.iter(|| products(level, ROUNDS)));
        }
    }
}

fn int8(c: &mut Criterion) {
    for kernels in arch::available().filter(|kernels| kernels.tiles.is_some()) {
        let mut group = c.benchmark_group(format!("{}/int8", kernels.level.name()));
        for layer in layers() {
            group.throughput(Throughput::Elements(layer.macs()));
            group.bench_function(&layer.name, |bencher| {
                let mut run = int8_layer(kernels, &layer);
                bencher.iter(&mut run);
            });
        }
    }
}

/// Convolutions of 3×3 with transformed weights, whether it pays or not: beside those in tiles.
fn winograd(c: &mut Criterion) {
    for kernels in arch::available().filter(|kernels| kernels.tiles.is_some()) {
        let mut group = c.benchmark_group(format!("{}/winograd", kernels.level.name()));
        for layer in layers() {
            let geometry = winograd::Geometry {
                input: layer.input,
                output: layer.output,
                kernel: layer.kernel,
                window: layer.window,
            };
            if layer.kind != Kind::Conv2d || !winograd::can(&geometry) {
                continue;
            }
            group.throughput(Throughput::Elements(layer.macs()));
            group.bench_function(&layer.name, |bencher| {
                let mut run = winograd_layer(kernels, &layer);
                bencher.iter(&mut run);
            });
        }
    }
}

/// [`int8_layer`] with transformed weights.
fn winograd_layer<'k>(kernels: &'k Kernels, layer: &Layer) -> Box<dyn FnMut() + 'k> {
    let Layer { input, output, kernel, window, .. } = layer.clone();
    let (depth, channels) = (input[3], output[3]);
    let (x, mut y) = (bytes(input.iter().product()), vec![0; output.iter().product()]);
    let scales = Scales::new(channels);
    let mut weights = Aligned::new(0_i16, winograd::len(channels, depth).expect("it is small"));
    let plain = bytes(layer.filter() * channels);
    winograd::pack(&plain, 0, depth, weights.all()).expect("weights fit");
    Box::new(move || {
        let layer = Conv2dI8 {
            input,
            output,
            kernel,
            window,
            weights: &[],
            weights_zero_point: 0,
            input_zero_point: -128,
            bias: &scales.bias,
            requantize: scales.requantize(),
            output_stage: OUTPUT_STAGE,
        };
        let done =
            (kernels.conv2d_winograd_i8)(&Winograd { weights: weights.all(), layer }, &x, &mut y);
        done.expect("shapes fit");
    })
}

/// Scales per channel, with the rounding of LiteRT's kernels, and biases.
struct Scales {
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<i8>,
}

impl Scales {
    fn new(channels: usize) -> Self {
        Self {
            bias: (0..channels as i32).map(|channel| channel * 37 % 1000).collect(),
            multiplier: (0..channels as i32).map(|c| (1 << 30) + c * 1_000_003).collect(),
            shift: (0..channels).map(|channel| -6 - (channel % 3) as i8).collect(),
        }
    }

    fn requantize(&self) -> Requantize<'_> {
        Requantize::Double(FixedScales { multiplier: &self.multiplier, shift: &self.shift })
    }
}

/// RELU.
const OUTPUT_STAGE: Output =
    Output { output_offset: -128, activation_min: -128, activation_max: 127 };

/// A layer per channel, with the rounding of LiteRT's kernels and RELU.
fn int8_layer<'k>(kernels: &'k Kernels, layer: &Layer) -> Box<dyn FnMut() + 'k> {
    let Layer { kind, input, output, kernel, window, .. } = layer.clone();
    let channels = output[3];
    let (x, mut y) = (bytes(input.iter().product()), vec![0; output.iter().product()]);
    let weights = bytes(layer.filter() * channels);
    let scales = Scales::new(channels);
    let mut tiles = Aligned::new(0_i8, 0);
    if kind == Kind::Conv2d {
        let activations = kernels.tiles.expect("levels without are left out");
        let bytes = tiles::bytes(activations, channels, layer.filter()).expect("it is small");
        tiles = Aligned::new(0_i8, bytes);
        tiles::pack(activations, &weights, layer.filter(), tiles.all()).expect("rows are whole");
    }
    Box::new(move || {
        let (bias, requantize, output_stage) = (&scales.bias, scales.requantize(), OUTPUT_STAGE);
        let (weights_zero_point, input_zero_point) = (0, -128);
        let done = match kind {
            Kind::Conv2d => {
                let activations = kernels.tiles.expect("levels without are left out");
                let weights = Tiles { tiles: tiles.all(), activations };
                let layer = Conv2dI8 {
                    input,
                    output,
                    kernel,
                    window,
                    weights: &[],
                    weights_zero_point,
                    input_zero_point,
                    bias,
                    requantize,
                    output_stage,
                };
                (kernels.conv2d_tiled_i8)(&Tiled { weights, layer }, &x, &mut y)
            }
            Kind::DepthwiseConv2d => {
                let layer = DepthwiseConv2dI8 {
                    input,
                    output,
                    kernel,
                    window,
                    weights: &weights,
                    weights_zero_point,
                    input_zero_point,
                    bias,
                    requantize,
                    output_stage,
                };
                (kernels.depthwise_conv2d_i8)(&layer, &x, &mut y)
            }
        };
        done.expect("shapes fit");
    })
}

fn float(c: &mut Criterion) {
    for kernels in arch::available().filter(|kernels| kernels.float_tiles) {
        let mut group = c.benchmark_group(format!("{}/f32", kernels.level.name()));
        for layer in layers() {
            group.throughput(Throughput::Elements(layer.macs()));
            group.bench_function(&layer.name, |bencher| {
                let mut run = float_layer(kernels, &layer);
                bencher.iter(&mut run);
            });
        }
    }
}

/// A layer with RELU.
fn float_layer<'k>(kernels: &'k Kernels, layer: &Layer) -> Box<dyn FnMut() + 'k> {
    let Layer { kind, input, output, kernel, window, .. } = layer.clone();
    let channels = output[3];
    let (x, mut y) = (floats(input.iter().product()), vec![0.0; output.iter().product()]);
    let (weights, bias) = (floats(layer.filter() * channels), floats(channels));
    let activation = ActivationRange { min: 0.0, max: f32::INFINITY };
    let mut tiles = Aligned::new(0.0_f32, 0);
    if kind == Kind::Conv2d {
        let len = tiles_f32::len(channels, layer.filter()).expect("it is small");
        tiles = Aligned::new(0.0, len);
        tiles_f32::pack(&weights, layer.filter(), tiles.all()).expect("rows are whole");
    }
    Box::new(move || {
        let done = match kind {
            Kind::Conv2d => {
                let layer = Conv2dF32 {
                    input,
                    output,
                    kernel,
                    window,
                    weights: &[],
                    bias: &bias,
                    activation,
                };
                (kernels.conv2d_tiled_f32)(&TiledF32 { tiles: tiles.all(), layer }, &x, &mut y)
            }
            Kind::DepthwiseConv2d => {
                let weights = &weights;
                let layer = DepthwiseConv2dF32 {
                    input,
                    output,
                    kernel,
                    window,
                    weights,
                    bias: &bias,
                    activation,
                };
                (kernels.depthwise_conv2d_f32)(&layer, &x, &mut y)
            }
        };
        done.expect("shapes fit");
    })
}

criterion_group!(benches, peaks, int8, winograd, float);
criterion_main!(benches);
