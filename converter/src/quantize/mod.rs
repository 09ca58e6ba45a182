//! Quantization: a float graph, what calibration has seen of it, and a recipe give an integer graph.
//!
//! [`prepare`] rewrites the float graph so that it quantizes well, [`quantize`] turns it into
//! integers. In between it is calibrated. `docs/quantization.md` says what is done and why.

pub mod assign;
mod convert;
mod equalize;
mod fold;
mod hybrid;
pub mod layers;
pub mod linear;
mod parameters;
pub mod pattern;
mod recipe;
mod rewrite;
pub mod rules;
mod sharing;
mod weights;

pub use convert::{Job, convert_quantized};
pub use parameters::{Affine, dtype};
pub use recipe::{Effort, LayerRule, PortType, Precision, Recipe, Scheme};

use crate::{
    calibrate::Calibration,
    error::{Result, bail},
    graph::Graph,
    passes::{self, Applied},
};

/// Makes a float graph ready to be calibrated.
///
/// # Errors
/// `UnsupportedFeature` for models that are quantized already.
pub fn prepare(graph: &mut Graph) -> Result<Vec<Applied>> {
    hybrid::run(graph)?;
    let activations = graph.nodes.iter().flat_map(|node| &node.outputs).chain(&graph.inputs);
    let quantized = activations.map(|&id| &graph[id]).find(|tensor| tensor.quantization.is_some());
    if let Some(tensor) = quantized {
        bail!(UnsupportedFeature, "{tensor} is quantized already; only float models can be");
    }
    let folded = fold::run(graph)?;
    let what = "factors and offsets of channels folded into weights";
    Ok(vec![Applied { name: "fold_channels", what, count: folded }])
}

/// A quantized graph.
#[derive(Debug, Clone)]
pub struct Quantized {
    /// The float graph that it stands for: prepared and equalized. Tensors have the same indices in
    /// both, as far as both have them.
    pub float: Graph,
    /// The quantized graph.
    pub graph: Graph,
    /// What was done to the float graph.
    pub passes: Vec<Applied>,
}

/// Quantizes a graph that was prepared and calibrated.
///
/// # Errors
/// `InvalidData` for rules of the recipe that match no layer, and for tensors whose values have no
/// range; those of the quantized operators.
pub fn quantize(graph: &Graph, calibration: &Calibration, recipe: &Recipe) -> Result<Quantized> {
    let (mut float, mut calibration) = (graph.clone(), calibration.clone());
    let mut passes = Vec::new();
    if recipe.equalize {
        let count = equalize::run(&mut float, &mut calibration, recipe)?;
        passes.push(Applied { name: "equalize", what: "channels equalized", count });
    }
    let precisions = assign::precisions(&float, recipe)?;
    let scales = sharing::scales(&float, &precisions, &calibration, recipe.observer)?;
    let round = |graph: &Graph, _: usize, layer: &linear::Linear, scales: &[f32]| {
        Ok(rewrite::Rounded {
            weights: weights::nearest(graph, layer, scales)?,
            bias: weights::bias(graph, layer)?,
        })
    };
    let mut graph = rewrite::rewrite(&float, &precisions, &scales, recipe, &round)?;
    passes::dead_code::run(&mut graph)?;
    Ok(Quantized { float, graph, passes })
}
