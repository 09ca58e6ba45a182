//! Where tests find TFLite's library, and the simulated Edge TPU; goldens held against an interpreter.

use std::path::PathBuf;

use libtest_mimic::Failed;
use systole_converter::npz::Array;
use systole_tflite::{Interpreter, Library, LoadError};

use crate::{PEER_TOLERANCE, compare_within, shared};

/// Samples of each golden that are run.
const SAMPLES: usize = 4;

/// TFLite's library where `.ci/run tflite` puts it, unless the environment names another, which is
/// then found without help.
pub fn installed() -> Option<PathBuf> {
    let library = deps().join("../../tflite/libtensorflowlite_c.so");
    let named = std::env::var_os("TFLITE_LIBRARY_PATH").is_some();
    (library.exists() && !named).then_some(library)
}

/// TFLite's library, and the folder of real models; says of each that is not there which tests are
/// skipped.
pub fn library_and_models() -> (Result<Library, LoadError>, Option<PathBuf>) {
    let library = Library::load(installed().as_deref());
    if let Err(problem) = &library {
        println!("SKIPPED: tests that run TFLite, because {problem}");
        println!("         (`.ci/run tflite` installs it where there is pip)");
    }
    let models = shared().map(|folder| folder.join("models"));
    if models.is_none() {
        println!("SKIPPED: tests with real models, because there is no folder ../shared");
        println!("         (SYSTOLE_SHARED names another place)");
    }
    (library, models)
}

/// The simulated Edge TPU, for tests of the package that has it as a dependency.
pub fn simulated_edgetpu() -> PathBuf {
    built("systole_simulated_edgetpu")
}

/// Systole as a delegate, for tests of the package that has it as a dependency.
pub fn systole_delegate() -> PathBuf {
    built("systole_delegate")
}

fn built(name: &str) -> PathBuf {
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    deps().join(format!("{prefix}{name}{suffix}"))
}

/// The folder of this program and of the libraries that were built with it.
fn deps() -> PathBuf {
    let program = std::env::current_exe().expect("the system knows the running program");
    program.parent().expect("it is in a folder").to_owned()
}

/// Runs the first samples and compares outputs with goldens: bytes of integers, floats within
/// [`PEER_TOLERANCE`].
///
/// # Errors
/// Which sample and output differs, or what the interpreter says.
pub fn check(
    interpreter: &mut Interpreter,
    inputs: &[Array],
    goldens: &[Array],
) -> Result<(), Failed> {
    let samples = inputs.first().map_or(0, |array| array.shape[0]).min(SAMPLES);
    for sample in 0..samples {
        let _ = interpreter.reset_state();
        for index in 0..interpreter.input_count() {
            let name = interpreter.input(index)?.name();
            let array = inputs.iter().find(|array| array.name == name).or(inputs.get(index));
            let bytes = array.and_then(|array| array.sample(sample)).ok_or("no such sample")?;
            let mut input = interpreter.input_mut(index)?;
            input.bytes_mut()?.copy_from_slice(bytes);
        }
        interpreter.invoke()?;
        for (index, golden) in goldens.iter().enumerate() {
            let named = |&at: &usize| {
                interpreter.output(at).is_ok_and(|output| output.name() == golden.name)
            };
            let at = (0..interpreter.output_count()).find(named).unwrap_or(index);
            let bytes = interpreter.output(at)?.bytes()?.to_vec();
            let Some(want) = golden.sample(sample) else { continue };
            let array = |bytes: &[u8]| Array { bytes: bytes.to_vec(), ..golden.clone() };
            compare_within(&array(&bytes), &array(want), PEER_TOLERANCE)
                .map_err(|problem| format!("sample {sample}: {problem}"))?;
        }
    }
    Ok(())
}
