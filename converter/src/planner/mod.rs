//! Offline memory planning: every buffer gets an offset in one arena, so that no two that are alive
//! at once overlap and the arena is as small as can be.
//!
//! This is dynamic storage allocation, NP-hard in general and easy for most networks. The planner
//! first asks several greedy orders ([`heuristic`]); where the best reaches the lower bound, the
//! largest sum of buffers alive at once, it is optimal and the work is done. Otherwise a
//! branch-and-bound ([`search`]) looks for better plans until it has proved that there is none or
//! has visited as many nodes as the budget allows. Buffers that are never alive together with
//! others form components that are solved one by one. The budget counts nodes, not time, so the
//! same input gives the same plan everywhere.
//!
//! The search follows Moffitt's MiniMalloc (ASPLOS 2023): buffers are placed in the order of their
//! offsets, each resting on what lies below it.

#[cfg(test)]
mod check;
mod heuristic;
pub mod map;
mod search;

#[cfg(test)]
pub(crate) use check::check;

/// A buffer to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Its size.
    pub bytes: usize,
    /// The first step, an operator's index, during which it holds something.
    pub first: usize,
    /// The last such step, inclusive; not before `first`.
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
    /// The end of the highest buffer.
    pub arena_bytes: usize,
    /// The largest sum of aligned buffers alive at once: no plan is smaller.
    pub lower_bound: usize,
    /// Whether the plan reaches the lower bound, or the search proved that no plan is smaller.
    pub optimal: bool,
}

/// Places `buffers` at multiples of `alignment`, which must not be 0, visiting at most `budget`
/// nodes of the search tree.
pub fn place(buffers: &[Buffer], alignment: usize, budget: usize) -> Plan {
    let aligned: Vec<Buffer> = buffers
        .iter()
        .map(|buffer| {
            let bytes = buffer.bytes.checked_next_multiple_of(alignment).unwrap_or(usize::MAX);
            Buffer { bytes, ..*buffer }
        })
        .collect();
    let mut plan = Plan {
        offsets: vec![0; buffers.len()],
        arena_bytes: 0,
        lower_bound: lower_bound(&aligned),
        optimal: true,
    };
    for component in components(&aligned) {
        let part: Vec<Buffer> = component.iter().map(|&i| aligned[i]).collect();
        let (offsets, height, proved) = place_component(&part, plan.lower_bound, budget);
        for (&buffer, offset) in component.iter().zip(offsets) {
            plan.offsets[buffer] = offset;
        }
        plan.arena_bytes = plan.arena_bytes.max(height);
        plan.optimal &= proved || height <= plan.lower_bound;
    }
    plan.optimal |= plan.arena_bytes == plan.lower_bound;
    plan
}

/// Offsets, their height, and whether no plan below it exists. `enough` is a height that nothing is
/// gained by going below: another component needs it.
fn place_component(buffers: &[Buffer], enough: usize, budget: usize) -> (Vec<usize>, usize, bool) {
    let bound = lower_bound(buffers).max(enough);
    let greedy = heuristic::best(buffers, bound);
    let greedy_height = height(buffers, &greedy);
    if greedy_height <= bound {
        return (greedy, greedy_height, true);
    }
    let found = search::improve(buffers, &greedy, greedy_height, bound, budget);
    let height = height(buffers, &found.offsets);
    (found.offsets, height, found.exhausted || height <= bound)
}

/// The end of the highest buffer.
fn height(buffers: &[Buffer], offsets: &[usize]) -> usize {
    let tops = buffers.iter().zip(offsets).map(|(buffer, at)| at.saturating_add(buffer.bytes));
    tops.max().unwrap_or(0)
}

/// The largest sum of buffers alive at one step.
fn lower_bound(buffers: &[Buffer]) -> usize {
    // The sum only grows where a buffer begins, and only shrinks behind where one ends.
    let mut events: Vec<(usize, bool, usize)> = buffers
        .iter()
        .flat_map(|b| [(b.first, true, b.bytes), (b.last.saturating_add(1), false, b.bytes)])
        .collect();
    events.sort_unstable_by_key(|&(step, begins, _)| (step, begins));
    let (mut live, mut most) = (0_usize, 0);
    for (_, begins, bytes) in events {
        live = if begins { live.saturating_add(bytes) } else { live.saturating_sub(bytes) };
        most = most.max(live);
    }
    most
}

