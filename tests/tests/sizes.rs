//! Files and arenas of real models stay within what is promised. `SYSTOLE_WRITE_DOCS=1` writes the
//! table of `docs/benchmarks/sizes.md`.

use systole_converter::{Names, Options};
use systole_kernels::lstm::GATES;
use systole_tests::checked::convert_file;
use systole_tests::{repository, shared};

/// Bytes beside weights and biases: per output channel, per operator and tensor, and in all.
const PER_CHANNEL: usize = 8;
const PER_RECORD: usize = 64;
const FIXED: usize = 1024;

/// What the weights, biases and records of a TFLite model are worth.
struct Budget {
    /// Bytes of weights and biases.
    weights: usize,
    channels: usize,
    operators: usize,
    tensors: usize,
}

impl Budget {
    fn bytes(&self) -> usize {
        let records = PER_RECORD * (self.operators + self.tensors);
        self.weights + PER_CHANNEL * self.channels + records + FIXED
    }
}

fn budget(bytes: &[u8]) -> Budget {
    let graph = systole_converter::tflite::import(bytes, &Options::default())
        .expect("the model has been converted");
    let mut budget = Budget { weights: 0, channels: 0, operators: graph.nodes.len(), tensors: 0 };
    let mut named: Vec<usize> = Vec::new();
    for node in &graph.nodes {
        named.extend(node.inputs.iter().flatten().chain(&node.outputs).map(|id| id.0));
        let scaled = ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"];
        if let (true, Some(&y)) = (scaled.contains(&node.op.name()), node.outputs.first()) {
            budget.channels += graph[y].shape.last().copied().unwrap_or(1);
        }
        if let ("UNIDIRECTIONAL_SEQUENCE_LSTM", Some(&y)) = (node.op.name(), node.outputs.first()) {
            budget.channels += GATES * graph[y].shape.last().copied().unwrap_or(1);
        }
    }
    named.sort_unstable();
    named.dedup();
    budget.tensors = named.len();
    let constants =
        named.iter().map(|&id| &graph.tensors[id]).filter(|tensor| tensor.is_constant());
    budget.weights = constants.map(|tensor| tensor.bytes()).sum();
    budget
}

#[test]
fn files_are_compact_and_arenas_near_the_lower_bound() {
    let Some(shared) = shared() else {
        println!("SKIPPED: sizes of real models, because there is no folder ../shared");
        return;
    };
    let models = shared.join("models");
    let mut paths: Vec<_> = ["mlperf_tiny", "vision", "hello", "int16", "sequence", "trained"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(models.join(folder)).expect("the folder is there"))
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tflite"))
        .collect();
    paths.sort();
    let mut rows = String::new();
    let (mut failures, mut converted_models) = (Vec::new(), 0);
    for path in paths {
        let options = Options { names: Names::None, ..Options::default() };
        // Models that are refused are tested elsewhere.
        let Ok(converted) = convert_file(&path, &options) else { continue };
        converted_models += 1;
        let bytes = std::fs::read(&path).expect("it was just converted");
        let (report, budget) = (&converted.report, budget(&bytes));
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if report.file_bytes > budget.bytes() {
            failures.push(format!(
                "{name}: {} bytes, budget {}",
                report.file_bytes,
                budget.bytes()
            ));
        }
        if report.arena_bytes as f64 > 1.05 * report.arena_lower_bound as f64 {
            failures.push(format!(
                "{name}: arena {}, lower bound {}",
                report.arena_bytes, report.arena_lower_bound
            ));
        }
        if name == "kws_int8" && report.file_bytes > 34_000 {
            failures.push(format!("{name}: {} bytes, more than 34 KB", report.file_bytes));
        }
        rows += &format!(
            "| {name} | {} | {} | {} | {} | {} | {:.1} % |\n",
            report.source_bytes,
            report.file_bytes,
            budget.bytes(),
            report.arena_bytes,
            report.arena_lower_bound,
            100.0 * (report.arena_bytes - report.arena_lower_bound) as f64
                / report.arena_lower_bound as f64,
        );
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(converted_models >= 40, "only {converted_models} models convert");
    if std::env::var_os("SYSTOLE_WRITE_DOCS").is_some() {
        write(&rows);
    }
}

fn write(rows: &str) {
    let text = format!(
        "# Sizes of real models\n\n\
         Bytes, metadata stripped. The budget is what a file may have: weights and biases as in the\n\
         source, {PER_CHANNEL} bytes per output channel, {PER_RECORD} per operator and tensor, {FIXED} in all. \
         The lower bound is the\n\
         largest sum of tensors alive at once. Written by\n\
         `SYSTOLE_WRITE_DOCS=1 cargo test -p systole-tests --test sizes`.\n\n\
         | model | .tflite | .systole | budget | arena | lower bound | gap |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n{rows}"
    );
    let folder = repository().join("docs/benchmarks");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    std::fs::write(folder.join("sizes.md"), text).expect("the table can be written");
}
