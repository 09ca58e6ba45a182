//! Runs a model on an Edge TPU, or on the CPU where there is none, with zeros as inputs.
//!
//! ```text
//! cargo run --release -p systole-tflite --example edgetpu -- MODEL.tflite [DEVICE]
//! ```
//!
//! DEVICE is `usb`, `pci`, `usb:N`, `pci:N` or `:N`. Prints the devices, inputs and outputs, and how
//! long the second of two runs took: the first one loads the parameters.

use std::{env, error::Error, path::Path, process::ExitCode, time::Instant};

use systole_tflite::{DeviceChoice, EdgeTpu, EdgeTpuOptions, Interpreter, Library, Model, Options};

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
    let (path, choice) = match &arguments[..] {
        [path] => (path, DeviceChoice::default()),
        [path, device] => (path, device.parse()?),
        _ => return Err("usage: edgetpu MODEL.tflite [DEVICE]".into()),
    };
    let library = Library::load(None)?;
    println!("{library:?}");
    let model = Model::from_file(&library, Path::new(path))?;

    // A plain model runs without a device too; a compiled one then says what it needs.
    let delegates = match EdgeTpu::load(None) {
        Ok(tpu) => {
            println!("{tpu:?}, devices: {:?}", tpu.devices());
            match tpu.delegate(choice, &EdgeTpuOptions::default()) {
                Ok(delegate) => vec![delegate],
                Err(problem) => {
                    println!("on the CPU: {problem}");
                    Vec::new()
                }
            }
        }
        Err(problem) => {
            println!("on the CPU: {problem}");
            Vec::new()
        }
    };
    let mut interpreter = Interpreter::new(&model, Options { delegates, ..Options::default() })?;

    for index in 0..interpreter.input_count() {
        interpreter.input_mut(index)?.bytes_mut()?.fill(0);
        let input = interpreter.input(index)?;
        println!("input  {index} {input:?} {:?}", input.quantization());
    }
    interpreter.invoke()?;
    let start = Instant::now();
    interpreter.invoke()?;
    println!("ran in {} µs", start.elapsed().as_micros());
    for index in 0..interpreter.output_count() {
        let output = interpreter.output(index)?;
        println!("output {index} {output:?} {:?}", output.quantization());
    }
    Ok(())
}
