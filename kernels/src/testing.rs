//! What the tests of several operators share: direct definitions and random cases.
//!
//! The definitions work on real numbers `q − zero_point` in `f64`, which holds every sum of the
//! tests exactly, and know nothing of folding, blocks or borders.

pub(crate) mod shapes;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::Mismatch;
use crate::arch::Level;
use crate::convolve::Geometry;
use crate::depthwise::Multiply;
use crate::hybrid::{Activations, HybridOutput};
use crate::pool::ActivationRange;
use crate::requantize::{Accumulate16, FixedScales, Output, Requantize, RequantizeWide};
use crate::window::Window;

/// Cases of a test that holds a level's kernel against the definition: `SYSTOLE_CASES`, or a few.
pub(crate) fn cases() -> u32 {
    std::env::var("SYSTOLE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200)
}

/// Tests `claim` on so many cases, and says which level it was.
pub(crate) fn check<S: Strategy>(
    level: Level,
    cases: u32,
    strategy: S,
    claim: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    if let Err(error) = TestRunner::new(config).run(&strategy, claim) {
        panic!("{}: {error}", level.name());
    }
    std::println!("{}: {cases} cases", level.name());
}

/// Pseudo-random values of a test, from a seed (xorshift).
pub(crate) struct Values(u64);

impl Values {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    /// `len` values in `min..=max`: one seed in four gives only the two extremes, one in sixteen the
    /// least everywhere, and one the largest.
    pub(crate) fn integers(&mut self, len: usize, min: i64, max: i64) -> Vec<i64> {
        let kind = self.next() % 16;
        let span = (max - min) as u64 + 1;
        (0..len)
            .map(|_| match (kind, self.next()) {
                (0..4, bits) => [min, max][(bits % 2) as usize],
                (4, _) => min,
                (5, _) => max,
                (_, bits) => min + (bits % span) as i64,
            })
            .collect()
    }

    pub(crate) fn i8s(&mut self, len: usize) -> Vec<i8> {
        self.integers(len, -128, 127).into_iter().map(|v| v as i8).collect()
    }

    pub(crate) fn i16s(&mut self, len: usize) -> Vec<i16> {
        self.integers(len, -32768, 32767).into_iter().map(|v| v as i16).collect()
    }

    /// `len` values in `-1..=1`.
    pub(crate) fn f32s(&mut self, len: usize) -> Vec<f32> {
        let values = self.integers(len, -(1 << 20), 1 << 20);
        values.into_iter().map(|v| v as f32 / (1 << 20) as f32).collect()
    }

    /// `len` values of which, for one seed in four, some, for another, most are unusual: zeros of
    /// both signs, infinities, NaN, numbers so small that products underflow or so large that sums
    /// overflow.
    pub(crate) fn floats(&mut self, len: usize) -> Vec<f32> {
        const UNUSUAL: [u32; 14] = [
            0x0000_0000,
            0x8000_0000,
            0x7F80_0000,
            0xFF80_0000,
            0x7FC0_0000,
            0x0000_0001,
            0x8000_0001,
            0x007F_FFFF,
            0x0080_0000,
            0x9F80_0001,
            0x2000_0000,
            0x7F7F_FFFF,
            0xFF7F_FFFF,
            0x5F00_0000,
        ];
        let rare = match self.next() % 4 {
            0 => 64,
            1 => 2,
            _ => u64::MAX,
        };
        // Neither NaN nor infinities everywhere, or all outputs would be NaN.
        let kinds = if self.next().is_multiple_of(2) { 14 } else { 3 };
        (0..len)
            .map(|_| match self.next() {
                bits if bits.is_multiple_of(rare) => {
                    f32::from_bits(UNUSUAL[((bits / rare) % kinds) as usize])
                }
                // 24 bits that matter, so that products and sums are rounded.
                bits => (bits as i32 as f32) / 2_147_483_648.0,
            })
            .collect()
    }

    /// `len` bits of f16, all kinds of them.
    pub(crate) fn halves(&mut self, len: usize) -> Vec<u16> {
        // One seed in two has ordinary numbers alone: |x| in 2⁻¹⁰..2.
        let all = self.next().is_multiple_of(2);
        (0..len)
            .map(|_| match self.next() as u16 {
                bits if all => bits,
                bits => (bits & 0x9FFF) + 0x1400 + (bits & 0x0400),
            })
            .collect()
    }

    /// A range of a fused activation: none, those that are common, or a random one.
    pub(crate) fn activation(&mut self) -> ActivationRange<f32> {
        let [min, max] = match self.next() % 5 {
            0 => [f32::MIN, f32::MAX],
            1 => [f32::NEG_INFINITY, f32::INFINITY],
            2 => [0.0, f32::MAX],
            3 => [0.0, 6.0],
            _ => [-0.5, 0.25],
        };
        ActivationRange { min, max }
    }

    pub(crate) fn i32s(&mut self, len: usize, min: i64, max: i64) -> Vec<i32> {
        self.integers(len, min, max).into_iter().map(|v| v as i32).collect()
    }
}

/// Whether floats are equal to the last bit, but that one NaN is as good as another: IEEE 754 leaves
/// open which of an operation's NaN it returns, processors and compilers choose differently, and no
/// kernel looks into one.
pub(crate) fn same_floats(a: &[f32], b: &[f32]) -> Result<(), TestCaseError> {
    prop_assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        prop_assert!(same, "at {}: {:e} for {:e}", i, a, b);
    }
    Ok(())
}

