//! Random networks on microcontrollers: models that no kernel was made for, of any shape, against the
//! host's portable kernels.
//!
//! The networks are loaded from their files, so that one program has many, and all operators. Each is
//! converted for one of the roundings and one of the memories that there are. The host's outputs come from
//! a process of its own, because kernels are chosen once in a process.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use clap::Args;
use systole_converter::{AlignedBytes, Match, Memory, Options, compile};
use systole_core::{Model, Session};

use crate::{
    error::{Result, failed},
    firmware, paths, qemu,
    targets::{self, Target},
};

/// Processors that networks run on: name, memory map where the board's own is too small, and whether they
/// always do. Linking all operators takes a minute for each.
const PROCESSORS: [(&str, Option<&str>, bool); 4] = [
    ("cortex-m0", None, true),
    ("cortex-m4", None, false),
    ("cortex-m55", Some("mps3-an547-sram"), true),
    ("riscv32imac", None, false),
];
/// Layers over the image that a network may have.
const LAYERS: usize = 10;
/// Nodes that the memory planner may visit.
const PLAN_BUDGET: usize = 2_000;
/// Bytes of networks in a program.
const PROGRAM_BYTES: usize = 640 << 10;
/// The most time that a program may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Writes networks for `boards`, which calls this.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where to
    folder: PathBuf,
    /// How many
    count: u64,
}

/// A network's files.
#[derive(Debug)]
struct Network {
    seed: u64,
    folder: PathBuf,
    /// Of its file, its input and its output.
    bytes: [usize; 3],
    arena: usize,
}

/// The command that writes networks.
///
/// # Errors
/// Where one cannot be converted or does not run, or files cannot be written.
pub fn command(arguments: &Arguments) -> Result<String> {
    for seed in 0..arguments.count {
        write(&arguments.folder, seed).map_err(|problem| failed!("network {seed}: {problem}"))?;
    }
    Ok(String::new())
}

/// Writes the network of number `seed`, an input and the output.
fn write(folder: &Path, seed: u64) -> Result<()> {
    let graph = systole_networks::classifier(LAYERS, seed);
    let matching = match seed % 3 {
        0 => Match::Tflm,
        1 => Match::Litert,
        _ => Match::Native,
    };
    let memory = match seed / 3 % 3 {
        0 => Memory::Whole,
        1 => Memory::Sums,
        _ => Memory::Least,
    };
    let options = Options { matching, memory, plan_budget: PLAN_BUDGET, ..Options::default() };
    let file = AlignedBytes::from(&*compile::compile(&graph, &options)?.written.bytes);
    let model =
        Model::from_bytes(file.as_slice()).map_err(|problem| failed!("its file: {problem}"))?;
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice())
        .map_err(|problem| failed!("its session: {problem}"))?;
    let mut input = session.input(0).map_err(|problem| failed!("its input: {problem}"))?;
    let mut state = seed as u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let x: Vec<u8> = (0..input.info().bytes()).map(|_| next()).collect();
    input.copy_stored(&x).map_err(|problem| failed!("its input: {problem}"))?;
    session.run().map_err(|problem| failed!("its run: {problem}"))?;
    let y = session.output(0).map_err(|problem| failed!("its output: {problem}"))?;
    for (name, bytes) in NAMES.into_iter().zip([file.as_slice(), &x, y.stored_bytes()]) {
        let path = folder.join(format!("{seed}.{name}"));
        fs::write(&path, bytes).map_err(|problem| failed!("{}: {problem}", path.display()))?;
    }
    Ok(())
}

/// How a network's files end.
const NAMES: [&str; 3] = ["systole", "input", "output"];

/// A processor that networks run on.
#[derive(Debug, Clone, Copy)]
pub struct Processor {
    pub target: &'static Target,
    memory: Option<&'static str>,
}

/// The processors; `all` of them, or a part.
pub fn processors(all: bool) -> impl Iterator<Item = Processor> {
    let some = PROCESSORS.iter().filter(move |&&(_, _, always)| all || always);
    some.filter_map(|&(name, memory, _)| Some(Processor { target: targets::find(name)?, memory }))
}

/// Networks with inputs and outputs, in a folder that is removed with this.
#[derive(Debug)]
pub struct Networks {
    networks: Vec<Network>,
    folder: tempfile::TempDir,
}

