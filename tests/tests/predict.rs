//! Predictions for microcontrollers beside what was measured. `cargo xtask fit` writes the measurements; none of the
//! models here is among those that costs are fitted to.

use std::collections::BTreeMap;

use serde::Deserialize;
use systole_converter::{
    AlignedBytes, Options, convert_file, load_file,
    predict::{self, CORES, Core, Prediction},
};
use systole_core::Model;
use systole_tests::{repository, shared};

#[derive(Debug, Deserialize)]
struct Record {
    compiler: String,
    models: BTreeMap<String, Figures>,
}

#[derive(Debug, Deserialize)]
struct Figures {
    instructions: u64,
    code: u64,
    constants: u64,
    arena: u64,
    statics: u64,
    stack: u64,
}

fn recorded() -> BTreeMap<String, Record> {
    let path = repository().join("tests/predicted/measured.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn file(name: &str) -> Option<AlignedBytes> {
    let path = match name {
        "digits" => repository().join("models/digits.tflite"),
        "hello_world_int8" => shared()?.join("models/hello/hello_world_int8.tflite"),
        "micro_speech_int8" => shared()?.join("models/sequence/micro_speech_int8.tflite"),
        "person_detect" => shared()?.join("models/vision/person_detect.tflite"),
        name => shared()?.join(format!("models/mlperf_tiny/{name}_int8.tflite")),
    };
    Some(load_file(&path, &Options::default()).unwrap())
}

fn predicted(file: &AlignedBytes, core: &'static Core) -> Prediction {
    let model = Model::from_bytes(file.as_slice()).unwrap();
    predict::predict(&model, file.as_slice(), core).expect("there are costs of all processors")
}

fn off(predicted: f64, measured: u64) -> f64 {
    100.0 * (predicted / measured as f64 - 1.0)
}

/// Holds a model's predictions against its measurements: within `percent` in instructions.
fn holds(name: &str, percent: f64) {
    let Some(file) = file(name) else {
        eprintln!("skipped: {name} is not there");
        return;
    };
    let recorded = recorded();
    for core in &CORES {
        // Costs are those of another processor where there is no measurement.
        let Some(record) = recorded.get(core.name) else {
            assert_ne!(core.costs, core.name, "{} has not been measured", core.name);
            continue;
        };
        assert!(record.compiler.starts_with("rustc "), "{}", record.compiler);
        let measured = &record.models[name];
        let predicted = predicted(&file, core);
        let what = format!("{name} on {}", core.name);
        assert_eq!(predicted.unknown(), 0, "{what}");
        let error = off(predicted.instructions() as f64, measured.instructions);
        assert!(error.abs() <= percent, "{what}: {error:+.1} % instructions");
        // All statics but the counter of the harness are the arena.
        let counter = if core.name.starts_with("riscv") { 8 } else { 4 };
        assert_eq!((predicted.arena as u64, counter), (measured.arena, measured.statics), "{what}");
        let apart = (predicted.constants as u64).abs_diff(measured.constants);
        assert!(apart <= measured.constants / 100, "{what}: {apart} bytes of constants");
        within(predicted.code, measured.code, 25.0, 1024.0, &format!("{what}: code"));
        within(predicted.stack, measured.stack, 5.0, 400.0, &format!("{what}: stack"));
    }
}

/// Fails unless bytes are within so many percent, or so many bytes: what `docs/measuring.md` states.
fn within(predicted: f64, measured: u64, percent: f64, bytes: f64, what: &str) {
    let apart = (predicted - measured as f64).abs();
    let near = off(predicted, measured).abs() <= percent || apart <= bytes;
    assert!(near, "{what}: {predicted} instead of {measured} bytes");
}

#[test]
fn keyword_spotting_is_as_measured() {
    holds("kws", 10.0);
}

#[test]
fn image_classification_is_as_measured() {
    holds("ic", 10.0);
}

#[test]
fn visual_wake_words_is_as_measured() {
    holds("vww", 10.0);
}

#[test]
fn anomaly_detection_is_as_measured() {
    holds("ad", 10.0);
}

#[test]
fn streaming_wake_word_is_as_measured() {
    holds("sww", 10.0);
}

#[test]
fn person_detection_is_as_measured() {
    holds("person_detect", 10.0);
}

#[test]
fn the_bundled_model_is_as_measured() {
    holds("digits", 10.0);
}

#[test]
fn layers_without_costs_are_not_counted() {
    let file = load_file(&repository().join("models/digits_float.tflite"), &Options::default());
    let predicted = predicted(&file.unwrap(), Core::find("cortex-m4").unwrap());
    assert!(predicted.unknown() > 0);
    assert!(
        predicted.layers.iter().all(|layer| layer.instructions.is_none() == layer.kernel.is_none())
    );
    assert!(predicted.to_string().contains("at least"), "{predicted}");
    assert_eq!(predicted.to_json()["layers_not_known"], predicted.unknown());
}

#[test]
fn a_file_names_the_processor_that_it_was_converted_for() {
    let options = Options { target: Some("cortex-m4"), ..Options::default() };
    let converted = convert_file(&repository().join("models/digits.tflite"), &options).unwrap();
    let model = Model::from_bytes(converted.file.as_slice()).unwrap();
    assert_eq!(predict::target_of(&model), Core::find("cortex-m4"));
    let plain = file("digits").unwrap();
    assert_eq!(predict::target_of(&Model::from_bytes(plain.as_slice()).unwrap()), None);
}
