//! What can go wrong between this process and a library of TFLite's kind.

use std::{fmt, path::PathBuf};

use crate::{DeviceChoice, ElementType};

/// Shorthand for this crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a library could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The dynamic loader refused it; these are its words.
    #[error("{0}")]
    Open(String),
    /// It was loaded, but it is another library, or another version, than was looked for.
    #[error("it has no {}", .0.join(", "))]
    MissingSymbols(Vec<&'static str>),
}

/// A library that was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The path or name that was given to the dynamic loader.
    pub path: PathBuf,
    /// Why it could not be used.
    pub failure: Failure,
}

/// No candidate for a library could be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// What was looked for.
    pub library: &'static str,
    /// Every candidate, in the order in which they were tried.
    pub tried: Vec<Tried>,
    /// The environment variable that names another place, if there is one.
    pub variable: Option<&'static str>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be loaded", self.library)?;
        for tried in &self.tried {
            write!(f, "\n  {}: {}", tried.path.display(), tried.failure)?;
        }
        match self.variable {
            Some(variable) => write!(f, "\n  {variable} names another place"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for LoadError {}

/// Everything that this crate refuses or passes on. `log` holds TFLite's own words, maybe none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A library is absent, or not what it should be.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file could not be read.
    #[error("{}: cannot be read: {why}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// TFLite does not take these bytes for a model.
    #[error("TFLite refuses the model{}", said(.log))]
    Model {
        /// TFLite's words.
        log: String,
    },
    /// An operator that TFLite does not know and no delegate took.
    #[error("{}", unresolved(.name))]
    Unresolved {
        /// The operator's name.
        name: String,
    },
    /// TFLite could not build an interpreter, or a delegate could not take its part.
    #[error("the interpreter cannot be made{}", said(.log))]
    Interpreter {
        /// TFLite's words.
        log: String,
    },
    /// Tensors could not be allocated, or an operator or a delegate could not be prepared.
    #[error("tensors cannot be allocated{}", said(.log))]
    Allocate {
        /// TFLite's words.
        log: String,
    },
    /// An operator or a delegate failed while it ran.
    #[error("the run failed{}", said(.log))]
    Invoke {
        /// TFLite's words.
        log: String,
    },
    /// The library is too old for what is asked.
    #[error("TFLite {version} has no {what}")]
    Lacks {
        /// Version of the library.
        version: String,
        /// What it does not have.
        what: &'static str,
    },
    /// No input, output or tensor of that index.
    #[error("there is no {what} {index}, only {count}")]
    Index {
        /// Input, output or tensor.
        what: &'static str,
        /// What was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// No signature, or no tensor in a signature, of that name.
    #[error("there is no {what} '{name}', only: {}", .there.join(", "))]
    Name {
        /// Signature, input or output.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
    /// Elements of another type than the tensor's.
    #[error("tensor '{tensor}' is {found:?}, not {wanted:?}")]
    Type {
        /// The tensor's name.
        tensor: String,
        /// Its type.
        found: ElementType,
        /// What was asked for.
        wanted: ElementType,
    },
    /// Another number of elements than the tensor has.
    #[error("tensor '{tensor}' has {wanted} elements, not {found}")]
    Length {
        /// The tensor's name.
        tensor: String,
        /// Elements given.
        found: usize,
        /// Elements that the tensor has.
        wanted: usize,
    },
    /// The tensor has no memory yet: inputs were resized and not allocated, or the model never ran.
    #[error("tensor '{tensor}' has no memory yet; allocate or invoke first")]
    NoData {
        /// The tensor's name.
        tensor: String,
    },
    /// Text with a zero byte, or a number too large for the C interface.
    #[error("{what} cannot be passed on: {value}")]
    Argument {
        /// What it is.
        what: &'static str,
        /// As it was given.
        value: String,
    },
    /// A delegate's library gave no delegate: no device, or options that it does not know.
    #[error("{} gives no delegate{}", .library.display(), said(.log))]
    Refused {
        /// The delegate's library.
        library: PathBuf,
        /// The delegate's words.
        log: String,
    },
    /// The delegate's structures may be laid out otherwise than TFLite's, which can be bridged on
    /// x86-64 and AArch64 only.
    #[error(
        "{}: on this architecture a delegate must be built with the headers of the very TFLite \
         that loads it; say Abi::Matching where it is",
        .library.display()
    )]
    Abi {
        /// The delegate's library.
        library: PathBuf,
    },
    /// No Edge TPU, or not the one that was asked for.
    #[error("no Edge TPU is '{choice}'; there are {count}")]
    NoDevice {
        /// What was asked for.
        choice: DeviceChoice,
        /// How many devices of any kind there are.
        count: usize,
    },
    /// No choice of a device.
    #[error("'{0}' names no Edge TPU: say usb, pci, usb:N, pci:N, :N or nothing")]
    Choice(String),
}

fn said(log: &str) -> String {
    match log.trim_end() {
        "" => String::new(),
        log => format!(": {log}"),
    }
}

fn unresolved(name: &str) -> String {
    match name {
        "edgetpu-custom-op" => "the model is compiled for the Edge TPU: it needs that device and \
                                its delegate, or use the model that it was compiled from"
            .to_owned(),
        name => format!("no operator '{name}' in TFLite or in a delegate"),
    }
}
