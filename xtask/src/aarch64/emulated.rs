//! The program `systole-runner`, built for 64-bit Arm and run in QEMU's user mode.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    error::{Result, failed},
    paths,
    toolchain::{Toolchain, in_path},
};

const TRIPLE: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const QEMU: &str = "qemu-aarch64";

/// Kernels, and a processor of QEMU that has their instructions and none beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Level {
    /// The name in `SYSTOLE_ISA`.
    pub name: &'static str,
    /// The name for QEMU's `-cpu`.
    pub processor: &'static str,
}

/// All levels, from the least to the most.
pub const LEVELS: [Level; 4] = [
    Level { name: "portable", processor: "max" },
    Level { name: "neon", processor: "cortex-a53" },
    Level { name: "neon_dot", processor: "cortex-a76" },
    Level { name: "neon_i8mm", processor: "max" },
];

/// The program, and where it works.
#[derive(Debug)]
pub struct Runner {
    program: PathBuf,
    /// What built it.
    pub toolchain: Toolchain,
    folder: tempfile::TempDir,
}

/// Instructions of an inference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Of a whole one.
    pub whole: u64,
    /// Of each operator.
    pub operators: Vec<u64>,
}

impl Runner {
    /// Builds the program.
    ///
    /// # Errors
    /// Where a toolchain, a linker or QEMU is missing, or it does not build.
    pub fn build() -> Result<Self> {
        for program in [LINKER, QEMU] {
            if !in_path(program) {
                return Err(failed!(
                    "there is no {program}; on Debian, `apt-get install qemu-user \
                     gcc-aarch64-linux-gnu libc6-dev-arm64-cross`"
                ));
            }
        }
        let toolchain = Toolchain::find_std(TRIPLE)?;
        let target = paths::build().join("aarch64");
        let io = |problem: std::io::Error| failed!("{}: {problem}", target.display());
        // Static, as QEMU would look for Arm's loader.
        let linker = format!("linker={LINKER}");
        let flags = ["-C", "target-feature=+crt-static", "-C", &linker];
        let mut command = toolchain.build(TRIPLE, &target, flags.map(str::to_owned).to_vec());
        command.args(["--release", "--package", "systole-runner"]);
        let built = command.current_dir(paths::repository()).status().map_err(io)?;
        if !built.success() {
            return Err(failed!("systole-runner does not build for {TRIPLE}"));
        }
        let program = target.join(TRIPLE).join("release/systole-runner");
        Ok(Self { program, toolchain, folder: tempfile::tempdir().map_err(io)? })
    }

    /// The outputs that `level` gives for `inputs`, both as `systole-runner` has them, of the model
    /// whose file is `model`.
    ///
    /// # Errors
    /// What the program says, or that it ran another level.
    pub fn outputs(&self, level: Level, model: &[u8], inputs: &[u8]) -> Result<Vec<u8>> {
        self.run(level, model, inputs, None)
    }

    /// The same of a sample, and what it takes, by the plugin `plugin`.
    ///
    /// # Errors
    /// As above, or of what the plugin wrote.
    pub fn count(
        &self,
        level: Level,
        model: &[u8],
        inputs: &[u8],
        plugin: &Path,
    ) -> Result<(Vec<u8>, Counts)> {
        let outputs = self.run(level, model, inputs, Some(plugin))?;
        let mut totals = Vec::new();
        loop {
            let path = self.folder.path().join(format!("counts.{}", totals.len()));
            let Ok(text) = fs::read_to_string(&path) else { break };
            let total = total(&text).ok_or_else(|| failed!("{}: no total", path.display()))?;
            totals.push(total);
            let _gone = fs::remove_file(path);
        }
        let counts = counts(&totals).ok_or_else(|| failed!("the plugin counted {totals:?}"))?;
        Ok((outputs, counts))
    }

    fn run(
        &self,
        level: Level,
        model: &[u8],
        inputs: &[u8],
        plugin: Option<&Path>,
    ) -> Result<Vec<u8>> {
        let place = |name: &str| self.folder.path().join(name);
        let write = |name: &str, bytes: &[u8]| {
            fs::write(place(name), bytes).map_err(|problem| failed!("{name}: {problem}"))
        };
        write("model", model)?;
        write("inputs", inputs)?;
        let mut command = Command::new(QEMU);
        command.args(["-cpu", level.processor]).env("SYSTOLE_ISA", level.name);
        if let Some(plugin) = plugin {
            command.arg("-plugin").arg(plugin).env("INSN_OUT", place("counts"));
        }
        command.arg(&self.program).args(["model", "inputs", "outputs"].map(place));
        if plugin.is_some() {
            command.arg(place("counts"));
        }
        let done = command.output().map_err(|problem| failed!("{QEMU}: {problem}"))?;
        if !done.status.success() {
            return Err(failed!("{}", String::from_utf8_lossy(&done.stderr).trim()));
        }
        let ran = String::from_utf8_lossy(&done.stdout);
        if ran.trim() != level.name {
            return Err(failed!("{} was asked for, {} ran", level.name, ran.trim()));
        }
        fs::read(place("outputs")).map_err(|problem| failed!("outputs: {problem}"))
    }
}

/// Compiles the plugin of QEMU that counts instructions, whose source is the file `source`.
///
/// # Errors
/// Where there is no such file or compiler.
pub fn plugin(source: &Path) -> Result<PathBuf> {
    let folder = paths::build();
    fs::create_dir_all(&folder).map_err(|problem| failed!("{}: {problem}", folder.display()))?;
    let plugin = folder.join("libinsncount.so");
    let mut command = Command::new("cc");
    command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&plugin).arg(source);
    match command.output() {
        Ok(done) if done.status.success() => Ok(plugin),
        Ok(done) => Err(failed!("{}", String::from_utf8_lossy(&done.stderr).trim())),
        Err(problem) => Err(failed!("cc: {problem}")),
    }
}

/// The first line of what the plugin writes: `total N`.
fn total(text: &str) -> Option<u64> {
    text.lines().next()?.strip_prefix("total ")?.parse().ok()
}

/// From totals as `systole-runner` has them written: twice with nothing in between, after an inference,
/// before another and after each of its operators.
fn counts(totals: &[u64]) -> Option<Counts> {
    let [first, second, after, operators @ ..] = totals else { return None };
    let reading = second.checked_sub(*first)?;
    let between = |from: u64, to: u64| to.checked_sub(from)?.checked_sub(reading);
    let each = operators.windows(2).map(|pair| between(pair[0], pair[1]));
    Some(Counts { whole: between(*second, *after)?, operators: each.collect::<Option<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reading_takes_is_subtracted() {
        let found = counts(&[100, 110, 150, 500, 520, 540]);
        assert_eq!(found, Some(Counts { whole: 30, operators: vec![10, 10] }));
        assert_eq!(counts(&[100, 110]), None);
        assert_eq!(counts(&[100, 110, 115, 200]), None);
    }

    #[test]
    fn a_total_is_the_first_line() {
        assert_eq!(total("total 12345\n9 memcpy\n"), Some(12345));
        assert_eq!(total("9 memcpy\n"), None);
    }
}
