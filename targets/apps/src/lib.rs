//! What the firmware in `targets/` does, apart from any board: models behind the traits of
//! `embedded-hal` and its relatives. Copy the module that is nearest to your product.
//!
//! | module | from | to |
//! | --- | --- | --- |
//! | [`hello`] | a phase | a PWM output that follows sin(x) |
//! | [`gesture`] | an accelerometer on an I2C bus | the gesture that a hand makes |
//! | [`kws`] | a window of sound features | the keyword and how sure the model is |
//! | [`update`] | a model on a serial port | the model in flash that runs from the next start on |
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable
    )
)]

#[cfg(test)]
extern crate std;

pub mod gesture;
pub mod hello;
pub mod kws;
pub mod update;
