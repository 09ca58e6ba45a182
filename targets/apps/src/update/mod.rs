//! Models that are replaced in the field: received over a serial port, checked, and used from the
//! next start on. Until the last write the old one stays what runs, whatever happens.
//!
//! The flash holds two slots. A slot begins with a header, 256 bytes of which 20 are used, and the
//! file follows. An update erases the slot that is not in use, stores the file, checks it where it
//! lies, and writes the header last. At the start the slot with the newer valid header, whose file
//! is valid too, wins.

mod header;
mod limits;

use embedded_io::Read;
use embedded_storage::nor_flash::NorFlash;
use systole::{
    LoadError, Model,
    format::{self, Header as FileHeader},
};

use header::{HEADER_BYTES, Header};
pub use limits::{Limits, Refused};

/// Bytes that are received and written at once: a multiple of every flash's write size.
const CHUNK: usize = 256;

/// Flash that can be read like memory, as that of most microcontrollers, and that has two slots.
pub trait MappedFlash: NorFlash {
    /// All of it, at an address that is a multiple of 16.
    fn bytes(&self) -> &[u8];
}

/// Why an update was not stored. The model in use is still the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error<F, R> {
    /// The serial port failed.
    Receive(R),
    /// The sender stopped before the length that the file states.
    Truncated,
    /// What was sent does not begin like a model.
    NotAModel,
    /// The file is larger than a slot.
    TooLarge {
        /// Its bytes.
        bytes: u32,
        /// Those that there are.
        slot: u32,
    },
    /// The flash failed.
    Flash(F),
    /// The file is damaged, or of a version that this runtime does not read.
    Invalid(LoadError),
    /// The file is valid, but not for this board.
    Refused(Refused),
    /// The flash does not hold what was written to it.
    NotStored,
}

/// A slot that can be used.
#[derive(Debug, Clone, Copy)]
pub struct Active<'f> {
    /// 0 or 1.
    pub slot: usize,
    /// Grows by one with every update.
    pub sequence: u32,
    /// What it holds.
    pub model: Model<'f>,
}

/// Two slots for models.
#[derive(Debug)]
pub struct Slots<F> {
    flash: F,
    slot_bytes: u32,
    limits: Limits,
}

impl<F: MappedFlash> Slots<F> {
    /// Two slots of half the flash each. `None` where its sizes do not allow that: writes of at most
    /// 256 bytes, and halves of whole 256 bytes that can be erased alone.
    pub fn new(flash: F, limits: Limits) -> Option<Self> {
        let slot = flash.capacity() / 2;
        let writes = F::WRITE_SIZE > 0 && CHUNK.is_multiple_of(F::WRITE_SIZE);
        let chunks = slot > HEADER_BYTES && slot.is_multiple_of(CHUNK);
        let erases = slot.is_multiple_of(F::ERASE_SIZE);
        let slot_bytes = u32::try_from(slot).ok()?;
        (writes && chunks && erases).then_some(Self { flash, slot_bytes, limits })
    }

