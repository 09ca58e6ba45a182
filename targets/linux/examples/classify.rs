//! Runs a model wherever it runs best, and prints the five largest values of its first output.
//!
//! ```text
//! cargo run --release -p systole-engine --example classify -- MODEL [INPUT.raw] [DEVICE]
//! ```
//!
//! INPUT.raw holds the elements of the first input, as a picture of 8-bit pixels; zeros where it is left
//! out. DEVICE is `usb`, `pci`, `usb:N`, `pci:N` or `:N`. Prints what runs where first.

use std::{env, error::Error, process::ExitCode, time::Instant};

use systole_engine::{DeviceChoice, Engine, Options};

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
    let (model, picture, device) = match &arguments[..] {
        [model] => (model, None, DeviceChoice::default()),
        [model, picture] => (model, Some(picture), DeviceChoice::default()),
        [model, picture, device] => (model, Some(picture), device.parse()?),
        _ => return Err("usage: classify MODEL [INPUT.raw] [DEVICE]".into()),
    };
    let mut options = Options::default();
    options.edge_tpu.device = device;
    let mut engine = Engine::load_with(model, &options)?;
    println!("{}", engine.report());

    let bytes = match picture {
        Some(path) => std::fs::read(path)?,
        None => vec![0; engine.input(0)?.port().bytes()],
    };
    engine.input(0)?.copy_bytes(&bytes)?;
    engine.run()?;
    // The first run loads parameters. A run may use the memory of inputs, so they are written again.
    engine.input(0)?.copy_bytes(&bytes)?;
    let start = Instant::now();
    engine.run()?;
    println!("ran in {} µs", start.elapsed().as_micros());

    let scores = engine.output(0)?.dequantize()?;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    for class in order.into_iter().take(5) {
        println!("{class:>6} {:.4}", scores[class]);
    }
    Ok(())
}
