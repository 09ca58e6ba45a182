//! `cargo xtask aarch64`: kernels for 64-bit Arm, emulated: instructions of each level, and goldens.

mod emulated;
mod goldens;
mod page;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use systole_converter::{AlignedBytes, Match, Options, load_file, macs, npz};
use systole_core::{DType, Model, Opcode, Operator};

use crate::{
    error::{Error, Result, failed},
    paths,
    samples::Samples,
};
use emulated::{LEVELS, Level, Runner};
use page::{Counted, Kind, Layer, Page};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Only models whose name has one of these parts; prints the page instead of writing it
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    models: Vec<String>,
    /// Compare the outputs of all models with goldens, at each level, instead of counting
    #[arg(long)]
    goldens: bool,
    /// Samples of each model whose outputs are compared
    #[arg(long, default_value_t = 2, requires = "goldens")]
    samples: usize,
    /// The source of the plugin that counts [default: cross/insncount.c in ../shared]
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
}

/// Models that are counted: files in the folder of the large models.
const MODELS: [&str; 8] = [
    "mlperf_tiny/kws_int8",
    "mlperf_tiny/ic_int8",
    "mlperf_tiny/vww_int8",
    "mlperf_tiny/ad_int8",
    "mlperf_tiny/sww_int8",
    "vision/mobilenet_v1_0.25_128_quant",
    "vision/mobilenet_v2_1.0_224_quant",
    "vision/tf2_mobilenet_v2_1.0_224_ptq",
];

/// The command.
pub fn command(arguments: &Arguments) -> Result<String> {
    let folder = paths::shared_models().ok_or_else(|| {
        failed!("there is no folder ../shared; SYSTOLE_SHARED names another place")
    })?;
    let named = |name: &str| {
        arguments.models.is_empty() || arguments.models.iter().any(|part| name.contains(part))
    };
    if arguments.goldens {
        return goldens::compare(&Runner::build()?, &folder, named, arguments.samples);
    }
    let models: Vec<&str> = MODELS.into_iter().filter(|name| named(name)).collect();
    if models.is_empty() {
        return Err(Error::Usage(format!("--models: there are {}", MODELS.join(", "))));
    }
    let source = arguments.plugin.clone();
    let source = source.unwrap_or_else(|| folder.join("../cross/insncount.c"));
    let runner = Runner::build()?;
    let plugin = emulated::plugin(&source)?;
    let mut counted = Vec::new();
    for name in models {
        let path = folder.join(format!("{name}.tflite"));
        counted.push(count(&runner, &plugin, &path)?);
    }
    let page = Page { conditions: conditions(&runner), models: counted };
    if !arguments.models.is_empty() {
        return Ok(page.text());
    }
    let path = paths::repository().join("docs/benchmarks/aarch64.md");
    fs::write(&path, page.text()).map_err(|problem| failed!("{}: {problem}", path.display()))?;
    Ok(format!("{}\n", path.display()))
}

/// Counts an inference at each level, whose outputs have to be the golden ones.
fn count(runner: &Runner, plugin: &Path, path: &Path) -> Result<Counted> {
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (file, inputs, golden) = sample(path)?;
    let model = Model::from_bytes(file.as_slice()).map_err(|why| failed!("{name}: {why}"))?;
    let samples = Samples::new(&model, Some(inputs), 1)?;
    let (input, output) = (stored_inputs(&model, &samples), stored_outputs(&model, &samples));
    // The host's outputs are what the device is held against.
    for (given, golden) in samples.outputs.iter().flatten().zip(&golden) {
        if golden.sample(0) != Some(given.as_slice()) && golden.dtype != DType::F32 {
            return Err(failed!("{name}: the outputs are not the golden ones"));
        }
    }
    let mut levels = Vec::new();
    for level in LEVELS {
        eprintln!("{name}, {}", level.name);
        let (found, counts) = runner.count(level, file.as_slice(), &input, plugin)?;
        if found != output {
            return Err(differs(&name, level));
        }
        levels.push(counts);
    }
    let layers = (0..model.operator_count()).filter_map(|op| {
        let operator = model.operator(op as u16)?;
        let instructions = levels.iter().filter_map(|counts| counts.operators.get(op).copied());
        Some(layer(&operator, instructions.collect()))
    });
    let layers = layers.collect();
    Ok(Counted { name, whole: levels.iter().map(|counts| counts.whole).collect(), layers })
}

