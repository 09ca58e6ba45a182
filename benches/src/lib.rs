//! Models to be timed: the bundled one, and those of the shared folder where it is there; and layers of
//! them, [`shapes`].

pub mod shapes;

use std::path::PathBuf;

use systole_converter::{AlignedBytes, Options, convert_file};

/// Quantized models of the shared folder.
const SHARED: &[&str] = &[
    "hello/hello_world_int8",
    "mlperf_tiny/kws_int8",
    "mlperf_tiny/ic_int8",
    "mlperf_tiny/vww_int8",
    "mlperf_tiny/ad_int8",
    "mlperf_tiny/sww_int8",
    "sequence/micro_speech_int8",
    "vision/person_detect",
    "vision/mobilenet_v1_0.25_128_quant",
    "vision/mobilenet_v2_1.0_224_quant",
    "vision/tf2_mobilenet_v2_1.0_224_ptq",
];

/// Name and file of every model that is there and converts; says which are left out.
pub fn models() -> Vec<(String, AlignedBytes)> {
    let mut paths =
        vec![("digits".to_owned(), systole_tests::repository().join("models/digits.tflite"))];
    match systole_tests::shared() {
        Some(shared) => paths.extend(SHARED.iter().map(|name| {
            let short = name.rsplit('/').next().unwrap_or(name).to_owned();
            (short, shared.join("models").join(format!("{name}.tflite")))
        })),
        None => eprintln!("SKIPPED: all but the bundled model; there is no folder ../shared"),
    }
    paths.into_iter().filter_map(|(name, path)| converted(name, path)).collect()
}

fn converted(name: String, path: PathBuf) -> Option<(String, AlignedBytes)> {
    match convert_file(&path, &Options::default()) {
        Ok(converted) => Some((name, converted.file)),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}
