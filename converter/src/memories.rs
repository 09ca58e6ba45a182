//! Several memories of one chip: which tensor lies in which.
//!
//! The memories are in order of speed, fastest first. Buffers that are touched much for their size belong
//! into fast ones: the bytes that an inference reads and writes of a buffer, over its size, are what it is
//! worth. Which buffers fit into a memory is known only when they are placed, since those that are never
//! alive at once share bytes; so each is tried: the most worthy first, each into the fastest memory that
//! it fits into beside those that are there. Where that leaves one without a place, the largest are placed
//! first, and the worthy are moved into faster memories afterwards. The best of these is taken; it is not
//! proved to be the best there is. Each memory is then planned as an arena of its own (`planner`).

use crate::{
    arena::{ALIGNMENT, Layout},
    error::{Result, bail},
    lower::{Program, SlotId, Source},
    planner::{self, Buffer, Plan},
};
use systole_core::{MAX_ARENAS, Opcode, format::Params, ops::repeat};

/// A memory of the chip, `tcm=64k`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChipMemory {
    /// Its name.
    pub name: String,
    /// Bytes that tensors may take.
    pub bytes: usize,
}

impl ChipMemory {
    /// From `NAME=SIZE`, the size in bytes, or with `k` or `m` behind it.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let expected = || format!("'{text}': expected NAME=SIZE, tcm=64k for example");
        let (name, size) = text.split_once('=').ok_or_else(expected)?;
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(word);
        let (digits, unit) = match size.as_bytes().last() {
            Some(b'k' | b'K') => (&size[..size.len() - 1], 1 << 10),
            Some(b'm' | b'M') => (&size[..size.len() - 1], 1 << 20),
            _ => (size, 1),
        };
        let bytes = digits.parse::<u32>().ok().and_then(|bytes| (bytes as usize).checked_mul(unit));
        match bytes {
            Some(bytes) if named && bytes <= u32::MAX as usize => {
                Ok(Self { name: name.to_owned(), bytes })
            }
            _ => Err(expected()),
        }
    }
}

/// A memory and what was put into it.
#[derive(Debug, Clone)]
pub struct Filled {
    /// The memory.
    pub memory: ChipMemory,
    /// The buffers in it, by their index.
    pub buffers: Vec<usize>,
    /// Where they lie.
    pub plan: Plan,
    /// Bytes of them that an inference reads and writes.
    pub touched: u64,
}

/// Lays a program out whose buffers are known from `layout`, into `memories`.
///
/// # Errors
/// `TooLarge` where they do not fit, with a size of the last memory with which they would;
/// `UnsupportedFeature` for more memories than files can have.
pub fn lay_out(
    program: &Program,
    layout: Layout,
    memories: &[ChipMemory],
    budget: usize,
) -> Result<Layout> {
    if memories.len() > MAX_ARENAS {
        bail!(UnsupportedFeature, "{} memories; at most {MAX_ARENAS}", memories.len());
    }
    for (i, memory) in memories.iter().enumerate() {
        if memories[..i].iter().any(|other| other.name == memory.name) {
            bail!(UnsupportedFeature, "two memories are called {}", memory.name);
        }
    }
    let touched = touched(program, &layout);
    let filled = fill(&layout.buffers, &touched, memories, budget)?;
    let mut arena_of = vec![0; layout.buffers.len()];
    let mut plan =
        Plan { offsets: vec![0; arena_of.len()], arena_bytes: 0, lower_bound: 0, optimal: true };
    let mut in_arena = vec![0; arena_of.len()];
    for (arena, memory) in filled.iter().enumerate() {
        let base = plan.arena_bytes.next_multiple_of(ALIGNMENT);
        for (&buffer, &offset) in memory.buffers.iter().zip(&memory.plan.offsets) {
            (arena_of[buffer], in_arena[buffer]) = (arena, offset);
            plan.offsets[buffer] = base + offset;
        }
        plan.arena_bytes = base + memory.plan.arena_bytes;
        plan.lower_bound += memory.plan.lower_bound;
        plan.optimal &= memory.plan.optimal;
    }
    let place = |slot: usize| {
        let buffer = layout.buffer_of[slot]?;
        Some((arena_of[buffer], in_arena[buffer] + program.offset(SlotId(slot))))
    };
    let places: Vec<Option<(usize, usize)>> = (0..program.slots.len()).map(place).collect();
    Ok(Layout {
        offsets: places.iter().map(|place| place.map(|(_, offset)| offset)).collect(),
        arenas: places.iter().map(|place| place.map_or(0, |(arena, _)| arena as u8)).collect(),
        memories: filled,
        plan,
        ..layout
    })
}

