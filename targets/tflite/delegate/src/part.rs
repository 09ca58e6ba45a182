//! A part of the graph, converted and ready to run.

use std::ffi::c_int;

use systole_converter::{
    Match, Names, Source, convert_source,
    graph::{Graph, TensorId},
    tflite,
};

use crate::{
    encode::{Network, Shapes},
    guard::Result,
    host::Host,
    options::Options,
    runner::Runner,
};

/// What memory planning may cost while an application waits; the plan it ends with is valid, if not
/// always the smallest.
const PLAN_BUDGET: usize = 20_000;

/// A part of the graph with the shapes that it was converted for.
#[derive(Debug)]
pub(crate) struct Part {
    runner: Runner,
    /// Tensors of TFLite's graph, in the order of the model's inputs, with their shapes.
    inputs: Vec<(c_int, Vec<usize>)>,
    /// The same of its outputs.
    outputs: Vec<(c_int, Vec<usize>)>,
}

/// Options of the conversion. As in TFLite, shapes follow from those of the inputs: what the host says
/// of others may be of another time.
pub(crate) fn conversion(matching: Match) -> systole_converter::Options {
    systole_converter::Options {
        matching,
        names: Names::None,
        plan_budget: PLAN_BUDGET,
        infer_shapes: true,
        ..Default::default()
    }
}

/// Reads `network` as the converter's graph.
pub(crate) fn import(
    host: Host,
    network: &Network,
    shapes: &Shapes,
    options: &systole_converter::Options,
) -> Result<Source> {
    let bytes = network.encode(host, shapes)?;
    let graph = tflite::import(&bytes, options).map_err(|error| error.to_string())?;
    Ok(Source { graph, bytes: bytes.len() })
}

/// The shapes of these tensors of a graph.
fn shapes_of(graph: &Graph, ids: &[TensorId]) -> Vec<Vec<usize>> {
    ids.iter().map(|&id| graph[id].shape.clone()).collect()
}

impl Part {
    /// Converts `network`.
    pub(crate) fn new(
        host: Host,
        network: &Network,
        shapes: &Shapes,
        asked: &Options,
    ) -> Result<Self> {
        let options = conversion(asked.matching);
        let source = import(host, network, shapes, &options)?;
        let inputs = shapes_of(&source.graph, &source.graph.inputs);
        let outputs = shapes_of(&source.graph, &source.graph.outputs);
        let converted = convert_source(source, &options).map_err(|error| error.to_string())?;
        Ok(Self {
            runner: Runner::new(converted.file, asked.threads)?,
            inputs: network.inputs.iter().copied().zip(inputs).collect(),
            outputs: network.outputs.iter().copied().zip(outputs).collect(),
        })
    }

    /// Whether the inputs have the shapes that the part was converted for.
    pub(crate) fn fits(&self, host: Host) -> Result<bool> {
        for (tensor, shape) in &self.inputs {
            if host.shape(*tensor)? != *shape {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives the outputs the shapes that follow from the inputs.
    pub(crate) fn shape_outputs(&self, host: Host) -> Result<()> {
        for (tensor, shape) in &self.outputs {
            if host.shape(*tensor)? != *shape {
                host.resize(*tensor, shape)?;
            }
        }
        Ok(())
    }

    /// Runs the part. Of its inputs those in `given` have elements; of the others shapes alone count.
    ///
    /// # Safety
    /// The host runs the node of the part, whose tensors nobody else uses meanwhile.
    pub(crate) unsafe fn run(&mut self, host: Host, given: &[c_int]) -> Result<()> {
        let session = self.runner.session()?;
        for (index, (tensor, _)) in self.inputs.iter().enumerate() {
            if !given.contains(tensor) {
                continue;
            }
            let mut input = session.input(index).map_err(|error| error.to_string())?;
            // SAFETY: by the caller; inputs are only read.
            let bytes = unsafe { host.bytes(*tensor) }?;
            let copied = match input.info().sign_flip() {
                0 => input.copy_stored(bytes),
                // uint8, which is stored as int8.
                _ => input.copy_from(bytes),
            };
            copied.map_err(|error| format!("input tensor {tensor}: {error}"))?;
        }
        session.run().map_err(|error| error.to_string())?;
        for (index, (tensor, _)) in self.outputs.iter().enumerate() {
            let output = session.output(index).map_err(|error| error.to_string())?;
            let (from, flip) = (output.stored_bytes(), output.info().sign_flip());
            // SAFETY: by the caller; each output is written by itself.
            let to = unsafe { host.bytes_mut(*tensor) }?;
            if from.len() != to.len() {
                let (found, wanted) = (to.len(), from.len());
                return Err(format!("output tensor {tensor} has {found} bytes, needs {wanted}"));
            }
            match flip {
                0 => to.copy_from_slice(from),
                _ => to.iter_mut().zip(from).for_each(|(to, from)| *to = from ^ flip),
            }
        }
        Ok(())
    }
}
