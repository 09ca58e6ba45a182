//! A program with groups of operators as steps on bands of rows.

use std::collections::HashMap;

use systole_core::{
    Opcode,
    format::{Params, RoundingCode},
    ops::{concatenation, repeat},
};

use super::{
    group::{Stage, with_padding},
    schedule::{Group, Rows, Schedule, Step},
};
use crate::{
    lower::{Instruction, Program, Slot, SlotId, Source},
    macs,
};

/// Where a group's output lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// In memory of its own.
    Apart,
    /// On the rows that the last operator adds.
    OnSide,
    /// On rows of the group's input that have been read, and so many bytes below.
    OnInput,
    /// On rows of the group's input that have been put aside.
    InPlace,
}

/// A group, and where its output lies.
#[derive(Debug, Clone)]
pub(super) struct Fused {
    pub group: Group,
    pub output: Output,
}

/// Rewrites the groups of a program, which are in its order. `None` where one cannot be.
pub(super) fn rewrite(program: &Program, groups: &[Fused]) -> Option<Program> {
    let mut writer = Writer {
        program: Program { instructions: Vec::new(), ..program.clone() },
        parts: HashMap::new(),
    };
    let mut next = 0;
    for fused in groups {
        let stages = &fused.group.stages;
        let (first, last) = (stages.first()?.instruction, stages.last()?.instruction);
        writer.program.instructions.extend_from_slice(program.instructions.get(next..first)?);
        writer.group(program, fused)?;
        next = last + 1;
    }
    writer.program.instructions.extend_from_slice(program.instructions.get(next..)?);
    Some(writer.program)
}

/// An operand of a step: rows of a tensor, or a tensor as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operand {
    Whole(Option<SlotId>),
    /// So many rows of a slot from an offset in bytes on.
    Rows {
        of: SlotId,
        offset: usize,
        rows: usize,
    },
}

/// A step with its operands.
#[derive(Debug, Clone, PartialEq)]
struct Written {
    instruction: Instruction,
    inputs: Vec<Operand>,
    output: Operand,
}

struct Writer {
    program: Program,
    /// Slots that are parts of others, by what they are a part of, offset, rows and advance.
    parts: HashMap<(SlotId, usize, usize, i32), SlotId>,
}

impl Writer {
    fn group(&mut self, before: &Program, fused: &Fused) -> Option<()> {
        let stages = &fused.group.stages;
        let schedule = Schedule::new(before, &fused.group)?;
        let (x, last) = (stages.first()?.input, stages.last()?);
        match fused.output {
            Output::Apart => {}
            Output::OnSide => {
                let (_, side) = last.side?;
                self.program.slots[last.output.0].source = Source::View(before.root(side));
            }
            Output::InPlace => {
                self.program.slots[last.output.0].source =
                    Source::Part(before.root(x), before.offset(x));
            }
            Output::OnInput => {
                let below = schedule.below.next_multiple_of(crate::arena::ALIGNMENT);
                let (x_bytes, y_bytes) =
                    (before.slots[x.0].bytes(), before.slots[last.output.0].bytes());
                let both = (below + x_bytes).max(y_bytes);
                let around = self.add(Slot {
                    dtype: systole_core::DType::U8,
                    shape: vec![both],
                    ..blank(&before.slots[x.0])
                });
                self.program.slots[x.0].source = Source::Part(around, below);
                self.program.slots[last.output.0].source = Source::Part(around, 0);
            }
        }
        let lines: Vec<SlotId> = schedule
            .lines
            .iter()
            .zip(stages)
            .map(|(&rows, stage)| {
                let slot = &before.slots[stage.output.0];
                let mut shape = slot.shape.clone();
                shape[1] = rows;
                self.add(Slot { shape, ..blank(slot) })
            })
            .collect();
        let bands: Option<Vec<Vec<Written>>> = schedule
            .bands
            .iter()
            .map(|steps| steps.iter().map(|step| step_of(before, stages, &lines, step)).collect())
            .collect();
        let bands = bands?;
        let mut at = 0;
        while at < bands.len() {
            let (count, advances) = alike(&bands[at..]);
            let repeated = count > 1;
            if repeated {
                let body = u16::try_from(bands[at].len()).ok()?;
                let params = repeat::Params { count: u16::try_from(count).ok()?, body };
                self.program.instructions.push(Instruction {
                    opcode: Opcode::Repeat,
                    rounding: RoundingCode::None,
                    params: params.write(),
                    inputs: Vec::new(),
                    outputs: Vec::new(),
                    node: bands[at].first()?.instruction.node,
                    macs: 0,
                });
            }
            let mut advances = advances.into_iter();
            for step in &bands[at] {
                let mut operand = |operand: &Operand| self.operand(operand, advances.next()?);
                let inputs: Option<Vec<Option<SlotId>>> =
                    step.inputs.iter().map(&mut operand).collect();
                let output = operand(&step.output)??;
                let macs = step.instruction.macs * count as u64;
                self.program.instructions.push(Instruction {
                    inputs: inputs?,
                    outputs: vec![output],
                    macs,
                    ..step.instruction.clone()
                });
            }
            at += count;
        }
        Some(())
    }

