//! Calibration: a float graph runs over samples through the runtime itself, and an observer per
//! tensor records what it sees.
//!
//! [`probe`] runs the graph, [`observed`] is what is kept of a tensor, [`histogram`] how its values
//! are counted, [`observer`] how a range follows from that, and [`state`] how all of it is saved and
//! merged. Memory does not grow with the number of samples, and any split of the samples, over
//! threads or machines, gives the same state to the last bit.

pub mod histogram;
pub mod observed;
pub mod observer;
pub mod probe;
pub mod state;

use rayon::prelude::*;
use systole_core::Tensor;

pub use observed::Observed;
pub use observer::{Observer, Range};
pub use probe::Probe;
pub use state::Calibration;

use crate::{
    error::{Result, bail, error},
    graph::{Graph, TensorId},
    npz::Array,
    ops::Op,
    options::Match,
};

/// Runs `graph`, which is float, over all samples of `inputs` on all cores; `progress` is called
/// after each sample.
///
/// # Errors
/// `InvalidData` where the arrays do not fit the model's inputs or hold no sample; those of
/// compiling the graph.
pub fn calibrate(
    graph: &Graph,
    inputs: &[Array],
    progress: &(dyn Fn() + Sync),
) -> Result<Calibration> {
    let probe = Probe::new(graph, Match::Native)?;
    let samples = probe.samples(inputs)?;
    let empty = Calibration::new(graph);
    // A few chunks per core, so that none waits long for the last; their number does not show in
    // the result.
    let chunk = samples.div_ceil(4 * rayon::current_num_threads()).max(1);
    let starts: Vec<usize> = (0..samples).step_by(chunk).collect();
    let parts = starts.into_par_iter().map(|start| {
        let mut part = empty.clone();
        let mut values = Vec::new();
        let samples = start..(start + chunk).min(samples);
        part.samples = samples.len() as u64;
        let look = |_, id, tensor: &Tensor<'_, '_>| {
            let Some(seen) = part.tensor_mut(id) else { return Ok(()) };
            values.resize(tensor.info().len(), 0.0);
            tensor
                .dequantize_into(&mut values)
                .map_err(|problem| error!(InvalidGraph, "{problem}"))?;
            seen.add(&values);
            Ok(())
        };
        probe.run(inputs, samples, look, progress)?;
        Ok(part)
    });
    let merged = parts.try_reduce(|| empty.clone(), |mut a, b| a.merge(&b).map(|()| a))?;
    if merged.samples == 0 {
        bail!(InvalidData, "holds no sample");
    }
    Ok(merged)
}

/// The channels of which means are kept: the rows of a fully connected layer that reads the tensor,
/// or its innermost axis.
pub(crate) fn channels(graph: &Graph, id: TensorId) -> usize {
    let rows = graph.nodes.iter().find_map(|node| match node.op {
        Op::FullyConnected(_) if node.inputs.first() == Some(&Some(id)) => {
            let weights = node.inputs.get(1).copied().flatten()?;
            graph[weights].shape.last().copied()
        }
        _ => None,
    });
    rows.or(graph[id].shape.last().copied()).unwrap_or(1)
}
