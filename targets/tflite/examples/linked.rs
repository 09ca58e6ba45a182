//! How long TFLite's own kernels take for a model: as the crate `tflitec` runs it, and through this crate's
//! layer. A peer for `systole bench MODEL`.
//!
//! ```text
//! cargo run --release -p systole-tflite --features tflitec --example linked -- MODEL.tflite [RUNS]
//! ```
//!
//! What the feature needs to be built is in the README. Inputs are zeros, on one thread, without XNNPACK; the
//! two take turns, and the least and the median time of each are printed.

use std::{
    env,
    error::Error,
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use systole_tflite::{Interpreter, Library, Model, Options, linked};

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
    let (path, runs) = match &arguments[..] {
        [path] => (path, 100),
        [path, runs] => (path, runs.parse::<usize>()?.max(1)),
        _ => return Err("usage: linked MODEL.tflite [RUNS]".into()),
    };
    let bytes = fs::read(path)?;
    let model = linked::Model::from_bytes(&bytes)?;
    let mut peer = linked::Interpreter::new(&model, 1)?;
    // By its name the loader gives the library that is linked.
    let library = Library::load(Some(Path::new("libtensorflowlite_c.so")))?;
    let own = Model::from_bytes(&library, &bytes[..])?;
    let mut own = Interpreter::new(&own, Options::default())?;
    for index in 0..own.input_count() {
        let mut input = own.input_mut(index)?;
        let bytes = input.bytes_mut()?;
        bytes.fill(0);
        peer.set_input(index, bytes)?;
    }
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        let start = Instant::now();
        peer.invoke()?;
        times[0].push(start.elapsed());
        let start = Instant::now();
        own.invoke()?;
        times[1].push(start.elapsed());
    }
    println!("TFLite {}, {runs} runs", linked::version());
    for (name, mut times) in ["tflitec", "systole-tflite"].into_iter().zip(times) {
        times.sort();
        let (least, median) = (times.first(), times.get(times.len() / 2));
        let micros = |time: Option<&Duration>| time.map_or(0, Duration::as_micros);
        println!("{name:<15} least {} µs, median {} µs", micros(least), micros(median));
    }
    Ok(())
}
