//! `systole bench`

use std::{path::PathBuf, time::Instant};

use clap::Args;
use serde_json::{Value, json};
use systole_converter::{AlignedBytes, Class, Error, Result, load_file, npz, run};
use systole_core::{LoadError, Model, Session, pack};
use systole_kernels::arch;

use super::{Conversion, threads, to_json};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The model: .systole, or .onnx or .tflite to be converted in memory
    file: PathBuf,
    /// Samples to run, in turn; a fixed pattern where it is left out
    #[arg(short, long, value_name = "X.npz")]
    input: Option<PathBuf>,
    /// Run large layers on this many threads
    #[arg(long, default_value_t = 1, value_parser = threads)]
    threads: usize,
    /// Time every operator by itself, too
    #[arg(long)]
    per_layer: bool,
    /// Measure for this long, in seconds
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    #[command(flatten)]
    conversion: Conversion,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.001 to 3600".to_owned()),
    }
}

/// Microseconds of repeated runs.
#[derive(Debug, Default)]
struct Times(Vec<f64>);

impl Times {
    /// The value that the share `part` of all runs stays below.
    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(0.0)
    }

    fn to_value(&self, macs: u64) -> Value {
        json!({
            "min_us": self.quantile(0.0),
            "median_us": self.quantile(0.5),
            "p99_us": self.quantile(0.99),
            "runs": self.0.len(),
            "macs": macs,
            "gmacs_per_s": gmacs_per_s(macs, self.quantile(0.0)),
        })
    }
}

/// From multiply-accumulates and microseconds.
fn gmacs_per_s(macs: u64, us: f64) -> f64 {
    if us > 0.0 { macs as f64 / us / 1e3 } else { 0.0 }
}

/// Runs of each sample, as other runtimes are measured: in a loop that does nothing else. What the
/// first leaves in the arena are the others' inputs, which changes nothing in their time.
const REPEATED: usize = 4;

pub(super) fn run(arguments: &Arguments) -> Result<String> {
    let options = arguments.conversion.options()?;
    let file = load_file(&arguments.file, &options)?;
    let failed = |problem: &dyn std::fmt::Display| Error::new(Class::Corrupt, problem.to_string());
    let load = load_time(&file).map_err(|problem| failed(&problem))?;
    let packed = pack(file.as_slice()).map_err(|problem| failed(&problem))?;
    let file = packed.as_ref().unwrap_or(&file);
    let model = Model::from_bytes(file.as_slice()).map_err(|problem| failed(&problem))?;
    let inputs = match &arguments.input {
        Some(path) => npz::read(path)?,
        None => pattern(&model),
    };
    let samples = inputs.first().and_then(|array| array.shape.first()).copied().unwrap_or(1);
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session =
        Session::new(&model, arena.as_mut_slice()).map_err(|problem| failed(&problem))?;
    session.set_threads(arguments.threads);
    let (mut whole, mut layers) = (Times::default(), Vec::new());
    layers.resize_with(model.operator_count(), Times::default);
    let begin = Instant::now();
    let mut turn = 0;
    while turn < 3 || begin.elapsed().as_secs_f64() < arguments.seconds {
        run::load_sample(&mut session, &inputs, turn % samples)?;
        for _ in 0..REPEATED {
            let start = Instant::now();
            session.run().map_err(|problem| failed(&problem))?;
            let us = start.elapsed().as_secs_f64() * 1e6;
            // The first turn warms caches and is not counted.
            if turn > 0 {
                whole.0.push(us);
            }
        }
        if arguments.per_layer {
            run::load_sample(&mut session, &inputs, turn % samples)?;
            let mut took = vec![0.0; layers.len()];
            let mut more = !took.is_empty();
            while more {
                let operator = usize::from(session.next_operator());
                let start = Instant::now();
                more = session.step().map_err(|problem| failed(&problem))?;
                took[operator] += start.elapsed().as_secs_f64() * 1e6;
            }
            for (times, us) in layers.iter_mut().zip(took) {
                times.0.push(us);
            }
        }
        turn += 1;
    }
    let layers = if arguments.per_layer { Some(&layers[..]) } else { None };
    let value = figures(&model, session.threads(), load, &whole, layers);
    if arguments.json { Ok(to_json(&value)) } else { Ok(text(&value)) }
}

/// Microseconds from a file in memory to a session, the least of a few.
fn load_time(file: &AlignedBytes) -> Result<f64, LoadError> {
    let mut least = f64::INFINITY;
    let mut arena = AlignedBytes::default();
    for _ in 0..5 {
        let start = Instant::now();
        let packed = pack(file.as_slice())?;
        let model = Model::from_bytes(packed.as_ref().unwrap_or(file).as_slice())?;
        if arena.as_slice().is_empty() {
            // Not counted: applications have their arena.
            arena = AlignedBytes::zeroed(model.arena_bytes());
            continue;
        }
        let session = Session::new(&model, arena.as_mut_slice());
        least = least.min(start.elapsed().as_secs_f64() * 1e6);
        drop(session);
    }
    Ok(if least.is_finite() { least } else { 0.0 })
}

