//! Borrowing an operator's inputs and outputs from one arena, without unsafe.
//!
//! Public for the source of models that are compiled in, where places are constants and what is
//! inlined shrinks to additions; nobody else meets it.

use core::marker::PhantomData;

use systole_kernels::{Mismatch, broadcast::Operand};
#[cfg(feature = "std")]
use systole_kernels::{arch::Threads, split};
use zerocopy::FromBytes;

use crate::{DType, Element, format::Storage};

/// Where a tensor lies: a range of the arena or of the constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Place {
    pub(crate) storage: Storage,
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
    /// How many bytes further it lies with each repetition of the operators around it.
    pub(crate) advance: i32,
}

impl Place {
    /// `bytes` bytes of the arena from `offset` on.
    pub const fn arena(offset: usize, bytes: usize) -> Self {
        Self { storage: Storage::Arena, offset, bytes, advance: 0 }
    }

    /// The place that it is in a repetition, the first of which is 0.
    #[inline(always)]
    pub(crate) const fn at(self, iteration: u16) -> Self {
        let moved = (iteration as isize).wrapping_mul(self.advance as isize);
        Self { offset: self.offset.wrapping_add_signed(moved), advance: 0, ..self }
    }

    fn end(&self) -> usize {
        self.offset.saturating_add(self.bytes)
    }

    /// Whether the two share a byte in any of `times` repetitions, in each of which they have moved.
    pub(crate) fn meets(&self, other: &Self, times: u16) -> bool {
        let last = times.saturating_sub(1);
        if self.advance == other.advance || last == 0 {
            return self.overlaps(other);
        }
        // The distance of their beginnings changes evenly: they meet between the repetition in which the
        // one has come near enough, and that in which the other is past it.
        let distance = |iteration: u16| {
            let (a, b) = (self.at(iteration).offset, other.at(iteration).offset);
            b as i64 - a as i64
        };
        let (mut near, mut past) = (0, last);
        let closing = distance(last) < distance(0);
        let is_near = |iteration| {
            let distance = distance(iteration);
            if closing { distance < self.bytes as i64 } else { distance > -(other.bytes as i64) }
        };
        if !is_near(last) {
            return false;
        }
        // The first repetition that is near.
        while near < past {
            let middle = near + (past - near) / 2;
            if is_near(middle) {
                past = middle;
            } else {
                near = middle + 1;
            }
        }
        self.at(near).overlaps(&other.at(near))
    }

    /// Whether the two share a byte.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.storage == other.storage
            && self.offset < other.end()
            && other.offset < self.end()
            && self.bytes > 0
            && other.bytes > 0
    }
}

/// The memory that operators work on, lent to the kernels whose outputs are `O`.
#[derive(Debug)]
pub struct Memory<'m, 'a, O = Only<0>> {
    pub(crate) constants: &'m [u8],
    pub(crate) arena: &'a mut [u8],
    /// What layers are divided among; the caller's thread alone where there are none.
    #[cfg(feature = "std")]
    threads: Option<&'a mut Threads>,
    /// The repetition of the operators that are repeated, from 0.
    iteration: u16,
    outputs: PhantomData<O>,
}

/// Which kernels there are, by the type of their first output. Known while compiling, so that the
/// calls of all others are no part of the program.
pub trait Outputs {
    /// Whether kernels with outputs of this type are called.
    fn include(kernel: DType) -> bool;
}

/// Kernels for outputs of the type with this code, those for integers of its width among them, which
/// move elements of any type; all kernels where the code is 0.
#[derive(Debug)]
pub struct Only<const DTYPE: u8>;

impl<const DTYPE: u8> Outputs for Only<DTYPE> {
    #[inline(always)]
    fn include(kernel: DType) -> bool {
        let integer = !matches!(kernel, DType::F16 | DType::F32 | DType::F64);
        DType::from_code(DTYPE)
            .is_none_or(|only| kernel as u8 == DTYPE || (integer && kernel.size() == only.size()))
    }
}

