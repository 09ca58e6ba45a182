//! MIRROR_PAD: a tensor with its own reflection around it.
//!
//! Along each axis, index `i` of the output is index `source(i − before)` of the input, where
//! positions in front of and behind the input are mirrored at its border. `Reflect` leaves the
//! border element out of the reflection, `Symmetric` repeats it. For any element type and up to six
//! axes. Source: TFLite's `mirror_pad.cc`, which LiteRT and TFLite Micro share.

use crate::error::Mismatch;
use crate::rows::next_row;
use crate::shape::{MAX_RANK, Shape};

/// Where the mirror stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub enum Mirror {
    /// On the border element: `c b | a b c | b a`.
    Reflect,
    /// Outside of the border element: `b a | a b c | c b`.
    Symmetric,
}

/// The mirrored padding of a shape, ready to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct MirrorPad {
    /// Dimensions of the input, outermost first, ones in front.
    pub x: [usize; MAX_RANK],
    /// Those of the output.
    pub y: [usize; MAX_RANK],
    /// Where the input begins along each of them.
    pub before: [usize; MAX_RANK],
    /// Elements of the input that the reflection leaves out: 1 or 0.
    pub offset: usize,
}

impl MirrorPad {
    /// The padding that makes `y` of `x` with `before` elements in front of each axis; `None` where
    /// ranks differ, where `x` would not lie inside of `y`, or where a reflection would be longer
    /// than the axis.
    pub fn new(x: &Shape, before: &[u32], y: &Shape, mirror: Mirror) -> Option<Self> {
        let rank = x.rank();
        if before.len() != rank || y.rank() != rank {
            return None;
        }
        let offset = match mirror {
            Mirror::Reflect => 1,
            Mirror::Symmetric => 0,
        };
        let (x, y) = (x.extended(), y.extended());
        let mut pad = Self { x, y, before: [0; MAX_RANK], offset };
        for (to, &before) in pad.before.iter_mut().rev().zip(before.iter().rev()) {
            *to = before as usize;
        }
        for ((&dim, &extent), &before) in x.iter().zip(&y).zip(&pad.before) {
            let after = extent.checked_sub(dim)?.checked_sub(before)?;
            let longest = dim.saturating_sub(offset);
            if before > longest || after > longest {
                return None;
            }
        }
        Some(pad)
    }

    /// The index of the input that index `i` of the output reads, along an axis.
    #[inline]
    fn source(&self, i: usize, before: usize, dim: usize) -> usize {
        match i.checked_sub(before) {
            // One in front of the border is the border itself, or its neighbour.
            None => before.wrapping_sub(i).wrapping_sub(1).wrapping_add(self.offset),
            Some(i) if i < dim => i,
            Some(i) => {
                let past = i.wrapping_sub(dim).wrapping_add(1).wrapping_add(self.offset);
                dim.wrapping_sub(past)
            }
        }
    }
}

