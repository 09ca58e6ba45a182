//! The whole conversion: import, passes, compilation, and a check of the result.

use std::path::Path;

use systole_core::{AlignedBytes, Model};

use crate::{
    apart,
    compile::{Compiled, compile},
    error::{Error, Result, bail, error},
    graph::Graph,
    options::Options,
    passes,
    report::Report,
    tflite,
};

/// A converted model.
#[derive(Debug, Clone)]
pub struct Converted {
    /// The `.systole` file.
    pub file: AlignedBytes,
    /// What was done, and what the model costs.
    pub report: Report,
    /// The graph after all passes.
    pub graph: Graph,
    /// Records, arena and bytes as they were written.
    pub compiled: Compiled,
}

/// A model as it was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// The network, before any pass.
    pub graph: Graph,
    /// Bytes of the model's file.
    pub bytes: usize,
}

/// Reads the model in `path`.
///
/// # Errors
/// Says what in the model is wrong or not supported, with the file's name; `Io` where it cannot be
/// read.
pub fn import_file(path: &Path, options: &Options) -> Result<Source> {
    let bytes = read(path)?;
    let graph = if is_onnx(path) {
        import_onnx(&bytes, path, options)
    } else {
        tflite::import(&bytes, options)
    };
    let graph = graph.map_err(|error| error.within(path.display().to_string()))?;
    Ok(Source { graph, bytes: bytes.len() })
}

/// Converts the bytes of a TFLite model.
///
/// # Errors
/// Says what in the model is wrong or not supported.
pub fn convert(bytes: &[u8], options: &Options) -> Result<Converted> {
    let graph = tflite::import(bytes, options)?;
    convert_source(Source { graph, bytes: bytes.len() }, options)
}

/// Reads `path` and converts it.
///
/// # Errors
/// As [`convert`], with the file's name; `Io` where it cannot be read.
pub fn convert_file(path: &Path, options: &Options) -> Result<Converted> {
    let source = import_file(path, options)?;
    convert_source(source, options).map_err(|error| error.within(path.display().to_string()))
}

/// Converts a model that was read.
///
/// # Errors
/// As [`convert`].
pub fn convert_source(source: Source, options: &Options) -> Result<Converted> {
    let Source { mut graph, bytes } = source;
    let imported = graph.nodes.len();
    let passes = passes::run(&mut graph)?;
    finish(graph, bytes, imported, passes, options)
}

/// Compiles a graph that passes have run over, and checks the result.
///
/// # Errors
/// Those of compiling; `TooLarge` for models beyond the limits.
pub(crate) fn finish(
    graph: Graph,
    bytes: usize,
    imported: usize,
    passes: Vec<passes::Applied>,
    options: &Options,
) -> Result<Converted> {
    let compiled = compile(&graph, options)?;
    let file = AlignedBytes::from(&compiled.written.bytes[..]);
    // What the runtime would refuse must not leave the converter.
    let model = Model::with_delegate(file.as_slice())
        .map_err(|problem| error!(InvalidGraph, "the converted model is not valid: {problem}"))?;
    check_work(&model, options)?;
    let report = Report::new(bytes, imported, passes, &compiled);
    Ok(Converted { file, report, graph, compiled })
}

/// A model file as `.systole` bytes: taken as it is, or converted in memory.
///
/// # Errors
/// As [`convert_file`]; the runtime's reasons for a `.systole` file that it refuses.
pub fn load_file(path: &Path, options: &Options) -> Result<AlignedBytes> {
    let bytes = read(path)?;
    let place = |error: Error| error.within(path.display().to_string());
    if bytes.starts_with(&systole_core::format::MAGIC) {
        let mut file = AlignedBytes::from(&bytes[..]);
        if let Some(path) = &options.weights {
            file = apart::join(file.as_slice(), &read(path)?).map_err(place)?;
        }
        apart::with_model(file.as_slice(), |model| check_limits(model, options))
            .flatten()
            .map_err(place)?;
        return Ok(file);
    }
    if tflite::is_tflite(&bytes) {
        return Ok(convert(&bytes, options).map_err(place)?.file);
    }
    if is_onnx(path) {
        let graph = import_onnx(&bytes, path, options).map_err(place)?;
        let source = Source { graph, bytes: bytes.len() };
        return Ok(convert_source(source, options).map_err(place)?.file);
    }
    Err(place(error!(
        NotAModel,
        "neither a .systole file (begins with SYSTOLE), nor a TFLite model (TFL3 at byte 4), nor an \
         ONNX model (NAME.onnx)"
    )))
}

/// Whether a file is taken for an ONNX model: by its name, since protobuf has no mark of its own.
fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

#[cfg(feature = "onnx")]
fn import_onnx(bytes: &[u8], path: &Path, options: &Options) -> Result<Graph> {
    crate::onnx::import(bytes, path.parent(), options)
}

#[cfg(not(feature = "onnx"))]
fn import_onnx(_: &[u8], _: &Path, _: &Options) -> Result<Graph> {
    bail!(
        UnsupportedFeature,
        "this program is built without the feature `onnx` of systole-converter: convert the model to a \
         .systole file with `systole convert`"
    )
}

/// Refuses models that would take more memory or time than there is.
fn check_limits(model: &Model<'_>, options: &Options) -> Result<()> {
    if model.arena_bytes() > options.max_arena {
        bail!(
            TooLarge,
            "the model asks for an arena of {} bytes; the limit is {} (--max-arena)",
            model.arena_bytes(),
            options.max_arena
        );
    }
    check_work(model, options)?;
    check_names(model)
}

/// Refuses models that would run for hours.
fn check_work(model: &Model<'_>, options: &Options) -> Result<()> {
    if model.work() > options.max_work {
        bail!(
            TooLarge,
            "an inference would take {} steps; the limit is {} (--max-work)",
            model.work(),
            options.max_work
        );
    }
    Ok(())
}

/// The most steps that looking up the names of all tensors, or all labels, may take.
const MAX_LOOKUPS: usize = 1_000_000_000;

/// Refuses files whose metadata is made to keep tools busy: each look-up walks it from its start.
fn check_names(model: &Model<'_>) -> Result<()> {
    let entries = model.metadata().count();
    if entries.saturating_mul(entries.max(model.tensor_count())) > MAX_LOOKUPS {
        bail!(TooLarge, "{entries} entries of metadata; tools would be busy for minutes");
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(problem) => bail!(Io, "{}: cannot be read: {problem}", path.display()),
    }
}
