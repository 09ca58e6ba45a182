//! Borrowing an operator's inputs and outputs from the arenas, without unsafe.
//!
//! Public for the source of models that are compiled in and have several arenas; nobody else meets it.
//!
//! Places are counted over all arenas, one behind the other, each from a multiple of 16 on: so they are
//! compared as in one arena, and no operand reaches from one into the next.

use core::{marker::PhantomData, ops::Range};

use systole_kernels::{Mismatch, broadcast::Operand};
#[cfg(feature = "std")]
use systole_kernels::{arch::Threads, split};
use zerocopy::FromBytes;

use crate::{
    DType, Element,
    format::{ALIGNMENT, MAX_ARENAS, Storage},
};

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

    pub(crate) fn end(&self) -> usize {
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

/// An arena: where its bytes begin among those of all arenas, which are counted one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Segment<'a> {
    pub(crate) base: usize,
    pub(crate) bytes: &'a mut [u8],
}

/// The arenas of a model, in their order; empty ones behind those that it has.
#[derive(Debug, Default)]
pub struct Arenas<'a>(pub(crate) [Segment<'a>; MAX_ARENAS]);

impl<'a> Arenas<'a> {
    /// Arenas that lie apart. Each is counted from a multiple of 16 behind the one before on.
    pub fn of<const N: usize>(arenas: [&'a mut [u8]; N]) -> Self {
        let (mut all, mut base) = (Self::default(), 0_usize);
        for (segment, bytes) in all.0.iter_mut().zip(arenas) {
            let end = base.saturating_add(bytes.len());
            *segment = Segment { base, bytes };
            base = end.next_multiple_of(ALIGNMENT);
        }
        all
    }

    /// The same, each with the place at which it begins.
    pub fn at<const N: usize>(arenas: [(usize, &'a mut [u8]); N]) -> Self {
        let mut all = Self::default();
        for (segment, (base, bytes)) in all.0.iter_mut().zip(arenas) {
            *segment = Segment { base, bytes };
        }
        all
    }

    /// The same for a while.
    pub(crate) fn reborrow(&mut self) -> Arenas<'_> {
        Arenas(self.0.each_mut().map(|it| Segment { base: it.base, bytes: &mut *it.bytes }))
    }

    /// The bytes of a tensor.
    pub(crate) fn get(&self, place: Place) -> Option<&[u8]> {
        self.0.iter().find_map(|segment| segment.get(place))
    }

    /// The bytes of a tensor, to be written.
    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut [u8]> {
        self.0.iter_mut().find_map(|segment| {
            let range = segment.range(place)?;
            segment.bytes.get_mut(range)
        })
    }
}

impl Segment<'_> {
    /// Which of its bytes are those of a tensor.
    #[inline(always)]
    fn range(&self, place: Place) -> Option<Range<usize>> {
        let start = place.offset.checked_sub(self.base)?;
        let end = start.checked_add(place.bytes)?;
        (end <= self.bytes.len()).then_some(start..end)
    }

    /// The bytes of a tensor.
    #[inline(always)]
    fn get(&self, place: Place) -> Option<&[u8]> {
        self.bytes.get(self.range(place)?)
    }
}

/// A part of an arena: where it begins, and its bytes.
type Gap<'a> = (usize, &'a [u8]);

/// Nothing, in the place of a part.
const NO_GAP: Gap<'_> = (0, &[]);

/// Takes one output out of an arena: its bytes, the parts below and above it, and the other arenas.
// In one place: an operator has kernels for many types, and each of them would have a copy.
#[inline(never)]
fn take_one<'a>(
    arenas: &'a mut [Segment<'_>],
    place: Place,
) -> Option<(&'a mut [u8], Left<'a, 2>)> {
    let index = arenas.iter().position(|segment| segment.range(place).is_some())?;
    let (before, rest) = arenas.split_at_mut_checked(index)?;
    let (own, after) = rest.split_first_mut()?;
    let Range { start, .. } = own.range(place)?;
    let (below, rest) = own.bytes.split_at_mut_checked(start)?;
    let (taken, above) = rest.split_at_mut_checked(place.bytes)?;
    let gaps = [(own.base, &*below), (place.end(), &*above)];
    Some((taken, Left { gaps, others: [before, after] }))
}

