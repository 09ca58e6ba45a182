//! What each layer gives, in float and quantized, for the same sample.

use std::collections::BTreeMap;

use super::{Quantized, pattern};
use crate::{
    calibrate::Probe, calibrate::probe::reals, error::Result, graph::TensorId, metric::Noise,
    npz::Array, options::Match,
};

/// The values of one tensor for one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerValues {
    /// The tensor, in both graphs.
    pub tensor: TensorId,
    /// The layer that writes it, as recipes name it.
    pub name: String,
    /// What the float graph gives.
    pub float: Vec<f32>,
    /// What the integers of the quantized graph stand for.
    pub quantized: Vec<f32>,
}

/// Both graphs, ready to be run beside each other.
#[derive(Debug)]
pub struct Beside<'q> {
    model: &'q Quantized,
    float: Probe,
    quantized: Probe,
}

impl<'q> Beside<'q> {
    /// Compiles both graphs.
    ///
    /// # Errors
    /// Those of compiling.
    pub fn new(model: &'q Quantized, matching: Match) -> Result<Self> {
        let (float, quantized) =
            (Probe::new(&model.float, matching)?, Probe::new(&model.graph, matching)?);
        Ok(Self { model, float, quantized })
    }

    /// The values of every layer for one sample, in order of execution. Equalized channels are shown
    /// as both graphs have them, scaled.
    ///
    /// # Errors
    /// `InvalidData` where the arrays do not fit the model.
    pub fn values(&self, inputs: &[Array], sample: usize) -> Result<Vec<LayerValues>> {
        let mut quantized = all(&self.quantized, inputs, sample)?;
        let mut float = all(&self.float, inputs, sample)?;
        let mut values = Vec::new();
        for node in &self.model.float.nodes {
            for &tensor in &node.outputs {
                if let (Some(float), Some(quantized)) =
                    (float.remove(&tensor), quantized.remove(&tensor))
                {
                    let name = pattern::layer_name(&self.model.float, node).to_owned();
                    values.push(LayerValues { tensor, name, float, quantized });
                }
            }
        }
        Ok(values)
    }

    /// The noise of every layer over some samples, in order of execution.
    ///
    /// # Errors
    /// As [`Beside::values`].
    pub fn noise(
        &self,
        inputs: &[Array],
        samples: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<(String, Noise)>> {
        let mut layers: Vec<(String, Noise)> = Vec::new();
        for sample in samples {
            let values = self.values(inputs, sample)?;
            if layers.is_empty() {
                layers = values.iter().map(|v| (v.name.clone(), Noise::default())).collect();
            }
            for ((_, noise), values) in layers.iter_mut().zip(&values) {
                noise.add(&values.float, &values.quantized);
            }
        }
        Ok(layers)
    }
}

/// The real values of all tensors for one sample.
fn all(probe: &Probe, inputs: &[Array], sample: usize) -> Result<BTreeMap<TensorId, Vec<f32>>> {
    let mut values = BTreeMap::new();
    let look = |_, id, tensor: &systole_core::Tensor<'_, '_>| {
        values.extend(reals(tensor).map(|reals| (id, reals)));
        Ok(())
    };
    probe.run(inputs, [sample], look, || {})?;
    Ok(values)
}
