//! What a chip's memories are used for, on boards that have several: a model that is compiled in, with its arenas
//! and weights in two of them; and a session that reads its weights from a flash that cannot be mapped.

use std::{fmt::Write, fs, path::Path, time::Duration};

use systole_converter::{ChipMemory, Converted, Options, apart, convert_file, npz};
use systole_core::{Model, emit};

use crate::{
    error::{Result, failed},
    firmware,
    models::{self, DIGITS, Known},
    paths, qemu,
    targets::{self, Target},
};

/// Processors with boards that have two memories; the last one where all are asked for.
const PROCESSORS: [&str; 3] = ["cortex-m4", "cortex-m55", "cortex-m0"];
/// The memories, of which the first is tightly coupled.
const MEMORIES: [&str; 3] = ["dtcm=24k:1", "sram=64k:3", "flash:6"];
/// Where the first arena has to be.
const FAST: std::ops::Range<u32> = 0x2000_0000..0x2001_0000;
/// Samples whose outputs are compared.
const SAMPLES: usize = 2;
/// The most time that a program may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The processors; `all` of them, or a part.
pub fn processors(all: bool) -> impl Iterator<Item = &'static Target> {
    let count = if all { PROCESSORS.len() } else { 2 };
    PROCESSORS.iter().take(count).filter_map(|name| targets::find(name))
}

/// Builds the program for `target` and runs it; what it shows.
///
/// # Errors
/// Where outputs differ, an arena is not where it belongs, no weights are in the memories, or the program cannot be
/// built or run.
pub fn check(target: &Target) -> Result<String> {
    let known = models::named(&["kws".to_owned()])?;
    let known = known.into_iter().find(|model| model.files().is_some()).unwrap_or(DIGITS);
    let chip = Chip::of(known)?;
    let board = target.boards.last().ok_or_else(|| failed!("{} has no board", target.name))?;
    let folder = tempfile::tempdir().map_err(|why| failed!("no temporary folder: {why}"))?;
    let include = folder.path().join("chip.rs");
    let source = chip.source(folder.path())?;
    fs::write(&include, source).map_err(|why| failed!("{}: {why}", include.display()))?;
    let package = paths::repository().join("targets/bench");
    let built = firmware::build_package(target, &package, |command| {
        command.args(["--release", "--bin", "memories"]);
        command.env("SYSTOLE_BENCH_BOARD", format!("{}-memories", board.name));
        command.env("SYSTOLE_BENCH_MODEL", &include);
    })?;
    let printed = qemu::run(board, &built.join("memories"), LIMIT)?;
    let number = |name: &str| -> Result<u32> {
        let found = printed.split_whitespace().find_map(|word| word.strip_prefix(name));
        let number = found.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        number.ok_or_else(|| failed!("the program printed {printed:?}"))
    };
    let (fast, slow) = (number("fast=0x")?, number("slow=0x")?);
    if !FAST.contains(&fast) || FAST.contains(&slow) {
        return Err(failed!("the arenas are at {fast:#x} and {slow:#x}"));
    }
    // Once to verify them, once in each run, and what is read ahead for the next one.
    let (read, bytes) = (number("apart=0x")? as usize, chip.weights.len());
    if !(bytes * (1 + SAMPLES)..bytes * (2 + SAMPLES)).contains(&read) {
        return Err(failed!("{read} bytes of weights were read; there are {bytes}"));
    }
    Ok(format!(
        "{} in two memories, with {} bytes of weights, and {bytes} bytes of weights apart by a buffer of {}",
        known.name, chip.resident, chip.buffer
    ))
}

/// A model in both ways, and what it has to answer.
#[derive(Debug)]
struct Chip {
    /// For two memories.
    converted: Converted,
    /// Bytes of weights that are in them.
    resident: usize,
    /// The model without its weights.
    file: Vec<u8>,
    weights: Vec<u8>,
    arena: usize,
    buffer: usize,
    /// As they are stored, a sample each.
    inputs: Vec<Vec<u8>>,
    outputs: Vec<Vec<u8>>,
}

