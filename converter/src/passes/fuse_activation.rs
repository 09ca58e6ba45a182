//! Moves a RELU, RELU6 or the like into the operator before it, as the range of its output. Reshapes
//! in between change no element.
//!
//! Quantized tensors must have one quantization before and behind the activation: then it is a
//! clamp of stored values, which is what fused activations are. Otherwise it scales, too, and the
//! two roundings cannot become one.

use crate::{
    error::Result,
    graph::Graph,
    ops::{Op, unary::Unary},
    scale::Activation,
};

/// Runs the pass; counts activations that were moved.
///
/// # Errors
/// None.
pub fn run(graph: &mut Graph) -> Result<usize> {
    let before = graph.nodes.len();
    let mut index = 0;
    while index < graph.nodes.len() {
        if fuse(graph, index) {
            graph.nodes.remove(index);
        } else {
            index += 1;
        }
    }
    Ok(before - graph.nodes.len())
}

/// Moves the activation `index` into the node before it; false where that is not possible.
fn fuse(graph: &mut Graph, index: usize) -> bool {
    let Op::Unary(Unary::Range(activation)) = graph.nodes[index].op else { return false };
    let (Some(x), y) = (graph.nodes[index].inputs[0], graph.nodes[index].outputs[0]) else {
        return false;
    };
    let Some(last) = graph.writer(x) else { return false };
    let (mut writer, mut read) = (last, x);
    loop {
        let same = graph[read].quantization == graph[y].quantization
            && graph[read].dtype == graph[y].dtype;
        let only = graph.readers(read).count() == 1 && !graph.outputs.contains(&read);
        if !same || !only {
            return false;
        }
        let (Op::Reshape(_), Some(&Some(inner))) =
            (&graph.nodes[writer].op, graph.nodes[writer].inputs.first())
        else {
            break;
        };
        let Some(before) = graph.writer(inner) else { return false };
        (writer, read) = (before, inner);
    }
    match fused(&mut graph.nodes[writer].op) {
        Some(slot) if *slot == Activation::None => *slot = activation,
        _ => return false,
    }
    graph.nodes[last].outputs = vec![y];
    true
}

/// The fused activation of operators that have one.
fn fused(op: &mut Op) -> Option<&mut Activation> {
    Some(match op {
        Op::Conv2d(op) => &mut op.activation,
        Op::DepthwiseConv2d(op) => &mut op.activation,
        Op::TransposeConv2d(op) => &mut op.activation,
        Op::FullyConnected(op) => &mut op.activation,
        Op::AveragePool2d(op) => &mut op.0.activation,
        Op::MaxPool2d(op) => &mut op.0.activation,
        Op::Binary(op) if op.takes_activation() => &mut op.activation,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use systole_core::DType;

    use super::*;
    use crate::{
        graph::Tensor,
        ops::{fully_connected::FullyConnected, reshape::Reshape},
        passes::testing::{Chain, same_outputs},
    };

    fn product(chain: &mut Chain, outputs: usize) {
        let inputs = chain.shape()[1];
        let weights: Vec<f32> = (0..outputs * inputs).map(|i| (i % 7) as f32 - 3.0).collect();
        let weights = Tensor::constant("w", vec![outputs, inputs], &weights);
        let op =
            FullyConnected { keep_dims: false, asymmetric: false, activation: Activation::None };
        chain.add_with(Op::FullyConnected(op), &[weights], &[1, outputs]);
    }

    #[test]
    fn an_activation_becomes_the_range_of_the_product_before_it() {
        let mut chain = Chain::new(&[1, 5]);
        product(&mut chain, 4);
        chain.add(Op::Unary(Unary::Range(Activation::Relu6)), &[1, 4]);
        let mut graph = chain.finish();
        assert_eq!(same_outputs(&mut graph, run), 1);
        assert_eq!(graph.nodes.len(), 1);
    }

    #[test]
    fn a_reshape_in_between_is_no_obstacle() {
        let mut chain = Chain::new(&[1, 5]);
        product(&mut chain, 4);
        chain.add(Op::Reshape(Reshape), &[2, 2]);
        chain.add(Op::Unary(Unary::Range(Activation::Relu)), &[2, 2]);
        let mut graph = chain.finish();
        assert_eq!(same_outputs(&mut graph, run), 1);
        assert!(matches!(graph.nodes[1].op, Op::Reshape(_)));
    }

    #[test]
    fn a_second_activation_stays() {
        let mut chain = Chain::new(&[1, 5]);
        product(&mut chain, 4);
        chain.add(Op::Unary(Unary::Range(Activation::Relu)), &[1, 4]);
        chain.add(Op::Unary(Unary::Range(Activation::Relu6)), &[1, 4]);
        let mut graph = chain.finish();
        assert_eq!(same_outputs(&mut graph, run), 1);
        assert_eq!(graph.nodes.len(), 2);
    }

    #[test]
    fn what_others_read_before_the_activation_stays() {
        let mut chain = Chain::new(&[1, 5]);
        product(&mut chain, 4);
        chain.add(Op::Unary(Unary::Range(Activation::Relu)), &[1, 4]);
        let mut graph = chain.finish();
        let before = graph.nodes[0].outputs[0];
        assert_eq!(graph[before].dtype, DType::F32);
        graph.outputs.push(before);
        assert_eq!(same_outputs(&mut graph, run), 0);
    }
}
