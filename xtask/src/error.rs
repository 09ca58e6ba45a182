//! What can go wrong, and which exit status says so.

/// A problem, in words for the person who started the command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The work could not be done, or what it checked does not hold: exit status 1.
    #[error("{0}")]
    Failed(String),
    /// The command was given something that it cannot work with: exit status 2.
    #[error("{0}")]
    Usage(String),
}

/// A result with that problem.
pub type Result<T> = std::result::Result<T, Error>;

impl From<systole_converter::Error> for Error {
    fn from(problem: systole_converter::Error) -> Self {
        Self::Failed(problem.to_string())
    }
}

/// Makes an [`Error::Failed`] from a format string.
macro_rules! failed {
    ($($text:tt)*) => { $crate::error::Error::Failed(format!($($text)*)) };
}
pub(crate) use failed;
