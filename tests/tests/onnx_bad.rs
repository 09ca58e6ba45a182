//! ONNX models that are wrong: each is refused, and the message names the node or tensor, what was
//! found and what would be accepted.

use std::{fs, path::Path};

use prost::Message;
use systole_converter::{Class, Options, onnx};
use systole_tests::checked::convert_file;
use systole_tests::{
    build::{external, input, int, integers, ints, model, node, text, weights, with},
    hostile,
};
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto};

/// What is said of a model, which must be refused as `class`.
fn refusal(model: &ModelProto, class: Class) -> String {
    let result = onnx::import(&model.encode_to_vec(), None, &Options::default());
    let problem = result.expect_err("the model must be refused");
    assert_eq!(problem.class, class, "{problem}");
    problem.to_string()
}

/// A model over `[1, 3]` of one node.
fn one(node: NodeProto, initializer: Vec<TensorProto>) -> ModelProto {
    model(vec![input("x", &["1", "3"])], vec![node], initializer)
}

/// A model over an image `[1, 2, 4, 4]` of one node.
fn image(node: NodeProto, initializer: Vec<TensorProto>) -> ModelProto {
    model(vec![input("x", &["1", "2", "4", "4"])], vec![node], initializer)
}

fn add(w: TensorProto) -> ModelProto {
    one(node("Add", &["x", "w"], &["y"]), vec![w])
}

/// Asserts what is said of each model.
fn says(class: Class, cases: Vec<(&str, ModelProto)>) {
    for (wanted, model) in cases {
        assert_eq!(refusal(&model, class), wanted);
    }
}

#[test]
fn graphs_that_make_no_sense_are_refused() {
    let relu = |from, to| node("Relu", &[from], &[to]);
    let three = vec![relu("b", "a"), relu("a", "b"), relu("x", "y")];
    let x = || vec![input("x", &["1", "3"])];
    let twice = vec![weights("w", &[1], &[1.0]), weights("w", &[1], &[1.0])];
    let named = NodeProto { name: "first".into(), ..relu("y", "y") };
    says(
        Class::InvalidGraph,
        vec![
            ("node 0 (Relu) reads what follows from it: a cycle", model(x(), three, vec![])),
            ("node 0 'first' (Relu) reads what follows from it: a cycle", one(named, vec![])),
            (
                "node 0 (Add) reads 'w', which is no input, no initializer and no node's output",
                one(node("Add", &["x", "w"], &["y"]), vec![]),
            ),
            ("'x' is written twice; names must be of one value", one(relu("x", "x"), vec![])),
            (
                "'y' is written twice; names must be of one value",
                model(x(), vec![relu("x", "y"), relu("x", "y")], vec![]),
            ),
            ("initializer 'w' is there twice", one(node("Add", &["x", "w"], &["y"]), twice)),
            ("output 'y': no node writes it", one(relu("x", "z"), vec![])),
            ("node 0 (Add): input 1 is missing", one(node("Add", &["x"], &["y"]), vec![])),
            (
                "node 0 (Split): num_outputs is 1152921504606846976, but there are 1 outputs",
                one(with(node("Split", &["x"], &["y"]), vec![int("num_outputs", 1 << 60)]), vec![]),
            ),
        ],
    );
}

#[test]
fn operators_that_are_not_known_are_named_with_their_domain() {
    let foreign = NodeProto { domain: "com.nobody".into(), ..node("Relu", &["x"], &["y"]) };
    says(
        Class::UnsupportedOperator,
        vec![
            (
                "node 0 (Magic): operator Magic is not supported",
                one(node("Magic", &["x"], &["y"]), vec![]),
            ),
            (
                "node 0 (Relu): operator Relu is not supported (of domain com.nobody)",
                one(foreign, vec![]),
            ),
        ],
    );
}

