//! Holds the kernels of the DSP extension and of Helium against the portable ones: dot products over random runs of
//! all small lengths, at all alignments, beside each other and not, with both extremes of int8, sums, and
//! random layers against definitions that have no fast form on these cores.
#![no_std]
#![no_main]

use systole_bench_firmware::{host, machine::entry};
use systole_kernels::{
    Shape,
    add::{Add, InputScale, add, add_i8, sub, sub_i8},
    arch,
    broadcast::{Operand, Walk},
    conv2d::{Conv2dI8, Windows, conv2d_i8, conv2d_large_i8, conv2d_pointwise_i8},
    depthwise_conv2d::{DepthwiseConv2dI8, depthwise_conv2d_i8, depthwise_conv2d_multiplied_i8},
    dot,
    fully_connected::{FullyConnectedI8, fully_connected_long_i8},
    pairs::{
        self, Paired, conv2d_paired_i8, conv2d_pointwise_paired_i8, fully_connected_paired_i8,
    },
    requantize::{Double, DoubleUp, FixedScales, Output, Requantize, Rounding, Single},
    tiles::{self, Activations, Tiled, Tiles, conv2d_tiled_i8},
    window::Window,
};

/// Cases that are tried.
const CASES: u32 = 20_000;
/// Layers of each kind that are tried.
const LAYERS: u32 = 400;
/// Activations, weights and outputs that a layer may have.
const MOST: usize = 6000;
/// Channels that it may have.
const CHANNELS: usize = 48;
/// Runs are shorter than this: a few long steps, short ones, and a rest.
const LENGTHS: usize = 75;
/// Room for two runs from any of the first places.
const ROOM: usize = 2 * LENGTHS + 8;

#[entry]
fn main() -> ! {
    let mut random = Random(12345);
    let mut differing = 0;
    for _ in 0..CASES {
        let (x, w) = (random.elements(), random.elements());
        let len = random.below(LENGTHS);
        let acc = [[random.next() as i32, random.next() as i32], [random.next() as i32, 0]];
        let x = random.runs(&x, len);
        let w = random.runs(&w, len);
        let same = arch::dot::dots_i8(acc, x, w) == dot::dots_i8(acc, x, w)
            && arch::dot::dot_i8(acc[0], x[0], w) == dot::dot_i8(acc[0], x[0], w);
        differing += u32::from(!same);
    }
    let mut memory = Memory::ZERO;
    for _ in 0..LAYERS {
        differing += u32::from(!convolution(&mut random, &mut memory));
        differing += u32::from(!depthwise(&mut random, &mut memory));
        differing += u32::from(!fully_connected(&mut random, &mut memory));
        let sums = match random.below(3) {
            0 => sum::<Double>(&mut random, &mut memory),
            1 => sum::<DoubleUp>(&mut random, &mut memory),
            _ => sum::<Single>(&mut random, &mut memory),
        };
        differing += u32::from(!sums);
    }
    host::text("cases=0x");
    host::hex(CASES + 4 * LAYERS);
    host::text(" differing=0x");
    host::hex(differing);
    host::text("\n");
    host::exit(differing == 0)
}

/// What a layer is made of, and its outputs.
struct Memory {
    x: [i8; MOST],
    weights: [i8; MOST],
    tiles: [i8; 4 * MOST],
    pairs: [i16; 4 * MOST + 1],
    bias: [i32; CHANNELS],
    multiplier: [i32; CHANNELS],
    shift: [i8; CHANNELS],
    y: [i8; MOST],
    expected: [i8; MOST],
}

impl Memory {
    const ZERO: Self = Self {
        x: [0; MOST],
        weights: [0; MOST],
        tiles: [0; 4 * MOST],
        pairs: [0; 4 * MOST + 1],
        bias: [0; CHANNELS],
        multiplier: [0; CHANNELS],
        shift: [0; CHANNELS],
        y: [0; MOST],
        expected: [0; MOST],
    };

