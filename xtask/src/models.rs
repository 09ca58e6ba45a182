//! The models that are measured and checked by default.

use std::path::{Path, PathBuf};

use crate::{
    error::{Error, Result},
    paths,
};

/// A model with golden inputs and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The name on the command line and in tables.
    pub name: &'static str,
    /// The file, from the repository's root or from the folder of the large models.
    file: &'static str,
    /// Whether it is part of the repository.
    pub bundled: bool,
}

/// The model that is always there.
pub const DIGITS: Known = Known { name: "digits", file: "models/digits.tflite", bundled: true };

/// The models that peers have been measured with.
pub const MODELS: [Known; 7] = [
    shared("hello_world_int8", "hello/hello_world_int8.tflite"),
    shared("micro_speech_int8", "sequence/micro_speech_int8.tflite"),
    shared("kws", "mlperf_tiny/kws_int8.tflite"),
    shared("ic", "mlperf_tiny/ic_int8.tflite"),
    shared("vww", "mlperf_tiny/vww_int8.tflite"),
    shared("ad", "mlperf_tiny/ad_int8.tflite"),
    shared("person_detect", "vision/person_detect.tflite"),
];

/// Models that predictions are held against, none of which costs are fitted to.
pub const PREDICTED: [Known; 9] = [
    DIGITS,
    shared("hello_world_int8", "hello/hello_world_int8.tflite"),
    shared("micro_speech_int8", "sequence/micro_speech_int8.tflite"),
    shared("kws", "mlperf_tiny/kws_int8.tflite"),
    shared("ic", "mlperf_tiny/ic_int8.tflite"),
    shared("vww", "mlperf_tiny/vww_int8.tflite"),
    shared("ad", "mlperf_tiny/ad_int8.tflite"),
    shared("sww", "mlperf_tiny/sww_int8.tflite"),
    shared("person_detect", "vision/person_detect.tflite"),
];

const fn shared(name: &'static str, file: &'static str) -> Known {
    Known { name, file, bundled: false }
}

/// Where a model's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The model.
    pub model: PathBuf,
    /// Golden inputs.
    pub inputs: PathBuf,
    /// Golden outputs: TFLite Micro's, whose answers converted models reproduce by default, or
    /// LiteRT's where it gives the same.
    pub golden: PathBuf,
}

impl Known {
    /// Its files; `None` where the folder of the large models is not there.
    pub fn files(&self) -> Option<Files> {
        let root =
            if self.bundled { paths::repository().to_owned() } else { paths::shared_models()? };
        let model = root.join(self.file);
        let beside = |extension: &str| model.with_extension(extension);
        let micro = beside("tflm.npz");
        let golden = if Path::exists(&micro) { micro } else { beside("outputs.npz") };
        Some(Files { inputs: beside("inputs.npz"), golden, model })
    }
}

/// The models with these names.
///
/// # Errors
/// For a name that none has: all names.
pub fn named(names: &[String]) -> Result<Vec<Known>> {
    let all = || [DIGITS].into_iter().chain(MODELS);
    names
        .iter()
        .map(|name| {
            all().find(|model| model.name == name).ok_or_else(|| {
                let names: Vec<&str> = all().map(|model| model.name).collect();
                Error::Usage(format!("no model {name:?}; there are {}", names.join(", ")))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_model_is_there_with_its_goldens() {
        let files = DIGITS.files().expect("it is part of the repository");
        for file in [&files.model, &files.inputs, &files.golden] {
            assert!(file.exists(), "{}", file.display());
        }
    }

    #[test]
    fn unknown_names_are_answered_with_the_known_ones() {
        assert_eq!(named(&["kws".into(), "digits".into()]).unwrap()[1], DIGITS);
        let error = named(&["kws_int8".into()]).unwrap_err();
        assert!(matches!(error, Error::Usage(_)));
        assert!(error.to_string().contains("person_detect"), "{error}");
    }
}