#[test]
fn absurd_shapes_are_refused_before_anything_is_allocated() {
    let constant = |value: &str| with(node("ConstantOfShape", &["s"], &[value]), vec![]);
    let of_shape = |dims: &[i64]| {
        let nodes = vec![constant("c"), node("Add", &["x", "c"], &["y"])];
        let shape = integers("s", &[dims.len() as i64], dims);
        model(vec![input("x", &["1", "3"])], nodes, vec![shape])
    };
    let large = "1152921504606846976";
    let resize = |to: i64, attributes: Vec<AttributeProto>| {
        let node = with(node("Resize", &["x", "", "", "sizes"], &["y"]), attributes);
        let sizes = vec![integers("sizes", &[4], &[1, 2, 4, to])];
        let rows = input("x", &["1", "2", "4", "100000"]);
        model(vec![rows], vec![node], sizes)
    };
    let smooth = vec![text("mode", "linear"), int("antialias", 1)];
    let pads = |first: i64| {
        let pads = integers("p", &[4], &[0, first, 0, 0]);
        one(node("Pad", &["x", "p"], &["y"]), vec![pads])
    };
    let mut mask = node("Trilu", &["x"], &["y"]);
    mask.name = "causal".into();
    let wide = vec![input("x", &["20000", "20000"])];
    let pool = with(
        node("MaxPool", &["x"], &["y"]),
        vec![ints("kernel_shape", &[2, 2]), ints("pads", &[i64::MAX; 4])],
    );
    says(
        Class::TooLarge,
        vec![
            (
                "input 'x': shape [1152921504606846976, 3] of float32 takes more than 2 GiB",
                model(vec![input("x", &[large, "3"])], vec![node("Relu", &["x"], &["y"])], vec![]),
            ),
            (
                "initializer 'w': shape [1099511627776, 3] of float32 takes more than 2 GiB",
                add(weights("w", &[1 << 40, 3], &[1.0])),
            ),
            // No element at all, but the product of the others overflows.
            (
                "initializer 'w': shape [1152921504606846976, 1152921504606846976, 1] of float32 \
                 takes more than 2 GiB",
                add(weights("w", &[1 << 60, 1 << 60, 0], &[])),
            ),
            (
                "node 0 (ConstantOfShape): shape [1152921504606846976, 1152921504606846976, 1] of \
                 float32 takes more than 2 GiB",
                of_shape(&[1 << 60, 1 << 60, 0]),
            ),
            (
                "node 0 (ConstantOfShape): 100000000 elements; at most 67108864 are made from a \
                 shape",
                of_shape(&[100_000_000]),
            ),
            (
                "node 0 (Resize): 100000 elements become 1 along an axis, each the sum of 200000; \
                 at most 1024",
                resize(1, smooth),
            ),
            (
                "node 0 'causal' (Trilu): what is computed from constants takes more bytes than an \
                 arena may (--max-arena)",
                model(wide, vec![mask], vec![]),
            ),
            (
                "node 0 (MaxPool): a padding of [9223372036854775807, 9223372036854775807] rows and \
                 [9223372036854775807, 9223372036854775807] columns; at most 65535 is supported",
                image(pool, vec![]),
            ),
        ],
    );
    says(
        Class::InvalidShape,
        vec![
            ("initializer 'w': a dimension is -3; it must not be negative", {
                add(weights("w", &[-3], &[1.0]))
            }),
            ("node 0 (Pad): pads [0, -9223372036854775808, 0, 0] for 2 axes", pads(i64::MIN)),
            (
                "node 0 (Resize): [1, 2, 4, 100000] is resized to 1099511627776 elements along an axis",
                { resize(1 << 40, vec![]) },
            ),
            (
                "node 0 (Squeeze): axis 1 of [1, 3] is not 1",
                one(
                    with(node("Squeeze", &["x", "a"], &["y"]), vec![]),
                    vec![integers("a", &[3], &[0, 0, 1])],
                ),
            ),
            (
                "node 0 (Relu): tensor 'e' (float32 [0]) has no elements",
                one(node("Relu", &["e"], &["y"]), vec![weights("e", &[0], &[])]),
            ),
        ],
    );
}

#[test]
fn attributes_that_are_not_known_or_contradict_the_weights_are_refused() {
    let conv = |kernel: &[i64]| {
        let conv = node("Conv", &["x", "w"], &["y"]);
        let w = weights("w", &[1, 2, 3, 3], &[0.5; 18]);
        image(with(conv, vec![ints("kernel_shape", kernel)]), vec![w])
    };
    let message = "node 0 (Conv): attribute kernel_shape is [3, 5], but that of the weights [3, 3]";
    assert_eq!(refusal(&conv(&[3, 5]), Class::InvalidShape), message);
    let result = onnx::import(&conv(&[3, 3]).encode_to_vec(), None, &Options::default());
    assert!(result.is_ok(), "{result:?}");
    let softmax = with(node("Softmax", &["x"], &["y"]), vec![int("axes", 0), int("axsi", 0)]);
    let message = "node 0 (Softmax): attribute axsi is not known";
    assert_eq!(refusal(&one(softmax, vec![]), Class::UnsupportedFeature), message);
}

/// Factors are only spread over channels where a layer with as many is beside them.
#[test]
fn factors_of_vast_inputs_take_no_time() {
    let names: Vec<String> = (0..=300).map(|i| format!("x{i}")).collect();
    let nodes = names.windows(2).map(|pair| node("Mul", &[&pair[0], "w"], &[&pair[1]]));
    let mut model = model(
        vec![input("x0", &["1", "16777216"])],
        nodes.collect(),
        vec![weights("w", &[1], &[1.5])],
    );
    model.graph.as_mut().expect("a graph").output[0].name = "x300".into();
    let outcome = hostile::convert_onnx_and_run(&model.encode_to_vec());
    assert_eq!(outcome, Ok(hostile::Outcome::Refused));
}