/// Groups of buffers that are connected in time, as indices.
fn components(buffers: &[Buffer]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUDGET: usize = 200_000;

    fn buffers(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Buffer>> {
        let one = (1..40_usize, 0..12_usize, 0..5_usize).prop_map(|(units, first, more)| Buffer {
            bytes: units * 7,
            first,
            last: first + more,
        });
        proptest::collection::vec(one, count)
    }

    /// The smallest height by trying all orders in which buffers can be dropped onto each other.
    fn brute_force(buffers: &[Buffer], alignment: usize) -> usize {
        fn drop_rest(sizes: &[Buffer], offsets: &mut Vec<Option<usize>>, best: &mut usize) {
            if offsets.iter().all(Option::is_some) {
                let tops = sizes.iter().zip(&*offsets).map(|(b, at)| at.unwrap() + b.bytes);
                *best = (*best).min(tops.max().unwrap_or(0));
                return;
            }
            for i in 0..sizes.len() {
                if offsets[i].is_none() {
                    let below = (0..sizes.len()).filter(|&j| {
                        offsets[j].is_some()
                            && sizes[i].first <= sizes[j].last
                            && sizes[j].first <= sizes[i].last
                    });
                    let at = below.map(|j| offsets[j].unwrap() + sizes[j].bytes).max();
                    offsets[i] = Some(at.unwrap_or(0));
                    drop_rest(sizes, offsets, best);
                    offsets[i] = None;
                }
            }
        }
        let sizes: Vec<Buffer> = buffers
            .iter()
            .map(|b| Buffer { bytes: b.bytes.next_multiple_of(alignment), ..*b })
            .collect();
        let mut best = usize::MAX;
        drop_rest(&sizes, &mut vec![None; sizes.len()], &mut best);
        if sizes.is_empty() { 0 } else { best }
    }

    proptest! {
        #[test]
        fn every_plan_passes_the_checker(buffers in buffers(0..60)) {
            let plan = place(&buffers, 16, 5_000);
            prop_assert_eq!(check(&buffers, 16, &plan), Ok(()));
            prop_assert!(plan.lower_bound <= plan.arena_bytes);
        }

        #[test]
        fn small_plans_are_as_small_as_brute_force_finds(buffers in buffers(0..7)) {
            let plan = place(&buffers, 8, BUDGET);
            prop_assert!(plan.optimal);
            prop_assert_eq!(plan.arena_bytes, brute_force(&buffers, 8));
        }

        #[test]
        fn the_same_buffers_give_the_same_plan(buffers in buffers(0..30)) {
            prop_assert_eq!(place(&buffers, 16, 1_000), place(&buffers, 16, 1_000));
        }
    }

    #[test]
    fn a_chain_needs_its_two_largest_neighbours() {
        let sizes = [100, 400, 300, 50];
        let buffers: Vec<Buffer> = sizes
            .iter()
            .enumerate()
            .map(|(i, &bytes)| Buffer { bytes, first: i.saturating_sub(1), last: i })
            .collect();
        let plan = place(&buffers, 1, BUDGET);
        assert_eq!((plan.arena_bytes, plan.lower_bound, plan.optimal), (700, 700, true));
    }

    #[test]
    fn no_buffers_need_no_arena_and_absurd_ones_do_not_overflow() {
        assert_eq!(place(&[], 16, BUDGET).arena_bytes, 0);
        let absurd = Buffer { bytes: usize::MAX, first: 0, last: usize::MAX };
        let plan = place(&[absurd, absurd], 16, BUDGET);
        assert_eq!(plan.arena_bytes, usize::MAX);
    }

    #[test]
    fn thousands_of_buffers_are_placed_by_the_heuristics() {
        let buffers: Vec<Buffer> = (0..3_000)
            .map(|i| Buffer { bytes: 16 + (i * 7919) % 4096, first: i, last: i + 1 + i % 5 })
            .collect();
        let plan = place(&buffers, 16, BUDGET);
        assert_eq!(check(&buffers, 16, &plan), Ok(()));
        assert!(plan.arena_bytes < 2 * plan.lower_bound);
    }
}
