//! Automatic mixed precision: the layers that cost most accuracy become int16, or float, until what
//! quantization costs is within a bound.
//!
//! How much a layer costs is measured, not guessed: with all others as they are, it alone is raised
//! and the noise in the model's outputs counted. In the order of what that gains, layers are raised
//! until the bound is met; then those that turn out not to be needed are lowered again, the least
//! useful first.

use serde_json::{Value, json};

use super::{
    assign, head,
    pattern::{layer_name, names},
    quantize,
    recipe::{LayerRule, Precision, Recipe},
    rules::{Rule, rule},
};
use crate::{
    calibrate::{Calibration, Probe},
    compile::compile,
    error::{Result, bail},
    graph::Graph,
    metric::{self, Metric, Noise},
    npz::Array,
    options::Options,
};

/// What quantization may cost.
#[derive(Debug, Clone)]
pub struct Bound {
    /// With labels, points of the metric; without, the least signal-to-noise ratio in dB.
    pub most: f64,
    /// Samples to measure on.
    pub inputs: Vec<Array>,
    /// What is right for each sample.
    pub labels: Option<Array>,
}

/// A layer of higher precision, and what that costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// The layer's name in the recipe.
    pub name: String,
    /// What it was raised to.
    pub precision: Precision,
    /// Bytes of the file that it costs.
    pub flash: i64,
    /// Bytes of the arena that it costs.
    pub ram: i64,
    /// Multiply-accumulates that are done in higher precision.
    pub macs: u64,
}

/// What the search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixed {
    /// The recipe, with rules for the layers that were raised.
    pub recipe: Recipe,
    /// The layers that were raised.
    pub raised: Vec<Raised>,
    /// How many layers there are to raise.
    pub layers: usize,
    /// What is measured: the name of a metric, or "SQNR dB".
    pub metric: &'static str,
    /// The bound as it was given.
    pub bound: f64,
    /// The float model's score; infinite where noise is measured.
    pub float: f64,
    /// The score before any layer was raised.
    pub before: f64,
    /// The score of the result.
    pub after: f64,
}

/// How many samples the gain of single layers is measured on.
const GAIN_SAMPLES: usize = 64;

/// Finds the layers to raise.
///
/// # Errors
/// `InvalidData` where the samples do not fit the model, or where even float layers do not meet the
/// bound.
pub fn search(
    graph: &Graph,
    calibration: &Calibration,
    samples: Option<&[Array]>,
    recipe: &Recipe,
    bound: &Bound,
    options: &Options,
) -> Result<Mixed> {
    if !bound.most.is_finite() {
        bail!(InvalidData, "the largest drop is {}; it has to be a number", bound.most);
    }
    let search = Search::new(graph, calibration, samples, recipe, bound, options)?;
    let layers = search.layers()?;
    let mut chosen: Vec<(usize, Precision)> = Vec::new();
    let before = search.score(&chosen)?;
    let mut after = before;
    if !search.met(before) {
        let ranked = search.ranked(&layers)?;
        for precision in [Precision::Int16, Precision::Float] {
            for &layer in &ranked {
                if search.met(after) {
                    break;
                }
                chosen.retain(|&(known, _)| known != layer);
                chosen.push((layer, precision));
                after = search.score(&chosen)?;
            }
        }
        if !search.met(after) {
            bail!(
                InvalidData,
                "no choice of layers meets the bound: with all of them float the {} is {after:.3}, \
                 the float model's {:.3}, and the bound {}",
                search.metric_name(),
                search.float_score,
                bound.most
            );
        }
        // The last one was needed; of the others, those that gained least may not be, or not in
        // float.
        for index in (0..chosen.len().saturating_sub(1)).rev() {
            let mut fewer = chosen.clone();
            let (layer, precision) = fewer.remove(index);
            let mut lowered = chosen.clone();
            lowered[index] = (layer, Precision::Int16);
            let candidates = [Some(fewer), (precision == Precision::Float).then_some(lowered)];
            for candidate in candidates.into_iter().flatten() {
                let score = search.score(&candidate)?;
                if search.met(score) {
                    (chosen, after) = (candidate, score);
                    break;
                }
            }
        }
    }
    let raised = search.costs(&chosen)?;
    Ok(Mixed {
        recipe: search.recipe(&chosen),
        raised,
        layers: layers.len(),
        metric: search.metric_name(),
        bound: bound.most,
        float: search.float_score,
        before,
        after,
    })
}

