//! The state of all observers: merged, and saved as JSON.
//!
//! ```json
//! {
//!   "systole_calibration": 1,
//!   "model": "5f0c…",
//!   "samples": 100,
//!   "tensors": [
//!     { "name": "x", "values": 99, "nans": 0, "infinities": 0, "zeros": 3,
//!       "exponent": -9, "first_bin": -768, "counts": [1, 0, …], "channels": [[-1.5, 2.0, "18446744073709551616", "…"], …] }
//!   ]
//! }
//! ```
//!
//! Everything is an integer, or a float32 that is not computed but only compared, so that merging
//! is exact: see [`histogram`](super::histogram) and [`Channel`]. `model` is a hash of the
//! graph that was run.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use systole_core::DType;

use super::{
    channels,
    histogram::{HALF, Histogram},
    observed::{Channel, Observed},
};
use crate::{
    error::{Result, bail, error},
    graph::{Graph, TensorId},
};

/// The number of this layout.
const VERSION: u32 = 1;

/// What calibration has seen of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Hash of the graph that was run.
    pub model: u64,
    /// Samples that were run.
    pub samples: u64,
    /// By tensor, with its name.
    tensors: BTreeMap<TensorId, (String, Observed)>,
}

impl Calibration {
    /// The state before the first sample: an observer for every float activation of `graph`.
    pub fn new(graph: &Graph) -> Self {
        let written = graph.nodes.iter().flat_map(|node| node.outputs.iter());
        let tensors = graph
            .inputs
            .iter()
            .chain(written)
            .filter(|&&id| graph[id].dtype == DType::F32 && !graph[id].is_constant())
            .map(|&id| (id, (graph[id].name.clone(), Observed::new(channels(graph, id)))));
        Self { model: fingerprint(graph), samples: 0, tensors: tensors.collect() }
    }

    /// What was seen of a tensor.
    pub fn tensor(&self, id: TensorId) -> Option<&Observed> {
        self.tensors.get(&id).map(|(_, observed)| observed)
    }

    /// What was seen of a tensor, to be added to.
    pub fn tensor_mut(&mut self, id: TensorId) -> Option<&mut Observed> {
        self.tensors.get_mut(&id).map(|(_, observed)| observed)
    }

    /// States what is known of a tensor that a pass has added.
    pub fn insert(&mut self, id: TensorId, name: &str, seen: Observed) {
        self.tensors.insert(id, (name.to_owned(), seen));
    }

    /// Adds what another run over the same graph has seen.
    ///
    /// # Errors
    /// `InvalidData` where that was another graph.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let same = self.model == other.model
            && self.tensors.len() == other.tensors.len()
            && self.tensors.iter().zip(&other.tensors).all(|((a, (_, seen)), (b, (_, more)))| {
                a == b && seen.channels.len() == more.channels.len()
            });
        if !same {
            bail!(
                InvalidData,
                "calibration states of different models: {:016x} and {:016x}",
                self.model,
                other.model
            );
        }
        self.samples += other.samples;
        for ((_, seen), (_, more)) in self.tensors.values_mut().zip(other.tensors.values()) {
            seen.merge(more);
        }
        Ok(())
    }

    /// The state as JSON.
    pub fn to_json(&self) -> String {
        let tensors = self.tensors.values().map(|(name, seen)| SavedTensor::new(name, seen));
        let saved = Saved {
            systole_calibration: VERSION,
            model: format!("{:016x}", self.model),
            samples: self.samples,
            tensors: tensors.collect(),
        };
        serde_json::to_string(&saved).unwrap_or_default() + "\n"
    }

    /// Reads a state of `graph` from JSON.
    ///
    /// # Errors
    /// `InvalidData` for text that is no state, and for the state of another graph.
    pub fn from_json(graph: &Graph, text: &str) -> Result<Self> {
        let saved: Saved = serde_json::from_str(text)
            .map_err(|problem| error!(InvalidData, "no calibration state: {problem}"))?;
        if saved.systole_calibration != VERSION {
            bail!(
                InvalidData,
                "calibration state of version {}; this version reads {VERSION}",
                saved.systole_calibration
            );
        }
        let mut state = Self::new(graph);
        let model = u64::from_str_radix(&saved.model, 16).ok();
        if model != Some(state.model) || saved.tensors.len() != state.tensors.len() {
            bail!(InvalidData, "is the calibration of another model");
        }
        state.samples = saved.samples;
        for ((name, seen), saved) in state.tensors.values_mut().zip(&saved.tensors) {
            *seen = saved
                .observed(seen.channels.len())
                .ok_or_else(|| error!(InvalidData, "what it says of tensor '{name}' is damaged"))?;
        }
        Ok(state)
    }

    /// Reads the states of `graph` in files and merges them.
    ///
    /// # Errors
    /// `Io`; `InvalidData` as [`Calibration::from_json`], with the file's name.
    pub fn read(graph: &Graph, paths: &[impl AsRef<Path>]) -> Result<Self> {
        let mut merged = Self::new(graph);
        for path in paths {
            let place = path.as_ref().display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|problem| error!(Io, "{place}: cannot be read: {problem}"))?;
            let state = Self::from_json(graph, &text).map_err(|error| error.within(place))?;
            merged.merge(&state)?;
        }
        Ok(merged)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    systole_calibration: u32,
    model: String,
    samples: u64,
    tensors: Vec<SavedTensor>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedTensor {
    name: String,
    values: u64,
    nans: u64,
    infinities: u64,
    zeros: u64,
    exponent: i32,
    /// The bin of the first of `counts`; those in front of it and behind the last are empty.
    first_bin: i64,
    counts: Vec<u64>,
    channels: Vec<SavedChannel>,
}

