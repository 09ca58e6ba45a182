//! Passes over the graph, in the order in which they run. Each is in its own file and keeps every
//! output's bytes.

pub mod dead_code;
pub mod dilate;
pub mod fuse_activation;
pub mod identity_movement;
pub mod merge_transposes;
pub mod pad_into_convolution;
#[cfg(test)]
pub(crate) mod testing;

use crate::{error::Result, graph::Graph};

/// What a pass did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The pass.
    pub name: &'static str,
    /// What is counted: "operators removed".
    pub what: &'static str,
    /// How often.
    pub count: usize,
}

/// A pass: changes the graph and says how often.
type Pass = fn(&mut Graph) -> Result<usize>;

/// The passes: name, what they count, function.
const PASSES: &[(&str, &str, Pass)] = &[
    ("merge_transposes", "transposes merged", merge_transposes::run),
    ("identity_movement", "operators that move nothing made views", identity_movement::run),
    ("dilate", "convolutions dilated", dilate::run),
    ("pad_into_convolution", "paddings taken up by convolutions", pad_into_convolution::run),
    ("fuse_activation", "activations fused", fuse_activation::run),
    ("dead_code", "operators without use removed", dead_code::run),
];

/// Graphs with more operators than this only lose dead code: the other passes search the graph at
/// each operator. Networks have hundreds; tens of thousands are made to keep a converter busy.
pub(crate) const MOST_SEARCHED: usize = 5_000;

/// Runs all passes.
///
/// # Errors
/// None that a valid graph can cause; passes check what they build.
pub fn run(graph: &mut Graph) -> Result<Vec<Applied>> {
    let vast = graph.nodes.len() > MOST_SEARCHED;
    PASSES
        .iter()
        .filter(|&&(name, ..)| !vast || name == "dead_code")
        .map(|&(name, what, pass)| Ok(Applied { name, what, count: pass(graph)? }))
        .collect()
}
