//! Branch and bound over the order of offsets.
//!
//! Any plan can be pushed down until every buffer rests on the arena's floor or on another buffer
//! that it meets in time, so it is enough to place buffers in the order of their offsets, each at
//! the highest top among the placed ones that it meets. Three observations cut the tree:
//!
//! 1. *Bound.* At each step, everything not yet placed will lie above the highest placed buffer
//!    there: that top plus the sizes still to come must stay below the best height known.
//! 2. *Dominance.* A buffer is not placed at or above a height at which another one, unplaced,
//!    could already have ended: that one can always be pushed below.
//! 3. *Symmetry.* Of equal buffers the first comes first.

use super::Buffer;

/// The best plan found.
pub(super) struct Found {
    pub(super) offsets: Vec<usize>,
    /// Whether the whole tree was searched: there is no better plan.
    pub(super) exhausted: bool,
}

/// Looks for a plan lower than `height`, down to `bound`, visiting at most `budget` nodes.
pub(super) fn improve(
    buffers: &[Buffer],
    offsets: &[usize],
    height: usize,
    bound: usize,
    budget: usize,
) -> Found {
    let mut search = Search::new(buffers, offsets, height, bound, budget);
    if buffers.len() <= MAX_BUFFERS {
        search.descend(0, 0);
    } else {
        search.nodes = 0;
    }
    Found { offsets: search.best, exhausted: search.nodes > 0 }
}

/// Components above this size are left to the heuristics: recursion goes as deep as they are large.
const MAX_BUFFERS: usize = 400;

struct Search<'a> {
    buffers: &'a [Buffer],
    /// Distinct steps at which a buffer begins: the only ones at which sums can be largest.
    /// For each, the buffers alive.
    sections: Vec<Vec<usize>>,
    /// For each buffer, the sections it is alive in.
    alive: Vec<std::ops::Range<usize>>,
    /// Top of the placed buffers, per section.
    tops: Vec<usize>,
    /// Bytes of the unplaced buffers, per section.
    rest: Vec<usize>,
    placed: Vec<Option<usize>>,
    best: Vec<usize>,
    best_height: usize,
    bound: usize,
    /// Nodes that may still be visited; 0 stops the search.
    nodes: usize,
}

impl<'a> Search<'a> {
    fn new(
        buffers: &'a [Buffer],
        offsets: &[usize],
        height: usize,
        bound: usize,
        budget: usize,
    ) -> Self {
        let mut starts: Vec<usize> = buffers.iter().map(|buffer| buffer.first).collect();
        starts.sort_unstable();
        starts.dedup();
        let sections: Vec<Vec<usize>> = starts
            .iter()
            .map(|step| {
                let lives = |&i: &usize| (buffers[i].first..=buffers[i].last).contains(step);
                (0..buffers.len()).filter(lives).collect()
            })
            .collect();
        let alive = buffers
            .iter()
            .map(|buffer| {
                starts.partition_point(|&step| step < buffer.first)
                    ..starts.partition_point(|&step| step <= buffer.last)
            })
            .collect();
        let sum = |section: &Vec<usize>| {
            section.iter().fold(0_usize, |sum, &i| sum.saturating_add(buffers[i].bytes))
        };
        Self {
            buffers,
            rest: sections.iter().map(sum).collect(),
            tops: vec![0; sections.len()],
            sections,
            alive,
            placed: vec![None; buffers.len()],
            best: offsets.to_vec(),
            best_height: height,
            bound,
            nodes: budget,
        }
    }

    /// Where `buffer` would rest now, not below `floor`, the offset of the last one placed.
    fn offset(&self, buffer: usize, floor: usize) -> usize {
        self.tops[self.alive[buffer].clone()].iter().copied().fold(floor, usize::max)
    }

    /// Places the next buffer in every sensible way. `floor` is the last offset, `height` the
    /// highest top so far.
    fn descend(&mut self, floor: usize, height: usize) {
        if self.nodes == 0 || self.best_height <= self.bound {
            return;
        }
        self.nodes -= 1;
        let mut candidates: Vec<(usize, usize)> = (0..self.buffers.len())
            .filter(|&i| self.placed[i].is_none())
            .map(|i| (self.offset(i, floor), i))
            .collect();
        if candidates.is_empty() {
            self.best_height = height;
            self.best = self.placed.iter().map(|at| at.unwrap_or(0)).collect();
            return;
        }
        let end = |&(at, i): &(usize, usize)| at.saturating_add(self.buffers[i].bytes);
        let lowest_end = candidates.iter().map(end).min().unwrap_or(0);
        if candidates.iter().any(|candidate| end(candidate) >= self.best_height)
            || !self.can_still_fit(&candidates)
        {
            return;
        }
        candidates.retain(|&(at, _)| at < lowest_end);
        // Low places first; of these the largest buffers, which are hardest to place later.
        candidates.sort_by_key(|&(at, i)| {
            let Buffer { bytes, first, last } = self.buffers[i];
            (at, std::cmp::Reverse(bytes as u128 * (last - first + 1) as u128), i)
        });
        for index in 0..candidates.len() {
            let (at, i) = candidates[index];
            let twin = candidates[..index].iter().any(|&(_, j)| self.buffers[j] == self.buffers[i]);
            if twin || at.saturating_add(self.buffers[i].bytes) >= self.best_height {
                continue;
            }
            self.put(i, at, height);
        }
    }

    /// Places `buffer` at `at`, searches on, and takes it away again.
    fn put(&mut self, buffer: usize, at: usize, height: usize) {
        let (range, bytes) = (self.alive[buffer].clone(), self.buffers[buffer].bytes);
        let before: Vec<usize> = self.tops[range.clone()].to_vec();
        let top = at.saturating_add(bytes);
        for section in range.clone() {
            self.tops[section] = top;
            self.rest[section] -= bytes;
        }
        self.placed[buffer] = Some(at);
        self.descend(at, height.max(top));
        self.placed[buffer] = None;
        for (section, top) in range.zip(before) {
            self.tops[section] = top;
            self.rest[section] += bytes;
        }
    }

    /// Whether every section's unplaced buffers fit between where the lowest of them can begin and
    /// the best height.
    fn can_still_fit(&self, candidates: &[(usize, usize)]) -> bool {
        let mut offsets = vec![usize::MAX; self.buffers.len()];
        for &(at, i) in candidates {
            offsets[i] = at;
        }
        self.sections.iter().zip(&self.rest).all(|(section, &rest)| {
            let lowest = section.iter().map(|&i| offsets[i]).min().unwrap_or(usize::MAX);
            rest == 0 || lowest.saturating_add(rest) < self.best_height
        })
    }
}
