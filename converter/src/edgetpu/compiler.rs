//! Coral's compiler for the Edge TPU, where it is installed.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use crate::error::{Result, bail, error};

/// The compiler's name on `PATH`.
pub const COMPILER: &str = "edgetpu_compiler";

/// Compiles the TFLite model in `model`; the result is a file in `folder`.
///
/// # Errors
/// `Io` where the compiler is not installed or leaves no file; `UnsupportedFeature` with the compiler's
/// own words where it refuses the model.
pub fn compile(model: &Path, folder: &Path) -> Result<PathBuf> {
    let run = Command::new(COMPILER).arg("-s").arg("-o").arg(folder).arg(model).output();
    let output = match run {
        Ok(output) => output,
        Err(problem) if problem.kind() == ErrorKind::NotFound => bail!(
            Io,
            "{COMPILER} is not installed: nothing of this name is on PATH. It is Coral's, for x86-64 \
             Linux; `systole check --target edgetpu` says without it what it will map"
        ),
        Err(problem) => bail!(Io, "{COMPILER} cannot be run: {problem}"),
    };
    if !output.status.success() {
        let said = [output.stderr, output.stdout].concat();
        let said = String::from_utf8_lossy(&said);
        bail!(UnsupportedFeature, "{COMPILER} fails ({}): {}", output.status, said.trim());
    }
    let stem = model.file_stem().ok_or_else(|| error!(Io, "the model's file has no name"))?;
    let compiled = folder.join(format!("{}_edgetpu.tflite", stem.to_string_lossy()));
    match compiled.exists() {
        true => Ok(compiled),
        false => Err(error!(Io, "{COMPILER} has left no {}", compiled.display())),
    }
}