#[test]
fn an_axis_that_is_squeezed_twice_is_squeezed() {
    let squeeze = node("Squeeze", &["x", "a"], &["y"]);
    let model = one(squeeze, vec![integers("a", &[2], &[0, -2])]);
    let graph = onnx::import(&model.encode_to_vec(), None, &Options::default()).unwrap();
    assert_eq!(graph[graph.outputs[0]].shape, [3]);
}

#[test]
fn weights_that_are_no_finite_numbers_are_named() {
    let conv = |w: f32, b: f32| {
        let w = weights("kernel", &[1, 2, 1, 1], &[0.5, w]);
        image(node("Conv", &["x", "kernel", "bias"], &["y"]), vec![w, weights("bias", &[1], &[b])])
    };
    let matrix = |op: &str, value: f32| {
        let w = weights("matrix", &[3, 2], &[1.0, 2.0, 3.0, value, 5.0, 6.0]);
        one(node(op, &["x", "matrix"], &["y"]), vec![w])
    };
    let normalization = |variance: f32| {
        let one = |name| weights(name, &[2], &[1.0, 1.0]);
        let v = weights("v", &[2], &[1.0, variance]);
        let node = node("BatchNormalization", &["x", "s", "b", "m", "v"], &["y"]);
        image(node, vec![one("s"), one("b"), one("m"), v])
    };
    let infinite = "is infinite at element";
    let finite = "weights must be finite";
    let cases = vec![
        (
            format!("node 0 (Conv): tensor 'kernel' (float32 [1, 2, 1, 1]) {infinite} 1; {finite}"),
            conv(f32::INFINITY, 0.0),
        ),
        (
            format!("node 0 (Conv): tensor 'bias' (float32 [1]) {infinite} 0; {finite}"),
            conv(1.0, f32::NEG_INFINITY),
        ),
        (
            format!("node 0 (Gemm): tensor 'matrix' (float32 [3, 2]) {infinite} 3; {finite}"),
            matrix("Gemm", f32::INFINITY),
        ),
        (
            format!("node 0 (MatMul): tensor 'matrix' (float32 [3, 2]) {infinite} 3; {finite}"),
            matrix("MatMul", f32::INFINITY),
        ),
        (
            format!("node 0 (BatchNormalization): tensor 'v' (float32 [2]) {infinite} 1; {finite}"),
            normalization(f32::INFINITY),
        ),
        (
            "initializer 'w': tensor 'w' (float32 [3]) is not a number at element 1".to_owned(),
            add(weights("w", &[3], &[1.0, f32::NAN, 2.0])),
        ),
    ];
    for (wanted, model) in cases {
        assert_eq!(refusal(&model, Class::InvalidQuantization), wanted);
    }
    let slope = AttributeProto { name: "alpha".into(), f: f32::NAN, ..Default::default() };
    says(
        Class::InvalidData,
        vec![
            (
                "node 0 (BatchNormalization): tensor 'v' (float32 [2]), the variance, is -1 of \
                 channel 1; with epsilon it must be above 0",
                normalization(-1.0),
            ),
            (
                "node 0 (LeakyRelu): attribute alpha is not a number",
                one(with(node("LeakyRelu", &["x"], &["y"]), vec![slope]), vec![]),
            ),
        ],
    );
}

#[test]
fn infinity_in_sums_and_bounds_is_what_it_says() {
    let mask = weights("w", &[3], &[0.0, f32::NEG_INFINITY, 0.0]);
    let model = add(mask);
    let graph = onnx::import(&model.encode_to_vec(), None, &Options::default());
    assert!(graph.is_ok(), "{graph:?}");
}

#[test]
fn constants_whose_data_does_not_fit_are_refused() {
    let message = "initializer 'w': tensor 'w' (float32 [3]) takes 12 bytes, but there are 4";
    assert_eq!(refusal(&add(weights("w", &[3], &[1.0])), Class::Corrupt), message);
    let file = [("location", "weights.bin")];
    let message = "initializer 'w': 'w' is external data, which needs a file";
    assert_eq!(refusal(&add(external("w", &[3], &file)), Class::UnsupportedFeature), message);
}

