//! TFLite's interpreter as the crate `tflitec` links it, against the same library through this crate's own
//! layer: another's bindings and other calls must give the same bytes. `.ci/run tflitec` builds and runs it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use systole_tflite::{ElementType, Error, Interpreter, Library, Model, Options, linked};

/// Inputs that each model runs with, one after the other.
const RUNS: usize = 3;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn digits() -> PathBuf {
    repository().join("models/digits_float.tflite")
}

/// The library that is linked, loaded once more by its name: the dynamic loader gives the same copy.
fn loaded() -> Library {
    let library = Library::load(Some(Path::new("libtensorflowlite_c.so"))).expect("it is linked");
    assert_eq!(library.version(), linked::version());
    library
}

#[test]
fn misuse_is_told() {
    for bytes in [&b""[..], b"TFL3", &[0xFF; 4096]] {
        assert!(matches!(linked::Model::from_bytes(bytes), Err(Error::Model { .. })));
    }
    let bytes = fs::read(digits()).expect("the model is bundled");
    let model = linked::Model::from_bytes(&bytes).expect("a model");
    let mut interpreter = linked::Interpreter::new(&model, 1).expect("it runs");
    assert_eq!((interpreter.input_count(), interpreter.output_count()), (1, 1));
    let error = interpreter.set_input(1, &[]);
    assert_eq!(error, Err(Error::Index { what: "input", index: 1, count: 1 }));
    let error = interpreter.set_input(0, &[0; 3]);
    assert!(matches!(error, Err(Error::Length { found: 3, wanted: 256, .. })), "{error:?}");
    assert_eq!(interpreter.output(7), Err(Error::Index { what: "output", index: 7, count: 1 }));
}

#[test]
fn bundled_model_equals_own_layer() {
    assert_eq!(compare(&digits()), Ok(RUNS));
}

#[test]
fn real_models_equal_own_layer() {
    let shared = env::var_os("SYSTOLE_SHARED").map(PathBuf::from);
    let models = shared.unwrap_or_else(|| repository().join("../shared")).join("models");
    if !models.is_dir() {
        println!("SKIPPED: real models, because there is no folder ../shared");
        println!("         (SYSTOLE_SHARED names another place)");
        return;
    }
    let mut ran = 0;
    for folder in ["mlperf_tiny", "vision", "sequence", "hello"] {
        for file in fs::read_dir(models.join(folder)).expect("the folder is there").flatten() {
            let path = file.path();
            if path.extension().is_none_or(|extension| extension != "tflite") {
                continue;
            }
            let runs = compare(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            match runs {
                0 => println!("{}: neither runs it", path.display()),
                _ => println!("{}: {runs} runs are equal", path.display()),
            }
            ran += usize::from(runs > 0);
        }
    }
    assert!(ran > 20, "only {ran} models ran");
}

/// Runs a model in both, with numbers that follow from a seed, and compares all outputs; how often, 0
/// where neither can run it.
fn compare(path: &Path) -> Result<usize, String> {
    let said = |error: Error| error.to_string();
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let own = Model::from_bytes(&loaded(), &bytes[..]).map_err(said)?;
    let model = linked::Model::from_bytes(&bytes).map_err(said)?;
    let own = Interpreter::new(&own, Options::default());
    let (mut own, mut linked) = match (own, linked::Interpreter::new(&model, 1)) {
        (Ok(own), Ok(linked)) => (own, linked),
        (Err(_), Err(_)) => return Ok(0),
        (own, linked) => {
            return Err(format!("one alone refuses it: {:?} {:?}", own.err(), linked.err()));
        }
    };
    let counts = (own.input_count(), own.output_count());
    assert_eq!((linked.input_count(), linked.output_count()), counts);
    let mut seed = 1u32;
    for run in 0..RUNS {
        for index in 0..counts.0 {
            let mut input = own.input_mut(index).map_err(said)?;
            let name = input.as_tensor().name();
            let float = input.as_tensor().element_type() == ElementType::F32;
            let bytes = input.bytes_mut().map_err(said)?;
            fill(bytes, float, &mut seed);
            linked.set_input(index, bytes).map_err(said)?;
            assert_eq!(linked.input_name(index), Ok(name));
        }
        own.invoke().map_err(said)?;
        linked.invoke().map_err(said)?;
        for index in 0..counts.1 {
            let output = own.output(index).map_err(said)?;
            if output.bytes().map_err(said)? != linked.output(index).map_err(said)? {
                return Err(format!("run {run}: output '{}' differs", output.name()));
            }
        }
    }
    Ok(RUNS)
}

/// Bytes of any value, or floats from 0 to 1.
fn fill(bytes: &mut [u8], float: bool, seed: &mut u32) {
    let mut next = || {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *seed >> 8
    };
    match float {
        true => {
            for four in bytes.as_chunks_mut::<4>().0 {
                *four = (next() as f32 / (1 << 24) as f32).to_ne_bytes();
            }
        }
        false => bytes.fill_with(|| next() as u8),
    }
}
