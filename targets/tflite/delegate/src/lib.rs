//! Systole as an external delegate of TFLite: an application that uses TFLite or LiteRT loads
//! `libsystole_delegate.so`, and its models run on Systole's kernels, with the results of TFLite's
//! reference kernels.
//!
//! ```python
//! from ai_edge_litert.interpreter import Interpreter, load_delegate
//! delegate = load_delegate("libsystole_delegate.so", {"verbosity": 1})
//! interpreter = Interpreter("model.tflite", experimental_delegates=[delegate])
//! ```
//!
//! The delegate claims every operator that the converter accepts (`claim`). What TFLite then gives
//! it, parts of the graph as large as possible, becomes a `.tflite` model again (`encode`), which
//! goes the way of every model: import, passes, memory plan, `.systole` file, packed weights
//! (`part`). There is no second importer, and a part computes what the converted model would.
//!
//! TFLite calls through C structures (`host`, `operator`). No panic of ours crosses over to it:
//! every callback catches them (`guard`).

mod claim;
mod encode;
mod guard;
mod host;
mod kernel;
mod operator;
mod options;
mod part;
mod plugin;
mod runner;
#[cfg(test)]
mod tests;

pub use plugin::{tflite_plugin_create_delegate, tflite_plugin_destroy_delegate};
