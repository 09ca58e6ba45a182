//! Which item lies in which memory, so that an inference costs the least.
//!
//! 1. Greedy divisions: what has the most traffic for its size comes first, or what is largest, into the fastest
//!    memory that takes it, or the slowest; then all moves to faster memories that there is room for.
//! 2. Two items that change places, or one that makes room for another, as long as that costs less.
//! 3. Branch and bound: items one after the other, in each memory that might lead to less than the best division
//!    known, by a bound (`bound`). Whether items fit is found out by planning the memory, which is
//!    `planner`'s: a division is proved to be the best where no other was left out for lack of such a proof.
//!
//! Budgets count plans and nodes, never time.

use super::{
    Problem,
    bound::{Bound, bound},
    filling::{Filling, MANY},
};

/// A division.
#[derive(Debug, Clone)]
pub(super) struct Found<'a> {
    pub filling: Filling<'a>,
    /// What an inference costs.
    pub cost: u64,
    /// No division costs less.
    pub bound: u64,
}

/// The orders in which items are placed.
struct Orders {
    /// Most traffic for their size first.
    worthy: Vec<usize>,
    /// Largest first.
    largest: Vec<usize>,
}

impl Orders {
    fn of(problem: &Problem) -> Self {
        let items = &problem.items;
        let mut worthy: Vec<usize> = (0..items.len()).collect();
        // a / b > c / d, without division.
        worthy.sort_by(|&a, &b| {
            let over =
                |x: usize, y: usize| u128::from(items[x].traffic) * items[y].buffer.bytes as u128;
            let smaller = items[a].buffer.bytes.cmp(&items[b].buffer.bytes);
            over(b, a).cmp(&over(a, b)).then(smaller).then(a.cmp(&b))
        });
        let mut largest: Vec<usize> = (0..items.len()).collect();
        largest.sort_by_key(|&item| (std::cmp::Reverse(items[item].buffer.bytes), item));
        Self { worthy, largest }
    }
}

/// Whether fast memories are filled first, or slow ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Fastest,
    Slowest,
}

/// A division by simple rules; `None` where none of them has a place for every tensor.
pub(super) fn greedy(problem: &Problem) -> Option<Filling<'_>> {
    let Orders { worthy, largest } = Orders::of(problem);
    let tensor = |item: &usize| !problem.items[*item].weights;
    let behind = |order: &[usize]| -> Vec<usize> {
        let weights = worthy.iter().filter(|item| !tensor(item));
        order.iter().filter(|item| tensor(item)).chain(weights).copied().collect()
    };
    let mut best: Option<(u64, Filling<'_>)> = None;
    for (order, first) in [
        (worthy.clone(), First::Fastest),
        (behind(&worthy), First::Fastest),
        (behind(&largest), First::Fastest),
        (behind(&largest), First::Slowest),
        (behind(&worthy), First::Slowest),
    ] {
        let mut filling = Filling::new(problem, usize::MAX);
        let all = order.iter().all(|&item| {
            let mut places = problem.places(item);
            if first == First::Slowest && tensor(&item) {
                places.reverse();
            }
            places.iter().any(|&memory| filling.put(item, memory))
        });
        if all {
            promote(problem, &mut filling, &worthy);
            let cost = filling.cost();
            if best.as_ref().is_none_or(|(known, _)| cost < *known) {
                best = Some((cost, filling));
            }
        }
    }
    best.map(|(_, filling)| filling)
}

/// Moves items in this order into faster memories that have room.
fn promote(problem: &Problem, filling: &mut Filling<'_>, order: &[usize]) {
    for &item in order {
        let Some(at) = filling.memory_of[item] else { continue };
        for memory in problem.places(item) {
            if problem.cost(item, memory) >= problem.cost(item, at) {
                continue;
            }
            let before = filling.clone();
            filling.remove(item);
            if filling.put(item, memory) {
                break;
            }
            *filling = before;
        }
    }
}

/// The best division that is found with about so many nodes of planning.
pub(super) fn best(problem: &Problem, budget: usize) -> Option<Found<'_>> {
    let mut filling = greedy(problem)?;
    let few = problem.items.len() <= MANY;
    filling.plans = (budget / PLAN_NODES).min(MOST_PLANS);
    if few {
        exchange(problem, &mut filling);
    }
    let cost = filling.cost();
    let root = bound(problem, cost);
    let slack = 1e-10 * root.cost.abs() + 1e-6;
    let least = (root.cost - slack).ceil().max(0.0) as u64;
    let mut found = Found { bound: least.min(cost), cost, filling };
    if few && found.bound < found.cost {
        branch(problem, &root, slack, budget, &mut found);
    }
    Some(found)
}

