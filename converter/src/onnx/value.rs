//! Values, and the order in which their axes are stored.
//!
//! A convolution of ONNX reads and gives `[n, c, h, w]`; the graph's has `[n, h, w, c]`. So the
//! value of an output is stored in another order than its axes have: axis `i` of the tensor is axis
//! `order[i]` of the value. What does not care (functions of one element, sums of values in one
//! order, reductions and concatenations, whose axes are looked up) passes the order on. ONNX's own
//! Transpose changes only the order. Where an operator does care, the importer transposes.

use crate::graph::{Graph, TensorId};

/// What a name in the model stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Where it is stored.
    pub id: TensorId,
    /// Axis `i` of the tensor is axis `order[i]` of the value.
    pub order: Vec<usize>,
    /// Whether all axes behind the first are one axis of the value, in their own order: an image
    /// that has been flattened. A matrix that it is multiplied by can be brought in the order of
    /// the tensor instead.
    pub flattened: bool,
}

impl Value {
    /// A value that is stored as it is.
    pub fn plain(graph: &Graph, id: TensorId) -> Self {
        Self { id, order: (0..graph[id].shape.len()).collect(), flattened: false }
    }

    /// A value in this order.
    pub fn ordered(id: TensorId, order: Vec<usize>) -> Self {
        Self { id, order, flattened: false }
    }

    /// Another tensor of the same axes, in the same order.
    pub fn like(&self, id: TensorId) -> Self {
        Self { id, ..self.clone() }
    }

    /// Whether the axes are stored in their own order.
    pub fn is_plain(&self) -> bool {
        !self.flattened && self.order.iter().enumerate().all(|(axis, &stored)| axis == stored)
    }

    /// The value's shape before it was flattened.
    pub fn unflattened_shape(&self, graph: &Graph) -> Vec<usize> {
        let stored = &graph[self.id].shape;
        let mut shape = vec![1; stored.len()];
        for (&axis, &dim) in self.order.iter().zip(stored) {
            shape[axis] = dim;
        }
        shape
    }

    /// The value's shape.
    pub fn shape(&self, graph: &Graph) -> Vec<usize> {
        let shape = self.unflattened_shape(graph);
        match shape.split_first() {
            Some((&first, rest)) if self.flattened => vec![first, rest.iter().product()],
            _ => shape,
        }
    }

    /// The tensor's axis that holds an axis of the value, which is not flattened.
    pub fn stored_axis(&self, axis: usize) -> usize {
        self.order.iter().position(|&stored| stored == axis).unwrap_or(axis)
    }
}

/// The order of axes that the graph's operators on images have: channels last.
pub fn channels_last(rank: usize) -> Vec<usize> {
    std::iter::once(0).chain(2..rank).chain((rank > 1).then_some(1)).collect()
}
