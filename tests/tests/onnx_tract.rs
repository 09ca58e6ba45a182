//! Real float ONNX models: tract's own run of each file gives what this runtime gives for the same
//! samples. Of the models that convert, tract runs every one.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use libtest_mimic::{Arguments, Failed, Trial};
use systole_converter::{
    Options,
    npz::{self, Array},
    run::run,
};
use systole_core::{DType, Model};
use systole_tests::checked::convert_file;
use systole_tests::{close, shared};
use tract_onnx::{prelude::*, tract_hir::tract_core::internal::TractErrorContext as _};
use zerocopy::FromBytes;

/// Samples per model: tract is compiled without optimization in tests.
const SAMPLES: usize = 2;

fn main() {
    let arguments = Arguments::from_args();
    let Some(shared) = shared() else {
        println!("SKIPPED: no folder ../shared with trained models");
        return;
    };
    let folders = ["trained", "mlperf_tiny"].map(|folder| shared.join("models").join(folder));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("it can be listed"));
    let mut models: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .collect();
    models.sort();
    let trials: Vec<Trial> = models.into_iter().filter_map(trial).collect();
    assert!(trials.len() >= 20, "only {} models convert", trials.len());
    libtest_mimic::run(&arguments, trials).exit();
}

/// The test of a model; `None` where it is refused, which `onnx_models.rs` knows of.
fn trial(path: PathBuf) -> Option<Trial> {
    let converted = convert_file(&path, &Options::default()).ok()?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Some(Trial::test(name, move || check(&path, converted.file.as_slice()).map_err(Failed::from)))
}

fn check(path: &Path, file: &[u8]) -> Result<(), String> {
    let text = |problem: &dyn std::fmt::Display| problem.to_string();
    let model = Model::from_bytes(file).map_err(|e| text(&e))?;
    let samples: Vec<usize> = (0..SAMPLES).collect();
    let inputs = npz::read(&path.with_extension("inputs.npz")).map_err(|e| text(&e))?;
    let inputs: Vec<Array> = inputs.iter().map(|array| array.select(&samples)).collect();
    let ours = run(&model, &inputs, || ()).map_err(|e| text(&e))?;
    let shapes: Vec<Vec<usize>> = model
        .inputs()
        .map(|info| info.shape().dims().iter().map(|&dim| dim as usize).collect())
        .collect();
    let theirs = catch_unwind(AssertUnwindSafe(|| by_tract(path, &inputs, &shapes)))
        .map_err(|_| "tract panicked".to_owned())?
        .map_err(|problem| format!("tract: {problem:#}"))?;
    for (sample, theirs) in theirs.iter().enumerate() {
        if theirs.len() != ours.len() {
            return Err(format!("{} outputs; tract has {}", ours.len(), theirs.len()));
        }
        for (index, (array, want)) in ours.iter().zip(theirs).enumerate() {
            let got = array.sample(sample).unwrap_or_default();
            let same = match array.dtype {
                DType::F32 => close(got, want.as_bytes()),
                _ if got == want.as_bytes() => Ok(()),
                other => Err(format!("{other} elements differ")),
            };
            same.map_err(|problem| format!("sample {sample}, output {index}: {problem}"))?;
        }
    }
    Ok(())
}

/// The outputs of each sample.
fn by_tract(
    path: &Path,
    inputs: &[Array],
    shapes: &[Vec<usize>],
) -> TractResult<Vec<TVec<TValue>>> {
    // Shapes that a file states of values inside may leave the batch open, which is set here.
    let mut model = onnx().with_ignore_value_info(true).model_for_path(path)?;
    for (index, (array, shape)) in inputs.iter().zip(shapes).enumerate() {
        let dtype = match array.dtype {
            DType::F32 => f32::datum_type(),
            DType::I32 => i32::datum_type(),
            DType::I64 => i64::datum_type(),
            other => return Err(TractError::msg(format!("no inputs of {other} in this test"))),
        };
        model.set_input_fact(index, InferenceFact::dt_shape(dtype, shape))?;
    }
    let model = model.into_optimized()?.into_runnable()?;
    let sample = |sample: usize| {
        let tensors = inputs.iter().zip(shapes).map(|(array, shape)| {
            let bytes = array.sample(sample).context("too few samples")?;
            let tensor = match array.dtype {
                DType::F32 => Tensor::from_shape(shape, &elements::<f32>(bytes)),
                DType::I32 => Tensor::from_shape(shape, &elements::<i32>(bytes)),
                _ => Tensor::from_shape(shape, &elements::<i64>(bytes)),
            };
            Ok(tensor?.into_tvalue())
        });
        model.run(tensors.collect::<TractResult<_>>()?)
    };
    (0..SAMPLES).map(sample).collect()
}

fn elements<T: FromBytes>(bytes: &[u8]) -> Vec<T> {
    let chunks = bytes.chunks_exact(size_of::<T>());
    chunks.map(|bytes| T::read_from_bytes(bytes).expect("exact chunks")).collect()
}
