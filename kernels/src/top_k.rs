//! TOPK_V2: the `k` largest values of each row, in descending order, and their indices.
//!
//! `x: [rows, depth]`, `values: [rows, k]`, `indices: [rows, k]`. Among equals the lower index comes
//! first; NaN is below every number. Source: LiteRT's `topk_v2.cc`; TFLite Micro has none.

use crate::Mismatch;
use crate::arg_max::is_nan;

/// Parameters of TOPK_V2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct TopK {
    /// Product of all dimensions but the innermost.
    pub rows: usize,
    /// The innermost dimension.
    pub depth: usize,
    /// How many values are kept of each row, at most `depth`.
    pub k: usize,
}

/// The `k` largest values of each row and their indices. Costs `depth × log k` comparisons, and
/// moves up to `k` elements for each value that gets among the best so far.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the shape or `k` exceeds `depth`.
pub fn top_k<T: PartialOrd + Copy>(
    p: &TopK,
    x: &[T],
    values: &mut [T],
    indices: &mut [i32],
) -> Result<(), Mismatch> {
    let outputs = p.rows.checked_mul(p.k);
    let fits = p.rows.checked_mul(p.depth) == Some(x.len())
        && outputs == Some(values.len())
        && outputs == Some(indices.len())
        && p.k <= p.depth;
    if !fits {
        return Err(Mismatch);
    }
    // No rows of no elements: a chunk's length is never zero.
    let (depth, k) = (p.depth.max(1), p.k.max(1));
    let outputs = values.chunks_exact_mut(k).zip(indices.chunks_exact_mut(k));
    for (row, (values, indices)) in x.chunks_exact(depth).zip(outputs) {
        // The first `kept` outputs hold the best so far, sorted.
        let mut kept = 0;
        for (index, &value) in (0_i32..).zip(row) {
            let best = values.get(..kept).ok_or(Mismatch)?;
            // Behind all that are not worse: later elements lose ties.
            let place = best.partition_point(|&other| !above(value, other));
            if place == p.k {
                continue;
            }
            kept = (kept + 1).min(p.k);
            insert(values, place..kept, value);
            insert(indices, place..kept, index);
        }
    }
    Ok(())
}

/// Puts `value` at the start of `range` and moves the rest up, dropping the last.
fn insert<T: Copy>(slots: &mut [T], range: core::ops::Range<usize>, value: T) {
    let Some(slots) = slots.get_mut(range) else { return };
    let mut moving = value;
    for slot in slots {
        core::mem::swap(slot, &mut moving);
    }
}

/// Whether `a` is strictly above `b`, NaN being below every number.
fn above<T: PartialOrd + Copy>(a: T, b: T) -> bool {
    a > b || (is_nan(b) && !is_nan(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::noise;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn the_largest_come_first_and_ties_keep_their_order(
            rows in 0_usize..4, depth in 1_usize..20, k in 0_usize..20, seed: u64,
        ) {
            let k = k.min(depth);
            let x: Vec<i16> = noise(rows * depth, seed).iter().map(|&v| (v % 7) as i16).collect();
            let (mut values, mut indices) = (vec![0; rows * k], vec![0; rows * k]);
            top_k(&TopK { rows, depth, k }, &x, &mut values, &mut indices).unwrap();
            let mut wanted = Vec::new();
            for row in x.chunks(depth) {
                let mut sorted: Vec<(i16, i32)> = row.iter().copied().zip(0..).collect();
                // The library's stable sort.
                sorted.sort_by_key(|&(value, _)| -value);
                wanted.extend_from_slice(&sorted[..k]);
            }
            let got: Vec<(i16, i32)> = values.into_iter().zip(indices).collect();
            prop_assert_eq!(got, wanted);
        }
    }

    #[test]
    fn nan_comes_last() {
        let (mut values, mut indices) = ([0.0; 3], [0; 3]);
        let p = TopK { rows: 1, depth: 4, k: 3 };
        top_k(&p, &[f32::NAN, 1.0, f32::NAN, 2.0], &mut values, &mut indices).unwrap();
        assert_eq!(indices, [3, 1, 0]);
        assert!(values[2].is_nan());
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let p = TopK { rows: 1, depth: 2, k: 3 };
        assert_eq!(top_k(&p, &[0_i8; 2], &mut [0; 3], &mut [0; 3]), Err(Mismatch));
        let p = TopK { rows: 1, depth: 4, k: 3 };
        assert_eq!(top_k(&p, &[0_i8; 4], &mut [0; 3], &mut [0; 2]), Err(Mismatch));
        assert_eq!(top_k(&p, &[0_i8; 5], &mut [0; 3], &mut [0; 3]), Err(Mismatch));
    }
}
