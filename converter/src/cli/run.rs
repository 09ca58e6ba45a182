//! `systole run`

use std::{io::IsTerminal, path::PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use systole_converter::{
    Class, Error, Result, load_file,
    npz::{self, Array},
    run,
};
use systole_core::{DType, LoadError, Model, pack};

use super::{Conversion, threads, to_json};

/// Outputs with more elements than this are not printed in full.
const PRINTED: usize = 16;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The model: .systole, or .onnx or .tflite to be converted in memory
    model: PathBuf,
    /// Samples: an array per input, of its name; the first axis counts samples. Zeros
    /// where it is left out
    #[arg(short, long, value_name = "X.npz")]
    input: Option<PathBuf>,
    /// Write the outputs to this file instead of printing them
    #[arg(short, long, value_name = "Y.npz")]
    output: Option<PathBuf>,
    /// Give quantized outputs as float32. Inputs may be float32 always
    #[arg(long)]
    float_io: bool,
    /// Run large layers on this many threads; results are the same
    #[arg(long, default_value_t = 1, value_parser = threads)]
    threads: usize,
    /// Take the samples as parts of one sequence: recurrent layers that have state go on with what
    /// the sample before left, instead of beginning anew
    #[arg(long)]
    keep_state: bool,
    #[command(flatten)]
    conversion: Conversion,
    /// Print outputs as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<String> {
    let file = load_file(&arguments.model, &arguments.conversion.options()?)?;
    let corrupt = |problem: LoadError| Error::new(Class::Corrupt, problem.to_string());
    let packed = pack(file.as_slice()).map_err(corrupt)?;
    let file = packed.as_ref().unwrap_or(&file);
    let model = Model::from_bytes(file.as_slice()).map_err(corrupt)?;
    let inputs = match &arguments.input {
        Some(path) => npz::read(path)?,
        None => zeros(&model),
    };
    let samples = inputs.first().and_then(|array| array.shape.first()).copied().unwrap_or(1);
    let bar = if std::io::stderr().is_terminal() && samples > 1 {
        ProgressBar::new(samples as u64)
    } else {
        ProgressBar::hidden()
    };
    let place = |error: Error| match &arguments.input {
        Some(path) => error.within(path.display().to_string()),
        None => error,
    };
    let settings = run::Settings { threads: arguments.threads, keep_state: arguments.keep_state };
    let outputs = run::run_with(&model, &inputs, settings, || bar.inc(1)).map_err(place)?;
    bar.finish_and_clear();
    let outputs = match arguments.float_io {
        true => outputs
            .iter()
            .zip(model.outputs())
            .map(|(array, info)| run::dequantized(array, &info))
            .collect(),
        false => outputs,
    };
    if let Some(path) = &arguments.output {
        npz::write(path, &outputs)?;
    }
    if arguments.json {
        let outputs: serde_json::Map<String, serde_json::Value> =
            outputs.iter().map(|array| (array.name.clone(), to_value(array))).collect();
        return Ok(to_json(&json!({ "samples": samples, "outputs": outputs })));
    }
    if let Some(path) = &arguments.output {
        let names: Vec<&str> = outputs.iter().map(|array| &array.name[..]).collect();
        return Ok(format!("{samples} samples -> {} ({})\n", path.display(), names.join(", ")));
    }
    Ok(text(&model, &outputs, samples))
}

/// One sample of zeros per input.
fn zeros(model: &Model<'_>) -> Vec<Array> {
    let array = |(index, info): (usize, systole_core::TensorInfo<'_>)| Array {
        name: run::port_name(&info, "input", index),
        dtype: info.dtype(),
        shape: [1].into_iter().chain(info.shape().dims().iter().map(|&dim| dim as usize)).collect(),
        bytes: vec![0; info.bytes()],
    };
    model.inputs().enumerate().map(array).collect()
}

/// The elements of one sample as numbers.
fn numbers(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    let sized = bytes.chunks_exact(dtype.size());
    sized
        .map(|element| {
            let mut wide = [0; 8];
            wide[..element.len()].copy_from_slice(element);
            match dtype {
                DType::I8 => f64::from(element[0] as i8),
                DType::U8 | DType::Bool => f64::from(element[0]),
                DType::I16 => f64::from(i16::from_le_bytes([wide[0], wide[1]])),
                DType::U16 | DType::F16 => f64::from(u16::from_le_bytes([wide[0], wide[1]])),
                DType::I32 => f64::from(i64::from_le_bytes(wide) as i32),
                DType::U32 => f64::from(i64::from_le_bytes(wide) as u32),
                DType::I64 => i64::from_le_bytes(wide) as f64,
                DType::F32 => f64::from(f32::from_bits(i64::from_le_bytes(wide) as u32)),
                DType::F64 => f64::from_le_bytes(wide),
            }
        })
        .collect()
}

fn to_value(array: &Array) -> serde_json::Value {
    let samples = array.shape.first().copied().unwrap_or(0);
    let rows: Vec<serde_json::Value> = (0..samples)
        .filter_map(|sample| array.sample(sample))
        .map(|bytes| {
            let numbers = numbers(array.dtype, bytes);
            let integers = !matches!(array.dtype, DType::F32 | DType::F64);
            let value = |x: f64| if integers { json!(x as i64) } else { json!(x) };
            numbers.into_iter().map(value).collect()
        })
        .collect();
    json!({ "dtype": array.dtype.name(), "shape": array.shape, "values": rows })
}

/// A line per sample and output: the values, or the largest of many, with its label.
fn text(model: &Model<'_>, outputs: &[Array], samples: usize) -> String {
    let mut text = String::new();
    for sample in 0..samples {
        for array in outputs {
            let numbers = numbers(array.dtype, array.sample(sample).unwrap_or_default());
            let largest = numbers
                .iter()
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)))
                .map_or(0, |(index, _)| index);
            text += &format!("{sample} {}:", array.name);
            if numbers.len() <= PRINTED {
                for number in &numbers {
                    text += &format!(" {number}");
                }
            } else {
                let number = numbers.get(largest).copied().unwrap_or(0.0);
                text += &format!(" {} values, the largest [{largest}] = {number}", numbers.len());
            }
            if let Some(label) = model.label(largest) {
                text += &format!(" -> {label}");
            }
            text += "\n";
        }
    }
    text
}
