//! Hostile input: what is tried with bytes that nobody vouches for, within limits of time, memory
//! and work, and the mutations that make such bytes from good ones.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use crate::checked::{convert, convert_source};
use systole_converter::{AlignedBytes, Options, Source, onnx};
use systole_core::{
    Delegate, DelegateError, Delegated, LoadError, Model, Opcode, Operators, Session, WeightSource,
    Weights,
    format::{
        self, HEADER_BYTES, Header, Layout, SECTION_BYTES, Section, SectionKind, TENSOR_BYTES,
        TensorRecord,
    },
};

/// No attempt may take longer.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The largest arena that is given to a hostile model, in bytes.
pub const MAX_ARENA: usize = 4 << 20;

/// The most work that a hostile model is given, see [`Model::work`].
pub const MAX_WORK: u64 = 100_000_000;

/// How an attempt ended, where it ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The bytes were refused.
    Refused,
    /// The model is valid, but asks for more memory or work than it is given.
    OverLimit,
    /// The model was run.
    Ran,
}

/// Loads `bytes` as a `.systole` file and runs it once.
///
/// # Errors
/// Says what must not be: a panic, a run of a validated model that fails, a case over the limit of
/// time.
pub fn load_and_run(bytes: &[u8]) -> Result<Outcome, String> {
    guarded(|| run(AlignedBytes::from(bytes).as_slice()))
}

/// Converts `bytes` as a `.tflite` model, loads the result and runs it once.
///
/// # Errors
/// As [`load_and_run`].
pub fn convert_and_run(bytes: &[u8]) -> Result<Outcome, String> {
    let options = Options { max_arena: MAX_ARENA, max_work: MAX_WORK, ..Options::default() };
    guarded(|| match convert(bytes, &options) {
        Ok(converted) => run(converted.file.as_slice()),
        Err(error) if error.to_string().is_empty() => Err("an error without message".to_owned()),
        Err(_) => Ok(Outcome::Refused),
    })
}

/// Converts `bytes` as an ONNX model without files beside it, loads the result and runs it once.
///
/// # Errors
/// As [`load_and_run`].
pub fn convert_onnx_and_run(bytes: &[u8]) -> Result<Outcome, String> {
    let options = Options { max_arena: MAX_ARENA, max_work: MAX_WORK, ..Options::default() };
    guarded(|| {
        let converted = onnx::import(bytes, None, &options)
            .and_then(|graph| convert_source(Source { graph, bytes: bytes.len() }, &options));
        match converted {
            Ok(converted) => run(converted.file.as_slice()),
            Err(error) if error.to_string().is_empty() => {
                Err("an error without message".to_owned())
            }
            Err(_) => Ok(Outcome::Refused),
        }
    })
}

fn run(bytes: &[u8]) -> Result<Outcome, String> {
    let model = match Model::with_delegate(bytes) {
        Ok(model) => model,
        Err(LoadError::WeightsApart) => return run_apart(bytes),
        Err(_) => return Ok(Outcome::Refused),
    };
    if model.arena_bytes() > MAX_ARENA || model.work() > MAX_WORK {
        return Ok(Outcome::OverLimit);
    }
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice())
        .map_err(|error| format!("a validated model got no session: {error}"))?;
    for (index, info) in model.inputs().enumerate() {
        let mut input = session
            .input(index)
            .map_err(|error| format!("a validated input is no port: {error}"))?;
        // Real numbers where the tensor takes them; else the zeros that are there will do.
        let _ = input.quantize_from(&vec![0.5; info.len()]);
    }
    let operators = (0..model.operator_count() as u16).filter_map(|op| model.operator(op));
    if operators.map(|operator| operator.opcode()).any(|opcode| opcode == Opcode::Delegate) {
        session
            .run_with(&mut Fills)
            .map_err(|error| format!("a validated model failed beside a delegate: {error}"))?;
        if Model::from_bytes(bytes).is_err() {
            return Ok(Outcome::Ran);
        }
    }
    session.run().map_err(|error| format!("a validated model failed to run: {error}"))?;
    for index in 0..model.output_count() {
        session.output(index).map_err(|error| format!("a validated output is no port: {error}"))?;
    }
    Ok(Outcome::Ran)
}