struct Search<'a> {
    graph: &'a Graph,
    calibration: &'a Calibration,
    samples: Option<&'a [Array]>,
    base: &'a Recipe,
    bound: &'a Bound,
    options: &'a Options,
    /// The float model's outputs.
    float: Vec<Vec<f32>>,
    /// The float model's score; infinite where noise is measured.
    float_score: f64,
}

impl<'a> Search<'a> {
    fn new(
        graph: &'a Graph,
        calibration: &'a Calibration,
        samples: Option<&'a [Array]>,
        base: &'a Recipe,
        bound: &'a Bound,
        options: &'a Options,
    ) -> Result<Self> {
        let float = outputs(graph, &bound.inputs, options)?;
        let float_score = match &bound.labels {
            Some(labels) => Metric::of(labels).measure(&float, labels)?,
            None => f64::INFINITY,
        };
        Ok(Self { graph, calibration, samples, base, bound, options, float, float_score })
    }

    fn metric_name(&self) -> &'static str {
        self.bound.labels.as_ref().map_or("SQNR dB", |labels| Metric::of(labels).name())
    }

    /// Whether a score is within the bound.
    fn met(&self, score: f64) -> bool {
        match self.bound.labels {
            // Counting samples must not fail by the last bit of a division.
            Some(_) => self.float_score - score <= self.bound.most + 1e-9,
            None => score >= self.bound.most,
        }
    }

    /// The layers that can be raised: those in int8 that compute something.
    fn layers(&self) -> Result<Vec<usize>> {
        let precisions = assign::precisions(self.graph, self.calibration, self.base)?;
        let computes = |&index: &usize| {
            let rule = rule(&self.graph.nodes[index].op, Precision::Int8);
            precisions[index] == Precision::Int8 && !matches!(rule, Rule::Shared | Rule::Float)
        };
        Ok((0..precisions.len()).filter(computes).collect())
    }

    /// The recipe with these layers raised.
    fn recipe(&self, chosen: &[(usize, Precision)]) -> Recipe {
        let mut recipe = self.base.clone();
        recipe.layers.extend(chosen.iter().map(|&(layer, precision)| {
            let node = &self.graph.nodes[layer];
            let name = layer_name(self.graph, node);
            let others = self.graph.nodes.iter().filter(|node| names(name, self.graph, node));
            let unique = others.count() == 1;
            let name = if unique { name } else { &node.origin };
            LayerRule { name: name.to_owned(), precision }
        }));
        recipe
    }

    fn outputs(&self, chosen: &[(usize, Precision)], inputs: &[Array]) -> Result<Vec<Vec<f32>>> {
        let recipe = self.recipe(chosen);
        let quantized = quantize(self.graph, self.calibration, self.samples, &recipe)?;
        outputs(&quantized.graph, inputs, self.options)
    }

    fn score(&self, chosen: &[(usize, Precision)]) -> Result<f64> {
        let outputs = self.outputs(chosen, &self.bound.inputs)?;
        match &self.bound.labels {
            Some(labels) => Metric::of(labels).measure(&outputs, labels),
            None => Ok(metric::sqnr(&self.float, &outputs)),
        }
    }

    /// The layers by how much less noise there is with each alone raised, the best first.
    fn ranked(&self, layers: &[usize]) -> Result<Vec<usize>> {
        let samples = self.float.len();
        let step = samples.div_ceil(GAIN_SAMPLES).max(1);
        let some: Vec<usize> = (0..samples).step_by(step).collect();
        let inputs: Vec<Array> =
            self.bound.inputs.iter().map(|array| array.select(&some)).collect();
        let mut noises = Vec::new();
        for &layer in layers {
            let outputs = self.outputs(&[(layer, Precision::Int16)], &inputs)?;
            let mut noise = Noise::default();
            some.iter().zip(&outputs).for_each(|(&at, output)| noise.add(&self.float[at], output));
            noises.push((noise.noise, layer));
        }
        noises.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        Ok(noises.into_iter().map(|(_, layer)| layer).collect())
    }

    /// What each of the chosen layers costs: the difference to the model without it raised.
    fn costs(&self, chosen: &[(usize, Precision)]) -> Result<Vec<Raised>> {
        let size = |chosen: &[(usize, Precision)]| {
            let recipe = self.recipe(chosen);
            let quantized = quantize(self.graph, self.calibration, self.samples, &recipe)?;
            let compiled = compile(&quantized.graph, self.options)?;
            Ok((compiled.written.bytes.len() as i64, compiled.layout.plan.arena_bytes as i64))
        };
        let whole = size(chosen)?;
        let recipe = self.recipe(chosen);
        let rules = &recipe.layers[self.base.layers.len()..];
        let mut raised = Vec::new();
        for (index, (&(layer, precision), rule)) in chosen.iter().zip(rules).enumerate() {
            let mut without = chosen.to_vec();
            without.remove(index);
            let without = size(&without)?;
            raised.push(Raised {
                name: rule.name.clone(),
                precision,
                flash: whole.0 - without.0,
                ram: whole.1 - without.1,
                macs: head::macs(self.graph, &self.graph.nodes[layer]),
            });
        }
        Ok(raised)
    }
}