/// What is left of the arena when an operator's outputs are taken out of it, and the constants.
#[derive(Debug)]
pub struct Inputs<'a> {
    constants: &'a [u8],
    /// Parts of the arena, each with its offset.
    gaps: [(usize, &'a [u8]); 4],
    iteration: u16,
}

/// Nothing, in the place of a part.
const NO_GAP: (usize, &[u8]) = (0, &[]);

impl<'a> Inputs<'a> {
    /// The elements of an input. Fails where an output overlaps it.
    #[inline(always)]
    pub fn get<T: Element>(&self, place: Place) -> Result<&'a [T], Mismatch> {
        let place = place.at(self.iteration);
        let find = |base: usize, memory: &'a [u8]| {
            let start = place.offset.checked_sub(base)?;
            memory.get(start..start.checked_add(place.bytes)?)
        };
        let bytes = match place.storage {
            Storage::Constant => find(0, self.constants),
            // Only weights are there, which are no operands of calls.
            Storage::Apart => None,
            // Written out: compilers shrink a chain of conditions on constants, but not a loop.
            Storage::Arena => {
                let [(base, gap), (base1, gap1), (base2, gap2), (base3, gap3)] = self.gaps;
                let first = find(base, gap).or_else(|| find(base1, gap1));
                first.or_else(|| find(base2, gap2)).or_else(|| find(base3, gap3))
            }
        };
        <[T]>::ref_from_bytes(bytes.ok_or(Mismatch)?).map_err(|_| Mismatch)
    }

    /// The same of an input on which the output may lie.
    #[inline(always)]
    pub fn operand<T: Element>(&self, place: Place, y: Place) -> Result<Operand<'a, T>, Mismatch> {
        if place == y { Ok(Operand::Output) } else { self.get(place).map(Operand::Buffer) }
    }
}

impl<'a> Memory<'static, 'a> {
    /// An arena alone: the constants of a model that is compiled in are statics.
    pub const fn new(arena: &'a mut [u8]) -> Self {
        Self::beside(&[], arena)
    }
}

impl<'m, 'a> Memory<'m, 'a> {
    /// An arena, and constants that are operands.
    pub(crate) const fn beside(constants: &'m [u8], arena: &'a mut [u8]) -> Self {
        Self {
            constants,
            arena,
            #[cfg(feature = "std")]
            threads: None,
            iteration: 0,
            outputs: PhantomData,
        }
    }

    /// The same, in a repetition of operators that are repeated.
    pub(crate) fn repeated(self, iteration: u16) -> Self {
        Self { iteration, ..self }
    }

    /// The same, with threads for large layers.
    #[cfg(feature = "std")]
    pub(crate) fn with(self, threads: Option<&'a mut Threads>) -> Self {
        Self { threads, ..self }
    }

    /// The same, for fewer kernels.
    pub(crate) fn only<O: Outputs>(&mut self) -> Memory<'m, '_, O> {
        Memory {
            constants: self.constants,
            arena: &mut *self.arena,
            #[cfg(feature = "std")]
            threads: self.threads.as_deref_mut(),
            iteration: self.iteration,
            outputs: PhantomData,
        }
    }
}

impl<O: Outputs> Memory<'_, '_, O> {
    /// One output, and the inputs beside it.
    #[inline(always)]
    pub fn output<T: Element>(&mut self, y: Place) -> Result<(&mut [T], Inputs<'_>), Mismatch> {
        if !O::include(T::DTYPE) {
            return Err(Mismatch);
        }
        let y = y.at(self.iteration);
        let (below, rest) = self.arena.split_at_mut_checked(y.offset).ok_or(Mismatch)?;
        let (y_bytes, above) = rest.split_at_mut_checked(y.bytes).ok_or(Mismatch)?;
        let y_elements = <[T]>::mut_from_bytes(y_bytes).map_err(|_| Mismatch)?;
        let gaps = [(0, &*below), (y.end(), &*above), NO_GAP, NO_GAP];
        Ok((y_elements, Inputs { constants: self.constants, gaps, iteration: self.iteration }))
    }

    /// Calls the kernel of a layer with one input, in parts where there are threads and it pays.
    #[cfg(feature = "std")]
    pub(crate) fn in_parts<P: split::Split<X: Element, Y: Element>>(
        &mut self,
        kernel: impl Fn(&P, &[P::X], &mut [P::Y]) -> Result<(), Mismatch> + Sync,
        p: &P,
        x: Place,
        y: Place,
    ) -> Result<(), Mismatch> {
        let threads = self.threads.take();
        let (y, inputs) = self.output(y)?;
        let x = inputs.get(x)?;
        let Some(threads) = threads else { return kernel(p, x, y) };
        let result = split::run(threads, kernel, p, x, y);
        self.threads = Some(threads);
        result
    }

