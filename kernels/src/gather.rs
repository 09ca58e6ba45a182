//! GATHER: slices of a tensor along an axis, picked by indices.
//!
//! `y[batch, outer, i, inner] = x[batch, outer, indices[batch, i], inner]`, for any element type.
//! `batch` stands for the leading `batch_dims` axes, `outer` for those up to the axis, `inner` for
//! those behind it. Source: TFLite's `reference/gather.h`.
//!
//! Indices are inputs, so they may be wrong. Where TFLite fails, the nearest valid index is taken:
//! a run of a model cannot fail, and never reads outside of `x`.

use crate::error::Mismatch;
use crate::rows::runs;

/// An element type of indices.
pub trait Index: Copy {
    /// The index itself, or the nearest one below `len`, which is not 0.
    fn clamped(self, len: usize) -> usize;
}

macro_rules! index {
    ($($kind:ty),*) => {
        $(impl Index for $kind {
            #[inline(always)]
            fn clamped(self, len: usize) -> usize {
                let last = len.saturating_sub(1);
                usize::try_from(self).map_or(if self < 0 { 0 } else { last }, |i| i.min(last))
            }
        })*
    };
}

index!(i16, i32, i64);

/// Shape of a GATHER. Products of extents, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Gather {
    /// Batches, each with indices of its own; 1 where there are none.
    pub batches: usize,
    /// Extents between the batches and the axis.
    pub outer: usize,
    /// Extent of the axis in `x`.
    pub axis: usize,
    /// Extents behind the axis: the length of a slice.
    pub inner: usize,
    /// Indices per batch.
    pub indices: usize,
}

/// Gathers slices of `x: [batches, outer, axis, inner]` by `indices: [batches, indices]` to
/// `y: [batches, outer, indices, inner]`.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have as many elements as its shape, or where there are
/// indices into nothing.
pub fn gather<T: Copy, I: Index>(
    p: &Gather,
    x: &[T],
    indices: &[I],
    y: &mut [T],
) -> Result<(), Mismatch> {
    let product = |a: usize, b: usize| a.checked_mul(b).ok_or(Mismatch);
    let rows = product(p.batches, p.outer)?;
    let (x_row, y_row) = (product(p.axis, p.inner)?, product(p.indices, p.inner)?);
    if x.len() != product(rows, x_row)?
        || y.len() != product(rows, y_row)?
        || indices.len() != product(p.batches, p.indices)?
    {
        return Err(Mismatch);
    }
    if y.is_empty() {
        return Ok(());
    }
    // Nothing below is zero: the output has elements.
    let batches = runs(x, product(p.outer, x_row)?, y, product(p.outer, y_row)?);
    for ((x, y), indices) in batches.zip(indices.chunks_exact(p.indices.max(1))) {
        for (x, y) in runs(x, x_row, y, y_row) {
            for (&index, y) in indices.iter().zip(y.chunks_exact_mut(p.inner.max(1))) {
                let mut slices = x.chunks_exact(p.inner.max(1));
                y.copy_from_slice(slices.nth(index.clamped(p.axis)).ok_or(Mismatch)?);
            }
        }
    }
    if x.is_empty() { Err(Mismatch) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn slices_are_those_that_the_indices_name(
            batches in 1..4_usize, outer in 1..4_usize, axis in 1..6_usize, inner in 1..4_usize,
            count in 1..5_usize, seed in prop::collection::vec(-3..9_i64, 12),
        ) {
            let p = Gather { batches, outer, axis, inner, indices: count };
            let x: Vec<usize> = (0..batches * outer * axis * inner).collect();
            let indices: Vec<i64> = seed.into_iter().cycle().take(batches * count).collect();
            let mut y = vec![0; batches * outer * count * inner];
            gather(&p, &x, &indices, &mut y).unwrap();
            let mut wanted = Vec::new();
            for b in 0..batches {
                for o in 0..outer {
                    for i in 0..count {
                        let index = indices[b * count + i].clamp(0, axis as i64 - 1) as usize;
                        for k in 0..inner {
                            wanted.push(((b * outer + o) * axis + index) * inner + k);
                        }
                    }
                }
            }
            prop_assert_eq!(&y, &wanted);
            let narrow: Vec<i32> = indices.iter().map(|&i| i as i32).collect();
            gather(&p, &x, &narrow, &mut y).unwrap();
            prop_assert_eq!(&y, &wanted);
        }

        #[test]
        fn any_shape_and_index_is_taken_or_refused(
            shape in prop::array::uniform5(prop_oneof![0..4_usize, any::<usize>()]), index: i64,
        ) {
            let [batches, outer, axis, inner, indices] = shape;
            let p = Gather { batches, outer, axis, inner, indices };
            for (x, y) in [(0, 0), (4, 2), (6, 6)] {
                let _ = gather(&p, &vec![1; x], &[index, 7], &mut vec![0; y]);
            }
        }
    }

    #[test]
    fn wrong_indices_take_the_nearest_slice() {
        let p = Gather { batches: 1, outer: 1, axis: 3, inner: 2, indices: 4 };
        let mut y = [0; 8];
        let x = [0, 1, 10, 11, 20, 21];
        gather(&p, &x, &[i64::MIN, -1, 3, i64::MAX], &mut y).unwrap();
        assert_eq!(y, [0, 1, 0, 1, 20, 21, 20, 21]);
        gather(&p, &x, &[i32::MIN, 1, 2, i32::MAX], &mut y).unwrap();
        assert_eq!(y, [0, 1, 10, 11, 20, 21, 20, 21]);
    }

    #[test]
    fn an_axis_without_elements_has_nothing_to_gather() {
        let p = Gather { batches: 1, outer: 1, axis: 0, inner: 1, indices: 1 };
        assert_eq!(gather(&p, &[], &[0_i32], &mut [5]), Err(Mismatch));
    }
}
