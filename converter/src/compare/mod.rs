//! A quantized model held against a float one, sample by sample and layer by layer.
//!
//! Both are run on the same samples. Layers belong together by the names of the tensors that they
//! write, so the files need those (`convert --names all`); inputs and outputs always have theirs.
//!
//! Where channels were equalized before quantization, a layer's values are those of the float model
//! times a factor per channel, and the next layer undoes it. Such factors are found (they minimize
//! the squared error), taken out, and reported.

mod html;
mod layer;

use std::collections::HashMap;

use rayon::prelude::*;
use serde_json::{Value, json};
use systole_core::{AlignedBytes, Model, Session};

use crate::{
    calibrate::probe::reals,
    error::{Result, error},
    metric::{self, Metric},
    npz::Array,
    run,
};

pub use layer::Layer;

/// The result.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// How many samples were run.
    pub samples: usize,
    /// What the answers are worth: name, of the float model, of the quantized one.
    pub metrics: Vec<(&'static str, f64, f64)>,
    /// Every layer that both models have, in the order of the quantized one.
    pub layers: Vec<Layer>,
}

/// Runs both models on `arrays`, of which the one named `labels` are the right answers; `progress`
/// is called after each sample.
///
/// # Errors
/// `InvalidData` where the arrays do not fit both models.
pub fn compare(
    float: &Model<'_>,
    quantized: &Model<'_>,
    arrays: Vec<Array>,
    progress: impl Fn() + Sync,
) -> Result<Comparison> {
    let (inputs, labels) = metric::split_labels(arrays);
    run::match_inputs(float, &inputs)?;
    let matched = run::match_inputs(quantized, &inputs)?;
    let samples = matched.first().map_or(0, |array| array.shape[0]);
    let start = || Layer::all(float, quantized);
    let chunk = samples.div_ceil(4 * rayon::current_num_threads()).max(1);
    let starts: Vec<usize> = (0..samples).step_by(chunk).collect();
    let parts: Vec<Vec<Layer>> = starts
        .into_par_iter()
        .map(|first| {
            let mut layers = start();
            for sample in first..(first + chunk).min(samples) {
                let reference = values(float, &inputs, sample)?;
                let found = values(quantized, &inputs, sample)?;
                for layer in &mut layers {
                    if let (Some(reference), Some(found)) =
                        (reference.get(&*layer.name), found.get(&*layer.name))
                    {
                        layer.add(reference, found);
                    }
                }
                progress();
            }
            Ok(layers)
        })
        .collect::<Result<_>>()?;
    let mut layers = start();
    for part in &parts {
        layers.iter_mut().zip(part).for_each(|(layer, part)| layer.merge(part));
    }
    layers.retain(|layer| layer.elements > 0);
    let answers = [metric::outputs(float, &inputs)?, metric::outputs(quantized, &inputs)?];
    Ok(Comparison { samples, metrics: metrics(&answers, labels.as_ref())?, layers })
}

/// The real values of all tensors with names, for one sample.
fn values(model: &Model<'_>, inputs: &[Array], sample: usize) -> Result<HashMap<String, Vec<f32>>> {
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(model, arena.as_mut_slice())
        .map_err(|problem| error!(TooLarge, "{problem}"))?;
    run::load_sample(&mut session, inputs, sample)?;
    let mut values = HashMap::new();
    for info in model.inputs() {
        take(&session, info.index(), &mut values);
    }
    let mut more = model.operator_count() > 0;
    while more {
        let index = session.next_operator();
        more = session.step().map_err(|problem| error!(InvalidGraph, "{problem}"))?;
        for tensor in layer::written(model, index) {
            take(&session, tensor, &mut values);
        }
    }
    Ok(values)
}

/// Notes the values of a tensor, where it has a name and they stand for real numbers.
fn take(session: &Session<'_, '_>, index: u16, values: &mut HashMap<String, Vec<f32>>) {
    let Some(tensor) = session.tensor(index) else { return };
    if let (Some(name), Some(reals)) = (tensor.info().name(), reals(&tensor)) {
        values.insert(name.to_owned(), reals);
    }
}

/// How good the answers are: against labels, or against each other.
fn metrics(
    answers: &[Vec<Vec<f32>>; 2],
    labels: Option<&Array>,
) -> Result<Vec<(&'static str, f64, f64)>> {
    let [float, quantized] = answers;
    let mut metrics = Vec::new();
    if let Some(labels) = labels {
        let metric = Metric::of(labels);
        let mut both = |metric: Metric| {
            let values = (metric.measure(float, labels)?, metric.measure(quantized, labels)?);
            metrics.push((metric.name(), values.0, values.1));
            Ok(())
        };
        both(metric)?;
        match metric {
            Metric::Top1 if float.first().is_some_and(|scores| scores.len() > 5) => {
                both(Metric::Top5)?;
            }
            Metric::R2 => both(Metric::Rmse)?,
            _ => {}
        }
    }
    metrics.push(("output SQNR dB", f64::INFINITY, metric::sqnr(float, quantized)));
    metrics.push(("mean cosine", 1.0, cosine(float, quantized)));
    let same = float.iter().zip(quantized).filter(|(a, b)| metric::class(a) == metric::class(b));
    if float.first().is_some_and(|scores| scores.len() > 1) {
        metrics.push(("same class %", 100.0, 100.0 * same.count() as f64 / float.len() as f64));
    }
    Ok(metrics)
}

/// The mean of the cosines between answers.
fn cosine(float: &[Vec<f32>], quantized: &[Vec<f32>]) -> f64 {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| {
        let norms = (product(a, a) * product(b, b)).sqrt();
        if norms > 0.0 { product(a, b) / norms } else { f64::from(u8::from(a == b)) }
    };
    float.iter().zip(quantized).map(cosine).sum::<f64>() / float.len().max(1) as f64
}

impl Comparison {
    /// The layers, those with the most noise first.
    pub fn worst_first(&self) -> Vec<&Layer> {
        let mut layers: Vec<&Layer> = self.layers.iter().collect();
        layers.sort_by(|a, b| a.sqnr().total_cmp(&b.sqnr()));
        layers
    }

    /// The result for machines.
    pub fn to_json(&self) -> Value {
        let metrics = self.metrics.iter().map(|&(name, float, quantized)| {
            json!({ "name": name, "float": finite(float), "quantized": finite(quantized) })
        });
        json!({
            "samples": self.samples,
            "metrics": metrics.collect::<Vec<_>>(),
            "layers": self.worst_first().iter().map(|layer| layer.to_json()).collect::<Vec<_>>(),
        })
    }

    /// The result as one page of HTML that needs nothing else.
    pub fn to_html(&self, title: &str) -> String {
        html::page(self, title)
    }
}

/// JSON has no infinity.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