    /// Random numbers: of one layer in eight some scales and biases are not those of the fast way.
    fn fill(&mut self, random: &mut Random) {
        let rare = random.below(8) == 0;
        self.x.iter_mut().chain(&mut self.weights).for_each(|byte| *byte = random.next() as i8);
        self.bias
            .iter_mut()
            .for_each(|bias| *bias = random.next() as i32 >> if rare { 0 } else { 14 });
        self.multiplier.iter_mut().for_each(|it| *it = (random.next() >> 2 | 1 << 30) as i32);
        let least = if rare { 3 } else { -1 };
        self.shift.iter_mut().for_each(|shift| *shift = least - random.below(12) as i8);
        self.y.fill(1);
        self.expected.fill(2);
    }
}

/// A rounding, and how many scales there are.
fn requantize<'a>(
    random: &mut Random,
    multiplier: &'a [i32],
    shift: &'a [i8],
    channels: usize,
) -> Requantize<'a> {
    let count = if random.below(4) == 0 { 1 } else { channels };
    let scales = FixedScales { multiplier: &multiplier[..count], shift: &shift[..count] };
    match random.below(3) {
        0 => Requantize::Double(scales),
        1 => Requantize::DoubleUp(scales),
        _ => Requantize::Single(scales),
    }
}

fn output_stage(random: &mut Random) -> Output {
    let output_offset = random.below(256) as i32 - 128;
    match random.below(2) {
        0 => Output { output_offset, activation_min: -128, activation_max: 127 },
        _ => Output { output_offset, activation_min: -100, activation_max: 90 },
    }
}

/// A window, and the sizes of an image and of what comes out of it.
fn window(random: &mut Random, kernel: [usize; 2]) -> (Window, [usize; 2], [usize; 2]) {
    let [stride_h, stride_w] = [1 + random.below(2), 1 + random.below(3)];
    let [dilation_h, dilation_w] = [1 + random.below(5) / 4, 1 + random.below(5) / 4];
    let [pad_top, pad_left] = kernel.map(|size| random.below(size));
    let output = [1 + random.below(5), 1 + random.below(18)];
    let extent = |kernel: usize, dilation: usize, stride: usize, output: usize, pad: usize| {
        ((kernel - 1) * dilation + 1 + (output - 1) * stride).saturating_sub(pad + pad / 2).max(1)
    };
    let image = [
        extent(kernel[0], dilation_h, stride_h, output[0], pad_top),
        extent(kernel[1], dilation_w, stride_w, output[1], pad_left),
    ];
    let window = Window { stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left };
    (window, image, output)
}

/// `weights`, rows of `depth`, in pairs: one time in eight not at a word.
fn paired<'a>(
    random: &mut Random,
    memory: &'a mut [i16],
    weights: &[i8],
    depth: usize,
) -> Option<&'a [i16]> {
    let outputs = weights.len() / depth;
    let start = usize::from(random.below(8) == 0);
    let to = memory.get_mut(start..)?.get_mut(..pairs::len(outputs, depth)?)?;
    pairs::pack(weights, depth, to).ok()?;
    Some(to)
}

