//! TFLite's interpreter and its delegates, found at run time: accelerators used when they are there.
//!
//! Vendors ship accelerators as TFLite delegates. This crate is a small safe layer over TFLite's C
//! API and the two ways in which delegates are loaded, as plugins and, for the Edge TPU, by the
//! functions of `libedgetpu`. Nothing of TFLite is needed to build it; without the library,
//! [`Library::load`] says what was looked for.
//!
//! ```no_run
//! # fn main() -> Result<(), systole_tflite::Error> {
//! use systole_tflite::{Interpreter, Library, Model, Options};
//!
//! let library = Library::load(None)?;
//! let model = Model::from_file(&library, "model.tflite".as_ref())?;
//! let mut interpreter = Interpreter::new(&model, Options::default())?;
//! interpreter.input_mut(0)?.copy_from(&[1.0f32, 2.0])?;
//! interpreter.invoke()?;
//! let scores: Vec<f32> = interpreter.output(0)?.to_vec()?;
//! # Ok(()) }
//! ```
//!
//! Who calls this trusts the libraries that are loaded: they run in the process. Models need not be
//! trusted more than TFLite's own checks of them are.

mod api;
mod delegate;
mod edgetpu;
mod error;
mod interpreter;
mod library;
#[cfg(feature = "tflitec")]
pub mod linked;
mod log;
mod model;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod shim;
mod signature;
pub mod sys;
mod tensor;

pub use delegate::{Abi, Delegate};
pub use edgetpu::{Device, DeviceChoice, DeviceKind, EdgeTpu, EdgeTpuOptions, Performance};
pub use error::{Error, Failure, LoadError, Result, Tried};
pub use interpreter::{Interpreter, Options};
pub use library::{LIBRARY_PATH, Library};
pub use model::Model;
pub use signature::Signature;
pub use tensor::{ChannelQuantization, Element, ElementType, Quantization, Tensor, TensorMut};
