//! Float models that are quantized here keep their accuracy on data that they were not calibrated
//! with. Where the shared folder is not there each test says that it was skipped.

use std::path::{Path, PathBuf};

use systole_converter::{
    Converted, Match, Names, Options,
    calibrate::calibrate,
    import_file,
    metric::{self, Metric},
    npz::{self, Array},
    ops::Op,
    passes,
    quantize::{
        Effort, Job, LayerRule, PortType, Precision, Recipe, Scheme, WeightType, convert_quantized,
        layers::Beside, mixed::Bound, prepare, quantize,
    },
};
use systole_core::{DType, Model, pack_for};
use systole_kernels::tiles::Activations;
use systole_tests::checked::{compile, convert_file};
use systole_tests::{packed_digits, quantized_digits, repository, shared};

/// A float model with data to calibrate with, and other data to measure on.
struct Case {
    model: PathBuf,
    calibration: Vec<Array>,
    test: Vec<Array>,
    labels: Array,
}

/// The case of `folder/name`, `None` with a word where the shared folder is not there.
fn case(name: &str) -> Option<Case> {
    let Some(shared) = shared() else {
        println!("SKIPPED: {name}, because there is no folder ../shared (SYSTOLE_SHARED)");
        return None;
    };
    let mut model = shared.join("models").join(name);
    if model.extension().is_none() {
        model.set_extension("tflite");
    }
    let beside = |suffix: &str| {
        let dotted = model.with_extension(format!("{suffix}.npz"));
        let stem = model.with_extension("").display().to_string();
        let path = if dotted.exists() { dotted } else { format!("{stem}_{suffix}.npz").into() };
        npz::read(&path).expect("the arrays are there")
    };
    let (test, labels) = metric::split_labels(beside("test"));
    let (calibration, labels) = (beside("calibration"), labels.expect("test data has labels"));
    Some(Case { calibration, test, labels, model })
}

/// The outputs of a model file's bytes.
fn outputs(file: &[u8], inputs: &[Array]) -> Vec<Vec<f32>> {
    let model = Model::from_bytes(file).expect("a valid model");
    metric::outputs(&model, inputs).expect("the model runs")
}

fn float_outputs(path: &Path, inputs: &[Array]) -> Vec<Vec<f32>> {
    let converted = convert_file(path, &Options::default()).expect("the float model converts");
    outputs(converted.file.as_slice(), inputs)
}

impl Case {
    fn quantized(&self, recipe: Recipe) -> Vec<u8> {
        let options = Options { matching: Match::Native, names: Names::None, ..Options::default() };
        let job = Job { recipe, samples: Some(self.calibration.clone()), ..Job::default() };
        let source = import_file(&self.model, &options).expect("the model is read");
        let converted = convert_quantized(source, &options, &job, &|| {});
        converted.expect("the model is quantized").converted.file.as_slice().to_vec()
    }

    /// Accuracy of the float model and of the quantized one, in points.
    fn accuracies(&self, recipe: Recipe) -> (f64, f64) {
        let metric = Metric::of(&self.labels);
        let measure = |outputs: Vec<Vec<f32>>| {
            metric.measure(&outputs, &self.labels).expect("there is a label for each sample")
        };
        let file = systole_converter::AlignedBytes::from(&self.quantized(recipe)[..]);
        (
            measure(float_outputs(&self.model, &self.test)),
            measure(outputs(file.as_slice(), &self.test)),
        )
    }
}

/// Asserts that int8 under the default recipe loses no more than 0.5 points.
fn assert_kept(name: &str) {
    let Some(case) = case(name) else { return };
    let (float, int8) = case.accuracies(Recipe::default());
    println!("{name}: float {float:.3}, int8 {int8:.3}");
    assert!(float - int8 <= 0.5, "{name}: {float:.3} became {int8:.3}");
}

macro_rules! kept {
    ($($test:ident $name:literal,)*) => {$(
        #[test]
        fn $test() {
            assert_kept($name);
        }
    )*};
}

