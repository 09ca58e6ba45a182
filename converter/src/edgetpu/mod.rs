//! What a model compiled for the Edge TPU says of itself.
//!
//! Such a `.tflite` holds operators `edgetpu-custom-op`, whose options carry a package of executables
//! for the device: instructions, parameters, and the layers that go in and out. Instructions and the
//! order of parameters are not documented; everything around them is, by the schema
//! `executable/executable.fbs` of libedgetpu, and is read here, every offset checked.

pub mod blob;
mod buffer;
pub mod check;
pub mod compiler;
pub mod fallback;
mod flex;
mod package;

use std::fmt::Write;

use serde::Serialize;
use tract_tflite::tflite;

pub use package::{Executable, ExecutableKind, Layer, LayerType, Package};

use crate::error::{Result, Within, error};

/// The name of the operators that hold packages.
pub const OPERATOR: &str = "edgetpu-custom-op";

/// Memory of the device for parameters that stay there between runs, in bytes.
pub const ON_CHIP_BYTES: u64 = 8 << 20;

/// An operator of a compiled model, in the order of execution.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Runs on the device.
    EdgeTpu(Package),
    /// Runs on the CPU: the operator's name.
    Cpu(String),
}

/// The operators of a model compiled for the Edge TPU; `None` for other models, and for bytes that
/// are no TFLite model.
///
/// # Errors
/// `Corrupt` for packages that are damaged, `UnsupportedFeature` for those of several chips,
/// `TooLarge` for more executables or layers than the device could have.
pub fn parts(bytes: &[u8]) -> Result<Option<Vec<Part>>> {
    if !crate::tflite::is_tflite(bytes) {
        return Ok(None);
    }
    // Damaged models are the importer's to refuse.
    let Ok(model) = tflite::root_as_model(bytes) else { return Ok(None) };
    let codes = model.operator_codes().unwrap_or_default();
    let subgraphs = model.subgraphs().unwrap_or_default();
    if subgraphs.is_empty() || codes.iter().all(|code| code.custom_code() != Some(OPERATOR)) {
        return Ok(None);
    }
    let operators = subgraphs.get(0).operators().unwrap_or_default();
    let part = |(index, operator): (usize, tflite::Operator<'_>)| {
        let code = operator.opcode_index() as usize;
        if code >= codes.len() {
            return Err(error!(InvalidGraph, "operator {index} has the code {code}"));
        }
        let code = codes.get(code);
        match code.custom_code() {
            Some(OPERATOR) => {
                let options = operator.custom_options().map(|options| options.bytes());
                let package = Package::from_options(options.unwrap_or_default());
                package.map(Part::EdgeTpu).within(|| format!("operator {index} ({OPERATOR})"))
            }
            Some(name) => package::name(name.as_bytes()).map(Part::Cpu),
            None => {
                let builtin = code.builtin_code().0.max(code.deprecated_builtin_code().into());
                let name = tflite::BuiltinOperator(builtin).variant_name();
                Ok(Part::Cpu(name.map_or_else(|| format!("operator {builtin}"), str::to_owned)))
            }
        }
    };
    operators.iter().enumerate().map(part).collect::<Result<_>>().map(Some)
}

/// The operators as a page of text.
pub fn text(parts: &[Part]) -> String {
    let mut text = String::from("compiled for the Edge TPU\n");
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Cpu(name) => text += &format!("\noperator {index}: {name}, on the CPU\n"),
            Part::EdgeTpu(package) => {
                text += &format!("\noperator {index}: {OPERATOR}, on the device\n");
                package_text(&mut text, package).expect("writing to a String cannot fail");
            }
        }
    }
    text
}

fn package_text(text: &mut String, package: &Package) -> std::fmt::Result {
    writeln!(text, "runtime    {} or later", package.min_runtime_version)?;
    if !package.compiler_version.is_empty() {
        writeln!(text, "compiler   {}", package.compiler_version)?;
    }
    let (cached, streamed) = (package.cached_bytes(), package.streamed_bytes());
    writeln!(text, "on chip    {cached} bytes of parameters, of {ON_CHIP_BYTES}")?;
    writeln!(text, "streamed   {streamed} bytes of parameters for every run")?;
    writeln!(
        text,
        "fits       {}",
        if package.fits() { "all of them" } else { "not all of them" }
    )?;
    for executable in &package.executables {
        writeln!(
            text,
            "\n  {} for {}: {} bytes of instructions in {} chunks, {} of parameters, {} of scratch",
            executable.kind.name(),
            executable.chip,
            executable.instruction_bytes,
            executable.instruction_chunks,
            executable.parameter_bytes,
            executable.scratch_bytes
        )?;
        for (what, layers) in [("input", &executable.inputs), ("output", &executable.outputs)] {
            for layer in layers {
                let [y, x, z] = layer.shape;
                writeln!(
                    text,
                    "    {what:<7} {} [{y}, {x}, {z}] scale {} zero_point {} in {} bytes '{}'",
                    layer.dtype.name(),
                    layer.scale,
                    layer.zero_point,
                    layer.bytes,
                    layer.name
                )?;
            }
        }
    }
    Ok(())
}