impl Networks {
    /// Makes networks, whose outputs are those of the host's portable kernels.
    ///
    /// # Errors
    /// Where one cannot be made.
    pub fn make(count: u64) -> Result<Self> {
        let folder =
            tempfile::tempdir().map_err(|problem| failed!("no temporary folder: {problem}"))?;
        let program = std::env::current_exe();
        let program = program.map_err(|problem| failed!("this program: {problem}"))?;
        let mut command = Command::new(program);
        command.arg("networks").arg(folder.path()).arg(count.to_string());
        let output = command.env("SYSTOLE_ISA", "portable").output();
        let output = output.map_err(|problem| failed!("this program: {problem}"))?;
        if !output.status.success() {
            return Err(failed!("{}", String::from_utf8_lossy(&output.stderr).trim_end()));
        }
        let read = |seed| Network::read(folder.path(), seed);
        let networks = (0..count).map(read).collect::<Result<_>>()?;
        Ok(Self { networks, folder })
    }

    /// Runs them on a processor, in as many programs as they need; how many there are.
    ///
    /// # Errors
    /// Where a program cannot be built or run, or outputs differ: it says which.
    pub fn check(&self, processor: &Processor) -> Result<usize> {
        let &Processor { target, memory } = processor;
        let board = target.boards.last().ok_or_else(|| failed!("{} has no board", target.name))?;
        let package = paths::repository().join("targets/bench");
        let mut left = self.networks.as_slice();
        while let Some(first) = left.first() {
            let mut bytes = 0;
            let fits = left.iter().take_while(|network| {
                bytes += network.bytes.iter().sum::<usize>();
                bytes <= PROGRAM_BYTES
            });
            let (some, rest) = left.split_at(fits.count().max(1));
            let include = self.folder.path().join(format!("{}-{}.rs", target.name, first.seed));
            fs::write(&include, source(some))
                .map_err(|problem| failed!("{}: {problem}", include.display()))?;
            let folder = firmware::build_package(target, &package, |command| {
                command.args(["--release", "--bin", "networks"]);
                command.env("SYSTOLE_BENCH_BOARD", memory.unwrap_or(board.name));
                command.env("SYSTOLE_BENCH_MODEL", &include);
            })?;
            qemu::run(board, &folder.join("networks"), LIMIT)
                .map_err(|problem| failed!("those from {} on: {problem}", first.seed))?;
            left = rest;
        }
        Ok(self.networks.len())
    }
}

impl Network {
    fn read(folder: &Path, seed: u64) -> Result<Self> {
        let path = |name: &str| folder.join(format!("{seed}.{name}"));
        let read = |name: &str| {
            fs::read(path(name)).map_err(|problem| failed!("{}: {problem}", path(name).display()))
        };
        let [file, input, output] = NAMES.map(read);
        let file = AlignedBytes::from(&*file?);
        let arena = Model::from_bytes(file.as_slice()).map(|model| model.arena_bytes());
        let arena = arena.map_err(|problem| failed!("network {seed}: {problem}"))?;
        let bytes = [file.as_slice().len(), input?.len(), output?.len()];
        Ok(Self { seed, folder: folder.to_owned(), bytes, arena })
    }

    fn path(&self, name: &str) -> String {
        format!("{:?}", self.folder.join(format!("{}.{name}", self.seed)).display().to_string())
    }
}

/// The source that the firmware includes.
fn source(networks: &[Network]) -> String {
    let arena = networks.iter().map(|network| network.arena).max().unwrap_or(0);
    let mut out =
        format!("// Written by `cargo xtask boards`.\npub const ARENA_BYTES: usize = {arena};\n");
    for network in networks {
        let _ = writeln!(
            out,
            "static FILE_{}: ::systole::Aligned<[u8; {}]> = ::systole::Aligned(*include_bytes!({}));",
            network.seed,
            network.bytes[0],
            network.path(NAMES[0])
        );
    }
    let _ = writeln!(out, "pub static NETWORKS: [Network; {}] = [", networks.len());
    for network in networks {
        let [_, input, output] = NAMES.map(|name| network.path(name));
        let _ = writeln!(
            out,
            "    Network {{ file: &FILE_{}.0, input: include_bytes!({input}), output: include_bytes!({output}) }},",
            network.seed
        );
    }
    out.push_str("];\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_written_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        // Every rounding with every memory.
        for seed in 0..9 {
            write(folder.path(), seed).unwrap();
            let network = Network::read(folder.path(), seed).unwrap();
            assert!(network.arena > 0 && network.bytes.iter().all(|&bytes| bytes > 0));
            let source = source(&[network]);
            assert!(source.contains(&format!("static FILE_{seed}:")), "{source}");
            assert!(source.contains("NETWORKS: [Network; 1]"), "{source}");
        }
        assert!(Network::read(folder.path(), 9).is_err());
    }
}
