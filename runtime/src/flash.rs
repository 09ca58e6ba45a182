//! Flash chips that weights are read from: `systole convert --weights-apart` writes what to put there.

use systole_core::WeightSource;

/// Weights in NOR flash of a driver for `embedded-storage`: on the chip, in XIP-less QSPI, behind a bus.
#[cfg(feature = "embedded-storage")]
#[derive(Debug)]
pub struct NorFlashWeights<F> {
    flash: F,
    base: u32,
}

#[cfg(feature = "embedded-storage")]
impl<F> NorFlashWeights<F> {
    /// Weights that begin at `base` in `flash`, a multiple of what it reads at once.
    pub const fn new(flash: F, base: u32) -> Self {
        Self { flash, base }
    }

    /// The flash.
    pub fn release(self) -> F {
        self.flash
    }
}

/// Flash that reads 1, 2, 4, 8 or 16 bytes at once; any other is an error of the compiler.
#[cfg(feature = "embedded-storage")]
impl<F: embedded_storage::nor_flash::ReadNorFlash> WeightSource for NorFlashWeights<F> {
    type Error = F::Error;

    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), Self::Error> {
        const { assert!(16_usize.is_multiple_of(F::READ_SIZE), "weights are read in 16 bytes") };
        // The flash refuses what lies behind its end.
        self.flash.read(self.base.saturating_add(offset), into)
    }
}

/// Weights in any storage that is read byte by byte, of a driver for `embedded-storage`.
#[cfg(feature = "embedded-storage")]
#[derive(Debug)]
pub struct StorageWeights<F> {
    storage: F,
    base: u32,
}

#[cfg(feature = "embedded-storage")]
impl<F> StorageWeights<F> {
    /// Weights that begin at `base` in `storage`.
    pub const fn new(storage: F, base: u32) -> Self {
        Self { storage, base }
    }

    /// The storage.
    pub fn release(self) -> F {
        self.storage
    }
}

#[cfg(feature = "embedded-storage")]
impl<F: embedded_storage::ReadStorage<Error: core::fmt::Debug>> WeightSource for StorageWeights<F> {
    type Error = F::Error;

    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), Self::Error> {
        self.storage.read(self.base.saturating_add(offset), into)
    }
}

/// Weights in SPI NOR flash, read over a bus of `embedded-hal` with the command that all such chips have
/// (03h, three bytes of address: the first 16 MB; up to 20 to 50 MHz, as the chip says).
#[cfg(feature = "embedded-hal")]
#[derive(Debug)]
pub struct SpiFlashWeights<D> {
    device: D,
    base: u32,
    capacity: u32,
}

/// Why weights could not be read from SPI flash.
#[cfg(feature = "embedded-hal")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SpiFlashError<E> {
    /// They would end behind the chip's end, where a chip goes on from its start.
    OutOfBounds,
    /// The bus failed.
    Bus(E),
}

#[cfg(feature = "embedded-hal")]
impl<D> SpiFlashWeights<D> {
    /// Weights that begin at `base` in a chip of `capacity` bytes. The device is a bus with its chip select
    /// line, in SPI mode 0 or 3; the chip is awake and not writing.
    pub const fn new(device: D, base: u32, capacity: u32) -> Self {
        Self { device, base, capacity }
    }

    /// The bus.
    pub fn release(self) -> D {
        self.device
    }
}

#[cfg(feature = "embedded-hal")]
impl<D: embedded_hal::spi::SpiDevice> WeightSource for SpiFlashWeights<D> {
    type Error = SpiFlashError<D::Error>;

    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), Self::Error> {
        use embedded_hal::spi::Operation;
        const READ: u8 = 0x03;
        const ADDRESSES: u32 = 1 << 24;
        let start = self.base.saturating_add(offset);
        let end = u64::from(start) + into.len() as u64;
        if end > self.capacity.min(ADDRESSES).into() {
            return Err(SpiFlashError::OutOfBounds);
        }
        let [_, high, middle, low] = start.to_be_bytes();
        let command = [READ, high, middle, low];
        let mut operations = [Operation::Write(&command), Operation::Read(into)];
        self.device.transaction(&mut operations).map_err(SpiFlashError::Bus)
    }
}