/// Bytes that an inference reads and writes of each buffer, what users write and read included.
fn touched(program: &Program, layout: &Layout) -> Vec<u64> {
    let mut touched = vec![0_u64; layout.buffers.len()];
    let mut touch = |slot: SlotId, times: u64| {
        let arena = !matches!(program.slots[program.root(slot).0].source, Source::Constant(_));
        if let Some(buffer) = layout.buffer_of[slot.0].filter(|_| arena) {
            let bytes = program.slots[slot.0].bytes() as u64;
            touched[buffer] = touched[buffer].saturating_add(bytes.saturating_mul(times));
        }
    };
    let (mut left, mut times) = (0, 1);
    for instruction in &program.instructions {
        if instruction.opcode == Opcode::Repeat {
            let repeat::Params { count, body } = Params::read(&instruction.params);
            (left, times) = (body, u64::from(count));
            continue;
        }
        let runs = if left > 0 { times } else { 1 };
        left = left.saturating_sub(1);
        let operands = instruction.inputs.iter().flatten().chain(&instruction.outputs);
        operands.for_each(|&slot| touch(slot, runs));
    }
    program.inputs.iter().chain(&program.outputs).for_each(|&slot| touch(slot, 1));
    touched
}

/// Nodes of the search for a plan, each time a buffer does not simply fit.
const NODES: usize = 500;

/// Memories of more buffers than this are planned without a search while they are filled.
const MANY: usize = 100;

/// By memory: its buffers, and where each lies.
type Inside = Vec<Vec<(usize, usize)>>;

/// Buffers in memories.
struct Filling<'a> {
    buffers: &'a [Buffer],
    touched: &'a [u64],
    memories: &'a [ChipMemory],
    inside: Inside,
}

impl<'a> Filling<'a> {
    fn new(buffers: &'a [Buffer], touched: &'a [u64], memories: &'a [ChipMemory]) -> Self {
        Self { buffers, touched, memories, inside: vec![Vec::new(); memories.len()] }
    }

    /// Bytes that a buffer takes.
    fn bytes(&self, buffer: usize) -> usize {
        self.buffers[buffer].bytes.next_multiple_of(ALIGNMENT)
    }

