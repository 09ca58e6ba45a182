//! Runs a model with any vendor's delegate, or on TFLite's own kernels where the delegate is not to be had,
//! with zeros as inputs.
//!
//! ```text
//! cargo run --release -p systole-tflite --example delegate -- MODEL.tflite LIBRARY [OPTION=VALUE]...
//! ```
//!
//! Prints why there is no delegate, or that there is one, the outputs' first elements as bytes, and how long
//! the second of two runs took.

use std::{env, error::Error, path::Path, process::ExitCode, time::Instant};

use systole_tflite::{Abi, Delegate, Interpreter, Library, Model, Options};

/// Bytes of an output that are printed.
const SHOWN: usize = 12;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [path, delegate, options @ ..] = &arguments[..] else {
        return Err("usage: delegate MODEL.tflite LIBRARY [OPTION=VALUE]...".into());
    };
    let pairs: Option<Vec<(&str, &str)>> =
        options.iter().map(|option| option.split_once('=')).collect();
    let pairs = pairs.ok_or("an option is OPTION=VALUE")?;
    let library = Library::load(None)?;
    println!("{library:?}");
    let model = Model::from_file(&library, Path::new(path))?;
    let delegates = match Delegate::external(Path::new(delegate), &pairs, Abi::Any) {
        Ok(delegate) => {
            println!("{delegate:?}");
            vec![delegate]
        }
        Err(problem) => {
            println!("on TFLite's kernels: {problem}");
            Vec::new()
        }
    };
    let mut interpreter = Interpreter::new(&model, Options { delegates, ..Options::default() })?;
    for index in 0..interpreter.input_count() {
        interpreter.input_mut(index)?.bytes_mut()?.fill(0);
    }
    interpreter.invoke()?;
    let start = Instant::now();
    interpreter.invoke()?;
    let micros = start.elapsed().as_micros();
    for index in 0..interpreter.output_count() {
        let output = interpreter.output(index)?;
        let bytes = output.bytes()?;
        let shown = bytes.get(..SHOWN).unwrap_or(bytes);
        println!("output {index} '{}': {shown:02x?} of {} bytes", output.name(), bytes.len());
    }
    println!("ran in {micros} µs");
    Ok(())
}
