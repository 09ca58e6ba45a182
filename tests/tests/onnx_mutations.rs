//! Damaged ONNX models: seeded mutations of good ones, of their bytes and of the fields of their
//! protobuf, end in an error or in a run, never in a panic, a failed run of a validated model, or a
//! case that takes longer than ten seconds.
//!
//! `SYSTOLE_MUTATIONS` sets how many cases each model gets. A case that fails is named by its number,
//! which is its seed: `SYSTOLE_MUTATION=7` runs number 7 alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use libtest_mimic::Trial;
use prost::Message;
use systole_tests::{
    hostile,
    onnx::{mutate, with_constants},
    repository,
    seeded::{cases, run},
    shared,
};
use tract_onnx::pb::ModelProto;

/// Cases of a trained model, unless `SYSTOLE_MUTATIONS` says otherwise.
const CASES: u64 = 200;
/// Cases of each of ONNX's tests of operators, of which there are hundreds.
const OPERATOR_CASES: u64 = 12;
/// Cases of each single quantized operator.
const QUANTIZED_CASES: u64 = 40;

fn main() {
    let Some(shared) = shared() else {
        println!("SKIPPED: mutations of the shared ONNX models, because there is no ../shared");
        run(vec![quantized_trial()])
    };
    let models = shared.join("models");
    let trained = ["digits_cnn", "text_transformer", "denoise_deconv", "recommender"];
    let trained = trained.map(|name| models.join("trained").join(name).with_extension("onnx"));
    let mut trials: Vec<Trial> = trained.into_iter().flat_map(trained_trials).collect();
    trials.push(Trial::test("operators", move || {
        let bases = operators(&models.join("onnx_ops"));
        assert!(bases.len() > 400, "{} models of operators", bases.len());
        let count = bases.len() as u64;
        cases(OPERATOR_CASES * count, |noise| {
            let mut model = bases[noise.below(bases.len())].clone();
            mutate(&mut model, noise);
            hostile::convert_onnx_and_run(&model.encode_to_vec())
        })
    }));
    trials.push(quantized_trial());
    run(trials);
}

/// Single quantized operators, whose models are in this repository.
fn quantized_trial() -> Trial {
    Trial::test("quantized", || {
        let bases: Vec<ModelProto> = files(&repository().join("tests/onnx_quantized"))
            .iter()
            .filter_map(|path| fs::read(path).ok().filter(|bytes| bytes.len() < 5000))
            .filter_map(|bytes| ModelProto::decode(&*bytes).ok())
            .collect();
        assert!(bases.len() > 60, "{} models of quantized operators", bases.len());
        cases(QUANTIZED_CASES * bases.len() as u64, |noise| {
            let mut model = bases[noise.below(bases.len())].clone();
            mutate(&mut model, noise);
            hostile::convert_onnx_and_run(&model.encode_to_vec())
        })
    })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn trained_trials(path: PathBuf) -> [Trial; 2] {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = fs::read(&path).expect("the model is there");
    let model = ModelProto::decode(&*bytes).expect("the model is good");
    let places: Vec<usize> = (0..bytes.len()).collect();
    [
        Trial::test(format!("{name}::bytes"), move || {
            cases(CASES, |noise| {
                let mut bytes = bytes.clone();
                hostile::mutate(&mut bytes, &places, noise);
                hostile::convert_onnx_and_run(&bytes)
            })
        }),
        Trial::test(format!("{name}::fields"), move || {
            cases(CASES, |noise| {
                let mut model = model.clone();
                mutate(&mut model, noise);
                hostile::convert_onnx_and_run(&model.encode_to_vec())
            })
        }),
    ]
}

/// ONNX's tests of operators, as they are and with constants.
fn operators(folder: &Path) -> Vec<ModelProto> {
    let mut models = Vec::new();
    for case in files(folder) {
        let Ok(bytes) = fs::read(case.join("model.onnx")) else { continue };
        models.extend(ModelProto::decode(&*bytes));
        models.extend(with_constants(&case));
    }
    models
}
