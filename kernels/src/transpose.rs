//! TRANSPOSE: the axes of a tensor in another order.
//!
//! `y[i…] = x[j…]` with `j[permutation[k]] = i[k]`, for any element type and up to six axes. Axes
//! that stay beside each other are moved as one, and the innermost axis, where it stays innermost,
//! is copied in runs. The converter expresses DEPTH_TO_SPACE, SPACE_TO_DEPTH, BATCH_TO_SPACE_ND and
//! SPACE_TO_BATCH_ND with it: a view with more axes, a transpose, and a view with fewer.

use crate::error::Mismatch;
use crate::shape::{MAX_RANK, Shape, strides};
use crate::strided::Strided;

/// A transpose of a shape, ready to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Transpose(pub Strided);

impl Transpose {
    /// The transpose of `x` whose axis `k` is the input's axis `permutation[k]`; `None` where
    /// `permutation` does not name each axis of `x` once.
    pub fn new(x: &Shape, permutation: &[u8]) -> Option<Self> {
        if permutation.len() != x.rank() {
            return None;
        }
        let front = MAX_RANK.checked_sub(x.rank())?;
        let dims = x.extended();
        let x_strides = strides(&dims);
        let mut seen = [false; MAX_RANK];
        let (mut extents, mut walk_strides) = ([1; MAX_RANK], [0; MAX_RANK]);
        let outputs = extents.iter_mut().zip(&mut walk_strides).skip(front);
        for ((extent, stride), &axis) in outputs.zip(permutation) {
            let axis = front.checked_add(usize::from(axis))?;
            if core::mem::replace(seen.get_mut(axis)?, true) {
                return None;
            }
            *extent = *dims.get(axis)?;
            *stride = i64::try_from(*x_strides.get(axis)?).ok()?;
        }
        Strided::new(extents, walk_strides, 0, x.len()).map(Self)
    }

    /// Whether the elements stay in their order: only axes of extent 1 change their place.
    pub fn is_identity(&self) -> bool {
        self.0.run() == Some(0)
    }
}

/// Transposes `x` into `y`.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have as many elements as the shape.
pub fn transpose<T: Copy>(p: &Transpose, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    p.0.read(x, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn shape(dims: &[u32]) -> Shape {
        Shape::new(dims).unwrap()
    }

    fn run(dims: &[u32], permutation: &[u8], x: &[u32]) -> Vec<u32> {
        let mut y = vec![0; x.len()];
        transpose(&Transpose::new(&shape(dims), permutation).unwrap(), x, &mut y).unwrap();
        y
    }

    /// Each element's index, one axis after the other.
    fn index_of(mut flat: usize, dims: &[u32]) -> Vec<usize> {
        let mut index: Vec<usize> = dims
            .iter()
            .rev()
            .map(|&dim| {
                let i = flat % dim as usize;
                flat /= dim as usize;
                i
            })
            .collect();
        index.reverse();
        index
    }

    fn flat_of(index: &[usize], dims: &[u32]) -> usize {
        index.iter().zip(dims).fold(0, |flat, (&i, &dim)| flat * dim as usize + i)
    }

    fn case() -> impl Strategy<Value = (Vec<u32>, Vec<u8>)> {
        prop::collection::vec(1..5_u32, 0..=6).prop_flat_map(|dims| {
            let axes: Vec<u8> = (0..dims.len() as u8).collect();
            (Just(dims), Just(axes).prop_shuffle())
        })
    }

    proptest! {
        #[test]
        fn elements_go_where_the_permutation_says((dims, permutation) in case()) {
            let x: Vec<u32> = (0..dims.iter().product()).collect();
            let y_dims: Vec<u32> = permutation.iter().map(|&axis| dims[usize::from(axis)]).collect();
            let y = run(&dims, &permutation, &x);
            for (flat, &value) in y.iter().enumerate() {
                let mut from = vec![0; dims.len()];
                for (&axis, i) in permutation.iter().zip(index_of(flat, &y_dims)) {
                    from[usize::from(axis)] = i;
                }
                prop_assert_eq!(value as usize, flat_of(&from, &dims));
            }
        }

        #[test]
        fn any_permutation_is_taken_or_refused(
            dims in prop::collection::vec(any::<u32>(), 0..=6),
            permutation in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            if let Some(shape) = Shape::new(&dims) {
                let _ = Transpose::new(&shape, &permutation);
            }
        }
    }

    #[test]
    fn nchw_becomes_nhwc() {
        // Two channels of 2 × 2.
        let x = [0, 1, 2, 3, 10, 11, 12, 13];
        assert_eq!(run(&[1, 2, 2, 2], &[0, 2, 3, 1], &x), [0, 10, 1, 11, 2, 12, 3, 13]);
    }

    #[test]
    fn identities_are_recognised() {
        let transpose = |dims: &[u32], axes: &[u8]| Transpose::new(&shape(dims), axes).unwrap();
        assert!(transpose(&[2, 3], &[0, 1]).is_identity());
        assert!(transpose(&[4, 1, 3], &[1, 0, 2]).is_identity());
        assert!(!transpose(&[4, 2, 3], &[1, 0, 2]).is_identity());
        assert!(transpose(&[], &[]).is_identity());
    }

    #[test]
    fn axes_that_are_missing_or_repeated_are_refused() {
        for permutation in [&[0, 0][..], &[0], &[0, 2], &[0, 1, 2]] {
            assert_eq!(Transpose::new(&shape(&[2, 3]), permutation), None);
        }
    }
}
