//! An independent check of memory plans, from the file that was written: no tensor is written over while it
//! is still needed.
//!
//! It shares no code with the planner and none with the runtime: the records are read here as
//! `docs/format.md` has them, and the program is played through. Every byte of the arenas remembers whose it
//! is: that of the tensor which an operator, or the user, wrote there last. A tensor that is read must still
//! have all of its bytes. So must weights that were brought into an arena before the first run. Which tensors are views of others the file does not say; that is taken from the
//! lowered program, which is made before anything is planned.

use systole_converter::{Converted, compile::Compiled};

/// Section kinds, opcodes and flags, by their numbers in the format.
const PORTS: u16 = 1;
const TENSORS: u16 = 2;
const OPERATORS: u16 = 4;
const OPERANDS: u16 = 5;
const ARENAS: u16 = 6;
const ADVANCES: u16 = 9;
const RESIDENTS: u16 = 11;
const DELEGATE: u16 = 200;
const REPEAT: u16 = 201;
const PERSISTS: u8 = 2;
const NOT_GIVEN: u16 = 0xFFFF;

/// Larger plans are not played through, in bytes.
const MAX_ARENAS: usize = 64 << 20;

/// Checks what a conversion wrote.
///
/// # Errors
/// Names the operator and the tensor that it finds damaged.
pub fn check(converted: &Converted) -> Result<(), String> {
    check_compiled(&converted.compiled)
}

/// [`check`] of a graph that was compiled.
///
/// # Errors
/// As [`check`].
pub fn check_compiled(compiled: &Compiled) -> Result<(), String> {
    let roots: Vec<usize> =
        compiled.written.tensors.iter().map(|&slot| compiled.program.root(slot).0).collect();
    let file = File(&compiled.written.bytes);
    let program = Program::read(&file, &roots).ok_or("a record is missing")?;
    // Limits are tested with arenas that a table of all bytes would not fit beside.
    if program.arenas.iter().sum::<usize>() > MAX_ARENAS {
        return Ok(());
    }
    // Parts for an accelerator are computed there, or by the operators that stand in for them.
    let parts = program.operators.iter().any(|operator| operator.opcode == DELEGATE);
    for accelerated in [false, true].into_iter().filter(|&accelerated| parts || !accelerated) {
        let mut memory = Memory::new(&program);
        // State lasts, so that the second run must find what the first one left.
        for _ in 0..2 {
            memory.run(&program, accelerated)?;
        }
    }
    program.sizes()
}

/// The bytes of a file.
struct File<'a>(&'a [u8]);

impl<'a> File<'a> {
    fn section(&self, kind: u16) -> &'a [u8] {
        let count = number(self.0, 10, 2).unwrap_or(0) as usize;
        for entry in self.0.get(32..).unwrap_or_default().chunks_exact(16).take(count) {
            if number(entry, 0, 2) == Some(u64::from(kind)) {
                let start = number(entry, 4, 4).unwrap_or(0) as usize;
                let length = number(entry, 8, 4).unwrap_or(0) as usize;
                return self.0.get(start..start + length).unwrap_or_default();
            }
        }
        &[]
    }
}

/// `length` bytes from `at` on, little-endian.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + length)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// A tensor in an arena.
#[derive(Clone, Copy)]
struct Tensor {
    arena: usize,
    offset: usize,
    bytes: usize,
    advance: i64,
    persists: bool,
    /// The tensor that owns its bytes.
    root: u32,
}

struct Operator {
    opcode: u16,
    /// Tensors by their index, and of which none is a constant.
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    /// The first two parameters of `repeat`; the second of `delegate`.
    numbers: [usize; 2],
}

struct Program {
    tensors: Vec<Option<Tensor>>,
    operators: Vec<Operator>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    arenas: Vec<usize>,
    /// Constants that are brought into arenas, by their index.
    residents: Vec<Tensor>,
}

