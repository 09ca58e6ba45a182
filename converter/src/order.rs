//! In which order operators run: of those that their dependencies allow, one in which the least memory is
//! alive at once.
//!
//! A state is the set of operators that have run; what is alive then follows from the set alone. From state
//! to state a search goes by the least peak so far, so that the first complete one has the least of
//! all. An operator that needs no more than the peak so far, and leaves no more alive than there was, runs at once:
//! whatever runs in between elsewhere could only wait for the memory that it frees. So chains take no search,
//! and branches little.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use systole_core::Opcode;

use crate::{
    arena::ALIGNMENT,
    lower::{Instruction, Program, SlotId, Source},
};

/// The order that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Indices of the program's instructions.
    pub order: Vec<usize>,
    /// The most bytes that are alive at once.
    pub peak: usize,
}

/// The order with the least memory alive at once; `None` where there are too many to look at, or where
/// operators have an order that is not their dependencies' alone. At most `states` sets of operators are
/// looked at.
pub fn least(program: &Program, states: usize) -> Option<Order> {
    let fixed = [Opcode::Delegate, Opcode::Repeat];
    if program.instructions.iter().any(|it| fixed.contains(&it.opcode)) {
        return None;
    }
    Search::new(program)?.run(states)
}

/// The program with its instructions in this order.
pub fn reordered(program: &Program, order: &[usize]) -> Program {
    let instructions: Vec<Instruction> =
        order.iter().map(|&index| program.instructions[index].clone()).collect();
    Program { instructions, ..program.clone() }
}

/// An operator, as far as memory is concerned.
#[derive(Debug)]
struct Node {
    /// Tensors that it reads, each once.
    reads: Vec<usize>,
    /// Tensors that it writes.
    writes: Vec<usize>,
    /// Those of `reads` on which its first output may lie.
    in_place: Vec<usize>,
}

/// A tensor in the arena.
#[derive(Debug)]
struct Tensor {
    bytes: usize,
    writer: Option<usize>,
    readers: Vec<usize>,
    /// Whether it is an output of the program.
    kept: bool,
}

#[derive(Debug)]
struct Search {
    nodes: Vec<Node>,
    tensors: Vec<Tensor>,
}

/// A set of operators, a bit each.
type Set = Vec<u64>;

fn has(set: &Set, node: usize) -> bool {
    set[node / 64] >> (node % 64) & 1 == 1
}

/// What is known of a set of operators that have run.
#[derive(Clone)]
struct Reached {
    peak: usize,
    alive: usize,
    /// The set before, and what ran last.
    before: Option<(Set, usize)>,
}

impl Search {
    /// Looks at who reads and writes what; `None` where a tensor is written twice.
    fn new(program: &Program) -> Option<Self> {
        let slot_count = program.slots.len();
        let roots: Vec<usize> = (0..slot_count).map(|slot| program.root(SlotId(slot)).0).collect();
        let mut index = vec![None; slot_count];
        let mut tensors = Vec::new();
        for slot in 0..slot_count {
            if roots[slot] == slot && program.slots[slot].source == Source::Arena {
                index[slot] = Some(tensors.len());
                let bytes = program.slots[slot].bytes().next_multiple_of(ALIGNMENT);
                let kept = program.outputs.iter().any(|output| roots[output.0] == slot);
                tensors.push(Tensor { bytes, writer: None, readers: Vec::new(), kept });
            }
        }
        let tensor = |slot: SlotId| index[roots[slot.0]];
        let mut nodes = Vec::new();
        for (node, instruction) in program.instructions.iter().enumerate() {
            let mut reads: Vec<usize> =
                instruction.inputs.iter().flatten().filter_map(|&slot| tensor(slot)).collect();
            let whole = |slot: &SlotId| {
                program.slots[slot.0].bytes() == program.slots[roots[slot.0]].bytes()
            };
            let over = instruction.opcode.in_place_inputs().iter();
            let over = over.filter_map(|&input| instruction.inputs.get(input).copied().flatten());
            let output = instruction.outputs.first()?;
            let in_place: Vec<usize> = over
                .filter(|slot| {
                    reads.iter().filter(|&&read| Some(read) == tensor(*slot)).count() == 1
                })
                .filter(|slot| {
                    whole(slot) && program.slots[slot.0].bytes() == program.slots[output.0].bytes()
                })
                .filter_map(tensor)
                .collect();
            reads.sort_unstable();
            reads.dedup();
            let writes: Vec<usize> =
                instruction.outputs.iter().filter_map(|&slot| tensor(slot)).collect();
            for &read in &reads {
                tensors[read].readers.push(node);
            }
            for &write in &writes {
                if tensors[write].writer.replace(node).is_some() {
                    return None;
                }
            }
            nodes.push(Node { reads, writes, in_place });
        }
        Some(Self { nodes, tensors })
    }

