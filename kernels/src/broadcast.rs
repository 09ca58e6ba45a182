//! The walk that all elementwise operators with several operands share: broadcasting by the rules
//! of NumPy and TFLite, up to rank six.
//!
//! A [`Walk`] is made from shapes alone, so the converter can make it, and so can the runtime when
//! it loads a model. Dimensions that every operand passes through in the same way are merged, which
//! leaves one long row where the shapes are equal, and rows as long as possible where they are not.
//! Within a row each operand is either contiguous or a single element, so that the loops over a row
//! are plain loops over slices.

use crate::error::Mismatch;
use crate::shape::{MAX_RANK, Shape, strides};

/// How `N` operands are read while a dense output is written from front to back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Walk<const N: usize> {
    /// Merged dimensions, outermost first, ones in front.
    pub extents: [usize; MAX_RANK],
    /// Elements from one index to the next, per operand and dimension; 0 where it is repeated.
    pub strides: [[usize; MAX_RANK]; N],
    /// Whether the operand has the shape of the output.
    pub whole: [bool; N],
}

/// Where the elements of an operand are.
#[derive(Debug, Clone, Copy)]
pub enum Operand<'a, T> {
    /// In a buffer of its own.
    Buffer(&'a [T]),
    /// In the output's buffer, where the operator overwrites them. The operand must have the
    /// output's shape.
    Output,
}

/// The shape that `shapes` broadcast to: of each dimension, counted from the last, the extent that
/// is not 1. `None` where two extents differ and neither is 1, or the result has too many elements.
pub fn broadcast_shape<const N: usize>(shapes: [&Shape; N]) -> Option<Shape> {
    let rank = shapes.iter().map(|shape| shape.rank()).max().unwrap_or(0);
    let mut dims = [1_u32; MAX_RANK];
    for shape in shapes {
        for (to, from) in dims.iter_mut().zip(shape.extended()) {
            let from = u32::try_from(from).ok()?;
            *to = match (*to, from) {
                (1, from) => from,
                (to, 1) => to,
                (to, from) if to == from => to,
                _ => return None,
            };
        }
    }
    Shape::new(dims.get(MAX_RANK.checked_sub(rank)?..)?)
}

impl<const N: usize> Walk<N> {
    /// The walk over operands of these shapes, or `None` where they do not broadcast.
    pub fn new(operands: [&Shape; N]) -> Option<Self> {
        let full = broadcast_shape(operands)?.extended();
        let mut walk = Self {
            extents: [1; MAX_RANK],
            strides: [[0; MAX_RANK]; N],
            whole: operands.map(|shape| shape.extended() == full),
        };
        let dims = operands.map(Shape::extended);
        let dense = dims.map(|dims| strides(&dims));
        let stride_at = |operand: usize, axis: usize| -> Option<usize> {
            let dim = *dims.get(operand)?.get(axis)?;
            if dim == 1 { Some(0) } else { dense.get(operand)?.get(axis).copied() }
        };
        let mut merged = MAX_RANK;
        for axis in (0..MAX_RANK).rev() {
            let extent = *full.get(axis)?;
            if extent == 1 {
                continue;
            }
            let mut here = [0; N];
            for (operand, stride) in here.iter_mut().enumerate() {
                *stride = stride_at(operand, axis)?;
            }
            if walk.continues(merged, &here) {
                *walk.extents.get_mut(merged)? *= extent;
                continue;
            }
            merged -= 1;
            *walk.extents.get_mut(merged)? = extent;
            for (strides, stride) in walk.strides.iter_mut().zip(here) {
                *strides.get_mut(merged)? = stride;
            }
        }
        Some(walk)
    }

