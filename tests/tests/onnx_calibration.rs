//! Quantization of ONNX models with samples and labels that do not fit, or that are odd: a message
//! that names what was found, or a sound model.

use prost::Message;
use systole_converter::{
    Class, Options, Source, metric,
    npz::Array,
    onnx,
    quantize::{Job, Recipe, Scheme, convert_quantized, mixed::Bound},
};
use systole_core::{AlignedBytes, Element, Model};
use systole_tests::{
    build::{input, model, node, weights},
    checked::checked,
};
use tract_onnx::pb::ModelProto;
use zerocopy::IntoBytes;

/// A convolution of two channels, ReLU, a mean, and a product: `[1, 2, 4, 6]` to `[1, 3]`. `kernel` are
/// the weights of the convolution.
fn network(kernel: [f32; 4]) -> ModelProto {
    let product: Vec<f32> = (0..6).map(|i| (i as f32 * 0.7).sin()).collect();
    let nodes = vec![
        node("Conv", &["image", "kernel"], &["features"]),
        node("Relu", &["features"], &["positive"]),
        node("GlobalAveragePool", &["positive"], &["means"]),
        node("Flatten", &["means"], &["flat"]),
        node("Gemm", &["flat", "product"], &["y"]),
    ];
    let constants =
        vec![weights("kernel", &[2, 2, 1, 1], &kernel), weights("product", &[2, 3], &product)];
    model(vec![input("image", &["n", "2", "4", "6"])], nodes, constants)
}

const KERNEL: [f32; 4] = [0.5, -0.25, 1.5, 0.75];

fn array<T: Element>(name: &str, shape: &[usize], value: impl Fn(usize) -> T) -> Array {
    let values: Vec<T> = (0..shape.iter().product()).map(value).collect();
    let (name, shape) = (name.to_owned(), shape.to_vec());
    Array { name, dtype: T::DTYPE, shape, bytes: values.as_bytes().to_vec() }
}

/// Samples for [`network`].
fn wave(samples: usize) -> Array {
    array("image", &[samples, 2, 4, 6], |i| (i as f32 * 0.37).sin())
}

/// Quantizes; the message where that is refused.
fn quantized(model: &ModelProto, job: Job) -> Result<Vec<u8>, (Class, String)> {
    let bytes = model.encode_to_vec();
    let options = Options::default();
    let graph = onnx::import(&bytes, None, &options).expect("the model is good");
    let source = Source { graph, bytes: bytes.len() };
    match convert_quantized(source, &options, &job, &|| {}) {
        Ok(quantized) => Ok(checked(quantized.converted).file.as_slice().to_vec()),
        Err(problem) => Err((problem.class, problem.to_string())),
    }
}

fn calibrated(model: &ModelProto, samples: Vec<Array>) -> Result<Vec<u8>, (Class, String)> {
    quantized(model, Job { samples: Some(samples), ..Job::default() })
}

/// Asserts what is said of samples, which must be refused.
fn says(model: &ModelProto, samples: Vec<Array>, wanted: &str) {
    let (class, message) = calibrated(model, samples).expect_err("they must be refused");
    assert_eq!(message, wanted);
    assert_eq!(class, Class::InvalidData);
}

/// Asserts that a model, quantized with `samples`, gives what it gives in float.
fn sound(model: &ModelProto, samples: Array) {
    let float = Job { recipe: none(), ..Job::default() };
    let [float, quantized] =
        [float, Job { samples: Some(vec![samples.clone()]), ..Job::default() }].map(|job| {
            let file = quantized(model, job).expect("it is quantized");
            let file = AlignedBytes::from(&file[..]);
            let model = Model::from_bytes(file.as_slice()).expect("the file is valid");
            metric::outputs(&model, std::slice::from_ref(&samples)).expect("it runs").concat()
        });
    let largest = float.iter().fold(1e-3_f32, |max, y| max.max(y.abs()));
    for (float, quantized) in float.iter().zip(&quantized) {
        let error = (float - quantized).abs();
        assert!(error <= 0.02 * largest, "{quantized} for {float}, of up to {largest}");
    }
}

