//! `systole compare`

use std::{fmt::Write, io::IsTerminal, path::PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use systole_converter::{Class, Error, Result, compare, load_file, npz};
use systole_core::Model;

use super::{Conversion, to_json, write_whole};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The float model: .onnx, .tflite or .systole
    float: PathBuf,
    /// The quantized model: .systole, .tflite or .onnx. Layers are compared by their names: convert
    /// with --names all
    quantized: PathBuf,
    /// Samples: an array per input, of its name; the first axis counts samples. An array
    /// `labels` holds the right answers: classes as integers, values as floats
    #[arg(short, long, value_name = "X.npz")]
    data: PathBuf,
    #[command(flatten)]
    conversion: Conversion,
    /// Show so many layers, those with the most noise [default: all]
    #[arg(long, value_name = "N")]
    worst: Option<usize>,
    /// Write a page with histograms of every layer and the noise along the depth
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<String> {
    let options = arguments.conversion.options()?;
    let files = [&arguments.float, &arguments.quantized];
    let [float, quantized] = files.map(|path| load_file(path, &options));
    let (float, quantized) = (float?, quantized?);
    // `load_file` has validated both.
    let valid = |problem: systole_core::LoadError| Error::new(Class::Corrupt, problem.to_string());
    let float = Model::from_bytes(float.as_slice()).map_err(valid)?;
    let quantized = Model::from_bytes(quantized.as_slice()).map_err(valid)?;
    let arrays = npz::read(&arguments.data)?;
    let samples = arrays.first().and_then(|array| array.shape.first()).copied().unwrap_or(0);
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new(samples as u64),
        false => ProgressBar::hidden(),
    };
    let comparison = compare::compare(&float, &quantized, arrays, || bar.inc(1))
        .map_err(|error| error.within(arguments.data.display().to_string()))?;
    bar.finish_and_clear();
    if let Some(path) = &arguments.html {
        let [float, quantized] = [files[0], files[1]].map(|file| {
            file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
        });
        let title = format!("{float} and {quantized}");
        write_whole(path, comparison.to_html(&title).as_bytes())?;
    }
    if arguments.json {
        return Ok(to_json(&comparison.to_json()));
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = table(&mut text, &comparison, arguments.worst);
    Ok(text)
}

fn table(
    text: &mut String,
    comparison: &compare::Comparison,
    worst: Option<usize>,
) -> std::fmt::Result {
    writeln!(text, "{} samples\n", comparison.samples)?;
    writeln!(text, "{:<16} {:>10} {:>10}", "answers", "float", "quantized")?;
    for (name, float, quantized) in &comparison.metrics {
        writeln!(text, "{name:<16} {float:>10.4} {quantized:>10.4}")?;
    }
    let layers = comparison.worst_first();
    writeln!(
        text,
        "\n{:>8} {:>6} {:>9} {:<20} layer, most noise first",
        "SQNR dB", "range", "beyond", "operator"
    )?;
    for layer in layers.iter().take(worst.unwrap_or(layers.len())) {
        let used = layer.range_use().map_or_else(|| "-".to_owned(), |used| format!("{used:.0} %"));
        let note = if layer.equalized() { " (channels equalized)" } else { "" };
        writeln!(
            text,
            "{:>8.1} {used:>6} {:>9} {:<20} {}{note}",
            layer.sqnr(),
            layer.saturated,
            format!("{} {}", layer.dtype.name(), layer.operator),
            layer.name
        )?;
    }
    let inner = comparison.layers.len();
    if inner < 3 {
        writeln!(
            text,
            "\nOnly inputs and outputs have a name in both files: convert with --names all to see \
             the layers."
        )?;
    }
    Ok(())
}