/// Takes several outputs out of the arenas: their bytes in the order of `places`, and what is left.
#[inline(never)]
fn take<'a>(
    arenas: &'a mut [Segment<'_>],
    places: &[Place],
) -> Option<([&'a mut [u8]; MAX_OUTPUTS], Left<'a, MAX_GAPS>)> {
    let mut order: [Option<(usize, Place)>; MAX_OUTPUTS] = [None; MAX_OUTPUTS];
    for (slot, place) in order.iter_mut().zip(places.iter().copied().enumerate()) {
        *slot = Some(place);
    }
    // Three at most: what lies highest sinks to the end, twice.
    for _ in 0..MAX_OUTPUTS {
        for [a, b] in [[0, 1], [1, 2]] {
            if let Ok([low, high]) = order.get_disjoint_mut([a, b])
                && let (Some((_, x)), Some((_, y))) = (&low, &high)
                && x.offset > y.offset
            {
                core::mem::swap(low, high);
            }
        }
    }
    let mut outputs: [&'a mut [u8]; MAX_OUTPUTS] = Default::default();
    let mut gaps = [NO_GAP; MAX_GAPS];
    let mut free = gaps.iter_mut();
    let mut pending = order.iter().flatten().peekable();
    let mut missing = places.len();
    for Segment { base, bytes } in arenas {
        let (mut base, mut rest) = (*base, &mut **bytes);
        let end = base.saturating_add(rest.len());
        while let Some(&(index, place)) = pending.next_if(|(_, place)| place.offset < end) {
            let start = place.offset.checked_sub(base)?;
            let (gap, above) = rest.split_at_mut_checked(start)?;
            let (taken, above) = above.split_at_mut_checked(place.bytes)?;
            *free.next()? = (base, &*gap);
            *outputs.get_mut(index)? = taken;
            (base, rest) = (place.end(), above);
            missing = missing.checked_sub(1)?;
        }
        *free.next()? = (base, &*rest);
    }
    (missing == 0).then_some((outputs, Left { gaps, others: [&[], &[]] }))
}

/// The most outputs that kernels have.
const MAX_OUTPUTS: usize = 3;

/// The most parts that the arenas are in when several outputs are taken out of them.
const MAX_GAPS: usize = MAX_ARENAS + MAX_OUTPUTS;

/// What is left of the arenas when outputs are taken out of them: `GAPS` parts of those that outputs lie in,
/// and the others. Nearly all kernels have one output, and what it is found by is copied with each call: so
/// there are no more parts than it leaves.
#[derive(Debug)]
struct Left<'a, const GAPS: usize> {
    gaps: [Gap<'a>; GAPS],
    others: [&'a [Segment<'a>]; 2],
}

/// The memory that operators work on, lent to the kernels whose outputs are `O`.
#[derive(Debug)]
pub struct Memory<'m, 'a, O = Only<0>> {
    constants: &'m [u8],
    pub(crate) arenas: &'a mut [Segment<'m>],
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

/// What is left of the arenas when an operator's outputs are taken out of them, and the constants.
#[derive(Debug)]
pub struct Inputs<'a, const GAPS: usize = 2> {
    constants: &'a [u8],
    left: Left<'a, GAPS>,
    iteration: u16,
}

