//! An independent check of plans: it compares all pairs and shares no code with the planner.

use super::{Buffer, Plan};

/// What is wrong with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// There is not one offset per buffer.
    Count,
    /// The buffer does not lie at a multiple of the alignment.
    Misaligned(usize),
    /// The buffer ends above the arena.
    Outside(usize),
    /// Both buffers are alive at one step and share a byte.
    Overlap(usize, usize),
}

/// Checks a plan against the buffers it was made for.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check(buffers: &[Buffer], alignment: usize, plan: &Plan) -> Result<(), Violation> {
    if buffers.len() != plan.offsets.len() {
        return Err(Violation::Count);
    }
    let end = |i: usize| plan.offsets[i] as u128 + buffers[i].bytes as u128;
    for (i, a) in buffers.iter().enumerate() {
        if !plan.offsets[i].is_multiple_of(alignment) {
            return Err(Violation::Misaligned(i));
        }
        if end(i) > plan.arena_bytes as u128 {
            return Err(Violation::Outside(i));
        }
        for (j, b) in buffers.iter().enumerate().skip(i + 1) {
            let together = a.first.max(b.first) <= a.last.min(b.last);
            let apart = end(i) <= plan.offsets[j] as u128 || end(j) <= plan.offsets[i] as u128;
            if together && !apart {
                return Err(Violation::Overlap(i, j));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_violations_are_found() {
        let buffers =
            [Buffer { bytes: 16, first: 0, last: 2 }, Buffer { bytes: 8, first: 2, last: 3 }];
        let plan = |offsets: &[usize], arena_bytes| Plan {
            offsets: offsets.to_vec(),
            arena_bytes,
            lower_bound: 24,
            optimal: false,
        };
        assert_eq!(check(&buffers, 8, &plan(&[0, 16], 24)), Ok(()));
        assert_eq!(check(&buffers, 8, &plan(&[0, 8], 24)), Err(Violation::Overlap(0, 1)));
        assert_eq!(check(&buffers, 8, &plan(&[0, 16], 20)), Err(Violation::Outside(1)));
        assert_eq!(check(&buffers, 8, &plan(&[4, 24], 32)), Err(Violation::Misaligned(0)));
        assert_eq!(check(&buffers, 8, &plan(&[0], 24)), Err(Violation::Count));
    }
}