/// Nodes of planning for which one memory is planned anew.
const PLAN_NODES: usize = 500;
/// The most that memories are planned anew while items change places, and again in branch and bound.
const MOST_PLANS: usize = 1_000;

/// Exchanges items as long as that costs less.
fn exchange(problem: &Problem, filling: &mut Filling<'_>) {
    let Orders { worthy, .. } = Orders::of(problem);
    let mut better = true;
    while better && filling.plans > 0 {
        better = false;
        for &item in &worthy {
            better |= enter(problem, filling, item);
        }
    }
}

/// Has an item enter a faster memory, in the place of another one.
fn enter(problem: &Problem, filling: &mut Filling<'_>, item: usize) -> bool {
    let Some(at) = filling.memory_of[item] else { return false };
    for memory in problem.places(item) {
        let gain = problem.cost(item, at).saturating_sub(problem.cost(item, memory));
        if gain == 0 {
            continue;
        }
        let inside = (0..problem.items.len()).filter(|&it| filling.memory_of[it] == Some(memory));
        let others: Vec<Option<usize>> = std::iter::once(None).chain(inside.map(Some)).collect();
        for other in others {
            let before = filling.clone();
            filling.remove(item);
            let leaves = |filling: &mut Filling<'_>, other: usize| {
                let mut places = problem.places(other);
                places.retain(|&place| {
                    let loss = problem.cost(other, place);
                    loss.saturating_sub(problem.cost(other, memory)) < gain && place != memory
                });
                places.iter().any(|&place| filling.put(other, place))
            };
            other.into_iter().for_each(|other| filling.remove(other));
            if filling.put(item, memory) && other.is_none_or(|other| leaves(filling, other)) {
                return true;
            }
            let plans = std::mem::replace(filling, before).plans;
            filling.plans = plans;
        }
    }
    false
}

/// A search of all divisions that might cost less than the best one known.
struct Branching<'a, 'b> {
    problem: &'a Problem,
    root: &'b Bound,
    /// Items, those first whose place matters most.
    order: Vec<usize>,
    /// What bounds may be wrong by.
    slack: f64,
    nodes: usize,
    best: &'b mut Found<'a>,
    /// Whether nothing was left out.
    complete: bool,
}

fn branch<'a>(problem: &'a Problem, root: &Bound, slack: f64, budget: usize, best: &mut Found<'a>) {
    let regret = |item: &usize| {
        let mut costs = root.reduced[*item].clone();
        costs.sort_by(f64::total_cmp);
        match costs[..] {
            [first, second, ..] => second - first,
            _ => f64::INFINITY,
        }
    };
    let mut order: Vec<usize> = (0..problem.items.len()).collect();
    order.sort_by(|a, b| regret(b).total_cmp(&regret(a)).then(a.cmp(b)));
    let plans = (budget / PLAN_NODES).min(MOST_PLANS);
    let nodes = budget / 10;
    let mut search = Branching { problem, root, order, slack, nodes, best, complete: true };
    let mut filling = Filling::new(problem, plans);
    search.descend(0, root.cost, &mut filling);
    if search.complete && !filling.unsure {
        best.bound = best.cost;
    }
}

impl<'a> Branching<'a, '_> {
    /// Places the items from `depth` on; `bound` is what those before cost at least.
    fn descend(&mut self, depth: usize, bound: f64, filling: &mut Filling<'a>) {
        if self.nodes == 0 {
            self.complete = false;
            return;
        }
        self.nodes -= 1;
        let Some(&item) = self.order.get(depth) else {
            let cost = filling.cost();
            if cost < self.best.cost {
                self.best.cost = cost;
                self.best.filling = filling.clone();
            }
            return;
        };
        let reduced = &self.root.reduced[item];
        let mut places: Vec<usize> = self.problem.places(item);
        places.sort_by(|&a, &b| reduced[a].total_cmp(&reduced[b]).then(a.cmp(&b)));
        let least = reduced.iter().copied().fold(f64::INFINITY, f64::min);
        for memory in places {
            let bound = bound + (reduced[memory] - least);
            if bound > self.best.cost as f64 - 1.0 + self.slack {
                break;
            }
            if let Some(before) = filling.try_put(item, memory) {
                self.descend(depth + 1, bound, filling);
                filling.undo(before);
            }
        }
    }
}
