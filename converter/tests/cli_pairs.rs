//! `systole convert --pack pairs`: what it takes, where it is refused, and that answers stay.

use std::{path::Path, process::Command};

use serde_json::Value;

/// The bundled model, and its samples.
const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits.tflite");
const INPUTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits.inputs.npz");

/// Exit status, standard output and standard error.
fn systole(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_systole")).args(arguments).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of these tests are text")
}

#[test]
fn the_report_says_what_pairs_take_and_gain() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let convert = |to: &Path, more: &[&str]| {
        let all = ["convert", DIGITS, "-o", text(to), "--target", "cortex-m4"];
        let (status, stdout, stderr) = systole(&[&all[..], more].concat());
        assert_eq!(status, Some(0), "{stderr}");
        stdout
    };
    let json = |to: &Path, more: &[&str]| -> Value {
        serde_json::from_str(&convert(to, &[&["--json"], more].concat())).unwrap()
    };
    let (plain, pairs) = (path("plain.systole"), path("pairs.systole"));
    let before = json(&plain, &[]);
    let after = json(&pairs, &["--pack", "pairs"]);
    assert_eq!(before["pairs"], Value::Null);
    let number = |value: &Value| value.as_u64().unwrap();
    // Each weight takes a byte more, and what is missing in rows that are no whole steps.
    let more = number(&after["pairs"]["constants_more"]);
    assert_eq!(
        number(&after["prediction"]["model_bytes"]),
        number(&before["prediction"]["model_bytes"]) + more
    );
    assert!(more > 3000, "{more}");
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert_eq!(number(&after["file_bytes"]), size(&pairs));
    let now = number(&after["prediction"]["instructions"]);
    assert_eq!(after["pairs"]["plain_instructions"], before["prediction"]["instructions"]);
    assert!(now < number(&before["prediction"]["instructions"]), "{now}");
    assert_eq!(after["prediction"]["layers_not_known"], 0);
    let said = convert(&pairs, &["--pack", "pairs"]);
    for part in [format!("pairs      {more} bytes of flash more"), format!("{now} instructions")] {
        assert!(said.contains(&part), "{said}");
    }
    let outputs = [&plain, &pairs].map(|file| {
        let out = file.with_extension("npz");
        let run = systole(&["run", text(file), "--input", INPUTS, "--output", text(&out)]);
        assert_eq!(run.0, Some(0), "{}", run.2);
        std::fs::read(out).unwrap()
    });
    assert!(outputs[0] == outputs[1], "other bytes");
}

#[test]
fn pairs_are_refused_where_there_is_no_dsp_extension() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.systole");
    let refused = |more: &[&str]| {
        let all = ["convert", DIGITS, "-o", text(&out), "--pack", "pairs"];
        let (status, _, stderr) = systole(&[&all[..], more].concat());
        assert!(!out.exists());
        (status, stderr)
    };
    for target in ["cortex-m0", "cortex-m3", "cortex-m55", "riscv32imac", "x86-64-vnni"] {
        let (status, stderr) = refused(&["--target", target]);
        assert_eq!(status, Some(1), "{target}");
        assert!(stderr.contains("cortex-m4, cortex-m7 or cortex-m33"), "{stderr}");
    }
    assert_eq!(refused(&[]).0, Some(2));
    let apart = folder.path().join("weights.bin");
    let (status, stderr) = refused(&["--target", "cortex-m7", "--weights-apart", text(&apart)]);
    assert_eq!(status, Some(1));
    assert!(stderr.contains("--weights-apart"), "{stderr}");
    let (status, stderr) = refused(&["--target", "cortex-m7", "--memory", "tcm=1k,sram=8k"]);
    assert_eq!(status, Some(1));
    assert!(stderr.contains("--memory"), "{stderr}");
}
