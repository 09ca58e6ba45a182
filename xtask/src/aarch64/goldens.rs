//! `cargo xtask aarch64 --goldens`: every model gives the golden outputs at every level.

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
            // Floats are within a tolerance, which tests see to; levels give the same bits.
            let equal = golden.dtype == DType::F32 || golden.sample(sample) == Some(given);
            if !equal {
                return Err(failed!("{name}: sample {sample} of the host is not the golden one"));
            }
        }
    }
    let (inputs, outputs) = (stored_inputs(&model, &samples), stored_outputs(&model, &samples));
    for level in LEVELS {
        if runner.outputs(level, file.as_slice(), &inputs)? != outputs {
            return Err(differs(name, level));
        }
    }
    Ok(None)
}
