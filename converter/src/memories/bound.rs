//! What no division of tensors and weights among memories can cost less than, and by how much each choice
//! exceeds it.
//!
//! At each step, what is alive in a memory has to fit into it. Such a condition is given a price for each byte
//! (Lagrange's relaxation): every item then goes where its traffic and the bytes that it takes, at their prices,
//! cost the least, by itself, and the prices of all memory are taken off. Whatever the prices, no division that
//! keeps the conditions costs less. Good ones are found by going along the violations (subgradients, with the
//! step of Polyak). What cannot be divided finely, or has no place because of gaps, is not seen: the
//! bound is below the best that there is, mostly not by much.

use std::ops::Range;

use super::Problem;

/// Steps along the violations.
const ROUNDS: usize = 400;
/// Rounds without a better bound until steps are halved.
const PATIENCE: usize = 15;

/// Prices, and what follows from them.
pub(super) struct Bound {
    /// No division costs less.
    pub cost: f64,
    /// By item and memory, flash behind the others: what its choice costs at these prices.
    pub reduced: Vec<Vec<f64>>,
}

/// The best bound found. `known` is what some division costs.
pub(super) fn bound(problem: &Problem, known: u64) -> Bound {
    let mut steps: Vec<usize> =
        problem.items.iter().filter(|item| !item.weights).map(|item| item.buffer.first).collect();
    steps.sort_unstable();
    steps.dedup();
    if steps.is_empty() {
        steps.push(0);
    }
    // The steps at which an item takes memory.
    let alive: Vec<Range<usize>> = problem
        .items
        .iter()
        .map(|item| {
            if item.weights {
                return 0..steps.len();
            }
            let from = steps.partition_point(|&step| step < item.buffer.first);
            from..steps.partition_point(|&step| step <= item.buffer.last)
        })
        .collect();
    let rooms = &problem.rooms;
    let mut prices = vec![vec![0.0_f64; steps.len()]; rooms.len()];
    let mut best = evaluate(problem, &alive, &prices).0;
    let (mut factor, mut since) = (1.0, 0);
    for _ in 0..ROUNDS {
        let (found, violations) = evaluate(problem, &alive, &prices);
        if found.cost > best.cost {
            (best, since) = (found, 0);
        } else {
            since += 1;
            if since == PATIENCE {
                (factor, since) = (factor / 2.0, 0);
            }
        }
        let square: f64 = violations.iter().flatten().map(|by| by * by).sum();
        let missing = known as f64 - best.cost;
        if square == 0.0 || missing < 0.5 {
            break;
        }
        let step = factor * missing / square;
        for (price, by) in prices.iter_mut().flatten().zip(violations.iter().flatten()) {
            *price = (*price + step * by).max(0.0);
        }
    }
    best
}

/// The bound of some prices, and by how many bytes its choices exceed each memory at each step.
fn evaluate(
    problem: &Problem,
    alive: &[Range<usize>],
    prices: &[Vec<f64>],
) -> (Bound, Vec<Vec<f64>>) {
    let rooms = &problem.rooms;
    // The sums of prices before each step, and changes of the bytes there.
    let mut sums = Vec::with_capacity(rooms.len());
    let mut changes = Vec::with_capacity(rooms.len());
    let mut cost = 0.0;
    for (prices, room) in prices.iter().zip(rooms) {
        let mut sum = 0.0;
        let before = prices.iter().map(|price| {
            sum += price;
            sum - price
        });
        let mut before: Vec<f64> = before.collect();
        before.push(sum);
        sums.push(before);
        cost -= sum * room.bytes as f64;
        let mut change = vec![0.0; prices.len() + 1];
        change[0] = -(room.bytes as f64);
        changes.push(change);
    }
    let mut reduced = Vec::with_capacity(problem.items.len());
    for (index, (item, alive)) in problem.items.iter().zip(alive).enumerate() {
        let bytes = item.bytes() as f64;
        let in_memory = |(memory, sums): (usize, &Vec<f64>)| {
            // Too large by itself.
            if item.bytes() > rooms[memory].bytes {
                return f64::INFINITY;
            }
            problem.cost(index, memory) as f64 + bytes * (sums[alive.end] - sums[alive.start])
        };
        let mut costs: Vec<f64> = sums.iter().enumerate().map(in_memory).collect();
        if item.weights {
            costs.push(problem.cost(index, rooms.len()) as f64);
        }
        let least = (0..costs.len()).min_by(|&a, &b| costs[a].total_cmp(&costs[b]));
        cost += least.map_or(0.0, |least| costs[least]);
        if let Some(change) = least.and_then(|least| changes.get_mut(least)) {
            change[alive.start] += bytes;
            change[alive.end] -= bytes;
        }
        reduced.push(costs);
    }
    for change in &mut changes {
        change.pop();
        let mut sum = 0.0;
        for by in change {
            sum += *by;
            *by = sum;
        }
    }
    (Bound { cost, reduced }, changes)
}