    /// Whether all that an operator reads has been written.
    fn ready(&self, done: &Set, node: usize) -> bool {
        let written =
            |&read: &usize| self.tensors[read].writer.is_none_or(|writer| has(done, writer));
        !has(done, node) && self.nodes[node].reads.iter().all(written)
    }

    /// Whether nothing needs a tensor when `node` has run behind `done`.
    fn dies(&self, done: &Set, node: usize, tensor: usize) -> bool {
        let Tensor { readers, kept, .. } = &self.tensors[tensor];
        !kept && readers.iter().all(|&reader| reader == node || has(done, reader))
    }

    /// Bytes alive while an operator runs, and behind it, where `alive` are before.
    fn step(&self, done: &Set, alive: usize, node: usize) -> (usize, usize) {
        let Node { reads, writes, in_place } = &self.nodes[node];
        let bytes = |tensor: usize| self.tensors[tensor].bytes;
        let written: usize = writes.iter().map(|&tensor| bytes(tensor)).sum();
        let over = in_place.iter().find(|&&read| self.dies(done, node, read));
        let during = alive + written - over.map_or(0, |&read| bytes(read));
        let dead: usize = reads
            .iter()
            .filter(|&&read| self.dies(done, node, read))
            .map(|&read| bytes(read))
            .sum();
        // What nobody reads is gone at once.
        let unread: usize = writes
            .iter()
            .filter(|&&write| self.tensors[write].readers.is_empty() && !self.tensors[write].kept)
            .map(|&write| bytes(write))
            .sum();
        (during, alive + written - dead - unread)
    }

    fn run(&self, states: usize) -> Option<Order> {
        let count = self.nodes.len();
        let none: Set = vec![0; count.div_ceil(64)];
        // Inputs are there from the beginning, whoever reads them.
        let inputs = self.tensors.iter().filter(|tensor| tensor.writer.is_none());
        let alive = inputs.filter(|it| it.kept || !it.readers.is_empty()).map(|it| it.bytes).sum();
        let mut reached =
            HashMap::from([(none.clone(), Reached { peak: alive, alive, before: None })]);
        // By peak, then those that are furthest.
        let mut queue = BinaryHeap::from([(Reverse(alive), 0, none)]);
        while let Some((Reverse(peak), steps, done)) = queue.pop() {
            if steps == count {
                return Some(Order { order: self.path(&reached, done), peak });
            }
            let Reached { peak: known, alive, .. } = reached[&done];
            if known < peak {
                continue;
            }
            if reached.len() > states {
                return None;
            }
            let ready: Vec<usize> = (0..count).filter(|&node| self.ready(&done, node)).collect();
            let free = ready.iter().copied().find(|&node| {
                let (during, behind) = self.step(&done, alive, node);
                during <= peak && behind <= alive
            });
            let next = free.map_or(ready, |node| vec![node]);
            for node in next {
                let (during, behind) = self.step(&done, alive, node);
                let peak = peak.max(during);
                let mut set = done.clone();
                set[node / 64] |= 1 << (node % 64);
                if reached.get(&set).is_none_or(|known| peak < known.peak) {
                    let before = Some((done.clone(), node));
                    reached.insert(set.clone(), Reached { peak, alive: behind, before });
                    queue.push((Reverse(peak), steps + 1, set));
                }
            }
        }
        None
    }

