//! What kernels of DEPTHWISE_CONV_2D do, counted from shapes. Their loops over strips of positions are gone through
//! once for all channels, as `kernels/src/arch` has them.

use systole_core::{Operator, ops::conv2d};
use systole_kernels::window::{Taps, Window};

use super::{
    convolution,
    cores::{Core, Kernels},
    work::{Layer, Work},
};

/// Pairs of rows of taps, times columns, that a window may have.
const WINDOW: usize = 28;
/// Pairs that are made at once.
const PAIRS: usize = 32;
/// Positions whose sums are held at once.
const POSITIONS: usize = 16;
/// Columns that Helium has room for.
const COLUMNS: usize = 32;

struct Shapes {
    input: [usize; 4],
    output: [usize; 4],
    kernel: [usize; 2],
    window: Window,
}

/// DEPTHWISE_CONV_2D of int8.
pub(super) fn depthwise_conv2d(operator: &Operator<'_>, core: &Core) -> Option<Work> {
    let layer = Layer::int8(operator)?;
    let params: conv2d::Params = operator.record().params();
    let [_, kernel_h, kernel_w, channels] = layer.weights()?;
    if layer.input[3] != layer.output[3] {
        return None;
    }
    let shapes = Shapes {
        input: layer.input,
        output: layer.output,
        kernel: [kernel_h, kernel_w],
        window: convolution::window(&params),
    };
    let small = match core.kernels {
        Kernels::Helium => {
            kernel_h.max(kernel_w) <= 4
                && [shapes.window.dilation_h, shapes.window.dilation_w] == [1, 1]
                && channels >= 8
        }
        _ => channels >= 4 && kernel_h.div_ceil(core.taps) * kernel_w <= WINDOW,
    };
    let [batches, height, width, _] = layer.output;
    let mut work = if small {
        let mut work = Work::of("depthwise_conv2d");
        let blocks =
            batches * channels.div_ceil(if core.kernels == Kernels::Helium { 8 } else { 4 });
        match core.kernels {
            Kernels::Helium => shapes.strips(&mut work, blocks)?,
            _ => shapes.columns(&mut work, blocks, core)?,
        }
        work
    } else {
        let mut work = Work::of("depthwise_conv2d_by_taps");
        let positions = batches * height * width;
        work.add("tap", positions * channels * kernel_h * kernel_w).add("position", positions);
        work.add("tap_block", positions * channels.div_ceil(64) * kernel_h * kernel_w);
        work
    };
    layer.output_stage(&mut work, channels, kernel_h * kernel_w, core)?;
    Some(work)
}

impl Shapes {
    /// Columns of the image that a run of windows sees, and those beside it.
    fn seen(&self, first: usize, count: usize, width: usize) -> (usize, usize) {
        let taps: Taps = self.window.columns(first, count, width);
        (taps.inside.len(), count - taps.inside.len())
    }

    /// Four channels at a time: `kernels/src/arch/dsp/depthwise_conv2d.rs`.
    fn columns(&self, work: &mut Work, blocks: usize, core: &Core) -> Option<()> {
        let ([kernel_h, kernel_w], Window { stride_w, dilation_w, .. }) =
            (self.kernel, self.window);
        let [_, height, width, _] = self.output;
        let pairs = kernel_h.div_ceil(core.taps);
        let shared = dilation_w == 1 && stride_w <= kernel_w;
        let room = PAIRS / pairs.max(1);
        let most = match shared {
            true => room.checked_sub(kernel_w)?.checked_div(stride_w)? + 1,
            false => room.checked_div(kernel_w)?,
        };
        // Pairs of rows, and the row that is left alone.
        let (doubles, singles) = match core.taps {
            1 => (0, kernel_h),
            _ => (kernel_h / 2, kernel_h % 2),
        };
        let (mut held, mut stages) = (0, 0);
        for _ in 0..height {
            let mut x = 0;
            while x < width {
                let count = (width - x).min(POSITIONS - held).min(most);
                if count == 0 {
                    return None;
                }
                let runs = if shared { 1 } else { count };
                for run in 0..runs {
                    let columns = if shared { (count - 1) * stride_w + kernel_w } else { kernel_w };
                    let (inside, beside) = self.seen(x + run, columns, self.input[2]);
                    work.add("run", blocks * pairs);
                    work.add("double", blocks * inside * doubles);
                    work.add("single", blocks * inside * singles);
                    work.add("beside", blocks * beside * pairs);
                }
                work.add("strip", blocks);
                (x, held) = (x + count, held + count);
                if held == POSITIONS {
                    (held, stages) = (0, stages + 1);
                }
            }
        }
        work.add("row", blocks * height);
        work.add("stage", blocks * (stages + usize::from(held > 0)));
        work.add("window", blocks * height * width);
        work.add("product", blocks * height * width * pairs * kernel_w);
        work.add("block", blocks).add("weight", blocks * pairs * kernel_w);
        Some(())
    }

    /// Eight channels at a time: `kernels/src/arch/helium/depthwise_conv2d.rs`.
    fn strips(&self, work: &mut Work, blocks: usize) -> Option<()> {
        let ([_, height, width, _], window) = (self.output, self.window);
        // The longer axis of the output is that of strips.
        let axes = [
            (height, self.kernel[0], window.stride_h, window.pad_top, self.input[1]),
            (width, self.kernel[1], window.stride_w, window.pad_left, self.input[2]),
        ];
        let [along, across] = if height > width { axes } else { [axes[1], axes[0]] };
        let (outputs, kernel, stride, pad, size) = along;
        let step = if stride <= 2 { stride } else { 4 };
        let most = ((COLUMNS - 4).checked_div(step)? + 1) / 4 * 4;
        let mut first = 0;
        while first < outputs {
            let count = (outputs - first).min(most);
            let (runs, length) =
                if step == stride { (1, (count - 1) * step + kernel) } else { (count, kernel) };
            // Rows that are put into columns: each once, but for those before the first.
            let (rows, across_kernel) = (across.0, across.1);
            let made = across_kernel + (rows - 1) * across.2.min(across_kernel);
            for run in 0..runs {
                let moves = Window { stride_w: stride, pad_left: pad, ..Window::UNIT };
                let inside = moves.columns(first + run, length, size).inside.len();
                work.add("run", blocks * made).add("column", blocks * made * inside);
            }
            work.add("strip", blocks).add("row", blocks * rows).add("made", blocks * made);
            work.add("weight", blocks * kernel * across_kernel);
            work.add("quad", blocks * rows * count.div_ceil(4));
            first += count;
        }
        Some(())
    }
}
