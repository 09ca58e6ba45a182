//! DEPTHWISE_CONV_2D of few channels: `depthwise-u8i8-c16/avx512_vnni`.
//!
//! A vector is sixteen sums: sixteen neighbouring channels of a position, or several neighbouring
//! positions of fewer channels. To each four columns of taps are added at once. The activations that they
//! meet lie within 64 bytes of a row of the image, out of which one permutation puts them side by side:
//!
//! ```text
//!  8 channels,   row of the image   a0 … a7  b0 … b7  c0 … c7  d0 … d7  …     columns a, b, c, d
//!  3 columns ►   sums 0 … 7         a0 b0 c0 ·  a1 b1 c1 ·  …                 position 0
//!                sums 8 … 15        b0 c0 d0 ·  b1 c1 d1 ·  …                 position 1
//! ```
//!
//! Rows of the image are copied to the stack, with its borders filled in: of many channels sixteen, so that
//! columns lie side by side. What `·` stands for has a zero weight.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::depthwise::Layer;
use super::requantize::{Block, Order, dwords, first as ones};
use crate::arch::output::BLOCK;
use crate::depthwise_conv2d::DepthwiseConv2dI8;
use crate::requantize::{FixedScales, Requantize};

/// Sums of a vector.
const LANES: usize = 16;

/// Columns of taps that are multiplied at once.
const COLUMNS: usize = 4;

/// Vectors of weights of the largest kernel.
const WEIGHTS: usize = 16;

/// Bytes of the rows of the image that are on the stack.
const LINES: usize = 1 << 15;

/// Bytes of a vector, which may be read behind the last column.
const VECTOR: usize = 64;

/// Vectors that are summed at once, and that are requantized together.
const AT_ONCE: usize = 4;
const TOGETHER: usize = 16;

/// How a layer is cut into vectors and bands of rows.
pub(super) struct Narrow {
    /// Positions of a vector.
    positions: usize,
    /// Elements from a column of a row on the stack to the next.
    unit: usize,
    /// Groups of [`COLUMNS`] columns of taps.
    groups: usize,
    /// Vectors of a row of outputs.
    vectors: usize,
    /// Bytes of a row on the stack.
    pitch: usize,
    /// Rows of outputs whose rows of the image fit the stack.
    rows: usize,
}

impl Narrow {
    /// `None` where a kernel is too large, or its rows.
    pub fn new(p: &DepthwiseConv2dI8<'_>) -> Option<Self> {
        let DepthwiseConv2dI8 { output, kernel: [kernel_h, kernel_w], window, .. } = *p;
        let [_, height, width, channels] = output;
        if [kernel_h, kernel_w, window.stride_h, window.stride_w, channels, width].contains(&0) {
            return None;
        }
        let unit = channels.min(LANES);
        let groups = kernel_w.div_ceil(COLUMNS);
        let reach = |taps: usize, dilation: usize| (taps - 1).checked_mul(dilation);
        let within = |positions: usize| {
            let last = (positions - 1).checked_mul(window.stride_w)?;
            let last = last.checked_add(reach(kernel_w.min(COLUMNS), window.dilation_w)?)?;
            (last.checked_add(1)?.checked_mul(unit)? <= VECTOR).then_some(positions)
        };
        let most = if channels < LANES { LANES / channels } else { 1 };
        let positions = (1..=most).rev().find_map(within)?;
        let vectors = width.div_ceil(positions);
        // Vectors behind the last are summed, too, and their columns read.
        let last =
            (vectors.next_multiple_of(AT_ONCE) * positions - 1).checked_mul(window.stride_w)?;
        let behind = groups.checked_mul(COLUMNS)?.checked_mul(window.dilation_w)?;
        let columns = last.checked_add(behind)?.checked_add(1)?;
        let pitch =
            columns.checked_mul(unit)?.checked_add(VECTOR)?.checked_next_multiple_of(VECTOR)?;
        let rows =
            (LINES / pitch).checked_sub(reach(kernel_h, window.dilation_h)?.checked_add(1)?)?;
        let rows = (rows / window.stride_h + 1).min(height);
        (kernel_h.checked_mul(groups)? <= WEIGHTS).then_some(Self {
            positions,
            unit,
            groups,
            vectors,
            pitch,
            rows,
        })
    }
}

/// Memory on the stack.
struct Memory {
    lines: [MaybeUninit<u8>; LINES],
    /// Of each vector the first sixteen.
    acc: [[i32; BLOCK]; TOGETHER],
}

