//! Which buffers the arena holds and for how long: views and in-place operators share one.

use crate::{
    lower::{Program, SlotId, Source},
    planner::{self, Buffer},
};

/// Alignment of buffers in the arena, in bytes.
pub const ALIGNMENT: usize = systole_core::format::ALIGNMENT;

/// Where every arena tensor of a program lies.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Offset of each slot; `None` for constants and for slots that nothing uses.
    pub offsets: Vec<Option<usize>>,
    /// The buffers that were placed, for reports.
    pub buffers: Vec<Buffer>,
    /// A name for each buffer: that of the first tensor in it.
    pub names: Vec<String>,
    /// Where the buffers were placed, and how good that is.
    pub plan: planner::Plan,
    /// Operators that write over one of their inputs.
    pub in_place: usize,
}

/// Decides what shares memory, and places it.
pub fn plan(program: &Program, budget: usize) -> Layout {
    let mut owner: Vec<SlotId> =
        (0..program.slots.len()).map(|slot| program.root(SlotId(slot))).collect();
    let mut lives = lives(program, &owner);
    let in_place = share_in_place(program, &mut owner, &mut lives);

    let mut buffer_of = vec![None; program.slots.len()];
    let (mut buffers, mut names) = (Vec::new(), Vec::new());
    for (slot, life) in lives.iter().enumerate() {
        let Some(life) = life.filter(|_| owner[slot].0 == slot) else { continue };
        if matches!(program.slots[slot].source, Source::Constant(_)) {
            continue;
        }
        buffer_of[slot] = Some(buffers.len());
        buffers.push(Buffer {
            bytes: program.slots[slot].bytes(),
            first: life.first,
            last: life.last,
        });
        names.push(program.slots[slot].name.clone());
    }
    let plan = planner::place(&buffers, ALIGNMENT, budget);
    let offsets =
        owner.iter().map(|owner| buffer_of[owner.0].map(|buffer| plan.offsets[buffer])).collect();
    Layout { offsets, buffers, names, plan, in_place }
}

/// First and last operator during which a buffer holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Life {
    first: usize,
    last: usize,
}

impl Life {
    fn join(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// Lifetimes by owner. Inputs live from the first operator, outputs to the last.
fn lives(program: &Program, owner: &[SlotId]) -> Vec<Option<Life>> {
    let mut lives: Vec<Option<Life>> = vec![None; program.slots.len()];
    let mut touch = |slot: SlotId, step: usize| {
        let life = Life { first: step, last: step };
        let entry = &mut lives[owner[slot.0].0];
        *entry = Some(entry.map_or(life, |known| known.join(life)));
    };
    for &slot in &program.inputs {
        touch(slot, 0);
    }
    for (step, instruction) in program.instructions.iter().enumerate() {
        for &slot in instruction.inputs.iter().flatten().chain(&instruction.outputs) {
            touch(slot, step);
        }
    }
    let last = program.instructions.len().saturating_sub(1);
    for &slot in &program.outputs {
        touch(slot, last);
    }
    lives
}

/// Lets an operator's output take over the buffer of an input that nothing reads afterwards.
fn share_in_place(program: &Program, owner: &mut [SlotId], lives: &mut [Option<Life>]) -> usize {
    // By owner: the slots that it owns, and whether one of them is an output of the program.
    let mut owned: Vec<Vec<SlotId>> = vec![Vec::new(); owner.len()];
    for (slot, owner) in owner.iter().enumerate() {
        owned[owner.0].push(SlotId(slot));
    }
    let mut kept = vec![false; owner.len()];
    program.outputs.iter().for_each(|slot| kept[owner[slot.0].0] = true);
    let mut count = 0;
    for (step, instruction) in program.instructions.iter().enumerate() {
        let Some(&output) = instruction.outputs.first() else { continue };
        for &input in instruction.opcode.in_place_inputs() {
            let Some(input) = instruction.inputs.get(input).copied().flatten() else { continue };
            let (from, to) = (owner[output.0], owner[input.0]);
            let alone =
                instruction.inputs.iter().flatten().filter(|slot| owner[slot.0] == to).count() == 1;
            let constant = matches!(program.slots[to.0].source, Source::Constant(_));
            let whole = program.slots[input.0].bytes() == program.slots[to.0].bytes()
                && program.slots[output.0].bytes() == program.slots[to.0].bytes();
            let (Some(life), Some(after)) = (lives[to.0], lives[from.0]) else { continue };
            let dead_after = life.last == step && !kept[to.0];
            // The output must not be alive before: a buffer that something else began to fill.
            let fresh = after.first == step && from != to;
            if alone && !constant && whole && dead_after && fresh {
                let taken = std::mem::take(&mut owned[from.0]);
                taken.iter().for_each(|slot| owner[slot.0] = to);
                owned[to.0].extend(taken);
                kept[to.0] |= kept[from.0];
                lives[to.0] = Some(life.join(after));
                lives[from.0] = None;
                count += 1;
                break;
            }
        }
    }
    count
}