    /// The slot of an operand, which moves by `advance` bytes with each repetition.
    fn operand(&mut self, operand: &Operand, advance: i32) -> Option<Option<SlotId>> {
        let &Operand::Rows { of, offset, rows } = operand else {
            let &Operand::Whole(slot) = operand else { return None };
            return Some(slot);
        };
        let key = (of, offset, rows, advance);
        if let Some(&slot) = self.parts.get(&key) {
            return Some(Some(slot));
        }
        let whole = &self.program.slots[of.0];
        let mut shape = whole.shape.clone();
        *shape.get_mut(1)? = rows;
        let part = Slot { shape, advance, source: Source::Part(of, offset), ..blank(whole) };
        let slot = self.add(part);
        self.parts.insert(key, slot);
        Some(Some(slot))
    }

    fn add(&mut self, slot: Slot) -> SlotId {
        self.program.slots.push(slot);
        SlotId(self.program.slots.len() - 1)
    }
}

/// A slot in the arena with the type, shape and scale of another.
fn blank(slot: &Slot) -> Slot {
    Slot {
        tensor: None,
        name: String::new(),
        source: Source::Arena,
        advance: 0,
        unsigned: false,
        ..slot.clone()
    }
}

/// A step as an operator with its operands.
fn step_of(program: &Program, stages: &[Stage], lines: &[SlotId], step: &Step) -> Option<Written> {
    let rows_of = |rows: Rows, count: usize| match rows {
        Rows::Of(slot, first) => {
            let (_, bytes) = Stage::rows(program, slot);
            Operand::Rows { of: slot, offset: first * bytes, rows: count }
        }
        Rows::Line(stage, first) => {
            let (_, bytes) = Stage::rows(program, stages[stage].output);
            Operand::Rows { of: lines[stage], offset: first * bytes, rows: count }
        }
    };
    Some(match *step {
        Step::Keep { stage, from, to, rows } => Written {
            instruction: copy(&program.instructions[stages[stage].instruction]),
            inputs: vec![rows_of(Rows::Line(stage, from), rows)],
            output: rows_of(Rows::Line(stage, to), rows),
        },
        Step::Run { stage, input: (from, rows), output: (to, count), .. }
            if stages[stage].copies =>
        {
            Written {
                instruction: copy(&program.instructions[stages[stage].instruction]),
                inputs: vec![rows_of(from, rows)],
                output: rows_of(to, count),
            }
        }
        Step::Run { stage, padding, input: (from, rows), side, output: (to, count) } => {
            let stage = &stages[stage];
            let whole = &program.instructions[stage.instruction];
            let mut inputs: Vec<Operand> =
                whole.inputs.iter().map(|&slot| Operand::Whole(slot)).collect();
            *inputs.get_mut(stage.main)? = rows_of(from, rows);
            if let (Some(rows), Some((index, _))) = (side, stage.side) {
                *inputs.get_mut(index)? = rows_of(rows, count);
            }
            let shape = |slot: Option<SlotId>| -> &[usize] {
                slot.map_or(&[], |slot| program.slots[slot.0].shape.as_slice())
            };
            let mut y = shape(Some(stage.output)).to_vec();
            *y.get_mut(1)? = count;
            let weights = shape(whole.inputs.get(1).copied().flatten());
            let macs = macs::count(whole.opcode, shape(Some(stage.input)), weights, &y);
            Written {
                instruction: Instruction { macs, ..with_padding(whole, padding)? },
                inputs,
                output: rows_of(to, count),
            }
        }
    })
}

/// What copies rows for an operator.
fn copy(of: &Instruction) -> Instruction {
    Instruction {
        opcode: Opcode::Concatenation,
        rounding: RoundingCode::None,
        params: concatenation::Params { axis: 0 }.write(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        node: of.node,
        macs: 0,
    }
}

/// How many bands from the first on differ only in where their rows lie, by the same distance from each to
/// the next; and the distance of each operand.
fn alike(bands: &[Vec<Written>]) -> (usize, Vec<i32>) {
    let still = |band: &[Written]| {
        band.iter().map(|step| vec![0; step.inputs.len() + 1]).collect::<Vec<_>>().concat()
    };
    let [first, rest @ ..] = bands else { return (0, Vec::new()) };
    let Some(advances) = rest.first().and_then(|second| distances(first, second)) else {
        return (1, still(first));
    };
    let same = bands
        .windows(2)
        .take_while(|pair| distances(&pair[0], &pair[1]).as_ref() == Some(&advances));
    // A record's fields have 16 bits.
    (same.count().min(usize::from(u16::MAX) - 1) + 1, advances)
}

/// The distances of the operands of two bands, where nothing else differs.
fn distances(a: &[Written], b: &[Written]) -> Option<Vec<i32>> {
    if a.len() != b.len() {
        return None;
    }
    let mut distances = Vec::new();
    for (a, b) in a.iter().zip(b) {
        if a.instruction != b.instruction {
            return None;
        }
        let operands = a.inputs.iter().chain([&a.output]).zip(b.inputs.iter().chain([&b.output]));
        for pair in operands {
            distances.push(match pair {
                (Operand::Whole(a), Operand::Whole(b)) if a == b => 0,
                (
                    &Operand::Rows { of: a, offset: from, rows },
                    &Operand::Rows { of: b, offset: to, rows: same },
                ) if a == b && rows == same => i32::try_from(to as i64 - from as i64).ok()?,
                _ => return None,
            });
        }
    }
    Some(distances)
}
