//! Quantization: a float graph, what calibration has seen of it, and a recipe give an integer graph.
//!
//! [`prepare`] rewrites the float graph so that it quantizes well, [`quantize`] turns it into
//! integers. In between it is calibrated. `docs/quantization.md` says what is done and why.

mod adaptive;
pub mod assign;
mod bias_correction;
mod convert;
mod equalize;
mod float16;
pub(crate) mod fold;
mod head;
mod hybrid;
mod int4;
pub mod layers;
pub mod linear;
mod masks;
pub mod mixed;
mod normalize;
mod parameters;
pub mod pattern;
mod recipe;
mod rewrite;
pub mod rules;
mod sharing;
mod weights;

pub use convert::{Job, QuantizedModel, convert_quantized};
use linear::Linear;
pub use normalize::normalize;
pub use parameters::{Affine, dtype};
use rewrite::Rounded;
use weights::Levels;

pub use recipe::{Effort, LayerRule, PortType, Precision, Recipe, Scheme, WeightType};

use crate::{
    calibrate::Calibration,
    error::{Result, bail},
    graph::Graph,
    npz::Array,
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
    Ok(vec![fold(graph)?])
}

/// Folds factors and offsets of channels into the layers around them.
fn fold(graph: &mut Graph) -> Result<Applied> {
    let what = "factors and offsets of channels folded into weights";
    Ok(Applied { name: "fold_channels", what, count: fold::run(graph, fold::Shared::Copied)? })
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

/// Quantizes a graph that was prepared and calibrated. `samples` are needed for effort high alone,
/// which rounds weights after them.
///
/// # Errors
/// `InvalidData` for rules of the recipe that match no layer, and for tensors whose values have no
/// range; those of the quantized operators.
pub fn quantize(
    graph: &Graph,
    calibration: &Calibration,
    samples: Option<&[Array]>,
    recipe: &Recipe,
) -> Result<Quantized> {
    let (mut float, mut calibration) = (graph.clone(), calibration.clone());
    let mut passes = Vec::new();
    if recipe.equalize {
        let count = equalize::run(&mut float, &mut calibration, recipe)?;
        passes.push(Applied { name: "equalize", what: "channels equalized", count });
    }
    let precisions = assign::precisions(&float, &calibration, recipe)?;
    let scales = sharing::scales(&float, &precisions, &calibration, recipe)?;
    let seen = match (recipe.effort, samples) {
        (Effort::Normal, _) => adaptive::Seen::default(),
        (Effort::High, Some(samples)) => adaptive::Seen::collect(&float, samples)?,
        (Effort::High, None) => bail!(
            InvalidData,
            "effort high needs samples (--calibrate); the state of a calibration is not enough"
        ),
    };
    let round = |graph: &Graph, index: usize, layer: &Linear, levels: &Levels| {
        let (weights, bias): (Vec<f32>, _) =
            (graph[layer.weights].values()?, weights::bias(graph, layer)?);
        let nearest = weights::nearest(graph, layer, levels)?;
        if let Some((rounded, means)) = seen.round(index, layer, &weights, levels, &nearest) {
            let bias = bias.iter().zip(means).map(|(&b, mean)| (f64::from(b) - mean) as f32);
            return Ok(Rounded { weights: rounded, bias: bias.collect() });
        }
        let node = &graph.nodes[index];
        let input = node.inputs[0].filter(|_| recipe.bias_correction);
        let Some(input) = input.and_then(|id| calibration.tensor(id)) else {
            return Ok(Rounded { weights: nearest, bias });
        };
        let errors = bias_correction::errors(layer, &weights, &nearest, &levels.scales);
        let bias = bias_correction::corrected(graph, node, layer, &errors, &bias, &input.means());
        Ok(Rounded { weights: nearest, bias })
    };
    let mut graph = rewrite::rewrite(&float, &precisions, &scales, recipe, &round)?;
    passes::dead_code::run(&mut graph)?;
    Ok(Quantized { float, graph, passes })
}
