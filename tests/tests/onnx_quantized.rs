//! Quantized ONNX models give ONNX Runtime's bytes: single operators and whole models, made and run by
//! `tests/onnx_quantized/make.py`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use systole_converter::{
    Match, Options,
    npz::{self, Array},
    run::run,
};
use systole_core::{Model, Operator};
use systole_tests::checked::convert_file;
use systole_tests::repository;

/// Cases whose outputs are compared as floats, and why.
const FLOATS: &[(&str, &str)] = &[
    ("digits_cnn_dynamic", "layers between the integer ones are float, and so is the softmax"),
    ("matmul_to_float_i8", "ONNX Runtime multiplies floats there, where activations are int8"),
];

fn cases() -> Vec<PathBuf> {
    let folder = repository().join("tests/onnx_quantized");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the cases are there")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .collect();
    cases.sort();
    assert!(cases.len() > 80, "{} cases", cases.len());
    cases
}

fn name(case: &Path) -> String {
    case.file_stem().expect("a file has a name").to_string_lossy().into_owned()
}

/// The arrays of a case whose names begin so, without that.
fn arrays(case: &Path, begin: &str) -> Vec<Array> {
    let all = npz::read(&case.with_extension("npz")).expect("the arrays can be read");
    let named = all.into_iter().filter_map(|array| {
        let name = array.name.strip_prefix(begin)?.to_owned();
        Some(Array { name, ..array })
    });
    named.collect()
}

fn operators<'m>(model: &'m Model<'m>) -> impl Iterator<Item = Operator<'m>> {
    (0..).map_while(|index| model.operator(index))
}

/// The operators of a converted case, and the outputs that are not ONNX Runtime's: how many elements of
/// how many differ.
fn differences(case: &Path, options: &Options) -> Result<(BTreeSet<String>, Vec<String>), String> {
    let text = |problem: &dyn std::fmt::Display| format!("{}: {problem}", name(case));
    let converted = convert_file(case, options).map_err(|e| text(&e))?;
    let model = Model::from_bytes(converted.file.as_slice()).map_err(|e| text(&e))?;
    let operators = operators(&model).map(|operator| operator.opcode().name().to_owned());
    let got = run(&model, &arrays(case, "input."), || ()).map_err(|e| text(&e))?;
    let mut different = Vec::new();
    for want in arrays(case, "output.") {
        let got = got.iter().find(|array| array.name == want.name);
        let got = got.ok_or_else(|| text(&format!("no output {}", want.name)))?;
        if got.dtype != want.dtype || got.bytes.len() != want.bytes.len() {
            return Err(text(&format!("output {} is {:?}", want.name, got.dtype)));
        }
        let size = want.dtype.size();
        let pairs = got.bytes.chunks(size).zip(want.bytes.chunks(size));
        let count = pairs.filter(|(got, want)| got != want).count();
        let float = FLOATS.iter().any(|(float, _)| *float == name(case));
        let close = float && systole_tests::close(&got.bytes, &want.bytes).is_ok();
        if count > 0 && !close {
            let elements = want.bytes.len() / size;
            different.push(format!("{}: {count} of {elements} in {}", name(case), want.name));
        }
    }
    Ok((operators.collect(), different))
}

#[test]
fn every_case_gives_the_bytes_of_onnx_runtime() {
    let mut wrong = Vec::new();
    for case in cases() {
        match differences(&case, &Options::default()) {
            Ok((_, different)) => wrong.extend(different),
            Err(problem) => wrong.push(problem),
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn quantized_models_run_as_integers() {
    // Floats are at the borders alone, or where models are quantized while they run.
    let float = ["dequantize", "quantize", "dynamic_scale", "dynamic_quantize"];
    for (case, layers) in [
        ("digits_cnn_qdq_u8", &["conv2d", "fully_connected", "average_pool_float32"][..]),
        ("dwsep_qoperator_u8", &["depthwise_conv2d", "sum_quantized", "softmax_table"]),
        ("resnet_qdq_u8", &["conv2d", "add_float32", "sum_quantized"]),
        ("mobilenet_qdq_u8", &["lut", "mul_float32", "depthwise_conv2d"]),
        ("autoencoder_qdq_i8", &["fully_connected"]),
        ("denoise_qdq_u8", &["concatenation", "gather", "lut"]),
    ] {
        let path = repository().join("tests/onnx_quantized").join(case).with_extension("onnx");
        let (operators, _) = differences(&path, &Options::default()).expect("the case runs");
        for layer in layers {
            assert!(operators.contains(*layer), "{case} has {operators:?}, without {layer}");
        }
        for operator in &operators {
            let known = [&float[..], layers, &["max_pool_2d", "conv2d", "fully_connected"]];
            let moves = ["transpose", "softmax_table", "sum_quantized", "add_float32"];
            let known = known.concat().contains(&&**operator) || moves.contains(&&**operator);
            assert!(known, "{case} has {operator}");
        }
    }
}

#[test]
fn integer_roundings_are_there_for_those_who_want_them() {
    let path = repository().join("tests/onnx_quantized/resnet_qdq_u8.onnx");
    for matching in [Match::Tflm, Match::Litert, Match::Native] {
        let options = Options { matching, ..Options::default() };
        let converted = convert_file(&path, &options).expect("the model converts");
        let model = Model::from_bytes(converted.file.as_slice()).expect("the file is valid");
        for operator in operators(&model) {
            let rounding = operator.record().rounding().expect("the rounding is known");
            assert_ne!(rounding.name(), "float32", "{:?}", operator.opcode());
        }
        // Another rounding, the same network.
        let got = run(&model, &arrays(&path, "input."), || ()).expect("the model runs");
        let wanted = arrays(&path, "output.");
        for (got, want) in got.iter().zip(&wanted).filter(|(got, _)| got.dtype.size() == 1) {
            let far = |(&got, &want): (&u8, &u8)| u64::from(got.abs_diff(want));
            let sum: u64 = got.bytes.iter().zip(&want.bytes).map(far).sum();
            let mean = sum as f64 / want.bytes.len() as f64;
            assert!(mean < 1.0, "{} is off by {mean} steps", got.name);
        }
    }
    let ort = Options { matching: Match::Ort, ..Options::default() };
    let tflite = repository().join("tests/operators/add_i8.tflite");
    let problem = convert_file(&tflite, &ort).expect_err("a TFLite model has another arithmetic");
    assert!(problem.to_string().contains("--match ort is for ONNX"), "{problem}");
}
