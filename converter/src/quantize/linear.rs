//! Layers with constant weights, whatever their layout: which output and which input channel each
//! weight connects.

use systole_core::DType;

use crate::{
    graph::{Graph, Node, TensorId},
    ops::{Op, window::Window},
    scale::Activation,
};

/// Where a weight belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The output channel that it adds to.
    pub output: usize,
    /// The input channel that it multiplies.
    pub input: usize,
    /// The tap of the window, row by row; 0 for products of matrices.
    pub tap: usize,
}

/// A node with constant float weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// The weights.
    pub weights: TensorId,
    /// The bias, where there is one.
    pub bias: Option<TensorId>,
    /// Output channels.
    pub outputs: usize,
    /// Input channels.
    pub inputs: usize,
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Input channels that one output channel sees.
    pub depth: usize,
    /// Whether output channels are the innermost axis, as in 1HWC.
    pub channels_last: bool,
}

impl Linear {
    /// The layer that `node` is; `None` for other operators, and for weights that are no float
    /// constants.
    pub fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let x = &graph[node.inputs.first().copied().flatten()?];
        let weights = node.inputs.get(1).copied().flatten()?;
        let bias = node.inputs.get(2).copied().flatten();
        let constant = |id: TensorId| graph[id].is_constant() && graph[id].dtype == DType::F32;
        if x.dtype != DType::F32 || !constant(weights) || !bias.is_none_or(constant) {
            return None;
        }
        let linear = |outputs, inputs, kernel, depth, channels_last| {
            Some(Self { weights, bias, outputs, inputs, kernel, depth, channels_last })
        };
        match (&node.op, &graph[weights].shape[..]) {
            (Op::Conv2d(_) | Op::TransposeConv2d(_), &[outputs, height, width, depth]) => {
                linear(outputs, *x.shape.last()?, [height, width], depth, false)
            }
            (Op::DepthwiseConv2d(_), &[_, height, width, outputs]) => {
                linear(outputs, *x.shape.last()?, [height, width], 1, true)
            }
            (Op::FullyConnected(_), &[outputs, depth]) => {
                linear(outputs, depth, [1, 1], depth, false)
            }
            _ => None,
        }
    }

    /// The axis of the weights that counts output channels.
    pub fn axis(&self) -> usize {
        if self.channels_last { 3 } else { 0 }
    }

    /// Taps of the window.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Where the weight at this index of the row-major tensor belongs.
    pub fn place(&self, index: usize) -> Place {
        if self.channels_last {
            let (tap, output) = (index / self.outputs, index % self.outputs);
            let multiplier = (self.outputs / self.inputs.max(1)).max(1);
            return Place { output, input: output / multiplier, tap };
        }
        let (rest, within) = (index / self.depth, index % self.depth);
        let (output, tap) = (rest / self.taps(), rest % self.taps());
        let groups = (self.inputs / self.depth).max(1);
        let group = output / (self.outputs / groups).max(1);
        Place { output, input: group * self.depth + within, tap }
    }

    /// By output channel, the indices of its weights in order of input channels within taps.
    pub fn filters(&self) -> Vec<Vec<usize>> {
        let length = self.taps() * self.depth;
        let mut filters = vec![Vec::with_capacity(length); self.outputs];
        for index in 0..self.outputs * length {
            filters[self.place(index).output].push(index);
        }
        filters
    }
}

/// The fused activation of a layer with weights.
pub fn activation(op: &Op) -> Activation {
    match op {
        Op::Conv2d(op) => op.activation,
        Op::DepthwiseConv2d(op) => op.activation,
        Op::TransposeConv2d(op) => op.activation,
        Op::FullyConnected(op) => op.activation,
        _ => Activation::None,
    }
}

/// The window of a convolution, where that is what a node is.
pub fn window(op: &Op) -> Option<&Window> {
    match op {
        Op::Conv2d(op) => Some(&op.window),
        Op::DepthwiseConv2d(op) => Some(&op.window),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(outputs: usize, inputs: usize, depth: usize, channels_last: bool) -> Linear {
        let weights = TensorId(0);
        Linear { weights, bias: None, outputs, inputs, kernel: [2, 1], depth, channels_last }
    }

    #[test]
    fn groups_see_their_own_input_channels() {
        // OHWI [4, 2, 1, 3] over 6 channels: two groups.
        let layer = linear(4, 6, 3, false);
        assert_eq!(layer.place(0), Place { output: 0, input: 0, tap: 0 });
        assert_eq!(layer.place(5), Place { output: 0, input: 2, tap: 1 });
        assert_eq!(layer.place(2 * 6 + 4), Place { output: 2, input: 4, tap: 1 });
    }

    #[test]
    fn depthwise_filters_are_strided() {
        // 1HWC [1, 2, 1, 4] over 2 channels: two filters each.
        let layer = linear(4, 2, 1, true);
        assert_eq!(layer.place(6), Place { output: 2, input: 1, tap: 1 });
        assert_eq!(layer.filters(), [[0, 4], [1, 5], [2, 6], [3, 7]]);
    }
}