/// f32 with products and sums that are rounded once.
#[derive(Clone, Copy)]
pub(crate) struct Fused;

impl Multiply for Fused {
    type X = f32;
    type W = f32;
    type Acc = f32;

    fn multiply_add(self, acc: f32, x: f32, w: f32) -> f32 {
        x.mul_add(w, acc)
    }
}

/// That a level's outputs are the definition's, `expected`; or, of levels that fuse, what `fused` makes of
/// memory of the same length.
pub(crate) fn same_or_fused(
    level: Level,
    y: &[f32],
    expected: &[f32],
    fused: impl FnOnce(&mut [f32]) -> Result<(), Mismatch>,
) -> Result<(), TestCaseError> {
    if !level.fuses() || same_floats(y, expected).is_ok() {
        return same_floats(y, expected);
    }
    let mut expected = vec![2.0; y.len()];
    fused(&mut expected).unwrap();
    same_floats(y, &expected)
}

/// `q − zero_point` for each value.
pub(crate) fn real<T: Copy + Into<f64>>(q: &[T], zero_point: i32) -> Vec<f64> {
    q.iter().map(|&q| q.into() - f64::from(zero_point)).collect()
}

fn at<T: Copy>(data: &[T], shape: [usize; 4], [a, b, c, d]: [usize; 4]) -> T {
    data[((a * shape[1] + b) * shape[2] + c) * shape[3] + d]
}

/// Input position of tap `k` of output position `o`, if it is inside.
fn position(
    o: usize,
    stride: usize,
    k: usize,
    dilation: usize,
    pad: usize,
    size: usize,
) -> Option<usize> {
    (o * stride + k * dilation).checked_sub(pad).filter(|&position| position < size)
}

/// Every output index `[n, y, x, channel]` of `shape` in order.
pub(crate) fn indices(shape: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    let [_, h, w, c] = shape;
    (0..shape.iter().product())
        .map(move |i: usize| [i / c / w / h, i / c / w % h, i / c % w, i % c])
}

/// The sums of a convolution with OHWI weights `w`, of which each filter has `depth` channels.
pub(crate) fn conv2d(g: &Geometry, depth: usize, x: &[f64], w: &[f64]) -> Vec<f64> {
    let group = g.output[3] / (g.input[3] / depth);
    let filters = [g.output[3], g.kernel[0], g.kernel[1], depth];
    windows(g, |n, channel, y, x_, ky, kx| {
        let first = channel / group * depth;
        (0..depth)
            .map(|c| at(x, g.input, [n, y, x_, first + c]) * at(w, filters, [channel, ky, kx, c]))
            .sum()
    })
}

/// The sums of a depthwise convolution with 1HWC weights `w`.
pub(crate) fn depthwise_conv2d(g: &Geometry, x: &[f64], w: &[f64]) -> Vec<f64> {
    let multiplier = g.output[3] / g.input[3];
    let filters = [1, g.kernel[0], g.kernel[1], g.output[3]];
    windows(g, |n, channel, y, x_, ky, kx| {
        at(x, g.input, [n, y, x_, channel / multiplier]) * at(w, filters, [0, ky, kx, channel])
    })
}

/// Sums `tap(n, channel, in_y, in_x, ky, kx)` over the taps inside, for each output.
fn windows(
    g: &Geometry,
    tap: impl Fn(usize, usize, usize, usize, usize, usize) -> f64,
) -> Vec<f64> {
    let Window { stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left } = g.window;
    let sum = |[n, y, x, channel]: [usize; 4]| {
        let mut sum = 0.0;
        for ky in 0..g.kernel[0] {
            for kx in 0..g.kernel[1] {
                let in_y = position(y, stride_h, ky, dilation_h, pad_top, g.input[1]);
                let in_x = position(x, stride_w, kx, dilation_w, pad_left, g.input[2]);
                if let (Some(in_y), Some(in_x)) = (in_y, in_x) {
                    sum += tap(n, channel, in_y, in_x, ky, kx);
                }
            }
        }
        sum
    };
    indices(g.output).map(sum).collect()
}

