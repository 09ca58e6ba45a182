//! What kernels of CONV_2D and FULLY_CONNECTED do, counted from shapes: their loops, as
//! `kernels/src/arch` has them, without the arithmetic.

use systole_core::{
    Operator,
    ops::{conv2d, fully_connected},
};
use systole_kernels::{
    fully_connected::LONG,
    window::{Taps, Window},
};

use super::{
    cores::{Core, Kernels},
    work::{Layer, Work},
};

/// Elements of windows that Helium copies at once; larger windows are summed tap by tap.
const PATCH: usize = 576;
/// Channels whose sums Helium finishes together.
const SUMS: usize = 64;

/// A convolution's shapes.
struct Shapes {
    input: [usize; 4],
    output: [usize; 4],
    kernel: [usize; 2],
    window: Window,
    groups: usize,
    /// Elements of a window, of one group.
    filter: usize,
}

/// CONV_2D of int8.
pub(super) fn conv2d(operator: &Operator<'_>, core: &Core) -> Option<Work> {
    let layer = Layer::int8(operator).filter(|layer| has_kernel(layer, core))?;
    let params: conv2d::Params = operator.record().params();
    let [channels, kernel_h, kernel_w, depth] = layer.weights()?;
    let ([batches, _, _, input_c], output) = (layer.input, layer.output);
    let shapes = Shapes {
        input: layer.input,
        output,
        kernel: [kernel_h, kernel_w],
        window: window(&params),
        groups: input_c.checked_div(depth)?,
        filter: kernel_h * kernel_w * depth,
    };
    let product = shapes.kernel == [1, 1]
        && shapes.window == Window::UNIT
        && layer.input[1..3] == output[1..3]
        && shapes.groups == 1;
    let mut work = if product {
        let mut work = Work::of("conv2d_product");
        rows(&mut work, batches * output[1] * output[2], shapes.filter, channels, core);
        work
    } else if core.kernels == Kernels::Helium && shapes.filter > PATCH {
        let mut work = Work::of("conv2d_large");
        shapes.taps(&mut work);
        work
    } else {
        let mut work = Work::of("conv2d");
        shapes.windows(&mut work, core)?;
        work
    };
    in_pairs(&mut work, &layer);
    layer.output_stage(&mut work, channels, shapes.filter, core)?;
    Some(work)
}

/// Whether there is more than the definition for how weights are arranged.
fn has_kernel(layer: &Layer<'_>, core: &Core) -> bool {
    !layer.paired || core.kernels == Kernels::Dsp
}

/// The kernel of weights in pairs, if they are: the same loops, but that rows are whole steps, so that none goes
/// alone.
fn in_pairs(work: &mut Work, layer: &Layer<'_>) {
    if !layer.paired {
        return;
    }
    work.family = match work.family {
        "conv2d" => "conv2d_pairs",
        _ => "conv2d_product_pairs",
    };
    work.counts.retain(|(what, _)| *what != "single");
}

