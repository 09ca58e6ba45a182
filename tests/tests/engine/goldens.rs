//! Every model of the shared folder in TFLite's interpreter, against the goldens.

use std::path::Path;

use libtest_mimic::Trial;
use serde_json::Value;
use systole_engine::{Backend, Engine, Place};
use systole_tests::PEER_TOLERANCE;

use super::{Outcome, check, with};

/// Models for which TFLite's optimized kernels, the only ones that its C library offers, do not give
/// the goldens' bytes, which are of the reference kernels: the two round differently. The largest
/// difference of an output in the first samples; LiteRT 2.3's optimized kernels differ as much.
const OPTIMIZED_DIFFER: &[(&str, u8)] = &[
    ("mlperf_tiny/ad_int8.tflite", 2),
    ("mlperf_tiny/ic_int8.tflite", 12),
    ("sequence/dtln_noise_suppression.tflite", 2),
    ("vision/mobilenet_v2_1.0_224_quant.tflite", 3),
    ("vision/tf2_mobilenet_v2_1.0_224_ptq.tflite", 6),
];

/// Models that TFLite does not run, and what it says.
const REFUSED: &[(&str, &str)] = &[
    ("sequence/audio_preprocessor_int8.tflite", "no operator 'SignalWindow'"),
    ("vision/person_detect.tflite", "quantized_dimension must be in range [0, 1). Was 3."),
];

/// Every model of the shared folder that TFLite runs, with its own kernels.
pub(super) fn goldens(models: &Path) -> Vec<Trial> {
    let index = std::fs::read(models.join("index.json")).expect("index.json lists the models");
    let index: Value = serde_json::from_slice(&index).expect("index.json is JSON");
    let files = index["models"].as_array().expect("index.json has a list of models").iter();
    let files = files.filter_map(|entry| entry["file"].as_str());
    let wanted = |file: &&str| {
        let folder = file.split('/').next().unwrap_or_default();
        file.ends_with(".tflite")
            && ["mlperf_tiny", "vision", "sequence", "hello"].contains(&folder)
    };
    let trial = |file: &str| {
        let path = models.join(file);
        let tflite =
            move || -> Outcome { Ok(Engine::load_with(&path, &with(Backend::Tflite)).map(drop)?) };
        if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == file) {
            let test = move || match tflite() {
                Err(error) if error.message().is_some_and(|text| text.contains(why)) => Ok(()),
                other => Err(format!("not refused with '{why}': {other:?}").into()),
            };
            return Trial::test(format!("{file}::refused_by_tflite"), test);
        }
        let differ = OPTIMIZED_DIFFER.iter().find(|(name, _)| *name == file);
        let largest = differ.map_or(0, |(_, largest)| *largest);
        let path = models.join(file);
        let test = move || {
            let mut engine = Engine::load_with(&path, &with(Backend::Tflite))?;
            let [part] = &engine.report().parts[..] else { panic!("{}", engine.report()) };
            assert!(matches!(part.place, Place::Tflite(_)) && part.operators > 0, "{part}");
            check(&mut engine, &path, PEER_TOLERANCE, largest)
        };
        Trial::test(format!("{file}::in_tflite"), test)
    };
    files.filter(wanted).map(trial).collect()
}
