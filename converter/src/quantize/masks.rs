//! Masks of attention: numbers such as −10,000 or −∞ that are added so that a softmax gives zero.
//!
//! A range that holds them has no level left for anything else, in 8 bits or in 16. So the softmax
//! stays float, and the operators in front of it that the mask goes through.

use std::collections::BTreeSet;

use crate::{
    calibrate::Calibration,
    graph::{Graph, TensorId},
    ops::Op,
};

/// What is this far below zero in front of a softmax is a mask: its exponential is zero in float32
/// beside anything that is not.
const MASK: f32 = -200.0;

/// The nodes that have to stay float.
pub(super) fn nodes(graph: &Graph, calibration: &Calibration) -> BTreeSet<usize> {
    let masked = |id: TensorId| {
        let seen = calibration.tensor(id);
        seen.is_some_and(|seen| seen.min < MASK || seen.infinities > 0)
    };
    let mut found = BTreeSet::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let Some(x) = node.inputs.first().copied().flatten() else { continue };
        if !matches!(node.op, Op::Softmax(_) | Op::LogSoftmax(_)) || !masked(x) {
            continue;
        }
        found.insert(index);
        let mut open = vec![x];
        while let Some(id) = open.pop() {
            let Some(writer) = graph.writer(id).filter(|writer| !found.contains(writer)) else {
                continue;
            };
            let node = &graph.nodes[writer];
            // A layer with weights gives numbers of its own; what goes in there is no mask.
            let passes = matches!(
                node.op,
                Op::Binary(_)
                    | Op::Select(_)
                    | Op::Unary(_)
                    | Op::Reshape(_)
                    | Op::Transpose(_)
                    | Op::Tile(_)
                    | Op::Concatenation(_)
                    | Op::StridedSlice(_)
                    | Op::Gather(_)
            );
            if passes {
                found.insert(writer);
                open.extend(node.inputs.iter().flatten().copied().filter(|&input| masked(input)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;
    use crate::{
        calibrate::calibrate,
        graph::Tensor,
        npz::Array,
        ops::{
            binary::{Arithmetic, Binary},
            softmax::Softmax,
        },
        passes::testing::Chain,
        scale::Activation,
    };

    fn found(mask: [f32; 3]) -> Vec<usize> {
        let mut chain = Chain::new(&[1, 3]);
        let sum = |operation| {
            Op::Binary(Binary { operation, activation: Activation::None, power_of_two: false })
        };
        let factors = Tensor::constant("f", vec![3], &[1.0_f32, 2.0, 3.0]);
        chain.add_with(sum(Arithmetic::Mul), &[factors], &[1, 3]);
        let mask = Tensor::constant("mask", vec![3], &mask);
        chain.add_with(sum(Arithmetic::Add), &[mask], &[1, 3]);
        chain.add(Op::Softmax(Softmax { beta: 1.0 }), &[1, 3]);
        let graph = chain.finish();
        let bytes = [0.5_f32, -1.0, 2.0].as_bytes().to_vec();
        let array =
            Array { name: "x".into(), dtype: systole_core::DType::F32, shape: vec![1, 3], bytes };
        let calibration = calibrate(&graph, &[array], &|| {}).unwrap();
        nodes(&graph, &calibration).into_iter().collect()
    }

    #[test]
    fn a_softmax_behind_a_mask_and_the_mask_stay_float() {
        assert_eq!(found([0.0, -10_000.0, 0.0]), [1, 2]);
        assert_eq!(found([0.0, f32::NEG_INFINITY, 0.0]), [1, 2]);
        assert_eq!(found([0.0, -10.0, 0.0]), [0; 0]);
    }
}
