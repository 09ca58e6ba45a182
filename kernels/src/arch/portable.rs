//! What compilers turn into vectors: a product at a time.

/// The inner loops of convolution and fully connected.
pub(crate) mod dot {
    /// [`crate::dot::dot_i8`].
    #[inline(always)]
    pub(crate) fn dot_i8(acc: [i32; 2], x: &[i8], w: [&[i8]; 2]) -> [i32; 2] {
        crate::dot::dot_i8(acc, x, w)
    }

    /// [`crate::dot::dots_i8`], not inlined: every rounding of every operator shares this code.
    #[inline(never)]
    pub(crate) fn dots_i8(acc: [[i32; 2]; 2], x: [&[i8]; 2], w: [&[i8]; 2]) -> [[i32; 2]; 2] {
        crate::dot::dots_i8(acc, x, w)
    }
}