/// Up to sixteen neighbouring channels.
struct Channels {
    first: usize,
    count: usize,
    /// Of each row of taps and each group of its columns.
    weights: [__m512i; WEIGHTS],
    /// The same with 1 for every weight that there is.
    ones: [__m512i; WEIGHTS],
    /// What their sum is multiplied with.
    zero_point: __m512i,
    bias: __m512i,
    /// The bytes of 64 that meet each byte of a vector of weights.
    taps: __m512i,
}

impl Layer<'_> {
    /// The channels from `first` on of one image, sixteen at a time.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")]
    pub(super) fn narrow<const Z: bool>(
        &self,
        narrow: &Narrow,
        x: &[i8],
        y: &mut [i8],
        first: usize,
    ) {
        let DepthwiseConv2dI8 { output: [_, _, _, channels], requantize, .. } = *self.p;
        // Several positions are as if there were as many times the channels.
        let mut repeated = Repeated::new();
        let requantize = match narrow.positions {
            1 => requantize,
            _ => repeated.scales(requantize, channels),
        };
        let wide = narrow.positions * channels;
        let mut stage = self.stage;
        (stage.requantize, stage.channels) = (requantize, wide);
        let mut memory =
            Memory { lines: [MaybeUninit::uninit(); LINES], acc: [[0; BLOCK]; TOGETHER] };
        for first in (first..channels).step_by(LANES) {
            let block = &self.narrow_block::<Z>(narrow, first);
            let count = if narrow.positions == 1 { block.count } else { wide };
            let scales = Block::new(&stage, first, count, Order::Natural);
            self.narrow_bands::<Z>(narrow, x, y, block, &mut memory, |acc, y| {
                scales.store(&stage, acc, y, first, count)
            });
        }
    }

    /// All outputs of some channels, whose sums are given to `store`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni")]
    fn narrow_bands<const Z: bool>(
        &self,
        narrow: &Narrow,
        x: &[i8],
        y: &mut [i8],
        block: &Channels,
        Memory { lines, acc }: &mut Memory,
        store: impl Fn(&[[i32; BLOCK]], &mut [i8]),
    ) {
        let DepthwiseConv2dI8 { output: [_, _, width, channels], kernel, window, .. } = *self.p;
        let bands = y.chunks_mut(narrow.rows * width * channels);
        for (band, y) in bands.enumerate() {
            let start = band * narrow.rows * window.stride_h;
            let rows = y.len() / (width * channels);
            let rows = (rows - 1) * window.stride_h + (kernel[0] - 1) * window.dilation_h + 1;
            let lines = self.lines(narrow, x, start, rows, block, lines);
            for (row, y) in y.chunks_exact_mut(width * channels).enumerate() {
                let line = &lines[row * window.stride_h * narrow.pitch..];
                let together = TOGETHER * narrow.positions * channels;
                for (part, y) in y.chunks_mut(together).enumerate() {
                    let first = part * TOGETHER;
                    let count = TOGETHER.min(narrow.vectors - first);
                    self.narrow_sums::<Z>(narrow, line, first, block, acc);
                    store(&acc[..count], y);
                }
            }
        }
    }

    /// The weights and biases of the channels from `first` on.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni")]
    fn narrow_block<const Z: bool>(&self, narrow: &Narrow, first: usize) -> Channels {
        let DepthwiseConv2dI8 { weights, bias, kernel, window, .. } = *self.p;
        let ([kernel_h, kernel_w], channels) = (kernel, self.stage.channels);
        let count = LANES.min(channels - first);
        let mask = u16::MAX >> (LANES - count);
        // Of each sum the position and the channel; of those that there are not, any.
        let lane = |lane: usize| [lane / narrow.unit % narrow.positions, lane % narrow.unit];
        let mut taps = [0_u8; VECTOR];
        let mut pick = [0_u8; VECTOR];
        let mut channel = [0_i32; LANES];
        for (i, ((taps, pick), to)) in taps
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(pick.as_chunks_mut().0)
            .zip(&mut channel)
            .enumerate()
        {
            let [position, c] = lane(i);
            *to = c as i32;
            *pick = core::array::from_fn::<_, COLUMNS, _>(|j| (j * LANES + c) as u8);
            *taps = core::array::from_fn::<_, COLUMNS, _>(|j| {
                let column = position * window.stride_w + j * window.dilation_w;
                // Behind the last column of taps weights are zero, and any activation will do.
                (if j < kernel_w { column * narrow.unit + c } else { c }) as u8
            });
        }
        // SAFETY: as many bytes as vectors have.
        let (taps, pick, channel) = unsafe {
            (
                _mm512_loadu_si512(taps.as_ptr().cast()),
                _mm512_loadu_si512(pick.as_ptr().cast()),
                _mm512_loadu_si512(channel.as_ptr().cast()),
            )
        };
        let zero = _mm512_setzero_si512();
        let (mut packed, mut ones, mut sum) = ([zero; WEIGHTS], [zero; WEIGHTS], zero);
        for (i, (packed, ones)) in
            packed.iter_mut().zip(&mut ones).enumerate().take(kernel_h * narrow.groups)
        {
            let (tap_y, group) = (i / narrow.groups, i % narrow.groups);
            let column = |j: usize| {
                let tap_x = group * COLUMNS + j;
                if tap_x >= kernel_w {
                    return _mm_setzero_si128();
                }
                let tap = &weights[(tap_y * kernel_w + tap_x) * channels + first..][..count];
                // SAFETY: the mask has `count` bits, and `tap` as many elements.
                unsafe { _mm_maskz_loadu_epi8(mask, tap.as_ptr()) }
            };
            let four = _mm512_castsi128_si512(column(0));
            let four = _mm512_inserti32x4::<1>(four, column(1));
            let four = _mm512_inserti32x4::<2>(four, column(2));
            let four = _mm512_inserti32x4::<3>(four, column(3));
            *packed = _mm512_permutexvar_epi8(pick, four);
            // What activations being `x + 128` adds.
            sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(-128), *packed);
            let columns = COLUMNS.min(kernel_w - group * COLUMNS);
            *ones = _mm512_set1_epi32(0x0101_0101 >> (8 * (COLUMNS - columns)));
        }
        let zero_point = self.p.weights_zero_point;
        let added = _mm512_set1_epi32(128 * zero_point * (kernel_h * kernel_w) as i32);
        let [bias, ..] = dwords(bias, first, count);
        let bias = _mm512_permutexvar_epi32(channel, bias);
        let bias = _mm512_add_epi32(_mm512_sub_epi32(bias, sum), added);
        let zero_point = _mm512_set1_epi32(zero_point);
        Channels { first, count, weights: packed, ones, zero_point, bias, taps }
    }

    /// The sums of [`TOGETHER`] vectors of a row of outputs from `first` on, as far as there are lines for
    /// them. `lines` begins with the first row of taps.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    fn narrow_sums<const Z: bool>(
        &self,
        narrow: &Narrow,
        lines: &[u8],
        first: usize,
        block: &Channels,
        acc: &mut [[i32; BLOCK]; TOGETHER],
    ) {
        let DepthwiseConv2dI8 { kernel: [kernel_h, _], window, .. } = *self.p;
        let step = narrow.positions * window.stride_w * narrow.unit;
        let group = COLUMNS * window.dilation_w * narrow.unit;
        let count = TOGETHER.min(narrow.vectors - first).next_multiple_of(AT_ONCE);
        // Behind the last vector's last group of columns of the last row of taps.
        let row = window.dilation_h * narrow.pitch;
        let end = (kernel_h - 1) * row + (narrow.groups - 1) * group + (first + count - 1) * step;
        assert!(end + VECTOR <= lines.len());
        // Where the activations are that meet each vector of weights.
        let mut offsets = [0; WEIGHTS];
        let taps = kernel_h * narrow.groups;
        for (i, offset) in offsets[..taps].iter_mut().enumerate() {
            *offset = i / narrow.groups * row + i % narrow.groups * group;
        }
        let weights = &block.weights[..taps];
        for (i, acc) in acc[..count].chunks_exact_mut(AT_ONCE).enumerate() {
            let mut sums = [block.bias; AT_ONCE];
            let mut totals = [_mm512_setzero_si512(); AT_ONCE];
            let from = lines.as_ptr().wrapping_add((first + i * AT_ONCE) * step);
            for ((w, ones), offset) in weights.iter().zip(&block.ones).zip(&offsets) {
                let from = from.wrapping_add(*offset);
                for (v, (sum, total)) in sums.iter_mut().zip(&mut totals).enumerate() {
                    // SAFETY: the last of these has been looked at above.
                    let x = unsafe { _mm512_loadu_si512(from.add(v * step).cast()) };
                    let x = _mm512_permutexvar_epi8(block.taps, x);
                    *sum = _mm512_dpbusd_epi32(*sum, x, *w);
                    if Z {
                        *total = _mm512_dpbusd_epi32(*total, x, *ones);
                    }
                }
            }
            for ((acc, sum), total) in acc.iter_mut().zip(sums).zip(totals) {
                let sum = match Z {
                    true => _mm512_sub_epi32(sum, _mm512_mullo_epi32(total, block.zero_point)),
                    false => sum,
                };
                // SAFETY: sixteen int32 of 64.
                unsafe { _mm512_storeu_si512(acc.as_mut_ptr().cast(), sum) };
            }
        }
    }

    /// Copies `rows` rows of the padded image from row `start` on, with 128 added.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn lines<'a>(
        &self,
        narrow: &Narrow,
        x: &[i8],
        start: usize,
        rows: usize,
        block: &Channels,
        lines: &'a mut [MaybeUninit<u8>; LINES],
    ) -> &'a [u8] {
        let DepthwiseConv2dI8 { input: [_, input_h, input_w, channels], window, .. } = *self.p;
        let sign = _mm512_set1_epi8(i8::MIN);
        let outside = _mm512_set1_epi8(self.p.input_zero_point as i8);
        let lines = &mut lines[..rows * narrow.pitch];
        let left = (window.pad_left * narrow.unit).min(narrow.pitch);
        let inside = left..left + (input_w * narrow.unit).min(narrow.pitch - left);
        for (i, line) in lines.chunks_exact_mut(narrow.pitch).enumerate() {
            let row = (start + i).checked_sub(window.pad_top).filter(|&row| row < input_h);
            let x = row.map(|row| &x[row * input_w * channels..][..input_w * channels]);
            let whole = x.filter(|_| channels == narrow.unit);
            for (v, to) in line.as_chunks_mut::<VECTOR>().0.iter_mut().enumerate() {
                let at = v * VECTOR;
                // Of this vector the elements that are inside of the image.
                let end = ones(inside.end.saturating_sub(at));
                let mask =
                    if whole.is_some() { end & !ones(inside.start.saturating_sub(at)) } else { 0 };
                let from = whole.unwrap_or_default().as_ptr().wrapping_add(at).wrapping_sub(left);
                // SAFETY: the mask has bits for elements of the row alone; a vector is written.
                unsafe {
                    let x = _mm512_mask_loadu_epi8(outside, mask, from);
                    _mm512_storeu_si512(to.as_mut_ptr().cast(), _mm512_xor_si512(x, sign));
                }
            }
            let Some(x) = x.filter(|_| whole.is_none()) else { continue };
            let mask = u16::MAX >> (LANES - block.count);
            let line = line[inside.clone()].as_chunks_mut::<LANES>().0;
            for (to, x) in line.iter_mut().zip(x.chunks_exact(channels)) {
                let x = &x[block.first..][..block.count];
                // SAFETY: the mask has as many bits as there are channels, and a column has sixteen bytes.
                unsafe {
                    let x = _mm_maskz_loadu_epi8(mask, x.as_ptr());
                    let x = _mm_xor_si128(x, _mm512_castsi512_si128(sign));
                    _mm_storeu_si128(to.as_mut_ptr().cast(), x);
                }
            }
        }
        // SAFETY: all of each line has been written.
        unsafe { lines.assume_init_ref() }
    }
}

