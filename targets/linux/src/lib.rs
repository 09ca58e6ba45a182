//! Models on hosts in a few lines, wherever they run best: on an accelerator where there is one and
//! the model is for it, else on Systole's kernels, else on TFLite's.
//!
//! ```no_run
//! # fn main() -> Result<(), systole_engine::Error> {
//! use systole_engine::Engine;
//!
//! let mut engine = Engine::load("model.tflite")?;
//! engine.input(0)?.quantize_from(&[0.5; 64])?;
//! engine.run()?;
//! let scores = engine.output(0)?.dequantize()?;
//! println!("{}", engine.report());
//! # Ok(()) }
//! ```
//!
//! Takes `.systole` files, `.tflite` models, compiled for the Edge TPU or not, and `.onnx` models.
//! [`Options`] names libraries and devices, and forces a [`Backend`]; [`Report`] says what runs where,
//! and why not elsewhere. TFLite and the libraries of accelerators are looked for when a model is
//! loaded: the same program works where there are none.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic))]

mod backend;
mod engine;
mod error;
mod model;
mod options;
mod pipeline;
mod pool;
mod port;
mod report;
mod worker;

pub use engine::{Engine, Key};
pub use error::{Error, Result};
pub use options::{Backend, EdgeTpuDevice, Options, VendorDelegate};
pub use pipeline::{Pipeline, Stage, segments};
pub use pool::Pool;
pub use port::{Input, Output, Port};
pub use report::{Part, Place, Rejected, Report};
pub use systole_core::{DType, Element};
pub use systole_tflite::{Abi, DeviceChoice, DeviceKind, EdgeTpuOptions, Performance};
pub use worker::{Ticket, Values};