    fn together(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.buffers[a], &self.buffers[b]);
        a.first <= b.last && b.first <= a.last
    }

    fn plan(&self, memory: usize, nodes: usize) -> Plan {
        let inside = self.inside[memory].iter();
        let buffers: Vec<Buffer> = inside.map(|&(buffer, _)| self.buffers[buffer]).collect();
        planner::place(&buffers, ALIGNMENT, nodes)
    }

    /// The lowest place for a buffer beside those that are there.
    fn gap(&self, buffer: usize, memory: usize) -> usize {
        let meeting = self.inside[memory].iter().filter(|(other, _)| self.together(*other, buffer));
        let mut meeting: Vec<(usize, usize)> =
            meeting.map(|&(other, offset)| (offset, offset + self.bytes(other))).collect();
        meeting.sort_unstable();
        let mut at = 0;
        for (start, end) in meeting {
            if start >= at + self.bytes(buffer) {
                break;
            }
            at = at.max(end);
        }
        at
    }

    /// Whether no plan can have a buffer beside those that are there: at some step they are too many bytes.
    fn crowded(&self, buffer: usize, memory: usize) -> bool {
        let inside = &self.inside[memory];
        let own = self.buffers[buffer];
        let begins = inside.iter().map(|&(other, _)| self.buffers[other].first);
        let mut steps =
            begins.filter(|step| (own.first..=own.last).contains(step)).chain([own.first]);
        steps.any(|step| {
            let alive = inside.iter().map(|&(other, _)| other).filter(|&other| {
                (self.buffers[other].first..=self.buffers[other].last).contains(&step)
            });
            let bytes: usize = alive.map(|other| self.bytes(other)).sum();
            bytes + self.bytes(buffer) > self.memories[memory].bytes
        })
    }

    /// Puts a buffer into a memory if it fits beside those that are there.
    fn put(&mut self, buffer: usize, memory: usize) -> bool {
        let capacity = self.memories[memory].bytes;
        if self.buffers[buffer].bytes > capacity || self.crowded(buffer, memory) {
            return false;
        }
        let at = self.gap(buffer, memory);
        self.inside[memory].push((buffer, at));
        if at + self.bytes(buffer) <= capacity {
            return true;
        }
        let nodes = if self.inside[memory].len() > MANY { 0 } else { NODES };
        let plan = self.plan(memory, nodes);
        let fits = plan.arena_bytes <= capacity;
        match fits {
            false => drop(self.inside[memory].pop()),
            true => {
                for ((_, offset), planned) in self.inside[memory].iter_mut().zip(plan.offsets) {
                    *offset = planned;
                }
            }
        }
        fits
    }

    /// Puts buffers in this order each into the first memory of `preferred` that takes it; whether all
    /// have a place.
    fn put_all(&mut self, order: &[usize], preferred: &[usize]) -> bool {
        order.iter().all(|&buffer| preferred.iter().any(|&memory| self.put(buffer, memory)))
    }

    /// Moves buffers in this order into faster memories that have room.
    fn promote(&mut self, order: &[usize]) {
        for &buffer in order {
            let has = |inside: &Vec<(usize, usize)>| inside.iter().any(|&(it, _)| it == buffer);
            let Some(at) = self.inside.iter().position(has) else { continue };
            if (0..at).any(|memory| self.put(buffer, memory)) {
                self.inside[at].retain(|&(other, _)| other != buffer);
            }
        }
    }

    /// Bytes touched in each memory, fastest first: what is compared.
    fn worth(&self) -> Vec<u64> {
        let inside = self.inside.iter();
        inside.map(|inside| inside.iter().map(|&(buffer, _)| self.touched[buffer]).sum()).collect()
    }

    /// The memory with its final plan.
    fn finish(&self, memory: usize, budget: usize) -> Filled {
        let inside = &self.inside[memory];
        let mut plan = self.plan(memory, budget);
        if plan.arena_bytes > self.memories[memory].bytes {
            // What was found while it was filled does fit.
            plan.offsets = inside.iter().map(|&(_, offset)| offset).collect();
            let ends = inside.iter().map(|&(buffer, offset)| offset + self.bytes(buffer));
            plan.arena_bytes = ends.max().unwrap_or(0);
            plan.optimal = plan.arena_bytes == plan.lower_bound;
        }
        Filled {
            memory: self.memories[memory].clone(),
            buffers: inside.iter().map(|&(buffer, _)| buffer).collect(),
            plan,
            touched: inside.iter().map(|&(buffer, _)| self.touched[buffer]).sum(),
        }
    }
}

/// Decides which buffers lie in which memory, and where.
fn fill(
    buffers: &[Buffer],
    touched: &[u64],
    memories: &[ChipMemory],
    budget: usize,
) -> Result<Vec<Filled>> {
    let mut worthy: Vec<usize> = (0..buffers.len()).collect();
    // a / b > c / d, without division.
    worthy.sort_by(|&a, &b| {
        let over = |x: usize, y: usize| u128::from(touched[x]) * buffers[y].bytes as u128;
        over(b, a).cmp(&over(a, b)).then(buffers[a].bytes.cmp(&buffers[b].bytes)).then(a.cmp(&b))
    });
    let mut largest: Vec<usize> = (0..buffers.len()).collect();
    largest.sort_by_key(|&buffer| (std::cmp::Reverse(buffers[buffer].bytes), buffer));
    let fastest: Vec<usize> = (0..memories.len()).collect();
    let slowest: Vec<usize> = fastest.iter().rev().copied().collect();
    let attempt = |memories: &[ChipMemory]| -> Option<Inside> {
        let mut best: Option<(Vec<u64>, Inside)> = None;
        for (order, preferred) in
            [(&worthy, &fastest), (&largest, &fastest), (&largest, &slowest), (&worthy, &slowest)]
        {
            let mut filling = Filling::new(buffers, touched, memories);
            if filling.put_all(order, preferred) {
                filling.promote(&worthy);
                let worth = filling.worth();
                if best.as_ref().is_none_or(|(known, _)| worth > *known) {
                    best = Some((worth, filling.inside));
                }
            }
        }
        best.map(|(_, inside)| inside)
    };
    let Some(inside) = attempt(memories) else {
        return Err(too_small(buffers, memories, &attempt));
    };
    let filling = Filling { buffers, touched, memories, inside };
    Ok((0..memories.len()).map(|memory| filling.finish(memory, budget)).collect())
}

