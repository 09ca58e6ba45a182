//! A flash chip behind a bus, simulated: it counts what is read, refuses what is not there, and can fail.

use embedded_hal::spi::{self, Operation, SpiDevice};
use embedded_storage::nor_flash::{NorFlashError, NorFlashErrorKind, ReadNorFlash, check_read};

/// A chip with something in it.
#[derive(Debug, Clone)]
pub struct SpiFlash {
    bytes: Vec<u8>,
    /// How often it was read.
    pub reads: usize,
    /// Bytes that were read.
    pub bytes_read: usize,
    /// The reads that fail, counted from 0 on.
    pub failing: Vec<usize>,
}

/// Why the chip did not give what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// The chip has no such bytes.
    OutOfBounds,
    /// A command that this chip does not know.
    Command,
    /// What is read does not begin or end where words do.
    Misaligned,
    /// One of [`SpiFlash::failing`].
    Asked,
}

impl SpiFlash {
    /// A chip with erased bytes in front of `bytes`, and nothing behind them.
    pub fn new(base: usize, bytes: &[u8]) -> Self {
        let bytes = std::iter::repeat_n(0xFF, base).chain(bytes.iter().copied()).collect();
        Self { bytes, reads: 0, bytes_read: 0, failing: Vec::new() }
    }

    /// Its size in bytes.
    pub fn capacity(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// Changes a byte.
    pub fn damage(&mut self, at: usize) {
        self.bytes[at] ^= 0x10;
    }

    fn give(&mut self, start: usize, into: &mut [u8]) -> Result<(), Failed> {
        let read = self.reads;
        self.reads += 1;
        if self.failing.contains(&read) {
            // Half of what was asked for has arrived.
            let half = into.len() / 2;
            into[..half].fill(0xAA);
            return Err(Failed::Asked);
        }
        let bytes = self.bytes.get(start..).and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(bytes.ok_or(Failed::OutOfBounds)?);
        self.bytes_read += into.len();
        Ok(())
    }
}

impl spi::Error for Failed {
    fn kind(&self) -> spi::ErrorKind {
        spi::ErrorKind::Other
    }
}

impl spi::ErrorType for SpiFlash {
    type Error = Failed;
}

impl SpiDevice for SpiFlash {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), Failed> {
        match operations {
            [Operation::Write([0x03, high, middle, low]), Operation::Read(into)] => {
                let start = u32::from_be_bytes([0, *high, *middle, *low]);
                self.give(start as usize, into)
            }
            _ => Err(Failed::Command),
        }
    }
}

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::Misaligned => NorFlashErrorKind::NotAligned,
            Self::Command | Self::Asked => NorFlashErrorKind::Other,
        }
    }
}

impl embedded_storage::nor_flash::ErrorType for SpiFlash {
    type Error = Failed;
}

impl ReadNorFlash for SpiFlash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failed> {
        match check_read(self, offset, bytes.len()) {
            Err(NorFlashErrorKind::NotAligned) => Err(Failed::Misaligned),
            Err(_) => Err(Failed::OutOfBounds),
            Ok(()) => self.give(offset as usize, bytes),
        }
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}
