//! Runs neural networks from a `.systole` file: no_std, no heap, no panics, the same bytes
//! everywhere.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let bytes: &[u8] = &[]; let features = [0_i8; 490];
//! use systole::{Arena, Model, Session};
//!
//! let model = Model::from_bytes(bytes)?; // read in place, validated once
//! let mut arena = Arena::<20_000>::new(); // or any 16-byte aligned &mut [u8]
//! let mut session = Session::new(&model, arena.as_mut_slice())?;
//! session.input(0)?.copy_from(&features)?;
//! session.run()?;
//! let scores = session.output(0)?.as_slice::<i8>()?;
//! # Ok(()) }
//! ```
//!
//! Or the file is read while compiling, and becomes a type of its own:
//!
//! ```ignore
//! systole::include_model!(pub Kws, "models/kws.systole");
//!
//! static KWS: StaticCell<Kws> = StaticCell::new();
//! let kws = KWS.init(Kws::new()); // the arena is inside
//! let scores: &[i8; 12] = kws.run(&features);
//! ```
//!
//! The file comes from the converter, `systole convert`. Everything that can be decided offline is
//! decided there; the runtime checks the file once ([`Model::from_bytes`]) and executes it.
//!
//! # Features
//!
//! - `macros` (default): [`include_model!`].
//! - `defmt`: `defmt::Format` for all public types. Errors are enums without strings, and nothing is
//!   formatted on the device unless it is logged.
//! - `std`: for hosts, which have a heap and a processor that is known only when the program runs: its
//!   fastest kernels, `pack`, which arranges weights for them, and operators that are decoded once.
//! - `embedded-storage`, `embedded-hal`: [`WeightSource`]s for weights in flash that cannot be mapped, over
//!   the traits of these crates.
//! - `tflite`: [`include_model!`] takes `.tflite` files too, and converts them.
//!
//! The code is in `systole-core`, so that the converter and the macro, which this crate re-exports,
//! can use it too.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "embedded-storage", feature = "embedded-hal"))]
mod flash;

#[cfg(any(feature = "embedded-storage", feature = "embedded-hal"))]
pub use flash::*;
pub use systole_core::*;
#[cfg(feature = "macros")]
pub use systole_macros::include_model;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
