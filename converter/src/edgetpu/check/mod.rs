//! A pre-flight for models that are not compiled yet: which operators the Edge TPU's compiler maps to
//! the device, which it does not, why, and what would make it.
//!
//! The rules are those that Coral publishes for its compiler and runtime, in their newest version; the
//! compiler itself has more that it does not tell, as on sizes. It is the one that decides.

mod rules;
mod view;

use std::fmt;

use serde::Serialize;
use tract_tflite::tflite;

use self::view::View;
use crate::error::{Result, bail, error};

/// A model, checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The operators, in the order of execution.
    pub operators: Vec<Checked>,
    /// The oldest version of the device's runtime that has all operators that map.
    pub min_runtime_version: u32,
}

/// What becomes of an operator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// Its index in the model.
    pub index: usize,
    /// Its name, as TFLite spells it.
    pub name: String,
    /// Name of its first output.
    pub output: String,
    /// Whether it runs on the device.
    pub maps: bool,
    /// The operator that keeps it on the CPU though it could run on the device: the compiler maps what
    /// comes before the first operator that stays.
    pub behind: Option<usize>,
    /// Why it cannot run on the device; none where it could.
    pub reasons: Vec<Reason>,
}

/// Why an operator does not map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What is in the way.
    pub why: String,
    /// What would make it map.
    pub cure: String,
}

impl Check {
    /// Checks the first subgraph of a TFLite model.
    ///
    /// # Errors
    /// `NotAModel`, `Corrupt` and `InvalidGraph` for what is no model; `UnsupportedFeature` for a model
    /// that is compiled already.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        if !crate::tflite::is_tflite(bytes) {
            bail!(NotAModel, "not a TFLite model, which the compiler of the Edge TPU takes alone");
        }
        let model = tflite::root_as_model(bytes)
            .map_err(|problem| error!(Corrupt, "damaged TFLite model: {problem}"))?;
        let view = View::new(&model)?;
        let mut stays = None;
        let mut min_runtime_version = rules::FIRST_RUNTIME;
        let mut operators = Vec::with_capacity(view.operators.len());
        for index in 0..view.operators.len() {
            let operator = view.operator(index)?;
            if operator.name == super::OPERATOR {
                bail!(
                    UnsupportedFeature,
                    "the model is compiled for the Edge TPU already: inspect it"
                );
            }
            let (runtime, reasons) = rules::check(&operator);
            if !reasons.is_empty() {
                stays = stays.or(Some(index));
            }
            let maps = stays.is_none();
            if maps {
                min_runtime_version = min_runtime_version.max(runtime);
            }
            operators.push(Checked {
                index,
                maps,
                behind: stays.filter(|_| reasons.is_empty()),
                output: operator.output_name(),
                name: operator.name,
                reasons,
            });
        }
        Ok(Self { operators, min_runtime_version })
    }

    /// How many operators map.
    pub fn mapped(&self) -> usize {
        self.operators.iter().filter(|operator| operator.maps).count()
    }

    /// Whether all operators map.
    pub fn all_map(&self) -> bool {
        self.mapped() == self.operators.len()
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mapped, all) = (self.mapped(), self.operators.len());
        writeln!(
            f,
            "{mapped} of {all} operators map to the Edge TPU, with runtime {} or later",
            self.min_runtime_version
        )?;
        for operator in &self.operators {
            let Checked { index, name, output, .. } = operator;
            let fate = if operator.maps { "maps" } else { "CPU" };
            writeln!(f, "{index:>5}  {fate:<4}  {name}  '{output}'")?;
            if let Some(first) = operator.behind {
                writeln!(
                    f,
                    "             could map, but is behind operator {first}, which does not"
                )?;
            }
            for Reason { why, cure } in &operator.reasons {
                writeln!(f, "             {why}")?;
                writeln!(f, "             -> {cure}")?;
            }
        }
        Ok(())
    }
}
