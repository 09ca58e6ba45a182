//! Operands that broadcast, for kernels of operands that do not: a block of the output at a time, for
//! which operands are repeated on the stack.

use core::ops::Range;

use crate::Mismatch;
use crate::broadcast::{Operand, Walk};

/// Elements of a block.
const BLOCK: usize = 1024;

/// Calls `kernel` with operands of one shape: those of `walk` as they are, or block by block.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that the walk needs, or where `kernel` says so.
#[inline]
pub(super) fn in_blocks(
    walk: &Walk<2>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
    mut kernel: impl FnMut(&Walk<2>, [Operand<'_, i8>; 2], &mut [i8]) -> Result<(), Mismatch>,
) -> Result<(), Mismatch> {
    if walk.whole == [true; 2] {
        return kernel(walk, operands, y);
    }
    if y.len() != walk.len() {
        return Err(Mismatch);
    }
    let row = walk.row().max(1);
    let mut sources = [0, 1].map(|j| Source::new(walk, j, operands[j]));
    let (mut index, mut at, mut start) = ([0; _], [0; 2], 0);
    for y in y.chunks_mut((BLOCK / row).max(1) * row) {
        if row > BLOCK {
            for (i, y) in y.chunks_mut(BLOCK).enumerate() {
                for (source, at) in sources.iter_mut().zip(at) {
                    source.read(at, i * BLOCK, 0..y.len())?;
                }
                call(&sources, start, y, &mut kernel)?;
                start += y.len();
            }
            walk.next_row(&mut index, &mut at);
        } else {
            for first in (0..y.len()).step_by(row) {
                for (source, at) in sources.iter_mut().zip(at) {
                    source.read(at, 0, first..first + row)?;
                }
                walk.next_row(&mut index, &mut at);
            }
            call(&sources, start, y, &mut kernel)?;
            start += y.len();
        }
    }
    Ok(())
}

/// Calls `kernel` for a block, which begins at element `start` of the output.
#[inline]
fn call(
    [a, b]: &[Source<'_>; 2],
    start: usize,
    y: &mut [i8],
    kernel: &mut impl FnMut(&Walk<2>, [Operand<'_, i8>; 2], &mut [i8]) -> Result<(), Mismatch>,
) -> Result<(), Mismatch> {
    let operands = [a.block(start, y.len())?, b.block(start, y.len())?];
    kernel(&Walk::flat(y.len()), operands, y)
}

/// An operand.
struct Source<'a> {
    operand: Operand<'a, i8>,
    /// Whether it has the output's shape, and is read where it is.
    whole: bool,
    /// Whether a row of it is one element.
    is_one: bool,
    /// Whether all rows are the same, and as long as a block can be: it is repeated once.
    same: bool,
    repeated: [i8; BLOCK],
    /// How many elements have been repeated.
    count: usize,
}

impl<'a> Source<'a> {
    fn new(walk: &Walk<2>, j: usize, operand: Operand<'a, i8>) -> Self {
        let [outer @ .., inner] = walk.strides[j];
        let is_one = inner == 0;
        let same = outer.iter().all(|&stride| stride == 0) && (is_one || walk.row() <= BLOCK);
        Self { operand, whole: walk.whole[j], is_one, same, repeated: [0; BLOCK], count: 0 }
    }

    /// Reads elements `to` of a block: those from `offset` on of the row that begins at `at`.
    #[inline]
    fn read(&mut self, at: usize, offset: usize, to: Range<usize>) -> Result<(), Mismatch> {
        if self.whole || (self.same && to.end <= self.count) {
            return Ok(());
        }
        let Operand::Buffer(x) = self.operand else { return Err(Mismatch) };
        self.count = to.end;
        let to = &mut self.repeated[to];
        if self.is_one {
            to.fill(*x.get(at).ok_or(Mismatch)?);
        } else {
            let from = x.get(at + offset..).and_then(|x| x.get(..to.len()));
            to.copy_from_slice(from.ok_or(Mismatch)?);
        }
        Ok(())
    }

    /// The block, which begins at element `start` of the output.
    #[inline]
    fn block(&self, start: usize, count: usize) -> Result<Operand<'_, i8>, Mismatch> {
        let x = match (self.operand, self.whole) {
            (Operand::Buffer(x), true) => x.get(start..).and_then(|x| x.get(..count)),
            (Operand::Output, true) => return Ok(Operand::Output),
            (_, false) => self.repeated.get(..count),
        };
        x.map(Operand::Buffer).ok_or(Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broadcast::binary_in_place;
    use crate::shape::Shape;
    use crate::testing::Values;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Dimensions of an output, and which of them each operand repeats; some are longer than a block.
    fn dims() -> impl Strategy<Value = Vec<(u32, u8)>> {
        let dim = prop_oneof![1..6_u32, 30..70_u32, BLOCK as u32 - 1..BLOCK as u32 + 2];
        prop::collection::vec((dim, 0..4_u8), 1..4)
            .prop_filter("small", |dims| dims.iter().map(|dim| dim.0).product::<u32>() < 40_000)
    }

    proptest! {
        #[test]
        fn blocks_are_the_broadcast(dims in dims(), place in 0..3_u8, seed: u64) {
            let shape = |operand: u8| {
                let dims = dims.iter().map(|&(dim, repeats)| if repeats == operand { 1 } else { dim });
                Shape::new(&dims.collect::<Vec<_>>()).unwrap()
            };
            let shapes = [shape(0), shape(1)];
            let walk = Walk::new([&shapes[0], &shapes[1]]).unwrap();
            let mut values = Values::new(seed);
            let [a, b] = shapes.map(|shape| values.i8s(shape.len()));
            let f = |a: i8, b: i8| a.wrapping_mul(3).wrapping_sub(b);
            let run = |in_blocks: bool| {
                let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
                let (operands, mut y) = match place {
                    0 if walk.whole[0] => ([Operand::Output, w], a.clone()),
                    1 if walk.whole[1] => ([x, Operand::Output], b.clone()),
                    _ => ([x, w], std::vec![99; walk.len()]),
                };
                let kernel = |walk: &Walk<2>, [a, b]: [Operand<'_, i8>; 2], y: &mut [i8]| {
                    assert!(!in_blocks || walk.whole == [true; 2]);
                    binary_in_place(walk, a, b, y, f)
                };
                let result = if in_blocks {
                    super::in_blocks(&walk, operands, &mut y, kernel)
                } else {
                    kernel(&walk, operands, &mut y)
                };
                result.map(|()| y)
            };
            prop_assert_eq!(run(true), run(false));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let shapes = [Shape::new(&[2, 3]).unwrap(), Shape::new(&[3]).unwrap()];
        let walk = Walk::new([&shapes[0], &shapes[1]]).unwrap();
        let run = |a: Operand<'_, i8>, b: Operand<'_, i8>, y: usize| {
            in_blocks(&walk, [a, b], &mut std::vec![0; y], |_, _, _| Ok(()))
        };
        let x = [0; 6];
        assert_eq!(run(Operand::Buffer(&x), Operand::Buffer(&x[..3]), 6), Ok(()));
        assert_eq!(run(Operand::Output, Operand::Buffer(&x[..3]), 6), Ok(()));
        assert_eq!(run(Operand::Buffer(&x), Operand::Output, 6), Err(Mismatch));
        assert_eq!(run(Operand::Buffer(&x[..5]), Operand::Buffer(&x[..3]), 6), Err(Mismatch));
        assert_eq!(run(Operand::Buffer(&x), Operand::Buffer(&x[..2]), 6), Err(Mismatch));
        assert_eq!(run(Operand::Buffer(&x), Operand::Buffer(&x[..3]), 5), Err(Mismatch));
    }
}
