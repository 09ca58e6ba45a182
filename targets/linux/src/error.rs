//! What can go wrong between a model's file and its outputs.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use systole_core::{DType, LoadError, RunError};

use crate::{Port, Rejected};

/// Shorthand for this crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that this crate refuses or passes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{}: cannot be read: {why}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// The file is no model of a kind that is known.
    #[error(
        "{}: neither a .systole file (begins with SYSTOLE), nor a TFLite model (TFL3 at byte 4), \
         nor an ONNX model (NAME.onnx)", .0.display()
    )]
    NotAModel(PathBuf),
    /// A `.systole` file that is damaged, or needs what is not there.
    #[error("{}: {why}", .path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: LoadError,
    },
    /// A model that cannot be converted for Systole's kernels.
    #[cfg(feature = "converter")]
    #[error(transparent)]
    Convert(#[from] systole_converter::Error),
    /// TFLite, or a delegate, refuses the model or fails.
    #[error("{}: {why}", .path.display())]
    Tflite {
        /// The model.
        path: PathBuf,
        /// What is wrong.
        why: systole_tflite::Error,
    },
    /// The model is compiled for the Edge TPU, which is not there.
    #[error(
        "{}: it is compiled for the Edge TPU and needs one, or the model that it was compiled from \
         (Options::fallback){}", .path.display(), list(.rejected)
    )]
    NeedsEdgeTpu {
        /// The model.
        path: PathBuf,
        /// What was tried, and why it does not serve.
        rejected: Vec<Rejected>,
    },
    /// Nobody runs the model.
    #[error("{}: nothing runs it{}", .path.display(), list(.rejected))]
    NoBackend {
        /// The model.
        path: PathBuf,
        /// What was tried, and why it does not serve.
        rejected: Vec<Rejected>,
    },
    /// The backend that was asked for does not run models of this kind.
    #[error("{}: {backend} does not run it: {why}", .path.display())]
    Unsuitable {
        /// The model.
        path: PathBuf,
        /// Who was asked.
        backend: &'static str,
        /// Why not.
        why: String,
    },
    /// An input or output whose elements are of a type that this crate does not copy: text, complex
    /// numbers, and the like.
    #[error("{what} {index} ('{name}') has elements of TFLite's type {kind}, which are not copied")]
    ElementType {
        /// Input or output.
        what: &'static str,
        /// Its index.
        index: usize,
        /// Its name.
        name: String,
        /// TFLite's number of the type.
        kind: i32,
    },
    /// No input or output of that index.
    #[error("there is no {what} {index}, only {count}")]
    Index {
        /// Input or output.
        what: &'static str,
        /// What was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// No input or output of that name.
    #[error("there is no {what} '{name}', only: {}", .there.join(", "))]
    Name {
        /// Input or output.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
    /// Elements of another type than the tensor's.
    #[error("'{tensor}' holds {found}, not {asked}")]
    Type {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: DType,
        /// The type of the elements given or asked for.
        asked: DType,
    },
    /// Another number of elements than the tensor's.
    #[error("'{tensor}' has {wanted} elements, not {found}")]
    Length {
        /// The tensor.
        tensor: String,
        /// Its number of elements.
        wanted: usize,
        /// The number of elements given.
        found: usize,
    },
    /// Integers without a scale stand for no real numbers.
    #[error("'{tensor}' holds {found} without a scale: it cannot be converted to real numbers")]
    NotReal {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: DType,
    },
    /// Another number of inputs than the model's.
    #[error("the model has {wanted} inputs, not {found}")]
    Count {
        /// Its inputs.
        wanted: usize,
        /// Those given.
        found: usize,
    },
    /// Nothing where at least one is needed.
    #[error("there are no {0}")]
    Empty(&'static str),
    /// A file's name that is none of a segment, or segments that are missing.
    #[error("{}", segments(.path, .missing))]
    Segments {
        /// The file.
        path: PathBuf,
        /// The segments beside it that are not there.
        missing: Vec<PathBuf>,
    },
    /// A segment's input that no segment before it gives, with the same name, type, shape and
    /// quantization.
    #[error(
        "{}: its input '{}' ({} {:?}) is none of the tensors that the segments before it give",
        .model.display(), .input.name, .input.dtype, .input.shape
    )]
    Segment {
        /// The segment.
        model: PathBuf,
        /// Its input.
        input: Port,
    },
    /// A thread could not be started.
    #[error("a thread cannot be started: {0}")]
    Thread(String),
    /// A thread that had the work is gone.
    #[error("the engine's thread is gone")]
    Stopped,
    /// What names no device.
    #[error(transparent)]
    Choice(#[from] systole_tflite::Error),
    /// A run failed. Only delegates fail while they run.
    #[error("{0}")]
    Run(#[from] RunError),
}

fn segments(path: &Path, missing: &[PathBuf]) -> String {
    let path = path.display();
    if missing.is_empty() {
        return format!("{path}: not called NAME_segment_I_of_N_edgetpu.tflite, as segments are");
    }
    let missing: Vec<String> = missing.iter().map(|path| path.display().to_string()).collect();
    format!("{path}: segments of the same model are missing: {}", missing.join(", "))
}

fn list(rejected: &[Rejected]) -> impl fmt::Display + '_ {
    struct List<'a>(&'a [Rejected]);
    impl fmt::Display for List<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.iter().try_for_each(|rejected| write!(f, "\n  {rejected}"))
        }
    }
    List(rejected)
}

/// An error without the file's name in front, which reports have.
pub(crate) fn reason(path: &Path, error: &Error) -> String {
    let (text, place) = (error.to_string(), format!("{}: ", path.display()));
    text.strip_prefix(&place).map_or_else(|| text.clone(), str::to_owned)
}
