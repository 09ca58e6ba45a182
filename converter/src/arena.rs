//! Which buffers the arena holds and for how long: views and in-place operators share one. Several arenas are
//! made of it by [`memories`](crate::memories).

use systole_core::{Opcode, format::Params, ops::repeat};

use crate::{
    lower::{Program, SlotId, Source},
    memories::{Division, Filled},
    planner::{self, Buffer},
};

/// Alignment of buffers in the arena, in bytes.
pub const ALIGNMENT: usize = systole_core::format::ALIGNMENT;

/// Where every arena tensor of a program lies.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Offset of each slot in its arena; `None` for constants and for slots that nothing uses.
    pub offsets: Vec<Option<usize>>,
    /// The arena of each slot.
    pub arenas: Vec<u8>,
    /// The memories that the arenas are for; none where there is one arena for any.
    pub memories: Vec<Filled>,
    /// What the division among them is worth, where there are some.
    pub division: Option<Division>,
    /// The buffer of each slot.
    pub buffer_of: Vec<Option<usize>>,
    /// The buffers that were placed, for reports.
    pub buffers: Vec<Buffer>,
    /// A name for each buffer: that of the first tensor in it.
    pub names: Vec<String>,
    /// Where the buffers were placed, and how good that is; of several arenas, one behind the other.
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
    let buffer_of: Vec<Option<usize>> = owner.iter().map(|owner| buffer_of[owner.0]).collect();
    let offset = |(slot, buffer): (usize, &Option<usize>)| {
        buffer.map(|buffer| plan.offsets[buffer] + program.offset(SlotId(slot)))
    };
    Layout {
        offsets: buffer_of.iter().enumerate().map(offset).collect(),
        arenas: vec![0; owner.len()],
        memories: Vec::new(),
        division: None,
        buffer_of,
        buffers,
        names,
        plan,
        in_place,
    }
}

/// Which tensors are alive while which operators run, those that share memory counted once.
#[derive(Debug)]
pub struct Lives {
    owner: Vec<SlotId>,
    lives: Vec<Option<Life>>,
    /// How many operands of operators, and ports, are in the bytes of each slot.
    uses: Vec<usize>,
}

impl Lives {
    /// The lives of a program's tensors, those that operators write over others in the same memory.
    pub fn in_place(program: &Program) -> Self {
        let mut this = Self::new(program);
        share_in_place(program, &mut this.owner, &mut this.lives);
        this
    }

    /// The lives of a program's tensors, each in its own memory.
    pub fn new(program: &Program) -> Self {
        let roots: Vec<SlotId> =
            (0..program.slots.len()).map(|slot| program.root(SlotId(slot))).collect();
        let mut uses = vec![0; program.slots.len()];
        let operands = program
            .instructions
            .iter()
            .flat_map(|it| it.inputs.iter().flatten().chain(&it.outputs));
        for slot in operands.chain(&program.inputs).chain(&program.outputs) {
            uses[roots[slot.0].0] += 1;
        }
        let lives = lives(program, &roots);
        Self { owner: roots, lives, uses }
    }

    /// Bytes alive at some time from the operator `first` to `last`.
    pub fn bytes(&self, program: &Program, first: usize, last: usize) -> usize {
        let alive = |slot: &usize| {
            let arena = program.slots[*slot].source == Source::Arena;
            arena && self.lives[*slot].is_some_and(|life| life.first <= last && life.last >= first)
        };
        let sizes = (0..program.slots.len()).filter(alive).map(|slot| program.slots[slot].bytes());
        sizes.map(|bytes| bytes.next_multiple_of(ALIGNMENT)).sum()
    }

    /// Whether a tensor is written by one operator and read by one, and is neither input nor output.
    pub fn passes_on(&self, program: &Program, slot: SlotId) -> bool {
        let root = program.root(slot);
        root == slot && self.uses[root.0] == 2
    }

    /// The last operator that uses a tensor.
    pub fn last(&self, program: &Program, slot: SlotId) -> usize {
        self.lives[self.owner[program.root(slot).0].0].map_or(0, |life| life.last)
    }

    /// Whether nothing needs a tensor behind the operator `last`.
    pub fn ends_with(&self, program: &Program, slot: SlotId, last: usize) -> bool {
        let port = |slot: &SlotId| self.owner[program.root(*slot).0];
        let owner = port(&slot);
        self.last(program, slot) <= last && !program.outputs.iter().any(|it| port(it) == owner)
    }
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

/// Lifetimes by owner. Inputs live from the first operator, outputs to the last, what
/// persists throughout.
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
    // What operators use that are repeated has to last as long as they are.
    let mut repeated = 0..0;
    for (step, instruction) in program.instructions.iter().enumerate() {
        if instruction.opcode == Opcode::Repeat {
            let body = repeat::Params::read(&instruction.params).body;
            repeated = step + 1..step + 1 + usize::from(body);
        }
        for &slot in instruction.inputs.iter().flatten().chain(&instruction.outputs) {
            touch(slot, step);
            if repeated.contains(&step) {
                touch(slot, repeated.start);
                touch(slot, repeated.end - 1);
            }
        }
    }
    let last = program.instructions.len().saturating_sub(1);
    for &slot in &program.outputs {
        touch(slot, last);
    }
    // What persists is not written over by anything, ever.
    for slot in (0..program.slots.len()).filter(|&slot| program.slots[slot].persists) {
        touch(SlotId(slot), 0);
        touch(SlotId(slot), last);
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
    let persist = (0..owner.len()).filter(|&slot| program.slots[slot].persists);
    persist.for_each(|slot| kept[owner[slot].0] = true);
    let mut count = 0;
    for (step, instruction) in program.instructions.iter().enumerate() {
        let Some(&output) = instruction.outputs.first() else { continue };
        for &input in instruction.opcode.in_place_inputs() {
            let Some(input) = instruction.inputs.get(input).copied().flatten() else { continue };
            let (from, to) = (owner[output.0], owner[input.0]);
            let alone =
                instruction.inputs.iter().flatten().filter(|slot| owner[slot.0] == to).count() == 1;
            let constant = matches!(program.slots[to.0].source, Source::Constant(_));
            let rests =
                |slot: SlotId| program.slots[slot.0].advance == 0 && program.offset(slot) == 0;
            let whole = rests(input)
                && rests(output)
                && program.slots[input.0].bytes() == program.slots[to.0].bytes()
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
