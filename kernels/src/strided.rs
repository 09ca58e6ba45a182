//! The walk that TRANSPOSE, STRIDED_SLICE and all that reduces to them share: a dense output,
//! written from front to back, reads its input at a fixed distance per step along each axis.
//!
//! `y[i0, …, i5] = x[start + i0 × stride0 + … + i5 × stride5]`. Axes of extent 1 are dropped and
//! axes that continue each other are merged, so that rows are as long as they can be; a row is one
//! copy, or one loop with a constant step.

use crate::error::Mismatch;
use crate::shape::MAX_RANK;

/// How a dense output is read from an input. Distances are in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Strided {
    /// Merged extents of the output, outermost first, ones in front.
    pub extents: [usize; MAX_RANK],
    /// Distances in the input from one index to the next.
    pub strides: [isize; MAX_RANK],
    /// The element of the input that the output begins with.
    pub start: usize,
    /// The input's length must be at least this.
    pub needed: usize,
}

impl Strided {
    /// The walk, or `None` where it would leave an input of `x_len` elements or where the output
    /// would have more elements than `usize` counts.
    pub(crate) fn new(
        extents: [usize; MAX_RANK],
        strides: [i64; MAX_RANK],
        start: i64,
        x_len: usize,
    ) -> Option<Self> {
        extents.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent))?;
        let mut walk = Self {
            extents: [1; MAX_RANK],
            strides: [1; MAX_RANK],
            start: usize::try_from(start).ok()?,
            needed: 0,
        };
        if extents.contains(&0) {
            walk.extents = [0; MAX_RANK];
            return Some(walk);
        }
        let (mut lowest, mut highest) = (start, start);
        for (&extent, &stride) in extents.iter().zip(&strides) {
            let reach = i64::try_from(extent - 1).ok()?.checked_mul(stride)?;
            lowest = lowest.checked_add(reach.min(0))?;
            highest = highest.checked_add(reach.max(0))?;
        }
        walk.needed = usize::try_from(highest).ok()?.checked_add(1)?;
        if lowest < 0 || walk.needed > x_len {
            return None;
        }
        let mut merged = MAX_RANK;
        for (&extent, &stride) in extents.iter().zip(&strides).rev() {
            if extent == 1 {
                continue;
            }
            let stride = isize::try_from(stride).ok()?;
            if walk.continues(merged, stride) {
                *walk.extents.get_mut(merged)? *= extent;
                continue;
            }
            merged -= 1;
            *walk.extents.get_mut(merged)? = extent;
            *walk.strides.get_mut(merged)? = stride;
        }
        Some(walk)
    }

    /// Whether an axis with stride `outer` goes on where the one at `merged` ends.
    fn continues(&self, merged: usize, outer: isize) -> bool {
        match (self.extents.get(merged), self.strides.get(merged)) {
            (Some(&extent), Some(&inner)) => inner.checked_mul(extent as isize) == Some(outer),
            _ => false,
        }
    }

    /// Number of elements of the output.
    pub(crate) fn len(&self) -> usize {
        self.extents.iter().product()
    }

    /// Where the output is a run of the input's elements as they are, the run's first element.
    pub(crate) fn run(&self) -> Option<usize> {
        let [outer @ .., _] = self.extents;
        let [.., step] = self.strides;
        let one_row = outer.iter().all(|&extent| extent == 1);
        (one_row && step == 1).then_some(self.start)
    }

    /// Reads `y` from `x`.
    pub(crate) fn read<T: Copy>(&self, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
        if y.len() != self.len() || x.len() < self.needed {
            return Err(Mismatch);
        }
        let [outer @ .., run] = &self.extents;
        let [.., step] = self.strides;
        let mut index = [0_usize; MAX_RANK - 1];
        // `new` has seen that all positions of the walk are within `needed`, so that adding up
        // strides cannot overflow in a row that is read.
        let mut at = self.start as isize;
        // An output of no elements has no rows; a chunk's length is never zero.
        for row in y.chunks_exact_mut((*run).max(1)) {
            read_row(x, at as usize, step, row)?;
            for ((count, &extent), &stride) in index.iter_mut().zip(outer).zip(&self.strides).rev()
            {
                *count += 1;
                if *count < extent {
                    at = at.wrapping_add(stride);
                    break;
                }
                *count = 0;
                at = at.wrapping_sub(stride.wrapping_mul((extent - 1) as isize));
            }
        }
        Ok(())
    }
}