    /// The walk over operands of one shape.
    #[cfg_attr(
        any(target_arch = "arm", target_arch = "riscv32"),
        expect(dead_code, reason = "for tables of kernels")
    )]
    pub(crate) fn flat(len: usize) -> Self {
        let [mut extents, mut ones] = [[1; MAX_RANK], [0; MAX_RANK]];
        let ([.., row], [.., stride]) = (&mut extents, &mut ones);
        (*row, *stride) = (len, 1);
        Self { extents, strides: [ones; N], whole: [true; N] }
    }

    /// Whether a dimension with the strides `outer` goes on where the one at `merged` ends.
    fn continues(&self, merged: usize, outer: &[usize; N]) -> bool {
        let Some(&extent) = self.extents.get(merged) else { return false };
        self.strides.iter().zip(outer).all(|(strides, &outer)| {
            strides.get(merged).is_some_and(|&inner| inner * extent == outer)
        })
    }

    /// The number of elements of the output.
    pub fn len(&self) -> usize {
        self.extents.iter().product()
    }

    /// Whether the output has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether operand `operand` has the shape of the output, so that the output may overwrite it.
    pub fn may_be_in_place(&self, operand: usize) -> bool {
        self.whole.get(operand).copied().unwrap_or(false)
    }

    /// The length of a row, the merged innermost dimension.
    pub(crate) fn row(&self) -> usize {
        let [.., row] = self.extents;
        row
    }

    /// How many elements of each operand a row reads: all, or the one that is repeated.
    fn row_lengths(&self) -> [usize; N] {
        self.strides.map(|[.., stride]| if stride == 0 { 1 } else { self.row() })
    }

    /// Calls `body` for each row of `y` with the index of the first element of each operand.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] where `y` is not as long as the output, or where `body` says so.
    #[inline]
    fn for_each_row<Y>(
        &self,
        y: &mut [Y],
        mut body: impl FnMut([usize; N], &mut [Y]) -> Result<(), Mismatch>,
    ) -> Result<(), Mismatch> {
        if y.len() != self.len() {
            return Err(Mismatch);
        }
        let mut index = [0_usize; MAX_RANK - 1];
        let mut at = [0_usize; N];
        // No rows of no elements: a chunk's length is never zero.
        for row in y.chunks_exact_mut(self.row().max(1)) {
            body(at, row)?;
            self.next_row(&mut index, &mut at);
        }
        Ok(())
    }

    /// Steps to the next row, as an odometer does.
    #[inline]
    pub(crate) fn next_row(&self, index: &mut [usize; MAX_RANK - 1], at: &mut [usize; N]) {
        for (axis, (count, &extent)) in index.iter_mut().zip(&self.extents).enumerate().rev() {
            *count += 1;
            let wraps = *count == extent;
            for (at, strides) in at.iter_mut().zip(&self.strides) {
                let stride = strides.get(axis).copied().unwrap_or(0);
                *at = if wraps {
                    at.wrapping_sub(stride.wrapping_mul(extent - 1))
                } else {
                    at.wrapping_add(stride)
                };
            }
            if !wraps {
                return;
            }
            *count = 0;
        }
    }
}

#[cfg(any(dsp, helium, simd, test))]
impl Walk<2> {
    /// Whether both operands have the shape of an output of `count` elements, and are as long, or are in
    /// its place.
    #[inline(always)]
    pub(crate) fn is_whole<T>(&self, operands: &[Operand<'_, T>; 2], count: usize) -> bool {
        let fits = |operand: &Operand<'_, T>| match operand {
            Operand::Buffer(x) => x.len() == count,
            Operand::Output => true,
        };
        self.whole == [true; 2] && self.len() == count && operands.iter().all(fits)
    }
}

/// `length` elements of `all` from `start`.
#[inline(always)]
fn part<T>(all: &[T], start: usize, length: usize) -> Result<&[T], Mismatch> {
    all.get(start..).and_then(|rest| rest.get(..length)).ok_or(Mismatch)
}

/// `y = f(a, b)` for each element of the walk.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that the walk needs.
#[inline]
pub fn binary<A: Copy, B: Copy, Y>(
    walk: &Walk<2>,
    a: &[A],
    b: &[B],
    y: &mut [Y],
    f: impl Fn(A, B) -> Y,
) -> Result<(), Mismatch> {
    let [a_length, b_length] = walk.row_lengths();
    walk.for_each_row(y, |[a_at, b_at], y| {
        binary_row(part(a, a_at, a_length)?, part(b, b_at, b_length)?, y, &f);
        Ok(())
    })
}

/// One row of [`binary`]; an operand of one element is repeated.
#[inline]
fn binary_row<A: Copy, B: Copy, Y>(a: &[A], b: &[B], y: &mut [Y], f: &impl Fn(A, B) -> Y) {
    match (a, b) {
        (&[a], b) => {
            for (y, &b) in y.iter_mut().zip(b) {
                *y = f(a, b);
            }
        }
        (a, &[b]) => {
            for (y, &a) in y.iter_mut().zip(a) {
                *y = f(a, b);
            }
        }
        (a, b) => {
            for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                *y = f(a, b);
            }
        }
    }
}

/// How many elements of an operand that is overwritten are set aside at a time.
const BLOCK: usize = 64;

/// [`binary`] for operands of the output's type, either of which, or both, may lie in the output's
/// buffer.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that the walk needs, or where an operand in
/// the output's buffer has not the output's shape.
#[inline]
pub fn binary_in_place<T: Copy + Default>(
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
    f: impl Fn(T, T) -> T,
) -> Result<(), Mismatch> {
    let (a, b) = match (a, b) {
        (Operand::Buffer(a), Operand::Buffer(b)) => return binary(walk, a, b, y, f),
        (Operand::Output, Operand::Buffer(b)) => (None, Some(b)),
        (Operand::Buffer(a), Operand::Output) => (Some(a), None),
        (Operand::Output, Operand::Output) => (None, None),
    };
    if (a.is_none() && !walk.may_be_in_place(0)) || (b.is_none() && !walk.may_be_in_place(1)) {
        return Err(Mismatch);
    }
    let [a_length, b_length] = walk.row_lengths();
    walk.for_each_row(y, |[a_at, b_at], y| {
        let a = a.map(|a| part(a, a_at, a_length)).transpose()?;
        let b = b.map(|b| part(b, b_at, b_length)).transpose()?;
        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
            let mut aside = [T::default(); BLOCK];
            let old = aside.get_mut(..y.len()).ok_or(Mismatch)?;
            old.copy_from_slice(y);
            let old = &*old;
            binary_row(block_of(a, block, old)?, block_of(b, block, old)?, y, &f);
        }
        Ok(())
    })
}