impl Chip {
    fn of(known: Known) -> Result<Self> {
        let files = known.files().ok_or_else(|| failed!("{} has no files", known.name))?;
        let memories =
            MEMORIES.map(|memory| ChipMemory::parse(memory).map_err(|why| failed!("{why}")));
        let memories = memories.into_iter().collect::<Result<_>>()?;
        let converted = convert_file(&files.model, &Options { memories, ..Options::default() })?;
        let resident = converted.report.memories.iter().map(|it| it.resident_bytes()).sum();
        if resident == 0 {
            return Err(failed!("{} has no weights in its memories", known.name));
        }
        let whole = convert_file(&files.model, &Options::default())?;
        let apart::Split { file, weights } = apart::split(whole.file.as_slice())?;
        let file = file.as_slice().to_vec();
        let (arena, buffer) =
            apart::with_model(&file, |model| (model.arena_bytes(), model.weights_room().double))?;
        let samples = |path: &Path| -> Result<Vec<Vec<u8>>> {
            let arrays = npz::read(path)?;
            let array = arrays.first().ok_or_else(|| failed!("{} is empty", path.display()))?;
            let count = array.shape.first().copied().unwrap_or(0).max(1);
            let each = array.bytes.chunks_exact((array.bytes.len() / count).max(1));
            Ok(each.take(SAMPLES).map(<[u8]>::to_vec).collect())
        };
        let (inputs, outputs) = (samples(&files.inputs)?, samples(&files.golden)?);
        Ok(Self { converted, resident, file, weights, arena, buffer, inputs, outputs })
    }

    /// The source that the firmware includes, with files in `folder`.
    fn source(&self, folder: &Path) -> Result<String> {
        let mut out = String::from("// Written by `cargo xtask boards`.\n");
        let put = |name: &str, bytes: &[u8]| -> Result<String> {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(|why| failed!("{}: {why}", path.display()))?;
            Ok(format!("include_bytes!({:?})", path.display().to_string()))
        };
        let chip = self.converted.file.as_slice();
        let include = put("chip.systole", chip)?;
        let options = emit::Options { name: "Bench", visibility: "pub", file: &include };
        let items = emit::rust(chip, options).map_err(|why| failed!("{why}"))?;
        Model::from_bytes(chip).map_err(|why| failed!("{why}"))?;
        let _ = write!(
            out,
            "pub mod chip {{
{items}
/// Whether a sample's output is golden.
#[inline(never)]
pub fn run(bench: &mut Bench<'_>, sample: usize) -> Option<bool> {{
    for (to, &from) in bench.input_mut().iter_mut().zip(super::INPUTS.get(sample)?) {{
        *to = from as i8;
    }}
    let output = bench.run_in_place().iter().map(|&y| y as u8);
    Some(output.eq(super::OUTPUTS.get(sample)?.iter().copied()))
}}
}}
"
        );
        for (name, samples) in [("INPUTS", &self.inputs), ("OUTPUTS", &self.outputs)] {
            let length = samples.first().map_or(0, Vec::len);
            let _ = writeln!(
                out,
                "pub static {name}: [[u8; {length}]; {}] = {samples:?};",
                samples.len()
            );
        }
        let (file, weights) = (put("apart.systole", &self.file)?, put("apart.bin", &self.weights)?);
        let _ = write!(
            out,
            "pub static FILE: ::systole::Aligned<[u8; {}]> = ::systole::Aligned(*{file});
pub static WEIGHTS: &[u8] = {weights};
pub const ARENA_BYTES: usize = {};
pub const BUFFER_BYTES: usize = {};
",
            self.file.len(),
            self.arena,
            self.buffer
        );
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_model_has_weights_in_memories_and_apart() {
        let chip = Chip::of(DIGITS).unwrap();
        assert_eq!((chip.inputs.len(), chip.outputs.len()), (SAMPLES, SAMPLES));
        assert!(chip.resident > 0 && chip.buffer > 0 && chip.buffer <= 2 * chip.weights.len());
        let folder = tempfile::tempdir().unwrap();
        let source = chip.source(folder.path()).unwrap();
        assert!(source.contains("pub struct Bench<'a>"), "{source}");
        assert!(source.contains("compiled::bring("), "{source}");
    }
}
