//! Offline memory planning: every buffer gets an offset in one arena, so that no two that are alive
//! at once overlap and the arena is as small as can be.
//!
//! This is dynamic storage allocation: NP-hard in general, easy for most networks. So the planner
//! goes from cheap to dear, and stops as soon as it has a plan as small as the lower bound, the
//! largest sum of buffers alive at one step (`lower_bound`):
//!
//! 1. Buffers fall into components that are never alive at once; each is planned by itself.
//! 2. Greedy plans in several orders, and small changes to these (`heuristic`). The best known such
//!    order, by size into the lowest gap, is what TensorFlow Lite Micro's planner does.
//! 3. An exact search (`search`) that answers whether a plan of at most so many bytes exists. It
//!    squeezes: from below at the bound, which a failed search raises; from above just under the best
//!    plan, which a successful search lowers; and between them. It is asked in several ways in turn, which
//!    try other things first: one of a hundred random instances of sixty buffers takes
//!    a thousand times as long as the others in one way, and in another it does not. The shares of nodes
//!    grow, so that an answer that comes easily from one side is not waited for on another.
//!
//! The search owes its frame to two papers on placing buffers for machine-learning accelerators:
//! TelaMalloc (Maas and others, ASPLOS 2023: contention, the split into independent parts) and
//! MiniMalloc (Moffitt, ASPLOS 2023: sections, canonical plans in which each buffer rests on the
//! floor or on another, dominance). The bound with release times is that of one-machine scheduling
//! (Carlier, 1982).
//!
//! The budget counts nodes of the search, never time, and nothing depends on hashing or on threads:
//! the same input gives the same plan everywhere.

mod check;
mod heuristic;
mod lower_bound;
pub mod map;
mod search;
#[cfg(test)]
mod tests;

pub use check::{Violation, check};

use lower_bound::lower_bound;
use search::{Answer, Problem};

/// A buffer to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Its size. One of 0 bytes is placed at 0.
    pub bytes: usize,
    /// The first step, an operator's index, during which it holds something.
    pub first: usize,
    /// The last such step, inclusive. A step before `first` stands for `first`.
    pub last: usize,
}

impl Buffer {
    /// Whether both are alive at some step.
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Where buffers lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The offset of each buffer, in bytes, a multiple of the alignment.
    pub offsets: Vec<usize>,
    /// The end of the highest buffer, its size rounded up to the alignment. `usize::MAX` if no
    /// arena can hold the buffers; the offsets then mean nothing.
    pub arena_bytes: usize,
    /// The largest sum of aligned buffers alive at once: no plan is smaller. `usize::MAX` if it is
    /// larger than that.
    pub lower_bound: usize,
    /// Whether the plan reaches the lower bound, or the search proved that no plan is smaller.
    pub optimal: bool,
}

/// Places `buffers` at multiples of `alignment` (0 stands for 1), visiting at most about `budget`
/// nodes of the search tree; with 0, the greedy plans are all there is. A million nodes take some
/// seconds. [`Plan`] says what becomes of buffers that no arena can hold.
pub fn place(buffers: &[Buffer], alignment: usize, budget: usize) -> Plan {
    let alignment = alignment.max(1);
    let aligned: Vec<Buffer> = buffers
        .iter()
        .map(|&Buffer { bytes, first, last }| {
            let bytes = bytes.checked_next_multiple_of(alignment).unwrap_or(usize::MAX);
            Buffer { bytes, first, last: last.max(first) }
        })
        .collect();
    let mut components: Vec<Component> =
        components(&aligned).into_iter().map(|members| Component::new(&aligned, members)).collect();
    // Below the highest component's proved bound there is nothing to gain in the others.
    let lower_bound = components.iter().map(|c| c.bound).max().unwrap_or(0);
    for component in &mut components {
        component.place_greedily(lower_bound);
    }
    // Those that need much are searched first: what they turn out to need is enough for others.
    components.sort_by_key(|c| std::cmp::Reverse(c.height));
    let (mut proved, mut nodes) = (lower_bound, budget);
    for component in &mut components {
        component.squeeze(proved, &mut nodes);
        proved = proved.max(component.bound);
    }
    let mut plan =
        Plan { offsets: vec![0; buffers.len()], arena_bytes: 0, lower_bound, optimal: true };
    for component in &components {
        for (&buffer, &offset) in component.members.iter().zip(&component.offsets) {
            plan.offsets[buffer] = offset;
        }
        plan.arena_bytes = plan.arena_bytes.max(component.height);
    }
    plan.optimal = plan.arena_bytes <= proved && plan.arena_bytes < usize::MAX;
    plan
}

