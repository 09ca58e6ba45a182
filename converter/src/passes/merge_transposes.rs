//! Makes one transpose of two in a row.

use crate::{
    error::Result,
    graph::Graph,
    ops::{Op, transpose::Transpose},
};

/// Runs the pass; counts transposes that were merged into the one behind them.
///
/// # Errors
/// None.
pub fn run(graph: &mut Graph) -> Result<usize> {
    let mut count = 0;
    // In order of execution: a transpose that is merged has itself taken up those before it.
    for second in 0..graph.nodes.len() {
        let Op::Transpose(outer) = &graph.nodes[second].op else { continue };
        let Some(&Some(middle)) = graph.nodes[second].inputs.first() else { continue };
        let Some(first) = graph.writer(middle) else { continue };
        let Op::Transpose(inner) = &graph.nodes[first].op else { continue };
        let permutation = outer.permutation.iter().map(|&axis| inner.permutation[axis]).collect();
        let x = graph.nodes[first].inputs[0];
        // The first one stays while others read it; without readers it is dead code.
        graph.nodes[second].op = Op::Transpose(Transpose { permutation });
        graph.nodes[second].inputs[0] = x;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::{
        dead_code, identity_movement,
        testing::{Chain, same_outputs},
    };

    fn transposes(shape: &[usize], permutations: &[&[usize]]) -> Graph {
        let mut chain = Chain::new(shape);
        for permutation in permutations {
            let shape: Vec<usize> = permutation.iter().map(|&axis| chain.shape()[axis]).collect();
            chain.add(Op::Transpose(Transpose { permutation: permutation.to_vec() }), &shape);
        }
        chain.finish()
    }

    #[test]
    fn several_in_a_row_become_one() {
        let mut graph = transposes(&[2, 3, 4], &[&[1, 2, 0], &[0, 2, 1], &[2, 1, 0]]);
        assert_eq!(same_outputs(&mut graph, run), 2);
        assert_eq!(same_outputs(&mut graph, dead_code::run), 2);
        assert_eq!(graph.nodes.len(), 1);
    }

    #[test]
    fn one_that_undoes_another_moves_nothing() {
        let mut graph = transposes(&[2, 3, 4], &[&[1, 2, 0], &[2, 0, 1]]);
        assert_eq!(same_outputs(&mut graph, run), 1);
        assert_eq!(same_outputs(&mut graph, identity_movement::run), 1);
    }
}
