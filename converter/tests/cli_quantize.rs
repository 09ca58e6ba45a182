//! `systole convert --calibrate` on data and recipes that do not fit: a clear error and no file, or
//! a sound model.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use systole_converter::{
    metric,
    npz::{self, Array},
};
use systole_core::{AlignedBytes, DType, Model};
use tempfile::TempDir;
use zerocopy::IntoBytes;

/// A float convolution over `[1, h, w, c]`, and its golden inputs.
const FLOAT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/operators/conv_2d_f32_valid.tflite");
/// Another float model.
const OTHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/operators/add_f32.tflite");
/// A model that is quantized already.
const INT8: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/operators/conv_2d_i8_valid.tflite");

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes an array of float samples under `name.npz`.
    fn samples(&self, name: &str, shape: &[usize], value: impl Fn(usize) -> f32) -> PathBuf {
        let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
        let (shape, bytes) = (shape.to_vec(), values.as_bytes().to_vec());
        self.arrays(name, &[Array { name: "x".into(), dtype: DType::F32, shape, bytes }])
    }

    fn arrays(&self, name: &str, arrays: &[Array]) -> PathBuf {
        let path = self.path(name).with_extension("npz");
        npz::write(&path, arrays).expect("the arrays can be written");
        path
    }

    fn convert(&self, model: &str, arguments: &[&str]) -> Output {
        let out = self.path("out.systole");
        Command::new(env!("CARGO_BIN_EXE_systole"))
            .args(["convert", model, "-o", text(&out)])
            .args(arguments)
            .output()
            .expect("systole starts")
    }

    /// Asserts that a conversion fails with status 1, names all of `named`, and leaves no file.
    fn refuses(&self, model: &str, arguments: &[&str], named: &[&str]) {
        let output = self.convert(model, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        for name in named {
            assert!(stderr.contains(name), "{arguments:?}: stderr does not name {name}: {stderr}");
        }
        assert!(!self.path("out.systole").exists(), "{arguments:?} left a file");
    }

    /// Asserts that a conversion works.
    fn converts(&self, model: &str, arguments: &[&str]) {
        let output = self.convert(model, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
    }

    /// The file that was written, run on `samples`.
    fn outputs(&self, samples: &Path) -> Vec<Vec<f32>> {
        let file = std::fs::read(self.path("out.systole")).expect("the file was written");
        let file = AlignedBytes::from(&file[..]);
        let model = Model::from_bytes(file.as_slice()).expect("a valid file");
        metric::outputs(&model, &npz::read(samples).expect("samples")).expect("it runs")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of these tests are text")
}

/// The dimensions of the input of [`FLOAT`].
fn dims() -> Vec<usize> {
    let options = systole_converter::Options::default();
    let source = systole_converter::import_file(FLOAT.as_ref(), &options).expect("a valid model");
    source.graph[source.graph.inputs[0]].shape.clone()
}

/// Shape of `count` samples for [`FLOAT`].
fn shape(count: usize) -> Vec<usize> {
    [count].into_iter().chain(dims().into_iter().skip(1)).collect()
}

#[test]
fn samples_that_do_not_fit_are_refused() {
    let bench = Bench::new();
    let calibrate = |path: &Path, named: &[&str]| {
        bench.refuses(FLOAT, &["--calibrate", text(path)], named);
    };
    calibrate(&bench.samples("shape", &[4, 3, 2], |_| 1.0), &["'x'", "[3, 2]", "shape"]);
    let mut none = shape(0);
    calibrate(&bench.samples("empty", &none, |_| 1.0), &["'x'", "no sample"]);
    none.clear();
    calibrate(&bench.samples("number", &none, |_| 1.0), &["'x'", "first axis"]);
    let bytes = vec![0; 4 * shape(2).iter().product::<usize>()];
    let wrong = Array { name: "x".into(), dtype: DType::I32, shape: shape(2), bytes };
    let type_ = bench.arrays("type", std::slice::from_ref(&wrong));
    calibrate(&type_, &["'x'", "int32", "float32"]);
    let two = [Array { name: "a".into(), ..wrong.clone() }, Array { name: "b".into(), ..wrong }];
    calibrate(&bench.arrays("names", &two), &["\"a\"", "\"b\"", "an array of each input's name"]);
    let garbage = bench.path("garbage.npz");
    std::fs::write(&garbage, b"no archive").expect("the file can be written");
    calibrate(&garbage, &["garbage.npz"]);
}

#[test]
fn values_that_are_not_finite_are_refused_with_the_tensors_name() {
    let bench = Bench::new();
    for (name, odd) in [("nan", f32::NAN), ("infinity", f32::INFINITY)] {
        let path = bench.samples(name, &shape(3), |i| if i == 7 { odd } else { i as f32 });
        let named = ["tensor '", "NaN", "infinite", "keep it float"];
        bench.refuses(FLOAT, &["--calibrate", text(&path)], &named);
    }
    // Finite, but sums overflow.
    let path = bench.samples("large", &shape(2), |_| 3e38);
    bench.refuses(FLOAT, &["--calibrate", text(&path)], &["infinite"]);
}

#[test]
fn constant_and_tiny_and_large_samples_give_sound_models() {
    let bench = Bench::new();
    for (name, value) in [("zero", 0.0_f32), ("one", 1.0), ("tiny", 1e-30), ("large", 1e15)] {
        let path =
            bench.samples(name, &shape(2), |i| if i % 3 == 0 { value } else { -value / 2.0 });
        for scheme in ["int8", "int16"] {
            bench.converts(FLOAT, &["--quantize", "none"]);
            let float = bench.outputs(&path);
            bench.converts(FLOAT, &["--calibrate", text(&path), "--quantize", scheme]);
            let quantized = bench.outputs(&path);
            let largest = float.iter().flatten().fold(1e-3_f32, |max, x| max.max(x.abs()));
            for (float, quantized) in float.iter().flatten().zip(quantized.iter().flatten()) {
                let error = (float - quantized).abs();
                assert!(error <= 0.03 * largest, "{name} {scheme}: {quantized} for {float}");
            }
        }
    }
}

#[test]
fn float64_samples_are_as_good_as_float32() {
    let bench = Bench::new();
    let single = bench.samples("single", &shape(3), |i| (i as f32 * 0.7).sin());
    let values: Vec<f64> =
        (0..shape(3).iter().product::<usize>()).map(|i| (i as f32 * 0.7).sin().into()).collect();
    let (shape, bytes) = (shape(3), values.as_bytes().to_vec());
    let double = [Array { name: "x".into(), dtype: DType::F64, shape, bytes }];
    let double = bench.arrays("double", &double);
    bench.converts(FLOAT, &["--calibrate", text(&single)]);
    let first = std::fs::read(bench.path("out.systole")).expect("written");
    bench.converts(FLOAT, &["--calibrate", text(&double)]);
    assert!(first == std::fs::read(bench.path("out.systole")).expect("written"));
}

#[test]
fn states_of_other_models_and_damaged_ones_are_refused() {
    let bench = Bench::new();
    let samples = bench.samples("samples", &shape(2), |i| i as f32);
    let state = bench.path("a.json");
    bench.converts(FLOAT, &["--calibrate", text(&samples), "--calibration-out", text(&state)]);
    bench.converts(FLOAT, &["--calibration-in", text(&state)]);
    std::fs::remove_file(bench.path("out.systole")).expect("it was written");
    bench.refuses(OTHER, &["--calibration-in", text(&state)], &["a.json", "another model"]);
    let json = std::fs::read_to_string(&state).expect("the state is text");
    let damage = |what: &str, with: &str, named: &str| {
        let damaged = json.replacen(what, with, 1);
        assert_ne!(damaged, json, "{what} is not in the state");
        let path = bench.path("b.json");
        std::fs::write(&path, damaged).expect("the file can be written");
        bench.refuses(FLOAT, &["--calibration-in", text(&path)], &["b.json", named]);
    };
    damage("\"systole_calibration\":1", "\"systole_calibration\":9", "version 9");
    damage("\"first_bin\":", "\"first_bin\":9999", "damaged");
    damage("\"values\":", "\"values\":1", "damaged");
    damage("\"counts\":[", "\"counts\":[18446744073709551615,", "damaged");
    damage("{", "[", "no calibration state");
    bench.refuses(FLOAT, &["--calibration-in", "nowhere.json"], &["nowhere.json", "read"]);
}

#[test]
fn recipes_and_patterns_that_fit_nothing_are_refused() {
    let bench = Bench::new();
    let samples = bench.samples("samples", &shape(2), |i| i as f32);
    let calibrate = ["--calibrate", text(&samples)];
    let refuses = |more: &[&str], named: &[&str]| {
        bench.refuses(FLOAT, &[&calibrate[..], more].concat(), named);
    };
    refuses(&["--keep-float", "nobody*"], &["nobody*", "no layer"]);
    refuses(&["--observer", "median"], &["median", "min-max"]);
    refuses(&["--mean", "1,2,3,4,5,6,7"], &["mean", "7 numbers"]);
    refuses(&["--std", "0"], &["std", "0"]);
    let recipe = bench.path("r.toml");
    std::fs::write(&recipe, "quantise = 'int8'").expect("the file can be written");
    refuses(&["--recipe", text(&recipe)], &["r.toml", "quantise"]);
    bench.refuses(FLOAT, &["--quantize", "int8"], &["--calibrate"]);
    bench.refuses(INT8, &calibrate, &["quantized already"]);
    let output = bench.convert(FLOAT, &[&calibrate[..], &["--max-drop", "1"]].concat());
    assert_eq!(output.status.code(), Some(2));
}

/// A recipe that was written gives the same file as the arguments that it was written from.
#[test]
fn a_written_recipe_reproduces_the_file() {
    let bench = Bench::new();
    let samples = bench.samples("samples", &shape(4), |i| (i as f32 * 0.3).cos());
    let (calibrate, recipe) = (["--calibrate", text(&samples)], bench.path("r.toml"));
    let arguments = [
        "--quantize",
        "int16",
        "--input-type",
        "int8",
        "--observer",
        "percentile:99",
        "--recipe-out",
    ];
    bench.converts(FLOAT, &[&calibrate[..], &arguments, &[text(&recipe)]].concat());
    let first = std::fs::read(bench.path("out.systole")).expect("written");
    bench.converts(FLOAT, &[&calibrate[..], &["--recipe", text(&recipe)]].concat());
    assert!(first == std::fs::read(bench.path("out.systole")).expect("written"));
}