/// `bias − input_zero_point × Σ (w − weights_zero_point)`, where channel `o` of `channels` owns the
/// weights for which `owner` says so.
pub(crate) fn fold(
    bias: &[i32],
    input_zero_point: i32,
    w: &[f64],
    owner: impl Fn(usize) -> usize,
) -> Vec<i32> {
    let mut sums = std::vec![0.0; bias.len()];
    w.iter().enumerate().for_each(|(i, w)| sums[owner(i)] += w);
    let folded = |(&bias, sum): (&i32, f64)| bias - input_zero_point * sum as i32;
    bias.iter().zip(sums).map(folded).collect()
}

/// Random windows over random images. The channels are `[1, 1]`: the operator's test sets them.
pub(crate) fn geometry() -> impl Strategy<Value = Geometry> {
    let window = (1..4_usize, 1..4_usize, 1..4_usize, 1..4_usize, 0..5_usize, 0..5_usize);
    let sizes =
        (1..3_usize, 1..9_usize, 1..9_usize, 1..7_usize, 1..7_usize, 1..5_usize, 1..5_usize);
    // One window in three is dense and unpadded, the fast way through most kernels.
    (sizes, window, 0..3).prop_map(|((n, h, w, out_h, out_w, kh, kw), s, kind)| Geometry {
        input: [n, h, w, 1],
        output: [n, out_h, out_w, 1],
        kernel: [kh, kw],
        window: match kind {
            0 => Window { dilation_h: s.2, ..Window::UNIT },
            _ => Window {
                stride_h: s.0,
                stride_w: s.1,
                dilation_h: s.2,
                dilation_w: s.3,
                pad_top: s.4,
                pad_left: s.5,
            },
        },
    })
}

/// Output scales of a test, for `channels` or for all, under each rounding: as those of most models,
/// some of 1/2 and more, any that a file may have, or only extremes.
#[derive(Debug)]
pub(crate) struct Scales {
    multiplier: Vec<i32>,
    shift: Vec<i8>,
    f32s: Vec<f32>,
    f64s: Vec<f64>,
}

impl Scales {
    pub(crate) fn new(values: &mut Values, channels: usize) -> Self {
        let len = if values.next().is_multiple_of(2) { 1 } else { channels };
        let kind = values.next() % 8;
        let [least, most] = match kind {
            0..4 => [-12, -1],
            4 => [-12, 3],
            _ => [-31, 30],
        };
        let mut multiplier = values.i32s(len, 1 << 30, i64::from(i32::MAX));
        let shift = values.integers(len, least, most);
        let shift: Vec<i8> = shift.into_iter().map(|v| v as i8).collect();
        if kind >= 6 {
            for multiplier in &mut multiplier {
                *multiplier = [0, 1 << 30, i32::MAX][(values.next() % 3) as usize];
            }
        }
        let scale = |(&m, &s): (&i32, &i8)| f64::from(m) * libm::exp2(f64::from(s) - 31.0);
        let mut f64s: Vec<f64> = multiplier.iter().zip(&shift).map(scale).collect();
        if kind == 7 {
            let unusual = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, -0.5, 1e-40, 3e38];
            f64s[values.next() as usize % len] = unusual[(values.next() % 7) as usize];
        }
        let f32s = f64s.iter().map(|&s| s as f32).collect();
        Self { multiplier, shift, f32s, f64s }
    }

    pub(crate) fn all(&self) -> [Requantize<'_>; 5] {
        let fixed = FixedScales { multiplier: &self.multiplier, shift: &self.shift };
        [
            Requantize::Double(fixed),
            Requantize::DoubleUp(fixed),
            Requantize::Single(fixed),
            Requantize::Float32(&self.f32s),
            Requantize::Float64(&self.f64s),
        ]
    }

    pub(crate) fn wide(&self) -> [RequantizeWide<'_>; 2] {
        let fixed = FixedScales { multiplier: &self.multiplier, shift: &self.shift };
        [RequantizeWide::Fixed(fixed), RequantizeWide::Float64(&self.f64s)]
    }
}

/// A Q0.31 multiplier and a shift: any that a file may have, or extremes.
pub(crate) fn any_scale(values: &mut Values) -> (i32, i32) {
    let multiplier = match values.next() % 4 {
        0 => [0, 1 << 30, i32::MAX][(values.next() % 3) as usize],
        1 => values.i32s(1, 0, i64::from(i32::MAX))[0],
        _ => values.i32s(1, 1 << 30, i64::from(i32::MAX))[0],
    };
    (multiplier, values.i32s(1, -31, 30)[0])
}