/// `row[i] = x[at + i × step]`.
#[inline]
fn read_row<T: Copy>(x: &[T], at: usize, step: isize, row: &mut [T]) -> Result<(), Mismatch> {
    match step {
        1 => {
            let from = x.get(at..).and_then(|x| x.get(..row.len())).ok_or(Mismatch)?;
            row.copy_from_slice(from);
        }
        0 => row.fill(*x.get(at).ok_or(Mismatch)?),
        2.. => {
            let from = x.get(at..).ok_or(Mismatch)?;
            for (y, &x) in row.iter_mut().zip(from.iter().step_by(step as usize)) {
                *y = x;
            }
        }
        ..=-1 => {
            let from = x.get(..=at).ok_or(Mismatch)?;
            for (y, &x) in row.iter_mut().zip(from.iter().rev().step_by(step.unsigned_abs())) {
                *y = x;
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

    /// The position in the input of each element of the output, by the formula.
    fn naive(
        extents: [usize; MAX_RANK],
        strides: [i64; MAX_RANK],
        start: i64,
    ) -> impl Iterator<Item = i64> {
        (0..extents.iter().product::<usize>()).map(move |flat| {
            let mut rest = flat;
            let mut at = start;
            for (&extent, stride) in extents.iter().zip(strides).rev() {
                at += (rest % extent) as i64 * stride;
                rest /= extent;
            }
            at
        })
    }

    proptest! {
        #[test]
        fn every_walk_reads_by_the_formula_or_is_refused(
            extents in prop::array::uniform6(0..4_usize),
            strides in prop::array::uniform6(-7..8_i64),
            start in -2..60_i64,
        ) {
            let x: Vec<u16> = (0..60).collect();
            let positions: Vec<i64> = naive(extents, strides, start).collect();
            let inside = positions.iter().all(|at| (0..60).contains(at));
            match Strided::new(extents, strides, start, x.len()) {
                Some(walk) => {
                    prop_assert!(inside);
                    let wanted: Vec<u16> = positions.iter().map(|&at| x[at as usize]).collect();
                    let mut y = vec![0; walk.len()];
                    walk.read(&x, &mut y).unwrap();
                    prop_assert_eq!(y, wanted);
                }
                None => prop_assert!(!inside || start < 0),
            }
        }

        #[test]
        fn hostile_numbers_do_not_panic(
            extents in prop::array::uniform6(prop_oneof![0..3_usize, Just(usize::MAX), any::<usize>()]),
            strides in prop::array::uniform6(any::<i64>()),
            start: i64,
            x_len: usize,
        ) {
            if let Some(walk) = Strided::new(extents, strides, start, x_len) {
                let mut y = vec![0_u8; walk.len().min(1000)];
                let _ = walk.read(&[1, 2, 3], &mut y);
            }
        }
    }

    #[test]
    fn a_dense_walk_is_one_run() {
        let walk = Strided::new([1, 2, 3, 1, 4, 5], [9, 60, 20, 3, 5, 1], 7, 200).unwrap();
        assert_eq!((walk.run(), walk.len()), (Some(7), 120));
        let gap = Strided::new([1, 1, 1, 2, 3, 4], [0, 0, 0, 13, 4, 1], 0, 60).unwrap();
        assert_eq!((gap.run(), gap.extents), (None, [1, 1, 1, 1, 2, 12]));
    }

    #[test]
    fn buffers_of_other_lengths_are_refused() {
        let walk = Strided::new([1, 1, 1, 1, 2, 3], [0, 0, 0, 0, 3, 1], 1, 7).unwrap();
        assert_eq!(walk.read(&[0_u8; 6], &mut [0; 6]), Err(Mismatch));
        assert_eq!(walk.read(&[0_u8; 7], &mut [0; 5]), Err(Mismatch));
        assert_eq!(walk.read(&[0_u8; 7], &mut [0; 6]), Ok(()));
    }
}