impl<'a, const GAPS: usize> Inputs<'a, GAPS> {
    /// The elements of an input. Fails where an output overlaps it.
    #[inline]
    pub fn get<T: Element>(&self, place: Place) -> Result<&'a [T], Mismatch> {
        let bytes = self.find(place.at(self.iteration)).ok_or(Mismatch)?;
        <[T]>::ref_from_bytes(bytes).map_err(|_| Mismatch)
    }

    #[inline(never)]
    fn find(&self, place: Place) -> Option<&'a [u8]> {
        let find = |base: usize, memory: &'a [u8]| {
            let start = place.offset.checked_sub(base)?;
            memory.get(start..start.checked_add(place.bytes)?)
        };
        match place.storage {
            Storage::Constant => find(0, self.constants),
            Storage::Arena => {
                let gap = self.left.gaps.iter().find_map(|&(base, gap)| find(base, gap));
                let mut others = self.left.others.into_iter().flatten();
                gap.or_else(|| others.find_map(|segment| segment.get(place)))
            }
            // Only weights are there, which are no operands of calls.
            Storage::Apart => None,
        }
    }

    /// The same of an input on which the output may lie.
    #[inline]
    pub fn operand<T: Element>(&self, place: Place, y: Place) -> Result<Operand<'a, T>, Mismatch> {
        if place == y { Ok(Operand::Output) } else { self.get(place).map(Operand::Buffer) }
    }
}

impl<'m, 'a> Memory<'m, 'a> {
    /// Arenas alone: the constants of a model that is compiled in are statics.
    pub fn of(arenas: &'a mut Arenas<'m>) -> Self {
        Self::beside(&[], arenas)
    }

    /// Arenas, and constants that are operands.
    pub(crate) fn beside(constants: &'m [u8], arenas: &'a mut Arenas<'m>) -> Self {
        Self {
            constants,
            arenas: &mut arenas.0,
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
            arenas: &mut *self.arenas,
            #[cfg(feature = "std")]
            threads: self.threads.as_deref_mut(),
            iteration: self.iteration,
            outputs: PhantomData,
        }
    }
}

impl<O: Outputs> Memory<'_, '_, O> {
    /// One output, and the inputs beside it.
    #[inline]
    pub fn output<T: Element>(&mut self, y: Place) -> Result<(&mut [T], Inputs<'_>), Mismatch> {
        if !O::include(T::DTYPE) {
            return Err(Mismatch);
        }
        let Self { constants, iteration, .. } = *self;
        let (y, left) = take_one(self.arenas, y.at(iteration)).ok_or(Mismatch)?;
        let y = <[T]>::mut_from_bytes(y).map_err(|_| Mismatch)?;
        Ok((y, Inputs { constants, left, iteration }))
    }

    /// Several outputs, and the inputs beside them.
    #[inline]
    fn take(
        &mut self,
        places: &[Place],
    ) -> Result<([&mut [u8]; MAX_OUTPUTS], Inputs<'_, MAX_GAPS>), Mismatch> {
        let Self { constants, iteration, .. } = *self;
        let (bytes, left) = take(self.arenas, places).ok_or(Mismatch)?;
        Ok((bytes, Inputs { constants, left, iteration }))
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
        // Borrowed from where it was returned to: a copy takes as long as all the rest of this.
        let mut taken = self.output(y);
        let (y, inputs) = taken.as_mut().map_err(|error| *error)?;
        let x = inputs.get(x)?;
        let Some(threads) = threads else { return kernel(p, x, y) };
        let result = split::run(threads, kernel, p, x, y);
        self.threads = Some(threads);
        result
    }

    /// Calls the kernel of a layer with one input.
    #[cfg(not(feature = "std"))]
    #[inline]
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
    #[inline]
    pub fn outputs2<T: Element, U: Element>(
        &mut self,
        first: Place,
        second: Place,
    ) -> Result<(&mut [T], &mut [U], Inputs<'_, MAX_GAPS>), Mismatch> {
        if !O::include(T::DTYPE) {
            return Err(Mismatch);
        }
        let places = [first, second].map(|place| place.at(self.iteration));
        let ([first, second, _], inputs) = self.take(&places)?;
        let first = <[T]>::mut_from_bytes(first).map_err(|_| Mismatch)?;
        Ok((first, <[U]>::mut_from_bytes(second).map_err(|_| Mismatch)?, inputs))
    }

