//! DELEGATE: a part of a model that is compiled for an accelerator.

use std::sync::Arc;

use super::Operator;
use crate::{
    error::Result,
    graph::{Graph, NodeView},
    lower::{Lowering, lower},
};

/// A part for an accelerator, and what stands in for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Delegate {
    /// A TFLite model with this part alone, whose inputs and outputs are the node's in their order.
    pub blob: Arc<[u8]>,
    /// The same part for Systole's kernels, with the node's inputs and outputs.
    pub fallback: Option<Box<Graph>>,
}

impl Operator for Delegate {
    /// What the model says: the compiled part tells nothing.
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        Ok(node.node.outputs.iter().map(|&output| node.graph[output].shape.clone()).collect())
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let stand_in = self.fallback.as_ref().map(|graph| lower(graph, lowering.matching()));
        lowering.emit_delegate(node, &self.blob, stand_in.transpose()?)
    }
}
