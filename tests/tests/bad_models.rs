//! Malformed and unsupported models: each is refused with the class of error that its folder's
//! `expected.json` states, and the message names what is wrong and where.
//!
//! `tests/bad` holds small cases made from bundled operators; the shared folder has more, damaged
//! versions of a real model. `any` there means damaged at random: an error or a run, no panic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use systole_converter::Options;
use systole_tests::checked::convert_file;
use systole_tests::{hostile, repository, shared};

fn main() {
    let arguments = Arguments::from_args();
    let bundled = repository().join("tests/bad");
    let mut trials = trials("bundled", &bundled, named_in_file);
    assert!(!trials.is_empty(), "{} holds no cases", bundled.display());
    match shared() {
        Some(shared) => {
            trials.extend(self::trials("shared", &shared.join("models/bad"), named_in_table));
        }
        None => println!("SKIPPED: the shared folder's bad models, because there is no ../shared"),
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test per model that the folder's `expected.json` lists; `named` says what the message must
/// name.
fn trials(group: &str, folder: &Path, named: fn(&str, &Value) -> Vec<String>) -> Vec<Trial> {
    let expected = std::fs::read(folder.join("expected.json")).expect("expected.json is there");
    let expected: Value = serde_json::from_slice(&expected).expect("expected.json is JSON");
    let entries = expected.as_object().expect("expected.json is an object");
    entries
        .iter()
        .filter(|(file, _)| file.ends_with(".tflite") || file.ends_with(".onnx"))
        .map(|(file, entry)| {
            let class = entry["class"].as_str().unwrap_or_default().to_owned();
            let path = folder.join(file);
            let name = format!("{group}::{}", file.trim_end_matches(".tflite"));
            if file.ends_with(".onnx") {
                return Trial::test(name, move || check_onnx(&path, &class).map_err(Failed::from));
            }
            let names = named(file, entry);
            Trial::test(name, move || check(&path, &class, &names).map_err(Failed::from))
        })
        .collect()
}

fn check(path: &Path, class: &str, names: &[String]) -> Result<(), String> {
    if class == "any" {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        return hostile::convert_and_run(&bytes).map(drop);
    }
    let refused = catch_unwind(AssertUnwindSafe(|| convert_file(path, &Options::default())));
    let error = match refused {
        Err(_) => return Err("the converter panicked".to_owned()),
        Ok(Ok(_)) => return Err(format!("converts, but should be refused as {class}")),
        Ok(Err(error)) => error,
    };
    let message = error.to_string();
    if error.class.name() != class {
        return Err(format!("is {}, not {class}: {message}", error.class.name()));
    }
    let file = path.display().to_string();
    match names.iter().chain([&file]).find(|&name| !message.contains(name.as_str())) {
        Some(missing) => Err(format!("the message does not name '{missing}': {message}")),
        None => Ok(()),
    }
}

/// ONNX files of which something else is true than the shared folder expects: the class they are
/// refused with, or `none` where they are accepted.
const OTHER_ONNX: &[(&str, &str)] = &[
    // Nodes are sorted.
    ("unsorted", "none"),
    ("data_dependent_shape", "unsupported_operator"),
];

fn check_onnx(path: &Path, class: &str) -> Result<(), String> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let other = OTHER_ONNX.iter().find(|(other, _)| *other == name);
    let class = other.map_or(class, |&(_, class)| class);
    let result = catch_unwind(AssertUnwindSafe(|| convert_file(path, &Options::default())))
        .map_err(|_| "the converter panicked")?;
    match result {
        _ if class == "any" => Ok(()),
        Ok(_) if class == "none" => Ok(()),
        Ok(_) => Err(format!("converts, but should be refused as {class}")),
        Err(problem) if problem.class.name() != class => {
            Err(format!("is {}, not {class}: {problem}", problem.class.name()))
        }
        Err(problem) if !problem.to_string().contains(&path.display().to_string()) => {
            Err(format!("the message does not name the file: {problem}"))
        }
        Err(_) => Ok(()),
    }
}

fn named_in_file(_: &str, entry: &Value) -> Vec<String> {
    let names = entry["names"].as_array().map(Vec::as_slice).unwrap_or_default();
    names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What the messages of the shared folder's files must name.
const NAMED: &[(&str, &[&str])] = &[
    ("empty", &["TFL3"]),
    ("short_header", &["TFL3"]),
    ("wrong_magic", &["TFL9"]),
    ("text", &["TFL3"]),
    ("truncated_25", &["damaged"]),
    ("truncated_50", &["damaged"]),
    ("truncated_90", &["damaged"]),
    ("truncated_99", &["damaged"]),
    ("root_offset", &["damaged"]),
    ("noise", &["damaged"]),
    ("tensor_index", &["operator 0 (CONV_2D)", "9999"]),
    ("tensor_index_negative", &["operator 0 (CONV_2D)", "-7"]),
    ("weights_missing", &["operator 0 (CONV_2D)", "input 1"]),
    ("opcode_index", &["operator 0", "99"]),
    ("buffer_index", &["tensor 17", "9999"]),
    ("output_index", &["outputs", "5000"]),
    ("cycle", &["operator 0 (CONV_2D)", "no earlier operator"]),
    ("out_of_order", &["operator 0 (SOFTMAX)", "no earlier operator"]),
    ("written_twice", &["operator 1 (DEPTHWISE_CONV_2D)", "already written"]),
    ("writes_constant", &["operator 1 (DEPTHWISE_CONV_2D)", "constant"]),
    ("no_subgraph", &["no subgraph"]),
    ("no_outputs", &["no outputs"]),
    ("no_inputs_to_operator", &["operator 0 (CONV_2D)", "input 0"]),
    ("schema_version", &["99"]),
    ("unsupported_builtin", &["HASHTABLE_LOOKUP"]),
    ("unknown_builtin", &["30000"]),
    ("custom_operator", &["NobodyKnowsMe"]),
    ("zero_dim", &["tensor 0", "[1, 0, 10, 1]"]),
    ("negative_dim", &["tensor 0", "-5"]),
    ("dynamic_shape", &["tensor 0", "dimension 1"]),
    ("huge_dims", &["tensor 0", "65536"]),
    ("large_arena", &["40000"]),
    ("rank_nine", &["tensor 0", "9 dimensions"]),
    ("rank_mismatch", &["operator 0 (CONV_2D)", "[49, 10]"]),
    ("channels_mismatch", &["operator 0 (CONV_2D)", "channels"]),
    ("output_shape", &["operator 0 (CONV_2D)", "output", "[1, 7, 7, 64]"]),
    ("stride_zero", &["operator 0 (CONV_2D)", "strides", "[0, "]),
    ("stride_negative", &["operator 0 (CONV_2D)", "strides", "-2"]),
    ("dilation_zero", &["operator 0 (CONV_2D)", "dilations", "[0, "]),
    ("pool_zero", &["(AVERAGE_POOL_2D)", "window"]),
    ("weights_short", &["tensor 17", "buffer"]),
    ("weights_long", &["tensor 17", "buffer"]),
    ("weights_empty", &["tensor"]),
    ("bias_length", &["tensor 3", "[3]", "64 scales"]),
    ("bias_type", &["operator 0 (CONV_2D)", "float32"]),
    ("tensor_type", &["tensor 0", "STRING"]),
    ("unknown_type", &["tensor 0", "77"]),
    ("scale_nan", &["tensor 22", "NaN"]),
    ("scale_zero", &["tensor 22", "scale of 0"]),
    ("scale_negative", &["tensor 22", "-0.5"]),
    ("scale_infinite", &["tensor 22", "inf"]),
    ("scale_denormal", &["tensor 22", "scale of 0.000"]),
    ("scale_vast", &["tensor 22", "scale of 1"]),
    ("weight_scale_nan", &["tensor 17", "NaN"]),
    ("scale_count", &["tensor 17", "3 scales"]),
    ("zero_point_range", &["tensor 22", "300"]),
    ("weight_zero_point", &["operator 0 (CONV_2D)", "zero point"]),
    ("quantized_dimension", &["tensor 17", "dimension 9"]),
    ("no_quantization", &["operator 0 (CONV_2D)", "scale"]),
];

fn named_in_table(file: &str, entry: &Value) -> Vec<String> {
    let name = file.trim_end_matches(".tflite");
    let row = NAMED.iter().find(|(file, _)| *file == name);
    let names = row.map(|(_, names)| *names).unwrap_or_default();
    assert!(
        row.is_some() || entry["class"] == "any",
        "the table lacks what the message for {file} must name"
    );
    names.iter().map(|&name| name.to_owned()).collect()
}
