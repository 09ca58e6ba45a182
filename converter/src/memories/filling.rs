//! Memories that are being filled: what lies in which, and where.

use super::{Item, Problem};
use crate::{
    arena::ALIGNMENT,
    planner::{self, Buffer, Plan},
};

/// Nodes of the search for a plan, each time a tensor does not simply fit.
const NODES: usize = 500;

/// Memories of more tensors than this are planned without a search while they are filled.
pub(super) const MANY: usize = 100;

/// Items in memories.
#[derive(Debug, Clone)]
pub(super) struct Filling<'a> {
    problem: &'a Problem,
    /// By memory: its tensors, and where each lies.
    pub inside: Vec<Vec<(usize, usize)>>,
    /// By memory: bytes of weights, which lie behind all tensors.
    weights: Vec<usize>,
    /// By item: the memory that it is in, or flash.
    pub memory_of: Vec<Option<usize>>,
    /// How often memories may still be planned anew.
    pub plans: usize,
    /// Whether something was refused that might fit.
    pub unsure: bool,
}

/// What undoes [`Filling::put`].
pub(super) struct Before {
    item: usize,
    memory: usize,
    inside: Vec<(usize, usize)>,
    weights: usize,
}

impl<'a> Filling<'a> {
    pub fn new(problem: &'a Problem, plans: usize) -> Self {
        let memories = problem.rooms.len();
        Self {
            problem,
            inside: vec![Vec::new(); memories],
            weights: vec![0; memories],
            memory_of: vec![None; problem.items.len()],
            plans,
            unsure: false,
        }
    }

    fn item(&self, item: usize) -> &Item {
        &self.problem.items[item]
    }

    /// The plan of a memory's tensors.
    pub fn plan(&self, memory: usize, nodes: usize) -> Plan {
        let inside = self.inside[memory].iter();
        let buffers: Vec<Buffer> = inside.map(|&(item, _)| self.item(item).buffer).collect();
        planner::place(&buffers, ALIGNMENT, nodes)
    }

    /// Where the highest tensor ends.
    pub fn height(&self, memory: usize) -> usize {
        let ends = self.inside[memory].iter().map(|&(item, at)| at + self.item(item).bytes());
        ends.max().unwrap_or(0)
    }

    /// Bytes that tensors may take.
    fn room(&self, memory: usize) -> usize {
        self.problem.rooms[memory].bytes - self.weights[memory]
    }

    /// The lowest place for a tensor beside those that are there.
    fn gap(&self, item: usize, memory: usize) -> usize {
        let own = self.item(item);
        let meeting = self.inside[memory].iter().filter(|(other, _)| own.meets(self.item(*other)));
        let mut meeting: Vec<(usize, usize)> =
            meeting.map(|&(other, offset)| (offset, offset + self.item(other).bytes())).collect();
        meeting.sort_unstable();
        let mut at = 0;
        for (start, end) in meeting {
            if start >= at + own.bytes() {
                break;
            }
            at = at.max(end);
        }
        at
    }

    /// Whether no plan can have a tensor beside those that are there: at some step they are too many bytes.
    fn crowded(&self, item: usize, memory: usize) -> bool {
        let inside = &self.inside[memory];
        let own = self.item(item);
        let life = own.buffer.first..=own.buffer.last;
        let begins = inside.iter().map(|&(other, _)| self.item(other).buffer.first);
        let mut steps = begins.filter(|step| life.contains(step)).chain([own.buffer.first]);
        steps.any(|step| {
            let alive = inside.iter().map(|&(other, _)| self.item(other));
            let alive = alive.filter(|it| (it.buffer.first..=it.buffer.last).contains(&step));
            let bytes: usize = alive.map(Item::bytes).sum();
            bytes + own.bytes() > self.room(memory)
        })
    }

    /// Plans a memory anew into so many bytes; whether there is a way, as far as is known.
    fn replan(&mut self, memory: usize, room: usize) -> bool {
        if self.plans == 0 {
            self.unsure = true;
            return false;
        }
        self.plans -= 1;
        let nodes = if self.inside[memory].len() > MANY { 0 } else { NODES };
        let plan = self.plan(memory, nodes);
        if plan.arena_bytes > room {
            self.unsure |= !plan.optimal;
            return false;
        }
        for ((_, offset), planned) in self.inside[memory].iter_mut().zip(plan.offsets) {
            *offset = planned;
        }
        true
    }

    /// Puts an item into a memory if it fits beside what is there.
    pub fn put(&mut self, item: usize, memory: usize) -> bool {
        if memory == self.problem.rooms.len() {
            self.memory_of[item] = Some(memory);
            return true;
        }
        let fits = if self.item(item).weights {
            self.put_weights(item, memory)
        } else {
            self.put_tensor(item, memory)
        };
        if fits {
            self.memory_of[item] = Some(memory);
        }
        fits
    }

    fn put_weights(&mut self, item: usize, memory: usize) -> bool {
        let Some(room) = self.room(memory).checked_sub(self.item(item).bytes()) else {
            return false;
        };
        let fits = self.height(memory) <= room || self.replan(memory, room);
        if fits {
            self.weights[memory] += self.item(item).bytes();
        }
        fits
    }

    fn put_tensor(&mut self, item: usize, memory: usize) -> bool {
        let room = self.room(memory);
        if self.item(item).bytes() > room || self.crowded(item, memory) {
            return false;
        }
        let at = self.gap(item, memory);
        self.inside[memory].push((item, at));
        let fits = at + self.item(item).bytes() <= room || self.replan(memory, room);
        if !fits {
            self.inside[memory].pop();
        }
        fits
    }

    /// Puts an item into a memory, and keeps what was there; `None` where it does not fit.
    pub fn try_put(&mut self, item: usize, memory: usize) -> Option<Before> {
        let inside = self.inside.get(memory).cloned().unwrap_or_default();
        let weights = self.weights.get(memory).copied().unwrap_or(0);
        self.put(item, memory).then_some(Before { item, memory, inside, weights })
    }

    pub fn undo(&mut self, before: Before) {
        let Before { item, memory, inside, weights } = before;
        self.memory_of[item] = None;
        if memory < self.inside.len() {
            (self.inside[memory], self.weights[memory]) = (inside, weights);
        }
    }

    /// Takes an item out of where it is.
    pub fn remove(&mut self, item: usize) {
        let Some(memory) = self.memory_of[item].take().filter(|&it| it < self.inside.len()) else {
            return;
        };
        if self.item(item).weights {
            self.weights[memory] -= self.item(item).bytes();
        } else {
            self.inside[memory].retain(|&(other, _)| other != item);
        }
    }

    /// What an inference costs.
    pub fn cost(&self) -> u64 {
        let items = self.memory_of.iter().enumerate();
        items
            .filter_map(|(item, memory)| memory.map(|memory| self.problem.cost(item, memory)))
            .fold(0, u64::saturating_add)
    }
}
