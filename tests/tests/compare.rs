//! `compare` on a trained network: against itself, and against what quantization makes of it.

use systole_converter::{
    AlignedBytes, Match, Names, Options,
    compare::{Comparison, compare},
    import_file,
    npz::{self, Array},
    quantize::{Job, convert_quantized},
};
use systole_core::Model;
use systole_tests::checked::convert_file;

struct Case {
    float: AlignedBytes,
    int8: AlignedBytes,
    test: Vec<Array>,
}

fn case() -> Option<Case> {
    let Some(shared) = systole_tests::shared() else {
        println!("SKIPPED: no folder ../shared (SYSTOLE_SHARED) with models");
        return None;
    };
    let path = shared.join("models/trained/dwsep.onnx");
    let arrays = |what: &str| npz::read(&path.with_extension(what)).expect("the arrays are there");
    let options = Options { names: Names::All, ..Options::default() };
    let float = convert_file(&path, &options).expect("the float model converts").file;
    let options = Options { matching: Match::Native, ..options };
    let job = Job { samples: Some(arrays("calibration.npz")), ..Job::default() };
    let source = import_file(&path, &options).expect("the model is read");
    let int8 = convert_quantized(source, &options, &job, &|| {}).expect("it is quantized");
    Some(Case { float, int8: int8.converted.file, test: arrays("test.npz") })
}

fn compared(float: &AlignedBytes, quantized: &AlignedBytes, arrays: Vec<Array>) -> Comparison {
    let float = Model::from_bytes(float.as_slice()).expect("valid");
    let quantized = Model::from_bytes(quantized.as_slice()).expect("valid");
    compare(&float, &quantized, arrays, || ()).expect("the arrays fit")
}

#[test]
fn a_model_equals_itself() {
    let Some(case) = case() else { return };
    let comparison = compared(&case.float, &case.float, case.test);
    assert!(comparison.layers.len() > 8, "{} layers", comparison.layers.len());
    for layer in &comparison.layers {
        assert_eq!(layer.sqnr(), f64::INFINITY, "{}", layer.name);
        assert_eq!(layer.float, layer.quantized, "{}", layer.name);
    }
    for (name, float, quantized) in comparison.metrics {
        assert!(float == quantized || (float - quantized).abs() < 1e-9, "{name}");
    }
}

#[test]
fn an_int8_model_is_close_in_every_layer_and_the_worst_come_first() {
    let Some(case) = case() else { return };
    let comparison = compared(&case.float, &case.int8, case.test);
    let worst = comparison.worst_first();
    assert_eq!(worst.len(), comparison.layers.len());
    assert!(worst.is_sorted_by(|a, b| a.sqnr() <= b.sqnr()));
    let integers = worst.iter().filter(|layer| layer.range.is_some()).count();
    assert!(integers >= 8, "{integers} layers of integers");
    for layer in &worst {
        assert!((20.0..f64::INFINITY).contains(&layer.sqnr()), "{}: {}", layer.name, layer.sqnr());
        if let Some(percent) = layer.range_use() {
            assert!((10.0..=100.0).contains(&percent), "{}: {percent} %", layer.name);
        }
    }
    // The channels of this network's layers are of very different sizes.
    assert!(worst.iter().any(|layer| layer.equalized()));
    let json = comparison.to_json();
    assert_eq!(json["layers"][0]["name"], worst[0].name);
    assert_eq!(json["samples"], comparison.samples);
}

#[test]
fn the_page_names_every_layer_and_needs_nothing_else() {
    let Some(case) = case() else { return };
    let comparison = compared(&case.float, &case.int8, case.test);
    let page = comparison.to_html("float & <int8>");
    assert!(page.contains("<h1>float &amp; &lt;int8&gt;</h1>"));
    for layer in &comparison.layers {
        assert!(page.contains(&layer.name), "{}", layer.name);
    }
    let drawn = comparison.layers.iter().filter(|layer| layer.range.is_some()).count();
    assert_eq!(page.matches("aria-label=\"histograms\"").count(), drawn);
    assert!(!page.contains("http") && !page.contains("<script") && !page.contains("<link"));
    for tag in ["div", "svg", "table", "p", "b"] {
        let (open, close) = (format!("<{tag}>"), format!("<{tag} "));
        let opened = page.matches(&open).count() + page.matches(&close).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}
