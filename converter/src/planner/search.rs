//! Exact search: does a plan of at most so many bytes exist?
//!
//! Any plan can be pushed down until each buffer rests on the arena's floor or on another buffer.
//! So the search fills the arena from below. It looks at *sections*, the few steps at which sums can
//! be largest, and keeps for each the *level* up to which it is decided. It picks a section that is
//! at the bottom of a valley, where nothing can hang over, and asks what lies there next: one of the
//! buffers that fit into the valley, or nothing, which wastes bytes up to the next level at which a
//! buffer could begin. Four observations keep the tree small:
//!
//! 1. *Bound.* In a section, the unplaced buffers must be stacked above where they can begin; like
//!    jobs with release times on one machine, for each level all that begins at or above it must fit
//!    between it and the arena's end.
//! 2. *Parts.* Where no unplaced buffer crosses from one section to the next, what is left of it and
//!    what is right of it no longer matter to each other, and are solved one after the other.
//! 3. *Dominance.* Nothing is wasted that an unplaced buffer would fit into: the plan in which that
//!    buffer lies lower is as good.
//! 4. *Symmetry.* Of equal buffers the first in order is placed first.
//!
//! A search that ends without a plan also tells the smallest arena for which it would have gone on:
//! a better lower bound.

use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

use super::{Buffer, lower_bound::sections};

/// What a search found out.
pub(super) enum Answer {
    /// A plan within the arena: the offset of each buffer.
    Plan(Vec<usize>),
    /// No plan exists in an arena smaller than this.
    AtLeast(usize),
    /// The budget is used up.
    Unknown,
}

