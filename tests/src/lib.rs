//! What the conformance tests share: where models are, and how outputs are compared.

pub mod build;
pub mod checked;
pub mod hostile;
pub mod onnx;
pub mod plan_check;
pub mod seeded;
pub mod spi_flash;
pub mod tflite;

pub use systole_networks as networks;

use std::path::{Path, PathBuf};

use systole_converter::{
    Converted, Match, Options, import_file,
    npz::{self, Array},
    quantize::{Job, Recipe, WeightType, convert_quantized},
    run,
};
use systole_core::{AlignedBytes, DType, Model, Session};

/// The folder with the big models and their goldens: `SYSTOLE_SHARED`, or `../shared` beside the
/// repository. `None` where it is not there.
pub fn shared() -> Option<PathBuf> {
    let folder = match std::env::var_os("SYSTOLE_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => repository().join("../shared"),
    };
    folder.join("models").is_dir().then_some(folder)
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is one folder down")
}

/// The bundled float digits model with weights of four bits.
pub fn packed_digits() -> Converted {
    let recipe = Recipe { weights: WeightType::Int4, precise_output: false, ..Recipe::default() };
    quantized_digits(recipe)
}

/// The bundled float digits model, quantized with its own inputs as samples.
pub fn quantized_digits(recipe: Recipe) -> Converted {
    let model = repository().join("models/digits_float.tflite");
    let samples = npz::read(&model.with_extension("inputs.npz")).expect("inputs are bundled");
    let options = Options { matching: Match::Native, ..Options::default() };
    let source = import_file(&model, &options).expect("the model is bundled");
    let job = Job { recipe, samples: Some(samples), ..Job::default() };
    checked::checked(
        convert_quantized(source, &options, &job, &|| {}).expect("it is quantized").converted,
    )
}

/// The first output of a file whose first input holds some numbers, the same for each that has as many.
pub fn output(file: &[u8]) -> Vec<u8> {
    let file = AlignedBytes::from(file);
    let model = Model::from_bytes(file.as_slice()).expect("it loads");
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).expect("the arena is as asked");
    let mut input = session.input(0).expect("it has an input");
    let bytes: Vec<u8> = (0..input.info().bytes()).map(|i| (i * 37 + i / 11) as u8).collect();
    input.copy_stored(&bytes).expect("they are as many");
    session.run().expect("it runs");
    session.output(0).expect("it has an output").stored_bytes().to_vec()
}

/// The first output of all samples, each arena in memory of its own.
pub fn outputs_in_arenas(model: &Model<'_>, inputs: &[Array]) -> Array {
    let mut arenas: Vec<AlignedBytes> = model.arenas().map(AlignedBytes::zeroed).collect();
    let slices: Vec<&mut [u8]> = arenas.iter_mut().map(AlignedBytes::as_mut_slice).collect();
    let mut session = match slices.len() {
        1 => Session::in_arenas::<1>(model, slices.try_into().unwrap()),
        2 => Session::in_arenas::<2>(model, slices.try_into().unwrap()),
        3 => Session::in_arenas::<3>(model, slices.try_into().unwrap()),
        _ => Session::in_arenas::<4>(model, slices.try_into().unwrap()),
    }
    .unwrap();
    let info = model.output(0).unwrap();
    let name = info.name().unwrap_or_default().to_owned();
    let mut output = Array { name, dtype: info.dtype(), shape: vec![], bytes: vec![] };
    for sample in 0..inputs[0].shape[0] {
        session.reset();
        run::load_sample(&mut session, inputs, sample).unwrap();
        session.run().unwrap();
        let tensor = session.output(0).unwrap();
        let flip = tensor.info().sign_flip();
        output.bytes.extend(tensor.stored_bytes().iter().map(|byte| byte ^ flip));
    }
    output
}

/// How far float outputs may be from goldens: relative to the larger of the golden and of its
/// array's largest magnitude times 10⁻³, because sums of terms of both signs lose what cancels. Goldens
/// are of kernels that round products and sums each, so that kernels that fuse them are further off: by
/// 2.3 × 10⁻⁵ where it is most, in `vww_float`.
pub fn float_tolerance() -> f64 {
    if systole_kernels::arch::kernels().level.fuses() { 1e-4 } else { 1e-5 }
}

