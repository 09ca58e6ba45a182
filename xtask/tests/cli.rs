//! What the command line accepts, and its exit statuses.

use std::process::{Command, Output};

fn xtask(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().expect("xtask starts")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wrong_usage_is_status_2() {
    let unknown = xtask(&["measure", "--target", "cortex-m9", "--model", "x.tflite"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(errors(&unknown).contains("riscv32imac"), "the names are listed");
    for arguments in [
        &["measure"][..],
        &["measure", "--target", "cortex-m4"],
        &["measure", "--target", "cortex-m4", "--model", "x", "--opt", "z"],
        &["measure", "--target", "cortex-m4", "--model", "x", "--samples", "0"],
        &["measure", "--target", "cortex-m4", "--model", "x", "--golden", "y.npz"],
        &["audit"],
        &["audit", "x", "--run", "mps2-an386x"],
        &["accuracy", "--models"],
        &["launch"],
    ] {
        assert_eq!(xtask(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn help_is_status_0() {
    for arguments in
        [&["--help"][..], &["measure", "--help"], &["audit", "--help"], &["accuracy", "--help"]]
    {
        let output = xtask(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: cargo xtask"));
    }
}

#[test]
fn files_that_are_not_what_they_should_be_are_status_1() {
    let this = env!("CARGO_MANIFEST_PATH");
    let audit = xtask(&["audit", this]);
    assert_eq!(audit.status.code(), Some(1));
    assert!(errors(&audit).contains("Cargo.toml"), "{}", errors(&audit));
    let measure = xtask(&["measure", "--target", "cortex-m4", "--model", this]);
    assert_eq!(measure.status.code(), Some(1));
    assert!(errors(&measure).contains("neither a .systole file"), "{}", errors(&measure));
    let missing = xtask(&["measure", "--target", "cortex-m4", "--model", "no/such.tflite"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(errors(&missing).contains("no/such.tflite"), "{}", errors(&missing));
}