fn none() -> Recipe {
    Recipe { quantize: Scheme::None, ..Recipe::default() }
}

#[test]
fn samples_of_another_shape_type_or_number_are_refused() {
    let model = network(KERNEL);
    let place = "calibration data: array 'image' for input 'image': ";
    let one = |array: Array, wanted: &str| says(&model, vec![array], &format!("{place}{wanted}"));
    one(
        array("image", &[3, 2, 4, 5], |_| 1.0_f32),
        "samples have shape [2, 4, 5], but the input's is [1, 2, 4, 6]",
    );
    one(
        array("image", &[3, 4, 6, 2], |_| 1.0_f32),
        "samples have shape [4, 6, 2], but the input's is [1, 2, 4, 6]; the axes are in another \
         order (ONNX: --input-layout nhwc takes channels last)",
    );
    one(
        array("image", &[3, 48], |_| 1.0_f32),
        "samples have shape [48], but the input's is [1, 2, 4, 6]",
    );
    one(array("image", &[2, 2, 4, 6], |_| 1_i32), "holds int32, but the input takes float32");
    one(array("image", &[0, 2, 4, 6], |_| 1.0_f32), "holds no sample");
    one(array("image", &[], |_| 1.0_f32), "a single number; the first axis must count samples");
    says(
        &model,
        vec![],
        "calibration data: the arrays are [], but the model's inputs are [\"image\"]: an array of \
         each input's name is needed",
    );
}

#[test]
fn arrays_belong_to_inputs_by_name_where_there_are_several() {
    let inputs = vec![input("user", &["1", "3"]), input("item", &["1", "3"])];
    let constant = vec![weights("w", &[3, 2], &[1.0, -2.0, 3.0, 0.5, 5.0, -1.0])];
    let nodes = vec![node("Sub", &["user", "item"], &["d"]), node("MatMul", &["d", "w"], &["y"])];
    let model = model(inputs, nodes, constant);
    let samples = |names: [&str; 2], counts: [usize; 2]| {
        let of = |i: usize| array(names[i], &[counts[i], 3], |at| (at + i) as f32 * 0.25 - 1.0);
        vec![of(0), of(1)]
    };
    says(
        &model,
        samples(["users", "items"], [4, 4]),
        "calibration data: the arrays are [\"users\", \"items\"], but the model's inputs are \
         [\"user\", \"item\"]: an array of each input's name is needed",
    );
    says(
        &model,
        samples(["user", "item"], [4, 3]),
        "calibration data: array 'item' has 3 samples, 'user' has 4",
    );
    let named = calibrated(&model, samples(["user", "item"], [4, 4])).expect("names fit");
    // In another order, and only numbered.
    let mut turned = samples(["user", "item"], [4, 4]);
    turned.reverse();
    assert!(calibrated(&model, turned).expect("names fit") == named);
    assert!(calibrated(&model, samples(["arr_0", "arr_1"], [4, 4])).expect("by number") == named);
}

#[test]
fn values_that_are_not_finite_name_the_tensor_of_the_model() {
    for (odd, count) in [
        (f32::NAN, "becomes NaN 1 times and infinite 0 times"),
        (f32::INFINITY, "becomes NaN 0 times and infinite 1 times"),
    ] {
        let samples = array("image", &[2, 2, 4, 6], |i| if i == 50 { odd } else { 0.5 });
        let (_, message) = calibrated(&network(KERNEL), vec![samples]).expect_err("not finite");
        assert!(message.contains("tensor 'image'") && message.contains(count), "{message}");
    }
    // Finite samples, but a sum inside overflows.
    let samples = array("image", &[2, 2, 4, 6], |_| 3e38_f32);
    let (_, message) = calibrated(&network(KERNEL), vec![samples]).expect_err("not finite");
    assert!(message.contains("tensor 'positive'") && message.contains("infinite"), "{message}");
    // Inside of an operator that becomes several, the name is the node's output with a number.
    let scale = || vec![weights("s", &[6], &[1.0; 6])];
    let norm = node("LayerNormalization", &["image", "s"], &["y"]);
    let model = model(vec![input("image", &["1", "2", "4", "6"])], vec![norm], scale());
    let samples = array("image", &[2, 2, 4, 6], |i| if i % 2 == 0 { 1e30_f32 } else { -1e30 });
    let (_, message) = calibrated(&model, vec![samples]).expect_err("not finite");
    assert!(message.contains("tensor 'y#") && message.contains("infinite"), "{message}");
}

