//! The runtime of Systole: reads `.systole` files in place, checks them once and executes them.
//!
//! Users depend on the crate `systole`, which re-exports everything here; this crate is apart so that
//! the converter and the macro `include_model!` can use it too.
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

#[cfg(any(feature = "emit", feature = "std"))]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod aligned;
#[cfg(any(feature = "emit", feature = "std"))]
mod aligned_bytes;
mod call;
#[doc(hidden)]
pub mod compiled;
mod compiled_memory;
mod delegate;
mod dtype;
#[cfg(feature = "emit")]
pub mod emit;
mod error;
pub mod format;
#[cfg(feature = "defmt")]
mod log;
mod memory;
mod model;
mod operators;
pub mod ops;
#[cfg(feature = "std")]
mod pack;
mod port;
mod record;
mod residents;
mod session;
mod tensor;
mod validate;
mod weights;

pub use aligned::{Aligned, Arena};
#[cfg(any(feature = "emit", feature = "std"))]
pub use aligned_bytes::AlignedBytes;
pub use delegate::{Delegate, DelegateError, Delegated};
pub use dtype::{DType, Element};
pub use error::{
    LoadError, OperatorError, PortError, RunError, RunFailure, SessionError, TensorError,
    TensorRecordError, WeightsError,
};
pub use format::MAX_ARENAS;
pub use model::{Model, Operator, TensorInfo};
pub use operators::Operators;
#[doc(hidden)]
pub use operators::Row;
pub use ops::Opcode;
#[cfg(feature = "std")]
pub use pack::{pack, pack_for, pack_pairs};
pub use port::{Port, Quantization};
pub use record::Record;
pub use session::Session;
pub use systole_kernels::{MAX_RANK, Shape};
pub use tensor::{Tensor, TensorMut};
pub use weights::{WeightSource, Weights, WeightsRoom};