#[test]
fn versions_before_and_after_those_that_are_read_are_refused() {
    for (version, wanted) in [
        (3, "operator set 3; 7 to 25 are supported"),
        (99, "operator set 99; 7 to 25 are supported"),
    ] {
        let mut model = add(weights("w", &[3], &[1.0; 3]));
        model.opset_import[0].version = version;
        assert_eq!(refusal(&model, Class::UnsupportedVersion), wanted);
    }
}

/// What is said of a model whose weights, twelve bytes, are stated to be elsewhere, in a folder with
/// a file of twenty and one outside of it.
fn refused_data(entries: &[(&str, &str)]) -> (Class, String) {
    let outer = tempfile::tempdir().expect("a temporary folder");
    let folder = outer.path().join("model");
    fs::create_dir(&folder).expect("a folder");
    fs::write(outer.path().join("secret"), [0; 20]).expect("written");
    fs::write(folder.join("weights.bin"), [0; 20]).expect("written");
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret", folder.join("link")).expect("a link");
    let path = folder.join("m.onnx");
    fs::write(&path, add(external("w", &[3], entries)).encode_to_vec()).expect("written");
    let problem = convert_file(&path, &Options::default()).expect_err("it must be refused");
    let place = format!("{}: initializer 'w': external data of 'w' ", path.display());
    let text = problem.to_string();
    let said = text.strip_prefix(&place).unwrap_or_else(|| panic!("{text}"));
    (problem.class, said.to_owned())
}

#[test]
fn external_data_outside_of_the_models_folder_is_not_read() {
    let absolute = if cfg!(unix) { "/etc/hostname" } else { "C:\\secret" };
    for location in ["../secret", "sub/../../secret", absolute, "link"] {
        let wanted = format!("is in {location:?}; it must be inside the model's folder");
        let found = refused_data(&[("location", location)]);
        assert_eq!(found, (Class::UnsupportedFeature, wanted));
    }
}

#[test]
fn external_data_that_is_missing_or_does_not_fit_is_refused() {
    let said = |entries: &[(&str, &str)]| {
        let (class, said) = refused_data(entries);
        assert_eq!(class, Class::Corrupt, "{said}");
        said
    };
    assert_eq!(said(&[]), "names no file");
    let missing = said(&[("location", "gone.bin")]);
    assert!(missing.starts_with("cannot be read from \"gone.bin\": "), "{missing}");
    assert_eq!(said(&[("location", ".")]), "cannot be read from \".\": it is no file");
    let file = ("location", "weights.bin");
    let bytes = |stated: &str, there: u32, from: &str| {
        format!(
            "cannot be read from \"weights.bin\": 12 bytes are needed; {stated} are stated, and \
             {there} are there from {from} on"
        )
    };
    assert_eq!(said(&[file, ("length", "8")]), bytes("8", 20, "0"));
    assert_eq!(said(&[file, ("length", "1152921504606846976")]), {
        bytes("1152921504606846976", 20, "0")
    });
    assert_eq!(said(&[file, ("offset", "9")]), bytes("12", 11, "9"));
    let far = u64::MAX.to_string();
    assert_eq!(said(&[file, ("offset", &far)]), bytes("12", 0, &far));
    assert_eq!(said(&[file, ("offset", "-1")]), "states an offset that is no number of bytes");
}

#[test]
fn external_data_inside_of_the_models_folder_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("sub")).expect("a folder");
    let data: Vec<u8> = [9.0_f32, 1.0, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(folder.path().join("sub/weights.bin"), data).expect("written");
    let entries = [("location", "sub/weights.bin"), ("offset", "4")];
    let model = add(external("w", &[3], &entries)).encode_to_vec();
    let graph = onnx::import(&model, Some(folder.path()), &Options::default()).expect("it is good");
    let w = graph.tensors.iter().find(|tensor| tensor.name == "w").expect("a constant");
    assert_eq!(w.values::<f32>().expect("floats"), [1.0, 2.0, 3.0]);
    // Without a folder's name, it is the working one.
    let problem = onnx::import(&model, Some(Path::new("")), &Options::default()).unwrap_err();
    assert!(problem.to_string().contains("sub/weights.bin"), "{problem}");
}

#[test]
fn cut_and_foreign_bytes_are_refused() {
    let whole = model(
        vec![input("x", &["1", "3"])],
        vec![node("Add", &["x", "w"], &["y"])],
        vec![weights("w", &[3], &[1.0, 2.0, 3.0])],
    )
    .encode_to_vec();
    // Behind the graph comes what is not needed: the version of the operators.
    let graph = whole.len() - 4;
    for length in 0..graph {
        // Some beginnings are whole messages: then something of the graph is missing.
        assert!(onnx::import(&whole[..length], None, &Options::default()).is_err(), "{length}");
    }
    assert!(onnx::import(b"TFL3 is something else", None, &Options::default()).is_err());
}
