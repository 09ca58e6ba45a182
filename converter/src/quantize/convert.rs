//! The whole way from a float model to a quantized file.

use std::path::PathBuf;

use super::{
    Precision, Recipe, Scheme, float16, fold,
    mixed::{self, Bound},
    normalize, prepare, quantize,
};
use crate::{
    calibrate::{Calibration, calibrate},
    convert::{Converted, Source, finish},
    error::{Result, Within, bail, error},
    npz::Array,
    options::{Match, Options},
    passes,
};

/// What to quantize a model with.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// How.
    pub recipe: Recipe,
    /// Samples to calibrate with, an array per input.
    pub samples: Option<Vec<Array>>,
    /// States of calibrations of the same model with other samples, as files.
    pub states: Vec<PathBuf>,
    /// Where to write the state of this calibration.
    pub save: Option<PathBuf>,
    /// What quantization may cost, and what that is measured on.
    pub bound: Option<Bound>,
}

/// A converted model, and the recipe that reproduces it.
#[derive(Debug, Clone)]
pub struct QuantizedModel {
    /// The file, the graph and the report.
    pub converted: Converted,
    /// The recipe, with the layers that were raised.
    pub recipe: Recipe,
}

/// Quantizes a model that was read, and compiles it. `progress` is called after each sample.
///
/// # Errors
/// `InvalidData` where samples or recipe do not fit the model; those of conversion.
pub fn convert_quantized(
    source: Source,
    options: &Options,
    job: &Job,
    progress: &(dyn Fn() + Sync),
) -> Result<QuantizedModel> {
    let Source { mut graph, bytes } = source;
    // What is quantized here was no runtime's before.
    let mut options = options.clone();
    if options.matching == Match::Format && job.recipe.quantize.precision() != Precision::Float {
        options.matching = Match::Native;
    }
    let options = &options;
    let imported = graph.nodes.len();
    normalize(&mut graph, &job.recipe)?;
    let mut passes = passes::run(&mut graph)?;
    let (mut recipe, mut mixed) = (job.recipe.clone(), None);
    if recipe.quantize.precision() == Precision::Float {
        let normalized = !(recipe.mean.is_empty() && recipe.std.is_empty());
        passes.extend(if normalized { Some(fold(&mut graph)?) } else { None });
        if recipe.quantize == Scheme::F16 {
            passes.push(float16::run(&mut graph)?);
        }
    } else {
        passes.extend(prepare(&mut graph)?);
        let calibration = calibration(&graph, job, progress)?;
        let samples = job.samples.as_deref();
        if let Some(bound) = &job.bound {
            let found = mixed::search(&graph, &calibration, samples, &recipe, bound, options)?;
            recipe = found.recipe.clone();
            mixed = Some(found);
        }
        let quantized = quantize(&graph, &calibration, samples, &recipe)?;
        passes.extend(quantized.passes);
        graph = quantized.graph;
    }
    let mut converted = finish(graph, bytes, imported, passes, options)?;
    converted.report.mixed = mixed;
    Ok(QuantizedModel { converted, recipe })
}

/// What is known of the activations of a prepared graph: from samples, from files, or from both.
fn calibration(
    graph: &crate::graph::Graph,
    job: &Job,
    progress: &(dyn Fn() + Sync),
) -> Result<Calibration> {
    let mut calibration = Calibration::read(graph, &job.states)?;
    match &job.samples {
        Some(samples) => {
            let seen = calibrate(graph, samples, progress);
            calibration.merge(&seen.within(|| "calibration data".to_owned())?)?;
        }
        None if job.states.is_empty() => bail!(
            InvalidData,
            "quantization needs samples to calibrate with (--calibrate X.npz), or the state of a \
             calibration (--calibration-in A.json)"
        ),
        None => {}
    }
    if let Some(path) = &job.save {
        std::fs::write(path, calibration.to_json())
            .map_err(|problem| error!(Io, "{}: cannot be written: {problem}", path.display()))?;
    }
    Ok(calibration)
}
