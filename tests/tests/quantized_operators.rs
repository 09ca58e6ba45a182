//! Every float case of `tests/operators`, quantized to int8 and to int16 with its own inputs as
//! samples: it converts, and its outputs are near the float ones.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use systole_converter::{
    AlignedBytes, Match, Options, import_file,
    metric::{self, Noise},
    npz::{self, Array},
    quantize::{Job, Recipe, Scheme, convert_quantized},
};
use systole_core::{DType, Model};
use systole_tests::checked::convert_source;
use systole_tests::repository;

/// The least ratio of signal to noise in dB that is good for one operator: of 8 bits, and of weights
/// of 8 bits beside 16-bit activations.
const LEAST: [f64; 2] = [25.0, 40.0];

/// Cases that are noisier, how much, and why that is right.
const NOISIER: &[(&str, f64, &str)] = &[
    ("softmax_f32_large::int8", 20.0, "inputs range over hundreds, so 256 levels are far apart"),
    ("graph_layer_norm_f32::int8", 20.0, "the square of what is left of 8 bits is summed"),
];

fn main() {
    let arguments = Arguments::from_args();
    let folder = repository().join("tests/operators");
    let mut models: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    models.retain(|path| path.extension().is_some_and(|extension| extension == "tflite"));
    models.sort();
    let trials = models.iter().flat_map(|model| trials(model)).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trials(path: &Path) -> Vec<Trial> {
    let options = Options::default();
    let Ok(source) = import_file(path, &options) else { return Vec::new() };
    let graph = &source.graph;
    let float = |id: &systole_converter::graph::TensorId| {
        graph[*id].dtype == DType::F32 && !graph[*id].is_constant()
    };
    let real = graph.inputs.iter().any(float) && graph.outputs.iter().any(float);
    let quantized = graph.tensors.iter().any(|tensor| tensor.quantization.is_some());
    if !real || quantized {
        return Vec::new();
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    [(Scheme::Int8, "int8", LEAST[0]), (Scheme::Int16, "int16", LEAST[1])]
        .into_iter()
        .map(|(scheme, suffix, least)| {
            let (path, name) = (path.to_owned(), format!("{name}::{suffix}"));
            let noisier = NOISIER.iter().find(|(case, ..)| *case == name);
            let least = noisier.map_or(least, |&(_, least, _)| least);
            Trial::test(name, move || near(&path, scheme, least).map_err(Failed::from))
        })
        .collect()
}

fn near(path: &Path, scheme: Scheme, least: f64) -> Result<(), String> {
    let text = |error: systole_converter::Error| error.to_string();
    let options = Options { matching: Match::Native, ..Options::default() };
    let source = import_file(path, &options).map_err(text)?;
    let inputs: Vec<Array> = npz::read(&path.with_extension("npz"))
        .map_err(text)?
        .into_iter()
        .filter_map(|array| {
            let name = array.name.strip_prefix("in.")?.to_owned();
            Some(Array { name, ..array })
        })
        .collect();
    let recipe = Recipe { quantize: scheme, precise_output: false, ..Recipe::default() };
    let job = Job { recipe, samples: Some(inputs.clone()), ..Job::default() };
    let quantized = convert_quantized(source.clone(), &options, &job, &|| {}).map_err(text)?;
    let float = convert_source(source, &options).map_err(text)?;
    let run = |file: &AlignedBytes| {
        let model = Model::from_bytes(file.as_slice()).map_err(|error| error.to_string())?;
        metric::outputs(&model, &inputs).map_err(text)
    };
    let (float, quantized) = (run(&float.file)?, run(&quantized.converted.file)?);
    let mut noise = Noise::default();
    float.iter().zip(&quantized).for_each(|(float, quantized)| noise.add(float, quantized));
    let sqnr = noise.sqnr();
    if sqnr >= least || noise.noise == 0.0 { Ok(()) } else { Err(format!("{sqnr:.1} dB")) }
}
