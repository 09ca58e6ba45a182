//! Greedy plans: buffers in some order, each at a place that is free while it lives.
//!
//! The order decides how good the plan is, and no order is best for all networks, so several are
//! tried. Ordered by size, with the lowest gap, this is the planner of TensorFlow Lite Micro
//! (`GreedyMemoryPlanner`). Contention, how much is alive at the fullest step of a buffer's life, is what
//! TelaMalloc looks at first.

use std::cmp::Reverse;

use super::{Buffer, height, lower_bound::sections};

/// Components above this size are not improved by trying changed orders.
const IMPROVED: usize = 400;

/// Pairs of buffers that may be compared, over all orders: keeps crowded components of thousands of
/// buffers to the best few orders.
const PAIRS: usize = 40_000_000;

/// How many changed orders are tried, times buffers.
const TRIES: usize = 20_000;

/// What buffers are ordered by, largest first.
type Key<'a> = &'a dyn Fn(&Buffer) -> [u128; 3];

/// Which of the free places a buffer takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// The lowest.
    Lowest,
    /// The smallest between two others; the lowest of these.
    Tightest,
}

/// The best plan of several orders; stops at the first that is as low as `bound`.
pub(super) fn best(buffers: &[Buffer], bound: usize) -> Vec<usize> {
    let neighbours = Neighbours::new(buffers);
    let mut best = Best { offsets: vec![0; buffers.len()], height: usize::MAX };
    let mut orders = orders(buffers);
    // At least two plans, by size and by area.
    let mut left = (PAIRS / neighbours.pairs(buffers).max(1)).max(2);
    for gap in [Gap::Lowest, Gap::Tightest] {
        for order in orders.iter().take(left) {
            left -= 1;
            if best.take(buffers, neighbours.fit(buffers, order, gap)) <= bound {
                return best.offsets;
            }
        }
    }
    if buffers.len() <= IMPROVED {
        let tries = TRIES / buffers.len().max(1) / orders.len();
        for (seed, order) in orders.iter_mut().enumerate() {
            if improve(buffers, &neighbours, order, tries, seed as u64, bound, &mut best) {
                break;
            }
        }
    }
    best.offsets
}

/// The lowest plan known.
struct Best {
    offsets: Vec<usize>,
    height: usize,
}

impl Best {
    /// Keeps the lower plan; returns the height of the one offered.
    fn take(&mut self, buffers: &[Buffer], offsets: Vec<usize>) -> usize {
        let reached = height(buffers, &offsets);
        // The first plan is taken even if nothing is lower than it.
        if reached < self.height || self.height == usize::MAX {
            *self = Self { offsets, height: reached };
        }
        reached
    }
}

/// Orders worth trying: by size, life, area, conflicts, contention and time. Equal ones are in the
/// order of the buffers, so that the same buffers are always ordered the same way.
fn orders(buffers: &[Buffer]) -> Vec<Vec<usize>> {
    let mut firsts: Vec<usize> = buffers.iter().map(|b| b.first).collect();
    let mut lasts: Vec<usize> = buffers.iter().map(|b| b.last).collect();
    firsts.sort_unstable();
    lasts.sort_unstable();
    // Those that began by its end, without those that ended before it began.
    let conflicts = |b: &Buffer| {
        firsts.partition_point(|&first| first <= b.last) - lasts.partition_point(|&l| l < b.first)
    };
    let contention = Contention::new(buffers);
    let size = |b: &Buffer| b.bytes as u128;
    let span = |b: &Buffer| (b.last - b.first) as u128 + 1;
    let area = |b: &Buffer| size(b).saturating_mul(span(b));
    let keys: [Key<'_>; 8] = [
        &|b| [size(b), span(b), 0],
        &|b| [area(b), size(b), 0],
        &|b| [contention.most(b) as u128, area(b), 0],
        &|b| [contention.most(b) as u128, span(b), size(b)],
        &|b| [span(b), size(b), 0],
        &|b| [conflicts(b) as u128, size(b), 0],
        &|b| [u128::MAX - b.first as u128, size(b), 0],
        &|b| [b.last as u128, size(b), 0],
    ];
    keys.iter()
        .map(|key| {
            let mut order: Vec<usize> = (0..buffers.len()).collect();
            order.sort_by_cached_key(|&i| Reverse(key(&buffers[i])));
            order
        })
        .collect()
}

/// How much is alive at the fullest step of a buffer's life.
struct Contention {
    steps: Vec<usize>,
    /// Maxima over 1, 2, 4, … sections from each on: any range is covered by two of them.
    most: Vec<Vec<usize>>,
}

impl Contention {
    fn new(buffers: &[Buffer]) -> Self {
        let steps = sections(buffers);
        let mut sums = vec![0_usize; steps.len() + 1];
        for b in buffers {
            let begin = steps.partition_point(|&step| step < b.first);
            let end = steps.partition_point(|&step| step <= b.last);
            sums[begin] = sums[begin].wrapping_add(b.bytes);
            sums[end] = sums[end].wrapping_sub(b.bytes);
        }
        let mut live = 0_usize;
        let sums: Vec<usize> = sums[..steps.len()]
            .iter()
            .map(|change| {
                live = live.wrapping_add(*change);
                live
            })
            .collect();
        let mut most = vec![sums];
        let mut width = 1;
        while 2 * width <= steps.len() {
            let last = &most[most.len() - 1];
            let wider = last.iter().zip(&last[width..]).map(|(&a, &b)| a.max(b)).collect();
            most.push(wider);
            width *= 2;
        }
        Self { steps, most }
    }