#[test]
fn constant_channels_zero_weights_and_single_samples_give_sound_models() {
    let model = network(KERNEL);
    sound(&model, wave(1));
    sound(&model, wave(20));
    // A channel that is always zero, one that is constant, and nothing but zeros.
    sound(&model, array("image", &[4, 2, 4, 6], |i| if i / 24 % 2 == 0 { 0.0_f32 } else { 0.7 }));
    sound(&model, array("image", &[4, 2, 4, 6], |_| 3.0_f32));
    sound(&model, array("image", &[4, 2, 4, 6], |_| 0.0_f32));
    sound(&model, array("image", &[4, 2, 4, 6], |_| 1e-30_f32));
    // No weight at all, and none of a channel.
    sound(&network([0.0; 4]), wave(4));
    sound(&network([0.0, 0.0, 1.0, -2.0]), wave(4));
    sound(&network([1e-38, 0.0, 1.0, -2.0]), wave(4));
}

#[test]
fn masks_of_infinity_in_front_of_a_softmax_stay_what_they_are() {
    let mask =
        weights("mask", &[1, 6], &[0.0, f32::NEG_INFINITY, 0.0, 0.0, f32::NEG_INFINITY, 0.0]);
    let nodes = vec![node("Add", &["image", "mask"], &["m"]), node("Softmax", &["m"], &["y"])];
    let model = model(vec![input("image", &["1", "2", "4", "6"])], nodes, vec![mask]);
    sound(&model, wave(4));
}

/// What is said of labels for three classes.
fn bound(labels: Array, samples: usize) -> Result<Vec<u8>, (Class, String)> {
    let bound = Bound { most: 50.0, inputs: vec![wave(samples)], labels: Some(labels) };
    let job = Job { samples: Some(vec![wave(8)]), bound: Some(bound), ..Job::default() };
    quantized(&network(KERNEL), job)
}

#[test]
fn labels_that_are_no_class_of_the_model_are_refused() {
    let refused = |labels: Array, wanted: &str| {
        let (class, message) = bound(labels, 4).expect_err("they must be refused");
        assert_eq!((class, &*message), (Class::InvalidData, wanted));
    };
    refused(
        array("labels", &[4], |i| [0_i64, 1, 3, 2][i]),
        "array 'labels' holds class 3 of sample 2, but the model has classes 0 to 2",
    );
    refused(
        array("labels", &[4], |i| [0_i32, -1, 1, 2][i]),
        "array 'labels' holds class -1 of sample 1, but the model has classes 0 to 2",
    );
    refused(
        array("labels", &[5], |_| 0_i64),
        "array 'labels' has shape [5], but there are 4 samples",
    );
    refused(
        array("labels", &[4, 3], |_| 0_i64),
        "array 'labels' has shape [4, 3]; one class per sample is needed, or floats",
    );
    refused(
        array("labels", &[4], |_| 0.5_f32),
        "array 'labels' holds 4 values, but the model gives 12 for 4 samples",
    );
    refused(
        array("labels", &[4, 3], |_| 0.5_f32),
        "array 'labels' holds 0.5 alone; R² is of values that differ",
    );
    refused(
        array("labels", &[4, 3], |i| if i == 5 { f32::NAN } else { i as f32 }),
        "array 'labels' holds NaN; values must be finite",
    );
    assert!(bound(array("labels", &[4], |i| i as i64 % 3), 4).is_ok());
}
