//! What runs where, and why not elsewhere.

use std::{fmt, path::PathBuf};

/// Where operators run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Systole's kernels.
    Systole {
        /// The level of instructions that they are for.
        level: &'static str,
        /// How many threads run large layers.
        threads: usize,
    },
    /// TFLite's own kernels, of this version.
    Tflite(String),
    /// An Edge TPU: which, and the version of its library.
    EdgeTpu {
        /// Which of the devices was chosen.
        device: String,
        /// The library's version, in its own words.
        version: String,
    },
    /// A vendor's delegate.
    Delegate(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Systole { level, threads: 0 | 1 } => write!(f, "Systole's kernels ({level})"),
            Self::Systole { level, threads } => {
                write!(f, "Systole's kernels ({level}, {threads} threads)")
            }
            Self::Tflite(version) => write!(f, "TFLite {version}"),
            Self::EdgeTpu { device, version } => write!(f, "Edge TPU '{device}' ({version})"),
            Self::Delegate(library) => write!(f, "the delegate {}", library.display()),
        }
    }
}

/// Operators that run in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where.
    pub place: Place,
    /// How many operators.
    pub operators: usize,
    /// Their names and how many there are of each, where they are known: TFLite does not tell which
    /// operators a delegate claimed.
    pub names: Vec<(String, usize)>,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.operators == 1 { "" } else { "s" };
        write!(f, "{} operator{plural} on {}", self.operators, self.place)?;
        let mut separator = ": ";
        for (name, count) in &self.names {
            write!(f, "{separator}{name} {count}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// What does not run the model, or a part of it, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Who was considered.
    pub backend: &'static str,
    /// Why it was not taken.
    pub why: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.backend, self.why)
    }
}

/// What runs where, and why not elsewhere. Prints as a few lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The file that runs: the one that was loaded, or its fallback.
    pub model: PathBuf,
    /// Every operator is in one of these.
    pub parts: Vec<Part>,
    /// What was considered before, in that order.
    pub rejected: Vec<Rejected>,
}

impl Report {
    /// Whether any operator runs on an accelerator.
    pub fn accelerated(&self) -> bool {
        let accelerated =
            |part: &Part| matches!(part.place, Place::EdgeTpu { .. } | Place::Delegate(_));
        self.parts.iter().any(|part| part.operators > 0 && accelerated(part))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.model.display())?;
        self.parts.iter().try_for_each(|part| write!(f, "\n  {part}"))?;
        self.rejected.iter().try_for_each(|rejected| write!(f, "\n  {rejected}"))
    }
}

/// Names with their counts, in the order in which they first come.
pub(crate) fn counted<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<(String, usize)> {
    let mut counted: Vec<(String, usize)> = Vec::new();
    for name in names {
        match counted.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => counted.push((name.to_owned(), 1)),
        }
    }
    counted
}
