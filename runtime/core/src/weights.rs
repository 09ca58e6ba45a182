//! Weights that lie in a memory of their own, which cannot be mapped: a flash chip behind a bus.
//!
//! They are read while the session runs, those of one layer while the layer before is computed. One piece of
//! memory holds both: a layer's weights at its low end, the next one's at its high end, and so on in turns.
//! So it needs room for the largest two that follow each other, [`WeightsRoom::double`]; with less, down to
//! [`WeightsRoom::least`], what does not fit beside the other is read when its turn comes.

use crate::{
    LoadError, Model, Opcode, RunError, WeightsError,
    format::{ALIGNMENT, u32_at},
    memory::Place,
    ops::repeat,
    record::Record,
};
use xxhash_rust::xxh32::Xxh32;

/// Where weights are read from. `systole` has those for NOR flash by `embedded-storage` and for SPI flash by
/// `embedded-hal`; a program may have its own.
pub trait WeightSource {
    /// Why reading failed.
    type Error: core::fmt::Debug;

    /// Reads the `into.len()` bytes from `offset` on, counted from the start of the weights. Both are
    /// multiples of 16.
    ///
    /// # Errors
    /// Where it fails, or where there are no such bytes.
    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), Self::Error>;

    /// Reads as [`WeightSource::read`] does, and calls `work`, which computes a layer. What can read without
    /// the processor, by DMA, begins to read, calls `work`, and waits for the end of both; by default one
    /// happens after the other. The result of `work` is returned whether reading fails or not.
    fn read_beside<T>(
        &mut self,
        offset: u32,
        into: &mut [u8],
        work: impl FnOnce() -> T,
    ) -> (T, Result<(), Self::Error>) {
        let done = work();
        (done, self.read(offset, into))
    }
}

impl<S: WeightSource> WeightSource for &mut S {
    type Error = S::Error;

    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read(offset, into)
    }

    fn read_beside<T>(
        &mut self,
        offset: u32,
        into: &mut [u8],
        work: impl FnOnce() -> T,
    ) -> (T, Result<(), Self::Error>) {
        (**self).read_beside(offset, into, work)
    }
}

/// Memory that weights are read into, in bytes from a multiple of 16 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WeightsRoom {
    /// What a run cannot do without: the largest weights of one operator.
    pub least: usize,
    /// What lets all weights be read while the layer before is computed: the largest two that follow each
    /// other, the last and the first among them.
    pub double: usize,
}

/// Weights of one operator that have been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loaded {
    /// From the start of the weights.
    offset: usize,
    /// A multiple of 16.
    bytes: usize,
}

impl Loaded {
    fn new(place: Place) -> Self {
        // Cannot overflow: all places are in as many bytes as the section says, a multiple of 16.
        Self { offset: place.offset, bytes: rounded(place) }
    }
}

/// The memory that weights are read into, and where from.
///
/// One serves any number of runs, and any model that its source has the weights of. What was read stays
/// there: a model whose weights fit altogether reads them once.
#[derive(Debug)]
pub struct Weights<'b, S> {
    source: S,
    buffer: &'b mut [u8],
    /// What is at the buffer's low end.
    low: Option<Loaded>,
    /// What is at its high end.
    high: Option<Loaded>,
    /// The checksum of the weights that these are of.
    model: u32,
}

impl<'b, S> Weights<'b, S> {
    /// Weights of `source`, to be read into `buffer`: of [`WeightsRoom::least`] bytes at least, from a
    /// multiple of 16 on. Bytes in front of that are not used.
    pub fn new(source: S, buffer: &'b mut [u8]) -> Self {
        let skipped = (buffer.as_ptr() as usize).wrapping_neg() % ALIGNMENT;
        let buffer = buffer.get_mut(skipped..).unwrap_or_default();
        let whole = buffer.len() - buffer.len() % ALIGNMENT;
        let buffer = buffer.get_mut(..whole).unwrap_or_default();
        Self { source, buffer, low: None, high: None, model: 0 }
    }

    /// What the weights are read from. What has been read is forgotten, for it may have changed.
    pub fn source(&mut self) -> &mut S {
        (self.low, self.high) = (None, None);
        &mut self.source
    }

    /// What the weights were read from.
    pub fn into_source(self) -> S {
        self.source
    }

    /// The memory.
    pub(crate) fn room(&self) -> &[u8] {
        self.buffer
    }
}

