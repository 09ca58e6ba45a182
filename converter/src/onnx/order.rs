//! The order in which nodes are imported, and how messages name them.

use std::collections::{HashMap, HashSet, VecDeque};

use tract_onnx::pb::NodeProto;

use super::value::Value;
use crate::error::{Result, bail};

/// The most characters of a node's name in messages.
const MAX_NAME: usize = 200;

/// The nodes' indices, each behind those whose outputs it reads.
pub(super) fn in_order(nodes: &[NodeProto], known: &HashMap<&str, Value>) -> Result<Vec<usize>> {
    let mut writers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if known.contains_key(&**output) || writers.insert(output, index).is_some() {
                bail!(InvalidGraph, "'{output}' is written twice; names must be of one value");
            }
        }
    }
    let mut waits: Vec<usize> = Vec::new();
    let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        let mut sources = HashSet::new();
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            match writers.get(&**name) {
                Some(&writer) => {
                    sources.insert(writer);
                }
                None if known.contains_key(&**name) => {}
                None => bail!(
                    InvalidGraph,
                    "{} reads '{name}', which is no input, no initializer and no node's output",
                    origin(index, node)
                ),
            }
        }
        waits.push(sources.len());
        for source in sources {
            readers.entry(source).or_default().push(index);
        }
    }
    let mut ready: VecDeque<usize> = (0..waits.len()).filter(|&index| waits[index] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(index) = ready.pop_front() {
        order.push(index);
        for &reader in readers.get(&index).into_iter().flatten() {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push_back(reader);
            }
        }
    }
    if let Some(index) = waits.iter().position(|&count| count > 0) {
        bail!(InvalidGraph, "{} reads what follows from it: a cycle", origin(index, &nodes[index]));
    }
    Ok(order)
}

/// How messages name a node. Each operator that results from it holds a copy.
pub(super) fn origin(index: usize, node: &NodeProto) -> String {
    let op = short(&node.op_type);
    match short(&node.name) {
        "" => format!("node {index} ({op})"),
        name => format!("node {index} '{name}' ({op})"),
    }
}

/// The beginning of a name, which is all of those that people give.
pub(super) fn short(name: &str) -> &str {
    let end = name.char_indices().nth(MAX_NAME).map_or(name.len(), |(end, _)| end);
    &name[..end]
}
