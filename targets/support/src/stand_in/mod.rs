//! Peripherals that are not there: they implement the traits that a board's own drivers do, so that
//! the applications run in QEMU. On a board, put its driver in their place.

mod accelerometer;
mod flash;
mod pwm;
mod serial;

pub use accelerometer::Accelerometer;
pub use flash::{Flash, FlashMemory};
pub use pwm::Pwm;
pub use serial::Serial;
