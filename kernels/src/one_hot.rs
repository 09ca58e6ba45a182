//! ONE_HOT: `on` at the place that an index names, `off` elsewhere.
//!
//! `y[outer, d, inner] = on where indices[outer, inner] == d, else off`, for any element type. An
//! index outside of `0..depth` gives `off` all along. Source: TFLite's `one_hot.cc`.

use crate::error::Mismatch;

/// Shape of a ONE_HOT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct OneHot {
    /// Extent of the new axis.
    pub depth: usize,
    /// Extents of the indices behind the new axis, multiplied.
    pub inner: usize,
}

/// Expands `indices: [outer, inner]` to `y: [outer, depth, inner]`; `on` and `off` are one element
/// each.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have as many elements as its shape.
pub fn one_hot<T: Copy, I: Copy + Into<i64>>(
    p: &OneHot,
    indices: &[I],
    on: &[T],
    off: &[T],
    y: &mut [T],
) -> Result<(), Mismatch> {
    let (&[on], &[off]) = (on, off) else { return Err(Mismatch) };
    if indices.len().checked_mul(p.depth) != Some(y.len()) {
        return Err(Mismatch);
    }
    let block = p.depth.checked_mul(p.inner).ok_or(Mismatch)?;
    if !y.len().is_multiple_of(block.max(1)) {
        return Err(Mismatch);
    }
    y.fill(off);
    let blocks = y.chunks_exact_mut(block.max(1));
    for (block, indices) in blocks.zip(indices.chunks_exact(p.inner.max(1))) {
        for (i, &index) in indices.iter().enumerate() {
            let depth = usize::try_from(index.into()).ok().filter(|&depth| depth < p.depth);
            let place = depth.and_then(|depth| block.get_mut(depth * p.inner + i));
            if let Some(place) = place {
                *place = on;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn on_stands_where_the_index_says(
            outer in 1..4_usize, depth in 1..6_usize, inner in 1..4_usize,
            seed in prop::collection::vec(-2..8_i64, 9),
        ) {
            let indices: Vec<i64> = seed[..outer.min(3) * inner.min(3)].to_vec();
            let (outer, inner) = (outer.min(3), inner.min(3));
            let mut y = vec![0_i8; outer * depth * inner];
            one_hot(&OneHot { depth, inner }, &indices, &[7], &[-7], &mut y).unwrap();
            for o in 0..outer {
                for d in 0..depth {
                    for i in 0..inner {
                        let wanted = if indices[o * inner + i] == d as i64 { 7 } else { -7 };
                        prop_assert_eq!(y[(o * depth + d) * inner + i], wanted);
                    }
                }
            }
        }

        #[test]
        fn any_numbers_are_taken_or_refused(depth: usize, inner: usize, index: i64) {
            let p = OneHot { depth, inner };
            let _ = one_hot(&p, &[index; 2], &[1], &[0], &mut [0; 6]);
            let p = OneHot { depth: depth % 4, inner: inner % 4 };
            let _ = one_hot(&p, &[index; 2], &[1], &[0], &mut [0; 6]);
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let p = OneHot { depth: 3, inner: 1 };
        assert_eq!(one_hot(&p, &[0, 2], &[1], &[0], &mut [9; 5]), Err(Mismatch));
        let mut y = [9; 6];
        assert_eq!(one_hot(&p, &[0, 2], &[1], &[0], &mut y), Ok(()));
        assert_eq!(y, [1, 0, 0, 0, 0, 1]);
    }
}
