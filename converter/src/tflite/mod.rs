//! Import of TFLite models.
//!
//! The file is verified before anything of it is read (flatbuffers' verifier), then tensors and
//! operators are checked one by one; all that is unsupported is reported at once.

mod importer;
mod registry;
mod tensors;

use std::collections::BTreeMap;

use tract_tflite::tflite::{self, BuiltinOperator};

pub use importer::{Importer, activation};

use crate::{
    edgetpu,
    error::{Class, Error, Result, Within, bail, error},
    graph::Graph,
    ops::Op,
    options::Options,
    tflite::tensors::{Buffers, Use},
};

/// The schema version that is read.
const SCHEMA_VERSION: u32 = 3;

/// The most tensors, and the most operators: a file's indices have 16 bits.
const MAX_RECORDS: usize = 65_535;

/// How many problems a message lists.
const MAX_LISTED: usize = 20;

/// Whether `bytes` look like a TFLite model: its file identifier is in place.
pub fn is_tflite(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"TFL3")
}

/// Reads a TFLite model; of `options`, the limits count.
///
/// # Errors
/// Every class of [`Class`] but `Io` and `InvalidData`.
pub fn import(bytes: &[u8], options: &Options) -> Result<Graph> {
    if !is_tflite(bytes) {
        bail!(
            NotAModel,
            "not a TFLite model: bytes 4 to 8 are {:?} where \"TFL3\" belongs",
            String::from_utf8_lossy(bytes.get(4..8).unwrap_or_default())
        );
    }
    let model = tflite::root_as_model(bytes)
        .map_err(|problem| error!(Corrupt, "damaged TFLite model: {}", first_line(&problem)))?;
    if model.version() != SCHEMA_VERSION {
        bail!(
            UnsupportedVersion,
            "schema version {}; version {SCHEMA_VERSION} is supported",
            model.version()
        );
    }
    let subgraphs = model.subgraphs().unwrap_or_default();
    if subgraphs.is_empty() {
        bail!(InvalidGraph, "the model has no subgraph");
    }
    let subgraph = subgraphs.get(0);
    let operators = subgraph.operators().unwrap_or_default();
    let codes = operator_codes(&model, &operators)?;
    unsupported(&codes)?;

    let mut graph = Graph::default();
    let tensors = subgraph.tensors().unwrap_or_default();
    if operators.len().max(tensors.len()) > MAX_RECORDS {
        bail!(
            TooLarge,
            "{} tensors and {} operators; at most {MAX_RECORDS} of each are supported",
            tensors.len(),
            operators.len()
        );
    }
    let uses = uses(&subgraph, &tensors, &operators, &codes);
    let mut buffers = Buffers::new(&model);
    for (index, &used) in uses.iter().enumerate() {
        let source = tensors.get(index);
        let tensor = tensors::import(&mut buffers, &source, options, used).within(|| {
            format!("tensor {index} ('{}')", tensors.get(index).name().unwrap_or_default())
        })?;
        graph.add_tensor(tensor);
    }
    graph.inputs = importer::tensor_ids(&graph, subgraph.inputs(), "the graph's inputs")?;
    graph.outputs = importer::tensor_ids(&graph, subgraph.outputs(), "the graph's outputs")?;
    if graph.outputs.is_empty() {
        bail!(InvalidGraph, "the graph has no outputs");
    }
    if let Some(&id) = graph.inputs.iter().find(|&&id| graph[id].is_constant()) {
        bail!(InvalidGraph, "the graph's input {} is a constant", graph[id]);
    }
    let fallback = fallback(&codes, options)?;
    let state: Vec<bool> = uses.iter().map(|&used| used == Use::KeptInside).collect();
    let mut importer = Importer::new(graph, &state, options);
    let mut problems = Vec::new();
    for (index, code) in codes.iter().enumerate() {
        let operator = operators.get(index);
        let read = match code.compiled {
            true => importer.compiled(index, &model, &operator, &state, fallback.as_ref()),
            false => importer.operator(index, code.builtin, &operator),
        };
        match read {
            Ok(()) => {}
            // Later operators may be unsupported too: go on, to list them all.
            Err(problem) if problem.class == Class::UnsupportedFeature => problems.push(problem),
            Err(problem) if problems.is_empty() => return Err(problem),
            Err(_) => {}
        }
    }
    all_at_once(problems)?;
    importer.finish()
}