impl Program {
    fn read(file: &File<'_>, roots: &[usize]) -> Option<Self> {
        let mut tensors = Vec::new();
        for (index, record) in file.section(TENSORS).chunks_exact(24).enumerate() {
            let tensor = Tensor {
                arena: record[22].into(),
                offset: number(record, 8, 4)? as usize,
                bytes: number(record, 12, 4)? as usize,
                advance: 0,
                persists: record[3] & PERSISTS != 0,
                root: *roots.get(index)? as u32,
            };
            tensors.push((record[2] == 0).then_some(tensor));
        }
        for record in file.section(ADVANCES).chunks_exact(8) {
            let tensor = tensors.get_mut(number(record, 0, 2)? as usize)?.as_mut()?;
            tensor.advance = (number(record, 4, 4)? as u32 as i32).into();
        }
        let mut residents = Vec::new();
        for record in file.section(RESIDENTS).chunks_exact(8) {
            let index = number(record, 0, 2)? as usize;
            let weights = file.section(TENSORS).chunks_exact(24).nth(index)?;
            // It is a constant, and stays one.
            if weights[2] != 1 || tensors.get(index)?.is_some() {
                return None;
            }
            let tensor = Tensor {
                arena: record[2].into(),
                offset: number(record, 4, 4)? as usize,
                bytes: number(weights, 12, 4)? as usize,
                advance: 0,
                persists: true,
                root: *roots.get(index)? as u32,
            };
            residents.push(tensor);
        }
        let operands = file.section(OPERANDS);
        let mut operators = Vec::new();
        for record in file.section(OPERATORS).chunks_exact(64) {
            let first = number(record, 4, 4)? as usize;
            let (inputs, outputs) =
                (number(record, 8, 2)? as usize, number(record, 10, 2)? as usize);
            let named = |range: std::ops::Range<usize>| -> Option<Vec<usize>> {
                let mut named = Vec::new();
                for operand in range {
                    let index = number(operands, 2 * (first + operand), 2)? as usize;
                    let given = index != usize::from(NOT_GIVEN);
                    if given && tensors.get(index)?.is_some() {
                        named.push(index);
                    }
                }
                Some(named)
            };
            let opcode = number(record, 0, 2)? as u16;
            let numbers = match opcode {
                DELEGATE => [0, number(record, 13, 2)? as usize],
                _ => [number(record, 12, 2)? as usize, number(record, 14, 2)? as usize],
            };
            let (inputs, outputs) = (named(0..inputs)?, named(inputs..inputs + outputs)?);
            operators.push(Operator { opcode, inputs, outputs, numbers });
        }
        let ports = file.section(PORTS);
        let counts = [number(ports, 0, 2)? as usize, number(ports, 2, 2)? as usize];
        let port = |i: usize| number(ports, 4 + 2 * i, 2).map(|index| index as usize);
        let inputs = (0..counts[0]).map(port).collect::<Option<Vec<_>>>()?;
        let outputs = (counts[0]..counts[0] + counts[1]).map(port).collect::<Option<Vec<_>>>()?;
        let sizes = file.section(ARENAS).chunks_exact(16);
        let arenas = sizes.map(|record| number(record, 0, 4).map(|size| size as usize));
        let arenas = arenas.collect::<Option<Vec<_>>>()?;
        Some(Self { tensors, operators, inputs, outputs, arenas, residents })
    }

    fn tensor(&self, index: usize) -> Option<Tensor> {
        self.tensors.get(index).copied().flatten()
    }

    /// No arena is larger than its tensors need, up to what sizes are rounded to.
    fn sizes(&self) -> Result<(), String> {
        for (arena, &size) in self.arenas.iter().enumerate() {
            let all = self.tensors.iter().flatten();
            let all = all.chain(&self.residents);
            let inside = all.filter(|tensor| tensor.arena == arena);
            let roots = inside.clone().map(|tensor| tensor.offset + tensor.bytes);
            // A tensor that moves may reach further than where it begins.
            let moves = inside.clone().any(|tensor| tensor.advance != 0);
            let end = roots.max().unwrap_or(0).next_multiple_of(16);
            if size > end && !moves || size.next_multiple_of(16) < end {
                return Err(format!("arena {arena} has {size} bytes, its tensors end at {end}"));
            }
        }
        Ok(())
    }
}

/// Whose each byte of each arena is; 0 for nobody's, else one more than the owner.
struct Memory(Vec<Vec<u32>>);

impl Memory {
    fn new(program: &Program) -> Self {
        let mut memory = Self(program.arenas.iter().map(|&size| vec![0; size]).collect());
        let residents = program.residents.iter();
        let kept = program.tensors.iter().flatten().filter(|tensor| tensor.persists);
        for tensor in kept.chain(residents) {
            // What does not fit is found when it is used.
            let _ = memory.write(tensor, 0);
        }
        memory
    }

