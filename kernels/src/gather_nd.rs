//! GATHER_ND: slices of a tensor, picked by tuples of indices.
//!
//! `y[i, inner] = x[indices[i, 0], …, indices[i, depth − 1], inner]`, for any element type. Source:
//! TFLite's `reference_ops.h`. An index outside of its axis counts as the nearest one inside, as in
//! [`crate::gather`]; TFLite fails there, or reads from another row.

use crate::error::Mismatch;
use crate::gather::Index;
use crate::shape::{MAX_RANK, Shape, strides};

/// A GATHER_ND of a shape, ready to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct GatherNd {
    /// Elements of the input.
    pub x_len: usize,
    /// Numbers per tuple.
    pub depth: usize,
    /// Extents and distances of the axes that the tuples name, and of those in front.
    pub axes: [(usize, usize); MAX_RANK],
    /// Elements of a slice.
    pub inner: usize,
}

impl GatherNd {
    /// Slices of `x` by tuples of `depth` numbers; `None` where `x` has fewer axes or no elements.
    pub fn new(x: &Shape, depth: usize) -> Option<Self> {
        if depth > x.rank() || x.len() == 0 {
            return None;
        }
        let dims = x.extended();
        let mut axes = [(1, 0); MAX_RANK];
        let named = dims.into_iter().zip(strides(&dims)).skip(MAX_RANK.checked_sub(x.rank())?);
        for (to, axis) in axes.iter_mut().zip(named.clone().take(depth)) {
            *to = axis;
        }
        let inner = named.skip(depth).map(|(dim, _)| dim).product();
        Some(Self { x_len: x.len(), depth, axes, inner })
    }
}

/// Gathers slices of `x` by `indices: [count, depth]` to `y: [count, inner]`.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have as many elements as its shape.
pub fn gather_nd<T: Copy, I: Index>(
    p: &GatherNd,
    x: &[T],
    indices: &[I],
    y: &mut [T],
) -> Result<(), Mismatch> {
    // `new` has seen that the slices have elements.
    let count = y.len().checked_div(p.inner).ok_or(Mismatch)?;
    let whole = count * p.inner == y.len() && x.len() == p.x_len;
    if !whole || count.checked_mul(p.depth) != Some(indices.len()) {
        return Err(Mismatch);
    }
    let mut tuples = indices.chunks_exact(p.depth.max(1));
    for slice in y.chunks_exact_mut(p.inner.max(1)) {
        // Tuples of no numbers name the whole tensor.
        let tuple = if p.depth == 0 { &[] } else { tuples.next().ok_or(Mismatch)? };
        let at: usize = tuple
            .iter()
            .zip(p.axes)
            .map(|(&index, (dim, distance))| index.clamped(dim) * distance)
            .sum();
        let from = x.get(at..).and_then(|x| x.get(..slice.len())).ok_or(Mismatch)?;
        slice.copy_from_slice(from);
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
        fn slices_are_those_that_the_tuples_name(
            dims in prop::collection::vec(1..4_u32, 1..=6), depth in 0..7_usize,
            seed in prop::collection::vec(-2..6_i32, 18),
        ) {
            let depth = depth.min(dims.len());
            let shape = Shape::new(&dims).unwrap();
            let x: Vec<usize> = (0..shape.len()).collect();
            let inner: u32 = dims[depth..].iter().product();
            let indices = &seed[..3 * depth];
            let mut y = vec![0; 3 * inner as usize];
            gather_nd(&GatherNd::new(&shape, depth).unwrap(), &x, indices, &mut y).unwrap();
            let mut wanted = Vec::new();
            for i in 0..3 {
                let tuple = &indices[i * depth..(i + 1) * depth];
                let at = tuple.iter().zip(&dims).fold(0, |at, (&index, &dim)| {
                    at * dim + index.clamp(0, dim as i32 - 1) as u32
                });
                wanted.extend((0..inner).map(|k| (at * inner + k) as usize));
            }
            prop_assert_eq!(y, wanted);
        }

        #[test]
        fn any_shape_and_index_is_taken_or_refused(
            dims in prop::collection::vec(prop_oneof![0..4_u32, any::<u32>()], 0..=6),
            depth in 0..9_usize,
            index: i64,
        ) {
            let p = Shape::new(&dims).and_then(|shape| GatherNd::new(&shape, depth));
            if let Some(p) = p {
                let _ = gather_nd(&p, &[0; 12], &[index; 4], &mut [0; 8]);
                let _ = gather_nd(&p, &vec![0; p.x_len.min(1 << 20)], &[index; 6], &mut [0; 6]);
            }
        }
    }

    #[test]
    fn indices_stay_in_their_axis() {
        let p = GatherNd::new(&Shape::new(&[2, 3]).unwrap(), 2).unwrap();
        let mut y = [0; 3];
        let x = [0, 1, 2, 10, 11, 12];
        gather_nd(&p, &x, &[0, 4, 1, -1, i64::MAX, i64::MIN], &mut y).unwrap();
        assert_eq!(y, [2, 10, 10]);
    }

    #[test]
    fn lengths_and_depths_that_do_not_fit_are_refused() {
        let shape = Shape::new(&[2, 3]).unwrap();
        assert_eq!(GatherNd::new(&shape, 3), None);
        assert_eq!(GatherNd::new(&Shape::new(&[2, 0]).unwrap(), 1), None);
        let p = GatherNd::new(&shape, 1).unwrap();
        assert_eq!(gather_nd(&p, &[0; 6], &[1_i32], &mut [0; 4]), Err(Mismatch));
        assert_eq!(gather_nd(&p, &[0; 5], &[1_i32], &mut [0; 3]), Err(Mismatch));
        assert_eq!(gather_nd(&p, &[0; 6], &[1_i32, 0], &mut [0; 3]), Err(Mismatch));
    }
}