/// The same for goldens of another runtime than the model is converted for, which sums in another
/// order: LiteRT itself is 1.5 × 10⁻⁵ away from onnxruntime on `trained/autoencoder`.
pub const PEER_TOLERANCE: f64 = 1e-4;

/// Compares outputs with a golden array: integers exactly, floats within [`float_tolerance`].
///
/// # Errors
/// Says how many elements differ, and the first.
pub fn compare(got: &Array, want: &Array) -> Result<(), String> {
    compare_within(got, want, float_tolerance())
}

/// As [`compare`], floats within `tolerance`.
///
/// # Errors
/// As [`compare`].
pub fn compare_within(got: &Array, want: &Array, tolerance: f64) -> Result<(), String> {
    if got.dtype != want.dtype {
        return Err(format!("'{}' is {}, the golden {}", want.name, got.dtype, want.dtype));
    }
    if got.bytes.len() < want.bytes.len() {
        return Err(format!(
            "'{}' has shape {:?}, the golden {:?}",
            want.name, got.shape, want.shape
        ));
    }
    // Some goldens cover only the first samples.
    let got = &got.bytes[..want.bytes.len()];
    let (differ, total, first) = match want.dtype {
        DType::F32 => differing_floats(got, &want.bytes, tolerance),
        _ => differing_bytes(got, &want.bytes, want.dtype.size()),
    };
    match first {
        None => Ok(()),
        Some((index, got, want_value)) => Err(format!(
            "'{}': {differ} of {total} elements differ; element {index} is {got}, the golden \
             {want_value}",
            want.name
        )),
    }
}

/// How far floats may be from those of ONNX's tests and of onnxruntime, whose sums have other orders:
/// relative, and absolute near zero.
const RELATIVE: f64 = 1e-4;
const ABSOLUTE: f64 = 1e-5;

/// Compares the bytes of float32 elements: within 10⁻⁴ of each, or 10⁻⁵ near zero.
///
/// # Errors
/// Names the first that differs.
pub fn close(got: &[u8], want: &[u8]) -> Result<(), String> {
    let values = |bytes: &[u8]| -> Vec<f64> {
        bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect()
    };
    let (got, want) = (values(got), values(want));
    if got.len() != want.len() {
        return Err(format!("{} elements instead of {}", got.len(), want.len()));
    }
    for (index, (&got, &want)) in got.iter().zip(&want).enumerate() {
        let same = got == want || (got.is_nan() && want.is_nan());
        let near = (got - want).abs() <= ABSOLUTE + RELATIVE * want.abs();
        if !same && !near {
            return Err(format!("element {index} is {got} instead of {want}"));
        }
    }
    Ok(())
}

type Difference = (usize, usize, Option<(usize, String, String)>);

fn differing_bytes(got: &[u8], want: &[u8], size: usize) -> Difference {
    let value = |bytes: &[u8]| {
        let mut wide = [if bytes[size - 1] & 0x80 == 0 { 0 } else { 0xFF }; 8];
        wide[..size].copy_from_slice(bytes);
        i64::from_le_bytes(wide).to_string()
    };
    let pairs = || got.chunks_exact(size).zip(want.chunks_exact(size)).enumerate();
    let differ = pairs().filter(|(_, (got, want))| got != want).count();
    let first = pairs().find(|(_, (got, want))| got != want);
    (differ, want.len() / size, first.map(|(index, (got, want))| (index, value(got), value(want))))
}

fn differing_floats(got: &[u8], want: &[u8], tolerance: f64) -> Difference {
    let floats = |bytes: &[u8]| -> Vec<f64> {
        let chunks = bytes.chunks_exact(4);
        chunks.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()).collect()
    };
    let (got, want) = (floats(got), floats(want));
    let magnitude = want.iter().filter(|x| x.is_finite()).fold(0.0, |max: f64, x| max.max(x.abs()));
    let close = |got: f64, want: f64| {
        let scale = want.abs().max(magnitude * 1e-3).max(1e-6);
        got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= scale * tolerance
    };
    let far: Vec<usize> = (0..want.len()).filter(|&i| !close(got[i], want[i])).collect();
    let first = far.first().map(|&i| (i, got[i].to_string(), want[i].to_string()));
    (far.len(), want.len(), first)
}
