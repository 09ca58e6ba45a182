//! `cargo xtask aarch64 --goldens`: every model gives the golden outputs at every level, and of floats the
//! host's within a tolerance.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use systole_converter::npz::Array;
use systole_core::{DType, Model};

use super::{differs, emulated::LEVELS, sample, stored_inputs, stored_outputs};
use crate::{
    aarch64::emulated::Runner,
    error::{Result, failed},
    samples::Samples,
};

/// Folders whose models are run.
const FOLDERS: [&str; 6] = ["mlperf_tiny", "vision", "hello", "int16", "sequence", "trained"];

/// Runs all models whose name is `named`, the first `samples` of each; a line for each.
pub fn compare(
    runner: &Runner,
    folder: &Path,
    named: impl Fn(&str) -> bool,
    samples: usize,
) -> Result<String> {
    let mut failed = 0;
    let mut text = String::new();
    for path in models(folder)? {
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        if !named(&name) {
            continue;
        }
        let line = match model(runner, &path, &name, samples) {
            Ok(None) => format!("equal    {name}"),
            Ok(Some(why)) => format!("SKIPPED  {name}: {why}"),
            Err(why) => {
                failed += 1;
                format!("FAILED   {why}")
            }
        };
        eprintln!("{line}");
        let _ = writeln!(text, "{line}");
    }
    match failed {
        0 => Ok(text),
        _ => Err(failed!("{failed} models failed")),
    }
}

/// The models with golden outputs, in order.
fn models(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in FOLDERS.map(|name| folder.join(name)) {
        let files = std::fs::read_dir(&folder);
        let files = files.map_err(|problem| failed!("{}: {problem}", folder.display()))?;
        let paths = files.flatten().map(|file| file.path());
        found.extend(paths.filter(|path| {
            path.extension().is_some_and(|it| it == "tflite")
                && path.with_extension("outputs.npz").exists()
        }));
    }
    found.sort();
    Ok(found)
}

/// Why a model was skipped, if it was.
fn model(runner: &Runner, path: &Path, name: &str, count: usize) -> Result<Option<String>> {
    let (file, inputs, golden) = match sample(path) {
        Ok(found) => found,
        Err(why) => return Ok(Some(why.to_string())),
    };
    let model = Model::from_bytes(file.as_slice()).map_err(|why| failed!("{name}: {why}"))?;
    let there = |array: &Array| array.shape.first().copied().unwrap_or(0);
    let count = inputs.iter().chain(&golden).map(there).chain([count]).min().unwrap_or(0);
    let samples = Samples::new(&model, Some(inputs), count)?;
    for (sample, outputs) in samples.outputs.iter().enumerate() {
        for (given, golden) in outputs.iter().zip(&golden) {
            // Floats are within a tolerance of goldens, which tests see to.
            let equal = golden.dtype == DType::F32 || golden.sample(sample) == Some(given);
            if !equal {
                return Err(failed!("{name}: sample {sample} of the host is not the golden one"));
            }
        }
    }
    let (inputs, outputs) = (stored_inputs(&model, &samples), stored_outputs(&model, &samples));
    for level in LEVELS {
        let found = runner.outputs(level, file.as_slice(), &inputs)?;
        if !same(&model, &found, &outputs) {
            return Err(differs(name, level));
        }
    }
    Ok(None)
}

/// What outputs of float32 may differ by, as a part of the largest: levels that round a product and its sum once
/// give other last bits than those that round each, and the host is one or the other.
const TOLERANCE: f32 = 1e-4;

/// Whether outputs of all samples are the same: those of integers to the byte.
fn same(model: &Model<'_>, found: &[u8], expected: &[u8]) -> bool {
    if found.len() != expected.len() {
        return false;
    }
    let (mut found, mut expected) = (found, expected);
    while !expected.is_empty() {
        for info in model.outputs() {
            let (Some((ours, rest)), Some((theirs, others))) =
                (found.split_at_checked(info.bytes()), expected.split_at_checked(info.bytes()))
            else {
                return false;
            };
            (found, expected) = (rest, others);
            let equal = match info.dtype() {
                DType::F32 => close(ours, theirs),
                _ => ours == theirs,
            };
            if !equal {
                return false;
            }
        }
    }
    true
}

/// Whether numbers of float32 are within the tolerance.
fn close(found: &[u8], expected: &[u8]) -> bool {
    let numbers = |bytes: &[u8]| -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    let (found, expected) = (numbers(found), numbers(expected));
    let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    found.iter().zip(&expected).all(|(found, expected)| {
        found.to_bits() == expected.to_bits() || (found - expected).abs() <= TOLERANCE * largest
    })
}