/// Whether a convolution is what one with weights in tiles is, with plain weights and with pairs.
fn convolution(random: &mut Random, memory: &mut Memory) -> bool {
    memory.fill(random);
    let kernel = [1 + random.below(4), 1 + random.below(4)];
    let (window, [height, width], [out_h, out_w]) = window(random, kernel);
    let depth = 1 + random.below(40);
    let channels = 1 + random.below(CHANNELS - 1);
    let filter = kernel[0] * kernel[1] * depth;
    let (x, y) = (height * width * depth, out_h * out_w * channels);
    if x > MOST || y > MOST || filter * channels > MOST {
        return true;
    }
    let bytes = tiles::bytes(Activations::Signed, channels, filter).unwrap_or(usize::MAX);
    let Some(packed) = memory.tiles.get_mut(..bytes) else { return true };
    let weights = &memory.weights[..filter * channels];
    let layer = Conv2dI8 {
        input: [1, height, width, depth],
        output: [1, out_h, out_w, channels],
        kernel,
        window,
        weights,
        weights_zero_point: if random.below(4) == 0 { 3 } else { 0 },
        input_zero_point: random.below(256) as i32 - 128,
        bias: &memory.bias[..channels],
        requantize: requantize(random, &memory.multiplier, &memory.shift, channels),
        output_stage: output_stage(random),
    };
    let packs = tiles::pack(Activations::Signed, weights, filter, packed).is_ok();
    let tiles = Tiles { tiles: packed, activations: Activations::Signed };
    let tiled = Tiled { weights: tiles, layer: Conv2dI8 { weights: &[], ..layer } };
    let x = &memory.x[..x];
    let (result, expected) = (&mut memory.y[..y], &mut memory.expected[..y]);
    let convolved = match layer.windows() {
        Some(Windows::Adjacent) => conv2d_pointwise_i8(&layer, x, result),
        Some(Windows::Small) if random.below(4) != 0 => conv2d_i8(&layer, x, result),
        _ => conv2d_large_i8(&layer, x, result),
    };
    let plain = packs
        && convolved.is_ok()
        && conv2d_tiled_i8(&tiled, x, expected).is_ok()
        && result == expected;
    let Some(weights) = paired(random, &mut memory.pairs, weights, filter) else { return false };
    let paired = Paired { weights, layer: Conv2dI8 { weights: &[], ..layer } };
    result.fill(3);
    let convolved = match layer.windows() {
        Some(Windows::Adjacent) => conv2d_pointwise_paired_i8(&paired, x, result),
        _ => conv2d_paired_i8(&paired, x, result),
    };
    plain && convolved.is_ok() && result == expected
}

/// Whether a depthwise convolution is what one is that may have several outputs for a channel.
fn depthwise(random: &mut Random, memory: &mut Memory) -> bool {
    memory.fill(random);
    let kernel = match random.below(3) {
        0 => [1 + random.below(8), 1 + random.below(8)],
        _ => [3, 3],
    };
    let (window, [height, width], [out_h, out_w]) = window(random, kernel);
    let channels = 1 + random.below(CHANNELS - 1);
    let (x, y) = (height * width * channels, out_h * out_w * channels);
    if x > MOST || y > MOST || kernel[0] * kernel[1] * channels > MOST {
        return true;
    }
    let layer = DepthwiseConv2dI8 {
        input: [1, height, width, channels],
        output: [1, out_h, out_w, channels],
        kernel,
        window,
        weights: &memory.weights[..kernel[0] * kernel[1] * channels],
        weights_zero_point: 0,
        input_zero_point: random.below(256) as i32 - 128,
        bias: &memory.bias[..channels],
        requantize: requantize(random, &memory.multiplier, &memory.shift, channels),
        output_stage: output_stage(random),
    };
    let x = &memory.x[..x];
    let (result, expected) = (&mut memory.y[..y], &mut memory.expected[..y]);
    depthwise_conv2d_i8(&layer, x, result).is_ok()
        && depthwise_conv2d_multiplied_i8(&layer, x, expected).is_ok()
        && result == expected
}