/// FULLY_CONNECTED of int8.
pub(super) fn fully_connected(operator: &Operator<'_>, core: &Core) -> Option<Work> {
    let layer = Layer::int8(operator).filter(|layer| has_kernel(layer, core))?;
    let params: fully_connected::Params = operator.record().params();
    if params.weights_zero_point != 0 {
        return None;
    }
    let [.., outputs, inputs] = layer.weights()?;
    let batches = layer.elements.checked_div(inputs)?;
    if batches > 1 {
        let mut work = Work::of("conv2d_product");
        rows(&mut work, batches, inputs, outputs, core);
        in_pairs(&mut work, &layer);
        layer.output_stage(&mut work, outputs, inputs, core)?;
        return Some(work);
    }
    if layer.paired {
        let mut work = Work::of("fully_connected_pairs");
        row_of_pairs(&mut work, inputs, outputs);
        layer.output_stage(&mut work, outputs, inputs, core)?;
        return Some(work);
    }
    if inputs < LONG {
        let mut work = Work::of("fully_connected_short");
        // Two rows of weights at a time.
        let pairs = outputs.div_ceil(2);
        work.add("row", pairs).add("product", pairs * inputs);
        work.add("step", pairs * (inputs / 4)).add("rest", pairs * (inputs % 4));
        layer.output_stage(&mut work, outputs, inputs, core)?;
        return Some(work);
    }
    let mut work = Work::of("fully_connected");
    match core.kernels {
        Kernels::Dsp => {
            let depth = 128;
            let (parts, blocks) = (inputs.div_ceil(depth), outputs.div_ceil(32));
            work.add("block", blocks * parts).add("row", outputs * parts);
            work.add("element", inputs * if parts == 1 { 1 } else { blocks });
            // Pairs of rows, where words of weights are aligned and steps even; else rows alone.
            for start in (0..inputs).step_by(depth) {
                let steps = (inputs - start).min(depth).div_ceil(4);
                let paired = inputs.is_multiple_of(4) && steps.is_multiple_of(2);
                let pairs = if paired { outputs / 2 } else { 0 };
                work.add("step", pairs * steps).add("single", (outputs - 2 * pairs) * steps);
            }
        }
        Kernels::Scalar => {
            let groups = outputs.div_ceil(4);
            work.add("row", groups).add("step", groups * inputs).add("block", outputs.div_ceil(32));
        }
        Kernels::Helium => {
            let groups = outputs.div_ceil(4);
            work.add("row", groups).add("step", groups * inputs.div_ceil(16));
            work.add("block", outputs.div_ceil(SUMS));
        }
    }
    layer.output_stage(&mut work, outputs, inputs, core)?;
    Some(work)
}

/// A row of activations by rows of weights in pairs, two at a time and two steps at a time.
fn row_of_pairs(work: &mut Work, inputs: usize, outputs: usize) {
    let depth = 128;
    let (parts, blocks) = (inputs.div_ceil(depth), outputs.div_ceil(32));
    work.add("block", blocks * parts).add("row", outputs * parts);
    work.add("element", inputs * if parts == 1 { 1 } else { blocks });
    for start in (0..inputs).step_by(depth) {
        let steps = (inputs - start).min(depth).div_ceil(4);
        let pairs = outputs / 2;
        work.add("step", pairs * (steps - steps % 2));
        work.add("single", 2 * pairs * (steps % 2) + (outputs - 2 * pairs) * steps);
    }
}

/// The window of a record.
pub(super) fn window(params: &conv2d::Params) -> Window {
    let ([stride_h, stride_w], [dilation_h, dilation_w]) = (params.stride, params.dilation);
    let [pad_top, pad_left] = params.padding;
    Window {
        stride_h: stride_h.into(),
        stride_w: stride_w.into(),
        dilation_h: dilation_h.into(),
        dilation_w: dilation_w.into(),
        pad_top: pad_top.into(),
        pad_left: pad_left.into(),
    }
}

/// Rows of `filter` elements, one behind the other, by rows of weights.
fn rows(work: &mut Work, positions: usize, filter: usize, channels: usize, core: &Core) {
    products(work, positions, filter, channels, core);
    let windows = core.windows(filter, channels) * positions;
    work.add("window", windows).add("element", core.widened(filter, channels) * positions);
    if core.kernels != Kernels::Helium {
        work.add("part", windows * filter.div_ceil(core.depth));
    }
}

