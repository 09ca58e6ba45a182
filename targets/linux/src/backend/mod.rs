//! Who executes a model: one interface over a session and an interpreter.

mod accelerator;
mod systole;
mod tflite;

pub(crate) use systole::Systole;
pub(crate) use tflite::{Delegates, Tflite};

use crate::{Port, Report, Result};

/// What an engine runs.
#[derive(Debug)]
pub(crate) enum Runner {
    /// A session on Systole's kernels.
    Systole(Systole),
    /// TFLite's interpreter.
    Tflite(Tflite),
}

/// A model that is ready to run.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) runner: Runner,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) report: Report,
}

impl Runner {
    /// Fills an input with bytes that have its length, as users see them.
    pub(crate) fn write(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Systole(systole) => systole.write(index, bytes),
            Self::Tflite(tflite) => tflite.write(index, bytes),
        }
    }

    /// An output's bytes as users see them.
    pub(crate) fn read(&self, index: usize) -> Result<Vec<u8>> {
        match self {
            Self::Systole(systole) => systole.read(index),
            Self::Tflite(tflite) => tflite.read(index),
        }
    }

    pub(crate) fn run(&mut self) -> Result<()> {
        match self {
            Self::Systole(systole) => systole.run(),
            Self::Tflite(tflite) => tflite.run(),
        }
    }

    pub(crate) fn reset_state(&mut self) -> Result<()> {
        match self {
            Self::Systole(systole) => systole.reset_state(),
            Self::Tflite(tflite) => tflite.reset_state(),
        }
    }
}