/// Extremes, none before the first value, and two integers of 128 bits, which JSON does not have.
type SavedChannel = (Option<f32>, Option<f32>, String, String);

impl SavedTensor {
    fn new(name: &str, seen: &Observed) -> Self {
        let counts = &seen.histogram.counts;
        let first = counts.iter().position(|&count| count > 0).unwrap_or(0);
        let end = counts.iter().rposition(|&count| count > 0).map_or(first, |last| last + 1);
        let finite = |x: f32| x.is_finite().then_some(x);
        let channel = |channel: &Channel| {
            let (sum, squares) = (channel.sum.to_string(), channel.squares.to_string());
            (finite(channel.min), finite(channel.max), sum, squares)
        };
        Self {
            name: name.to_owned(),
            values: seen.values,
            nans: seen.nans,
            infinities: seen.infinities,
            zeros: seen.histogram.zeros,
            exponent: seen.histogram.exponent,
            first_bin: first as i64 - HALF,
            counts: counts[first..end].to_vec(),
            channels: seen.channels.iter().map(channel).collect(),
        }
    }

    /// The observer with as many channels; `None` where a number is out of range.
    fn observed(&self, channels: usize) -> Option<Observed> {
        let mut counts = Vec::new();
        if !self.counts.is_empty() {
            counts = vec![0; 2 * HALF as usize];
            let first = usize::try_from(self.first_bin.checked_add(HALF)?).ok()?;
            let end = first.checked_add(self.counts.len())?;
            counts.get_mut(first..end)?.copy_from_slice(&self.counts);
        }
        // The exponents of float32.
        let valid = counts.is_empty() || (-200..=200).contains(&self.exponent);
        let counted = counts.iter().try_fold(self.zeros, |sum, &n| sum.checked_add(n))?;
        let all = counted.checked_add(self.nans)?.checked_add(self.infinities)?;
        if !valid || all != self.values || self.channels.len() != channels {
            return None;
        }
        let exponent = if counts.is_empty() { i32::MIN } else { self.exponent };
        let mut seen = Observed::new(channels);
        for (channel, (min, max, sum, squares)) in seen.channels.iter_mut().zip(&self.channels) {
            channel.min = min.unwrap_or(channel.min);
            channel.max = max.unwrap_or(channel.max);
            channel.sum = sum.parse().ok()?;
            channel.squares = squares.parse().ok()?;
        }
        seen.values = self.values;
        (seen.nans, seen.infinities) = (self.nans, self.infinities);
        seen.histogram = Histogram { zeros: self.zeros, exponent, counts };
        seen.extremes();
        Some(seen)
    }
}

/// A hash of everything in a graph that its results depend on: FNV-1a over operators, shapes and
/// constants.
pub fn fingerprint(graph: &Graph) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for node in &graph.nodes {
        add(format!("{:?} {:?} {:?}", node.op, node.inputs, node.outputs).as_bytes());
        for tensor in node.inputs.iter().flatten().chain(&node.outputs).map(|&id| &graph[id]) {
            add(format!("{} {:?}", tensor.dtype, tensor.shape).as_bytes());
            add(tensor.data.as_deref().unwrap_or_default());
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use systole_core::DType;

    use super::*;
    use crate::graph::Tensor;

    fn graph() -> Graph {
        let mut graph = Graph::default();
        graph.inputs = vec![graph.add_tensor(Tensor::new("x", DType::F32, vec![1, 3]))];
        graph
    }

    fn seen(values: &[f32]) -> Calibration {
        let mut state = Calibration::new(&graph());
        state.tensor_mut(TensorId(0)).unwrap().add(values);
        state.samples = 1;
        state
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec(any::<f32>(), 0..30)) {
            let state = seen(&values[..values.len() / 3 * 3]);
            prop_assert_eq!(Calibration::from_json(&graph(), &state.to_json()).unwrap(), state);
        }

        /// Text with a few bytes changed is refused, or is a state that ranges follow from.
        #[test]
        fn damaged_text_is_no_trouble(
            at in prop::collection::vec((any::<prop::sample::Index>(), 32_u8..127), 1..4),
        ) {
            let mut text = seen(&[1.0, -2.5, 0.0, 1e-3, 7.0, 3.0]).to_json().into_bytes();
            for (index, byte) in at {
                let index = index.index(text.len());
                text[index] = byte;
            }
            let text = String::from_utf8(text).unwrap();
            if let Ok(state) = Calibration::from_json(&graph(), &text) {
                for name in ["min-max", "percentile", "mse", "entropy"] {
                    let observer: crate::calibrate::Observer = name.parse().unwrap();
                    let range = observer.range(state.tensor(TensorId(0)).unwrap());
                    prop_assert!(range.min <= 0.0 && range.max >= 0.0);
                }
            }
        }
    }
}
