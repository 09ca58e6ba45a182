//! `systole convert`

use std::path::PathBuf;

use clap::Args;
use systole_converter::{Class, Error, Names, Result, convert_source, import_file};

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
    write_whole(&arguments.output, converted.file.as_slice())?;
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