    /// Calls the kernel of a layer with one input.
    #[cfg(not(feature = "std"))]
    #[inline(always)]
    pub(crate) fn in_parts<P, X: Element, Y: Element>(
        &mut self,
        kernel: impl Fn(&P, &[X], &mut [Y]) -> Result<(), Mismatch>,
        p: &P,
        x: Place,
        y: Place,
    ) -> Result<(), Mismatch> {
        let (y, inputs) = self.output(y)?;
        kernel(p, inputs.get(x)?, y)
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
        if !O::include(T::DTYPE) {
            return Err(Mismatch);
        }
        let mut low = (0_u8, first.at(self.iteration));
        let mut middle = (1, second.at(self.iteration));
        let mut high = (2, third.at(self.iteration));
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
            Inputs { constants: self.constants, gaps, iteration: self.iteration },
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::Arena;

    fn arena(offset: usize, bytes: usize) -> Place {
        Place::arena(offset, bytes)
    }

    #[test]
    fn inputs_beside_two_outputs_are_found_in_every_gap() {
        let mut backing = Arena::<48>::new();
        let bytes = backing.as_mut_slice();
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = i as u8;
        }
        let constants = [99_u8, 98];
        let mut memory = Memory::beside(&constants, bytes);
        let (high, low, inputs) = memory.outputs2::<i8, i32>(arena(32, 4), arena(8, 8)).unwrap();
        assert_eq!((high.len(), low.len()), (4, 2));
        assert_eq!(inputs.get::<u8>(arena(0, 2)).unwrap(), [0, 1]);
        assert_eq!(inputs.get::<u8>(arena(30, 2)).unwrap(), [30, 31]);
        assert_eq!(inputs.get::<u8>(arena(36, 2)).unwrap(), [36, 37]);
        assert_eq!(inputs.get::<u8>(arena(31, 2)), Err(Mismatch));
        let constant = Place { storage: Storage::Constant, ..arena(1, 1) };
        assert_eq!(inputs.get::<u8>(constant).unwrap(), [98]);
    }

    #[test]
    fn three_outputs_in_any_order_and_the_inputs_in_every_gap() {
        let mut backing = Arena::<64>::new();
        let bytes = backing.as_mut_slice();
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = i as u8;
        }
        let places = [arena(8, 8), arena(24, 8), arena(40, 8)];
        for [a, b, c] in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut memory = Memory::new(&mut *bytes);
            let outputs = memory.outputs3::<u8, i16, i32>(places[a], places[b], places[c]);
            let (first, second, third, inputs) = outputs.unwrap();
            assert_eq!((first.len(), second.len(), third.len()), (8, 4, 2));
            assert_eq!(usize::from(first[0]), places[a].offset);
            assert_eq!(second[0].to_le_bytes()[0], places[b].offset as u8);
            assert_eq!(third[0].to_le_bytes()[0], places[c].offset as u8);
            for gap in [0, 16, 32, 48] {
                assert_eq!(inputs.get::<u8>(arena(gap, 2)).unwrap(), [gap as u8, gap as u8 + 1]);
            }
            assert_eq!(inputs.get::<u8>(arena(31, 2)), Err(Mismatch));
        }
        let mut memory = Memory::new(bytes);
        assert!(memory.outputs3::<i8, i8, i8>(arena(0, 8), arena(16, 8), arena(7, 2)).is_err());
    }

    #[test]
    fn places_that_move_meet_in_a_repetition_in_which_they_overlap() {
        let steps = [-3, -1, 0, 1, 2, 7];
        let places: Vec<Place> = (0..24)
            .flat_map(|offset| steps.map(|advance| Place { advance, ..arena(40 + offset, 4) }))
            .collect();
        for a in &places {
            for b in places.iter().take(steps.len() * 12) {
                for times in [1, 2, 5] {
                    let overlap = (0..times).any(|i| a.at(i).overlaps(&b.at(i)));
                    assert_eq!(a.meets(b, times), overlap, "{a:?} {b:?} {times}");
                }
            }
        }
    }

    #[test]
    fn overlapping_or_outside_places_are_refused() {
        let mut backing = Arena::<32>::new();
        let mut memory = Memory::new(backing.as_mut_slice());
        assert!(memory.outputs2::<i8, i8>(arena(0, 8), arena(7, 8)).is_err());
        assert!(memory.output::<i8>(arena(30, 3)).is_err());
        assert!(memory.output::<i32>(arena(2, 4)).is_err());
        assert!(memory.output::<i8>(arena(usize::MAX, 2)).is_err());
    }
}
