//! Single operators and small graphs: every case of `tests/operators`, converted under both
//! `--match`es, gives the goldens' bytes, and the same bytes with the kernels of its types alone.
//!
//! Run a part by name: `cargo test -p systole-tests --test operators -- conv_2d`.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use systole_converter::{
    Match, Options,
    npz::{self, Array},
    run,
};
use systole_core::{DType, Model, Opcode, Operators, Row};
use systole_tests::checked::convert_file;
use systole_tests::{compare_within, float_tolerance, repository};

/// Goldens that are not reproduced, with the reason. They are listed as ignored.
const NOT_REPRODUCED: &[(&str, &str)] =
    &[("greater_i16::tflm", "scaled by multipliers that TFLite Micro never computes")];

/// Cases that this version does not convert, and what the error says.
const REFUSED: &[(&str, &str)] = &[
    ("batch_matmul_hybrid_batch::litert", "has to be one matrix"),
    ("fully_connected_i8_weights_given::litert", "must be a constant"),
    ("fully_connected_i8_weights_given::tflm", "must be a constant"),
    ("strided_slice_i8_offset::litert", "offsets from the beginnings"),
];

/// Float goldens that are themselves less exact than the tolerance, and how far off they may be.
const LESS_EXACT: &[(&str, f64)] = &[
    // Eigen's tanh is off by up to three units in the last place, and 1 + tanh cancels.
    ("gelu_f32_approximate::litert", 1e-4),
    // Gates are sums of terms of both signs, in another order; what is rounded comes back in every step.
    ("lstm_f32_cell_clip::litert", 1e-4),
    ("lstm_f32_long::litert", 1e-4),
    ("lstm_f32_long::tflm", 1e-4),
    ("lstm_f32_time_major::litert", 3e-4),
];

/// Every operator for every type of output by itself, so that a case runs with no more kernels than
/// firmware would link for it.
const BY_TYPE: Operators = {
    static ROWS: [[Row; Opcode::ALL.len()]; 9] = [
        rows::<{ DType::I8 as u8 }>(),
        rows::<{ DType::U8 as u8 }>(),
        rows::<{ DType::I16 as u8 }>(),
        rows::<{ DType::I32 as u8 }>(),
        rows::<{ DType::U32 as u8 }>(),
        rows::<{ DType::I64 as u8 }>(),
        rows::<{ DType::Bool as u8 }>(),
        rows::<{ DType::F16 as u8 }>(),
        rows::<{ DType::F32 as u8 }>(),
    ];
    Operators::new(ROWS.as_flattened())
};

const fn rows<const OUTPUT: u8>() -> [Row; Opcode::ALL.len()] {
    let mut rows = [Opcode::ALL[0].row::<OUTPUT>(); Opcode::ALL.len()];
    let mut i = 0;
    while i < rows.len() {
        rows[i] = Opcode::ALL[i].row::<OUTPUT>();
        i += 1;
    }
    rows
}

fn main() {
    let arguments = Arguments::from_args();
    let folder = repository().join("tests/operators");
    let mut models: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    models.retain(|path| path.extension().is_some_and(|extension| extension == "tflite"));
    models.sort();
    assert!(!models.is_empty(), "{} holds no cases", folder.display());
    let trials = models.iter().flat_map(|model| trials(model)).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test per golden that the case has.
fn trials(model: &Path) -> Vec<Trial> {
    let arrays = npz::read(&model.with_extension("npz")).unwrap_or_default();
    [(Match::Litert, "litert."), (Match::Tflm, "tflm.")]
        .into_iter()
        .filter(|(_, prefix)| arrays.iter().any(|array| array.name.starts_with(prefix)))
        .map(|(matching, prefix)| {
            let name = model.file_stem().unwrap_or_default().to_string_lossy();
            let name = format!("{name}::{}", matching.name());
            let (model, arrays) = (model.to_owned(), arrays.clone());
            let tolerance = of_case(LESS_EXACT, &name).unwrap_or_else(float_tolerance);
            let reason = of_case(NOT_REPRODUCED, &name);
            if let Some(says) = of_case(REFUSED, &name) {
                return Trial::test(format!("{name}::refused"), move || {
                    refuses(&model, says).map_err(Failed::from)
                });
            }
            let trial = Trial::test(name, move || {
                check(&model, &arrays, matching, prefix, tolerance).map_err(Failed::from)
            });
            trial.with_ignored_flag(reason.is_some()).with_kind(reason.unwrap_or_default())
        })
        .collect()
}

/// The model is refused, for the reason given.
fn refuses(path: &Path, says: &str) -> Result<(), String> {
    match convert_file(path, &Options::default()) {
        Ok(_) => Err("converts: take it off the list of what is refused".to_owned()),
        Err(error) if error.to_string().contains(says) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// What a list says of the case `name`.
fn of_case<T: Copy>(list: &[(&str, T)], name: &str) -> Option<T> {
    list.iter().find(|(case, _)| *case == name).map(|&(_, entry)| entry)
}

fn check(
    path: &Path,
    arrays: &[Array],
    matching: Match,
    prefix: &str,
    tolerance: f64,
) -> Result<(), String> {
    let options = Options { matching, ..Options::default() };
    let converted = convert_file(path, &options).map_err(|error| error.to_string())?;
    let model = Model::from_bytes(converted.file.as_slice()).map_err(|error| error.to_string())?;
    let inputs = numbered(arrays, "in.");
    let outputs = run::run(&model, &inputs, || {}).map_err(|error| error.to_string())?;
    let by_type = Model::with_operators(converted.file.as_slice(), BY_TYPE);
    let by_type = by_type.map_err(|error| error.to_string())?;
    let again = run::run(&by_type, &inputs, || {}).map_err(|error| error.to_string())?;
    if outputs.iter().zip(&again).any(|(all, by_type)| all.bytes != by_type.bytes) {
        return Err("other bytes with the kernels of its types alone".to_owned());
    }
    let goldens = numbered(arrays, prefix);
    if goldens.len() != outputs.len() {
        return Err(format!("{} outputs, {} goldens", outputs.len(), goldens.len()));
    }
    let mut pairs = outputs.iter().zip(&goldens);
    pairs.try_for_each(|(got, want)| compare_within(got, want, tolerance))
}

/// `in.0`, `in.1`, … in order.
fn numbered(arrays: &[Array], prefix: &str) -> Vec<Array> {
    (0..)
        .map_while(|i| arrays.iter().find(|array| array.name == format!("{prefix}{i}")))
        .cloned()
        .collect()
}
