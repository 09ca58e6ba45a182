//! Several memories of one chip: which tensor lies in which, and which weights are brought there from flash.
//!
//! Each memory has a cost for a byte that is read or written, and so may flash. What an inference reads and
//! writes of each tensor and of each layer's weights is counted (`traffic`), and the division with the
//! lowest sum is searched (`search`). Each memory is then planned as an arena of its own (`planner`);
//! resident weights lie behind its tensors for as long as the model is there.

mod bound;
mod filling;
mod search;
#[cfg(test)]
#[cfg(test)]
mod tests;
mod traffic;

pub use traffic::Divided;

use crate::{
    arena::{ALIGNMENT, Layout},
    error::{Result, bail, error},
    lower::{Program, SlotId},
    planner::{Buffer, Plan},
};
use systole_core::MAX_ARENAS;
use traffic::Traffic;

/// A memory of the chip: `tcm=64k:1`, or flash, `flash:6`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChipMemory {
    /// Its name.
    pub name: String,
    /// Bytes that tensors and resident weights may take; `None` for mapped flash, where weights are.
    pub bytes: Option<usize>,
    /// What a byte costs that is read or written there, in any unit.
    pub cost: Option<u32>,
}

/// The largest cost.
const MAX_COST: u32 = 1_000;

impl ChipMemory {
    /// A memory of so many bytes.
    pub fn new(name: &str, bytes: usize) -> Self {
        Self { name: name.to_owned(), bytes: Some(bytes), cost: None }
    }

    /// The same with a cost.
    #[must_use]
    pub fn with_cost(self, cost: u32) -> Self {
        Self { cost: Some(cost), ..self }
    }

    /// Mapped flash, where weights are, of which a byte that is read costs so much.
    pub fn flash(name: &str, cost: u32) -> Self {
        Self { name: name.to_owned(), bytes: None, cost: Some(cost) }
    }

    /// From `NAME=SIZE`, the size in bytes, or with `k` or `m` behind it, or `NAME=SIZE:COST`; of flash
    /// `NAME:COST`.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let expected = || {
            format!(
                "'{text}': expected NAME=SIZE or NAME=SIZE:COST, tcm=64k:1 for example, and flash:6 for \
                 weights; costs are 1 to {MAX_COST}"
            )
        };
        let (place, cost) = match text.split_once(':') {
            Some((place, cost)) => {
                let cost = cost.parse().ok().filter(|cost| (1..=MAX_COST).contains(cost));
                (place, Some(cost.ok_or_else(expected)?))
            }
            None => (text, None),
        };
        let (name, size) = match place.split_once('=') {
            Some((name, size)) => (name, Some(size)),
            None => (place, None),
        };
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(word);
        let bytes = size.map(|size| parsed(size).ok_or_else(expected)).transpose()?;
        if !named || (bytes.is_none() && cost.is_none()) {
            return Err(expected());
        }
        Ok(Self { name: name.to_owned(), bytes, cost })
    }
}

/// A number of bytes.
fn parsed(size: &str) -> Option<usize> {
    let (digits, unit) = match size.as_bytes().last() {
        Some(b'k' | b'K') => (&size[..size.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&size[..size.len() - 1], 1 << 20),
        _ => (size, 1),
    };
    let bytes = (digits.parse::<u32>().ok()? as usize).checked_mul(unit)?;
    (bytes <= u32::MAX as usize).then_some(bytes)
}

/// A memory and what was put into it.
#[derive(Debug, Clone)]
pub struct Filled {
    /// Its name.
    pub name: String,
    /// What it has room for.
    pub bytes: usize,
    /// What a byte costs that is read or written.
    pub cost: u64,
    /// The buffers in it, by their index.
    pub buffers: Vec<usize>,
    /// Where they lie.
    pub plan: Plan,
    /// Bytes of them that an inference reads and writes.
    pub touched: u64,
    /// Weights that are copied there when a session is made, one behind the other, behind all tensors.
    pub resident: Vec<Resident>,
}

/// Weights that are brought into an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// The constant.
    pub slot: SlotId,
    /// Its bytes.
    pub bytes: usize,
    /// Bytes of it that an inference reads.
    pub touched: u64,
}

impl Filled {
    /// Where resident weights begin, and tensors end.
    pub fn tensor_bytes(&self) -> usize {
        self.plan.arena_bytes
    }

    /// Bytes that resident weights take.
    pub fn resident_bytes(&self) -> usize {
        self.resident.iter().map(|it| it.bytes.next_multiple_of(ALIGNMENT)).sum()
    }

    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> usize {
        self.plan.arena_bytes + self.resident_bytes()
    }

    /// Bytes that an inference reads and writes here.
    pub fn all_touched(&self) -> u64 {
        self.resident.iter().fold(self.touched, |sum, it| sum.saturating_add(it.touched))
    }
}

