//! `systole check`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use systole_converter::{Class, Error, Result, edgetpu::check::Check};

use super::to_json;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The model, .tflite, not compiled yet
    model: PathBuf,
    /// The accelerator
    #[arg(long, value_enum)]
    target: Accelerator,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Accelerator {
    /// Coral's Edge TPU
    Edgetpu,
}

/// What is to be printed, and whether all operators map.
pub(super) fn run(arguments: &Arguments) -> Result<(String, bool)> {
    let place = || arguments.model.display().to_string();
    let bytes = std::fs::read(&arguments.model).map_err(|problem| {
        Error::new(Class::Io, format!("cannot be read: {problem}")).within(place())
    })?;
    let Accelerator::Edgetpu = arguments.target;
    let check = Check::new(&bytes).map_err(|error| error.within(place()))?;
    let text = match arguments.json {
        true => to_json(&json!({
            "target": "edgetpu",
            "all_map": check.all_map(),
            "mapped": check.mapped(),
            "min_runtime_version": check.min_runtime_version,
            "operators": check.operators,
        })),
        false => format!("{}: {check}", place()),
    };
    Ok((text, check.all_map()))
}