/// Writes `x` into `y`, and its reflection around it.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have as many elements as its shape.
pub fn mirror_pad<T: Copy>(p: &MirrorPad, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    if y.len() != p.y.iter().product() || x.len() != p.x.iter().product() {
        return Err(Mismatch);
    }
    let [x_outer @ .., x_run] = p.x;
    let [y_outer @ .., y_run] = p.y;
    let [before_outer @ .., before] = p.before;
    let mut index = [0_usize; MAX_RANK - 1];
    for row in y.chunks_exact_mut(y_run.max(1)) {
        let at = index
            .iter()
            .zip(before_outer)
            .zip(x_outer)
            .fold(0, |at, ((&i, before), dim)| at * dim + p.source(i, before, dim));
        let from = x.chunks_exact(x_run.max(1)).nth(at).ok_or(Mismatch)?;
        let (left, rest) = row.split_at_mut_checked(before).ok_or(Mismatch)?;
        let (middle, right) = rest.split_at_mut_checked(from.len()).ok_or(Mismatch)?;
        middle.copy_from_slice(from);
        for (y, &x) in left.iter_mut().rev().zip(from.iter().skip(p.offset)) {
            *y = x;
        }
        for (y, &x) in right.iter_mut().zip(from.iter().rev().skip(p.offset)) {
            *y = x;
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

    fn run(dims: &[u32], before: &[u32], extents: &[u32], mirror: Mirror) -> Vec<u16> {
        let x: Vec<u16> = (0..shape(dims).len() as u16).collect();
        let mut y = vec![0; shape(extents).len()];
        let p = MirrorPad::new(&shape(dims), before, &shape(extents), mirror).unwrap();
        mirror_pad(&p, &x, &mut y).unwrap();
        y
    }

    /// An axis, its elements in order mirrored on both sides, written out.
    fn mirrored(dim: usize, before: usize, after: usize, mirror: Mirror) -> Vec<usize> {
        let skip = usize::from(mirror == Mirror::Reflect);
        let mut left: Vec<usize> = (0..dim).skip(skip).take(before).collect();
        left.reverse();
        let right = (0..dim).rev().skip(skip).take(after);
        left.into_iter().chain(0..dim).chain(right).collect()
    }

    fn axis() -> impl Strategy<Value = (u32, u32, u32)> {
        (1..5_u32).prop_flat_map(|dim| (Just(dim), 0..dim, 0..dim))
    }

    proptest! {
        #[test]
        fn every_axis_is_mirrored_on_both_sides(
            axes in prop::collection::vec(axis(), 0..=6), reflect: bool,
        ) {
            let mirror = if reflect { Mirror::Reflect } else { Mirror::Symmetric };
            let dims: Vec<u32> = axes.iter().map(|axis| axis.0).collect();
            let before: Vec<u32> = axes.iter().map(|axis| axis.1).collect();
            let extents: Vec<u32> = axes.iter().map(|axis| axis.0 + axis.1 + axis.2).collect();
            let wanted = axes.iter().fold(vec![0], |outer, &(dim, before, after)| {
                let sources = mirrored(dim as usize, before as usize, after as usize, mirror);
                let row = |&at: &usize| sources.iter().map(move |i| at * dim as usize + i);
                outer.iter().flat_map(row).collect::<Vec<usize>>()
            });
            let y: Vec<usize> =
                run(&dims, &before, &extents, mirror).into_iter().map(usize::from).collect();
            prop_assert_eq!(y, wanted);
        }

        #[test]
        fn any_numbers_are_taken_or_refused(
            dims in prop::collection::vec(any::<u32>(), 0..=6),
            before in prop::collection::vec(any::<u32>(), 0..=6),
            extents in prop::collection::vec(any::<u32>(), 0..=6),
        ) {
            if let (Some(x), Some(y)) = (Shape::new(&dims), Shape::new(&extents)) {
                let _ = MirrorPad::new(&x, &before, &y, Mirror::Reflect);
                let _ = MirrorPad::new(&x, &before, &y, Mirror::Symmetric);
            }
        }
    }

    #[test]
    fn the_mirror_stands_on_or_beside_the_border() {
        assert_eq!(run(&[3], &[2], &[7], Mirror::Reflect), [2, 1, 0, 1, 2, 1, 0]);
        assert_eq!(run(&[3], &[2], &[7], Mirror::Symmetric), [1, 0, 0, 1, 2, 2, 1]);
    }

    #[test]
    fn reflections_longer_than_the_axis_are_refused() {
        let new = |before, extent, mirror| {
            MirrorPad::new(&shape(&[3]), &[before], &shape(&[extent]), mirror)
        };
        assert!(new(3, 6, Mirror::Symmetric).is_some());
        assert_eq!(new(4, 7, Mirror::Symmetric), None);
        assert_eq!(new(3, 6, Mirror::Reflect), None);
        assert_eq!(new(0, 6, Mirror::Reflect), None);
    }
}
