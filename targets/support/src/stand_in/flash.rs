//! Flash in RAM.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_write,
};
use systole::Aligned;
use systole_apps::update::MappedFlash;

/// The memory of a [`Flash`], for a static.
pub type FlashMemory = Aligned<[u8; Flash::BYTES]>;

/// Behaves like NOR flash: erasing sets bits, writing clears them.
pub struct Flash(&'static mut FlashMemory);

impl Flash {
    /// Two slots of 4 KB.
    pub const BYTES: usize = 8192;
    /// Flash as it comes from the factory, or rather random: 0.
    pub const MEMORY: FlashMemory = Aligned([0; Self::BYTES]);

    /// The flash in this memory.
    pub const fn new(memory: &'static mut FlashMemory) -> Self {
        Self(memory)
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let place = self.0.0.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
        for (to, from) in bytes.iter_mut().zip(place.ok_or(NorFlashErrorKind::OutOfBounds)?) {
            *to = *from;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        Self::BYTES
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 1024;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        let place = self.0.0.get_mut(from as usize..to as usize);
        place.ok_or(NorFlashErrorKind::OutOfBounds)?.fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let place = self.0.0.get_mut(offset as usize..).unwrap_or_default();
        for (to, from) in place.iter_mut().zip(bytes) {
            *to &= from;
        }
        Ok(())
    }
}

impl MappedFlash for Flash {
    fn bytes(&self) -> &[u8] {
        &self.0.0
    }
}
