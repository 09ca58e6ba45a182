//! `systole emit`

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use systole_converter::{Class, Error, Names, Result, emit, load_file};

use super::{Conversion, write_whole};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The model: .systole, or .onnx or .tflite to be converted on the way
    file: PathBuf,
    /// The language of the source
    #[arg(long, value_enum)]
    lang: Language,
    /// The folder to write to
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// The name of the type or of the array; the file's name where it is left out
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    conversion: Conversion,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Language {
    /// A module with a type that runs the model, as include_model! makes it, and the .systole file
    Rust,
    /// A header and a source with the file's bytes, aligned, and the sizes
    C,
}

pub(super) fn run(arguments: &Arguments) -> Result<String> {
    let mut options = arguments.conversion.options()?;
    options.names = Names::Ports;
    let file = load_file(&arguments.file, &options)?;
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    let name = arguments.name.as_deref().unwrap_or(&stem);
    let sources = match arguments.lang {
        Language::Rust => emit::rust(file.as_slice(), name)?,
        Language::C => emit::c(file.as_slice(), name)?,
    };
    std::fs::create_dir_all(&arguments.output).map_err(|problem| {
        let folder = arguments.output.display();
        Error::new(Class::Io, format!("{folder}: cannot be made: {problem}"))
    })?;
    let mut report = String::new();
    for (file_name, bytes) in sources {
        let path = arguments.output.join(Path::new(&file_name));
        write_whole(&path, &bytes)?;
        report.push_str(&format!("{}  {} bytes\n", path.display(), bytes.len()));
    }
    Ok(report)
}
