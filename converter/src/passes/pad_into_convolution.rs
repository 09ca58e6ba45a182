//! Makes explicit padding of a convolution of a PAD with zeros in front of it.
//!
//! Kernels take taps outside of the input as real zero, so a border of zeros need not be written.
//! Where a view stands in between, as in one-dimensional convolutions, the padding moves behind it
//! first.

use crate::{
    error::Result,
    graph::{Graph, TensorId},
    ops::{Op, pad::Pad, pad::zero, window::Window},
};
use systole_core::DType;

/// Runs the pass; counts paddings that a convolution took up.
///
/// # Errors
/// None.
pub fn run(graph: &mut Graph) -> Result<usize> {
    let mut count = 0;
    for index in 0..graph.nodes.len() {
        if window(&graph.nodes[index].op).is_none() || is_hybrid(graph, index) {
            continue;
        }
        while let Some(pad) = padding_before(graph, index) {
            let Op::Pad(Pad { padding, .. }) = graph.nodes[pad].op.clone() else { break };
            let x = graph.nodes[pad].inputs[0];
            let node = &mut graph.nodes[index];
            let Some(window) = window_mut(&mut node.op) else { break };
            add(&mut window.padding.rows, padding[1]);
            add(&mut window.padding.columns, padding[2]);
            node.inputs[0] = x;
            count += 1;
        }
    }
    Ok(count)
}

fn add(padding: &mut [usize; 2], more: [usize; 2]) {
    padding[0] += more[0];
    padding[1] += more[1];
}

fn window(op: &Op) -> Option<&Window> {
    match op {
        Op::Conv2d(conv) => Some(&conv.window),
        Op::DepthwiseConv2d(conv) => Some(&conv.window),
        _ => None,
    }
}

fn window_mut(op: &mut Op) -> Option<&mut Window> {
    match op {
        Op::Conv2d(conv) => Some(&mut conv.window),
        Op::DepthwiseConv2d(conv) => Some(&mut conv.window),
        _ => None,
    }
}

/// Whether the convolution quantizes its input as it runs, by a range that padding is a part of.
fn is_hybrid(graph: &Graph, index: usize) -> bool {
    let view = graph.view(index);
    match (view.input(0), view.input(1)) {
        (Ok(x), Ok(weights)) => x.dtype == DType::F32 && weights.dtype != DType::F32,
        _ => true,
    }
}

/// The node that pads the input of node `index` with zeros along rows and columns, directly.
fn padding_before(graph: &mut Graph, index: usize) -> Option<usize> {
    let x = graph.nodes[index].inputs.first().copied().flatten()?;
    let mut writer = graph.writer(x)?;
    if matches!(graph.nodes[writer].op, Op::Reshape(_)) {
        move_behind_view(graph, writer)?;
        // The padding is where the view was, and writes what it wrote.
        writer = graph.writer(x)?;
    }
    let Op::Pad(pad) = &graph.nodes[writer].op else { return None };
    let inner = pad.padding.len() == 4 && pad.padding[0] == [0, 0] && pad.padding[3] == [0, 0];
    (inner && pads_with_zero(graph, writer, pad)).then_some(writer)
}

/// Whether the border is what kernels take taps outside of the input for.
fn pads_with_zero(graph: &Graph, index: usize, pad: &Pad) -> bool {
    let view = graph.view(index);
    match (view.input(0), view.output(0)) {
        (Ok(x), Ok(y)) => {
            pad.value.is_none_or(|value| same_element(value, zero(x), x.dtype))
                && x.quantization == y.quantization
        }
        _ => false,
    }
}

/// Whether two values are the same element of type `dtype`.
fn same_element(a: i64, b: i64, dtype: DType) -> bool {
    let bytes = dtype.size();
    a.to_le_bytes()[..bytes] == b.to_le_bytes()[..bytes]
}

/// Exchanges a view that adds or removes axes of 1 with the padding in front of it, where nothing
/// else reads what is between them.
fn move_behind_view(graph: &mut Graph, view: usize) -> Option<()> {
    let middle = graph.nodes[view].inputs.first().copied().flatten()?;
    let pad = graph.writer(middle)?;
    let Op::Pad(Pad { padding, value }) = graph.nodes[pad].op.clone() else { return None };
    if graph.readers(middle).count() != 1 || graph.outputs.contains(&middle) {
        return None;
    }
    let (x, y) = (graph.nodes[pad].inputs[0]?, graph.nodes[view].outputs[0]);
    if graph[middle].quantization != graph[y].quantization {
        return None;
    }
    let moved = paddings_behind(&graph[middle].shape, &padding, &graph[y].shape)?;
    let mut between = graph[x].clone();
    between.shape = graph[y].shape.clone();
    for (dim, [before, after]) in between.shape.iter_mut().zip(&moved) {
        *dim -= before + after;
    }
    let between: TensorId = graph.add_tensor(between);
    // The two change places, so that order of execution holds.
    let (pad_op, view_op) = (Pad { padding: moved, value }, graph.nodes[view].op.clone());
    graph.nodes[pad].op = view_op;
    graph.nodes[pad].outputs = vec![between];
    graph.nodes[view].op = Op::Pad(pad_op);
    graph.nodes[view].inputs = vec![Some(between)];
    Some(())
}

