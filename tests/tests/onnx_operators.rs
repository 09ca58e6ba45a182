//! ONNX's own tests of operators: each case is converted and run, and gives the stored outputs, or is
//! refused for the reason that `onnx_refused.txt` states.

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use systole_converter::{Options, graph::Tensor, npz::Array, onnx, run::run};
use systole_core::{DType, Model};
use systole_tests::checked::convert_file;

#[test]
fn every_case_gives_its_outputs_or_is_refused_for_a_stated_reason() {
    let Some(shared) = systole_tests::shared() else {
        println!("skipped: no folder ../shared with ONNX's tests of operators");
        return;
    };
    let folder = shared.join("models/onnx_ops");
    let refused = refused();
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .expect("the folder can be listed")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join("model.onnx").is_file())
        .collect();
    cases.sort();
    let (mut passed, mut wrong) = (0, Vec::new());
    for case in &cases {
        let name = case.file_name().expect("a folder has a name").to_string_lossy().into_owned();
        let result = catch_unwind(AssertUnwindSafe(|| check(case)))
            .unwrap_or_else(|_| Err("it panicked".to_owned()));
        match (result, refused.get(&*name)) {
            (Ok(()), None) => passed += 1,
            (Ok(()), Some(_)) => wrong.push(format!("{name} passes, but is listed as refused")),
            (Err(problem), Some(reason)) if problem.contains(reason) => {}
            (Err(problem), _) => wrong.push(format!("{name}: {problem}")),
        }
    }
    println!("{passed} of {} cases pass", cases.len());
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// The cases that are refused, and a part of what is said of each.
fn refused() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("onnx_refused.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(": ").expect("a case and a reason")).collect()
}

fn check(case: &Path) -> Result<(), String> {
    let text = |problem: &dyn std::fmt::Display| problem.to_string();
    let file = case.join("model.onnx");
    let data = case.join("test_data_set_0");
    let read = |name: String| -> Result<Tensor, String> {
        let bytes = fs::read(data.join(&name)).map_err(|e| format!("{name}: {e}"))?;
        onnx::tensor(&bytes).map_err(|e| format!("{name}: {e}"))
    };
    // The cases give as inputs what is a constant in models: weights, axes, shapes.
    let converted = convert_file(&file, &Options::default())
        .or_else(|problem| match problem.to_string().contains("must be a constant") {
            true => convert_file(&file, &fixed(1, read)),
            false => Err(problem),
        })
        .or_else(|problem| match problem.to_string().contains("must be a constant") {
            true => convert_file(&file, &fixed(0, read)),
            false => Err(problem),
        })
        .map_err(|e| text(&e))?;
    let model = Model::from_bytes(converted.file.as_slice()).map_err(|e| text(&e))?;
    let mut inputs = Vec::new();
    for index in 0..model.inputs().count() {
        let tensor = read(format!("input_{index}.pb"))?;
        let shape = [&[1], &tensor.shape[..]].concat();
        let bytes = tensor.data.as_deref().unwrap_or_default().to_vec();
        inputs.push(Array { name: String::new(), dtype: tensor.dtype, shape, bytes });
    }
    let outputs = run(&model, &inputs, || ()).map_err(|e| text(&e))?;
    for (index, (got, info)) in outputs.iter().zip(model.outputs()).enumerate() {
        let want = read(format!("output_{index}.pb"))?;
        let shape: Vec<usize> = info.shape().dims().iter().map(|&dim| dim as usize).collect();
        if shape != want.shape {
            return Err(format!("output {index} has shape {shape:?}, not {:?}", want.shape));
        }
        let wanted = want.data.as_deref().unwrap_or_default();
        if want.dtype == DType::F32 {
            systole_tests::close(&got.bytes, wanted).map_err(|e| format!("output {index}: {e}"))?;
        } else if got.bytes != wanted {
            return Err(format!("output {index}: {:?} instead of {wanted:?}", got.bytes));
        }
    }
    Ok(())
}

/// Options by which all inputs from `first` on are constants.
fn fixed(first: usize, read: impl Fn(String) -> Result<Tensor, String>) -> Options {
    let fixed_inputs =
        (first..).map_while(|index| read(format!("input_{index}.pb")).ok()).collect();
    Options { fixed_inputs, ..Options::default() }
}
