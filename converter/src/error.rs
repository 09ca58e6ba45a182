//! What can be wrong with a model, said so that its owner can act on it.

use std::fmt;

/// The class of an error: what a script would branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The bytes are no model at all.
    NotAModel,
    /// A model that is damaged.
    Corrupt,
    /// Indices or connections that make no sense.
    InvalidGraph,
    /// A schema or format version that is not read.
    UnsupportedVersion,
    /// Operators that are not known.
    UnsupportedOperator,
    /// Known operators with types or attributes that are not supported.
    UnsupportedFeature,
    /// Shapes that do not fit each other.
    InvalidShape,
    /// Scales or zero points that make no sense.
    InvalidQuantization,
    /// More memory than the limit allows.
    TooLarge,
    /// A file could not be read or written.
    Io,
    /// Arrays that do not fit the model.
    InvalidData,
}

impl Class {
    /// The class's name, as `--json` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAModel => "not_a_model",
            Self::Corrupt => "corrupt",
            Self::InvalidGraph => "invalid_graph",
            Self::UnsupportedVersion => "unsupported_version",
            Self::UnsupportedOperator => "unsupported_operator",
            Self::UnsupportedFeature => "unsupported_feature",
            Self::InvalidShape => "invalid_shape",
            Self::InvalidQuantization => "invalid_quantization",
            Self::TooLarge => "too_large",
            Self::Io => "io",
            Self::InvalidData => "invalid_data",
        }
    }
}

/// A problem, with the place in the model where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What kind of problem it is.
    pub class: Class,
    /// Where: file, operator, tensor, outermost first.
    pub place: Vec<String>,
    /// What was found, and what would be accepted.
    pub message: String,
}

/// Shorthand for this crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a place yet.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, place: Vec::new(), message: message.into() }
    }

    /// The error, inside of `place`.
    #[must_use]
    pub fn within(mut self, place: impl Into<String>) -> Self {
        self.place.insert(0, place.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Adds the place to an error on its way up.
pub trait Within<T> {
    /// Names the place, computed only for errors.
    ///
    /// # Errors
    /// The error given, with the place in front.
    fn within(self, place: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Within<T> for Result<T> {
    fn within(self, place: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.within(place()))
    }
}

/// Builds an [`Error`] as `format!` would: `error!(InvalidShape, "…", …)`.
macro_rules! error {
    ($class:ident, $($message:tt)+) => {
        $crate::error::Error::new($crate::error::Class::$class, format!($($message)+))
    };
}

/// Returns an [`Error`]: `bail!(InvalidShape, "…", …)`.
macro_rules! bail {
    ($class:ident, $($message:tt)+) => {
        return Err($crate::error::error!($class, $($message)+))
    };
}

pub(crate) use {bail, error};
