//! What the reducing operators share: which axes disappear, and the walk over them.
//!
//! The input is dense and row-major. An output element is the fold, in the order in which they
//! stand in memory, of all input elements that differ from it only along reduced axes. Whether
//! reduced axes remain in the output's shape with length 1 makes no difference to the data. Source:
//! `Reduce` of TFLite's `reference/reduce.h`.

use crate::{MAX_RANK, Mismatch, strides};

/// The geometry of a reduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Reduction {
    /// The input's dimensions, outermost first, with ones in front.
    pub dims: [usize; MAX_RANK],
    /// The axes of `dims` that are reduced.
    pub reduced: [bool; MAX_RANK],
}

impl Reduction {
    /// How many input elements make one output element, unless it overflows.
    pub fn count(&self) -> Option<usize> {
        self.product(true)
    }

    /// How many output elements there are, unless it overflows.
    pub fn outputs(&self) -> Option<usize> {
        self.product(false)
    }

    fn product(&self, reduced: bool) -> Option<usize> {
        let mut axes = self.dims.iter().zip(&self.reduced).filter(|&(_, &r)| r == reduced);
        axes.try_fold(1_usize, |product, (&dim, _)| product.checked_mul(dim))
    }

    /// The same reduction with neighbouring axes of one kind merged, so that the innermost is as
    /// long as it can be.
    pub(crate) fn merged(&self) -> Self {
        let mut merged = Self { dims: [1; MAX_RANK], reduced: [false; MAX_RANK] };
        let mut slots = merged.dims.iter_mut().zip(merged.reduced.iter_mut()).rev();
        let mut slot: Option<(&mut usize, &mut bool)> = None;
        for (&dim, &reduced) in
            self.dims.iter().zip(&self.reduced).rev().filter(|&(&dim, _)| dim != 1)
        {
            match &mut slot {
                Some((length, kind)) if **kind == reduced => **length = length.saturating_mul(dim),
                _ => {
                    slot = slots.next();
                    if let Some((length, kind)) = &mut slot {
                        (**length, **kind) = (dim, reduced);
                    }
                }
            }
        }
        merged
    }
}

/// How many accumulators are on the stack at a time where the innermost axis is kept.
const BLOCK: usize = 64;

/// Writes to each element of `y` the result of `finish` on the fold of its inputs from `init` on.
///
/// # Errors
///
/// [`Mismatch`] where `x` or `y` does not have the length that the reduction states.
pub(crate) fn fold<T: Copy, A: Copy, Y>(
    p: &Reduction,
    x: &[T],
    y: &mut [Y],
    init: A,
    step: impl Fn(A, T) -> A,
    finish: impl Fn(A) -> Y,
) -> Result<(), Mismatch> {
    let (count, outputs) = (p.count().ok_or(Mismatch)?, p.outputs().ok_or(Mismatch)?);
    if y.len() != outputs || outputs.checked_mul(count) != Some(x.len()) {
        return Err(Mismatch);
    }
    if x.is_empty() {
        y.iter_mut().for_each(|y| *y = finish(init));
        return Ok(());
    }
    let Reduction { dims, reduced } = p.merged();
    let strides = strides(&dims);
    let ([.., inner], [.., inner_reduced]) = (dims, reduced);
    // The innermost axis is the loop below, the others are walked by offsets.
    let outer = |kind: bool| {
        let mut dims = dims;
        for (dim, _) in dims.iter_mut().zip(&reduced).filter(|&(_, &r)| r != kind) {
            *dim = 1;
        }
        let [.., last] = &mut dims;
        *last = 1;
        Offsets::new(dims, strides)
    };
    if inner_reduced {
        for (y, base) in y.iter_mut().zip(outer(false)) {
            let mut acc = init;
            for offset in outer(true) {
                let run = x.get(base + offset..).and_then(|x| x.get(..inner)).ok_or(Mismatch)?;
                acc = run.iter().fold(acc, |acc, &value| step(acc, value));
            }
            *y = finish(acc);
        }
        return Ok(());
    }
    for (y, base) in y.chunks_exact_mut(inner.max(1)).zip(outer(false)) {
        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
            let mut accs = [init; BLOCK];
            for offset in outer(true) {
                let run = x.get(base + offset + block * BLOCK..).ok_or(Mismatch)?;
                for (acc, &value) in accs.iter_mut().zip(run.get(..y.len()).ok_or(Mismatch)?) {
                    *acc = step(*acc, value);
                }
            }
            for (y, &acc) in y.iter_mut().zip(&accs) {
                *y = finish(acc);
            }
        }
    }
    Ok(())
}

