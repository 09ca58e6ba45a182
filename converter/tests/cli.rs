//! The command `systole` on files that it cannot use: exit status 1 with the reason on stderr, 2
//! for wrong usage, and never a half-written file.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use systole_converter::npz;
use tempfile::TempDir;

/// A good model to damage.
const GOOD: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/operators/conv_2d_i8_valid.tflite");

fn systole(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_systole")).args(arguments).output().expect("systole starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of these tests are text")
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("the file can be written");
    path
}

/// Files in a folder, by name.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).expect("the folder is there").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Asserts that the command failed with status 1, printed nothing to stdout, and named all of
/// `named` on stderr.
fn assert_refused(output: &Output, named: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    for name in named {
        assert!(stderr.contains(name), "stderr does not name {name}: {stderr}");
    }
}

/// Names and bytes of malformed models, and what stderr has to say of each.
fn malformed() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = std::fs::read(GOOD).expect("the bundled case is there");
    let mut magic = good.clone();
    magic[4..8].copy_from_slice(b"TFL9");
    let mut root = good.clone();
    root[..4].copy_from_slice(&0xFFFF_FFF0_u32.to_le_bytes());
    vec![
        ("empty.tflite", Vec::new(), "TFL3"),
        ("magic.tflite", magic, "TFL3"),
        ("root.tflite", root, "damaged"),
        ("truncated.tflite", good[..good.len() / 2].to_vec(), "damaged"),
    ]
}

#[test]
fn malformed_models_are_refused_and_leave_no_file() {
    for (name, bytes, reason) in malformed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (model, out) = (write(&folder, name, &bytes), folder.path().join("out.systole"));
        let output = systole(&["convert", text(&model), "-o", text(&out)]);
        assert_refused(&output, &[name, reason]);
        assert_eq!(names(&folder), [name], "something else was written");
        for command in ["run", "inspect", "bench"] {
            assert_refused(&systole(&[command, text(&model)]), &[name, reason]);
        }
    }
}

#[test]
fn a_failed_conversion_keeps_the_file_that_was_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = write(&folder, "model.tflite", b"no model");
    let out = write(&folder, "out.systole", b"what was there before");
    assert_refused(&systole(&["convert", text(&model), "-o", text(&out)]), &["model.tflite"]);
    assert_eq!(std::fs::read(&out).expect("still there"), b"what was there before");
    assert_eq!(names(&folder), ["model.tflite", "out.systole"]);
}

#[test]
fn files_that_are_missing_or_cannot_be_written_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing.tflite");
    let out = folder.path().join("out.systole");
    let output = systole(&["convert", text(&missing), "-o", text(&out)]);
    assert_refused(&output, &["missing.tflite", "cannot be read"]);
    let nowhere = folder.path().join("no/such/folder/out.systole");
    let output = systole(&["convert", GOOD, "-o", text(&nowhere)]);
    assert_refused(&output, &["out.systole", "cannot be written"]);
    assert_eq!(names(&folder), [""; 0]);
}

#[test]
fn damaged_systole_files_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("good.systole");
    let converted = systole(&["convert", GOOD, "-o", text(&out)]);
    assert_eq!(converted.status.code(), Some(0), "{}", String::from_utf8_lossy(&converted.stderr));
    let good = std::fs::read(&out).expect("the file was written");
    assert_eq!(systole(&["run", text(&out)]).status.code(), Some(0));
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let mut version = good.clone();
    version[8] = 99;
    for (name, bytes, reason) in [
        ("flipped.systole", flipped, "checksum"),
        ("version.systole", version, "version 99"),
        ("short.systole", good[..good.len() - 1].to_vec(), "truncated"),
    ] {
        let path = write(&folder, name, &bytes);
        for command in ["run", "inspect", "bench"] {
            assert_refused(&systole(&[command, text(&path)]), &[name, reason]);
        }
    }
}

#[test]
fn names_in_models_cannot_control_the_terminal() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/bad/custom_operator.tflite");
    let mut bytes = std::fs::read(path).expect("the bundled case is there");
    let name = b"NobodyKnowsMe";
    let at = bytes.windows(name.len()).position(|window| window == name);
    let at = at.expect("the operator's name is in the file");
    bytes[at..at + name.len()].copy_from_slice(b"Clear\x1b[2Jscre");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = write(&folder, "escape.tflite", &bytes);
    let output = systole(&["inspect", text(&model)]);
    assert_refused(&output, &["Clear\u{FFFD}[2Jscre"]);
    assert!(!output.stderr.contains(&0x1b));
}

