//! Import of ONNX models.
//!
//! `tract-onnx` reads the protobuf; nodes stay what they are, and each becomes one or several
//! operators of the graph. Shapes follow from those of the inputs, operator by operator, as they do
//! for TFLite: what a model computes from shapes and constants is evaluated on the way, so that
//! nothing is left to be guessed.
//!
//! ONNX has channels before rows and columns, the graph behind them. No pass moves transposes
//! around: each value says in which order its axes are stored, and a transpose is written where an
//! operator needs another order (`value.rs`).

mod attributes;
mod importer;
mod kind;
mod model;
mod ops;
mod order;
mod qdq;
mod registry;
mod tensors;
mod value;
mod wire;

use std::path::Path;

pub use model::Dimensions;
pub use registry::{CONTRIBUTED, SUPPORTED};

use crate::{
    error::{Class, Error, Result, bail, error},
    graph::{Format, Graph, Tensor},
    options::Options,
    passes::MOST_SEARCHED,
    quantize::fold,
};

/// How many problems a message lists.
const MAX_LISTED: usize = 20;

/// Reads an ONNX model. External data is looked for in `folder`; where there is none, models with
/// such data are refused.
///
/// # Errors
/// Every class of [`Class`] but `Io` and `InvalidData`.
pub fn import(bytes: &[u8], folder: Option<&Path>, options: &Options) -> Result<Graph> {
    let model = model::parse(bytes)?;
    let problems = registry::unsupported(&model);
    all_at_once(problems)?;
    let mut graph = importer::import(&model, folder, options)?;
    // Exporters leave biases and normalizations apart from their layers, which costs each a tensor.
    // What a quantized model computes in floats in between is to stay what it is to the last bit.
    if graph.format == Format::Onnx && graph.nodes.len() <= MOST_SEARCHED {
        fold::run(&mut graph, fold::Shared::Stay)?;
    }
    Ok(graph)
}

/// Reads a tensor in a file of its own, as ONNX's tests hold their inputs and outputs.
///
/// # Errors
/// `Corrupt`, and those of a constant in a model.
pub fn tensor(bytes: &[u8]) -> Result<Tensor> {
    let proto = tract_onnx::tensor::proto_from_reader(bytes)
        .map_err(|problem| error!(Corrupt, "damaged tensor: {problem}"))?;
    tensors::constant(&proto, None)
}

/// One error of all problems, each on a line.
fn all_at_once(problems: Vec<Error>) -> Result<()> {
    match &problems[..] {
        [] => Ok(()),
        [problem] => Err(problem.clone()),
        [first, ..] => {
            let lines: Vec<String> =
                problems.iter().take(MAX_LISTED).map(|problem| format!("\n  {problem}")).collect();
            let more = problems.len().saturating_sub(MAX_LISTED);
            let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
            let message = format!("{} problems:{}{more}", problems.len(), lines.concat());
            Err(Error::new(
                if problems.iter().all(|p| p.class == first.class) {
                    first.class
                } else {
                    Class::UnsupportedFeature
                },
                message,
            ))
        }
    }
}

/// A number of elements, or an axis, that has to fit this machine.
fn size(number: i64, what: &str) -> Result<usize> {
    match usize::try_from(number) {
        Ok(size) => Ok(size),
        Err(_) => bail!(InvalidShape, "{what} is {number}; it must not be negative"),
    }
}