/// Buffers that are connected in time.
struct Component {
    /// Their indices.
    members: Vec<usize>,
    buffers: Vec<Buffer>,
    /// The best plan known, and its height.
    offsets: Vec<usize>,
    height: usize,
    /// No plan is lower.
    bound: usize,
}

impl Component {
    fn new(all: &[Buffer], members: Vec<usize>) -> Self {
        let buffers: Vec<Buffer> = members.iter().map(|&i| all[i]).collect();
        let bound = lower_bound(&buffers);
        Self { offsets: vec![0; members.len()], height: 0, members, buffers, bound }
    }

    fn place_greedily(&mut self, enough: usize) {
        self.offsets = heuristic::best(&self.buffers, enough);
        self.height = height(&self.buffers, &self.offsets);
    }

    /// Brings bound and height together, or the height down to `enough`, or spends `nodes`.
    fn squeeze(&mut self, enough: usize, nodes: &mut usize) {
        let total = self.buffers.iter().try_fold(0_usize, |sum, b| sum.checked_add(b.bytes));
        // Sums of a few such totals must not overflow in the search.
        let summable = total.is_some_and(|total| total <= usize::MAX / 4);
        if self.height <= enough || !summable || self.buffers.len() > search::MOST {
            return;
        }
        let (mut variant, mut problem) = (0, Problem::new(&self.buffers, 0));
        let mut share = FIRST_SHARE;
        // A plan as low as this ends the search.
        let goal = |bound: usize| bound.max(enough);
        while self.height > goal(self.bound) && *nodes > 0 {
            let mut known = false;
            for place in [Target::Bound, Target::Middle, Target::Best] {
                let (low, high) = (goal(self.bound), self.height - 1);
                if low > high {
                    break;
                }
                let arena = match place {
                    Target::Bound => low,
                    Target::Middle => low + (high - low) / 2,
                    Target::Best => high,
                };
                let granted = share.min(*nodes);
                let mut left = granted;
                match problem.solve(arena, &mut left) {
                    Answer::Plan(offsets) => {
                        self.height = height(&self.buffers, &offsets);
                        self.offsets = offsets;
                        known = true;
                    }
                    Answer::AtLeast(bytes) => {
                        self.bound = self.bound.max(bytes.min(self.height));
                        known = true;
                    }
                    Answer::Unknown => {}
                }
                *nodes -= granted - left;
            }
            // Ends also where the recursion is too deep to use the nodes up.
            if !known {
                if share > *nodes {
                    return;
                }
                variant += 1;
                problem = Problem::new(&self.buffers, variant);
                if variant % WAYS == 0 {
                    share *= 4;
                }
            }
        }
    }
}

/// In how many ways a component is searched before more nodes are granted.
const WAYS: usize = 6;

/// Nodes of the first search of a component.
const FIRST_SHARE: usize = 1_000;

/// At which size of the arena the next search asks for a plan.
#[derive(Clone, Copy)]
enum Target {
    Bound,
    Middle,
    Best,
}

/// The end of the highest buffer.
fn height(buffers: &[Buffer], offsets: &[usize]) -> usize {
    let tops = buffers.iter().zip(offsets).map(|(buffer, at)| at.saturating_add(buffer.bytes));
    tops.max().unwrap_or(0)
}

/// Groups of buffers that are connected in time, as indices. Empty buffers are in none.
fn components(buffers: &[Buffer]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..buffers.len()).filter(|&i| buffers[i].bytes > 0).collect();
    order.sort_by_key(|&i| (buffers[i].first, i));
    let mut components: Vec<Vec<usize>> = Vec::new();
    let mut end = None;
    for i in order {
        match (components.last_mut(), end) {
            (Some(component), Some(end)) if buffers[i].first <= end => component.push(i),
            _ => components.push(vec![i]),
        }
        end = end.max(Some(buffers[i].last));
    }
    components
}