/// What the division of tensors and weights is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// The sum of bytes times costs.
    pub cost: u64,
    /// No division costs less.
    pub bound: u64,
    /// Bytes of weights that an inference reads in flash, and what one costs there; where it was stated.
    pub flash: Option<[u64; 2]>,
}

impl Division {
    /// Whether no division costs less than this one.
    pub fn proved(&self) -> bool {
        self.cost == self.bound
    }
}

/// A memory's size and cost.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// A multiple of the alignment.
    bytes: usize,
    cost: u64,
}

/// A tensor's buffer, or weights.
#[derive(Debug, Clone, Copy)]
struct Item {
    buffer: Buffer,
    /// Bytes that an inference reads and writes.
    traffic: u64,
    /// Whether it is weights, which may stay in flash, and else take memory all the time.
    weights: bool,
}

impl Item {
    /// Bytes that it takes.
    fn bytes(&self) -> usize {
        self.buffer.bytes.next_multiple_of(ALIGNMENT)
    }

    fn meets(&self, other: &Self) -> bool {
        self.buffer.first <= other.buffer.last && other.buffer.first <= self.buffer.last
    }
}

/// What is to be divided among which memories.
#[derive(Debug, Clone)]
struct Problem {
    items: Vec<Item>,
    rooms: Vec<Room>,
    /// What a byte costs in flash.
    flash: u64,
}

impl Problem {
    /// What an item costs in a memory, flash behind the last one.
    fn cost(&self, item: usize, memory: usize) -> u64 {
        let cost = self.rooms.get(memory).map_or(self.flash, |room| room.cost);
        self.items[item].traffic.saturating_mul(cost)
    }

    /// Where an item may be, fastest first.
    fn places(&self, item: usize) -> Vec<usize> {
        let bytes = self.items[item].bytes();
        let memories = (0..self.rooms.len()).filter(|&memory| self.rooms[memory].bytes >= bytes);
        match self.items[item].weights {
            false => memories.collect(),
            true => {
                let faster = memories.filter(|&memory| self.rooms[memory].cost < self.flash);
                faster.chain([self.rooms.len()]).collect()
            }
        }
    }
}

/// Memories that have a size, with their costs.
type Sized<'a> = Vec<(&'a ChipMemory, Room)>;

/// The memories that have a size; and what flash costs.
fn checked(memories: &[ChipMemory]) -> Result<(Sized<'_>, Option<u64>)> {
    let named = memories.iter().enumerate();
    if let Some((_, twice)) =
        named.clone().find(|(i, memory)| memories[..*i].iter().any(|it| it.name == memory.name))
    {
        bail!(UnsupportedFeature, "two memories are called {}", twice.name);
    }
    let sized: Vec<(&ChipMemory, usize)> =
        memories.iter().filter_map(|memory| Some((memory, memory.bytes?))).collect();
    let flash: Vec<&ChipMemory> = memories.iter().filter(|it| it.bytes.is_none()).collect();
    if flash.len() > 1 {
        bail!(UnsupportedFeature, "{} and {} both have no size", flash[0].name, flash[1].name);
    }
    if sized.is_empty() || sized.len() > MAX_ARENAS {
        bail!(UnsupportedFeature, "{} memories; from 1 to {MAX_ARENAS} with a size", sized.len());
    }
    let stated = sized.iter().filter(|(memory, _)| memory.cost.is_some()).count();
    if stated != 0 && stated != sized.len() {
        bail!(UnsupportedFeature, "some memories have a cost and some have not");
    }
    let mut rooms = Sized::new();
    for (index, (memory, bytes)) in sized.into_iter().enumerate() {
        let cost = memory.cost.map_or(index as u64 + 1, u64::from);
        if let Some((before, _)) = rooms.last().filter(|(_, before)| before.cost > cost) {
            bail!(
                UnsupportedFeature,
                "{} costs less than {}: memories are named fastest first",
                memory.name,
                before.name
            );
        }
        rooms.push((memory, Room { bytes: bytes - bytes % ALIGNMENT, cost }));
    }
    Ok((rooms, flash.first().and_then(|memory| memory.cost).map(u64::from)))
}

