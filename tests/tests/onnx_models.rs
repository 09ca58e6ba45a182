//! Real ONNX models in float: each gives the outputs of onnxruntime, or is refused by the name of an
//! operator that is not supported.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use libtest_mimic::{Arguments, Failed, Trial};
use systole_converter::{Options, npz, run::run};
use systole_core::{DType, Model};
use systole_tests::checked::convert_file;
use systole_tests::{close, compare, shared};

/// The folders with models.
const FOLDERS: [&str; 4] = ["trained", "mlperf_tiny", "vision", "sequence"];

/// Models that are refused, and a part of what is said of each.
const REFUSED: [(&str, &str); 20] = [
    ("bayes_wine", "operator Scaler is not supported"),
    ("boosting_cancer", "operator TreeEnsembleClassifier is not supported"),
    ("digits_bilstm", "operator LSTM is not supported"),
    ("digits_gru", "operator GRU is not supported"),
    ("digits_lstm", "operator LSTM is not supported"),
    ("digits_lstm_keras", "operator Loop is not supported"),
    ("digits_rnn", "operator RNN is not supported"),
    ("forest_diabetes", "operator TreeEnsembleRegressor is not supported"),
    ("forest_digits", "operator TreeEnsembleClassifier is not supported"),
    ("logistic_digits", "operator LinearClassifier is not supported"),
    ("logistic_iris", "operator LinearClassifier is not supported"),
    ("mlp_digits", "operator Scaler is not supported"),
    ("neighbours_iris", "operator Scan is not supported"),
    ("ridge_diabetes", "operator LinearRegressor is not supported"),
    ("svc_linear_cancer", "operator SVMClassifier is not supported"),
    ("svc_probability_iris", "operator SVMClassifier is not supported"),
    ("svc_rbf_wine", "operator SVMClassifier is not supported"),
    ("translate_decoder", "operator GRU is not supported"),
    ("translate_encoder", "operator GRU is not supported"),
    ("tree_iris", "operator TreeEnsembleClassifier is not supported"),
];

fn main() {
    let arguments = Arguments::from_args();
    let Some(shared) = shared() else {
        println!("skipped: no folder ../shared with models");
        return;
    };
    let mut models: Vec<PathBuf> = FOLDERS
        .iter()
        .filter_map(|folder| fs::read_dir(shared.join("models").join(folder)).ok())
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .collect();
    models.sort();
    let refused: BTreeMap<&str, &str> = REFUSED.into_iter().collect();
    let trials = models
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let reason = refused.get(&*name).copied();
            Trial::test(name, move || match (check(&path), reason) {
                (Ok(()), None) => Ok(()),
                (Err(problem), Some(reason)) if problem.contains(reason) => Ok(()),
                (Ok(()), Some(_)) => Err(Failed::from("it converts, but is listed as refused")),
                (Err(problem), _) => Err(Failed::from(problem)),
            })
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn check(path: &Path) -> Result<(), String> {
    let text = |problem: &dyn std::fmt::Display| problem.to_string();
    let converted = convert_file(path, &Options::default()).map_err(|e| text(&e))?;
    let model = Model::from_bytes(converted.file.as_slice()).map_err(|e| text(&e))?;
    let beside = |what: &str| path.with_extension(what);
    let inputs = npz::read(&beside("inputs.npz")).map_err(|e| text(&e))?;
    let wanted = npz::read(&beside("outputs.npz")).map_err(|e| text(&e))?;
    let outputs = run(&model, &inputs, || ()).map_err(|e| text(&e))?;
    if outputs.len() != wanted.len() {
        return Err(format!("{} outputs; the goldens are of {}", outputs.len(), wanted.len()));
    }
    for (index, (got, want)) in outputs.iter().zip(&wanted).enumerate() {
        let problem = |e| format!("output {index}: {e}");
        match want.dtype {
            // Some goldens cover only the first samples.
            DType::F32 => close(&got.bytes[..want.bytes.len().min(got.bytes.len())], &want.bytes),
            _ => compare(got, want),
        }
        .map_err(problem)?;
    }
    Ok(())
}
