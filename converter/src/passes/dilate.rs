//! Makes one dilated convolution of SPACE_TO_BATCH_ND, a convolution and BATCH_TO_SPACE_ND, which is
//! how TensorFlow writes dilation.

use crate::{
    error::Result,
    graph::Graph,
    ops::{
        Op, batch_to_space_nd::BatchToSpaceNd, pad::zero, space_to_batch_nd::SpaceToBatchNd,
        window::Window,
    },
};

/// Runs the pass; counts convolutions that became dilated ones.
///
/// # Errors
/// None.
pub fn run(graph: &mut Graph) -> Result<usize> {
    let count = (0..graph.nodes.len()).filter(|&index| dilate(graph, index).is_some()).count();
    Ok(count)
}

/// Dilates the convolution in front of node `last`, if that is a BATCH_TO_SPACE_ND that ends the
/// three: the convolution's node then writes what `last` wrote, from what came into the first.
fn dilate(graph: &mut Graph, last: usize) -> Option<()> {
    let Op::BatchToSpaceNd(to_space) = graph.nodes[last].op.clone() else { return None };
    let middle = sole_writer(graph, last)?;
    let first = sole_writer(graph, middle)?;
    let Op::SpaceToBatchNd(to_batch) = graph.nodes[first].op.clone() else { return None };
    let view = graph.view(first);
    let (x, batches) = (view.input(0).ok()?, view.output(0).ok()?);
    // The border must be what kernels take taps outside of the input for, whoever is matched.
    let padded = to_batch.padding.iter().any(|&pair| pair != [0, 0]);
    if padded && zero(x) != 0 || x.quantization != batches.quantization {
        return None;
    }
    let (x, y) = (graph.nodes[first].inputs[0], graph.nodes[last].outputs[0]);
    let same_output = graph[y].quantization == graph[graph.nodes[middle].outputs[0]].quantization;
    if !same_output {
        return None;
    }
    let mut op = graph.nodes[middle].op.clone();
    let window = match &mut op {
        Op::Conv2d(conv) => &mut conv.window,
        Op::DepthwiseConv2d(conv) => &mut conv.window,
        _ => return None,
    };
    *window = dilated(window, &to_batch, &to_space)?;
    let mut node = graph.nodes[middle].clone();
    (node.op, node.inputs[0], node.outputs) = (op, x, vec![y]);
    // Whatever else follows from shapes is checked as for any node.
    graph.check(&node).ok()?;
    graph.nodes[last] = node;
    Some(())
}

/// The writer of input 0 of `node`, where `node` is all that reads it.
fn sole_writer(graph: &Graph, node: usize) -> Option<usize> {
    let tensor = graph.nodes[node].inputs.first().copied().flatten()?;
    if graph.readers(tensor).count() != 1 || graph.outputs.contains(&tensor) {
        return None;
    }
    graph.writer(tensor)
}

/// The window over the original image: one step in a batch is `block` steps there.
fn dilated(
    window: &Window,
    to_batch: &SpaceToBatchNd,
    to_space: &BatchToSpaceNd,
) -> Option<Window> {
    let plain = window.stride == [1, 1]
        && window.dilation == [1, 1]
        && window.padding.rows == [0, 0]
        && window.padding.columns == [0, 0];
    if !plain || to_batch.block != to_space.block {
        return None;
    }
    let [rows, columns] = to_batch.block[..] else { return None };
    // Outputs that are cut off were windows over nothing but padding and the image's border.
    let left = |axis: usize| {
        let (padding, crop) = (to_batch.padding[axis], to_space.crops[axis]);
        Some([padding[0].checked_sub(crop[0])?, padding[1].checked_sub(crop[1])?])
    };
    let mut dilated = *window;
    dilated.dilation = [rows, columns];
    dilated.padding.rows = left(0)?;
    dilated.padding.columns = left(1)?;
    Some(dilated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Tensor,
        ops::{conv2d::Conv2d, window::Padding2d},
        passes::{
            dead_code,
            testing::{Chain, same_outputs},
        },
        scale::Activation,
    };

    #[test]
    fn the_three_become_one_dilated_convolution() {
        // 7 × 9 pixels, padded to 8 × 12, every second row and every third column to a batch.
        let mut chain = Chain::new(&[1, 7, 9, 2]);
        let to_batch = SpaceToBatchNd { block: vec![2, 3], padding: vec![[0, 1], [2, 1]] };
        chain.add(Op::SpaceToBatchNd(to_batch), &[6, 4, 4, 2]);
        let weights: Vec<f32> = (0..36).map(|i| (i as f32 * 0.9).cos()).collect();
        let weights = Tensor::constant("w", vec![3, 3, 2, 2], &weights);
        let window = Window { stride: [1, 1], dilation: [1, 1], padding: Padding2d::default() };
        let op = Op::Conv2d(Conv2d { window, activation: Activation::Relu });
        chain.add_with(op, &[weights], &[6, 2, 3, 3]);
        let to_space = BatchToSpaceNd { block: vec![2, 3], crops: vec![[0, 1], [1, 0]] };
        chain.add(Op::BatchToSpaceNd(to_space), &[1, 3, 8, 3]);
        let mut graph = chain.finish();
        assert_eq!(same_outputs(&mut graph, run), 1);
        assert_eq!(same_outputs(&mut graph, dead_code::run), 2);
        let Op::Conv2d(conv) = &graph.nodes[0].op else { panic!("the convolution is gone") };
        assert_eq!(conv.window.dilation, [2, 3]);
        assert_eq!(conv.window.padding, Padding2d { rows: [0, 0], columns: [1, 1] });
    }
}