/// Lays a program out whose buffers are known from `layout`, into `memories`.
///
/// # Errors
/// `TooLarge` where they do not fit, with a size of the last memory with which they would;
/// `UnsupportedFeature` for more memories than files can have, or what costs contradict.
pub fn lay_out(
    program: &Program,
    layout: Layout,
    memories: &[ChipMemory],
    budget: usize,
) -> Result<Layout> {
    let (rooms, flash) = checked(memories)?;
    let traffic = Traffic::of(program, &layout);
    let tensors = layout.buffers.iter().zip(&traffic.buffers);
    let mut items: Vec<Item> =
        tensors.map(|(&buffer, &traffic)| Item { buffer, traffic, weights: false }).collect();
    let weights: Vec<(SlotId, u64)> = match flash {
        Some(_) => traffic.weights.iter().map(|(&slot, &traffic)| (slot, traffic)).collect(),
        None => Vec::new(),
    };
    items.extend(weights.iter().map(|&(slot, traffic)| {
        let bytes = program.slots[slot.0].bytes();
        let buffer = Buffer { bytes, first: 0, last: program.instructions.len() };
        Item { buffer, traffic, weights: true }
    }));
    let problem = Problem {
        items,
        rooms: rooms.iter().map(|&(_, room)| room).collect(),
        flash: flash.unwrap_or(0),
    };
    let Some(found) = search::best(&problem, budget) else {
        return Err(too_small(&problem, &rooms));
    };
    let of = &found.filling.memory_of;
    let filled: Vec<Filled> = (0..rooms.len())
        .map(|memory| {
            let (chip, room) = rooms[memory];
            let plan = final_plan(&found.filling, &problem, memory, budget);
            let inside = found.filling.inside[memory].iter();
            let mut filled = Filled {
                name: chip.name.clone(),
                bytes: chip.bytes.unwrap_or(0),
                cost: room.cost,
                buffers: inside.clone().map(|&(item, _)| item).collect(),
                touched: inside.map(|&(item, _)| problem.items[item].traffic).sum(),
                plan,
                resident: Vec::new(),
            };
            for (index, &(slot, touched)) in weights.iter().enumerate() {
                if of[layout.buffers.len() + index] == Some(memory) {
                    let bytes = program.slots[slot.0].bytes();
                    filled.resident.push(Resident { slot, bytes, touched });
                }
            }
            filled
        })
        .collect();
    let in_flash = weights
        .iter()
        .enumerate()
        .filter(|(index, _)| of[layout.buffers.len() + index] == Some(rooms.len()));
    let in_flash: u64 = in_flash.map(|(_, &(_, traffic))| traffic).sum();
    let division = Division {
        cost: found.cost,
        bound: found.bound,
        flash: flash.map(|cost| [in_flash, cost]),
    };
    Ok(placed(program, layout, filled, division))
}

/// The layout with the memories' plans, one behind the other.
fn placed(program: &Program, layout: Layout, filled: Vec<Filled>, division: Division) -> Layout {
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
        plan.arena_bytes = base + memory.arena_bytes();
        plan.lower_bound += memory.plan.lower_bound + memory.resident_bytes();
        plan.optimal &= memory.plan.optimal;
    }
    let place = |slot: usize| {
        let buffer = layout.buffer_of[slot]?;
        Some((arena_of[buffer], in_arena[buffer] + program.offset(SlotId(slot))))
    };
    let places: Vec<Option<(usize, usize)>> = (0..program.slots.len()).map(place).collect();
    Layout {
        offsets: places.iter().map(|place| place.map(|(_, offset)| offset)).collect(),
        arenas: places.iter().map(|place| place.map_or(0, |(arena, _)| arena as u8)).collect(),
        memories: filled,
        division: Some(division),
        plan,
        ..layout
    }
}

/// The best plan of a memory, or that which was found while it was filled.
fn final_plan(
    filling: &filling::Filling<'_>,
    problem: &Problem,
    memory: usize,
    budget: usize,
) -> Plan {
    let mut plan = filling.plan(memory, budget);
    let height = filling.height(memory);
    if plan.arena_bytes > height {
        // That is lower, and does fit.
        plan.offsets = filling.inside[memory].iter().map(|&(_, offset)| offset).collect();
        plan.arena_bytes = height;
        plan.optimal = height == plan.lower_bound;
    }
    debug_assert!(plan.arena_bytes <= problem.rooms[memory].bytes);
    plan
}

/// The error that says which size of the last memory would do.
fn too_small(problem: &Problem, rooms: &[(&ChipMemory, Room)]) -> crate::Error {
    let with = |bytes: usize| {
        let mut larger = problem.clone();
        // Weights need no memory.
        larger.items.retain(|item| !item.weights);
        if let Some(last) = larger.rooms.last_mut() {
            last.bytes = bytes;
        }
        search::greedy(&larger).is_some()
    };
    let Some((last, room)) = rooms.last() else {
        return error!(TooLarge, "there is no memory");
    };
    let total: usize = problem.items.iter().filter(|it| !it.weights).map(Item::bytes).sum();
    // Between what does not do and what does.
    let (mut low, mut high) = (room.bytes, total.max(room.bytes));
    while high - low > ALIGNMENT {
        let middle = (low + (high - low) / 2).next_multiple_of(ALIGNMENT).min(high - 1);
        if with(middle) { high = middle } else { low = middle }
    }
    error!(
        TooLarge,
        "the tensors do not fit into these memories: with {high} bytes of {}, which has {}, they would",
        last.name,
        last.bytes.unwrap_or(0)
    )
}
