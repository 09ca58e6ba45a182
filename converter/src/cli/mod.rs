//! The command line: arguments, and what is printed.
//!
//! Exit status 0: done. 1: the work failed, the reason is on stderr; of `check`, also that not all
//! operators map. 2: wrong usage.

mod bench;
mod check;
mod compare;
mod convert;
mod demo;
mod emit;
mod inspect;
mod quantize;
mod run;

use std::{
    io::{ErrorKind, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use systole_converter::{
    Class, Error, Match, Names, Options, Result, graph::Tensor, npz, onnx::Dimensions,
};
use systole_kernels::arch;

/// Converts trained networks to .systole files, and runs, inspects and times them.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Convert a model to a .systole file
    Convert(Box<convert::Arguments>),
    /// Run a model on every sample of an .npz file
    Run(run::Arguments),
    /// Show operators, tensors, sizes, the arena map and metadata
    Inspect(inspect::Arguments),
    /// Say which operators an accelerator will run, why not others, and what would help. The exit
    /// status is 1 unless all do
    Check(check::Arguments),
    /// Measure latency, in whole and per layer
    Bench(bench::Arguments),
    /// Write a model as source code: a Rust module, or C with its bytes
    Emit(emit::Arguments),
    /// Compare a quantized model with a float one, layer by layer
    Compare(compare::Arguments),
    /// Convert the bundled digits model and recognize a few digits with it
    Demo(demo::Arguments),
}

/// What all commands that convert have in common.
#[derive(Debug, Args)]
struct Conversion {
    /// Whose answers to reproduce, bit for bit [default: tflm for TFLite, ort for
    /// ONNX, native for models quantized here]
    #[arg(long = "match", value_enum, value_name = "RUNTIME")]
    matching: Option<Matching>,
    /// Refuse models that need a larger arena, in bytes
    #[arg(long, default_value_t = 512 << 20, value_name = "BYTES")]
    max_arena: usize,
    /// Refuse models of which an inference takes more elementary steps
    #[arg(long, default_value_t = 1_000_000_000_000, value_name = "STEPS")]
    max_work: u64,
    /// The weights of a .systole file that `convert --weights-apart` wrote
    #[arg(long, value_name = "FILE")]
    weights_from: Option<PathBuf>,
    /// ONNX: what an input's first dimension is where it is open
    #[arg(long, default_value_t = 1, value_name = "N")]
    batch: usize,
    /// ONNX: what an open dimension is, by its name; may be given several times
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = dimension)]
    dims: Vec<(String, usize)>,
    /// ONNX: inputs that become constants, arrays by their names
    #[arg(long, value_name = "X.npz")]
    fix_inputs: Option<PathBuf>,
    /// ONNX: how images are given to the converted model
    #[arg(long, value_enum, default_value_t = InputLayout::Trained)]
    input_layout: InputLayout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InputLayout {
    /// As the model was trained: channels before rows and columns
    Trained,
    /// Channels last, which saves the transpose of the first layer
    Nhwc,
}

/// `NAME=SIZE`.
fn dimension(argument: &str) -> Result<(String, usize), String> {
    let (name, size) = argument.split_once('=').ok_or("expected NAME=SIZE")?;
    match size.parse() {
        Ok(size @ 1..) => Ok((name.to_owned(), size)),
        _ => Err(format!("'{size}' is no size; it must be at least 1")),
    }
}

/// Some threads, but no more than any processor has cores.
fn threads(argument: &str) -> Result<usize, String> {
    match argument.parse() {
        Ok(threads @ 1..=256) => Ok(threads),
        _ => Err("a number from 1 to 256".to_owned()),
    }
}

impl Conversion {
    fn options(&self) -> Result<Options> {
        let fixed = self.fix_inputs.as_deref().map(npz::read).transpose()?.unwrap_or_default();
        Ok(Options {
            matching: self.matching.map_or(Match::default(), Match::from),
            max_arena: self.max_arena,
            max_work: self.max_work,
            names: Names::All,
            weights: self.weights_from.clone(),
            dimensions: Dimensions {
                batch: self.batch.max(1),
                named: self.dims.iter().cloned().collect(),
            },
            fixed_inputs: fixed.into_iter().map(Tensor::from).collect(),
            channels_last_inputs: self.input_layout == InputLayout::Nhwc,
            ..Options::default()
        })
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Matching {
    /// TensorFlow Lite Micro's reference kernels
    Tflm,
    /// LiteRT's reference kernels
    Litert,
    /// ONNX Runtime, of quantized ONNX models
    Ort,
    /// Systole's own arithmetic: every scale applied with one rounding
    Native,
}

impl From<Matching> for Match {
    fn from(matching: Matching) -> Self {
        match matching {
            Matching::Tflm => Self::Tflm,
            Matching::Litert => Self::Litert,
            Matching::Ort => Self::Ort,
            Matching::Native => Self::Native,
        }
    }
}

/// Reads the arguments, does the work, and says how it ended.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    if let Err(problem) = check_level() {
        eprintln!("systole: {problem}");
        return ExitCode::FAILURE;
    }
    let done = match command {
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Check(arguments) => match check::run(&arguments) {
            Ok((output, true)) => Ok(output),
            Ok((output, false)) => {
                print(&output);
                return ExitCode::FAILURE;
            }
            Err(error) => Err(error),
        },
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Emit(arguments) => emit::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    };
    match done {
        Ok(output) => print(&output),
        Err(error) => {
            eprintln!("systole: {}", printable(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Fails where `SYSTOLE_ISA` names kernels that this processor does not have.
fn check_level() -> Result<(), String> {
    let Some(name) = arch::requested() else { return Ok(()) };
    let available: Vec<&str> = arch::available().map(|kernels| kernels.level.name()).collect();
    match available.contains(&&*name) {
        true => Ok(()),
        false => Err(format!(
            "SYSTOLE_ISA is '{}'; this processor has {}",
            printable(&name),
            available.join(", ")
        )),
    }
}

/// Prints to stdout; a reader that went away (`systole … | head`) is no failure.
fn print(output: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(printable(output).as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("systole: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Names come from models, which may be made to play with the terminal: control characters are
/// replaced.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(shown).collect()
}

/// JSON with a line feed.
fn to_json(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// Writes a file so that it is there whole or not at all: to a temporary one, then renamed.
fn write_whole(path: &PathBuf, bytes: &[u8]) -> Result<(), Error> {
    let failed = |problem: &dyn std::fmt::Display| {
        let message = format!("{}: cannot be written: {problem}", path.display());
        Error::new(Class::Io, message)
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(std::path::Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(permissions())
        .tempfile_in(folder)
        .map_err(|problem| failed(&problem))?;
    file.write_all(bytes).map_err(|problem| failed(&problem))?;
    file.persist(path).map_err(|problem| failed(&problem))?;
    Ok(())
}

/// What a file that the user asked for gets: readable by all, as the umask allows.
fn permissions() -> std::fs::Permissions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::Permissions::from_mode(0o666)
    }
    #[cfg(not(unix))]
    {
        let folder = std::env::temp_dir();
        std::fs::metadata(folder).expect("the temporary folder exists").permissions()
    }
}