/// The builtin code of an operator, with the name for messages.
struct Code {
    builtin: BuiltinOperator,
    name: String,
    /// Whether it is compiled for the Edge TPU.
    compiled: bool,
}

/// The graph of the model that stands in for compiled operators.
fn fallback(codes: &[Code], options: &Options) -> Result<Option<Graph>> {
    let Some(path) = &options.fallback else { return Ok(None) };
    if !codes.iter().any(|code| code.compiled) {
        bail!(
            UnsupportedFeature,
            "a fallback is for models that are compiled for the Edge TPU, which this one is not"
        );
    }
    let place = || path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|problem| error!(Io, "cannot be read: {problem}").within(place()))?;
    let options = Options { fallback: None, ..options.clone() };
    let graph = import(&bytes, &options).within(place)?;
    if graph.nodes.iter().any(|node| matches!(node.op, Op::Delegate(_))) {
        let compiled = error!(
            UnsupportedFeature,
            "is compiled for the Edge TPU itself; a fallback is the model before that"
        );
        return Err(compiled.within(place()));
    }
    Ok(Some(graph))
}

/// What each tensor is for.
fn uses(
    subgraph: &tflite::SubGraph<'_>,
    tensors: &flatbuffers::Vector<'_, flatbuffers::ForwardsUOffset<tflite::Tensor<'_>>>,
    operators: &flatbuffers::Vector<'_, flatbuffers::ForwardsUOffset<tflite::Operator<'_>>>,
    codes: &[Code],
) -> Vec<Use> {
    let kept = |tensor: tflite::Tensor<'_>| match tensor.is_variable() {
        true => Use::KeptInside,
        false => Use::Operand,
    };
    let mut uses: Vec<Use> = tensors.iter().map(kept).collect();
    let mut mark = |indices: Option<flatbuffers::Vector<'_, i32>>, used: Use| {
        for index in indices.unwrap_or_default() {
            if let Some(entry) = usize::try_from(index).ok().and_then(|index| uses.get_mut(index)) {
                *entry = used;
            }
        }
    };
    for operator in operators {
        mark(operator.intermediates(), Use::Intermediate);
    }
    for (operator, code) in operators.iter().zip(codes) {
        mark(operator.inputs().filter(|_| !code.compiled), Use::Operand);
        mark(operator.outputs(), Use::Operand);
    }
    mark(subgraph.inputs(), Use::Operand);
    mark(subgraph.outputs(), Use::Operand);
    uses
}

fn operator_codes(
    model: &tflite::Model<'_>,
    operators: &flatbuffers::Vector<'_, flatbuffers::ForwardsUOffset<tflite::Operator<'_>>>,
) -> Result<Vec<Code>> {
    let codes = model.operator_codes().unwrap_or_default();
    let code_of = |(index, operator): (usize, tflite::Operator<'_>)| {
        let opcode = operator.opcode_index() as usize;
        if opcode >= codes.len() {
            bail!(
                InvalidGraph,
                "operator {index}: operator code {opcode}; the model has {} codes",
                codes.len()
            );
        }
        let code = codes.get(opcode);
        // Models from before the codes outgrew a byte have them in the deprecated field.
        let number = code.builtin_code().0.max(i32::from(code.deprecated_builtin_code()));
        let builtin = BuiltinOperator(number);
        let name = match (builtin, builtin.variant_name()) {
            (BuiltinOperator::CUSTOM, _) => {
                format!("custom operator {}", code.custom_code().unwrap_or("(unnamed)"))
            }
            (_, Some(name)) => name.to_owned(),
            (_, None) => format!("operator code {number}"),
        };
        let compiled = code.custom_code() == Some(edgetpu::OPERATOR);
        let compiled = builtin == BuiltinOperator::CUSTOM && compiled;
        Ok(Code { builtin, name, compiled })
    };
    operators.iter().enumerate().map(code_of).collect()
}

