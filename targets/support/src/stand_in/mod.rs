//! Peripherals that are not there: they implement the traits that a board's own drivers do, so that
//! the applications run in QEMU. On a board, put its driver in their place.

mod pwm;

pub use pwm::Pwm;
