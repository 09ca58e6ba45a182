//! The lower bound: what is alive at once must fit.

use super::Buffer;

/// The largest sum of buffers alive at one step; `usize::MAX` where it is larger than that.
pub(super) fn lower_bound(buffers: &[Buffer]) -> usize {
    // At each step, what ended before it leaves first, then what begins joins.
    let mut events: Vec<(usize, bool, usize)> = buffers
        .iter()
        .flat_map(|b| [(b.first, true, b.bytes), (b.last.saturating_add(1), false, b.bytes)])
        .collect();
    events.sort_unstable_by_key(|&(step, begins, _)| (step, begins));
    let (mut live, mut most) = (0_u128, 0);
    for (_, begins, bytes) in events {
        let bytes = bytes as u128;
        // What ends at the largest step never leaves, as its end cannot be told from a beginning.
        live = if begins { live + bytes } else { live.saturating_sub(bytes) };
        most = most.max(live);
    }
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// The steps whose set of live buffers is contained in no other's, ascending. Whatever holds at
/// these holds at all. Each buffer is alive at one of them at least.
pub(super) fn sections(buffers: &[Buffer]) -> Vec<usize> {
    let mut starts: Vec<usize> = buffers.iter().map(|buffer| buffer.first).collect();
    starts.sort_unstable();
    starts.dedup();
    let mut ends: Vec<usize> = buffers.iter().map(|buffer| buffer.last).collect();
    ends.sort_unstable();
    let ended_before = |step: usize| ends.partition_point(|&end| end < step);
    let mut kept = Vec::new();
    for (i, &start) in starts.iter().enumerate() {
        // Where nothing ends before the next start, all that is alive here is alive there too.
        match starts.get(i + 1) {
            Some(&next) if ended_before(next) == ended_before(start) => {}
            _ => kept.push(start),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: usize, first: usize, last: usize) -> Buffer {
        Buffer { bytes, first, last }
    }

    #[test]
    fn both_ends_of_a_life_count() {
        assert_eq!(lower_bound(&[buffer(3, 0, 2), buffer(5, 2, 4)]), 8);
        assert_eq!(lower_bound(&[buffer(3, 0, 1), buffer(5, 2, 4)]), 5);
    }

    #[test]
    fn sums_beyond_usize_saturate() {
        let half = usize::MAX / 2;
        let buffers = [buffer(half, 0, 0), buffer(half, 0, 1), buffer(half, 0, 0)];
        assert_eq!(lower_bound(&buffers), usize::MAX);
        // Two halves fit; the third comes later and must not be lost to saturation.
        let buffers = [buffer(half, 0, 0), buffer(half, 0, 0), buffer(7, 1, 1)];
        assert_eq!(lower_bound(&buffers), usize::MAX - 1);
    }

    #[test]
    fn only_the_fullest_steps_are_sections() {
        let buffers = [buffer(1, 0, 3), buffer(1, 1, 3), buffer(1, 4, 6), buffer(1, 6, 9)];
        assert_eq!(sections(&buffers), [1, 6]);
    }
}