impl<S: WeightSource> Weights<'_, S> {
    /// Reads all weights once, and checks that they are those of a model's file. To be called when they may
    /// have changed, after an update or at every start; a run does not look.
    ///
    /// # Errors
    /// [`WeightsError::Checksum`] where they are another's or damaged, [`WeightsError::Source`],
    /// [`WeightsError::TooSmall`] where there is no memory to read into.
    pub fn verify(&mut self, model: &Model<'_>) -> Result<(), WeightsError<S::Error>> {
        (self.low, self.high) = (None, None);
        let found = self.buffer.len();
        let (mut sum, mut left, mut offset) = (Xxh32::new(0), model.weights_bytes(), 0_u32);
        while left > 0 {
            let bytes = left.min(found);
            let part = self.buffer.get_mut(..bytes).filter(|part| !part.is_empty());
            let part = part.ok_or(WeightsError::TooSmall { needed: ALIGNMENT, found })?;
            let read = self.source.read(offset, part);
            read.map_err(|error| WeightsError::Source { offset, error })?;
            sum.update(part);
            (left, offset) = (left - bytes, offset.wrapping_add(bytes as u32));
        }
        let (stated, computed) = (model.weights_checksum(), sum.digest());
        match computed == stated || model.weights_bytes() == 0 {
            true => Ok(()),
            false => Err(WeightsError::Checksum { stated, computed }),
        }
    }

    /// Does `work` with the weights `now`, which are read first unless they are there, and meanwhile reads
    /// those `next`, where there is room for both. Where that fails, they are read again when it is their turn.
    pub(crate) fn serve<T>(
        &mut self,
        model: u32,
        now: Option<Place>,
        next: Option<Place>,
        work: impl FnOnce(&[u8]) -> Result<T, RunError>,
    ) -> Result<T, WeightsError<S::Error>> {
        if self.model != model {
            (self.low, self.high, self.model) = (None, None, model);
        }
        let (now, next) = (now.map(Loaded::new), next.map(Loaded::new));
        let here = match now {
            Some(now) => self.have(now)?,
            None => false,
        };
        let known = |at: &Loaded| self.low.as_ref() == Some(at) || self.high.as_ref() == Some(at);
        let occupied = now.map_or(0, |now| now.bytes);
        let room = self.buffer.len() - occupied;
        let next = next.filter(|next| !known(next) && next.bytes <= room);
        // `now` is at the end `here`; what comes next goes to the other one.
        let Some(next) = next else {
            let (from, to) = match here {
                HIGH => (room, self.buffer.len()),
                _ => (0, occupied),
            };
            let weights = self.buffer.get(from..to).unwrap_or_default();
            return work(weights).map_err(WeightsError::Run);
        };
        let (part, weights) = if here == HIGH {
            self.low = Some(next);
            let parts = self.buffer.split_at_mut_checked(room);
            let (below, weights) = parts.unwrap_or_default();
            (below.get_mut(..next.bytes).unwrap_or_default(), weights)
        } else {
            self.high = Some(next);
            // Where nothing is used now, the low end may hold something that reaches into this one.
            self.low = self.low.filter(|low| low.bytes + next.bytes <= self.buffer.len());
            let parts = self.buffer.split_at_mut_checked(self.buffer.len() - next.bytes);
            let (weights, part) = parts.unwrap_or_default();
            (part, weights.get_mut(..occupied).unwrap_or_default())
        };
        let weights = &*weights;
        let (done, read) = self.source.read_beside(next.offset as u32, part, || work(weights));
        if read.is_err() {
            *(if here == HIGH { &mut self.low } else { &mut self.high }) = None;
        }
        done.map_err(WeightsError::Run)
    }

    /// Sees to it that weights are there; whether they are at the high end.
    fn have(&mut self, now: Loaded) -> Result<bool, WeightsError<S::Error>> {
        if self.low == Some(now) {
            return Ok(LOW);
        }
        if self.high == Some(now) {
            return Ok(HIGH);
        }
        let found = self.buffer.len();
        let part = self.buffer.get_mut(..now.bytes);
        let part = part.ok_or(WeightsError::TooSmall { needed: now.bytes, found })?;
        self.low = None;
        self.high = self.high.filter(|high| high.bytes + now.bytes <= found);
        let read = self.source.read(now.offset as u32, part);
        read.map_err(|error| WeightsError::Source { offset: now.offset as u32, error })?;
        self.low = Some(now);
        Ok(LOW)
    }
}

/// The buffer's low end.
const LOW: bool = false;
/// Its high end.
const HIGH: bool = true;

/// Bytes that weights take in the memory that they are read into.
fn rounded(place: Place) -> usize {
    place.bytes.next_multiple_of(ALIGNMENT)
}

impl Model<'_> {
    /// Bytes of the weights that lie apart from the file, a multiple of 16; 0 for a file that has all of its
    /// weights.
    pub fn weights_bytes(&self) -> usize {
        u32_at(self.apart, 0).unwrap_or(0) as usize
    }

    /// The checksum of weights that lie apart: XXH32 with seed 0 of all their bytes.
    pub fn weights_checksum(&self) -> u32 {
        u32_at(self.apart, 4).unwrap_or(0)
    }

    /// Memory that weights are read into which lie apart from the file; 0 for a file that has all of them.
    pub fn weights_room(&self) -> WeightsRoom {
        let mut room = WeightsRoom::default();
        if self.apart.is_empty() {
            return room;
        }
        let mut follow = |one: Option<Place>, other: Place| {
            let other = rounded(other);
            let both = one.map_or(0, rounded).saturating_add(other);
            room.least = room.least.max(other);
            room.double = room.double.max(both);
        };
        let (mut first, mut last) = (None, None);
        // First and last weights of what is repeated, and the operator behind it.
        let (mut body, mut end) = ((None, None), 0);
        for op in 0..self.operator_count() as u16 {
            let Some(record) = Record::new(self, op) else { continue };
            if record.opcode() == Opcode::Repeat as u16 {
                let repeat::Params { body: count, .. } = record.params();
                (body, end) = ((None, None), op.saturating_add(count).saturating_add(1));
            } else if let Some(place) = record.weights_apart() {
                follow(last.filter(|&last| last != place), place);
                (first, last) = (first.or(Some(place)), Some(place));
                if op < end {
                    body = (body.0.or(Some(place)), Some(place));
                }
            }
            if op.checked_add(1) == Some(end)
                && let (Some(first), Some(last)) = body
                && first != last
            {
                follow(Some(last), first);
            }
        }
        if let (Some(first), Some(last)) = (first, last)
            && first != last
        {
            follow(Some(last), first);
        }
        room
    }
}

/// That the section on weights apart is one record, or none, and their length whole blocks.
pub(crate) fn check_section(apart: &[u8]) -> Result<(), LoadError> {
    let whole = u32_at(apart, 0).is_none_or(|bytes| (bytes as usize).is_multiple_of(ALIGNMENT));
    let one = apart.is_empty() || apart.len() == crate::format::APART_BYTES;
    let kind = crate::format::SectionKind::Apart as u16;
    if whole && one { Ok(()) } else { Err(LoadError::Section { kind }) }
}
