//! `systole convert`

use std::path::PathBuf;

use clap::Args;
use systole_converter::{Class, Error, Names, Result, convert_source, import_file};
use systole_core::pack_for;
use systole_kernels::tiles::Activations;

use super::{Conversion, quantize, to_json, write_whole};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The model, .onnx or .tflite
    model: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "OUT.systole")]
    output: PathBuf,
    #[command(flatten)]
    conversion: Conversion,
    /// Which tensor names to keep in the file
    #[arg(long, value_enum, default_value_t = KeepNames::Ports)]
    names: KeepNames,
    /// Store class names, one per line of this file
    #[arg(long, value_name = "FILE")]
    class_names: Option<PathBuf>,
    /// Pack weights for the kernels of a processor, so that it need not when it loads the file
    #[arg(long, value_enum, value_name = "PROCESSOR")]
    target: Option<Target>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    quantization: quantize::Quantization,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum KeepNames {
    /// None: the smallest file
    None,
    /// Those of inputs and outputs
    Ports,
    /// Those of all tensors
    All,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Target {
    /// x86-64 with AVX-512 VNNI
    #[value(name = "x86-64-vnni")]
    X86Vnni,
}

impl Target {
    /// How its kernels read activations.
    fn activations(self) -> Activations {
        match self {
            Self::X86Vnni => Activations::Unsigned,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<String> {
    let mut options = arguments.conversion.options()?;
    options.names = match arguments.names {
        KeepNames::None => Names::None,
        KeepNames::Ports => Names::Ports,
        KeepNames::All => Names::All,
    };
    if let Some(path) = &arguments.class_names {
        let text = std::fs::read_to_string(path).map_err(|problem| {
            Error::new(Class::Io, format!("{}: cannot be read: {problem}", path.display()))
        })?;
        options.labels = text.lines().map(str::to_owned).collect();
    }
    let source = import_file(&arguments.model, &options)?;
    let converted = match arguments.quantization.asked() {
        true => {
            let matching_given = arguments.conversion.matching.is_some();
            arguments.quantization.convert(source, &mut options, matching_given)
        }
        false => convert_source(source, &options),
    };
    let place = |error: Error| error.within(arguments.model.display().to_string());
    let converted = converted.map_err(place)?;
    let packed = match arguments.target {
        None => None,
        Some(target) => pack_for(target.activations(), converted.file.as_slice())
            .map_err(|problem| place(Error::new(Class::Corrupt, problem.to_string())))?,
    };
    let file = packed.as_ref().unwrap_or(&converted.file);
    write_whole(&arguments.output, file.as_slice())?;
    if arguments.json {
        return Ok(to_json(&converted.report.to_json()));
    }
    Ok(format!(
        "{} -> {} (--match {})\n{}",
        arguments.model.display(),
        arguments.output.display(),
        options.matching.of(converted.graph.format)?.name(),
        converted.report
    ))
}