/// The offsets of all indices of a tensor, the last axis fastest.
struct Offsets {
    dims: [usize; MAX_RANK],
    strides: [usize; MAX_RANK],
    index: [usize; MAX_RANK],
    offset: usize,
    left: usize,
}

impl Offsets {
    /// The product of `dims` and the largest offset fit `usize`, and no dimension is 0.
    fn new(dims: [usize; MAX_RANK], strides: [usize; MAX_RANK]) -> Self {
        let left = dims.iter().product();
        Self { dims, strides, index: [0; MAX_RANK], offset: 0, left }
    }
}

impl Iterator for Offsets {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let offset = self.offset;
        let axes = self.index.iter_mut().zip(&self.dims).zip(&self.strides);
        for ((index, &dim), &stride) in axes.rev() {
            *index += 1;
            self.offset += stride;
            if *index < dim {
                break;
            }
            // Back to the start of this axis, on to the next index of the one outside it.
            self.offset -= dim * stride;
            *index = 0;
        }
        Some(offset)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Any small reduction: no dimension, some or all of them reduced.
    pub(crate) fn reduction() -> impl Strategy<Value = Reduction> {
        let axis = || (prop::sample::select(&[1, 1, 2, 3, 5][..]), any::<bool>());
        let inner = (prop::sample::select(&[1, 2, 7, 63, 64, 65][..]), any::<bool>());
        (axis(), axis(), axis(), axis(), inner).prop_map(|(a, b, c, d, e)| Reduction {
            dims: [1, a.0, b.0, c.0, d.0, e.0],
            reduced: [false, a.1, b.1, c.1, d.1, e.1],
        })
    }

    /// The naive definition: for each output element, the inputs that it is made of, in order.
    pub(crate) fn groups<T: Copy>(p: &Reduction, x: &[T]) -> Vec<Vec<T>> {
        let mut groups = vec![Vec::new(); p.outputs().unwrap()];
        for (flat, &value) in x.iter().enumerate() {
            let (mut rest, mut output, mut stride) = (flat, 0, 1);
            for axis in (0..MAX_RANK).rev() {
                let index = rest % p.dims[axis];
                rest /= p.dims[axis];
                if !p.reduced[axis] {
                    output += index * stride;
                    stride *= p.dims[axis];
                }
            }
            groups[output].push(value);
        }
        groups
    }

    proptest! {
        #[test]
        fn each_output_folds_its_inputs_in_order(p in reduction()) {
            let x: Vec<u32> = (0..p.dims.iter().product::<usize>() as u32).collect();
            // A fold that depends on the order.
            let step = |acc: u32, value: u32| acc.wrapping_mul(31).wrapping_add(value);
            let wanted: Vec<u32> =
                groups(&p, &x).into_iter().map(|group| group.into_iter().fold(7, step)).collect();
            let mut y = vec![0; wanted.len()];
            fold(&p, &x, &mut y, 7, step, |acc| acc).unwrap();
            prop_assert_eq!(y, wanted);
        }

        #[test]
        fn no_geometry_panics(dims: [usize; 6], reduced: [bool; 6]) {
            let p = Reduction { dims, reduced };
            let got = fold(&p, &[0_u8; 4], &mut [0; 2], 0, |a, b| a | b, |a| a);
            prop_assert!(got.is_err() || dims.contains(&0) || p.count() == Some(2));
        }
    }

    #[test]
    fn an_empty_input_gives_the_initial_value() {
        let dims = [1, 1, 1, 1, 2, 0];
        let p = Reduction { dims, reduced: [false, false, false, false, false, true] };
        let mut y = [0; 2];
        fold(&p, &[], &mut y, 9, |acc, value: u8| acc + value, |acc| acc).unwrap();
        assert_eq!(y, [9, 9]);
    }

    #[test]
    fn neighbouring_axes_of_one_kind_merge() {
        let p =
            Reduction { dims: [1, 2, 3, 1, 5, 7], reduced: [true, false, false, true, true, true] };
        let merged = p.merged();
        assert_eq!(merged.dims, [1, 1, 1, 1, 6, 35]);
        assert_eq!(merged.reduced, [false, false, false, false, false, true]);
    }
}
