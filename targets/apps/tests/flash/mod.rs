//! A flash chip whose power can be cut at any write of a word and any erase of a page.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_write,
};
use systole::Aligned;
use systole_apps::update::MappedFlash;

/// Bytes of the flash.
pub const BYTES: usize = 8192;

/// Power was lost, or the flash was used against its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed(NorFlashErrorKind);

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        self.0
    }
}

impl From<NorFlashErrorKind> for Failed {
    fn from(kind: NorFlashErrorKind) -> Self {
        Self(kind)
    }
}

/// What the word or page that was being changed holds when power is lost: NOR flash promises
/// nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Torn {
    /// What it held before.
    Old,
    /// What it should have held.
    New,
    /// The first half of the new, the second half of the old.
    Half,
    /// Noise.
    Noise,
}

impl Torn {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Old, Self::New, Self::Half, Self::Noise];
}

/// Writes words of `W` bytes, erases pages of `E`.
#[derive(Clone)]
pub struct Flash<const W: usize, const E: usize> {
    bytes: Box<Aligned<[u8; BYTES]>>,
    /// Whether a word was written since its page was erased.
    written: Vec<bool>,
    /// Words and pages that can still be changed before power is lost.
    power: usize,
    /// What power leaves behind.
    torn: Torn,
    /// Words and pages that were changed.
    pub changes: usize,
    noise: u32,
}

impl<const W: usize, const E: usize> Flash<W, E> {
    /// Erased flash with all the power it needs.
    pub fn new() -> Self {
        Self {
            bytes: Box::new(Aligned([0xFF; BYTES])),
            written: vec![false; BYTES / W],
            power: usize::MAX,
            torn: Torn::Old,
            changes: 0,
            noise: 12345,
        }
    }

    /// The same flash, whose power ends after so many changes.
    pub fn powered(self, power: usize, torn: Torn) -> Self {
        Self { power, torn, ..self }
    }

    /// The same flash after a restart.
    pub fn restarted(&self) -> Self {
        Self { power: usize::MAX, changes: 0, ..self.clone() }
    }

    /// Inverts a bit, as ageing does.
    pub fn flip(&mut self, bit: usize) {
        self.bytes.0[bit / 8] ^= 1 << (bit % 8);
    }

    /// Sets a word or page to `new`, or to what is left of it.
    fn change(&mut self, at: usize, new: &[u8]) -> Result<(), Failed> {
        let lost = self.power == 0;
        let place = &mut self.bytes.0[at..at + new.len()];
        match if lost { self.torn } else { Torn::New } {
            Torn::Old => (),
            Torn::New => place.copy_from_slice(new),
            Torn::Half => place[..new.len() / 2].copy_from_slice(&new[..new.len() / 2]),
            Torn::Noise => place.fill_with(|| {
                self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (self.noise >> 24) as u8
            }),
        }
        if lost {
            // Nothing works from here on, also if power is lost twice.
            self.torn = Torn::Old;
            return Err(Failed(NorFlashErrorKind::Other));
        }
        (self.power, self.changes) = (self.power - 1, self.changes + 1);
        Ok(())
    }
}

impl<const W: usize, const E: usize> ErrorType for Flash<W, E> {
    type Error = Failed;
}

impl<const W: usize, const E: usize> ReadNorFlash for Flash<W, E> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failed> {
        let offset = offset as usize;
        bytes.copy_from_slice(&self.bytes.0[offset..offset + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        BYTES
    }
}

impl<const W: usize, const E: usize> NorFlash for Flash<W, E> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = E;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Failed> {
        check_erase(self, from, to)?;
        for at in (from as usize..to as usize).step_by(E) {
            self.change(at, &[0xFF; E])?;
            self.written[at / W..(at + E) / W].fill(false);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failed> {
        check_write(self, offset, bytes.len())?;
        for (word, at) in bytes.chunks(W).zip((offset as usize..).step_by(W)) {
            assert!(!self.written[at / W], "the word at {at} was written twice");
            self.written[at / W] = true;
            self.change(at, word)?;
        }
        Ok(())
    }
}

impl<const W: usize, const E: usize> MappedFlash for Flash<W, E> {
    fn bytes(&self) -> &[u8] {
        &self.bytes.0
    }
}
