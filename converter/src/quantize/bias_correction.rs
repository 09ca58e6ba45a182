//! Bias correction: rounding weights shifts the mean of a layer's sums, and the bias can take that
//! back.
//!
//! With weights `Ŵ` instead of `W`, the mean of the sums changes by `(Ŵ − W) E[x]`, and `E[x]`, the
//! mean of each input channel, is known from calibration. Where a window reaches over the border it
//! reads zeros, so taps count by the part of the outputs for which they lie inside. Each tap of a
//! transposed convolution falls on a part of the outputs only: with a stride of 2, on a fourth.
//!
//! Source: Nagel, van Baalen, Blankevoort, Welling, "Data-Free Quantization Through Weight
//! Equalization and Bias Correction", ICCV 2019, section 4.2.

use super::linear::{Linear, window};
use crate::{
    graph::{Graph, Node},
    ops::Op,
};

/// The bias that gives the sums of quantized weights the mean of the float ones.
///
/// `means` are those of the input channels; without one for each, the bias stays.
pub fn corrected(
    graph: &Graph,
    node: &Node,
    layer: &Linear,
    errors: &[f64],
    bias: &[f32],
    means: &[f64],
) -> Vec<f32> {
    if means.len() != layer.inputs {
        return bias.to_vec();
    }
    let inside = inside(graph, node, layer);
    let mut sums: Vec<f64> = bias.iter().map(|&b| b.into()).collect();
    for (index, error) in errors.iter().enumerate() {
        let place = layer.place(index);
        sums[place.output] -= error * means[place.input] * inside[place.tap];
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// For each weight, how far the number that its integer stands for is from it.
pub fn errors(layer: &Linear, weights: &[f32], rounded: &[i8], scales: &[f32]) -> Vec<f64> {
    let error = |(index, (&w, &q)): (usize, (&f32, &i8))| {
        f64::from(q) * f64::from(scales[layer.place(index).output]) - f64::from(w)
    };
    weights.iter().zip(rounded).enumerate().map(error).collect()
}

/// By tap, the part of the outputs to which it brings an input: for which a window's tap does not lie
/// on the border, and on which, of a transposed convolution, it falls.
fn inside(graph: &Graph, node: &Node, layer: &Linear) -> Vec<f64> {
    let (window, transposed) = match &node.op {
        Op::TransposeConv2d(op) => (Some(&op.window), true),
        op => (window(op), false),
    };
    let (Some(window), Some(x)) = (window, node.inputs[0]) else {
        return vec![1.0; layer.taps()];
    };
    let (x, y) = (&graph[x].shape, &graph[node.outputs[0]].shape);
    // A transposed convolution walks over its inputs and writes to its outputs where a convolution
    // walks over its outputs and reads from its inputs.
    let part = |axis: usize, before: usize, tap: usize| {
        let (inputs, outputs) = (x[axis + 1], y[axis + 1]);
        let (walked, met) = if transposed { (inputs, outputs) } else { (outputs, inputs) };
        let meets = |step: usize| {
            let at = step * window.stride[axis] + tap * window.dilation[axis];
            (before..before + met).contains(&at)
        };
        (0..walked).filter(|&step| meets(step)).count() as f64 / outputs.max(1) as f64
    };
    let rows = |tap| part(0, window.padding.rows[0], tap);
    let columns = |tap| part(1, window.padding.columns[0], tap);
    let taps = (0..layer.kernel[0]).flat_map(|row| (0..layer.kernel[1]).map(move |c| (row, c)));
    taps.map(|(row, column)| rows(row) * columns(column)).collect()
}

#[cfg(test)]
mod tests {
    use systole_core::DType;

    use super::*;
    use crate::{
        graph::{Tensor, TensorId},
        ops::{
            conv2d::Conv2d,
            transpose_conv2d::TransposeConv2d,
            window::{Padding2d, Window},
        },
        scale::Activation,
    };

    /// A 3 × 3 convolution of one channel with padding over 4 × 4.
    fn convolution() -> (Graph, Linear) {
        let mut graph = Graph::default();
        let x = graph.add_tensor(Tensor::new("x", DType::F32, vec![1, 4, 4, 1]));
        let weights: Vec<f32> = (0..9).map(|i| i as f32 * 0.37 - 1.3).collect();
        let w = graph.add_tensor(Tensor::constant("w", vec![1, 3, 3, 1], &weights));
        let y = graph.add_tensor(Tensor::new("y", DType::F32, vec![1, 4, 4, 1]));
        let padding = Padding2d { rows: [1, 1], columns: [1, 1] };
        let window = Window { stride: [1, 1], dilation: [1, 1], padding };
        let op = Op::Conv2d(Conv2d { window, activation: Activation::None });
        let (inputs, outputs) = (vec![Some(x), Some(w)], vec![y]);
        graph.add_node(Node { op, inputs, outputs, origin: String::new() }).unwrap();
        (graph.inputs, graph.outputs) = (vec![x], vec![y]);
        let layer = Linear::of(&graph, &graph.nodes[0]).unwrap();
        (graph, layer)
    }

    #[test]
    fn taps_at_the_border_count_for_less() {
        let (graph, layer) = convolution();
        let inside = inside(&graph, &graph.nodes[0], &layer);
        assert_eq!(inside, [9.0, 12.0, 9.0, 12.0, 16.0, 12.0, 9.0, 12.0, 9.0].map(|n| n / 16.0));
    }

    #[test]
    fn taps_of_transposed_convolutions_fall_on_some_outputs() {
        let (mut graph, layer) = convolution();
        let (stride, dilation) = ([2, 2], [1, 1]);
        let mut inside_of = |size: usize, before: usize| {
            graph.tensors[2].shape = vec![1, size, size, 1];
            let padding = Padding2d { rows: [before; 2], columns: [before; 2] };
            let window = Window { stride, dilation, padding };
            let output = [1, size, size, 1];
            let op = TransposeConv2d { window, output, activation: Activation::None };
            graph.nodes[0].op = Op::TransposeConv2d(op);
            inside(&graph, &graph.nodes[0], &layer)
        };
        // Every tap falls on 4 of 9 rows; with one cut off on either side of them, the first and the
        // last on 3 of 7.
        assert_eq!(inside_of(9, 0), [16.0 / 81.0; 9]);
        let rows = [3.0 / 7.0, 4.0 / 7.0, 3.0 / 7.0];
        let both: Vec<f64> = rows.iter().flat_map(|row| rows.map(|column| row * column)).collect();
        assert_eq!(inside_of(7, 1), both[..]);
    }

    #[test]
    fn the_mean_of_the_sums_is_that_of_the_float_layer() {
        let (graph, layer) = convolution();
        let weights: Vec<f32> = graph[TensorId(1)].values().unwrap();
        let rounded: Vec<i8> = weights.iter().map(|w| (w / 0.5).floor() as i8).collect();
        let errors = errors(&layer, &weights, &rounded, &[0.5]);
        // A constant input has its mean everywhere.
        let bias = corrected(&graph, &graph.nodes[0], &layer, &errors, &[0.25], &[3.0]);
        let sum = |taps: &dyn Fn(usize) -> f64, bias: f64| {
            let inside = inside(&graph, &graph.nodes[0], &layer);
            (0..9).map(|tap| taps(tap) * 3.0 * inside[tap]).sum::<f64>() + bias
        };
        let float = sum(&|tap| weights[tap].into(), 0.25);
        let integer = sum(&|tap| f64::from(rounded[tap]) * 0.5, bias[0].into());
        assert!((float - integer).abs() < 1e-5, "{float} {integer}");
        assert!((bias[0] - 0.25).abs() > 0.1);
    }
}