/// Products of windows with rows of weights, of one group.
fn products(work: &mut Work, positions: usize, filter: usize, channels: usize, core: &Core) {
    if core.kernels == Kernels::Helium {
        let (quads, vectors) = (channels.div_ceil(4), filter.div_ceil(16));
        work.add("row", positions * quads).add("step", positions * quads * vectors);
        // Two windows by three rows, where kernels are so.
        let pairs = positions.div_ceil(2) * channels.div_ceil(3);
        work.add("pair", pairs).add("pair_step", pairs * vectors);
        let together = SUMS.checked_div(channels.min(SUMS)).unwrap_or(1).max(1);
        work.add("block", positions.div_ceil(together) * channels.div_ceil(SUMS));
        return;
    }
    // Four windows at a time, by blocks of 16 rows.
    let (quads, blocks) = (positions.div_ceil(4), channels.div_ceil(16));
    let parts = filter.div_ceil(core.depth);
    let steps: usize = (0..filter)
        .step_by(core.depth)
        .map(|start| (filter - start).min(core.depth).div_ceil(core.step))
        .sum();
    work.add("step", quads * channels * steps).add("row", quads * channels * parts);
    work.add("block", quads * blocks).add("block_part", quads * blocks * parts);
    // Two rows at a time share activations where there are registers for it.
    work.add("odd_step", quads * (blocks * (channels.div_ceil(blocks.max(1)) % 2)) * steps);
    if core.step > 1 && !filter.is_multiple_of(core.step) {
        // The last row, behind which there are no weights, goes alone.
        work.add("single", quads * steps);
    }
    // The last windows of an image, fewer than four, are finished elsewhere.
    let rest = positions % 4;
    if rest > 0 {
        work.add("rest", rest * channels);
    }
}

impl Shapes {
    /// Windows of any kernel.
    fn windows(&self, work: &mut Work, core: &Core) -> Option<()> {
        let [batches, height, width, channels] = self.output;
        let positions = batches * height * width;
        let per_group = channels.checked_div(self.groups)?;
        for _ in 0..self.groups.min(64) {
            products(work, positions, self.filter, per_group, core);
        }
        if self.groups > 64 {
            return None;
        }
        let copies = core.windows(self.filter, per_group) * self.groups * batches;
        work.add("window", copies * height * width);
        let row = self.kernel[1] * self.filter.checked_div(self.kernel[0] * self.kernel[1])?;
        let step = if core.kernels == Kernels::Helium { 16 } else { core.step };
        let whole_words = row.is_multiple_of(core.step);
        // Rows of taps of windows that are inside of the image from left to right, and of others.
        let (mut inside, mut beside, mut outside, mut partly) = (0, 0, 0, 0);
        for y in 0..height {
            let rows = self.rows(y).inside.len();
            for x in 0..width {
                let columns = self.columns(x);
                let all = columns.all(self.kernel[1]);
                let whole = rows == self.kernel[0] && all;
                partly += usize::from(!whole);
                if all {
                    inside += rows;
                } else {
                    beside += rows;
                }
                outside += self.kernel[0] - rows;
            }
        }
        let elements = |rows: usize| copies * rows * row.div_ceil(step) * step;
        // The way of words that follow each other, and that of bytes.
        let [tap_row, element] =
            if whole_words { ["tap_row", "element"] } else { ["cut_row", "cut_element"] };
        work.add(tap_row, copies * inside).add(element, elements(inside));
        work.add("edge_row", copies * beside).add("edge_element", elements(beside));
        work.add("outside_row", copies * outside).add("outside_element", elements(outside));
        work.add("edge_window", copies * partly);
        if core.kernels != Kernels::Helium {
            work.add("part", copies * height * width * self.filter.div_ceil(core.depth));
        }
        Some(())
    }

    /// Windows that are summed tap by tap.
    fn taps(&self, work: &mut Work) {
        let [batches, height, width, channels] = self.output;
        let positions = batches * height * width;
        let taps = self.kernel[0] * self.kernel[1];
        let depth = self.filter.checked_div(taps).unwrap_or(0);
        let blocks = channels.div_ceil(SUMS);
        work.add("block", positions * blocks).add("tap", positions * blocks * taps);
        work.add("row", positions * taps * channels.div_ceil(4));
        work.add("step", positions * taps * channels.div_ceil(4) * depth.div_ceil(16));
    }

    fn rows(&self, y: usize) -> Taps {
        self.window.rows(y, self.kernel[0], self.input[1])
    }

    fn columns(&self, x: usize) -> Taps {
        self.window.columns(x, self.kernel[1], self.input[2])
    }
}
