//! The models that the firmware runs are what the converter makes of their sources.

use std::{fs, path::Path};

use systole_converter::{Options, convert};

/// With `SYSTOLE_BLESS=1` in the environment the files are written instead of compared.
fn check(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let source = fs::read(folder.join(name).with_extension("tflite")).unwrap();
    let labels = fs::read_to_string(folder.join(name).with_extension("txt")).unwrap_or_default();
    let labels = labels.lines().map(str::to_owned).collect();
    let made = convert(&source, &Options { labels, ..Options::default() }).unwrap();
    let file = folder.join(name).with_extension("systole");
    if std::env::var_os("SYSTOLE_BLESS").is_some() {
        fs::write(file, made.file.as_slice()).unwrap();
    } else {
        assert!(fs::read(file).unwrap() == made.file.as_slice(), "{name}.systole is not current");
    }
}

#[test]
fn hello_is_current() {
    check("hello");
}

#[test]
fn vowels_is_current() {
    check("vowels");
}

#[test]
fn gesture_is_current() {
    check("gesture");
}