/// The padding of each axis of `view`, a shape with the axes of `padded` and other axes of 1.
fn paddings_behind(
    padded: &[usize],
    padding: &[[usize; 2]],
    view: &[usize],
) -> Option<Vec<[usize; 2]>> {
    // An axis that is padded is longer than 1, unless its padding is none.
    let mut axes = padded.iter().zip(padding).filter(|(dim, _)| **dim > 1);
    let mut moved = Vec::new();
    for &dim in view {
        if dim == 1 {
            moved.push([0, 0]);
            continue;
        }
        let (&from, &pair) = axes.next()?;
        if from != dim {
            return None;
        }
        moved.push(pair);
    }
    axes.next().is_none().then_some(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Tensor,
        ops::{conv2d::Conv2d, reshape::Reshape, window::Padding2d},
        passes::{
            dead_code,
            testing::{Chain, same_outputs},
        },
        scale::Activation,
    };

    /// A 3 × 3 convolution of 2 channels behind the chain.
    fn convolve(mut chain: Chain, out: &[usize], pad_right: usize) -> Graph {
        let weights: Vec<f32> = (0..54).map(|i| (i as f32 * 0.7).sin()).collect();
        let weights = Tensor::constant("w", vec![3, 3, 3, 2], &weights);
        let window = Window {
            stride: [1, 1],
            dilation: [1, 1],
            padding: Padding2d { rows: [0, 0], columns: [0, pad_right] },
        };
        let op = Op::Conv2d(Conv2d { window, activation: Activation::None });
        chain.add_with(op, &[weights], out);
        chain.finish()
    }

    fn pad(padding: &[[usize; 2]], value: Option<i64>) -> Op {
        Op::Pad(Pad { padding: padding.to_vec(), value })
    }

    #[test]
    fn zeros_around_an_image_become_padding() {
        let mut chain = Chain::new(&[1, 4, 5, 2]);
        chain.add(pad(&[[0, 0], [1, 2], [3, 0], [0, 0]], None), &[1, 7, 8, 2]);
        let mut graph = convolve(chain, &[1, 5, 7, 3], 1);
        assert_eq!(same_outputs(&mut graph, run), 1);
        let Op::Conv2d(conv) = &graph.nodes[1].op else { panic!("the convolution is gone") };
        assert_eq!(conv.window.padding, Padding2d { rows: [1, 2], columns: [3, 1] });
        assert_eq!(same_outputs(&mut graph, dead_code::run), 1);
    }

    #[test]
    fn the_padding_of_a_sequence_moves_behind_its_view() {
        let mut chain = Chain::new(&[3, 5, 2]);
        chain.add(pad(&[[0, 0], [4, 0], [0, 0]], Some(0)), &[3, 9, 2]);
        chain.add(Op::Reshape(Reshape), &[1, 3, 9, 2]);
        let mut graph = convolve(chain, &[1, 1, 7, 3], 0);
        assert_eq!(same_outputs(&mut graph, run), 1);
        assert_eq!(same_outputs(&mut graph, dead_code::run), 1);
        assert!(graph.nodes.iter().all(|node| !matches!(node.op, Op::Pad(_))));
    }

    #[test]
    fn other_values_channels_and_batches_stay() {
        let stays = |padding: &[[usize; 2]], value, padded: &[usize], x: &[usize], y: &[usize]| {
            let mut chain = Chain::new(x);
            chain.add(pad(padding, value), padded);
            assert_eq!(same_outputs(&mut convolve(chain, y, 0), run), 0);
        };
        let one = Some(i64::from(1.0_f32.to_bits()));
        stays(&[[0, 0], [1, 0], [0, 0], [0, 0]], one, &[1, 4, 3, 2], &[1, 3, 3, 2], &[1, 2, 1, 3]);
        stays(&[[0, 0], [0, 0], [0, 0], [1, 0]], None, &[1, 3, 3, 2], &[1, 3, 3, 1], &[1, 1, 1, 3]);
        stays(&[[1, 0], [0, 0], [0, 0], [0, 0]], None, &[2, 3, 3, 2], &[1, 3, 3, 2], &[2, 1, 1, 3]);
    }
}