    fn most(&self, buffer: &Buffer) -> usize {
        let begin = self.steps.partition_point(|&step| step < buffer.first);
        let end = self.steps.partition_point(|&step| step <= buffer.last);
        let level = (end - begin).max(1).ilog2() as usize;
        let most = &self.most[level];
        most[begin].max(most[end - (1 << level)])
    }
}

/// Finds what is alive together with a buffer without looking at all others.
struct Neighbours {
    /// Buffers by first step.
    order: Vec<usize>,
    /// Their first steps.
    firsts: Vec<usize>,
    /// For each place in the order, the latest step that those up to it live to.
    reach: Vec<usize>,
}

impl Neighbours {
    fn new(buffers: &[Buffer]) -> Self {
        let mut order: Vec<usize> = (0..buffers.len()).collect();
        order.sort_by_key(|&i| buffers[i].first);
        let firsts = order.iter().map(|&i| buffers[i].first).collect();
        let reach = order
            .iter()
            .scan(0, |reach, &i| {
                *reach = buffers[i].last.max(*reach);
                Some(*reach)
            })
            .collect();
        Self { order, firsts, reach }
    }

    /// Those that may be alive together with `buffer`: a superset.
    fn of(&self, buffer: &Buffer) -> &[usize] {
        // `reach` ascends: before this place, all have ended.
        let begin = self.reach.partition_point(|&reach| reach < buffer.first);
        let end = self.firsts.partition_point(|&first| first <= buffer.last);
        &self.order[begin..end.max(begin)]
    }

    /// How many pairs one plan looks at.
    fn pairs(&self, buffers: &[Buffer]) -> usize {
        buffers.iter().map(|buffer| self.of(buffer).len()).sum()
    }

    /// Places buffers in `order`.
    fn fit(&self, buffers: &[Buffer], order: &[usize], gap: Gap) -> Vec<usize> {
        let mut offsets = vec![None; buffers.len()];
        let mut taken: Vec<(usize, usize)> = Vec::new();
        for &i in order {
            let this = &buffers[i];
            taken.clear();
            taken.extend(self.of(this).iter().filter(|&&j| buffers[j].meets(this)).filter_map(
                |&j| offsets[j].map(|at: usize| (at, at.saturating_add(buffers[j].bytes))),
            ));
            taken.sort_unstable();
            offsets[i] = Some(place_in_gap(&taken, this.bytes, gap));
        }
        offsets.into_iter().map(|at| at.unwrap_or(0)).collect()
    }
}

/// The offset of `bytes` between the taken ranges, which ascend.
fn place_in_gap(taken: &[(usize, usize)], bytes: usize, gap: Gap) -> usize {
    let mut tightest: Option<(usize, usize)> = None;
    let mut top = 0;
    for &(begin, end) in taken {
        if let Some(spare) = begin.checked_sub(top).and_then(|free| free.checked_sub(bytes)) {
            if gap == Gap::Lowest {
                return top;
            }
            if tightest.is_none_or(|(known, _)| spare < known) {
                tightest = Some((spare, top));
            }
        }
        top = top.max(end);
    }
    tightest.map_or(top, |(_, at)| at)
}

/// Changes an order step by step: a buffer that sticks out gets to choose earlier. Whether `bound`
/// was reached.
fn improve(
    buffers: &[Buffer],
    neighbours: &Neighbours,
    order: &mut [usize],
    tries: usize,
    seed: u64,
    bound: usize,
    best: &mut Best,
) -> bool {
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(1));
    let mut offsets = neighbours.fit(buffers, order, Gap::Lowest);
    let mut current = height(buffers, &offsets);
    for _ in 0..tries {
        let sticks_out = |i: usize| offsets[i].saturating_add(buffers[i].bytes) == current;
        let Some(from) = order.iter().position(|&i| sticks_out(i)).filter(|&at| at > 0) else {
            break;
        };
        let to = random.below(from);
        order[to..=from].rotate_right(1);
        let changed = neighbours.fit(buffers, order, Gap::Lowest);
        let reached = height(buffers, &changed);
        if reached <= current {
            current = reached;
            offsets = changed;
            if best.take(buffers, offsets.clone()) <= bound {
                return true;
            }
        } else {
            order[to..=from].rotate_left(1);
        }
    }
    false
}

/// Marsaglia's xorshift: the same numbers everywhere.
struct Random(u64);

impl Random {
    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) % limit.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_chosen_as_asked() {
        let taken = [(10, 20), (25, 30)];
        assert_eq!(place_in_gap(&taken, 5, Gap::Lowest), 0);
        assert_eq!(place_in_gap(&taken, 5, Gap::Tightest), 20);
        assert_eq!(place_in_gap(&taken, 11, Gap::Tightest), 30);
        assert_eq!(place_in_gap(&[(0, 30), (5, 10)], 3, Gap::Lowest), 30);
    }

    #[test]
    fn contention_is_that_of_the_fullest_step() {
        let buffer = |bytes, first, last| Buffer { bytes, first, last };
        let buffers = [buffer(1, 0, 0), buffer(2, 0, 5), buffer(4, 2, 3), buffer(8, 5, 6)];
        let contention = Contention::new(&buffers);
        let most: Vec<usize> = buffers.iter().map(|b| contention.most(b)).collect();
        assert_eq!(most, [3, 10, 6, 10]);
    }
}
