//! Writes the fuzzers' seed corpora to `fuzz/corpus`:
//! `cargo run -p systole-tests --example fuzz_corpus`.
//!
//! Corpora are not committed: they are the bundled operator cases and malformed models, as they are
//! and converted, and their samples.

use std::{fs, path::Path};

use systole_converter::{Match, Options, convert};
use systole_tests::repository;

/// Larger files slow the fuzzer down more than they teach it.
const MAX_BYTES: usize = 8 << 10;

fn main() -> std::io::Result<()> {
    let corpus = repository().join("fuzz/corpus");
    for target in ["tflite", "systole_file", "npz"] {
        fs::create_dir_all(corpus.join(target))?;
    }
    for folder in ["tests/operators", "tests/bad", "tests/hostile", "models"] {
        let Ok(entries) = fs::read_dir(repository().join(folder)) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.len() <= MAX_BYTES {
                seed(&corpus, &path, &bytes)?;
            }
        }
    }
    Ok(())
}

/// Puts one file where it belongs, and what it converts to beside it.
fn seed(corpus: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz") => fs::write(corpus.join("npz").join(&*name), bytes),
        Some("systole") => fs::write(corpus.join("systole_file").join(&*name), bytes),
        Some("tflite") => {
            fs::write(corpus.join("tflite").join(&*name), bytes)?;
            for matching in [Match::Tflm, Match::Litert] {
                let options = Options { matching, ..Options::default() };
                if let Ok(converted) = convert(bytes, &options) {
                    let file = format!("{name}.{}", matching.name());
                    let path = corpus.join("systole_file").join(file);
                    fs::write(path, converted.file.as_slice())?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
