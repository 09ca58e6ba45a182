//! Greedy plans: buffers in some order, each at the lowest place that is free while it lives.

use std::cmp::Reverse;

use super::{Buffer, height};

/// How often an order is repaired by moving a buffer at the top to the front.
const REPAIRS: usize = 64;

/// Components above this size are not repaired: each try costs the square of it.
const REPAIRED: usize = 300;

/// What buffers are ordered by, largest first.
type Key<'a> = &'a dyn Fn(&Buffer) -> [u128; 2];

/// The best plan of several orders; stops at the first that is as low as `bound`.
pub(super) fn best(buffers: &[Buffer], bound: usize) -> Vec<usize> {
    let span = |b: &Buffer| (b.last - b.first) as u128;
    let keys: [Key<'_>; 5] = [
        &|b| [b.bytes as u128, span(b)],
        &|b| [span(b), b.bytes as u128],
        &|b| [(b.bytes as u128).saturating_mul(span(b) + 1), b.bytes as u128],
        &|b| [b.first as u128, b.bytes as u128],
        &|b| [u128::MAX - b.last as u128, b.bytes as u128],
    ];
    let mut best: Option<(usize, Vec<usize>)> = None;
    for key in keys {
        let mut order: Vec<usize> = (0..buffers.len()).collect();
        order.sort_by_key(|&i| Reverse(key(&buffers[i])));
        let repairs = if buffers.len() > REPAIRED { 0 } else { REPAIRS };
        for _ in 0..=repairs {
            let offsets = first_fit(buffers, &order);
            let reached = height(buffers, &offsets);
            let top =
                order.iter().position(|&i| offsets[i].saturating_add(buffers[i].bytes) == reached);
            if best.as_ref().is_none_or(|(lowest, _)| reached < *lowest) {
                best = Some((reached, offsets));
            }
            if reached <= bound {
                return best.map_or_else(Vec::new, |(_, offsets)| offsets);
            }
            match top {
                // The buffer that sticks out gets to choose its place first.
                Some(at) if at > 0 => order[..=at].rotate_right(1),
                _ => break,
            }
        }
    }
    best.map_or_else(Vec::new, |(_, offsets)| offsets)
}

/// Places buffers in `order`.
fn first_fit(buffers: &[Buffer], order: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0; buffers.len()];
    // Placed buffers by offset.
    let mut placed: Vec<usize> = Vec::with_capacity(buffers.len());
    for &i in order {
        let mut at = 0_usize;
        for &other in placed.iter().filter(|&&other| buffers[i].meets(&buffers[other])) {
            if at.saturating_add(buffers[i].bytes) <= offsets[other] {
                break;
            }
            at = at.max(offsets[other].saturating_add(buffers[other].bytes));
        }
        offsets[i] = at;
        let position = placed.partition_point(|&other| offsets[other] <= at);
        placed.insert(position, i);
    }
    offsets
}