    /// Three outputs, and the inputs beside them.
    #[expect(clippy::type_complexity, reason = "a slice per output, which callers take apart")]
    #[inline]
    pub fn outputs3<T: Element, U: Element, V: Element>(
        &mut self,
        first: Place,
        second: Place,
        third: Place,
    ) -> Result<(&mut [T], &mut [U], &mut [V], Inputs<'_, MAX_GAPS>), Mismatch> {
        if !O::include(T::DTYPE) {
            return Err(Mismatch);
        }
        let places = [first, second, third].map(|place| place.at(self.iteration));
        let ([first, second, third], inputs) = self.take(&places)?;
        Ok((
            <[T]>::mut_from_bytes(first).map_err(|_| Mismatch)?,
            <[U]>::mut_from_bytes(second).map_err(|_| Mismatch)?,
            <[V]>::mut_from_bytes(third).map_err(|_| Mismatch)?,
            inputs,
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
        let mut arenas = Arenas::of([bytes]);
        let mut memory = Memory::beside(&constants, &mut arenas);
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
            let mut arenas = Arenas::of([&mut *bytes]);
            let mut memory = Memory::of(&mut arenas);
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
        let mut arenas = Arenas::of([bytes]);
        let mut memory = Memory::of(&mut arenas);
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
    fn outputs_and_inputs_are_found_in_every_arena_and_none_reaches_into_the_next() {
        let (mut tcm, mut sram, mut psram) =
            (Arena::<16>::new(), Arena::<24>::new(), Arena::<32>::new());
        tcm.as_mut_slice().fill(1);
        sram.as_mut_slice().fill(2);
        psram.as_mut_slice().fill(3);
        // They begin at 0, 16 and 48.
        let mut arenas =
            Arenas::of([tcm.as_mut_slice(), sram.as_mut_slice(), psram.as_mut_slice()]);
        let mut memory = Memory::of(&mut arenas);
        let places = [arena(52, 4), arena(0, 8), arena(20, 4)];
        let (a, b, c, inputs) =
            memory.outputs3::<u8, u8, u8>(places[0], places[1], places[2]).unwrap();
        assert_eq!((a, b, c), (&mut [3; 4][..], &mut [1; 8][..], &mut [2; 4][..]));
        for (place, value) in
            [(arena(8, 8), 1), (arena(16, 4), 2), (arena(24, 16), 2), (arena(56, 24), 3)]
        {
            assert!(inputs.get::<u8>(place).unwrap().iter().all(|&byte| byte == value));
        }
        for outside in [arena(8, 9), arena(39, 2), arena(40, 8), arena(47, 1), arena(79, 2)] {
            assert_eq!(inputs.get::<u8>(outside), Err(Mismatch), "{outside:?}");
            assert!(memory_of_three(outside).is_err(), "{outside:?}");
        }
    }

    fn memory_of_three(output: Place) -> Result<(), Mismatch> {
        let (mut tcm, mut sram, mut psram) =
            (Arena::<16>::new(), Arena::<24>::new(), Arena::<32>::new());
        let mut arenas =
            Arenas::of([tcm.as_mut_slice(), sram.as_mut_slice(), psram.as_mut_slice()]);
        let mut memory = Memory::of(&mut arenas);
        memory.output::<u8>(output).map(drop)
    }

    #[test]
    fn overlapping_or_outside_places_are_refused() {
        let mut backing = Arena::<32>::new();
        let mut arenas = Arenas::of([backing.as_mut_slice()]);
        let mut memory = Memory::of(&mut arenas);
        assert!(memory.outputs2::<i8, i8>(arena(0, 8), arena(7, 8)).is_err());
        assert!(memory.output::<i8>(arena(30, 3)).is_err());
        assert!(memory.output::<i32>(arena(2, 4)).is_err());
        assert!(memory.output::<i8>(arena(usize::MAX, 2)).is_err());
    }
}