    /// The model to use: the newest valid one.
    pub fn active(&self) -> Option<Active<'_>> {
        match [self.header(0), self.header(1)] {
            [Some(a), Some(b)] if b.newer_than(&a) => self.load(1, b).or_else(|| self.load(0, a)),
            [Some(a), Some(b)] => self.load(0, a).or_else(|| self.load(1, b)),
            [Some(a), None] => self.load(0, a),
            [None, Some(b)] => self.load(1, b),
            [None, None] => None,
        }
    }

    /// Receives a model and stores it in the slot that is not in use. After `Ok` it is the one to
    /// use: restart, or ask for [`Slots::active`].
    ///
    /// # Errors
    /// [`Error`] says why the old model is still in use.
    pub fn receive<R: Read>(&mut self, from: &mut R) -> Result<(), Error<F::Error, R::Error>> {
        let (slot, sequence) = self.next();
        let length = self.store(from, slot)?;
        let header = Header { sequence, length };
        let model = Model::with_operators(self.file(slot, header), self.limits.operators)
            .map_err(Error::Invalid)?;
        self.limits.check(&model).map_err(Error::Refused)?;
        // From here on the new model is the one.
        self.write_header(slot, header).map_err(Error::Flash)?;
        match self.active() {
            Some(active) if active.slot == slot => Ok(()),
            _ => Err(Error::NotStored),
        }
    }

    /// Receives a file into a slot, without the slot's header, and says how long it is. Not inlined,
    /// so that the buffer is not on the stack while a model is checked.
    #[inline(never)]
    fn store<R: Read>(
        &mut self,
        from: &mut R,
        to: usize,
    ) -> Result<u32, Error<F::Error, R::Error>> {
        let mut chunk = [0xFF; CHUNK];
        // The file says how long it is.
        let (start, rest) = chunk.split_at_mut(format::HEADER_BYTES);
        fill(from, start)?;
        let length = match FileHeader::read(start) {
            Some(file) if start.starts_with(&format::MAGIC) => file.file_bytes,
            _ => return Err(Error::NotAModel),
        };
        let slot = self.slot_bytes - HEADER_BYTES as u32;
        if length > slot {
            return Err(Error::TooLarge { bytes: length, slot });
        }
        let more = (length as usize).saturating_sub(format::HEADER_BYTES);
        let first = more.min(rest.len());
        fill(from, rest.get_mut(..first).unwrap_or_default())?;

        self.erase(to, length).map_err(Error::Flash)?;
        let mut left = more - first;
        let mut at = self.start(to) + HEADER_BYTES as u32;
        loop {
            self.flash.write(at, &chunk).map_err(Error::Flash)?;
            if left == 0 {
                break;
            }
            at += CHUNK as u32;
            chunk = [0xFF; CHUNK];
            let now = left.min(CHUNK);
            fill(from, chunk.get_mut(..now).unwrap_or_default())?;
            left -= now;
        }
        Ok(length)
    }

    #[inline(never)]
    fn write_header(&mut self, slot: usize, header: Header) -> Result<(), F::Error> {
        let bytes = header.to_bytes();
        let whole = 32_usize.next_multiple_of(F::WRITE_SIZE);
        self.flash.write(self.start(slot), bytes.get(..whole).unwrap_or_default())
    }

    /// The flash, for other uses.
    pub fn release(self) -> F {
        self.flash
    }

    /// The slot that an update goes to, and its sequence number.
    fn next(&self) -> (usize, u32) {
        self.active().map_or((0, 1), |old| (1 - old.slot, old.sequence.wrapping_add(1)))
    }

    /// Erases as much of a slot as a file of this length takes, its header first.
    fn erase(&mut self, slot: usize, length: u32) -> Result<(), F::Error> {
        let page = F::ERASE_SIZE as u32;
        let start = self.start(slot);
        // A whole chunk is written for the file's last bytes.
        let bytes = HEADER_BYTES as u32 + length.next_multiple_of(CHUNK as u32);
        let end = start + bytes.min(self.slot_bytes);
        let mut at = start;
        while at < end {
            self.flash.erase(at, at + page)?;
            at += page;
        }
        Ok(())
    }

    /// Where a slot begins in the flash.
    fn start(&self, slot: usize) -> u32 {
        if slot == 0 { 0 } else { self.slot_bytes }
    }

    fn header(&self, slot: usize) -> Option<Header> {
        let start = self.start(slot) as usize;
        Header::read(self.flash.bytes().get(start..)?)
    }

    /// The bytes that the header speaks of; none where they lie outside of the slot.
    fn file(&self, slot: usize, header: Header) -> &[u8] {
        let start = self.start(slot) as usize;
        let slot = self.flash.bytes().get(start..start + self.slot_bytes as usize);
        let file = slot.and_then(|slot| slot.get(HEADER_BYTES..));
        file.and_then(|file| file.get(..header.length as usize)).unwrap_or_default()
    }

    fn load(&self, slot: usize, header: Header) -> Option<Active<'_>> {
        let model = Model::with_operators(self.file(slot, header), self.limits.operators).ok()?;
        self.limits.check(&model).ok()?;
        Some(Active { slot, sequence: header.sequence, model })
    }
}

/// Fills `bytes`; serial ports give what they have.
fn fill<F, R: Read>(from: &mut R, mut bytes: &mut [u8]) -> Result<(), Error<F, R::Error>> {
    while !bytes.is_empty() {
        let count = from.read(bytes).map_err(Error::Receive)?;
        if count == 0 {
            return Err(Error::Truncated);
        }
        bytes = bytes.get_mut(count..).unwrap_or_default();
    }
    Ok(())
}