/// The scales of a few channels, again and again.
struct Repeated {
    multiplier: [i32; LANES],
    shift: [i8; LANES],
    float32: [f32; LANES],
    float64: [f64; LANES],
}

impl Repeated {
    fn new() -> Self {
        Self {
            multiplier: [0; LANES],
            shift: [0; LANES],
            float32: [0.0; LANES],
            float64: [0.0; LANES],
        }
    }

    /// Those of `channels` channels as often as they fit; the only one as it is.
    fn scales<'a>(&'a mut self, requantize: Requantize<'a>, channels: usize) -> Requantize<'a> {
        let of = match requantize {
            Requantize::Double(s) | Requantize::DoubleUp(s) | Requantize::Single(s) => {
                if s.multiplier.len() == 1 {
                    return requantize;
                }
                repeat(s.multiplier, &mut self.multiplier, channels);
                repeat(s.shift, &mut self.shift, channels);
                FixedScales { multiplier: &self.multiplier, shift: &self.shift }
            }
            Requantize::Float32([_]) | Requantize::Float64([_]) => return requantize,
            Requantize::Float32(s) => {
                repeat(s, &mut self.float32, channels);
                return Requantize::Float32(&self.float32);
            }
            Requantize::Float64(s) => {
                repeat(s, &mut self.float64, channels);
                return Requantize::Float64(&self.float64);
            }
        };
        match requantize {
            Requantize::Double(_) => Requantize::Double(of),
            Requantize::DoubleUp(_) => Requantize::DoubleUp(of),
            _ => Requantize::Single(of),
        }
    }
}

/// The first `channels` elements again and again; what there is not stays as it is.
fn repeat<T: Copy>(from: &[T], to: &mut [T; LANES], channels: usize) {
    for (to, &from) in to.iter_mut().zip(from.iter().take(channels).cycle()) {
        *to = from;
    }
}
