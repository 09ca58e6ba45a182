//! The file of costs.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Core, Work};

/// What `cargo xtask fit` has written.
const FILE: &str = include_str!("costs.toml");

/// Costs of all processors.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Costs {
    /// By the processor's name.
    #[serde(flatten)]
    pub cores: BTreeMap<String, Cost>,
}

/// Costs of a processor.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Cost {
    /// Bytes of code of an operator's call, with its parameters.
    #[serde(default)]
    pub code_per_operator: f64,
    /// Bytes of code of an input or output.
    #[serde(default)]
    pub code_per_port: f64,
    /// By the kernel's name, that of [`Work::family`]; `run` is what is around them.
    #[serde(flatten)]
    pub families: BTreeMap<String, Family>,
}

/// Costs of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Family {
    /// Bytes of code in a program with several such layers.
    #[serde(default)]
    pub code: f64,
    /// Bytes of its stack, from `main` on.
    #[serde(default)]
    pub stack: f64,
    /// Bytes of code in a program with one such layer: its kernel is compiled for its shapes.
    #[serde(default)]
    pub code_once: f64,
    /// Bytes of its stack.
    #[serde(default)]
    pub stack_once: f64,
    /// What share of the instructions a layer takes that is the only one with this kernel; 0 where that is not
    /// known.
    #[serde(default)]
    pub share_once: f64,
    /// Instructions of each that it does.
    #[serde(default)]
    pub instructions: BTreeMap<String, f64>,
}

/// Kernels that share the code of the output stage.
pub fn has_output_stage(family: &str) -> bool {
    matches!(
        family,
        "conv2d"
            | "conv2d_product"
            | "conv2d_pairs"
            | "conv2d_product_pairs"
            | "conv2d_large"
            | "depthwise_conv2d"
            | "depthwise_conv2d_by_taps"
            | "fully_connected"
            | "fully_connected_pairs"
    )
}

impl Costs {
    /// The costs that come with this program.
    pub fn read() -> Self {
        toml::from_str(FILE).expect("the file is part of the program, and a test reads it")
    }

    /// Those of a processor.
    pub fn of(&self, core: &Core) -> Option<&Cost> {
        self.cores.get(core.costs)
    }
}

impl Cost {
    /// Those of a kernel.
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.get(name)
    }
}

impl Family {
    /// Bytes of code in a program with so many such layers.
    pub fn code_of(&self, layers: usize) -> f64 {
        if layers == 1 && self.code_once > 0.0 { self.code_once } else { self.code }
    }

    /// Instructions of a call in a program with so many such layers.
    pub fn instructions_of(&self, work: &Work, layers: usize) -> f64 {
        let share = if layers == 1 && self.share_once > 0.0 { self.share_once } else { 1.0 };
        share * self.instructions(work)
    }

    /// Bytes of stack in a program with so many such layers.
    pub fn stack_of(&self, layers: usize) -> f64 {
        if layers == 1 && self.stack_once > 0.0 { self.stack_once } else { self.stack }
    }

    /// Instructions of a call, in a program with several such layers.
    pub fn instructions(&self, work: &Work) -> f64 {
        let of = |(what, times): &(&str, f64)| self.instructions.get(*what).unwrap_or(&0.0) * times;
        work.counts.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::CORES;

    #[test]
    fn there_are_costs_of_every_processor() {
        let costs = Costs::read();
        for core in &CORES {
            let cost = costs.of(core).unwrap_or_else(|| panic!("no costs of {}", core.name));
            for name in ["run", "conv2d", "conv2d_product", "depthwise_conv2d", "fully_connected"] {
                let family = cost.family(name).unwrap_or_else(|| panic!("{}: {name}", core.name));
                let counts = &family.instructions;
                assert!(
                    counts.values().all(|count| *count > 0.0 && count.is_finite()),
                    "{counts:?}"
                );
                assert!(!counts.is_empty(), "{}: {name}", core.name);
            }
        }
    }

    #[test]
    fn a_call_is_the_sum_of_what_it_does() {
        let instructions = [("row".to_owned(), 2.5), ("call".to_owned(), 100.0)].into();
        let family = Family { instructions, ..Family::default() };
        let mut work = Work::of("conv2d");
        work.add("row", 4).add("what_costs_nothing", 7).add("row", 2);
        assert_eq!(family.instructions(&work), 115.0);
    }
}