/// Whether a fully connected layer is what a convolution with weights in tiles is, with plain weights and
/// with pairs.
fn fully_connected(random: &mut Random, memory: &mut Memory) -> bool {
    memory.fill(random);
    let outputs = 1 + random.below(CHANNELS - 1);
    let most = if random.below(4) == 0 { MOST / outputs } else { 60 };
    let inputs = 1 + random.below(most);
    let bytes = tiles::bytes(Activations::Signed, outputs, inputs).unwrap_or(usize::MAX);
    let Some(packed) = memory.tiles.get_mut(..bytes) else { return true };
    let weights = &memory.weights[..inputs * outputs];
    let layer = FullyConnectedI8 {
        batches: 1,
        inputs,
        outputs,
        weights,
        weights_zero_point: if random.below(4) == 0 { -5 } else { 0 },
        bias: &memory.bias[..outputs],
        requantize: requantize(random, &memory.multiplier, &memory.shift, outputs),
        output_stage: output_stage(random),
    };
    let packs = tiles::pack(Activations::Signed, weights, inputs, packed).is_ok();
    let tiles = Tiles { tiles: packed, activations: Activations::Signed };
    let tiled =
        Tiled { weights: tiles, layer: Conv2dI8 { weights: &[], ..layer.as_convolution() } };
    let x = &memory.x[..inputs];
    let (result, expected) = (&mut memory.y[..outputs], &mut memory.expected[..outputs]);
    let plain = packs
        && fully_connected_long_i8(&layer, x, result).is_ok()
        && conv2d_tiled_i8(&tiled, x, expected).is_ok()
        && result == expected;
    let Some(weights) = paired(random, &mut memory.pairs, weights, inputs) else { return false };
    let paired = Paired { weights, layer: FullyConnectedI8 { weights: &[], ..layer } };
    result.fill(3);
    plain && fully_connected_paired_i8(&paired, x, result).is_ok() && result == expected
}

/// Whether ADD and SUB are their definitions; the first operand may be where the output goes.
fn sum<R: Rounding>(random: &mut Random, memory: &mut Memory) -> bool {
    memory.fill(random);
    let len = 1 + random.below(200);
    let Some(shape) = Shape::new(&[len as u32]) else { return false };
    let Some(walk) = Walk::new([&shape, &shape]) else { return false };
    let mut scale = |i: usize| {
        let offset = random.below(257) as i32 - 128;
        match random.below(2) {
            // The operand of the larger scale, which is half of the common one.
            0 => InputScale { offset, multiplier: 1 << 30, shift: 0 },
            _ => {
                let shift = i32::from(memory.shift[i]).min(0);
                InputScale { offset, multiplier: memory.multiplier[i], shift }
            }
        }
    };
    let (a_scale, b_scale) = (scale(0), scale(1));
    let p = Add {
        a: a_scale,
        b: b_scale,
        left_shift: 20,
        output_multiplier: memory.multiplier[2],
        output_shift: i32::from(memory.shift[2]) - 14,
        output: output_stage(random),
    };
    let (a, b) = (&memory.x[..len], Operand::Buffer(&memory.weights[..len]));
    let (y, expected) = (&mut memory.y[..len], &mut memory.expected[..len]);
    let in_place = random.below(2) == 0;
    let first = if in_place {
        y.copy_from_slice(a);
        Operand::Output
    } else {
        Operand::Buffer(a)
    };
    let results = match random.below(2) {
        0 => [
            add_i8::<R>(&p, &walk, first, b, y),
            add::<R, i8>(&p, &walk, Operand::Buffer(a), b, expected),
        ],
        _ => [
            sub_i8::<R>(&p, &walk, first, b, y),
            sub::<R, i8>(&p, &walk, Operand::Buffer(a), b, expected),
        ],
    };
    results.iter().all(Result::is_ok) && y == expected
}

/// A linear congruential generator, of which the upper bits are used.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0.rotate_right(16)
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    /// Random elements, or the smallest and the largest.
    fn elements(&mut self) -> [i8; ROOM] {
        let extreme = self.below(4) == 0;
        core::array::from_fn(|_| {
            let byte = self.next() as i8;
            if extreme { if byte < 0 { i8::MIN } else { i8::MAX } } else { byte }
        })
    }

    /// Two runs: one behind the other, as often as at random places.
    fn runs<'a>(&mut self, elements: &'a [i8], len: usize) -> [&'a [i8]; 2] {
        let first = self.below(8);
        let second = if self.below(2) == 0 { first + len } else { self.below(ROOM - len) };
        [first, second].map(|start| &elements[start..start + len])
    }
}
