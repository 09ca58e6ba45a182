//! Tests of the planner as a whole.

use proptest::prelude::*;

use super::*;

const BUDGET: usize = 200_000;

/// Random buffers in few steps, so that many meet.
pub(super) fn buffers(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Buffer>> {
    let one = (1..40_usize, 0..12_usize, 0..5_usize).prop_map(|(units, first, more)| Buffer {
        bytes: units * 7,
        first,
        last: first + more,
    });
    proptest::collection::vec(one, count)
}

/// The smallest height by trying all orders in which buffers can be dropped onto each other.
pub(super) fn brute_force(buffers: &[Buffer], alignment: usize) -> usize {
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
    fn small_plans_are_as_small_as_brute_force_finds(buffers in buffers(0..8)) {
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
fn plans_above_the_lower_bound_are_proved_optimal() {
    // Found at random: what is alive at once never exceeds the bound, yet no plan reaches it.
    let rare: [(usize, usize, &[Life]); 3] =
        [(8, 9, &GAP_OF_8), (10, 11, &GAP_OF_10), (50, 51, &GAP_OF_12)];
    for (bound, smallest, lives) in rare {
        let buffers: Vec<Buffer> =
            lives.iter().map(|&(bytes, first, last)| Buffer { bytes, first, last }).collect();
        let plan = place(&buffers, 1, BUDGET);
        assert_eq!((plan.lower_bound, plan.arena_bytes, plan.optimal), (bound, smallest, true));
        // Without the search nobody knows.
        assert!(!place(&buffers, 1, 0).optimal);
        if buffers.len() <= 8 {
            assert_eq!(brute_force(&buffers, 1), smallest);
        }
    }
}

/// Bytes, first step, last step.
type Life = (usize, usize, usize);

const GAP_OF_8: [Life; 8] =
    [(3, 3, 4), (2, 4, 5), (1, 4, 7), (5, 6, 8), (2, 5, 8), (5, 1, 2), (2, 2, 5), (3, 3, 3)];
const GAP_OF_10: [Life; 10] = [
    (8, 1, 1),
    (5, 4, 4),
    (4, 7, 10),
    (7, 5, 5),
    (3, 7, 9),
    (3, 3, 5),
    (2, 2, 4),
    (1, 1, 3),
    (4, 6, 6),
    (5, 2, 2),
];
const GAP_OF_12: [Life; 12] = [
    (10, 8, 9),
    (12, 4, 7),
    (6, 4, 6),
    (16, 7, 9),
    (20, 3, 3),
    (19, 0, 1),
    (12, 2, 4),
    (15, 1, 3),
    (2, 3, 6),
    (11, 4, 7),
    (11, 6, 7),
    (8, 5, 6),
];

/// The `count` pieces of a rectangle cut at random: they fit back into it without a byte to spare.
fn cut(count: usize, steps: usize, bytes: usize) -> Vec<Buffer> {
    let mut state = 1_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % limit
    };
    let mut pieces = vec![Buffer { bytes, first: 0, last: steps - 1 }];
    while pieces.len() < count {
        let chosen = below(pieces.len());
        let Buffer { bytes, first, last } = pieces[chosen];
        if below(2) == 0 && last > first {
            let at = first + below(last - first);
            pieces[chosen].last = at;
            pieces.push(Buffer { bytes, first: at + 1, last });
        } else if bytes > 1 {
            let at = 1 + below(bytes - 1);
            pieces[chosen].bytes = at;
            pieces.push(Buffer { bytes: bytes - at, first, last });
        }
    }
    pieces
}

#[test]
fn a_cut_rectangle_is_put_together_again() {
    let pieces = cut(35, 24, 4_000);
    let plan = place(&pieces, 1, BUDGET);
    assert_eq!((plan.arena_bytes, plan.optimal), (4_000, true));
    assert_eq!(check(&pieces, 1, &plan), Ok(()));
}

#[test]
fn equal_buffers_are_stacked() {
    let buffers = vec![Buffer { bytes: 10, first: 3, last: 5 }; 40];
    let plan = place(&buffers, 16, BUDGET);
    assert_eq!((plan.arena_bytes, plan.lower_bound, plan.optimal), (640, 640, true));
    assert_eq!(check(&buffers, 16, &plan), Ok(()));
}

#[test]
fn components_share_the_arena() {
    let buffers = [(40, 0, 1), (30, 1, 2), (60, 5, 6), (50, 6, 7), (0, 2, 6)]
        .map(|(bytes, first, last)| Buffer { bytes, first, last });
    let plan = place(&buffers, 1, BUDGET);
    assert_eq!((plan.arena_bytes, plan.lower_bound, plan.optimal), (110, 110, true));
}

#[test]
fn no_buffers_need_no_arena_and_absurd_ones_do_not_overflow() {
    assert_eq!(place(&[], 16, BUDGET).arena_bytes, 0);
    let absurd = Buffer { bytes: usize::MAX, first: 0, last: usize::MAX };
    let plan = place(&[absurd, absurd], 16, BUDGET);
    assert_eq!((plan.arena_bytes, plan.optimal), (usize::MAX, false));
    let large = [usize::MAX / 2, usize::MAX / 2 - 15, usize::MAX / 3].map(|bytes| Buffer {
        bytes,
        first: 1,
        last: 1,
    });
    assert_eq!(place(&large, 16, BUDGET).arena_bytes, usize::MAX);
    let backwards = Buffer { bytes: 1, first: 5, last: 2 };
    assert_eq!(place(&[backwards, backwards], 0, BUDGET).arena_bytes, 2);
}

#[test]
fn a_crowd_of_buffers_is_placed() {
    let buffers: Vec<Buffer> = (0..1_500)
        .map(|i| {
            let first = (i * 7919) % 60;
            Buffer { bytes: 1 + (i * 104_729) % 65_521, first, last: first + (i * 31) % 47 }
        })
        .collect();
    let plan = place(&buffers, 1, 100_000);
    assert_eq!(check(&buffers, 1, &plan), Ok(()));
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

/// Instances of up to sixty buffers, of which all are proved, each in less than a second: in few steps, so
/// that many meet, and in many.
#[test]
fn sixty_buffers_are_placed_in_a_second_and_no_smaller_arena_exists() {
    use proptest::strategy::ValueTree;
    use std::time::{Duration, Instant};
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut slowest = Duration::ZERO;
    for steps in [1, 4] {
        for instance in 0..80 {
            // Half of them have as many as there are to be.
            let count = if instance % 2 == 0 { 60..61 } else { 8..61 };
            let mut buffers = buffers(count).new_tree(&mut runner).unwrap().current();
            for (i, buffer) in buffers.iter_mut().enumerate() {
                let more = (buffer.last - buffer.first) * steps;
                buffer.first = buffer.first * steps + i % steps;
                buffer.last = buffer.first + more;
            }
            // The machine may have had something else to do.
            let mut took = Duration::MAX;
            for _ in 0..3 {
                let begin = Instant::now();
                let plan = place(&buffers, 16, 5 * BUDGET);
                took = took.min(begin.elapsed());
                assert_eq!(check(&buffers, 16, &plan), Ok(()));
                assert!(plan.optimal, "instance {instance} of {steps}");
                if took < Duration::from_secs(1) {
                    break;
                }
            }
            assert!(took < Duration::from_secs(1), "instance {instance} of {steps}: {took:?}");
            slowest = slowest.max(took);
        }
    }
    println!("the slowest took {slowest:?}");
}
