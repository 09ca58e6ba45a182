//! `systole convert` for chips with several memories, and with weights in one that cannot be mapped.

use std::{path::Path, process::Command};

use serde_json::Value;

/// The bundled model.
const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits.tflite");

/// Its samples.
const INPUTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits.inputs.npz");

/// Exit status, standard output and standard error.
fn systole(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_systole")).args(arguments).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn done(arguments: &[&str]) -> String {
    let (status, stdout, stderr) = systole(arguments);
    assert_eq!(status, Some(0), "{arguments:?}: {stderr}");
    stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of these tests are text")
}

#[test]
fn tensors_are_divided_among_memories_and_inspect_lists_them() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one.systole"), folder.path().join("two.systole"));
    done(&["convert", DIGITS, "-o", text(&one)]);
    let report = done(&["convert", DIGITS, "-o", text(&two), "--memory", "tcm=512,sram=4k"]);
    for part in ["memory     tcm: 512 of 512 bytes", "memory     sram: ", " of 4096 bytes"] {
        assert!(report.contains(part), "{report}");
    }
    let inspected = done(&["inspect", text(&two), "--tensors"]);
    for part in ["memory     0 tcm: 512 bytes", "memory     1 sram: ", "arena 0 0..", "arena 1 0.."]
    {
        assert!(inspected.contains(part), "{inspected}");
    }
    let json: Value = serde_json::from_str(&done(&["inspect", text(&two), "--json"])).unwrap();
    assert_eq!(
        (&json["memories"][0]["name"], &json["memories"][1]["name"]),
        (&"tcm".into(), &"sram".into())
    );
    let outputs = [&one, &two].map(|file| {
        let out = file.with_extension("npz");
        done(&["run", text(file), "--input", INPUTS, "--output", text(&out)]);
        std::fs::read(out).unwrap()
    });
    assert!(outputs[0] == outputs[1], "other bytes");
}

#[test]
fn memories_that_are_wrong_or_too_small_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.systole");
    let refused =
        |memory: &str| systole(&["convert", DIGITS, "-o", text(&out), "--memory", memory]);
    let (status, _, stderr) = refused("tcm");
    assert_eq!(status, Some(2));
    assert!(stderr.contains("NAME=SIZE"), "{stderr}");
    let (status, _, stderr) = refused("tcm=256,sram=256");
    assert_eq!(status, Some(1));
    assert!(stderr.contains("bytes of sram, which has 256, they would"), "{stderr}");
    assert!(!out.exists());
}

#[test]
fn weights_go_into_a_file_of_their_own_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (whole, file, weights) = (path("whole.systole"), path("d.systole"), path("d.bin"));
    done(&["convert", DIGITS, "-o", text(&whole)]);
    let report = done(&["convert", DIGITS, "-o", text(&file), "--weights-apart", text(&weights)]);
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert!(
        report.contains(&format!("apart      {} bytes of weights", size(&weights))),
        "{report}"
    );
    assert!(report.contains(&format!("flash      {} bytes", size(&file))), "{report}");
    assert!(size(&file) + size(&weights) < size(&whole) + 256);
    assert!(done(&["inspect", text(&file)]).contains("bytes of weights, read into"));
    let run = |file: &Path, more: &[&str]| {
        let out = file.with_extension("npz");
        let all = ["run", text(file), "--input", INPUTS, "--output", text(&out)];
        done(&[&all[..], more].concat());
        std::fs::read(out).unwrap()
    };
    let with = ["--weights-from", text(&weights)];
    assert!(run(&whole, &[]) == run(&file, &with), "other bytes");
    let (status, _, stderr) = systole(&["run", text(&file), "--input", INPUTS]);
    assert_eq!(status, Some(1));
    assert!(stderr.contains("the weights are not in the file"), "{stderr}");
    let (status, _, stderr) = systole(&["run", text(&file), "--weights-from", text(&whole)]);
    assert_eq!(status, Some(1));
    assert!(stderr.contains("not those of this model"), "{stderr}");
}
