//! Reading the file that the macro names.

use std::path::{Path, PathBuf};

use systole_core::AlignedBytes;

/// A model's file.
pub(crate) struct File {
    /// Where it is, absolute.
    pub(crate) path: String,
    /// Its bytes as `.systole`.
    pub(crate) bytes: AlignedBytes,
    /// Whether the file itself is of another format.
    pub(crate) converted: bool,
}

impl File {
    fn new(path: &Path, bytes: &[u8], converted: bool) -> Result<Self, String> {
        let path = path.to_str().ok_or_else(|| format!("{}: not UTF-8", path.display()))?;
        Ok(Self { path: path.into(), bytes: AlignedBytes::from(bytes), converted })
    }
}

/// Reads the file at `path`, seen from the package that is being compiled.
pub(crate) fn read(path: &str) -> Result<File, String> {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let full = folder.join(path);
    let bytes = std::fs::read(&full).map_err(|why| format!("{}: {why}", full.display()))?;
    match full.extension().and_then(|extension| extension.to_str()) {
        Some("systole") => File::new(&full, &bytes, false),
        Some("tflite") => File::new(&full, &convert(&full, &bytes)?, true),
        _ => Err(format!(
            "{}: the name ends neither in .systole nor in .tflite; `systole convert` makes a .systole file",
            full.display()
        )),
    }
}

#[cfg(feature = "tflite")]
fn convert(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let converted = systole_converter::convert(bytes, &systole_converter::Options::default())
        .map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(converted.file.as_slice().to_vec())
}

#[cfg(not(feature = "tflite"))]
fn convert(path: &Path, _bytes: &[u8]) -> Result<Vec<u8>, String> {
    Err(format!(
        "{}: .tflite files are converted with the feature `tflite` of systole, which is off; \
         `systole convert` makes a .systole file once for all",
        path.display()
    ))
}