/// Block `block` of a row of an operand: set aside in `old`, a part of its row, or the one element.
#[inline]
fn block_of<'a, T>(row: Option<&'a [T]>, block: usize, old: &'a [T]) -> Result<&'a [T], Mismatch> {
    match row {
        None => Ok(old),
        Some(row) if row.len() == 1 => Ok(row),
        Some(row) => part(row, block.saturating_mul(BLOCK), old.len()),
    }
}

/// `y = f(x)` for each element.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
#[inline]
pub fn unary<X: Copy, Y>(x: &[X], y: &mut [Y], f: impl Fn(X) -> Y) -> Result<(), Mismatch> {
    if x.len() != y.len() {
        return Err(Mismatch);
    }
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x);
    }
    Ok(())
}

/// [`unary`] for an operand that may lie in the output's buffer.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
#[inline]
pub fn unary_in_place<T: Copy>(
    x: Operand<'_, T>,
    y: &mut [T],
    f: impl Fn(T) -> T,
) -> Result<(), Mismatch> {
    match x {
        Operand::Buffer(x) => unary(x, y, f),
        Operand::Output => {
            for y in y {
                *y = f(*y);
            }
            Ok(())
        }
    }
}

/// `y = f(a, b, c)` for each element of the walk.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that the walk needs.
#[inline]
pub fn ternary<A: Copy, B: Copy, C: Copy, Y>(
    walk: &Walk<3>,
    a: &[A],
    b: &[B],
    c: &[C],
    y: &mut [Y],
    f: impl Fn(A, B, C) -> Y,
) -> Result<(), Mismatch> {
    let [a_length, b_length, c_length] = walk.row_lengths();
    walk.for_each_row(y, |[a_at, b_at, c_at], y| {
        let a = part(a, a_at, a_length)?;
        let (b, c) = (part(b, b_at, b_length)?, part(c, c_at, c_length)?);
        match *a {
            // The condition of a selection is often a scalar, or one per row.
            [a] => binary_row(b, c, y, &|b, c| f(a, b, c)),
            _ => {
                let (b, c) = (repeated(b, y.len()), repeated(c, y.len()));
                for (((y, &a), &b), &c) in y.iter_mut().zip(a).zip(b).zip(c) {
                    *y = f(a, b, c);
                }
            }
        }
        Ok(())
    })
}

