//! Kernels for an instruction set against the portable ones, on a processor that has it.

use std::time::Duration;

use crate::{
    error::{Result, failed},
    firmware, paths, qemu,
    targets::{self, Target},
};

/// Processors that are always looked at, one for each kind of kernels, and the others.
const PROCESSORS: [&str; 5] = ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55", "riscv32imac"];
const MORE: [&str; 2] = ["cortex-m7", "cortex-m33"];

/// The most time that the cases of one processor may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The processors whose kernels are checked; `all` of them, or a part.
pub fn processors(all: bool) -> impl Iterator<Item = &'static Target> {
    let more = if all { &MORE[..] } else { &[] };
    PROCESSORS.iter().chain(more).filter_map(|name| targets::find(name))
}

/// Builds `targets/bench/src/bin/kernels.rs` for `target` and runs it; what it says.
///
/// # Errors
/// Where a kernel differs, or the program cannot be built or run.
pub fn check(target: &Target) -> Result<String> {
    let board = target.boards.last().ok_or_else(|| failed!("{} has no board", target.name))?;
    let package = paths::repository().join("targets/bench");
    let folder = firmware::build_package(target, &package, |command| {
        command.args(["--release", "--bin", "kernels"]).env("SYSTOLE_BENCH_BOARD", board.name);
    })?;
    let printed = qemu::run(board, &folder.join("kernels"), LIMIT)?;
    Ok(printed.trim_end().to_owned())
}
