//! Scales of all tensors: which tensors share one, which are fixed, and what range each group has.

use std::collections::HashMap;

use super::{
    parameters::Affine,
    recipe::{PortType, Precision, Recipe},
    rules::{Rule, real_inputs, real_outputs, rule},
};
use crate::{
    calibrate::{Calibration, Observed, Observer, Range},
    error::{Result, Within, bail, error},
    graph::{Graph, Node, TensorId},
    ops::Op,
};

/// A tensor as one precision holds it. A tensor that layers of different precision read is held in
/// each of theirs.
pub type Held = (TensorId, Precision);

/// Scale and zero point of every tensor, in every precision that it is held in.
///
/// # Errors
/// `InvalidData` where a tensor has become NaN or infinite, or was never seen.
pub fn scales(
    graph: &Graph,
    precisions: &[Precision],
    calibration: &Calibration,
    recipe: &Recipe,
) -> Result<HashMap<Held, Affine>> {
    let mut groups = Groups::default();
    let mut fixed: HashMap<Held, Affine> = HashMap::new();
    for (node, &precision) in graph.nodes.iter().zip(precisions) {
        let node_rule = rule(&node.op, precision);
        if node_rule == Rule::Float {
            continue;
        }
        let outputs = real_outputs(graph, node);
        let inputs = real_inputs(graph, node);
        match node_rule {
            Rule::Shared => {
                let mut held = inputs.chain(outputs).map(|id| (id, precision));
                if let Some(first) = held.next() {
                    groups.add(first);
                    held.for_each(|other| groups.join(first, other));
                }
            }
            Rule::Fixed { scale, zero_point } => {
                inputs.for_each(|id| groups.add((id, precision)));
                for id in outputs {
                    groups.add((id, precision));
                    fixed.insert((id, precision), Affine { scale, zero_point });
                }
            }
            Rule::Own | Rule::Weights | Rule::Float => {
                let weights = matches!(node_rule, Rule::Weights);
                let operands = inputs.take(if weights { 1 } else { usize::MAX });
                operands.chain(outputs).for_each(|id| groups.add((id, precision)));
            }
        }
    }
    let padding = padding_values(graph);
    let mut scales = HashMap::new();
    for members in groups.all() {
        let known = members.iter().find_map(|held| fixed.get(held).copied());
        let affine = match known {
            Some(affine) => affine,
            None => {
                let mut range = Range::new(0.0, 0.0);
                for &(id, precision) in &members {
                    range = range.union(range_of(graph, id, precision, calibration, recipe)?);
                    if let Some(&value) = padding.get(&id) {
                        range = range.union(Range::new(value, value));
                    }
                }
                Affine::cover(range, members[0].1)
            }
        };
        scales.extend(members.into_iter().map(|held| (held, affine)));
    }
    Ok(scales)
}

/// The range of one tensor: of a constant, that of its values.
fn range_of(
    graph: &Graph,
    id: TensorId,
    precision: Precision,
    calibration: &Calibration,
    recipe: &Recipe,
) -> Result<Range> {
    let tensor = &graph[id];
    if tensor.is_constant() {
        let values: Vec<f32> = tensor.values()?;
        let ends = values
            .iter()
            .filter(|x| x.is_finite())
            .fold((0.0_f32, 0.0_f32), |ends, &x| (ends.0.min(x), ends.1.max(x)));
        return Ok(Range::new(ends.0.into(), ends.1.into()));
    }
    let Some(seen) = calibration.tensor(id) else {
        bail!(InvalidData, "{tensor} was not seen by the calibration");
    };
    if seen.nans + seen.infinities > 0 {
        return Err(error!(
            InvalidData,
            "{tensor} becomes NaN {} times and infinite {} times on the calibration data, so it has \
             no range; keep it float (--keep-float), or leave out the samples that cause it",
            seen.nans,
            seen.infinities
        ))
        .within(|| writer(graph, id));
    }
    // 16 bits resolve outliers and the rest at once.
    let observer = if precision == Precision::Int16 { Observer::MinMax } else { recipe.observer };
    let range = observer.range(seen);
    if recipe.input_type == PortType::Uint8 && graph.inputs.contains(&id) && is_bytes(seen) {
        return Ok(Range::new(0.0, 255.0));
    }
    // The softmax of a smaller range is uniform, and its kernel has no multiplier for it.
    let softmax =
        |&reader: &usize| matches!(graph.nodes[reader].op, Op::Softmax(_) | Op::LogSoftmax(_));
    let wide_enough = graph.readers(id).any(|reader| softmax(&reader));
    Ok(if wide_enough { range.union(Range::new(0.0, 1e-4)) } else { range })
}

/// Whether an input looks like the bytes of pixels: then uint8 holds them as they are, scale 1 and zero
/// point 0.
fn is_bytes(seen: &Observed) -> bool {
    seen.min >= 0.0 && seen.max > 16.0 && seen.max <= 255.0
}

fn writer(graph: &Graph, id: TensorId) -> String {
    graph.writer(id).map_or("the model's input".into(), |node| graph.nodes[node].origin.clone())
}

/// By tensor, the finite value that a border around it has.
fn padding_values(graph: &Graph) -> HashMap<TensorId, f64> {
    let value = |node: &Node| match &node.op {
        Op::Pad(pad) => Some((node.outputs[0], f32::from_bits(pad.value? as u32))),
        _ => None,
    };
    let finite = graph.nodes.iter().filter_map(value).filter(|(_, value)| value.is_finite());
    finite.map(|(id, value)| (id, value.into())).collect()
}

/// Disjoint sets of tensors.
#[derive(Debug, Default)]
struct Groups {
    index: HashMap<Held, usize>,
    members: Vec<Held>,
    parent: Vec<usize>,
}

impl Groups {
    fn add(&mut self, held: Held) {
        self.of(held);
    }

    fn join(&mut self, a: Held, b: Held) {
        let (a, b) = (self.of(a), self.of(b));
        // The older one stays, so that the order of groups follows that of the graph.
        self.parent[a.max(b)] = a.min(b);
    }

    /// The root of the set of `held`.
    fn of(&mut self, held: Held) -> usize {
        let mut at = *self.index.entry(held).or_insert_with(|| {
            self.members.push(held);
            self.parent.push(self.parent.len());
            self.parent.len() - 1
        });
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    /// All sets, in order of their first members.
    fn all(mut self) -> Vec<Vec<Held>> {
        let mut sets = vec![Vec::new(); self.members.len()];
        for held in self.members.clone() {
            let root = self.of(held);
            sets[root].push(held);
        }
        sets.retain(|set| !set.is_empty());
        sets
    }
}
