//! The one error of kernels.

/// The buffers handed to a kernel do not have the lengths that its parameters state.
///
/// The runtime validates a model before it runs it, so a caller that went through validation never
/// sees this. It exists so that no kernel needs a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mismatch;

impl core::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a buffer's length does not fit the operator's shapes")
    }
}

impl core::error::Error for Mismatch {}
