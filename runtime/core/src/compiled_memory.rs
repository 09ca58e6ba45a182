//! The memory of a model that is compiled in and has one arena: places are constants, and what is
//! inlined shrinks to additions. Models with several arenas share [`crate::memory`] with sessions.

use systole_kernels::{Mismatch, broadcast::Operand};
use zerocopy::FromBytes;

use crate::{Element, memory::Place};

/// An arena, lent to kernels.
#[derive(Debug)]
pub struct Memory<'a> {
    arena: &'a mut [u8],
}

/// What is left of the arena when an operator's outputs are taken out of it.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Parts of the arena, each with its offset.
    gaps: [(usize, &'a [u8]); 4],
}

/// Nothing, in the place of a part.
const NO_GAP: (usize, &[u8]) = (0, &[]);

impl<'a> Inputs<'a> {
    /// The elements of an input. Fails where an output overlaps it.
    #[inline(always)]
    pub fn get<T: Element>(&self, place: Place) -> Result<&'a [T], Mismatch> {
        let find = |base: usize, memory: &'a [u8]| {
            let start = place.offset.checked_sub(base)?;
            memory.get(start..start.checked_add(place.bytes)?)
        };
        // Written out: compilers shrink a chain of conditions on constants, but not a loop.
        let [(base, gap), (base1, gap1), (base2, gap2), (base3, gap3)] = self.gaps;
        let first = find(base, gap).or_else(|| find(base1, gap1));
        let bytes = first.or_else(|| find(base2, gap2)).or_else(|| find(base3, gap3));
        <[T]>::ref_from_bytes(bytes.ok_or(Mismatch)?).map_err(|_| Mismatch)
    }

    /// The same of an input on which the output may lie.
    #[inline(always)]
    pub fn operand<T: Element>(&self, place: Place, y: Place) -> Result<Operand<'a, T>, Mismatch> {
        if place == y { Ok(Operand::Output) } else { self.get(place).map(Operand::Buffer) }
    }
}

impl<'a> Memory<'a> {
    /// An arena alone: constants are statics.
    pub const fn new(arena: &'a mut [u8]) -> Self {
        Self { arena }
    }

    /// One output, and the inputs beside it.
    #[inline(always)]
    pub fn output<T: Element>(&mut self, y: Place) -> Result<(&mut [T], Inputs<'_>), Mismatch> {
        let (below, rest) = self.arena.split_at_mut_checked(y.offset).ok_or(Mismatch)?;
        let (y_bytes, above) = rest.split_at_mut_checked(y.bytes).ok_or(Mismatch)?;
        let y_elements = <[T]>::mut_from_bytes(y_bytes).map_err(|_| Mismatch)?;
        let gaps = [(0, &*below), (y.end(), &*above), NO_GAP, NO_GAP];
        Ok((y_elements, Inputs { gaps }))
    }

    /// Two outputs, and the inputs beside them.
    #[inline(always)]
    pub fn outputs2<T: Element, U: Element>(
        &mut self,
        first: Place,
        second: Place,
    ) -> Result<(&mut [T], &mut [U], Inputs<'_>), Mismatch> {
        // Nothing behind all else.
        let none = Place::arena(self.arena.len(), 0);
        let (first, second, _, inputs) = self.outputs3::<T, U, u8>(first, second, none)?;
        Ok((first, second, inputs))
    }

    /// Three outputs, and the inputs beside them.
    #[expect(clippy::type_complexity, reason = "a slice per output, which callers take apart")]
    #[inline(always)]
    pub fn outputs3<T: Element, U: Element, V: Element>(
        &mut self,
        first: Place,
        second: Place,
        third: Place,
    ) -> Result<(&mut [T], &mut [U], &mut [V], Inputs<'_>), Mismatch> {
        let mut low = (0_u8, first);
        let mut middle = (1, second);
        let mut high = (2, third);
        let swap = |a: &mut (u8, Place), b: &mut (u8, Place)| {
            if b.1.offset < a.1.offset {
                core::mem::swap(a, b);
            }
        };
        swap(&mut low, &mut middle);
        swap(&mut middle, &mut high);
        swap(&mut low, &mut middle);
        let mut rest = (0, &mut *self.arena);
        let mut take = |place: Place| {
            let (base, memory) = core::mem::take(&mut rest);
            let start = place.offset.checked_sub(base).ok_or(Mismatch)?;
            let (gap, memory) = memory.split_at_mut_checked(start).ok_or(Mismatch)?;
            let (bytes, memory) = memory.split_at_mut_checked(place.bytes).ok_or(Mismatch)?;
            rest = (place.end(), memory);
            Ok(((base, &*gap), bytes))
        };
        let ((gap0, bytes0), (gap1, bytes1), (gap2, bytes2)) =
            (take(low.1)?, take(middle.1)?, take(high.1)?);
        let (base3, gap3) = rest;
        let mut of = [&mut [][..], &mut [][..], &mut [][..]];
        for ((index, _), bytes) in [(low, bytes0), (middle, bytes1), (high, bytes2)] {
            *of.get_mut(usize::from(index)).ok_or(Mismatch)? = bytes;
        }
        let [first, second, third] = of;
        let gaps = [gap0, gap1, gap2, (base3, &*gap3)];
        Ok((
            <[T]>::mut_from_bytes(first).map_err(|_| Mismatch)?,
            <[U]>::mut_from_bytes(second).map_err(|_| Mismatch)?,
            <[V]>::mut_from_bytes(third).map_err(|_| Mismatch)?,
            Inputs { gaps },
        ))
    }
}