    /// What ran up to a set.
    fn path(&self, reached: &HashMap<Set, Reached>, mut done: Set) -> Vec<usize> {
        let mut order = Vec::new();
        while let Some((before, node)) = &reached[&done].before {
            order.push(*node);
            done = before.clone();
        }
        order.reverse();
        order
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A search over random operators, each of which reads some tensors that are there.
    fn graphs() -> impl Strategy<Value = Search> {
        let node = (
            1..40_usize,
            proptest::collection::vec(any::<prop::sample::Index>(), 1..3),
            any::<bool>(),
        );
        proptest::collection::vec(node, 1..8).prop_map(|described| {
            let tensor = |bytes| Tensor { bytes, writer: None, readers: Vec::new(), kept: false };
            let mut search = Search { nodes: Vec::new(), tensors: vec![tensor(10)] };
            for (node, (bytes, inputs, in_place)) in described.into_iter().enumerate() {
                let mut reads: Vec<usize> =
                    inputs.iter().map(|input| input.index(search.tensors.len())).collect();
                reads.sort_unstable();
                reads.dedup();
                reads.iter().for_each(|&read| search.tensors[read].readers.push(node));
                let over: Vec<usize> = reads.iter().copied().take(usize::from(in_place)).collect();
                let bytes = over.first().map_or(bytes, |&read| search.tensors[read].bytes);
                search.tensors.push(Tensor { writer: Some(node), ..tensor(bytes) });
                let writes = vec![search.tensors.len() - 1];
                search.nodes.push(Node { reads, writes, in_place: over });
            }
            search.tensors.last_mut().unwrap().kept = true;
            search
        })
    }

    /// The peak of an order, from lives alone.
    fn peak(search: &Search, order: &[usize]) -> usize {
        let mut done: Set = vec![0; search.nodes.len().div_ceil(64)];
        let inputs = search.tensors.iter().filter(|it| it.writer.is_none());
        let mut alive =
            inputs.filter(|it| it.kept || !it.readers.is_empty()).map(|it| it.bytes).sum();
        let mut peak = alive;
        for &node in order {
            assert!(search.ready(&done, node));
            let (during, behind) = search.step(&done, alive, node);
            peak = peak.max(during);
            alive = behind;
            done[node / 64] |= 1 << (node % 64);
        }
        peak
    }

    fn all_orders(search: &Search, done: &mut Set, order: &mut Vec<usize>, best: &mut usize) {
        if order.len() == search.nodes.len() {
            *best = (*best).min(peak(search, order));
        }
        for node in 0..search.nodes.len() {
            if search.ready(done, node) {
                done[node / 64] |= 1 << (node % 64);
                order.push(node);
                all_orders(search, done, order, best);
                order.pop();
                done[node / 64] &= !(1 << (node % 64));
            }
        }
    }

    proptest! {
        #[test]
        fn no_order_needs_less(search in graphs()) {
            let found = search.run(100_000).unwrap();
            prop_assert_eq!(peak(&search, &found.order), found.peak);
            let mut best = usize::MAX;
            all_orders(&search, &mut vec![0; 1], &mut Vec::new(), &mut best);
            prop_assert_eq!(found.peak, best);
        }
    }

    #[test]
    fn a_search_ends_when_its_states_are_used_up() {
        // Twelve operators that do not depend on each other, and one that reads what they write.
        let tensor = |bytes| Tensor { bytes, writer: None, readers: Vec::new(), kept: false };
        let mut search = Search { nodes: Vec::new(), tensors: vec![tensor(10)] };
        for node in 0..12 {
            search.tensors[0].readers.push(node);
            search.tensors.push(Tensor {
                writer: Some(node),
                readers: vec![12],
                ..tensor(20 + node)
            });
            search.nodes.push(Node {
                reads: vec![0],
                writes: vec![node + 1],
                in_place: Vec::new(),
            });
        }
        let reads = (1..13).collect();
        search.tensors.push(Tensor { writer: Some(12), kept: true, ..tensor(5) });
        search.nodes.push(Node { reads, writes: vec![13], in_place: Vec::new() });
        assert_eq!(search.run(100), None);
        assert!(search.run(1 << 13).is_some());
    }
}
