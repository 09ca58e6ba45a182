//! Where tests find TFLite's library, and the simulated Edge TPU.

use std::path::PathBuf;

/// TFLite's library where `.ci/run tflite` puts it, unless the environment names another, which is
/// then found without help.
pub fn installed() -> Option<PathBuf> {
    let library = deps().join("../../tflite/libtensorflowlite_c.so");
    let named = std::env::var_os("TFLITE_LIBRARY_PATH").is_some();
    (library.exists() && !named).then_some(library)
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