/// The error that says which size of the last memory would do.
fn too_small(
    buffers: &[Buffer],
    memories: &[ChipMemory],
    attempt: &dyn Fn(&[ChipMemory]) -> Option<Inside>,
) -> crate::Error {
    let with = |bytes: usize| {
        let mut larger = memories.to_vec();
        if let Some(last) = larger.last_mut() {
            last.bytes = bytes;
        }
        attempt(&larger).is_some()
    };
    let Some(last) = memories.last() else {
        return crate::error::error!(TooLarge, "there is no memory");
    };
    let total: usize = buffers.iter().map(|buffer| buffer.bytes.next_multiple_of(ALIGNMENT)).sum();
    // Between what does not do and what does.
    let (mut low, mut high) = (last.bytes, total.max(last.bytes));
    while high - low > ALIGNMENT {
        let middle = (low + (high - low) / 2).next_multiple_of(ALIGNMENT).min(high - 1);
        if with(middle) { high = middle } else { low = middle }
    }
    crate::error::error!(
        TooLarge,
        "the tensors do not fit into these memories: with {high} bytes of {}, which has {}, they would",
        last.name,
        last.bytes
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(name: &str, bytes: usize) -> ChipMemory {
        ChipMemory { name: name.to_owned(), bytes }
    }

    fn buffer(bytes: usize, first: usize, last: usize) -> Buffer {
        Buffer { bytes, first, last }
    }

    #[test]
    fn sizes_have_units_and_names_are_words() {
        assert_eq!(ChipMemory::parse("tcm=64k"), Ok(memory("tcm", 65_536)));
        assert_eq!(ChipMemory::parse("psram_0=8M"), Ok(memory("psram_0", 8 << 20)));
        assert_eq!(ChipMemory::parse("a=100"), Ok(memory("a", 100)));
        for wrong in ["", "tcm", "=4", "tcm=", "tcm=k", "tcm=-1", "1=1", "t c=1", "tcm=9999999m"] {
            assert!(ChipMemory::parse(wrong).unwrap_err().contains("NAME=SIZE"), "{wrong}");
        }
    }

    #[test]
    fn what_is_touched_most_for_its_size_is_in_the_fastest_memory() {
        let buffers = [buffer(64, 0, 3), buffer(64, 0, 3), buffer(128, 0, 3)];
        let memories = [memory("fast", 64), memory("slow", 1_000)];
        let filled = fill(&buffers, &[64, 640, 700], &memories, 1_000).unwrap();
        assert_eq!(filled[0].buffers, [1]);
        assert_eq!((filled[0].touched, filled[1].touched), (640, 764));
        assert_eq!(filled[1].plan.arena_bytes, 192);
    }

    #[test]
    fn buffers_that_are_never_alive_at_once_share_a_memory() {
        let buffers = [buffer(64, 0, 1), buffer(64, 2, 3), buffer(64, 4, 5)];
        let filled = fill(&buffers, &[1, 2, 3], &[memory("fast", 64), memory("slow", 0)], 1_000);
        let filled = filled.unwrap();
        assert_eq!((filled[0].buffers.len(), filled[0].plan.arena_bytes), (3, 64));
    }

    #[test]
    fn where_the_worthy_would_take_the_place_of_the_large_they_do_not() {
        // Both small ones in `fast` leave no room for the large one, which fits nowhere else.
        let buffers = [buffer(32, 0, 1), buffer(32, 0, 1), buffer(128, 0, 1)];
        let memories = [memory("fast", 128), memory("slow", 64)];
        let filled = fill(&buffers, &[900, 900, 128], &memories, 1_000).unwrap();
        assert_eq!(filled[0].buffers, [2]);
    }

    #[test]
    fn the_size_that_would_do_is_stated() {
        let buffers = [buffer(64, 0, 1), buffer(128, 0, 1), buffer(96, 1, 1)];
        let memories = [memory("fast", 64), memory("slow", 100)];
        let refused = fill(&buffers, &[1, 1, 1], &memories, 1_000).expect_err("288 into 164");
        assert!(refused.to_string().contains("with 224 bytes of slow, which has 100"), "{refused}");
        let memories = [memory("fast", 64), memory("slow", 224)];
        assert!(fill(&buffers, &[1, 1, 1], &memories, 1_000).is_ok());
    }
}