kept! {
    kws_keeps_its_accuracy "mlperf_tiny/kws_float",
    car_price_keeps_its_accuracy "trained/car_price",
    digits_cnn_keeps_its_accuracy "trained/digits_cnn",
    dwsep_keeps_its_accuracy "trained/dwsep",
    gestures_cnn_keeps_its_accuracy "trained/gestures_cnn",
    gestures_tcn_keeps_its_accuracy "trained/gestures_tcn",
    a_residual_network_keeps_its_accuracy "trained/resnet_nchw_bn.onnx",
    an_inverted_residual_network_keeps_its_accuracy "trained/mobilenet_nchw.onnx",
    a_transformer_keeps_its_accuracy "trained/text_transformer.onnx",
    a_recommender_keeps_its_accuracy "trained/recommender.onnx",
    channels_of_different_size_keep_their_accuracy "trained/dwsep_imbalanced",
    unscaled_inputs_keep_their_accuracy "trained/car_price_raw",
}

#[test]
fn without_equalization_channels_of_different_size_are_lost() {
    let Some(case) = case("trained/dwsep_imbalanced") else { return };
    let plain = Recipe { equalize: false, per_channel: false, ..Recipe::default() };
    let (float, int8) = case.accuracies(plain);
    println!("dwsep_imbalanced, per tensor, not equalized: float {float:.3}, int8 {int8:.3}");
    assert!(float - int8 > 10.0, "{float:.3} became {int8:.3}");
}

/// The autoencoder tells anomalies by the error of its reconstruction, which stays near.
#[test]
fn a_reconstruction_stays_near_the_float_models() {
    let Some(case) = case("trained/autoencoder") else { return };
    let float = float_outputs(&case.model, &case.test);
    let file = systole_converter::AlignedBytes::from(&case.quantized(Recipe::default())[..]);
    let sqnr = metric::sqnr(&float, &outputs(file.as_slice(), &case.test));
    assert!(sqnr > 40.0, "{sqnr} dB");
}

/// Plain int8 makes classes equal that are close; the search raises fewer than half of the layers.
#[test]
fn a_bound_on_the_drop_is_met_with_few_layers_raised() {
    let Some(case) = case("trained/gestures_tcn") else { return };
    let options = Options { matching: Match::Native, ..Options::default() };
    let plain = Recipe { precise_output: false, ..Recipe::default() };
    let (float, int8) = case.accuracies(plain.clone());
    assert!(float - int8 > 0.5, "plain int8 keeps {int8:.3} of {float:.3}: nothing to show");
    let (inputs, labels) = (case.test.clone(), Some(case.labels.clone()));
    let bound = Some(Bound { most: 0.5, inputs, labels });
    let samples = Some(case.calibration.clone());
    let job = Job { recipe: plain, samples, bound, ..Job::default() };
    let source = import_file(&case.model, &options).expect("the model is read");
    let quantized = convert_quantized(source, &options, &job, &|| {}).expect("it is quantized");
    let mixed = quantized.converted.report.mixed.expect("layers were searched");
    println!("{mixed}");
    assert!(!mixed.raised.is_empty() && 2 * mixed.raised.len() < mixed.layers, "{mixed}");
    // The file itself, and the recipe that was found, meet the bound.
    let metric = Metric::of(&case.labels);
    let outputs = outputs(quantized.converted.file.as_slice(), &case.test);
    let after = metric.measure(&outputs, &case.labels).expect("labels fit");
    assert!(float - after <= 0.5, "{float:.3} became {after:.3}");
    let again = case.accuracies(quantized.recipe);
    assert_eq!(again, (float, after), "the recipe does not reproduce the result");
}

/// Weights in half a byte take at most 60 % of the file, and cost at most 2 points.
fn assert_packed(name: &str) {
    let Some(case) = case(name) else { return };
    let int8 = Recipe { precise_output: false, ..Recipe::default() };
    let int4 = Recipe { weights: WeightType::Int4, effort: Effort::High, ..int8.clone() };
    let sizes = [&int8, &int4].map(|recipe| case.quantized(recipe.clone()).len());
    let (float, accuracy) = case.accuracies(int4);
    println!("{name}: {} bytes became {}, {float:.3} {accuracy:.3}", sizes[0], sizes[1]);
    assert!(10 * sizes[1] <= 6 * sizes[0], "{} bytes became {}", sizes[0], sizes[1]);
    assert!(float - accuracy <= 2.0, "{float:.3} became {accuracy:.3}");
}

#[test]
fn kws_shrinks_by_int4_weights() {
    assert_packed("mlperf_tiny/kws_float");
}

#[test]
fn a_small_cnn_shrinks_by_int4_weights() {
    assert_packed("trained/digits_cnn");
}