/// A random output stage for int8, of the whole range as often as not.
pub(crate) fn output_stage(values: &mut Values) -> Output {
    let whole = values.next().is_multiple_of(2);
    let bounds = if whole { std::vec![-128, 127] } else { values.integers(2, -128, 127) };
    Output {
        output_offset: values.i32s(1, -128, 127)[0],
        activation_min: *bounds.iter().min().unwrap() as i32,
        activation_max: *bounds.iter().max().unwrap() as i32,
    }
}

/// The accumulators `sums` + `bias` through `requantize` and the output stage.
pub(crate) fn requantized(
    sums: &[f64],
    bias: &[i32],
    requantize: Requantize<'_>,
    output: &Output,
) -> Vec<i32> {
    let mut channels = (0..bias.len()).cycle();
    let one = |&sum: &f64| {
        let channel = channels.next().unwrap();
        let acc = sum as i32 + bias[channel];
        let scaled = crate::requantize::Rescale::rescale(&requantize, acc, channel);
        scaled
            .saturating_add(output.output_offset)
            .clamp(output.activation_min, output.activation_max)
    };
    sums.iter().map(one).collect()
}

/// A positive real scale as a Q0.31 multiplier and a shift.
pub(crate) fn multiplier(real: f64) -> (i32, i32) {
    let (q, shift) = libm::frexp(real);
    match libm::round(q * 2_147_483_648.0) as i64 {
        0x8000_0000 => (1 << 30, shift + 1),
        q => (q as i32, shift),
    }
}

/// Calls `run` under each way to accumulate int16 × int8 and holds its result against `sums`.
pub(crate) fn requantized_16(
    values: &mut Values,
    channels: usize,
    sums: &[f64],
    mut run: impl FnMut(Accumulate16<'_>, Output) -> Vec<i16>,
) -> Result<(), TestCaseError> {
    let output = Output { output_offset: 0, activation_min: -30_000, activation_max: 32_767 };
    let scales = Scales::new(values, channels);
    let bias = values.i32s(channels, -1 << 24, 1 << 24);
    for requantize in scales.all() {
        let y = run(Accumulate16::Narrow(&bias, requantize), output);
        let y: Vec<i32> = y.into_iter().map(i32::from).collect();
        prop_assert_eq!(y, requantized(sums, &bias, requantize, &output));
    }
    let bias = values.integers(channels, -1 << 34, 1 << 34);
    for requantize in scales.wide() {
        let y = run(Accumulate16::Wide(&bias, requantize), output);
        prop_assert_eq!(y.len(), sums.len());
        for (i, (y, &sum)) in y.into_iter().zip(sums).enumerate() {
            let channel = i % channels;
            let wanted = requantize.rescale(sum as i64 + bias[channel], channel);
            prop_assert_eq!(i32::from(y), wanted.clamp(-30_000, 32_767));
        }
    }
    Ok(())
}

/// Runs a hybrid operator and holds it against `sums`, a definition of the operator's sums from real
/// activations and weights. Each of `images` is quantized by itself.
pub(crate) fn hybrid(
    values: &mut Values,
    images: usize,
    x: &[f32],
    weight_sums: &[i32],
    sums: impl Fn(&[f64]) -> Vec<f64>,
    mut run: impl FnMut(HybridOutput<'_>) -> Vec<f32>,
) -> Result<(), TestCaseError> {
    let channels = weight_sums.len();
    let len = if values.next().is_multiple_of(2) { 1 } else { channels };
    let weight_scales: Vec<f32> = values.f32s(len).into_iter().map(|s| s.abs() + 0.01).collect();
    let bias = values.f32s(channels);
    for asymmetric in [false, true] {
        let activation = ActivationRange { min: -20.0, max: 30.0 };
        let p = HybridOutput {
            weight_sums,
            weight_scales: &weight_scales,
            bias: &bias,
            asymmetric,
            activation,
        };
        let mut real = Vec::new();
        for x in x.chunks(x.len() / images) {
            let mut q = std::vec![0; x.len()];
            let Activations { scale, zero_point } = p.quantize(x, &mut q);
            real.extend(
                q.iter()
                    .map(|&q| f64::from(q) - f64::from(zero_point))
                    .map(|q| q * f64::from(scale)),
            );
        }
        let y = run(p);
        let sums = sums(&real);
        prop_assert_eq!(y.len(), sums.len());
        for (i, (y, sum)) in y.into_iter().zip(sums).enumerate() {
            let scale = f64::from(weight_scales[i % channels % len]);
            let wanted = (sum * scale + f64::from(bias[i % channels])).clamp(-20.0, 30.0);
            let near =
                (f64::from(y) - wanted).abs() <= 1e-5 * (1.0 + wanted.abs() + (sum * scale).abs());
            prop_assert!(near, "{} for {}", y, wanted);
        }
    }
    Ok(())
}
