//! STRIDED_SLICE: every `stride`-th element from `begin` on, along each axis.
//!
//! `y[i…] = x[begin + i × stride…]`, for any element type and up to six axes; strides may be
//! negative. The converter resolves masks, negative positions and clamping, and expresses SLICE,
//! SPLIT, SPLIT_V, UNPACK, REVERSE_V2 and the crops of BATCH_TO_SPACE_ND with it.

use crate::error::Mismatch;
use crate::shape::{MAX_RANK, Shape, strides};
use crate::strided::Strided;

/// A slice of a shape, ready to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct StridedSlice(pub Strided);

impl StridedSlice {
    /// The slice of shape `y` of `x` that begins at `begin` and takes every `stride`-th index;
    /// `None` where ranks differ or where it would leave `x`.
    pub fn new(x: &Shape, begin: &[u32], stride: &[i32], y: &Shape) -> Option<Self> {
        let rank = x.rank();
        if begin.len() != rank || stride.len() != rank || y.rank() != rank {
            return None;
        }
        let front = MAX_RANK.checked_sub(rank)?;
        let dims = x.extended();
        let x_strides = strides(&dims);
        let mut walk_strides = [0_i64; MAX_RANK];
        let mut start = 0_i64;
        let axes = dims.iter().zip(&x_strides).zip(y.extended()).zip(&mut walk_strides);
        for ((((&dim, &distance), extent), to), (&begin, &stride)) in
            axes.skip(front).zip(begin.iter().zip(stride))
        {
            let (dim, distance) = (i64::try_from(dim).ok()?, i64::try_from(distance).ok()?);
            let begin = i64::from(begin);
            if let Some(last) = extent.checked_sub(1) {
                // Each axis by itself: a walk that left one axis could still end inside of `x`.
                let last =
                    begin.checked_add(i64::try_from(last).ok()?.checked_mul(stride.into())?)?;
                if !(0..dim).contains(&begin) || !(0..dim).contains(&last) {
                    return None;
                }
            }
            start = start.checked_add(begin.checked_mul(distance)?)?;
            *to = i64::from(stride).checked_mul(distance)?;
        }
        Strided::new(y.extended(), walk_strides, start, x.len()).map(Self)
    }

    /// Where the slice is a run of the input's elements as they are, the run's first element.
    pub fn run(&self) -> Option<usize> {
        self.0.run()
    }
}

/// Copies the slice of `x` to `y`.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have as many elements as its shape.
pub fn strided_slice<T: Copy>(p: &StridedSlice, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
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

    /// One axis: extent, begin, stride, and how many steps fit.
    fn axis() -> impl Strategy<Value = (u32, u32, i32, u32)> {
        (1..6_u32)
            .prop_flat_map(|dim| (Just(dim), 0..dim, prop_oneof![-3..0_i32, 1..4_i32]))
            .prop_flat_map(|(dim, begin, stride)| {
                let room = if stride > 0 { dim - 1 - begin } else { begin };
                let steps = room / stride.unsigned_abs() + 1;
                (Just(dim), Just(begin), Just(stride), 1..=steps)
            })
    }

    /// Row-major positions of the slice, built up axis by axis.
    fn naive(axes: &[(u32, u32, i32, u32)]) -> Vec<usize> {
        axes.iter().fold(vec![0], |outer, &(dim, begin, stride, extent)| {
            outer
                .iter()
                .flat_map(|&at| {
                    (0..extent as i32)
                        .map(move |i| at * dim as usize + (begin as i32 + i * stride) as usize)
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn slices_take_what_the_formula_says(axes in prop::collection::vec(axis(), 0..=6)) {
            let dims: Vec<u32> = axes.iter().map(|axis| axis.0).collect();
            let begin: Vec<u32> = axes.iter().map(|axis| axis.1).collect();
            let stride: Vec<i32> = axes.iter().map(|axis| axis.2).collect();
            let extents: Vec<u32> = axes.iter().map(|axis| axis.3).collect();
            let x: Vec<usize> = (0..shape(&dims).len()).collect();
            let slice = StridedSlice::new(&shape(&dims), &begin, &stride, &shape(&extents)).unwrap();
            let mut y = vec![0; shape(&extents).len()];
            strided_slice(&slice, &x, &mut y).unwrap();
            prop_assert_eq!(&y, &naive(&axes));
            let run = y.windows(2).all(|pair| pair[1] == pair[0] + 1);
            prop_assert_eq!(slice.run(), run.then_some(y[0]));
        }

        #[test]
        fn any_numbers_are_taken_or_refused(
            dims in prop::collection::vec(any::<u32>(), 0..=6),
            begin in prop::collection::vec(any::<u32>(), 0..=6),
            stride in prop::collection::vec(any::<i32>(), 0..=6),
            extents in prop::collection::vec(any::<u32>(), 0..=6),
        ) {
            if let (Some(x), Some(y)) = (Shape::new(&dims), Shape::new(&extents)) {
                let _ = StridedSlice::new(&x, &begin, &stride, &y);
            }
        }
    }

    #[test]
    fn leaving_an_axis_is_refused_even_inside_the_buffer() {
        let (x, y) = (shape(&[2, 3]), shape(&[1, 3]));
        assert!(StridedSlice::new(&x, &[0, 0], &[1, 1], &y).is_some());
        assert_eq!(StridedSlice::new(&x, &[0, 1], &[1, 1], &y), None);
        assert_eq!(StridedSlice::new(&x, &[0, 0], &[1, -1], &y), None);
        assert_eq!(StridedSlice::new(&x, &[2, 0], &[1, 1], &y), None);
        assert_eq!(StridedSlice::new(&x, &[0, 0], &[1], &y), None);
    }

    #[test]
    fn an_empty_slice_reads_nothing() {
        let slice = StridedSlice::new(&shape(&[2, 3]), &[0, 3], &[1, 1], &shape(&[2, 0])).unwrap();
        assert_eq!(strided_slice(&slice, &[0; 6], &mut []), Ok(()));
    }
}
