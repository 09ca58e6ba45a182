//! Systole as a delegate of TFLite: `libsystole_delegate`, loaded into TFLite's own library.
//!
//! Every golden of the shared folder and of `tests/operators` is compared, as far as TFLite runs the
//! model. Without TFLite's library, which `.ci/run tflite` installs, each test says that it was
//! skipped.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use systole_converter::npz::{self, Array};
use systole_tests::{
    PEER_TOLERANCE, compare_within, repository,
    tflite::{check, library_and_models, simulated_edgetpu, systole_delegate},
};
use systole_tflite::{Abi, Delegate, Error, Interpreter, Library, Model, Options};

type Outcome = Result<(), Failed>;

/// Models that TFLite itself refuses, with or without a delegate.
const NO_MODEL: &[&str] =
    &["sequence/audio_preprocessor_int8.tflite", "vision/person_detect.tflite"];

/// Operators of the shared models that the delegate leaves to TFLite; it claims all others.
const UNCLAIMED: &[&str] = &[
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "WHILE",
    // Of shapes that are known only when the model runs.
    "TRANSPOSE_CONV",
];

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = vec![Trial::test("options_are_refused", options_are_refused)];
    let (library, models) = library_and_models();
    if let Ok(library) = &library {
        trials.extend(operators(library));
        if let Some(models) = models {
            trials.extend(goldens(library, &models));
            trials.extend(beside_another(library, &models));
            let (one, models_of) = (library.clone(), models.clone());
            let test = move || two_at_once(&one, &models_of);
            trials.push(Trial::test("two_interpreters_at_once", test));
            trials.extend(resized(library, &models));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn delegate(options: &[(&str, &str)]) -> Result<Delegate, Error> {
    Delegate::external(&systole_delegate(), options, Abi::Matching)
}

fn options_are_refused() -> Outcome {
    for (option, says) in [
        (("speed", "11"), "option 'speed' is not known; known are match, min_nodes,"),
        (("threads", "many"), "option threads: 'many'; a number from 1"),
        (("match", "xnnpack"), "litert, tflm or native"),
        (("min_nodes", "0"), "from 1"),
        (("verbosity", "-1"), "0, 1 or 2"),
        (("report", "/nowhere/claimed.json"), "cannot be written"),
    ] {
        let error = delegate(&[option]).map(drop).expect_err("refused");
        let Error::Refused { log, .. } = error else { panic!("{error}") };
        assert!(log.starts_with("Systole: ") && log.contains(says), "{log}");
    }
    delegate(&[("match", "tflm"), ("threads", "2"), ("min_nodes", "3"), ("verbosity", "0")])?;
    Ok(())
}

/// What the delegate says of the graph that it was given last.
struct Claimed {
    operators: u64,
    claimed: u64,
    refused: Vec<(String, String)>,
}

/// An interpreter with the delegate, and what it claimed.
fn delegated(
    library: &Library,
    path: &Path,
    options: &[(&str, &str)],
) -> Result<(Interpreter, Claimed), Box<dyn std::error::Error>> {
    let report = tempfile::NamedTempFile::new()?;
    let name = report.path().to_str().unwrap_or_default();
    let delegates = vec![delegate(&[options, &[("report", name)]].concat())?];
    let model = Model::from_file(library, path)?;
    let interpreter = Interpreter::new(&model, Options { delegates, ..Options::default() })?;
    let text = std::fs::read_to_string(report.path())?;
    let value: Value = serde_json::from_str(text.lines().next().ok_or("nothing was reported")?)?;
    let texts = |refused: &Value| {
        let text = |key: &str| refused[key].as_str().unwrap_or_default().to_owned();
        (text("name"), text("why"))
    };
    let claimed = Claimed {
        operators: value["operators"].as_u64().unwrap_or(0),
        claimed: value["claimed"].as_u64().unwrap_or(0),
        refused: value["refused"].as_array().into_iter().flatten().map(texts).collect(),
    };
    Ok((interpreter, claimed))
}

/// Every model of the shared folder, with what is claimed of it.
fn goldens(library: &Library, models: &Path) -> Vec<Trial> {
    let index = std::fs::read(models.join("index.json")).expect("index.json lists the models");
    let index: Value = serde_json::from_slice(&index).expect("index.json is JSON");
    let files = index["models"].as_array().expect("index.json has a list of models").iter();
    let wanted = |entry: &&Value| {
        let file = entry["file"].as_str().unwrap_or_default();
        let golden = entry["goldens"]["outputs"].is_string();
        file.ends_with(".tflite") && golden && !NO_MODEL.contains(&file)
    };
    let trial = |entry: &Value| {
        let file = entry["file"].as_str().unwrap_or_default().to_owned();
        let (library, path) = (library.clone(), models.join(&file));
        Trial::test(format!("{file}::goldens"), move || {
            // Some of these models are a single operator.
            let (mut interpreter, claimed) = delegated(&library, &path, &[("min_nodes", "1")])?;
            for (name, why) in &claimed.refused {
                if !UNCLAIMED.contains(&name.as_str()) {
                    return Err(format!("{name} is not claimed: {why}").into());
                }
            }
            let refused = claimed.refused.len() as u64;
            assert_eq!(claimed.claimed + refused, claimed.operators);
            let golden = |suffix: &str| npz::read(&path.with_extension(suffix));
            check(&mut interpreter, &golden("inputs.npz")?, &golden("outputs.npz")?)
        })
    };
    files.filter(wanted).map(trial).collect()
}

/// Each thread has an interpreter and a delegate for itself, and models differ.
fn two_at_once(library: &Library, models: &Path) -> Outcome {
    let run = |file: &str| -> Result<(), String> {
        let path = models.join(file);
        let golden = |suffix: &str| npz::read(&path.with_extension(suffix));
        let arrays = golden("inputs.npz").and_then(|inputs| Ok((inputs, golden("outputs.npz")?)));
        let (inputs, outputs) = arrays.map_err(|error| error.to_string())?;
        for _ in 0..3 {
            let (mut interpreter, _) =
                delegated(library, &path, &[]).map_err(|error| error.to_string())?;
            check(&mut interpreter, &inputs, &outputs).map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    };
    let files = ["mlperf_tiny/kws_int8.tflite", "mlperf_tiny/ad_int8.tflite"];
    let outcomes = std::thread::scope(|scope| {
        let threads = files.map(|file| scope.spawn(move || run(file)));
        threads.map(|thread| thread.join().unwrap_or_else(|_| Err("it panicked".to_owned())))
    });
    outcomes.into_iter().try_for_each(|outcome| outcome.map_err(Failed::from))
}

/// Three samples at once: what TFLite's kernels take, the delegate takes too, and gives each sample's
/// golden; what they refuse is refused with it, and shapes of before work again.
fn resized(library: &Library, models: &Path) -> Vec<Trial> {
    const FILES: [&str; 6] =
        ["kws_int8", "ic_int8", "vww_int8", "ad_int8", "sww_int8", "kws_float"];
    let trial = |file: &str| {
        let (library, path) = (library.clone(), models.join(format!("mlperf_tiny/{file}.tflite")));
        Trial::test(format!("{file}::resized"), move || resize(&library, &path))
    };
    FILES.into_iter().map(trial).collect()
}

fn resize(library: &Library, path: &Path) -> Outcome {
    const BATCH: usize = 3;
    let golden = |suffix: &str| npz::read(&path.with_extension(suffix));
    let (inputs, outputs) = (golden("inputs.npz")?, golden("outputs.npz")?);
    let plain = Model::from_file(library, path)?;
    let mut plain = Interpreter::new(&plain, Options::default())?;
    let (mut interpreter, claimed) = delegated(library, path, &[])?;
    assert_eq!(claimed.claimed, claimed.operators);
    let mut shape = plain.input(0)?.shape();
    let before = shape.clone();
    shape[0] = BATCH;
    plain.resize_input(0, &shape)?;
    interpreter.resize_input(0, &shape)?;
    match plain.allocate() {
        Ok(()) => {
            interpreter.allocate()?;
            let sample = |at| inputs[0].sample(at).unwrap_or_default();
            let batch: Vec<u8> = (0..BATCH).flat_map(sample).copied().collect();
            interpreter.input_mut(0)?.bytes_mut()?.copy_from_slice(&batch);
            interpreter.invoke()?;
            let output = interpreter.output(0)?;
            assert_eq!(output.shape()[0], BATCH);
            let bytes = output.bytes()?;
            for (at, got) in bytes.chunks_exact(bytes.len() / BATCH).enumerate() {
                let array = |bytes: &[u8]| Array { bytes: bytes.to_vec(), ..outputs[0].clone() };
                let want = outputs[0].sample(at).unwrap_or_default();
                compare_within(&array(got), &array(want), PEER_TOLERANCE)?;
            }
        }
        Err(_) => {
            let refused = interpreter.allocate();
            assert!(matches!(refused, Err(Error::Allocate { .. })), "{refused:?}");
        }
    }
    interpreter.resize_input(0, &before)?;
    interpreter.allocate()?;
    check(&mut interpreter, &inputs, &outputs)
}

/// A graph of which another delegate has claimed a part, before or after.
fn beside_another(library: &Library, models: &Path) -> Vec<Trial> {
    let model = models.join("edgetpu/keras_lstm_mnist_ptq_edgetpu.tflite");
    let twin = models.join("sequence/keras_lstm_mnist_ptq.tflite");
    let trial = |first: bool| {
        let (library, model, twin) = (library.clone(), model.clone(), twin.clone());
        let order = if first { "first" } else { "last" };
        Trial::test(format!("beside_another_delegate::{order}"), move || {
            beside(&library, &model, &twin, first)
        })
    };
    [true, false].map(trial).into()
}

fn beside(library: &Library, model: &Path, twin: &Path, first: bool) -> Outcome {
    let text = |path: &Path| path.to_str().unwrap_or_default().to_owned();
    let (library_path, twin_path) = (text(library.path()), text(twin));
    let pairs = [
        ("Simulated.Library", library_path.as_str()),
        ("Simulated.Twin", &twin_path),
        ("Simulated.Fail", "invoke:1"),
    ];
    let other = Delegate::external(&simulated_edgetpu(), &pairs, Abi::Any)?;
    let report = tempfile::NamedTempFile::new()?;
    let ours = delegate(&[("min_nodes", "1"), ("report", &text(report.path()))])?;
    let delegates = if first { vec![ours, other] } else { vec![other, ours] };
    let model = Model::from_file(library, model)?;
    let mut interpreter = Interpreter::new(&model, Options { delegates, ..Options::default() })?;
    let said: Value = serde_json::from_str(&std::fs::read_to_string(report.path())?)?;
    let refused = said["refused"].as_array().ok_or("nothing was reported")?;
    assert_eq!(refused.len(), 1, "{said}");
    assert_eq!(refused[0]["name"], "edgetpu-custom-op", "{said}");
    // The other one fails in the second run, which is an error, and the third works.
    interpreter.invoke()?;
    let error = interpreter.invoke().expect_err("the other delegate fails");
    assert!(matches!(error, Error::Invoke { .. }), "{error}");
    let golden = |suffix: &str| npz::read(&twin.with_extension(suffix));
    check(&mut interpreter, &golden("inputs.npz")?, &golden("outputs.npz")?)
}

/// Cases of `tests/operators` that are not claimed, by how they begin, and what is said of them.
const NOT_CLAIMED: &[(&str, &str)] = &[
    ("batch_matmul_hybrid_batch", "has to be one matrix"),
    ("fully_connected_i8_weights_given", "must be a constant"),
    ("strided_slice_i8_offset", "another shape"),
    // TFLite has the state, and resets it.
    ("lstm_", "lasts from run to run"),
];

/// Cases that are not run, and why; they are listed as ignored.
const NOT_RUN: &[(&str, &str)] = &[
    ("cast_f16_f32", "its arrays are float16"),
    ("cast_f32_f16", "its arrays are float16"),
    ("split_v_", "TFLite 2.17 has no SPLIT_V of version 3"),
    ("sqrt_i8_", "TFLite 2.17 has no SQRT of version 2"),
];

/// Every case of `tests/operators`: the operator is claimed, with the parameters of TFLite's
/// structures, and gives the goldens.
fn operators(library: &Library) -> Vec<Trial> {
    let folder = repository().join("tests/operators");
    let entries = std::fs::read_dir(&folder).expect("the folder is part of the repository");
    let mut cases: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "tflite"));
    cases.sort();
    let trial = |path: PathBuf| {
        let library = library.clone();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let reason = NOT_RUN.iter().find(|(case, _)| name.starts_with(case));
        let trial = Trial::test(format!("operator::{name}"), move || operator(&library, &path));
        trial
            .with_ignored_flag(reason.is_some())
            .with_kind(reason.map_or("", |&(_, reason)| reason))
    };
    cases.into_iter().map(trial).collect()
}

fn operator(library: &Library, path: &Path) -> Outcome {
    let arrays = npz::read(&path.with_extension("npz"))?;
    let numbered = |prefix: &str| -> Vec<Array> {
        (0..)
            .map_while(|i| arrays.iter().find(|array| array.name == format!("{prefix}{i}")))
            .cloned()
            .collect()
    };
    let goldens = numbered("litert.");
    if goldens.is_empty() {
        return Ok(());
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (mut interpreter, claimed) = delegated(library, path, &[("min_nodes", "1")])?;
    let why: Vec<&String> = claimed.refused.iter().map(|(_, why)| why).collect();
    if let Some((_, says)) = NOT_CLAIMED.iter().find(|(case, _)| name.starts_with(case)) {
        return match why.iter().any(|why| why.contains(says)) {
            true => Ok(()),
            false => Err(format!("not refused with '{says}': {why:?}").into()),
        };
    }
    if claimed.claimed != claimed.operators {
        return Err(format!("not claimed: {why:?}").into());
    }
    check(&mut interpreter, &numbered("in."), &goldens)
}
