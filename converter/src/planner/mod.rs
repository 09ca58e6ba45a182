//! Where buffers lie in the arena: largest first, each at the lowest place that is free.

/// A buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Bytes.
    pub bytes: usize,
    /// First step.
    pub first: usize,
    /// Last step.
    pub last: usize,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Offsets.
    pub offsets: Vec<usize>,
    /// Size.
    pub arena_bytes: usize,
    /// Bound.
    pub lower_bound: usize,
    /// Optimal.
    pub optimal: bool,
}

/// Greedy by size.
pub fn place(buffers: &[Buffer], alignment: usize, _budget: usize) -> Plan {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(buffers[i].bytes));
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut total = 0;
    let size = |i: usize| buffers[i].bytes.next_multiple_of(alignment);
    for i in order {
        let mut overlapping: Vec<usize> = placed
            .iter()
            .copied()
            .filter(|&j| buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last)
            .collect();
        overlapping.sort_by_key(|&j| offsets[j]);
        let mut at = 0;
        for j in overlapping {
            if at + size(i) <= offsets[j] {
                break;
            }
            at = at.max(offsets[j] + size(j));
        }
        offsets[i] = at;
        total = total.max(at + size(i));
        placed.push(i);
    }
    let steps = buffers.iter().map(|b| b.last + 1).max().unwrap_or(0);
    let lower_bound = (0..steps)
        .map(|s| {
            (0..buffers.len())
                .filter(|&i| buffers[i].first <= s && s <= buffers[i].last)
                .map(size)
                .sum()
        })
        .max()
        .unwrap_or(0);
    Plan { offsets, arena_bytes: total, lower_bound, optimal: total == lower_bound }
}