/// What is computed with weights of four bits is what their int8 weights give.
#[test]
fn packed_weights_are_the_int8_weights_that_they_stand_for() {
    let packed = packed_digits();
    let options = Options { matching: Match::Native, ..Options::default() };
    let mut graph = packed.graph.clone();
    let layers = graph.tensors.iter_mut().filter_map(|tensor| tensor.packing.take()).count();
    assert!(layers >= 2, "{layers} layers are packed");
    let plain = compile(&graph, &options).expect("it compiles").written.bytes;
    assert!(packed.file.as_slice().len() < plain.len());
    let samples = repository().join("models/digits_float.inputs.npz");
    let samples = npz::read(&samples).expect("inputs are bundled");
    let plain = systole_converter::AlignedBytes::from(&plain[..]);
    let answers = outputs(plain.as_slice(), &samples);
    assert_eq!(outputs(packed.file.as_slice(), &samples), answers);
    // In tiles they are the bytes that the int8 weights are.
    for activations in [Activations::Signed, Activations::Unsigned] {
        let tiles = |file| pack_for(activations, file).unwrap().unwrap();
        let (four, eight) = (tiles(packed.file.as_slice()), tiles(plain.as_slice()));
        assert_eq!(outputs(four.as_slice(), &samples), answers, "{activations:?}");
        assert_eq!(outputs(eight.as_slice(), &samples), answers, "{activations:?}");
        assert!(pack_for(activations, four.as_slice()).unwrap().is_none());
    }
}

/// Weights of float16 are exact to 11 bits, and take half the space.
#[test]
fn float16_weights_halve_the_file_and_keep_the_answers() {
    let f16 = quantized_digits(Recipe { quantize: Scheme::F16, ..Recipe::default() });
    let float = quantized_digits(Recipe { quantize: Scheme::None, ..Recipe::default() });
    assert!(f16.report.weight_bytes * 100 < float.report.weight_bytes * 55);
    let samples = repository().join("models/digits_float.inputs.npz");
    let samples = npz::read(&samples).expect("inputs are bundled");
    let [float, f16] = [float, f16].map(|model| {
        let answers = outputs(model.file.as_slice(), &samples);
        // In tiles weights are the same numbers, and are packed once. There products may be fused.
        let packed = pack_for(Activations::Signed, model.file.as_slice()).unwrap().unwrap();
        let in_tiles = outputs(packed.as_slice(), &samples);
        if systole_kernels::arch::kernels().level.fuses() {
            assert!(metric::sqnr(&answers, &in_tiles) > 100.0);
        } else {
            assert_eq!(in_tiles, answers);
        }
        assert!(pack_for(Activations::Signed, packed.as_slice()).unwrap().is_none());
        answers
    });
    assert!(metric::sqnr(&float, &f16) > 50.0);
}

/// Calibrations of parts of the samples, saved and merged, give the file that all samples at once
/// give; and a second run gives the same bytes.
#[test]
fn merged_calibrations_equal_one() {
    let Some(case) = case("mlperf_tiny/kws_float") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Options { matching: Match::Native, ..Options::default() };
    let convert = |job: &Job| {
        let source = import_file(&case.model, &options).expect("the model is read");
        let converted = convert_quantized(source, &options, job, &|| {});
        converted.expect("the model is quantized").converted.file.as_slice().to_vec()
    };
    let part = |range: std::ops::Range<usize>| -> Vec<Array> {
        let samples: Vec<usize> = range.collect();
        case.calibration.iter().map(|array| array.select(&samples)).collect()
    };
    let mut states = Vec::new();
    for (name, range) in [("c", 61..100), ("a", 0..7), ("b", 7..61)] {
        let path = folder.path().join(name).with_extension("json");
        let job = Job { samples: Some(part(range)), save: Some(path.clone()), ..Job::default() };
        convert(&job);
        states.push(path);
    }
    let whole = Job { samples: Some(case.calibration.clone()), ..Job::default() };
    let once = convert(&whole);
    assert!(once == convert(&Job { states, ..Job::default() }), "merged states differ");
    assert!(once == convert(&whole), "a second run differs");
}

/// The samples of the bundled digits.
fn digits() -> Vec<Array> {
    let path = repository().join("models/digits_float.inputs.npz");
    npz::read(&path).expect("inputs are bundled")
}

