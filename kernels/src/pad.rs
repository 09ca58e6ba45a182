//! PAD and PADV2: a tensor with a border of one value around it.
//!
//! `y[i…] = x[i − before…]` where that is inside of `x`, else `value`. For any element type and up
//! to six axes. A quantized PAD pads with the zero point, which is the converter's business.

use crate::error::Mismatch;
use crate::rows::next_row;
use crate::shape::{MAX_RANK, Shape};

/// The padding of a shape, ready to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Pad {
    /// Merged dimensions of the input, outermost first, ones in front.
    pub x: [usize; MAX_RANK],
    /// Those of the output.
    pub y: [usize; MAX_RANK],
    /// Where the input begins along each of them.
    pub before: [usize; MAX_RANK],
}

impl Pad {
    /// The padding that makes `y` of `x` with `before` elements in front of each axis; `None` where
    /// ranks differ or `x` would not lie inside of `y`.
    pub fn new(x: &Shape, before: &[u32], y: &Shape) -> Option<Self> {
        let rank = x.rank();
        if before.len() != rank || y.rank() != rank {
            return None;
        }
        let mut pad = Self { x: [1; MAX_RANK], y: [1; MAX_RANK], before: [0; MAX_RANK] };
        let mut merged = MAX_RANK;
        let axes = x.dims().iter().zip(y.dims()).zip(before);
        for ((&dim, &extent), &before) in axes.rev() {
            if before.checked_add(dim)? > extent {
                return None;
            }
            let axis = (dim as usize, extent as usize, before as usize);
            // An axis without padding is a part of the one outside of it.
            let inner = merged;
            match (pad.x.get_mut(inner), pad.y.get_mut(inner), pad.before.get_mut(inner)) {
                (Some(x), Some(y), Some(before)) if x == y => {
                    let size = *x;
                    *x = axis.0.checked_mul(size)?;
                    *y = axis.1.checked_mul(size)?;
                    *before = axis.2.checked_mul(size)?;
                }
                _ => {
                    merged = merged.checked_sub(1)?;
                    *pad.x.get_mut(merged)? = axis.0;
                    *pad.y.get_mut(merged)? = axis.1;
                    *pad.before.get_mut(merged)? = axis.2;
                }
            }
        }
        Some(pad)
    }
}

/// Writes `x` into `y`, and `value` around it.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have as many elements as its shape.
pub fn pad<T: Copy>(p: &Pad, value: T, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    if y.len() != p.y.iter().product() || x.len() != p.x.iter().product() {
        return Err(Mismatch);
    }
    let [x_outer @ .., x_run] = p.x;
    let [y_outer @ .., y_run] = p.y;
    let [before_outer @ .., before] = p.before;
    let mut x_rows = x.chunks_exact(x_run.max(1));
    let mut index = [0_usize; MAX_RANK - 1];
    for row in y.chunks_exact_mut(y_run.max(1)) {
        let inside = index
            .iter()
            .zip(before_outer)
            .zip(x_outer)
            .all(|((&i, before), dim)| i.checked_sub(before).is_some_and(|i| i < dim));
        // Rows of the input come in order; an input without elements has none.
        match if inside { x_rows.next() } else { None } {
            None => row.fill(value),
            Some(from) => {
                let (left, rest) = row.split_at_mut_checked(before).ok_or(Mismatch)?;
                let (middle, right) = rest.split_at_mut_checked(from.len()).ok_or(Mismatch)?;
                left.fill(value);
                middle.copy_from_slice(from);
                right.fill(value);
            }
        }
        next_row(&mut index, &y_outer);
    }
    Ok(())
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

    proptest! {
        #[test]
        fn the_input_lies_inside_and_the_value_around(
            axes in prop::collection::vec((1..4_u32, 0..3_u32, 0..3_u32), 0..=6),
        ) {
            let dims: Vec<u32> = axes.iter().map(|axis| axis.0).collect();
            let before: Vec<u32> = axes.iter().map(|axis| axis.1).collect();
            let extents: Vec<u32> = axes.iter().map(|axis| axis.0 + axis.1 + axis.2).collect();
            let x: Vec<i32> = (0..shape(&dims).len() as i32).collect();
            let mut y = vec![0; shape(&extents).len()];
            let p = Pad::new(&shape(&dims), &before, &shape(&extents)).unwrap();
            pad(&p, -1, &x, &mut y).unwrap();
            for (flat, &value) in y.iter().enumerate() {
                let (mut rest, mut from, mut distance) = (flat, Some(0), 1);
                for &(dim, before, after) in axes.iter().rev() {
                    let extent = (dim + before + after) as usize;
                    let i = (rest % extent).checked_sub(before as usize);
                    let i = i.filter(|&i| i < dim as usize);
                    from = from.zip(i).map(|(from, i)| from + i * distance);
                    distance *= dim as usize;
                    rest /= extent;
                }
                prop_assert_eq!(value, from.map_or(-1, |from| from as i32));
            }
        }

        #[test]
        fn any_numbers_are_taken_or_refused(
            dims in prop::collection::vec(any::<u32>(), 0..=6),
            before in prop::collection::vec(any::<u32>(), 0..=6),
            extents in prop::collection::vec(any::<u32>(), 0..=6),
        ) {
            if let (Some(x), Some(y)) = (Shape::new(&dims), Shape::new(&extents)) {
                let _ = Pad::new(&x, &before, &y);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Pad::new(&shape(&[2, 3]), &[0, 1], &shape(&[2, 3])), None);
        assert_eq!(Pad::new(&shape(&[2, 3]), &[0, u32::MAX], &shape(&[2, 3])), None);
        assert_eq!(Pad::new(&shape(&[2, 3]), &[0], &shape(&[2, 3])), None);
        let p = Pad::new(&shape(&[2]), &[1], &shape(&[4])).unwrap();
        assert_eq!(pad(&p, 0, &[1], &mut [0; 4]), Err(Mismatch));
        assert_eq!(pad(&p, 0, &[1, 2], &mut [0; 3]), Err(Mismatch));
    }

    #[test]
    fn an_empty_input_becomes_all_padding() {
        let mut y = [7; 6];
        let p = Pad::new(&shape(&[0, 1]), &[2, 1], &shape(&[3, 2])).unwrap();
        pad(&p, 5, &[], &mut y).unwrap();
        assert_eq!(y, [5; 6]);
    }
}
