//! Finding TFLite's library.

use std::{
    ffi::CStr,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    api::Api,
    error::{Failure, LoadError, Tried},
};

/// The environment variable that names TFLite's library.
pub const LIBRARY_PATH: &str = "TFLITE_LIBRARY_PATH";

/// What TFLite's C library is called: as TensorFlow's own build names it, and as Debian does.
#[cfg(not(any(windows, target_os = "macos")))]
const USUAL_NAMES: &[&str] =
    &["libtensorflowlite_c.so", "libtensorflow-lite.so", "libtensorflow-lite.so.2.14.1"];
#[cfg(target_os = "macos")]
const USUAL_NAMES: &[&str] = &["libtensorflowlite_c.dylib"];
#[cfg(windows)]
const USUAL_NAMES: &[&str] = &["tensorflowlite_c.dll", "libtensorflowlite_c.dll"];

/// TFLite's C library, loaded. Cheap to clone; stays loaded until the process ends.
#[derive(Clone)]
pub struct Library {
    api: Arc<Api>,
    path: Arc<Path>,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TFLite {} from {}", self.version(), self.path.display())
    }
}

impl Library {
    /// Loads the library at `path`, and no other. Without a path, what the environment variable
    /// [`LIBRARY_PATH`] names, then the usual names on the dynamic loader's own search path.
    ///
    /// All functions are resolved now, so that a library of the same name but another kind is told
    /// apart here.
    ///
    /// # Errors
    /// Every candidate, and why it was not taken.
    pub fn load(path: Option<&Path>) -> Result<Self, LoadError> {
        let candidates = match path {
            Some(path) => vec![path.to_owned()],
            None => candidates(LIBRARY_PATH, USUAL_NAMES),
        };
        let variable = path.is_none().then_some(LIBRARY_PATH);
        let (api, path) = first("TFLite's C library", candidates, variable, Api::resolve)?;
        Ok(Self { api: Arc::new(api), path: path.into() })
    }

    /// The library's version, as `2.17.1`.
    pub fn version(&self) -> String {
        // SAFETY: TFLite returns a constant text.
        unsafe { text((self.api.version)()) }
    }

    /// The path or name under which it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether XNNPACK is part of the library.
    pub fn has_xnnpack(&self) -> bool {
        self.api.xnnpack_create.is_some() && self.api.xnnpack_delete.is_some()
    }

    /// Whether the library can run a model's signatures by name.
    pub fn has_signatures(&self) -> bool {
        self.api.signature_create.is_some()
    }

    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    /// Whether the version is at least `major.minor`.
    pub(crate) fn at_least(&self, major: u32, minor: u32) -> bool {
        let version = self.version();
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
    }
}

/// What a variable of the environment names, if it is set, before the usual names.
pub(crate) fn candidates(variable: &str, usual: &[&str]) -> Vec<PathBuf> {
    let named = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.into_iter().chain(usual.iter().map(PathBuf::from)).collect()
}

/// Loads the first candidate in which `resolve` finds everything.
pub(crate) fn first<T>(
    library: &'static str,
    candidates: Vec<PathBuf>,
    variable: Option<&'static str>,
    resolve: impl Fn(libloading::Library) -> Result<T, Failure>,
) -> Result<(T, PathBuf), LoadError> {
    let mut tried = Vec::new();
    for path in candidates {
        match open(&path).and_then(&resolve) {
            Ok(found) => return Ok((found, path)),
            Err(failure) => tried.push(Tried { path, failure }),
        }
    }
    Err(LoadError { library, tried, variable })
}

/// Loads a library for good: some cannot be unloaded without a crash when the process ends.
fn open(path: &Path) -> Result<libloading::Library, Failure> {
    #[cfg(unix)]
    let opened = {
        use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
        #[cfg(target_os = "macos")]
        const RTLD_NODELETE: i32 = 0x80;
        #[cfg(not(target_os = "macos"))]
        const RTLD_NODELETE: i32 = 0x1000;
        // SAFETY: the library's initializers run; who names or installs it trusts it.
        unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) }
            .map(libloading::Library::from)
    };
    #[cfg(not(unix))]
    // SAFETY: the library's initializers run; who names or installs it trusts it.
    let opened = unsafe { libloading::Library::new(path) };
    opened.map_err(|problem| Failure::Open(chain(&problem)))
}

/// An error with what it comes from.
fn chain(problem: &dyn std::error::Error) -> String {
    let mut text = problem.to_string();
    let mut source = problem.source();
    while let Some(inner) = source {
        text += &format!(": {inner}");
        source = inner.source();
    }
    text
}

/// A C text; empty for null.
///
/// # Safety
/// `text` is null, or ends in a zero byte and does not change during the call.
pub(crate) unsafe fn text(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