/// The largest memory that a hostile model's weights are read into, in bytes.
const MAX_ROOM: usize = 1 << 20;

/// Runs a model whose weights lie apart, and are noise.
fn run_apart(bytes: &[u8]) -> Result<Outcome, String> {
    let mut buffer = AlignedBytes::zeroed(MAX_ROOM);
    let mut weights = Weights::new(AnyWeights(Noise::new(1)), buffer.as_mut_slice());
    let model = match Model::with_weights(bytes, Operators::ALL, &weights) {
        Ok(model) => model,
        Err(LoadError::WeightsBuffer { .. }) => return Ok(Outcome::OverLimit),
        Err(_) => return Ok(Outcome::Refused),
    };
    if model.arena_bytes() > MAX_ARENA || model.work() > MAX_WORK {
        return Ok(Outcome::OverLimit);
    }
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice())
        .map_err(|error| format!("a validated model got no session: {error}"))?;
    for _ in 0..2 {
        session
            .run_from(&mut weights)
            .map_err(|error| format!("a validated model failed to run: {error}"))?;
    }
    if model.weights_room().least > 0 && session.run().is_ok() {
        return Err("a model ran without its weights".to_owned());
    }
    Ok(Outcome::Ran)
}

/// Weights of any length.
struct AnyWeights(Noise);

impl WeightSource for AnyWeights {
    type Error = std::convert::Infallible;

    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), Self::Error> {
        assert!(offset.is_multiple_of(16) && into.len().is_multiple_of(16), "whole blocks");
        into.fill_with(|| self.0.number() as u8);
        Ok(())
    }
}

/// A delegate that takes every part, and fills its outputs.
#[derive(Debug)]
pub struct Fills;

impl Delegate for Fills {
    fn run(&mut self, part: &mut Delegated<'_, '_>) -> Result<(), DelegateError> {
        for index in 0..part.input_count() {
            part.input(index).expect("it has that many");
        }
        for index in 0..part.output_count() {
            let mut output = part.output(index).expect("it has that many");
            let bytes = vec![0x5A; output.info().bytes()];
            output.copy_stored(&bytes).expect("it has that length");
        }
        Ok(())
    }
}

/// Turns a panic into an error, and so for attempts that take too long.
fn guarded(attempt: impl FnOnce() -> Result<Outcome, String>) -> Result<Outcome, String> {
    let begin = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(attempt)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        format!("panicked: {}", text.unwrap_or("without message"))
    })?;
    match begin.elapsed() {
        elapsed if elapsed > TIME_LIMIT => Err(format!("took {elapsed:?}")),
        _ => outcome,
    }
}

/// Makes the length and checksum in a `.systole` file's header right, so that a reader goes on to
/// what lies behind them.
pub fn seal(bytes: &mut [u8]) {
    let Some(header) = Header::read(bytes) else { return };
    let file_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let sealed = Header { file_bytes, ..header };
    bytes[..20].copy_from_slice(&sealed.to_bytes()[..20]);
    let checksum = format::checksum(&bytes[20..]);
    let sealed = Header { checksum, ..sealed };
    bytes[..20].copy_from_slice(&sealed.to_bytes()[..20]);
}

/// Where a section of a `.systole` file lies; empty where it is missing.
pub fn section(file: &[u8], kind: SectionKind) -> Range<usize> {
    let sections = Header::read(file).map_or(0, |header| usize::from(header.sections));
    let entries = file.get(HEADER_BYTES..).unwrap_or_default().chunks_exact(SECTION_BYTES);
    entries
        .take(sections)
        .filter_map(Section::read)
        .find(|section| section.kind == kind as u16)
        .map_or(0..0, |section| {
            let start = section.offset as usize;
            start..start + section.bytes as usize
        })
}

