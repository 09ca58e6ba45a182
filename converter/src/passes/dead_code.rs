//! Removes nodes whose outputs nothing reads.

use crate::{error::Result, graph::Graph};

/// Runs the pass; counts removed nodes.
///
/// # Errors
/// None.
pub fn run(graph: &mut Graph) -> Result<usize> {
    let before = graph.nodes.len();
    let mut used = vec![false; graph.tensors.len()];
    for output in &graph.outputs {
        used[output.0] = true;
    }
    // Readers come after writers, so one walk from the end sees all uses.
    for node in graph.nodes.iter().rev() {
        if node.outputs.iter().any(|output| used[output.0]) {
            node.inputs.iter().flatten().for_each(|input| used[input.0] = true);
        }
    }
    graph.nodes.retain(|node| node.outputs.iter().any(|output| used[output.0]));
    Ok(before - graph.nodes.len())
}

#[cfg(test)]
mod tests {
    use systole_core::DType;

    use super::*;
    use crate::{
        graph::{Node, Tensor},
        ops::{Op, reshape::Reshape},
    };

    #[test]
    fn a_chain_that_leads_nowhere_is_removed() {
        let mut graph = Graph::default();
        let ids: Vec<_> = (0..4)
            .map(|i| graph.add_tensor(Tensor::new(format!("t{i}"), DType::F32, vec![2, 3])))
            .collect();
        graph.inputs = vec![ids[0]];
        graph.outputs = vec![ids[1]];
        for (from, to) in [(0, 1), (0, 2), (2, 3)] {
            let node = Node {
                op: Op::Reshape(Reshape),
                inputs: vec![Some(ids[from])],
                outputs: vec![ids[to]],
                origin: String::new(),
            };
            graph.add_node(node).unwrap();
        }
        assert_eq!(run(&mut graph).unwrap(), 2);
        assert_eq!(graph.nodes.len(), 1);
        assert_eq!(graph.nodes[0].outputs, [ids[1]]);
    }
}