/// Layers that recipes name are computed in what they say, with conversions around them, and that
/// makes outputs no worse.
#[test]
fn layers_are_computed_as_the_recipe_says() {
    let plain = Recipe { precise_output: false, ..Recipe::default() };
    let float = quantized_digits(Recipe { quantize: Scheme::None, ..Recipe::default() });
    let noise = |model: &Converted| {
        let [float, model] = [&float, model].map(|model| outputs(model.file.as_slice(), &digits()));
        metric::sqnr(&float, &model)
    };
    let int8 = quantized_digits(plain.clone());
    let layer = int8.graph.nodes.iter().find(|node| matches!(node.op, Op::FullyConnected(_)));
    let name = int8.graph[layer.expect("there is one").outputs[0]].name.clone();
    for (precision, dtype) in [(Precision::Int16, DType::I16), (Precision::Float, DType::F32)] {
        let layers = vec![LayerRule { name: name.clone(), precision }];
        let raised = quantized_digits(Recipe { layers, ..plain.clone() });
        let writes = |node: &&systole_converter::graph::Node| {
            matches!(node.op, Op::FullyConnected(_)) && raised.graph[node.outputs[0]].name == name
        };
        let layer = raised.graph.nodes.iter().find(writes).expect("the layer is still there");
        assert_eq!(raised.graph[layer.outputs[0]].dtype, dtype);
        assert!(raised.graph.nodes.len() > int8.graph.nodes.len(), "nothing is converted");
        assert!(noise(&raised) > noise(&int8) - 1.0, "{} {}", noise(&raised), noise(&int8));
    }
    let int16 = quantized_digits(Recipe { quantize: Scheme::Int16, ..plain });
    assert!(noise(&int16) > noise(&int8) + 6.0, "{} {}", noise(&int16), noise(&int8));
}

/// Whatever type inputs and outputs have, the network in between is the same.
#[test]
fn ports_are_of_the_type_that_the_recipe_says() {
    let plain = Recipe { precise_output: false, ..Recipe::default() };
    let float_ports = quantized_digits(plain.clone());
    let expected = outputs(float_ports.file.as_slice(), &digits());
    for (port, dtype) in [(PortType::Int8, DType::I8), (PortType::Uint8, DType::U8)] {
        let recipe = Recipe { input_type: port, output_type: port, ..plain.clone() };
        let converted = quantized_digits(recipe);
        let model = Model::from_bytes(converted.file.as_slice()).expect("a valid model");
        let types = model.inputs().chain(model.outputs()).map(|info| info.dtype());
        assert!(types.into_iter().all(|found| found == dtype));
        let names: Vec<_> = model.inputs().map(|info| info.name().map(str::to_owned)).collect();
        assert!(names.iter().all(Option::is_some), "{names:?}");
        assert_eq!(outputs(converted.file.as_slice(), &digits()), expected, "{dtype}");
    }
}

/// The number of cores does not show in the file, whatever the effort.
#[test]
fn the_number_of_threads_leaves_no_trace() {
    let file = |threads: usize, effort: Effort| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let recipe = Recipe { effort, weights: WeightType::Int4, ..Recipe::default() };
        let convert = || quantized_digits(recipe).file.as_slice().to_vec();
        pool.expect("threads can be started").install(convert)
    };
    for effort in [Effort::Normal, Effort::High] {
        assert!(file(1, effort) == file(3, effort), "{effort:?}");
    }
}

/// Every layer can be looked at in float and quantized, for one sample.
#[test]
fn layers_are_seen_in_float_and_quantized() {
    let options = Options { matching: Match::Native, ..Options::default() };
    let path = repository().join("models/digits_float.tflite");
    let mut graph = import_file(&path, &options).expect("the model is bundled").graph;
    passes::run(&mut graph).expect("passes run");
    prepare(&mut graph).expect("the model is float");
    let samples = digits();
    let calibration = calibrate(&graph, &samples, &|| {}).expect("samples fit");
    let model = quantize(&graph, &calibration, None, &Recipe::default()).expect("it is quantized");
    let beside = Beside::new(&model, Match::Native).expect("both compile");
    let layers = beside.values(&samples, 0).expect("both run");
    assert_eq!(layers.len(), model.float.nodes.len());
    for (name, noise) in beside.noise(&samples, 0..4).expect("both run") {
        assert!(noise.sqnr() > 20.0, "{name}: {} dB", noise.sqnr());
    }
}