/// The outputs of a graph for all samples.
fn outputs(graph: &Graph, inputs: &[Array], options: &Options) -> Result<Vec<Vec<f32>>> {
    let probe = Probe::new(graph, options.matching)?;
    metric::outputs(&probe.model()?, inputs)
}

impl Mixed {
    /// For machines.
    pub fn to_json(&self) -> Value {
        let precision = |precision| match precision {
            Precision::Int8 => "int8",
            Precision::Int16 => "int16",
            Precision::Float => "float",
        };
        let raised = self.raised.iter().map(|raised| {
            json!({
                "name": raised.name,
                "precision": precision(raised.precision),
                "flash_bytes": raised.flash,
                "ram_bytes": raised.ram,
                "macs": raised.macs,
            })
        });
        // JSON has no infinity.
        let finite = |x: f64| x.is_finite().then_some(x);
        json!({
            "metric": self.metric,
            "bound": self.bound,
            "float": finite(self.float),
            "before": finite(self.before),
            "after": finite(self.after),
            "layers": self.layers,
            "raised": raised.collect::<Vec<_>>(),
        })
    }
}

impl std::fmt::Display for Mixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "accuracy   {}: ", self.metric)?;
        if self.float.is_finite() {
            write!(f, "float {:.3}, ", self.float)?;
        }
        let (raised, layers) = (self.raised.len(), self.layers);
        write!(f, "quantized {:.3}, bound {}; ", self.before, self.bound)?;
        match raised {
            0 => writeln!(f, "none of {layers} layers had to be raised")?,
            _ => writeln!(f, "{:.3} with {raised} of {layers} layers raised", self.after)?,
        }
        for raised in &self.raised {
            let to = match raised.precision {
                Precision::Float => "float",
                Precision::Int8 | Precision::Int16 => "int16",
            };
            writeln!(
                f,
                "raised     {} to {to}: {:+} bytes of flash, {:+} of RAM, {} multiply-accumulates",
                short(&raised.name),
                raised.flash,
                raised.ram,
                raised.macs
            )?;
        }
        Ok(())
    }
}

/// A name for reports. TFLite joins those of all operators that were fused by semicolons; the first
/// says where the layer ends.
fn short(name: &str) -> &str {
    name.split(';').next().unwrap_or(name)
}
