//! Converts trained ONNX and TFLite models to `.systole` files, and quantizes float ones.
//!
//! ```no_run
//! # fn main() -> Result<(), systole_converter::Error> {
//! use systole_converter::{Options, convert_file};
//!
//! let converted = convert_file("model.onnx".as_ref(), &Options::default())?;
//! print!("{}", converted.report);
//! # Ok(()) }
//! ```
//!
//! The stages, each in a module: `onnx` and [`tflite`] import a [`graph`], [`passes`] simplify it, [`lower`]
//! computes every number that a kernel needs, [`arena`] and [`planner`] give tensors their places,
//! [`mod@write`] lays the file out. [`convert`] runs them all. In between, [`mod@calibrate`] and
//! [`mod@quantize`] make integers of float models. Without the feature `onnx`, on by default, TFLite models
//! alone are read.
#![forbid(unsafe_code)]

pub mod apart;
pub mod arena;
pub mod arena_map;
pub mod bands;
pub mod calibrate;
pub mod compare;
pub mod compile;
mod convert;
pub mod edgetpu;
pub mod emit;
pub mod error;
mod evaluate;
pub mod graph;
pub mod lower;
pub mod macs;
pub mod memories;
pub mod metric;
pub mod npz;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod ops;
mod options;
pub mod order;
pub mod passes;
pub mod planner;
pub mod predict;
pub mod quantize;
pub mod report;
pub mod run;
pub mod scale;
pub mod table16;
pub mod tflite;
pub mod write;

pub use convert::{
    Converted, Source, convert, convert_file, convert_source, import_file, load_file,
};
pub use error::{Class, Error, Result};
pub use memories::ChipMemory;
pub use options::{Match, Memory, Names, Options};
pub use report::Report;
pub use systole_core::AlignedBytes;