/// Lists all operators that are not known, with their counts.
fn unsupported(codes: &[Code]) -> Result<()> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let unknown = |code: &&Code| !code.compiled && registry::import(code.builtin).is_none();
    for code in codes.iter().filter(unknown) {
        *counts.entry(&code.name).or_default() += 1;
    }
    if counts.is_empty() {
        return Ok(());
    }
    let list: Vec<String> =
        counts.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    bail!(
        UnsupportedOperator,
        "unsupported operators: {}. docs/operators.md lists the supported ones",
        list.join(", ")
    )
}

/// One error of many, their messages below each other.
fn all_at_once(mut problems: Vec<Error>) -> Result<()> {
    if problems.len() <= 1 {
        return problems.pop().map_or(Ok(()), Err);
    }
    let mut lines: Vec<String> =
        problems.iter().take(MAX_LISTED).map(|problem| format!("\n  {problem}")).collect();
    if problems.len() > MAX_LISTED {
        lines.push(format!("\n  and {} more", problems.len() - MAX_LISTED));
    }
    bail!(
        UnsupportedFeature,
        "{} operators are not supported as they are:{}",
        problems.len(),
        lines.concat()
    )
}

/// The verifier's traces span many lines; the first names the problem.
fn first_line(problem: &impl std::fmt::Display) -> String {
    problem.to_string().lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

pub use registry::SUPPORTED;

/// What kind of arithmetic an operator of a model does, for tables of what is supported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    /// The operator, as TFLite spells it.
    pub operator: String,
    /// Element type of its first input that is no constant; "hybrid" for float32 beside int8 weights;
    /// "constant" where all inputs are constants.
    pub kind: String,
}

/// Lists the operators of a TFLite model.
///
/// # Errors
/// As [`import`], for files that cannot be read at all.
pub fn contents(bytes: &[u8]) -> Result<Vec<Content>> {
    let model = tflite::root_as_model(bytes)
        .map_err(|problem| error!(Corrupt, "damaged TFLite model: {}", first_line(&problem)))?;
    let subgraph = model.subgraphs().unwrap_or_default().iter().next();
    let subgraph = subgraph.ok_or_else(|| error!(InvalidGraph, "the model has no subgraph"))?;
    let operators = subgraph.operators().unwrap_or_default();
    let tensors = subgraph.tensors().unwrap_or_default();
    let codes = operator_codes(&model, &operators)?;
    let buffers = model.buffers().unwrap_or_default();
    let constant = |tensor: &tflite::Tensor<'_>| {
        let index = tensor.buffer() as usize;
        index < buffers.len() && buffers.get(index).data().is_some_and(|data| !data.is_empty())
    };
    let content = |(code, operator): (Code, tflite::Operator<'_>)| {
        let inputs = operator.inputs().unwrap_or_default();
        let inputs: Vec<tflite::Tensor<'_>> = inputs
            .iter()
            .filter_map(|index| usize::try_from(index).ok().filter(|&index| index < tensors.len()))
            .map(|index| tensors.get(index))
            .collect();
        let name = |tensor: &tflite::Tensor<'_>| {
            tensor.type_().variant_name().unwrap_or("unknown").to_lowercase()
        };
        let activation = inputs.iter().find(|tensor| !constant(tensor)).map(name);
        let weights = inputs
            .iter()
            .any(|tensor| constant(tensor) && tensor.type_() == tflite::TensorType::INT8);
        let kind = match activation {
            Some(kind) if kind == "float32" && weights => "hybrid".to_owned(),
            Some(kind) => kind,
            None => "constant".to_owned(),
        };
        Content { operator: code.name, kind }
    };
    Ok(codes.into_iter().zip(operators.iter()).map(content).collect())
}
