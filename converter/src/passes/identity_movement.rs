//! Makes views of operators that move nothing: transposes of axes of 1, slices of everything, paddings
//! and tiles that add nothing, concatenations of one.

use crate::{
    error::Result,
    graph::{Graph, Tensor},
    ops::{Op, reshape::Reshape, strided_slice::Steps},
};

/// Runs the pass; counts operators that became views.
///
/// # Errors
/// None.
pub fn run(graph: &mut Graph) -> Result<usize> {
    let mut count = 0;
    for index in 0..graph.nodes.len() {
        let view = graph.view(index);
        let (Ok(x), Ok(y)) = (view.input(0), view.output(0)) else { continue };
        if moves_nothing(&view.node.op, x, y, view.node.inputs.len()) {
            let node = &mut graph.nodes[index];
            node.op = Op::Reshape(Reshape);
            node.inputs.truncate(1);
            count += 1;
        }
    }
    Ok(count)
}

/// Whether `y` has the elements of `x` in their order.
fn moves_nothing(op: &Op, x: &Tensor, y: &Tensor, inputs: usize) -> bool {
    match op {
        Op::Transpose(transpose) => {
            // Axes of 1 may go anywhere: the others decide.
            let longer = transpose.permutation.iter().filter(|&&axis| x.shape[axis] > 1);
            longer.is_sorted()
        }
        Op::StridedSlice(slice) => {
            slice.axes.iter().zip(&x.shape).all(|(axis, &dim)| *axis == Steps::all(dim))
        }
        Op::Pad(pad) => pad.padding.iter().all(|&pair| pair == [0, 0]),
        Op::MirrorPad(pad) => pad.padding.iter().all(|&pair| pair == [0, 0]),
        Op::Tile(_) => x.elements() == y.elements(),
        Op::Concatenation(_) => inputs == 1 && x.quantization == y.quantization,
        Op::DepthToSpace(op) => op.block == 1,
        Op::SpaceToDepth(op) => op.block == 1,
        Op::SpaceToBatchNd(op) => {
            op.block.iter().all(|&block| block == 1) && op.padding.iter().all(|&p| p == [0, 0])
        }
        Op::BatchToSpaceNd(op) => {
            op.block.iter().all(|&block| block == 1) && op.crops.iter().all(|&c| c == [0, 0])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::{pad::Pad, strided_slice::StridedSlice, transpose::Transpose},
        passes::testing::{Chain, same_outputs},
    };

    #[test]
    fn a_chain_that_moves_nothing_becomes_views() {
        let whole = [Steps::all(2), Steps::all(1), Steps::all(3)].to_vec();
        let mut chain = Chain::new(&[1, 2, 3]);
        chain.add(Op::Transpose(Transpose { permutation: vec![1, 0, 2] }), &[2, 1, 3]);
        chain.add(Op::StridedSlice(StridedSlice { axes: whole }), &[2, 1, 3]);
        chain.add(Op::Pad(Pad { padding: vec![[0, 0]; 3], value: Some(7) }), &[2, 1, 3]);
        let mut graph = chain.finish();
        assert_eq!(same_outputs(&mut graph, run), 3);
        assert!(graph.nodes.iter().all(|node| node.op == Op::Reshape(Reshape)));
    }

    #[test]
    fn what_moves_stays() {
        let reversed = Steps { begin: 2, stride: -1, count: 3 };
        let mut chain = Chain::new(&[2, 3]);
        chain.add(Op::Transpose(Transpose { permutation: vec![1, 0] }), &[3, 2]);
        chain.add(Op::StridedSlice(StridedSlice { axes: vec![reversed, Steps::all(2)] }), &[3, 2]);
        chain.add(Op::Pad(Pad { padding: vec![[0, 0], [1, 0]], value: None }), &[3, 3]);
        assert_eq!(same_outputs(&mut chain.finish(), run), 0);
    }
}
