//! The import of ONNX models: shapes that are left open, the order of nodes, layouts.

use std::{collections::BTreeMap, fs};

use prost::Message;
use systole_converter::{
    Class, Error, Options,
    graph::Graph,
    onnx::{self, Dimensions},
    ops::Op,
};
use systole_tests::build::{input, model, node};
use systole_tests::checked::convert_file;
use tract_onnx::pb::ModelProto;

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
