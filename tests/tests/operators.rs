//! Single operators and small graphs: every case of `tests/operators`, converted under both
//! `--match`es, gives the goldens' bytes.
//!
//! Run a part by name: `cargo test -p systole-tests --test operators -- conv_2d`.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use systole::Model;
use systole_converter::{
    Match, Options, convert_file,
    npz::{self, Array},
    run,
};
use systole_tests::{compare, repository};

fn main() {
    let arguments = Arguments::from_args();
    let folder = repository().join("tests/operators");
    let mut models: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    models.retain(|path| path.extension().is_some_and(|extension| extension == "tflite"));
    models.sort();
    assert!(!models.is_empty(), "{} holds no cases", folder.display());
    let trials = models.iter().flat_map(|model| trials(model)).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test per golden that the case has.
fn trials(model: &Path) -> Vec<Trial> {
    let arrays = npz::read(&model.with_extension("npz")).unwrap_or_default();
    [(Match::Litert, "litert."), (Match::Tflm, "tflm.")]
        .into_iter()
        .filter(|(_, prefix)| arrays.iter().any(|array| array.name.starts_with(prefix)))
        .map(|(matching, prefix)| {
            let name = model.file_stem().unwrap_or_default().to_string_lossy();
            let (model, arrays) = (model.to_owned(), arrays.clone());
            Trial::test(format!("{name}::{}", matching.name()), move || {
                check(&model, &arrays, matching, prefix).map_err(Failed::from)
            })
        })
        .collect()
}

fn check(path: &Path, arrays: &[Array], matching: Match, prefix: &str) -> Result<(), String> {
    let options = Options { matching, ..Options::default() };
    let converted = convert_file(path, &options).map_err(|error| error.to_string())?;
    let model = Model::from_bytes(converted.file.as_slice()).map_err(|error| error.to_string())?;
    let inputs = numbered(arrays, "in.");
    let outputs = run::run(&model, &inputs, || {}).map_err(|error| error.to_string())?;
    let goldens = numbered(arrays, prefix);
    if goldens.len() != outputs.len() {
        return Err(format!("{} outputs, {} goldens", outputs.len(), goldens.len()));
    }
    outputs.iter().zip(&goldens).try_for_each(|(got, want)| compare(got, want))
}

/// `in.0`, `in.1`, … in order.
fn numbered(arrays: &[Array], prefix: &str) -> Vec<Array> {
    (0..)
        .map_while(|i| arrays.iter().find(|array| array.name == format!("{prefix}{i}")))
        .cloned()
        .collect()
}
