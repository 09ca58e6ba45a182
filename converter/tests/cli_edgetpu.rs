//! The command `systole` on models for the Edge TPU, with a compiler that is a script.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

fn case(name: &str) -> String {
    format!("{}/../tests/edgetpu/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The command with `folder` in front of the places where it looks for programs.
fn systole(arguments: &[&str], folder: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let folders = folder.map(Path::to_owned).into_iter().chain(std::env::split_paths(&usual));
    let path = std::env::join_paths(folders).expect("no folder has a colon in its name");
    command.args(arguments).env("PATH", path).output().expect("systole starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command printed that had to succeed.
fn done(arguments: &[&str], folder: Option<&Path>) -> String {
    let output = systole(arguments, folder);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// What a command said on stderr that had to fail with status 1.
fn failed(arguments: &[&str], folder: Option<&Path>) -> String {
    let output = systole(arguments, folder);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr)
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("paths of these tests are text").to_owned()
}

#[test]
fn compiled_models_are_converted_with_a_fallback_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let (bare, whole) = (path(&folder, "bare.systole"), path(&folder, "whole.systole"));
    let (model, plain) = (case("mixed_edgetpu.tflite"), case("mixed.tflite"));
    done(&["convert", &model, "-o", &bare], None);
    done(&["convert", &model, "-o", &whole, "--fallback", &plain], None);
    assert!(done(&["inspect", &bare], None).contains("delegate"));
    // Without the device the one with a fallback runs, the other says what it needs.
    let samples = case("mixed.inputs.npz");
    let (out, want) = (path(&folder, "out.npz"), path(&folder, "want.npz"));
    done(&["run", &whole, "--input", &samples, "--output", &out], None);
    done(&["run", &plain, "--input", &samples, "--output", &want], None);
    let arrays = |path: &str| systole_converter::npz::read(Path::new(path)).unwrap();
    assert_eq!(arrays(&out), arrays(&want));
    let said = failed(&["run", &bare, "--input", &samples], None);
    assert!(said.contains("(delegate) is for an accelerator"), "{said}");
    // A fallback that is none leaves nothing behind.
    let none = path(&folder, "none.systole");
    let said = failed(&["convert", &model, "-o", &none, "--fallback", &case("chain.tflite")], None);
    assert!(said.contains("'unsigned'"), "{said}");
    assert!(!Path::new(&none).exists());
}

#[test]
fn check_says_what_maps() {
    let output = systole(&["check", "--target", "edgetpu", &case("mixed.part.tflite")], None);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("2 of 2 operators map"), "{}", text(&output.stdout));

    let arguments = ["check", "--target", "edgetpu", "--json", &case("mixed.tflite")];
    let output = systole(&arguments, None);
    assert_eq!(output.status.code(), Some(1));
    let value: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!((&value["mapped"], &value["all_map"]), (&10.into(), &false.into()));
    let last = &value["operators"][10];
    assert_eq!(last["name"], "ARG_MAX");
    assert!(last["reasons"][0]["cure"].as_str().is_some_and(|cure| !cure.is_empty()), "{last}");

    let said = failed(&["check", "--target", "edgetpu", &case("mixed_edgetpu.tflite")], None);
    assert!(said.contains("compiled for the Edge TPU already"), "{said}");
    let said = failed(&["check", "--target", "edgetpu", "nowhere.tflite"], None);
    assert!(said.contains("nowhere.tflite: cannot be read"), "{said}");
    let usage = systole(&["check", &case("mixed.tflite")], None);
    assert_eq!(usage.status.code(), Some(2));
}

/// A folder with a compiler of this text.
#[cfg(unix)]
fn compiler(script: &str) -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("edgetpu_compiler");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[cfg(unix)]
#[test]
fn the_compiler_is_called_where_it_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let compiled = case("mixed_edgetpu.tflite");
    // Arguments: -s -o FOLDER MODEL.
    let good = compiler(&format!("cp {compiled} \"$3/$(basename \"$4\" .tflite)_edgetpu.tflite\""));
    let (whole, lite) = (path(&folder, "mixed.systole"), path(&folder, "mixed_edgetpu.tflite"));
    let convert = |output: &str, compiler: &TempDir| {
        let model = case("mixed.tflite");
        let arguments = ["convert", &model, "-o", output, "--target", "edgetpu"];
        systole(&arguments, Some(compiler.path()))
    };
    let output = convert(&whole, &good);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(done(&["inspect", &whole], None).contains("delegate"));
    // The model itself is the fallback.
    done(&["run", &whole, "--input", &case("mixed.inputs.npz")], None);
    let output = convert(&lite, &good);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(std::fs::read(&lite).unwrap(), std::fs::read(&compiled).unwrap());

    let none = path(&folder, "none.systole");
    let bad = compiler("echo 'Model not quantized' >&2; exit 1");
    let output = convert(&none, &bad);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("Model not quantized"), "{}", text(&output.stderr));
    let lazy = compiler("exit 0");
    let output = convert(&none, &lazy);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("has left no"), "{}", text(&output.stderr));
    assert!(!Path::new(&none).exists());
}

#[test]
fn without_the_compiler_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = path(&folder, "out.systole");
    let convert = |model: &str, more: &[&str]| {
        let arguments = ["convert", model, "-o", &output, "--target", "edgetpu"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
        command.args(arguments).args(more).env("PATH", folder.path()).output().unwrap()
    };
    for (model, more, wanted) in [
        (case("mixed.tflite"), &[][..], "edgetpu_compiler is not installed"),
        (case("mixed.tflite"), &["--quantize", "f16"][..], "takes a quantized model"),
        ("model.onnx".to_owned(), &[][..], "takes .tflite models"),
    ] {
        let output = convert(&model, more);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(wanted), "{}", text(&output.stderr));
    }
    assert!(!Path::new(&output).exists());
}