/// One sample per input, of bytes that differ.
fn pattern(model: &Model<'_>) -> Vec<npz::Array> {
    let array = |(index, info): (usize, systole_core::TensorInfo<'_>)| {
        let float = info.dtype() == systole_core::DType::F32;
        let bytes = if float {
            (0..info.len()).flat_map(|i| ((i % 17) as f32 / 17.0).to_le_bytes()).collect()
        } else {
            // Small non-negative numbers, valid for every integer type and as indices.
            (0..info.bytes()).map(|i| if i % info.dtype().size() == 0 { 1 } else { 0 }).collect()
        };
        let dims = info.shape().dims().iter().map(|&dim| dim as usize);
        npz::Array {
            name: run::port_name(&info, "input", index),
            dtype: info.dtype(),
            shape: [1].into_iter().chain(dims).collect(),
            bytes,
        }
    };
    model.inputs().enumerate().map(array).collect()
}

/// The figures; the keys are part of the interface.
fn figures(
    model: &Model<'_>,
    threads: usize,
    load: f64,
    whole: &Times,
    layers: Option<&[Times]>,
) -> Value {
    let mut value = whole.to_value(model.macs());
    value["threads"] = json!(threads);
    value["isa"] = json!(arch::kernels().level.name());
    value["load_us"] = json!(load);
    if let Some(layers) = layers {
        let rows: Vec<Value> = layers
            .iter()
            .zip(model.repetitions())
            .enumerate()
            .filter_map(|(index, (times, repetitions))| {
                let operator = model.operator(index as u16)?;
                let macs = systole_converter::macs::of(&operator);
                let mut row = times.to_value(macs * u64::from(repetitions));
                row["index"] = json!(index);
                row["operator"] = json!(operator.opcode().name());
                row["output"] = json!(operator.record().output(0).ok()?.shape().dims());
                row["bytes"] = json!(bytes(&operator));
                Some(row)
            })
            .collect();
        value["layers"] = json!(rows);
        value["peak_gmacs_per_s"] = peak(arch::peak::int8_products);
        value["peak_f32_gmacs_per_s"] = peak(arch::peak::f32_products);
    }
    value
}

/// Bytes of all tensors that an operator reads and writes.
fn bytes(operator: &systole_core::Operator<'_>) -> usize {
    let record = operator.record();
    let inputs = (0..record.input_count()).filter_map(|index| record.given(index).ok()?);
    let outputs = (0..record.output_count()).filter_map(|index| record.output(index).ok());
    inputs.chain(outputs).map(|tensor| tensor.bytes()).sum()
}

/// The most multiply-accumulates that a core does with the kernels' instructions, in 10^9 a second;
/// null where they are not known.
fn peak(products: fn(arch::Level, u32) -> Option<u64>) -> Value {
    let level = arch::kernels().level;
    let timed = || {
        let start = Instant::now();
        let macs = products(level, 100_000)?;
        Some(gmacs_per_s(macs, start.elapsed().as_secs_f64() * 1e6))
    };
    let best = (0..20).filter_map(|_| timed()).fold(0.0, f64::max);
    if best > 0.0 { json!(best) } else { Value::Null }
}

fn text(value: &Value) -> String {
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap_or(0.0);
    let mut text = format!(
        "latency    min {:.1} us, median {:.1} us, p99 {:.1} us ({} runs)\n\
         speed      {:.3} GMAC/s over {} multiply-accumulates; {}, kernels for {}\n\
         loading    {:.1} us: weights packed, the file checked, operators decoded\n",
        number(value, "min_us"),
        number(value, "median_us"),
        number(value, "p99_us"),
        value["runs"],
        number(value, "gmacs_per_s"),
        value["macs"],
        match value["threads"].as_u64() {
            Some(1) => "1 thread".to_owned(),
            _ => format!("{} threads", value["threads"]),
        },
        value["isa"].as_str().unwrap_or_default(),
        number(value, "load_us"),
    );
    let Some(layers) = value["layers"].as_array() else { return text };
    if let (Some(int8), Some(f32)) =
        (value["peak_gmacs_per_s"].as_f64(), value["peak_f32_gmacs_per_s"].as_f64())
    {
        text += &format!(
            "peak       {int8:.1} GMAC/s of int8 and {f32:.1} of f32 on a core, measured\n"
        );
    }
    let total: f64 = layers.iter().map(|row| number(row, "min_us")).sum();
    text += "\n   # operator             output               min us      %   GMAC/s\n";
    for row in layers {
        let us = number(row, "min_us");
        text += &format!(
            "{:>4} {:<20} {:<18} {us:>9.2} {:>6.1} {:>8.3}\n",
            row["index"],
            row["operator"].as_str().unwrap_or_default(),
            row["output"].to_string(),
            100.0 * us / total.max(f64::MIN_POSITIVE),
            number(row, "gmacs_per_s"),
        );
    }
    text
}
