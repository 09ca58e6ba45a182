//! `systole` on ONNX models that are wrong: status 1, the file and the reason on stderr, nothing
//! written. The models are those of the shared folder.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The folder with models: `SYSTOLE_SHARED`, or `../shared` beside the repository.
fn models() -> Option<PathBuf> {
    let folder = match std::env::var_os("SYSTOLE_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    let models = folder.join("models");
    if !models.is_dir() {
        println!("SKIPPED: no folder ../shared with ONNX models");
        return None;
    }
    Some(models)
}

fn systole(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_systole")).args(arguments).output().expect("systole starts")
}

/// The reason that a command gave for its failure with status 1.
fn refusal(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

#[test]
fn models_that_are_wrong_leave_the_reason_and_no_file() {
    let Some(models) = models() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out.systole");
    for (name, reason) in [
        ("cycle", "reads what follows from it: a cycle"),
        ("external_data_missing", "cannot be read from"),
        ("external_data_escape", "it must be inside the model's folder"),
        ("external_data_absolute", "it must be inside the model's folder"),
        ("input_huge", "takes more than 2 GiB"),
        ("nan_weights", "is not a number at element"),
        ("infinite_weights", "weights must be finite"),
        ("unknown_operator", "operator Frobnicate is not supported"),
        ("unknown_domain", "operator Relu is not supported (of domain com.nobody)"),
        ("deep_nesting", "operator If is not supported"),
        ("dynamic_inner", "set it by --dim"),
        ("truncated_30", "damaged ONNX model"),
    ] {
        let model = models.join("bad").join(name).with_extension("onnx");
        let arguments = ["convert".as_ref(), model.as_path(), "-o".as_ref(), out.as_path()];
        let said = refusal(&systole(&arguments));
        let file = format!("{name}.onnx: ");
        assert!(said.contains(&file) && said.contains(reason), "{name}: {said}");
    }
    let left = std::fs::read_dir(folder.path()).expect("the folder is there").count();
    assert_eq!(left, 0, "something was written");
}

#[test]
fn samples_of_another_model_leave_the_reason_and_no_file() {
    let Some(models) = models() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trained = |name: &str| models.join("trained").join(name);
    let paths = ["out.systole", "recipe.toml", "state.json"].map(|name| folder.path().join(name));
    let [out, recipe, state] = &paths;
    let arguments: [&Path; 10] = [
        "convert".as_ref(),
        &trained("mobilenet_nchw.onnx"),
        "--calibrate".as_ref(),
        &trained("gestures_cnn.calibration.npz"),
        "--recipe-out".as_ref(),
        recipe,
        "--calibration-out".as_ref(),
        state,
        "-o".as_ref(),
        out,
    ];
    let said = refusal(&systole(&arguments));
    let wanted = "mobilenet_nchw.onnx: calibration data: array 'acceleration' for input 'image': \
                  samples have shape [64, 3], but the input's is [1, 1, 16, 16]";
    assert!(said.contains(wanted), "{said}");
    assert!(paths.iter().all(|path| !path.exists()), "something was written");
}
