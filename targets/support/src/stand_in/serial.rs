//! A serial port.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read};

/// Receives these bytes, a few at a time, and inverts one on the way if asked to.
pub struct Serial {
    left: &'static [u8],
    received: usize,
    damaged: Option<usize>,
}

impl Serial {
    /// A line without noise.
    pub const fn new(bytes: &'static [u8]) -> Self {
        Self { left: bytes, received: 0, damaged: None }
    }

    /// A line that damages the byte `at`.
    pub const fn damaging(self, at: usize) -> Self {
        Self { damaged: Some(at), ..self }
    }
}

impl ErrorType for Serial {
    type Error = Infallible;
}

impl Read for Serial {
    fn read(&mut self, to: &mut [u8]) -> Result<usize, Infallible> {
        // As many as a receiver's buffer holds.
        let mut count = 0;
        for (to, from) in to.iter_mut().zip(self.left).take(16) {
            *to = if self.damaged == Some(self.received) { !from } else { *from };
            self.received += 1;
            count += 1;
        }
        self.left = self.left.get(count..).unwrap_or_default();
        Ok(count)
    }
}
