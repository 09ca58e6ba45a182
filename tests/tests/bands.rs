//! Models that run on bands of rows answer as they do otherwise, byte for byte, in the memory that was asked
//! for.

use proptest::prelude::*;
use systole_converter::{Memory, Options, npz, planner, run};
use systole_core::{AlignedBytes, Model};
use systole_tests::checked::{compile, convert_file};
use systole_tests::{networks::networks, output, repository, shared};

/// How many networks are tried: `SYSTOLE_CASES`, or a few.
fn cases() -> u32 {
    std::env::var("SYSTOLE_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(150)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn bands_keep_every_byte(graph in networks(12)) {
        prop_assume!(!graph.nodes.is_empty());
        let compiled = |memory| {
            let options = Options { memory, plan_budget: 2_000, ..Options::default() };
            compile(&graph, &options)
        };
        let whole = compiled(Memory::Whole).unwrap();
        let expected = output(&whole.written.bytes);
        let whole = whole.layout.plan.arena_bytes;
        let mut least = whole;
        for memory in [Memory::Sums, Memory::Least] {
            let banded = compiled(memory).unwrap();
            let plan = &banded.layout.plan;
            prop_assert_eq!(planner::check(&banded.layout.buffers, 16, plan), Ok(()));
            prop_assert!(plan.arena_bytes <= least);
            least = plan.arena_bytes;
            prop_assert_eq!(&output(&banded.written.bytes), &expected);
        }
        // What lies between is had, too, and less is refused.
        let between = least + (whole - least) / 2;
        let banded = compiled(Memory::AtMost(between)).unwrap();
        prop_assert!(banded.layout.plan.arena_bytes <= between);
        prop_assert_eq!(&output(&banded.written.bytes), &expected);
        let refused = compiled(Memory::AtMost(least - 1)).map(|it| it.layout.plan.arena_bytes);
        let refused = refused.expect_err("less was not found before").to_string();
        let found = format!("the smallest that was found has {least}");
        prop_assert!(refused.contains(&found), "{}", refused);
    }
}

/// The outputs of all samples of a model.
fn answers(file: &AlignedBytes, inputs: &[npz::Array]) -> Vec<npz::Array> {
    let model = Model::from_bytes(file.as_slice()).unwrap();
    run::run(&model, inputs, || ()).unwrap()
}

#[test]
fn real_models_fit_where_they_did_not() {
    let mut models = vec![(repository().join("models/digits.tflite"), usize::MAX)];
    match shared() {
        None => println!("SKIPPED: real models, because there is no folder ../shared"),
        Some(shared) => {
            let models_of = |(name, bytes): (&str, usize)| {
                (shared.join("models").join(format!("{name}.tflite")), bytes)
            };
            models.extend(
                [
                    ("mlperf_tiny/kws_int8", 9_000),
                    ("mlperf_tiny/ic_int8", 27_000),
                    ("mlperf_tiny/ic_float", 140_000),
                    ("mlperf_tiny/vww_int8", 40_000),
                    ("mlperf_tiny/sww_int8", 5_000),
                    ("vision/person_detect", 24_000),
                    ("vision/mobilenet_v1_0.25_128_quant", 64_000),
                    ("vision/tf2_mobilenet_v2_1.0_224_ptq", 300_000),
                ]
                .map(models_of),
            );
        }
    }
    for (path, bytes) in models {
        let options = |memory| Options { memory, ..Options::default() };
        let inputs = npz::read(&path.with_extension("inputs.npz")).unwrap();
        let whole = convert_file(&path, &options(Memory::Whole)).unwrap();
        let banded = convert_file(&path, &options(Memory::AtMost(bytes))).unwrap();
        assert!(banded.report.arena_bytes <= bytes, "{}", path.display());
        assert_eq!(
            answers(&banded.file, &inputs),
            answers(&whole.file, &inputs),
            "{}",
            path.display()
        );
        assert_eq!(banded.report.macs, whole.report.macs, "nothing is computed twice");
    }
}