#[test]
fn inspect_says_what_a_program_has_to_link() {
    let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits.tflite");
    let output = systole(&["inspect", digits]);
    let text = String::from_utf8_lossy(&output.stdout);
    let says = "operators![I8: Conv2d, DepthwiseConv2d, AveragePool2d, FullyConnected, Softmax]\n";
    assert!(text.contains(says), "{text}");
}

#[test]
fn a_quantized_onnx_model_is_converted_run_and_inspected() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/onnx_quantized");
    let folder = tempfile::tempdir().expect("a folder");
    let (file, outputs) = (folder.path().join("m.systole"), folder.path().join("y.npz"));
    let model = format!("{cases}/autoencoder_qdq_i8.onnx");
    let output = systole(&["convert", &model, "-o", text(&file)]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("(--match ort)"), "{said}");
    let output = systole(&["inspect", text(&file)]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let layers =
        said.lines().filter(|line| line.contains("fully_connected") && line.contains("float32"));
    assert!(layers.count() >= 4, "{said}");
    // The case's file has inputs and outputs in one.
    let case = npz::read(Path::new(&format!("{cases}/autoencoder_qdq_i8.npz"))).expect("the case");
    let of = |begin: &str| -> Vec<npz::Array> {
        case.iter().filter(|array| array.name.starts_with(begin)).cloned().collect()
    };
    let inputs = folder.path().join("x.npz");
    npz::write(&inputs, &of("input.")).expect("the inputs can be written");
    let output =
        systole(&["run", text(&file), "--input", text(&inputs), "--output", text(&outputs)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let got = npz::read(&outputs).expect("the outputs are there");
    let wanted = of("output.");
    assert_eq!(got.len(), wanted.len());
    assert_eq!(got[0].bytes, wanted[0].bytes);
}

#[test]
fn limits_refuse_what_is_above_them() {
    for (option, limit) in [("--max-arena", "16"), ("--max-work", "100")] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("out.systole");
        let output = systole(&["convert", GOOD, "-o", text(&out), option, limit]);
        assert_refused(&output, &["conv_2d_i8_valid.tflite", limit, option]);
        assert_eq!(names(&folder), [""; 0]);
    }
}

#[test]
fn samples_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let samples = write(&folder, "samples.npz", b"no archive");
    let output = systole(&["run", GOOD, "--input", text(&samples)]);
    assert_refused(&output, &["samples.npz"]);
}

#[test]
fn wrong_usage_is_status_2() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["convert", GOOD],
        &["convert", "-o", "out.systole"],
        &["convert", GOOD, "-o", "out.systole", "--match", "nobody"],
        &["run"],
        &["run", GOOD, "--max-arena", "much"],
        &["inspect", GOOD, "--unknown"],
    ] {
        let output = systole(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?} says nothing");
    }
}

#[test]
fn emit_writes_a_rust_module_or_c_with_the_files_bytes() {
    let folder = TempDir::new().expect("there is room for a folder");
    for lang in ["rust", "c"] {
        let arguments =
            ["emit", GOOD, "--lang", lang, "-o", text(folder.path()), "--name", "a-net"];
        let output = systole(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(names(&folder), ["a_net.c", "a_net.h", "a_net.rs", "a_net.systole"]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("it is text");
    let file = std::fs::read(folder.path().join("a_net.systole")).expect("the file is there");
    let rust = read("a_net.rs");
    assert!(
        rust.contains("pub struct ANet {") && rust.contains("include_bytes!(\"a_net.systole\")")
    );
    assert!(read("a_net.h").contains(&format!("#define A_NET_BYTES {}\n", file.len())));
    let c = read("a_net.c");
    let bytes: Vec<u8> = c[c.find('{').expect("an array") + 1..]
        .split(',')
        .filter_map(|byte| u8::from_str_radix(byte.trim().strip_prefix("0x")?, 16).ok())
        .collect();
    assert_eq!(bytes, file);
}

#[test]
fn emit_refuses_names_that_cannot_be_identifiers() {
    let folder = TempDir::new().expect("there is room for a folder");
    let arguments = ["emit", GOOD, "--lang", "c", "-o", text(folder.path()), "--name", "8bit"];
    assert_refused(&systole(&arguments), &["8bit", "--name"]);
    assert!(names(&folder).is_empty());
}
