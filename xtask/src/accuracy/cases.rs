//! The models, and the data beside them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use systole_converter::npz::{self, Array};

use super::score::Truth;
use crate::error::{Result, failed};

/// A float model.
#[derive(Debug, Clone)]
pub struct Case {
    /// Folder and file, `trained/dwsep.onnx`.
    pub name: String,
    /// The file.
    pub model: PathBuf,
}

/// Data that a model is calibrated with, and other data that it is measured on.
#[derive(Debug, Clone)]
pub struct Data {
    /// The file with samples to calibrate with.
    pub calibration: PathBuf,
    /// The file with test data.
    pub test: PathBuf,
    /// Its arrays.
    pub arrays: Vec<Array>,
    /// What answers are held against.
    pub truth: Truth,
}

impl Case {
    /// Of a file in the folder of the models.
    pub fn new(models: &Path, name: &str) -> Self {
        Self { name: name.to_owned(), model: models.join(name) }
    }

    /// Folder and name without what says the format.
    pub fn stem(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(stem, _)| stem)
    }

    /// Without the folder.
    pub fn short(&self) -> &str {
        self.stem().rsplit('/').next().unwrap_or(&self.name)
    }

    /// Golden inputs and outputs.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn goldens(&self) -> Result<[Vec<Array>; 2]> {
        let read = |what: &str| npz::read(&self.model.with_extension(format!("{what}.npz")));
        Ok([read("inputs")?, read("outputs")?])
    }

    /// Its data; `None` for models that have none, or no labels.
    ///
    /// # Errors
    /// Where what is there cannot be read.
    pub fn data(&self) -> Result<Option<Data>> {
        let beside = |what: &str| {
            let dotted = self.model.with_extension(format!("{what}.npz"));
            let stem = self.model.with_extension("");
            let joined = PathBuf::from(format!("{}_{what}.npz", stem.display()));
            [dotted, joined].into_iter().find(|path| path.exists())
        };
        let (Some(calibration), Some(test)) = (beside("calibration"), beside("test")) else {
            return Ok(None);
        };
        let arrays = npz::read(&test)?;
        let truth = Truth::new(&arrays, self.rebuilds())?;
        Ok(Some(Data { calibration, test, arrays, truth }))
    }

    /// Whether it is to rebuild its input, by the text beside it.
    fn rebuilds(&self) -> bool {
        let text = fs::read_to_string(self.model.with_extension("json")).unwrap_or_default();
        let about: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        about["metric"].as_str().is_some_and(|metric| metric.contains("ROC"))
    }

    /// The same network as ONNX, which is what peers begin with.
    pub fn onnx(&self) -> PathBuf {
        let onnx = self.model.with_extension("onnx");
        let plain = self.stem().strip_suffix("_float").unwrap_or(self.stem());
        let name = Path::new(plain).file_name().unwrap_or_default();
        if onnx.exists() { onnx } else { self.model.with_file_name(name).with_extension("onnx") }
    }
}

/// All float models: what was trained for these tests, and those of MLPerf Tiny.
///
/// # Errors
/// Where the folders cannot be read.
pub fn all(models: &Path) -> Result<Vec<Case>> {
    let mut names = Vec::new();
    for folder in ["trained", "mlperf_tiny"] {
        let entries = fs::read_dir(models.join(folder))
            .map_err(|problem| failed!("{}: {problem}", models.join(folder).display()))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let trained =
                folder == "trained" && [".onnx", ".tflite"].iter().any(|e| name.ends_with(e));
            if trained || name.ends_with("_float.tflite") {
                names.push(format!("{folder}/{name}"));
            }
        }
    }
    names.sort();
    Ok(names.iter().map(|name| Case::new(models, name)).collect())
}