fn differs(name: &str, level: Level) -> Error {
    failed!("{name}, {}: outputs differ from the host's", level.name)
}

/// What the page says of an operator.
fn layer(operator: &Operator<'_>, instructions: Vec<u64>) -> Layer {
    let record = operator.record();
    let dims = |tensor: Option<systole_core::TensorInfo<'_>>| -> Vec<usize> {
        let dims = tensor.map(|info| info.shape().dims().to_vec()).unwrap_or_default();
        dims.iter().map(|&dim| dim as usize).collect()
    };
    let (x, weights, y) = (
        dims(record.input(0).ok()),
        dims(record.given(1).ok().flatten()),
        dims(record.output(0).ok()),
    );
    let matrices = match (x[..].split_last(), weights[..].split_last(), y[..].split_last()) {
        (Some((depth, _)), Some(_), Some((outputs, rows))) => {
            [rows.iter().product(), *depth, *outputs]
        }
        _ => [0; 3],
    };
    let kind = match (operator.opcode(), &weights[..]) {
        (Opcode::Conv2d, [_, 1, 1, _]) if x[..3] == y[..3] => Kind::Pointwise,
        (Opcode::Conv2d, _) => Kind::Convolution,
        (Opcode::DepthwiseConv2d, _) => Kind::Depthwise,
        (Opcode::FullyConnected, _) => Kind::FullyConnected,
        _ => Kind::Other,
    };
    Layer { kind, matrices, macs: macs::of(operator), instructions }
}

/// A model that gives TFLite Micro's answers, or LiteRT's where there are no others, its golden inputs
/// and the outputs of that runtime.
fn sample(path: &Path) -> Result<(AlignedBytes, Vec<npz::Array>, Vec<npz::Array>)> {
    let micro = path.with_extension("tflm.npz");
    let (golden, matching) = match micro.exists() {
        true => (micro, Match::Tflm),
        false => (path.with_extension("outputs.npz"), Match::Litert),
    };
    let file = load_file(path, &Options { matching, ..Options::default() })?;
    Ok((file, npz::read(&path.with_extension("inputs.npz"))?, npz::read(&golden)?))
}

/// The inputs of all samples as `systole-runner` reads them.
fn stored_inputs(model: &Model<'_>, samples: &Samples) -> Vec<u8> {
    let flips: Vec<u8> = model.inputs().map(|info| info.sign_flip()).collect();
    joined(&samples.inputs, &flips)
}

/// The outputs of all samples as `systole-runner` writes them.
fn stored_outputs(model: &Model<'_>, samples: &Samples) -> Vec<u8> {
    let flips: Vec<u8> = model.outputs().map(|info| info.sign_flip()).collect();
    joined(&samples.outputs, &flips)
}

fn joined(samples: &[Vec<Vec<u8>>], flips: &[u8]) -> Vec<u8> {
    let tensors = samples.iter().flat_map(|sample| sample.iter().zip(flips));
    tensors.flat_map(|(bytes, flip)| bytes.iter().map(move |byte| byte ^ flip)).collect()
}

/// Versions.
fn conditions(runner: &Runner) -> Vec<String> {
    let said = |program: &str| {
        let done = Command::new(program).arg("--version").output();
        let said =
            done.map_or(String::new(), |it| String::from_utf8_lossy(&it.stdout).into_owned());
        said.lines().next().unwrap_or("?").to_owned()
    };
    let rustc = said(runner.toolchain.rustc());
    let rustc: Vec<&str> = rustc.split(' ').take(2).collect();
    let processors = LEVELS.map(|level| format!("`{}` on `{}`", level.name, level.processor));
    vec![
        format!("Systole {}, {}, `opt-level = 3`.", env!("CARGO_PKG_VERSION"), rustc.join(" ")),
        format!("{}; {}.", said("qemu-aarch64"), processors.join(", ")),
    ]
}
