//! The import of ONNX models: shapes that are left open, layouts, and models that are wrong.

use std::{collections::BTreeMap, fs};

use prost::Message;
use systole_converter::{
    Class, Error, Options, convert_file,
    graph::Graph,
    onnx::{self, Dimensions},
    ops::Op,
};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_shape_proto::{Dimension, dimension::Value as Dim},
    type_proto,
};

const FLOAT: i32 = 1;

/// An input, of dimensions that are numbers or names.
fn input(name: &str, dims: &[&str]) -> ValueInfoProto {
    let dim = dims.iter().map(|dim| {
        let value = match dim.parse() {
            Ok(size) => Dim::DimValue(size),
            Err(_) => Dim::DimParam((*dim).to_owned()),
        };
        Dimension { value: Some(value), ..Default::default() }
    });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor = type_proto::Tensor { elem_type: FLOAT, shape };
    let value = Some(type_proto::Value::TensorType(tensor));
    let r#type = Some(TypeProto { value, ..Default::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..Default::default() }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeProto {
        op_type: op.to_owned(),
        input: owned(inputs),
        output: owned(outputs),
        ..Default::default()
    }
}

fn weights(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let (dims, float_data) = (dims.to_vec(), values.to_vec());
    let name = name.to_owned();
    TensorProto { name, dims, data_type: FLOAT, float_data, ..Default::default() }
}

