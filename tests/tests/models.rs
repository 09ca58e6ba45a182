//! Real models: every golden of the shared folder that this version can reproduce.
//!
//! Integer models give LiteRT's bytes under `--match litert`, layer by layer, and TFLite Micro's
//! under `--match tflm`; float models are within a tolerance. Threads change no bit. Where the shared folder is not there
//! each test says that it was skipped.

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use systole_converter::{
    AlignedBytes, Converted, Match, Options,
    npz::{self, Array},
    run,
};
use systole_core::{Model, Opcode, Session, pack};
use systole_kernels::arch;
use systole_tests::checked::convert_file;
use systole_tests::{PEER_TOLERANCE, compare, compare_within, float_tolerance, shared};

/// Folders whose `.tflite` models are run.
const FOLDERS: &[&str] =
    &["mlperf_tiny", "vision", "hello", "int16", "sequence", "trained", "edgetpu"];

fn main() {
    let arguments = Arguments::from_args();
    let Some(shared) = shared() else {
        println!("SKIPPED: conformance with real models, because there is no folder ../shared");
        println!("         (SYSTOLE_SHARED names another place); 0 models were run");
        return;
    };
    let models = shared.join("models");
    let index = std::fs::read(models.join("index.json")).expect("index.json lists the models");
    let index: Value = serde_json::from_slice(&index).expect("index.json is JSON");
    let entries = index["models"].as_array().expect("index.json has a list of models");
    let mut trials: Vec<Trial> = entries.iter().flat_map(|entry| trials(&models, entry)).collect();
    trials.push(Trial::test("mlperf_tiny/kws_int8.tflite::500_real_utterances", move || {
        real_utterances(&models.join("mlperf_tiny")).map_err(Failed::from)
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

/// The tests of one model of the index.
fn trials(models: &Path, entry: &Value) -> Vec<Trial> {
    let file = entry["file"].as_str().unwrap_or_default();
    let folder = file.split('/').next().unwrap_or_default();
    if !FOLDERS.contains(&folder) || !file.ends_with(".tflite") {
        return Vec::new();
    }
    // Those have a device's part, and the goldens of their twins: tests/engine runs them.
    if file.ends_with("_edgetpu.tflite") {
        return Vec::new();
    }
    let path = models.join(file);
    if let Some(operator) = refused(entry) {
        let name = format!("{file}::refused");
        return vec![Trial::test(name, move || names_it(&path, &operator).map_err(Failed::from))];
    }
    let golden = |suffix: &str| path.with_extension("").with_extension(suffix);
    // The goldens of trained models are onnxruntime's, also for .tflite.
    let tolerance = if folder == "trained" { PEER_TOLERANCE } else { float_tolerance() };
    let mut trials = Vec::new();
    let mut add = |name: &str, matching: Match, goldens: &str| {
        let (path, golden) = (path.clone(), golden(goldens));
        if golden.exists() {
            trials.push(Trial::test(format!("{file}::{name}"), move || {
                outputs(&path, &golden, matching, tolerance).map_err(Failed::from)
            }));
        }
    };
    add("litert", Match::Litert, "outputs.npz");
    add("tflm", Match::Tflm, "tflm.npz");
    let threaded = path.clone();
    trials.push(Trial::test(format!("{file}::threads"), move || {
        threads(&threaded).map_err(Failed::from)
    }));
    let (layers, path) = (golden("layers.npz"), path.clone());
    if layers.exists() {
        trials.push(Trial::test(format!("{file}::layers"), move || {
            self::layers(&path, &layers).map_err(Failed::from)
        }));
    }
    trials
}

/// The first operator of a model that this version refuses: loops, custom ones.
fn refused(entry: &Value) -> Option<String> {
    let operators = entry["operators"].as_object()?;
    let name =
        operators.keys().find(|name| name.starts_with("CUSTOM ") || name.as_str() == "WHILE")?;
    Some(name.trim_start_matches("CUSTOM ").to_owned())
}

fn names_it(path: &Path, operator: &str) -> Result<(), String> {
    match convert_file(path, &Options::default()) {
        Ok(_) => Err(format!("converts although it has {operator}: run its goldens")),
        Err(error) if error.to_string().contains(operator) => Ok(()),
        Err(error) => Err(format!("the error does not name {operator}: {error}")),
    }
}

/// 500 real utterances: every output is the expected one, and 90.4 % of the words are right.
fn real_utterances(folder: &Path) -> Result<(), String> {
    let converted = converted(&folder.join("kws_int8.tflite"), Match::Litert)?;
    let model = Model::from_bytes(converted.file.as_slice()).map_err(|error| error.to_string())?;
    let (samples, labels): (Vec<Array>, Vec<Array>) =
        read(&folder.join("kws_real.npz"))?.into_iter().partition(|array| array.name != "labels");
    let outputs = run::run(&model, &samples, || {}).map_err(|error| error.to_string())?;
    compare(&outputs[0], &read(&folder.join("kws_real_expected.npz"))?[0])?;
    let right = (0..500).filter(|&sample| {
        let scores = outputs[0].sample(sample).unwrap_or_default();
        let best = (0..scores.len()).rev().max_by_key(|&word| scores[word] as i8);
        let label = labels[0].sample(sample).unwrap_or_default();
        best.map(|word| word as u8) == label.first().copied()
    });
    match right.count() {
        452 => Ok(()),
        other => Err(format!("{other} of 500 words are right; 452 are with the expected outputs")),
    }
}

fn converted(path: &Path, matching: Match) -> Result<Converted, String> {
    let options = Options { matching, ..Options::default() };
    convert_file(path, &options).map_err(|error| error.to_string())
}

fn outputs(path: &Path, golden: &Path, matching: Match, tolerance: f64) -> Result<(), String> {
    let file = converted(path, matching)?.file;
    file_gives(&file, path, golden, tolerance)?;
    // With weights packed for the kernels of this processor, too.
    match pack(file.as_slice()).map_err(|error| error.to_string())? {
        Some(packed) => file_gives(&packed, path, golden, tolerance)
            .map_err(|error| format!("with packed weights: {error}")),
        None => Ok(()),
    }
}

/// The outputs of a file are the goldens.
fn file_gives(
    file: &AlignedBytes,
    path: &Path,
    golden: &Path,
    tolerance: f64,
) -> Result<(), String> {
    let model = Model::from_bytes(file.as_slice()).map_err(|error| error.to_string())?;
    let inputs = read(&path.with_extension("inputs.npz"))?;
    let outputs = run::run(&model, &inputs, || {}).map_err(|error| error.to_string())?;
    for (index, want) in read(golden)?.into_iter().enumerate() {
        // Outputs without a name are matched by position.
        let got = outputs.iter().find(|got| got.name == want.name).or(outputs.get(index));
        let got = got.ok_or_else(|| format!("no output '{}'", want.name))?;
        compare_within(got, &want, tolerance)?;
    }
    Ok(())
}

/// Sample 0 with any number of threads gives the same bytes, plain and with packed weights.
fn threads(path: &Path) -> Result<(), String> {
    let plain = converted(path, Match::Litert)?.file;
    let packed = pack(plain.as_slice()).map_err(|error| error.to_string())?;
    let inputs = first_sample(path)?;
    for file in [Some(plain), packed].into_iter().flatten() {
        let model = Model::from_bytes(file.as_slice()).map_err(|error| error.to_string())?;
        let run = |threads| {
            let settings = run::Settings { threads, keep_state: false };
            run::run_with(&model, &inputs, settings, || {}).map_err(|error| error.to_string())
        };
        let alone = run(1)?;
        for threads in [2, 3] {
            for (got, want) in run(threads)?.iter().zip(&alone) {
                if got.bytes != want.bytes {
                    return Err(format!("{threads} threads change '{}'", want.name));
                }
            }
        }
    }
    Ok(())
}

/// The first sample of a model's inputs.
fn first_sample(path: &Path) -> Result<Vec<Array>, String> {
    let first = |array: Array| Array {
        bytes: array.sample(0).unwrap_or_default().to_vec(),
        shape: [1].into_iter().chain(array.shape[1..].iter().copied()).collect(),
        ..array
    };
    Ok(read(&path.with_extension("inputs.npz"))?.into_iter().map(first).collect())
}

/// How far floats between layers may be from goldens where kernels fuse products and sums, as
/// [`float_tolerance`]: the difference is carried on from layer to layer, and where the sums of a layer
/// cancel it stays (1.9 × 10⁻⁴ in `sww_float`). Kernels that round each have no need of it.
const FUSED_LAYER_TOLERANCE: f64 = 1e-3;

/// Runs sample 0 operator by operator and compares each output, right after it was written, with
/// what LiteRT's operator wrote.
fn layers(path: &Path, golden: &Path) -> Result<(), String> {
    let converted = converted(path, Match::Litert)?;
    let model = Model::from_bytes(converted.file.as_slice()).map_err(|error| error.to_string())?;
    let goldens = read(golden)?;
    let inputs = first_sample(path)?;
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session =
        Session::new(&model, arena.as_mut_slice()).map_err(|error| error.to_string())?;
    run::load_sample(&mut session, &inputs, 0).map_err(|error| error.to_string())?;
    let mut compared = 0;
    loop {
        let step = session.next_operator();
        let more = session.step().map_err(|error| error.to_string())?;
        let instruction = &converted.compiled.program.instructions[usize::from(step)];
        for slot in &instruction.outputs {
            let Some(id) = converted.compiled.program.slots[slot.0].tensor else { continue };
            let prefix = format!("{}|", id.0);
            let Some(want) = goldens.iter().find(|array| array.name.starts_with(&prefix)) else {
                continue;
            };
            let tensors = &converted.compiled.written.tensors;
            let index = tensors.iter().position(|other| other == slot).ok_or("slot not written")?;
            let tensor = session.tensor(index as u16).ok_or("tensor not in the file")?;
            let flip = tensor.info().sign_flip();
            let got = Array {
                name: want.name.clone(),
                dtype: tensor.info().dtype(),
                shape: want.shape.clone(),
                bytes: tensor.stored_bytes().iter().map(|byte| byte ^ flip).collect(),
            };
            // What is rounded in a step is multiplied in all that follow it.
            let tolerance = match instruction.opcode {
                Opcode::Lstm => PEER_TOLERANCE,
                _ if arch::kernels().level.fuses() => FUSED_LAYER_TOLERANCE,
                _ => float_tolerance(),
            };
            compare_within(&got, want, tolerance)?;
            compared += 1;
        }
        if !more {
            break;
        }
    }
    if compared == 0 {
        return Err("no layer could be compared".to_owned());
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<Array>, String> {
    npz::read(path).map_err(|error| error.to_string())
}
