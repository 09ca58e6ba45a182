//! A dense tensor seen along one axis: what it holds outside, along and inside of it.

use crate::Mismatch;

/// A shape split at an axis: `[outer, len, inner]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Axis {
    /// Product of the dimensions outside the axis.
    pub outer: usize,
    /// The axis.
    pub len: usize,
    /// Product of the dimensions inside the axis.
    pub inner: usize,
}

impl Axis {
    /// Elements of the whole tensor.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] where that overflows.
    pub(crate) fn elements(&self) -> Result<usize, Mismatch> {
        self.outer.checked_mul(self.inner).and_then(|n| n.checked_mul(self.len)).ok_or(Mismatch)
    }

    /// Elements of one block: the axis and all inside of it, which is one `outer` index. Not 0, so
    /// that it can be a chunk's length.
    pub(crate) fn block(&self) -> usize {
        self.len.saturating_mul(self.inner).max(1)
    }
}