    fn run(&mut self, program: &Program, accelerated: bool) -> Result<(), String> {
        for &input in &program.inputs {
            if let Some(tensor) = program.tensor(input) {
                self.write(&tensor, 0)?;
            }
        }
        let mut at = 0;
        while let Some(operator) = program.operators.get(at) {
            let [count, number] = operator.numbers;
            match operator.opcode {
                REPEAT => {
                    for i in 0..count {
                        for op in at + 1..=at + number {
                            self.execute(program, op, i)?;
                        }
                    }
                    at += 1 + number;
                }
                DELEGATE if !accelerated && number > 0 => at += 1,
                DELEGATE => {
                    self.execute(program, at, 0)?;
                    at += 1 + number;
                }
                _ => {
                    self.execute(program, at, 0)?;
                    at += 1;
                }
            }
        }
        let residents = program.residents.iter();
        let kept = program.tensors.iter().flatten().filter(|tensor| tensor.persists);
        let kept = kept.chain(residents);
        let outputs = program.outputs.iter().filter_map(|&output| program.tensor(output));
        for tensor in kept.copied().chain(outputs) {
            self.read(&tensor, 0).map_err(|why| format!("at the end of a run: {why}"))?;
        }
        Ok(())
    }

    fn execute(&mut self, program: &Program, op: usize, iteration: usize) -> Result<(), String> {
        let Some(operator) = program.operators.get(op) else {
            return Err(format!("no operator {op}"));
        };
        let place = |why: String| format!("operator {op}: {why}");
        let tensors = |indices: &[usize]| -> Vec<Tensor> {
            indices.iter().filter_map(|&index| program.tensor(index)).collect()
        };
        let (inputs, outputs) = (tensors(&operator.inputs), tensors(&operator.outputs));
        // State is among the outputs, and read before it is written.
        for tensor in inputs.iter().chain(outputs.iter().filter(|tensor| tensor.persists)) {
            self.read(tensor, iteration).map_err(place)?;
        }
        for tensor in &outputs {
            self.write(tensor, iteration).map_err(place)?;
        }
        Ok(())
    }

    fn bytes(&mut self, tensor: &Tensor, iteration: usize) -> Result<&mut [u32], String> {
        let start = tensor.offset as i64 + tensor.advance * iteration as i64;
        let arena = self.0.get_mut(tensor.arena).ok_or("a tensor in no arena")?;
        let start = usize::try_from(start).map_err(|_| "a tensor in front of its arena")?;
        let bytes = arena.get_mut(start..start + tensor.bytes);
        bytes.ok_or_else(|| format!("a tensor at {start} ends behind arena {}", tensor.arena))
    }

    fn write(&mut self, tensor: &Tensor, iteration: usize) -> Result<(), String> {
        self.bytes(tensor, iteration)?.fill(tensor.root + 1);
        Ok(())
    }

    fn read(&mut self, tensor: &Tensor, iteration: usize) -> Result<(), String> {
        let bytes = self.bytes(tensor, iteration)?;
        match bytes.iter().find(|&&owner| owner != tensor.root + 1) {
            None => Ok(()),
            Some(0) => Err(format!("slot {} was never written whole", tensor.root)),
            Some(other) => {
                Err(format!("slot {} was written over by slot {}", tensor.root, other - 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hostile, repository};
    use systole_converter::{Options, convert_file};
    use systole_core::format::SectionKind;

    #[test]
    fn plans_of_the_bundled_model_are_right_and_planted_overlaps_are_found() {
        let path = repository().join("models/digits.tflite");
        let converted = convert_file(&path, &Options::default()).unwrap();
        assert_eq!(check(&converted), Ok(()));
        // Tensors at the start of the arena, one at a time: on others that are still needed.
        let mut compiled = converted.compiled.clone();
        let range = hostile::section(&compiled.written.bytes, SectionKind::Tensors);
        let mut planted = Vec::new();
        for start in range.step_by(24) {
            let original: [u8; 4] = compiled.written.bytes[start + 8..][..4].try_into().unwrap();
            if compiled.written.bytes[start + 2] == 0 && original != [0; 4] {
                compiled.written.bytes[start + 8..start + 12].fill(0);
                planted.push(check_compiled(&compiled).is_err());
                compiled.written.bytes[start + 8..start + 12].copy_from_slice(&original);
            }
        }
        // Where nothing is at the start by then, they may lie there.
        assert!(planted.iter().filter(|&&found| found).count() >= 2, "{planted:?}");
    }
}
