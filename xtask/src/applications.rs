//! The applications of `targets/cortex-m` and `targets/riscv`: built, audited, and run in QEMU.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    audit,
    elf::Program,
    error::{Result, failed},
    firmware, paths, qemu,
    targets::{self, Board, Counter, TARGETS, Target},
};

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A board that applications are built for, by the name of its feature.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// The package, from the repository's root.
    package: &'static str,
    /// The board's feature.
    pub feature: &'static str,
    /// The processor, or one that programs are built for in the same way.
    pub target: &'static Target,
    /// Where it runs here; `None` for real hardware.
    board: Option<&'static Board>,
}

/// What became of an application.
#[derive(Debug)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// Bytes of flash and of statics, and of stack where it has run.
    pub sizes: (u64, u64, Option<u64>),
}

/// Hardware that QEMU does not emulate, with targets that are built in the same way.
const HARDWARE: [(&str, &str, &str); 6] = [
    (CORTEX_M, "nrf52840dk", "cortex-m4"),
    (CORTEX_M, "stm32f746g-disco", "cortex-m7"),
    (CORTEX_M, "nucleo-l4r5zi", "cortex-m4"),
    (CORTEX_M, "rp2040", "cortex-m0"),
    (CORTEX_M, "rp2350", "cortex-m33"),
    (RISCV, "esp32c3", "riscv32imac"),
];
/// Panics that `defmt` brings. What it does where a program has no handler for its own: its linker
/// script names it, so it is linked, but never called. And, on hardware, those of `defmt-rtt` where
/// logging is entered twice.
const DEFMT: [&str; 3] = ["__defmt_default_panic", "_defmt_acquire", "_defmt_release"];
/// Bytes of stack that a program whose model is compiled in may take.
const STACK: u64 = 2048;
/// The program that loads models: checking a file takes some more.
const LOADER: &str = "update";
const CORTEX_M: &str = "targets/cortex-m";
const RISCV: &str = "targets/riscv";

/// The boards to be checked: one of Cortex-M and one of RISC-V, or all.
pub fn ports(all: bool) -> Vec<Port> {
    let emulated = TARGETS.iter().filter_map(|target| {
        let board = target.boards.first()?;
        let (package, feature) = match board.counter {
            Counter::Minstret => (RISCV, "qemu-virt"),
            Counter::SysTick { .. } => (CORTEX_M, board.name),
        };
        Some(Port { package, feature, target, board: Some(board) })
    });
    let hardware = HARDWARE.iter().filter_map(|&(package, feature, target)| {
        let target = targets::find(target)?;
        Some(Port { package, feature, target, board: None })
    });
    emulated
        .chain(hardware)
        .filter(|port| all || matches!(port.feature, "mps2-an386" | "qemu-virt"))
        .filter(|port| paths::repository().join(port.package).join("Cargo.toml").exists())
        .collect()
}

impl Port {
    /// Builds the applications for the board, audits them, and runs them where QEMU has the board.
    ///
    /// # Errors
    /// For the first that is not built, is not clean, or does not end well.
    pub fn check(&self) -> Result<Vec<Checked>> {
        let package = paths::repository().join(self.package);
        let names = programs()?;
        let folder = firmware::build_package(self.target, &package, |command| {
            command.args(["--release", "--features", self.feature]);
            for name in &names {
                command.args(["--bin", name]);
            }
        })?;
        names.iter().map(|name| self.check_one(name, &folder.join(name))).collect()
    }

    fn check_one(&self, name: &str, elf: &Path) -> Result<Checked> {
        let program = Program::read(elf)?;
        let findings = audit::findings(&program, &DEFMT.map(str::to_owned));
        if let Some(finding) = findings.first() {
            let (count, elf) = (findings.len(), elf.display());
            return Err(failed!("{name}: {count} finds of `cargo xtask audit {elf}`: {finding}"));
        }
        let run = |board| qemu::run_and_look_at_stack(board, elf, &program, LIMIT);
        let stack = self.board.map(run).transpose()?.map(|(_, stack)| stack);
        if let Some(stack) = stack.filter(|&stack| stack > STACK && name != LOADER) {
            return Err(failed!("{name}: {stack} bytes of stack, more than {STACK}"));
        }
        let sizes = (program.flash(), program.statics(), stack);
        Ok(Checked { name: name.to_owned(), sizes })
    }
}

impl std::fmt::Display for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (flash, statics, stack) = self.sizes;
        write!(f, "{}: flash {flash}, statics {statics}", self.name)?;
        if let Some(stack) = stack {
            write!(f, ", stack {stack}")?;
        }
        Ok(())
    }
}

/// The names of the programs, which both packages share: those of the files in `src/bin`.
fn programs() -> Result<Vec<String>> {
    let folder = paths::repository().join(CORTEX_M).join("src/bin");
    let entries =
        fs::read_dir(&folder).map_err(|problem| failed!("{}: {problem}", folder.display()))?;
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let name = |path: PathBuf| {
        let rust = path.extension().is_some_and(|extension| extension == "rs");
        rust.then(|| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))?
    };
    let mut names: Vec<String> = paths.filter_map(name).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_boards_have_a_memory_map() {
        for port in ports(true) {
            let map = format!("{}/boards/{}/memory.x", port.package, port.feature);
            assert!(paths::repository().join(&map).exists(), "{map}");
        }
    }

    #[test]
    fn programs_are_the_files() {
        assert_eq!(programs().unwrap(), ["gesture", "hello", "kws", LOADER]);
    }
}