/// Numbers made one that tells nothing of them: the same everywhere.
fn mixed(numbers: [usize; 4]) -> usize {
    let mix = |state: u64, number: usize| {
        let state = (state ^ number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (state ^ state >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(31)
    };
    // Of 31 bits, the same also where addresses have 32.
    (numbers.into_iter().fold(1, mix) >> 33) as usize
}

/// A buffer in terms of sections.
struct Item {
    bytes: usize,
    /// First section that it is alive in.
    first: usize,
    /// The one behind the last.
    end: usize,
}

impl Item {
    fn sections(&self) -> Range<usize> {
        self.first..self.end
    }

    fn meets(&self, other: &Self) -> bool {
        self.first < other.end && other.first < self.end
    }
}

/// What the search of one component needs to know, for any size of the arena.
pub(super) struct Problem {
    /// In the order in which they are tried: of variant 0 longest first, then largest.
    items: Vec<Item>,
    /// For each item, the one before it that is equal.
    twins: Vec<Option<usize>>,
    /// The buffer of each item.
    buffers: Vec<usize>,
    sections: usize,
}

impl Problem {
    /// Buffers of more than 0 bytes; the sum of their sizes must be below a quarter of
    /// `usize::MAX`. `variant` says in which way they are searched: with the
    /// longest, the largest or those of the largest area tried first, or in any order, each forwards and
    /// backwards in time. How long a search takes varies by orders of magnitude between them, and which of
    /// them is quick nobody knows before.
    pub(super) fn new(buffers: &[Buffer], variant: usize) -> Self {
        let mirrored: Vec<Buffer>;
        let buffers = match variant % 2 {
            0 => buffers,
            _ => {
                let end = buffers.iter().map(|b| b.last).max().unwrap_or(0);
                let mirror = |b: &Buffer| Buffer { first: end - b.last, last: end - b.first, ..*b };
                mirrored = buffers.iter().map(mirror).collect();
                &mirrored
            }
        };
        let steps = sections(buffers);
        let item = |b: &Buffer| Item {
            bytes: b.bytes,
            first: steps.partition_point(|&step| step < b.first),
            end: steps.partition_point(|&step| step <= b.last),
        };
        let mut order: Vec<(Item, usize)> =
            buffers.iter().enumerate().map(|(i, buffer)| (item(buffer), i)).collect();
        order.sort_by_key(|(item, i)| {
            let (length, bytes) = (item.sections().len(), item.bytes);
            let key = match variant / 2 {
                0 => (length, bytes),
                1 => (bytes, length),
                2 => (bytes.saturating_mul(length), 0),
                // Equal items are equally mixed, and stay together.
                _ => (mixed([bytes, item.first, item.end, variant / 2]), bytes),
            };
            (Reverse(key), *i)
        });
        let (items, buffers): (Vec<Item>, Vec<usize>) = order.into_iter().unzip();
        let mut known = BTreeMap::new();
        let twins = items
            .iter()
            .enumerate()
            .map(|(i, item)| known.insert((item.bytes, item.first, item.end), i))
            .collect();
        Self { items, twins, buffers, sections: steps.len() }
    }

    /// Looks for a plan of at most `arena` bytes. `nodes` is what may be spent, and is reduced by
    /// what was.
    pub(super) fn solve(&self, arena: usize, nodes: &mut usize) -> Answer {
        let mut search = Search {
            problem: self,
            arena,
            levels: vec![0; self.sections],
            tops: vec![0; self.sections],
            rest: vec![0; self.sections],
            crossing: vec![0; self.sections],
            unplaced: vec![true; self.items.len()],
            offsets: vec![0; self.items.len()],
            trail: Vec::new(),
            wanted: usize::MAX,
            nodes,
        };
        for item in &self.items {
            for section in item.sections() {
                search.rest[section] += item.bytes;
                search.crossing[section] += usize::from(section + 1 < item.end);
            }
        }
        let all: Vec<usize> = (0..self.items.len()).collect();
        match search.solve(&all, 0..self.sections, 0) {
            Outcome::Solved => {
                let mut offsets = vec![0; self.items.len()];
                for (&buffer, &offset) in self.buffers.iter().zip(&search.offsets) {
                    offsets[buffer] = offset;
                }
                Answer::Plan(offsets)
            }
            Outcome::Failed => Answer::AtLeast(search.wanted),
            Outcome::Stopped => Answer::Unknown,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Solved,
    Failed,
    Stopped,
}

/// What to undo.
enum Change {
    /// An item was placed.
    Placed(usize),
    /// A section's level and top before.
    Raised(usize, usize, usize),
}

/// Sections of items looked at that cost as much as a node.
const WORK: usize = 512;

/// Components of more buffers are not searched: the recursion would hardly reach a plan.
pub(super) const MOST: usize = 2_000;

/// How deep the recursion may go: its frames must fit on the stack of any thread.
const DEPTH: usize = 800;

struct Search<'a> {
    problem: &'a Problem,
    arena: usize,
    /// Per section: nothing more begins below this.
    levels: Vec<usize>,
    /// Per section: the top of its highest placed item, at most the level.
    tops: Vec<usize>,
    /// Per section: bytes of the unplaced items.
    rest: Vec<usize>,
    /// Per section: how many unplaced items also live in the next one.
    crossing: Vec<usize>,
    unplaced: Vec<bool>,
    offsets: Vec<usize>,
    trail: Vec<Change>,
    /// The smallest arena that would have made a dead end live.
    wanted: usize,
    nodes: &'a mut usize,
}

impl Search<'_> {
    /// Places the unplaced ones of `items`, all of which live in the sections of `range`. Leaves
    /// things as they were unless it succeeds.
    fn solve(&mut self, items: &[usize], range: Range<usize>, depth: usize) -> Outcome {
        let items: Vec<usize> = items.iter().copied().filter(|&i| self.unplaced[i]).collect();
        let start = self.trail.len();
        let mut parts = self.parts(range);
        let outcome = match parts.len() {
            0 => Outcome::Solved,
            1 => self.branch(&items, parts.remove(0), depth),
            _ => {
                // The part that is closest to failing first.
                parts.sort_by_key(|part| (self.slack(part), part.start));
                let mut outcome = Outcome::Solved;
                for part in parts {
                    let inside: Vec<usize> = items
                        .iter()
                        .copied()
                        .filter(|&i| part.contains(&self.problem.items[i].first))
                        .collect();
                    outcome = self.branch(&inside, part, depth);
                    if outcome != Outcome::Solved {
                        break;
                    }
                }
                outcome
            }
        };
        if outcome != Outcome::Solved {
            self.undo(start);
        }
        outcome
    }

    /// Maximal ranges of sections that unplaced items connect.
    fn parts(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        let mut open = None;
        for section in range.filter(|&section| self.rest[section] > 0) {
            let start = *open.get_or_insert(section);
            if self.crossing[section] == 0 {
                parts.push(start..section + 1);
                open = None;
            }
        }
        parts
    }

    /// The least bytes that are to spare in a section.
    fn slack(&self, range: &Range<usize>) -> usize {
        let spare = |s: usize| self.arena.saturating_sub(self.levels[s] + self.rest[s]);
        range.clone().map(spare).min().unwrap_or(0)
    }

    /// Decides what comes next in one section of a connected part.
    fn branch(&mut self, items: &[usize], range: Range<usize>, depth: usize) -> Outcome {
        if *self.nodes == 0 || depth > DEPTH {
            return Outcome::Stopped;
        }
        // Large parts take longer: they are charged more.
        let work: usize = items.iter().map(|&i| self.problem.items[i].sections().len() + 8).sum();
        *self.nodes = self.nodes.saturating_sub(1 + work / WORK);
        let start = self.trail.len();
        let mut lows = vec![0; items.len()];
        let choice = loop {
            for (low, &i) in lows.iter_mut().zip(items) {
                *low = self.low(i);
            }
            if self.wastes(items) || !self.fits(items, &lows, &range) {
                self.undo(start);
                return Outcome::Failed;
            }
            match self.choose(items, &lows, &range) {
                Ok(choice) => break choice,
                // Sections in which nothing can begin at their level.
                Err(raises) => {
                    for (section, level) in raises {
                        self.raise(section, level, self.tops[section]);
                    }
                }
            }
        };
        let Choice { section, candidates } = choice;
        for &i in &candidates {
            let before = self.trail.len();
            self.put(i, self.levels[section]);
            let outcome = self.solve(items, range.clone(), depth + 1);
            if outcome == Outcome::Solved {
                return outcome;
            }
            self.undo(before);
            if outcome == Outcome::Stopped {
                self.undo(start);
                return outcome;
            }
        }
        let outcome = match self.next_level(items, &lows, section) {
            Some(level) if level <= self.arena => {
                self.raise(section, level, self.tops[section]);
                self.branch(items, range, depth + 1)
            }
            Some(level) => {
                self.wanted = self.wanted.min(level);
                Outcome::Failed
            }
            None => Outcome::Failed,
        };
        if outcome != Outcome::Solved {
            self.undo(start);
        }
        outcome
    }

    /// The lowest place that an unplaced item can still have.
    fn low(&self, item: usize) -> usize {
        let levels = &self.levels[self.problem.items[item].sections()];
        levels.iter().copied().max().unwrap_or(0)
    }

    /// Whether an item at `low` would rest on the floor or on another item.
    fn rests(&self, item: usize, low: usize) -> bool {
        self.tops[self.problem.items[item].sections()].contains(&low)
    }

    /// Observation 1. Notes the arena that is wanted where it does not hold.
    fn fits(&mut self, items: &[usize], lows: &[usize], range: &Range<usize>) -> bool {
        let mut order: Vec<(usize, usize)> =
            lows.iter().copied().zip(items.iter().copied()).collect();
        order.sort_unstable_by_key(|&(low, i)| (Reverse(low), i));
        // Per section, the sum of those that begin at the level looked at or above it.
        let mut sums = vec![0; range.len()];
        let mut wanted = 0;
        for (low, i) in order {
            let item = &self.problem.items[i];
            for sum in &mut sums[item.first - range.start..item.end - range.start] {
                *sum += item.bytes;
                wanted = wanted.max(low + *sum);
            }
        }
        let fits = wanted <= self.arena;
        if !fits {
            self.wanted = self.wanted.min(wanted);
        }
        fits
    }

    /// The section to decide: in a valley, with the fewest candidates, and of these the one with the
    /// fewest bytes to spare. An error lists sections without candidates and their next levels.
    fn choose(
        &self,
        items: &[usize],
        lows: &[usize],
        range: &Range<usize>,
    ) -> Result<Choice, Vec<(usize, usize)>> {
        let mut options: Vec<Option<Options>> = (0..range.len()).map(|_| None).collect();
        for section in self.valleys(range) {
            options[section - range.start] =
                Some(Options { candidates: Vec::new(), next: usize::MAX });
        }
        for (&low, &i) in lows.iter().zip(items) {
            let item = &self.problem.items[i];
            let mut lifted = None;
            for section in item.sections() {
                let Some(options) = &mut options[section - range.start] else { continue };
                if low > self.levels[section] {
                    options.next = options.next.min(low);
                } else if self.rests(i, low) {
                    // Observation 4.
                    if self.problem.twins[i].is_none_or(|twin| !self.unplaced[twin]) {
                        options.candidates.push(i);
                    }
                } else {
                    let lifted = *lifted.get_or_insert_with(|| self.lifted(items, lows, i));
                    options.next = options.next.min(lifted);
                }
            }
        }
        let mut best: Option<((usize, usize, usize), Vec<usize>)> = None;
        let mut raises = Vec::new();
        for (section, options) in range.clone().zip(options) {
            let Some(Options { candidates, next }) = options else { continue };
            if candidates.is_empty() {
                raises.push((section, next.min(self.arena + 1)));
                continue;
            }
            let spare = self.arena - self.levels[section] - self.rest[section];
            let key = (candidates.len(), spare, section);
            if best.as_ref().is_none_or(|(known, _)| key < *known) {
                best = Some((key, candidates));
            }
        }
        match best {
            Some(((_, _, section), candidates)) if raises.is_empty() => {
                Ok(Choice { section, candidates })
            }
            _ => Err(raises),
        }
    }

    /// Sections that lie in a stretch of equal levels with higher ones, or the part's end, on both
    /// sides: an item whose lowest place is a valley's level lies wholly inside it.
    fn valleys(&self, range: &Range<usize>) -> impl Iterator<Item = usize> {
        let levels = &self.levels[range.clone()];
        let mut valleys = Vec::new();
        let (mut at, mut before) = (0, usize::MAX);
        for stretch in levels.chunk_by(|a, b| a == b) {
            let after = levels.get(at + stretch.len()).copied().unwrap_or(usize::MAX);
            if stretch[0] < before && stretch[0] < after {
                valleys.extend(range.start + at..range.start + at + stretch.len());
            }
            at += stretch.len();
            before = stretch[0];
        }
        valleys.into_iter()
    }

    /// Where an item can begin that will not begin at its lowest place: on another unplaced one.
    fn lifted(&self, items: &[usize], lows: &[usize], item: usize) -> usize {
        let this = &self.problem.items[item];
        let below = items.iter().zip(lows).filter(|&(&other, _)| {
            other != item && self.unplaced[other] && self.problem.items[other].meets(this)
        });
        below.map(|(&i, &low)| low + self.problem.items[i].bytes).min().unwrap_or(usize::MAX)
    }

    /// The next level at which something may begin in a section when none of `candidates` begins
    /// at this one; none if there is no such level in any arena.
    fn next_level(&self, items: &[usize], lows: &[usize], section: usize) -> Option<usize> {
        let level = self.levels[section];
        let here = items
            .iter()
            .zip(lows)
            .filter(|&(&i, _)| self.problem.items[i].sections().contains(&section));
        here.map(|(&i, &low)| if low > level { low } else { self.lifted(items, lows, i) })
            .min()
            .filter(|&next| next < usize::MAX)
    }

    /// Observation 3: whether an unplaced item fits below the levels of its sections.
    fn wastes(&self, items: &[usize]) -> bool {
        items.iter().any(|&i| {
            let item = &self.problem.items[i];
            let top = self.tops[item.sections()].iter().copied().max().unwrap_or(0);
            self.levels[item.sections()].iter().all(|&level| top + item.bytes <= level)
        })
    }

    fn put(&mut self, item: usize, offset: usize) {
        let Item { bytes, first, end } = self.problem.items[item];
        for section in first..end {
            self.raise(section, offset + bytes, offset + bytes);
            self.rest[section] -= bytes;
            self.crossing[section] -= usize::from(section + 1 < end);
        }
        self.offsets[item] = offset;
        self.unplaced[item] = false;
        self.trail.push(Change::Placed(item));
    }

    fn raise(&mut self, section: usize, level: usize, top: usize) {
        self.trail.push(Change::Raised(section, self.levels[section], self.tops[section]));
        self.levels[section] = level;
        self.tops[section] = top;
    }

    /// Takes back all changes since the trail was `length` long.
    fn undo(&mut self, length: usize) {
        for change in self.trail.drain(length..).rev() {
            match change {
                Change::Placed(item) => {
                    let Item { bytes, first, end } = self.problem.items[item];
                    for section in first..end {
                        self.rest[section] += bytes;
                        self.crossing[section] += usize::from(section + 1 < end);
                    }
                    self.unplaced[item] = true;
                }
                Change::Raised(section, level, top) => {
                    self.levels[section] = level;
                    self.tops[section] = top;
                }
            }
        }
    }
}

/// What may come next in a section.
struct Options {
    /// The items that may begin at its level.
    candidates: Vec<usize>,
    /// The lowest place of the others.
    next: usize,
}

/// A section and the items that may begin at its level.
struct Choice {
    section: usize,
    candidates: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::planner::tests::{brute_force, buffers};

    proptest! {
        #[test]
        fn a_plan_is_found_in_the_smallest_arena_and_in_none_below(buffers in buffers(1..8)) {
            let variant = buffers.len();
            let problem = Problem::new(&buffers, variant);
            let smallest = brute_force(&buffers, 1);
            let largest = buffers.iter().map(|b| b.bytes).sum::<usize>();
            for arena in [0, smallest / 2, smallest - 1, smallest, smallest + 1, largest] {
                match problem.solve(arena, &mut 100_000) {
                    Answer::Plan(offsets) => {
                        prop_assert!(arena >= smallest);
                        let plan = crate::planner::Plan {
                            offsets, arena_bytes: arena, lower_bound: 0, optimal: false,
                        };
                        prop_assert_eq!(crate::planner::check(&buffers, 1, &plan), Ok(()));
                    }
                    Answer::AtLeast(bytes) => {
                        prop_assert!(arena < smallest);
                        prop_assert!(arena < bytes && bytes <= smallest);
                    }
                    Answer::Unknown => prop_assert!(false, "the budget must do"),
                }
            }
        }
    }

    #[test]
    fn the_deepest_recursion_fits_on_the_stack_of_a_thread() {
        // Tests run on threads, which have less stack than a program. One buffer per level.
        let buffers: Vec<Buffer> =
            (1..DEPTH).map(|bytes| Buffer { bytes, first: 0, last: 0 }).collect();
        let arena = buffers.iter().map(|b| b.bytes).sum();
        assert!(matches!(Problem::new(&buffers, 0).solve(arena, &mut 1_000_000), Answer::Plan(_)));
    }

    #[test]
    fn a_search_stops_when_its_nodes_are_used_up() {
        let buffers: Vec<Buffer> =
            (0..12).map(|i| Buffer { bytes: 10 + i, first: i % 4, last: i % 4 + i / 3 }).collect();
        let mut nodes = 3;
        assert!(matches!(Problem::new(&buffers, 0).solve(500, &mut nodes), Answer::Unknown));
        assert_eq!(nodes, 0);
    }
}
