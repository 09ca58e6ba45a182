//! Damaged files: whatever the loader accepts can be run. Every case of `tests/operators`
//! and `tests/onnx_quantized` is converted, bytes of its records are changed at random, and the checksum is made right again, as
//! an attacker would.

use std::path::PathBuf;

use systole_converter::{AlignedBytes, ChipMemory, Memory, Options};
use systole_core::{
    Model, Session,
    format::{self, HEADER_BYTES, Header, SECTION_BYTES, Section, SectionKind},
};
use systole_tests::checked::convert_file;
use systole_tests::repository;

/// Damaged variants of each case.
const VARIANTS: u64 = 300;

/// Arenas that are allocated; files may ask for more, and a caller would refuse.
const MAX_ARENA: usize = 1 << 20;

/// Elementary steps of a run; files may ask for more here too.
const MAX_WORK: u64 = 50_000_000;

/// Pseudo-random numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

#[test]
fn what_the_loader_accepts_runs_without_error() {
    let mut cases = Vec::new();
    for (folder, kind) in [("operators", "tflite"), ("onnx_quantized", "onnx")] {
        let folder = repository().join("tests").join(folder);
        let entries = std::fs::read_dir(&folder).expect("the folder of cases is there");
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        found.retain(|path| path.extension().is_some_and(|extension| extension == kind));
        // Whole models have no operators that single ones have not.
        found.retain(|path| path.metadata().is_ok_and(|data| kind != "onnx" || data.len() < 5000));
        found.sort();
        cases.extend(found);
    }
    let (mut accepted, mut refused) = (0, 0);
    for (case, path) in cases.iter().enumerate() {
        // What is not supported is another test's business.
        let Ok(converted) = convert_file(path, &Options::default()) else { continue };
        let banded = Options { memory: Memory::Least, ..Options::default() };
        let banded = convert_file(path, &banded).ok().filter(|it| it.report.banded > 0);
        let memories = vec![ChipMemory::new("sram", MAX_ARENA), ChipMemory::flash("flash", 9)];
        let resident = convert_file(path, &Options { memories, ..Options::default() }).ok();
        for variant in 0..VARIANTS {
            // Of what can run on bands of rows every other file does, or has weights in its arena.
            let other = if variant % 4 == 1 { &resident } else { &banded };
            let converted = other.as_ref().filter(|_| variant % 2 == 1).unwrap_or(&converted);
            let seed = (case as u64) << 32 | variant << 1 | 1;
            let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let file = damaged(converted.file.as_slice(), &mut random);
            match run(&file, &mut random) {
                Ok(true) => accepted += 1,
                Ok(false) => refused += 1,
                Err(error) => panic!("{}, variant {variant}: {error}", path.display()),
            }
        }
    }
    // Both happen: the damage is neither always seen nor never.
    assert!(accepted > cases.len(), "{accepted} of {} files accepted", accepted + refused);
    assert!(refused > cases.len(), "{refused} of {} files refused", accepted + refused);
}

/// The file with one to three bytes of its tables changed, and a checksum that fits.
fn damaged(file: &[u8], random: &mut Random) -> AlignedBytes {
    let mut bytes = file.to_vec();
    let mut header = Header::read(&bytes).expect("the file is whole");
    let sections: Vec<Section> = (0..usize::from(header.sections))
        .filter_map(|i| Section::read(&bytes[HEADER_BYTES + i * SECTION_BYTES..]))
        .filter(|section| {
            let tables = [
                SectionKind::Ports,
                SectionKind::Tensors,
                SectionKind::Shapes,
                SectionKind::Operators,
                SectionKind::Operands,
                SectionKind::Advances,
                SectionKind::Arenas,
                SectionKind::Residents,
            ];
            tables.iter().any(|&kind| kind as u16 == section.kind) && section.bytes > 0
        })
        .collect();
    for _ in 0..1 + random.below(3) {
        let section = &sections[random.below(sections.len())];
        let at = section.offset as usize + random.below(section.bytes as usize);
        // Small numbers and extremes find more than noise: they look valid.
        bytes[at] = match random.below(6) {
            0 => 0,
            1 => 0xFF,
            2 => 0x80,
            3 => bytes[at].wrapping_add(1),
            4 => random.below(9) as u8,
            _ => random.next() as u8,
        };
    }
    header.checksum = 0;
    bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    header.checksum = format::checksum(&bytes[20..]);
    bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    AlignedBytes::from(&bytes[..])
}

/// Loads the file and runs it over noise; `Ok(false)` where the loader refuses it.
fn run(file: &AlignedBytes, random: &mut Random) -> Result<bool, String> {
    let Ok(model) = Model::from_bytes(file.as_slice()) else { return Ok(false) };
    if model.arena_bytes() > MAX_ARENA || model.work() > MAX_WORK {
        return Ok(false);
    }
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    for byte in arena.as_mut_slice() {
        *byte = random.next() as u8;
    }
    let mut session =
        Session::new(&model, arena.as_mut_slice()).map_err(|error| error.to_string())?;
    session.run().map_err(|error| error.to_string())?;
    Ok(true)
}
