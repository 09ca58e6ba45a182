//! The processors that there are costs for, and how their kernels cut layers into pieces.

/// A processor.
#[derive(Debug, PartialEq, Eq)]
pub struct Core {
    /// The name on the command line, that of `cargo xtask measure`, too.
    pub name: &'static str,
    /// Another name for it.
    pub alias: Option<&'static str>,
    /// The processor whose costs it has: its own, or those of one that executes the same instructions.
    pub costs: &'static str,
    /// Which kernels it has.
    pub(super) kernels: Kernels,
    /// Elements that are widened together.
    pub(super) step: usize,
    /// Elements of windows that are widened at once.
    pub(super) depth: usize,
    /// Rows of taps that depthwise convolution puts together.
    pub(super) taps: usize,
}

/// The folders of `kernels/src/arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernels {
    /// Two products of 16 bits an instruction.
    Dsp,
    /// One product at a time.
    Scalar,
    /// Vectors.
    Helium,
}

const fn dsp(name: &'static str, costs: &'static str) -> Core {
    Core { name, alias: None, costs, kernels: Kernels::Dsp, step: 4, depth: 96, taps: 2 }
}

const fn scalar(name: &'static str, alias: Option<&'static str>) -> Core {
    Core { name, alias, costs: name, kernels: Kernels::Scalar, step: 1, depth: 48, taps: 1 }
}

/// All of them.
pub const CORES: [Core; 7] = [
    scalar("cortex-m0", None),
    scalar("cortex-m3", None),
    dsp("cortex-m4", "cortex-m4"),
    dsp("cortex-m7", "cortex-m4"),
    dsp("cortex-m33", "cortex-m33"),
    Core {
        name: "cortex-m55",
        alias: None,
        costs: "cortex-m55",
        kernels: Kernels::Helium,
        step: 1,
        depth: usize::MAX,
        taps: 4,
    },
    scalar("riscv32imac", Some("riscv32")),
];

impl Core {
    /// The processor of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        CORES.iter().find(|core| core.name == name || core.alias == Some(name))
    }

    /// Whether it has the DSP extension, for whose kernels weights may be in pairs.
    pub fn has_dsp(&self) -> bool {
        self.kernels == Kernels::Dsp
    }

    /// How often a window of `filter` elements is made ready for `channels` outputs: once, or for each 16 of them
    /// where it is too long to be kept.
    pub(super) fn windows(&self, filter: usize, channels: usize) -> usize {
        if filter <= self.depth { 1 } else { channels.div_ceil(16) }
    }

    /// The elements that this takes, in whole steps.
    pub(super) fn widened(&self, filter: usize, channels: usize) -> usize {
        if self.kernels == Kernels::Helium {
            return 0;
        }
        self.windows(filter, channels) * filter.div_ceil(self.step) * self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_unique() {
        for core in &CORES {
            assert_eq!(Core::find(core.name), Some(core));
        }
        assert_eq!(Core::find("riscv32").map(|core| core.name), Some("riscv32imac"));
        assert_eq!(Core::find("cortex-m99"), None);
    }
}
