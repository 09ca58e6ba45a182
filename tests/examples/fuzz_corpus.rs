//! Writes the fuzzers' seed corpora to `fuzz/corpus`:
//! `cargo run -p systole-tests --example fuzz_corpus`.
//!
//! Corpora are not committed: they are the bundled operator cases and malformed models, as they are
//! and converted, and their samples; for ONNX its own tests of operators in the shared folder.

use std::{fs, io, path::Path};

use prost::Message;
use systole_converter::{Match, Options, apart, convert};
use systole_tests::{onnx::with_constants, repository, shared};
use tract_tflite::tflite;

/// Larger files slow the fuzzer down more than they teach it.
const MAX_BYTES: usize = 8 << 10;

fn main() -> io::Result<()> {
    let corpus = repository().join("fuzz/corpus");
    for target in ["tflite", "onnx", "systole_file", "npz", "edgetpu"] {
        fs::create_dir_all(corpus.join(target))?;
    }
    for folder in [
        "tests/operators",
        "tests/onnx_quantized",
        "tests/edgetpu",
        "tests/bad",
        "tests/hostile",
        "models",
    ] {
        let Ok(entries) = fs::read_dir(repository().join(folder)) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.len() <= MAX_BYTES {
                seed(&corpus, &path, &bytes)?;
            }
        }
    }
    match shared() {
        Some(shared) => onnx(&corpus.join("onnx"), &shared.join("models")),
        None => {
            println!("no folder ../shared: there are no seeds for the target onnx");
            Ok(())
        }
    }
}

/// Seeds from ONNX's tests of operators and from malformed models.
fn onnx(corpus: &Path, models: &Path) -> io::Result<()> {
    for path in fs::read_dir(models.join("bad"))?.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "onnx") {
            copy(
                corpus,
                &path.file_stem().unwrap_or_default().to_string_lossy(),
                fs::read(&path)?,
            )?;
        }
    }
    for case in fs::read_dir(models.join("onnx_ops"))?.flatten().map(|entry| entry.path()) {
        let Ok(bytes) = fs::read(case.join("model.onnx")) else { continue };
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        if let Some(model) = with_constants(&case) {
            copy(corpus, &format!("{name}.constants"), model.encode_to_vec())?;
        }
        copy(corpus, &name, bytes)?;
    }
    Ok(())
}

fn copy(corpus: &Path, name: &str, bytes: Vec<u8>) -> io::Result<()> {
    if bytes.len() <= MAX_BYTES { fs::write(corpus.join(name), bytes) } else { Ok(()) }
}

/// What operators for the Edge TPU carry.
fn packages(corpus: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let Ok(model) = tflite::root_as_model(bytes) else { return Ok(()) };
    let Some(subgraph) = model.subgraphs().unwrap_or_default().iter().next() else { return Ok(()) };
    for (index, operator) in subgraph.operators().unwrap_or_default().iter().enumerate() {
        if let Some(options) = operator.custom_options() {
            fs::write(corpus.join(format!("{name}.{index}")), options.bytes())?;
        }
    }
    Ok(())
}

/// Puts one file where it belongs, and what it converts to beside it.
fn seed(corpus: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz") => fs::write(corpus.join("npz").join(&*name), bytes),
        Some("onnx") => fs::write(corpus.join("onnx").join(&*name), bytes),
        Some("systole") => fs::write(corpus.join("systole_file").join(&*name), bytes),
        Some("tflite") => {
            fs::write(corpus.join("tflite").join(&*name), bytes)?;
            packages(&corpus.join("edgetpu"), &name, bytes)?;
            for matching in [Match::Tflm, Match::Litert] {
                let options = Options { matching, ..Options::default() };
                if let Ok(converted) = convert(bytes, &options) {
                    let file = format!("{name}.{}", matching.name());
                    let path = corpus.join("systole_file").join(file);
                    fs::write(path, converted.file.as_slice())?;
                    // And with its weights apart.
                    if let Ok(parts) = apart::split(converted.file.as_slice()) {
                        let path = corpus.join("systole_file").join(format!("{name}.apart"));
                        fs::write(path, parts.file.as_slice())?;
                    }
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