/// A model with one output, `y`.
fn model(
    inputs: Vec<ValueInfoProto>,
    nodes: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
) -> ModelProto {
    let graph = GraphProto {
        input: inputs,
        node: nodes,
        initializer,
        output: vec![ValueInfoProto { name: "y".to_owned(), ..Default::default() }],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
    ModelProto { graph: Some(graph), opset_import: vec![opset], ..Default::default() }
}

fn import(model: &ModelProto, options: &Options) -> Result<Graph, Error> {
    onnx::import(&model.encode_to_vec(), None, options)
}

/// What is said of a model, which must be refused.
fn refusal(model: &ModelProto) -> Error {
    import(model, &Options::default()).expect_err("the model must be refused")
}

#[test]
fn an_open_batch_is_one_or_what_is_asked_for() {
    let relu =
        || model(vec![input("x", &["batch", "3"])], vec![node("Relu", &["x"], &["y"])], vec![]);
    let shape = |options: &Options| {
        let graph = import(&relu(), options).expect("the model is good");
        graph[graph.outputs[0]].shape.clone()
    };
    assert_eq!(shape(&Options::default()), [1, 3]);
    let dimensions = Dimensions { batch: 4, ..Dimensions::default() };
    assert_eq!(shape(&Options { dimensions, ..Options::default() }), [4, 3]);
    let named = BTreeMap::from([("batch".to_owned(), 2)]);
    let dimensions = Dimensions { batch: 1, named };
    assert_eq!(shape(&Options { dimensions, ..Options::default() }), [2, 3]);
}

#[test]
fn another_open_dimension_is_named_and_can_be_set() {
    let model =
        model(vec![input("x", &["1", "sequence"])], vec![node("Relu", &["x"], &["y"])], vec![]);
    let problem = refusal(&model).to_string();
    assert!(problem.contains("input 'x'") && problem.contains("--dim sequence=SIZE"), "{problem}");
    let named = BTreeMap::from([("sequence".to_owned(), 7)]);
    let dimensions = Dimensions { batch: 1, named };
    let graph = import(&model, &Options { dimensions, ..Options::default() }).unwrap();
    assert_eq!(graph[graph.outputs[0]].shape, [1, 7]);
}

#[test]
fn nodes_may_be_in_any_order_but_not_in_a_cycle() {
    let two = |a: [&str; 2], b: [&str; 2]| {
        let nodes = vec![node("Relu", &a[..1], &a[1..]), node("Abs", &b[..1], &b[1..])];
        model(vec![input("x", &["1", "3"])], nodes, vec![])
    };
    let graph = import(&two(["z", "y"], ["x", "z"]), &Options::default()).unwrap();
    assert_eq!(graph.nodes.len(), 2);
    let problem = refusal(&two(["z", "y"], ["y", "z"]));
    assert_eq!(problem.class, Class::InvalidGraph);
    assert!(problem.to_string().contains("cycle"), "{problem}");
}

#[test]
fn wrong_models_are_refused_by_the_name_of_what_is_wrong() {
    let x = || vec![input("x", &["1", "3"])];
    let add = |initializer| model(x(), vec![node("Add", &["x", "w"], &["y"])], initializer);
    let mut cases = vec![
        ("reads 'w', which is no input", add(vec![])),
        ("tensor 'w' (float32 [3]) is not a number at element 1", {
            add(vec![weights("w", &[3], &[1.0, f32::NAN, 2.0])])
        }),
        ("takes 12 bytes, but there are 4", add(vec![weights("w", &[3], &[1.0])])),
        ("more than 2 GiB", add(vec![weights("w", &[1 << 40, 3], &[1.0])])),
        ("a dimension is -3", add(vec![weights("w", &[-3], &[1.0])])),
        ("'w' is there twice", {
            add(vec![weights("w", &[1], &[1.0]), weights("w", &[1], &[1.0])])
        }),
        ("'x' is written twice", model(x(), vec![node("Relu", &["x"], &["x"])], vec![])),
        ("operator Magic is not supported", {
            model(x(), vec![node("Magic", &["x"], &["y"])], vec![])
        }),
        ("output 'y': no node writes it", model(x(), vec![node("Relu", &["x"], &["z"])], vec![])),
        ("input 1 is missing", model(x(), vec![node("Add", &["x"], &["y"])], vec![])),
    ];
    let mut external = weights("w", &[3], &[]);
    external.data_location = Some(1);
    external.external_data = vec![StringStringEntryProto {
        key: "location".to_owned(),
        value: "weights.bin".to_owned(),
    }];
    cases.push(("'w' is external data", add(vec![external])));
    let mut old = add(vec![weights("w", &[3], &[1.0; 3])]);
    old.opset_import[0].version = 3;
    cases.push(("operator set 3; 7 to", old));
    let mut pool = node("MaxPool", &["x"], &["y"]);
    pool.attribute = vec![AttributeProto {
        name: "kernel_shape".to_owned(),
        ints: vec![i64::MAX, 1],
        ..Default::default()
    }];
    let image = vec![input("x", &["1", "1", "4", "4"])];
    cases.push(("attribute kernel_shape is", model(image, vec![pool], vec![])));
    for (wanted, model) in cases {
        let problem = refusal(&model).to_string();
        assert!(problem.contains(wanted), "{problem}\nlacks: {wanted}");
    }
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

#[test]
fn missing_external_data_names_the_tensor_and_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let mut external = weights("w", &[3], &[]);
    external.data_location = Some(1);
    external.external_data = vec![StringStringEntryProto {
        key: "location".to_owned(),
        value: "weights.bin".to_owned(),
    }];
    let model = model(
        vec![input("x", &["1", "3"])],
        vec![node("Add", &["x", "w"], &["y"])],
        vec![external],
    );
    fs::write(&path, model.encode_to_vec()).unwrap();
    let problem = convert_file(&path, &Options::default()).unwrap_err().to_string();
    assert!(problem.contains("'w'") && problem.contains("weights.bin"), "{problem}");
    let data: Vec<u8> = [1.0_f32, 2.0, 3.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(folder.path().join("weights.bin"), data).unwrap();
    assert!(convert_file(&path, &Options::default()).is_ok());
}

#[test]
fn convolutional_networks_have_no_transpose_inside() {
    let Some(shared) = systole_tests::shared() else {
        println!("skipped: no folder ../shared with models");
        return;
    };
    let mut seen = 0;
    for entry in fs::read_dir(shared.join("models/trained")).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "onnx") {
            continue;
        }
        // Keras' models have channels last already.
        let transposes = [true, false].map(|channels_last_inputs| {
            let options = Options { channels_last_inputs, ..Options::default() };
            convert_file(&path, &options).ok().and_then(|converted| transposes(&converted.graph))
        });
        if let Some(fewest) = transposes.into_iter().flatten().min() {
            seen += 1;
            assert_eq!(fewest, 0, "{}", path.display());
        }
    }
    assert!(seen >= 5, "{seen} convolutional networks");
}

/// The transposes inside of a network with convolutions: an image that goes out has the layout that
/// it was trained with.
fn transposes(graph: &Graph) -> Option<usize> {
    let convolution = |op: &Op| matches!(op, Op::Conv2d(_) | Op::DepthwiseConv2d(_));
    graph.nodes.iter().find(|node| convolution(&node.op))?;
    let inside = graph.nodes.iter().filter(|node| {
        matches!(node.op, Op::Transpose(_))
            && !node.outputs.iter().any(|output| graph.outputs.contains(output))
    });
    Some(inside.count())
}