/// The elements of `row`, or its one element `length` times.
#[inline]
fn repeated<T>(row: &[T], length: usize) -> impl Iterator<Item = &T> {
    let times = if row.len() == 1 { length } else { 1 };
    core::iter::repeat_n(row, times).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Where the element of the output at linear `index` is in an operand, by division.
    fn naive_index(mut index: usize, output: &Shape, operand: &Shape) -> usize {
        let dims = operand.extended();
        let dense = strides(&dims);
        let mut at = 0;
        for axis in (0..MAX_RANK).rev() {
            let here = index % output.extended()[axis];
            index /= output.extended()[axis];
            if dims[axis] != 1 {
                at += here * dense[axis];
            }
        }
        at
    }

    fn naive<const N: usize>(shapes: [&Shape; N]) -> Vec<[usize; N]> {
        let output = broadcast_shape(shapes).unwrap();
        (0..output.len()).map(|i| shapes.map(|shape| naive_index(i, &output, shape))).collect()
    }

    /// An output's dimensions, and for each of three operands which of them are 1 and how many
    /// leading ones are left away.
    fn cases() -> impl Strategy<Value = [Shape; 3]> {
        let operand = || (prop::collection::vec(any::<bool>(), 6), 0..3_usize);
        (prop::collection::vec(1..4_u32, 0..=6), operand(), operand(), operand()).prop_map(
            |(dims, a, b, c)| {
                [a, b, c].map(|(repeated, dropped): (Vec<bool>, usize)| {
                    let mut dims: Vec<u32> =
                        dims.iter().zip(&repeated).map(|(&d, &r)| if r { 1 } else { d }).collect();
                    let ones = dims.iter().take_while(|&&d| d == 1).count();
                    dims.drain(..ones.min(dropped));
                    Shape::new(&dims).unwrap()
                })
            },
        )
    }

    proptest! {
        #[test]
        fn binary_visits_what_division_visits([a, b, _] in cases()) {
            let walk = Walk::new([&a, &b]).unwrap();
            let x: Vec<usize> = (0..a.len()).collect();
            let w: Vec<usize> = (0..b.len()).collect();
            let mut y = std::vec![[usize::MAX; 2]; walk.len()];
            binary(&walk, &x, &w, &mut y, |a, b| [a, b]).unwrap();
            prop_assert_eq!(y, naive([&a, &b]));
        }

        #[test]
        fn ternary_visits_what_division_visits([a, b, c] in cases()) {
            let walk = Walk::new([&a, &b, &c]).unwrap();
            let [x, v, w] = [a, b, c].map(|shape| (0..shape.len()).collect::<Vec<usize>>());
            let mut y = std::vec![[usize::MAX; 3]; walk.len()];
            ternary(&walk, &x, &v, &w, &mut y, |a, b, c| [a, b, c]).unwrap();
            prop_assert_eq!(y, naive([&a, &b, &c]));
        }

        #[test]
        fn in_place_gives_the_same([a, b, _] in cases(), long in 1..200_u32) {
            // A long last dimension, to pass through more than one block.
            let lengthen = |shape: Shape, by: u32| {
                let mut dims = shape.dims().to_vec();
                if dims.len() == 6 { dims.remove(0); }
                dims.push(by);
                Shape::new(&dims).unwrap()
            };
            let (a, b) = (lengthen(a, long), lengthen(b, if long % 3 == 0 { 1 } else { long }));
            let Some(walk) = Walk::new([&a, &b]) else { return Ok(()) };
            let x: Vec<i32> = (0..a.len() as i32).map(|i| i * 7 - 50).collect();
            let w: Vec<i32> = (0..b.len() as i32).map(|i| 1000 - i * 3).collect();
            let f = |a: i32, b: i32| a.wrapping_mul(3).wrapping_sub(b);
            let mut wanted = std::vec![0; walk.len()];
            binary(&walk, &x, &w, &mut wanted, f).unwrap();
            let mut y = x.clone();
            let got = binary_in_place(&walk, Operand::Output, Operand::Buffer(&w), &mut y, f);
            prop_assert_eq!(got.is_ok(), walk.may_be_in_place(0));
            if got.is_ok() { prop_assert_eq!(&y, &wanted); }
            let mut y = w.clone();
            let got = binary_in_place(&walk, Operand::Buffer(&x), Operand::Output, &mut y, f);
            prop_assert_eq!(got.is_ok(), walk.may_be_in_place(1));
            if got.is_ok() { prop_assert_eq!(&y, &wanted); }
        }
    }

    #[test]
    fn equal_shapes_are_one_row() {
        let shape = Shape::new(&[2, 3, 4, 5]).unwrap();
        assert_eq!(Walk::new([&shape, &shape]).unwrap().extents, [1, 1, 1, 1, 1, 120]);
        let channels = Shape::new(&[5]).unwrap();
        assert_eq!(Walk::new([&shape, &channels]).unwrap().extents, [1, 1, 1, 1, 24, 5]);
    }

    #[test]
    fn both_operands_may_be_the_output() {
        let shape = Shape::new(&[3]).unwrap();
        let walk = Walk::new([&shape, &shape]).unwrap();
        let mut y = [1, 2, 3];
        binary_in_place(&walk, Operand::Output, Operand::Output, &mut y, |a, b| a * 10 + b)
            .unwrap();
        assert_eq!(y, [11, 22, 33]);
    }

    #[test]
    fn unequal_extents_and_short_buffers_are_refused() {
        let [a, b] = [[2, 3], [2, 2]].map(|dims| Shape::new(&dims).unwrap());
        assert_eq!(Walk::new([&a, &b]), None);
        let walk = Walk::new([&a, &a]).unwrap();
        let mut y = [0; 6];
        assert_eq!(binary(&walk, &[0; 5], &[0; 6], &mut y, |a: i32, b: i32| a + b), Err(Mismatch));
        assert_eq!(
            binary(&walk, &[0; 6], &[0; 6], &mut y[..5], |a: i32, b: i32| a + b),
            Err(Mismatch)
        );
        assert_eq!(unary(&[1], &mut y, |x: i32| x), Err(Mismatch));
    }

    #[test]
    fn an_empty_tensor_is_nothing_to_do() {
        let [a, b] = [Shape::new(&[0, 3]).unwrap(), Shape::new(&[3]).unwrap()];
        let walk = Walk::new([&a, &b]).unwrap();
        assert!(walk.is_empty());
        assert_eq!(binary(&walk, &[], &[1, 2, 3], &mut [], |a: i32, b: i32| a + b), Ok(()));
    }
}
