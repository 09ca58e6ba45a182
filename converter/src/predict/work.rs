//! What a layer's kernel does, in numbers that its instructions are a sum of.

use systole_core::Opcode;
use systole_core::{
    DType, Operator, TensorInfo,
    format::{Layout, RoundingCode},
    ops::{conv2d, fully_connected},
};
use systole_kernels::requantize::Requantize;

use super::cores::{Core, Kernels};

/// The kernel, and how often it does what it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// The kernel, or kernels that are one code.
    pub family: &'static str,
    /// What is done, and how often; each once.
    pub counts: Vec<(&'static str, f64)>,
}

impl Work {
    /// A call of a kernel.
    pub(super) fn of(family: &'static str) -> Self {
        Self { family, counts: vec![("call", 1.0)] }
    }

    /// How often this is done.
    fn count(&self, what: &str) -> f64 {
        self.counts.iter().find(|(found, _)| *found == what).map_or(0.0, |(_, count)| *count)
    }

    /// Adds to a count.
    pub(super) fn add(&mut self, what: &'static str, times: usize) -> &mut Self {
        if times == 0 {
            return self;
        }
        match self.counts.iter_mut().find(|(found, _)| *found == what) {
            Some((_, count)) => *count += times as f64,
            None => self.counts.push((what, times as f64)),
        }
        self
    }
}

/// A layer of int8 with weights of int8, per channel scales of fixed point and nothing unusual.
pub(super) struct Layer<'o> {
    operator: &'o Operator<'o>,
    /// NHWC; ones in front of fewer dimensions.
    pub input: [usize; 4],
    pub output: [usize; 4],
    /// Elements of the input.
    pub elements: usize,
    /// Whether weights are in pairs of 16 bits.
    pub paired: bool,
}

impl<'o> Layer<'o> {
    pub fn int8(operator: &'o Operator<'o>) -> Option<Self> {
        let record = operator.record();
        let (x, y) = (record.input(0).ok()?, record.output(0).ok()?);
        let weights = record.given(1).ok()??;
        let plain = [&x, &y, &weights].iter().all(|info| info.stored_dtype() == DType::I8);
        let paired = weights.layout() == Layout::Pairs;
        let dense = paired || weights.layout() == Layout::Plain;
        let symmetric = match operator.opcode() {
            Opcode::FullyConnected => {
                record.params::<fully_connected::Params>().weights_zero_point == 0
            }
            _ => record.params::<conv2d::Params>().weights_zero_point == 0,
        };
        (plain && dense && symmetric).then(|| Self {
            operator,
            input: dims(&x),
            output: dims(&y),
            elements: x.len(),
            paired,
        })
    }

    /// The shape of the weights, ones in front.
    pub fn weights(&self) -> Option<[usize; 4]> {
        Some(dims(&self.operator.record().given(1).ok()??))
    }

    /// What is done with sums, of `channels` filters of `filter` weights. `None` for roundings that are not
    /// known.
    pub fn output_stage(
        &self,
        work: &mut Work,
        channels: usize,
        filter: usize,
        core: &Core,
    ) -> Option<()> {
        let record = self.operator.record();
        let (scales, output) = match record.requantize(3, channels).ok()? {
            Requantize::Double(scales) => (scales, "output_double"),
            Requantize::Single(scales) => (scales, "output_single"),
            _ => return None,
        };
        let bias: &[i32] = record.constant(2).ok()?;
        let small = |&bias: &i32| bias.unsigned_abs() <= 1 << 29 || core.kernels == Kernels::Helium;
        let fast = filter < 1 << 14
            && scales.shift.iter().all(|&shift| (-31..0).contains(&shift))
            && bias.iter().all(small);
        let outputs: usize = self.output.iter().product();
        if core.kernels == Kernels::Helium {
            // Scales are looked at before, each once; one that all outputs share is repeated for each block.
            work.add("scale", scales.shift.len());
            if scales.shift.len() == 1 && channels > 1 {
                work.add("shared_block", work.count("block") as usize);
            }
        } else {
            work.add("channel", channels);
        }
        if !fast {
            work.add("output_slow", outputs);
            return Some(());
        }
        // Sums of positions that there are not are finished, too.
        let [batches, height, width, _] = self.output;
        let finished = match (work.family, core.kernels) {
            (
                "conv2d" | "conv2d_product" | "conv2d_pairs" | "conv2d_product_pairs",
                Kernels::Dsp | Kernels::Scalar,
            ) if self.operator.opcode() == Opcode::Conv2d => {
                batches * (height * width).next_multiple_of(4) * channels
            }
            ("conv2d_product" | "conv2d_product_pairs", Kernels::Dsp | Kernels::Scalar) => {
                outputs.checked_div(channels)?.next_multiple_of(4) * channels
            }
            _ => outputs,
        };
        work.add(output, finished);
        let (min, max) = match self.operator.opcode() {
            Opcode::FullyConnected => {
                let params: fully_connected::Params = record.params();
                (params.activation_min, params.activation_max)
            }
            _ => {
                let params: conv2d::Params = record.params();
                (params.activation_min, params.activation_max)
            }
        };
        if core.kernels == Kernels::Helium {
            // Where negative numbers are clamped away rounding is shorter.
            let y = record.output(0).ok()?;
            if min >= y.stored_zero_point() {
                work.add("output_positive", outputs);
            }
        } else if min > -128 || max < 127 {
            work.add("clamped", outputs);
        }
        Some(())
    }
}

/// The dimensions of a tensor of up to four, ones in front.
pub(super) fn dims(info: &TensorInfo<'_>) -> [usize; 4] {
    let mut dims = [1; 4];
    for (to, from) in dims.iter_mut().rev().zip(info.shape().dims().iter().rev()) {
        *to = *from as usize;
    }
    dims
}

/// The name of a count that goes with the rounding; `None` for those that are not known.
pub(super) fn by_rounding(operator: &Operator<'_>) -> Option<&'static str> {
    match operator.record().rounding().ok()? {
        RoundingCode::Double => Some("output_double"),
        RoundingCode::Single => Some("output_single"),
        _ => None,
    }
}