/// The records of a `.systole` file's tensors, and where each begins.
pub fn tensors(file: &[u8]) -> Vec<(usize, TensorRecord)> {
    let places = section(file, SectionKind::Tensors).step_by(TENSOR_BYTES);
    places.filter_map(|at| Some((at, TensorRecord::read(&file[at..])?))).collect()
}

/// Changes the first record of a tensor of this layout, in a file that stays sealed.
///
/// # Panics
/// Where there is none.
pub fn change_tensor(file: &mut [u8], layout: Layout, change: impl Fn(&mut TensorRecord)) {
    let mut records = tensors(file).into_iter();
    let (at, mut record) = records
        .find(|(_, record)| record.layout == layout as u8)
        .expect("there is a tensor of the layout");
    change(&mut record);
    file[at..at + TENSOR_BYTES].copy_from_slice(&record.to_bytes());
    seal(file);
}

/// The bytes of a `.systole` file that validation reads one by one: all but the constants, which
/// are most of the file.
pub fn structure(file: &[u8]) -> Vec<usize> {
    let constants = section(file, SectionKind::Constants);
    (0..file.len()).filter(|place| !constants.contains(place)).collect()
}

/// A small generator of reproducible noise (xorshift64*), so that a case is named by its seed.
#[derive(Debug, Clone)]
pub struct Noise(u64);

impl Noise {
    /// A generator for one case.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring sequences, and the state must not be 0.
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// A number below `bound`, 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.number().checked_rem(bound as u64).unwrap_or(0) as usize
    }
}

/// Words that overflow something somewhere.
const EXTREMES: &[u32] = &[
    0,
    1,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x1_0000,
    0x10_0000,
    0x3FFF_FFFF,
    0x4000_0000,
    0x7F80_0000,
    0x7FC0_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFF80_0000,
    0xFFFF_FFF0,
    0xFFFF_FFFF,
];

/// Damages `bytes` in one to four ways: flipped bits, swapped words, runs of one byte, words set to
/// extremes or copied from elsewhere, and now and then a truncation. `places` are the bytes to
/// begin at.
pub fn mutate(bytes: &mut Vec<u8>, places: &[usize], noise: &mut Noise) {
    for _ in 0..=noise.below(4) {
        let at = places.get(noise.below(places.len())).copied().unwrap_or(0);
        let Some(rest) = bytes.get_mut(at..) else { continue };
        match noise.below(14) {
            0..4 => {
                if let Some(byte) = rest.first_mut() {
                    *byte ^= 1 << noise.below(8);
                }
            }
            4..6 => {
                if let Some(byte) = rest.first_mut() {
                    *byte = noise.number() as u8;
                }
            }
            6 | 7 => {
                let word = EXTREMES[noise.below(EXTREMES.len())].to_le_bytes();
                let length = [1, 2, 4][noise.below(3)];
                rest.iter_mut().zip(&word[..length]).for_each(|(to, from)| *to = *from);
            }
            8 | 9 => {
                let fill = [0x00, 0xFF][noise.below(2)];
                rest.iter_mut().take(1 + noise.below(16)).for_each(|byte| *byte = fill);
            }
            10 | 11 => {
                let other = places.get(noise.below(places.len())).copied().unwrap_or(0);
                let (a, b) = (at / 4 * 4, other / 4 * 4);
                if a + 4 <= bytes.len() && b + 4 <= bytes.len() {
                    (0..4).for_each(|i| bytes.swap(a + i, b + i));
                }
            }
            12 => {
                let other = places.get(noise.below(places.len())).copied().unwrap_or(0);
                let length = [2, 4, 8, 24][noise.below(4)];
                if at + length <= bytes.len() && other + length <= bytes.len() {
                    bytes.copy_within(other..other + length, at);
                }
            }
            _ => {
                if noise.below(4) == 0 {
                    bytes.truncate(at);
                }
            }
        }
    }
}
