//! Where a sliding window meets the image: shared by convolution, depthwise convolution, pooling.
//!
//! Tap `k` of output position `o` reads input position `o × stride + k × dilation − pad`. Taps
//! before the image and behind it form a prefix and a suffix of the kernel, so that each output
//! position has one range of taps that are inside.

use core::ops::Range;

/// How a kernel moves over the image. Padding at the bottom and on the right follows from the
/// output's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Window {
    /// Rows from one output row to the next, at least 1.
    pub stride_h: usize,
    /// Columns from one output column to the next, at least 1.
    pub stride_w: usize,
    /// Rows from one tap to the next, at least 1.
    pub dilation_h: usize,
    /// Columns from one tap to the next, at least 1.
    pub dilation_w: usize,
    /// Rows of padding above the image.
    pub pad_top: usize,
    /// Columns of padding on its left.
    pub pad_left: usize,
}

impl Window {
    /// A window that does not move over padding: stride 1, dilation 1, no padding.
    pub const UNIT: Self =
        Self { stride_h: 1, stride_w: 1, dilation_h: 1, dilation_w: 1, pad_top: 0, pad_left: 0 };

    /// The taps of a kernel of `kernel` rows that output row `y` has inside an image of `height`.
    #[inline(always)]
    pub fn rows(&self, y: usize, kernel: usize, height: usize) -> Taps {
        Taps::new(y.wrapping_mul(self.stride_h), self.pad_top, self.dilation_h, kernel, height)
    }

    /// The taps of a kernel of `kernel` columns that output column `x` has inside an image of
    /// `width`.
    #[inline(always)]
    pub fn columns(&self, x: usize, kernel: usize, width: usize) -> Taps {
        Taps::new(x.wrapping_mul(self.stride_w), self.pad_left, self.dilation_w, kernel, width)
    }
}

/// The taps along one axis that lie inside the image for one output position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taps {
    /// Indices of the taps inside; empty where the whole kernel lies outside.
    pub inside: Range<usize>,
    /// Input position of the first tap inside, 0 where there is none.
    pub first: usize,
}

impl Taps {
    /// Taps `0..kernel` at `start + k × dilation − pad`, cut to positions `0..size`.
    #[inline(always)]
    fn new(start: usize, pad: usize, dilation: usize, kernel: usize, size: usize) -> Self {
        let dilation = dilation.max(1);
        // Positions are compared with the padding added, so that nothing is negative.
        let begin = ceil_div(pad.saturating_sub(start), dilation).min(kernel);
        let end = ceil_div(size.saturating_add(pad).saturating_sub(start), dilation).min(kernel);
        if begin >= end {
            return Self { inside: begin..begin, first: 0 };
        }
        let first = start.wrapping_add(begin.wrapping_mul(dilation)).wrapping_sub(pad);
        Self { inside: begin..end, first }
    }

    /// Whether all of `kernel` taps are inside.
    #[inline(always)]
    pub fn all(&self, kernel: usize) -> bool {
        self.inside.start == 0 && self.inside.end == kernel
    }
}

/// `a / b` rounded up; most windows have no dilation and are spared the division.
#[inline(always)]
fn ceil_div(a: usize, b: usize) -> usize {
    if b == 1 { a } else { a.checked_div(b).map_or(0, |q| q + usize::from(q.wrapping_mul(b) != a)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn taps_inside_are_those_whose_position_is(
            y in 0_usize..9, stride_h in 1_usize..4, dilation_h in 1_usize..4,
            pad_top in 0_usize..7, kernel in 1_usize..6, height in 1_usize..9,
        ) {
            let window = Window { stride_h, dilation_h, pad_top, ..Window::UNIT };
            let taps = window.rows(y, kernel, height);
            let position = |k: usize| (y * stride_h + k * dilation_h) as isize - pad_top as isize;
            for k in 0..kernel {
                let inside = (0..height as isize).contains(&position(k));
                prop_assert_eq!(taps.inside.contains(&k), inside, "tap {}", k);
            }
            if !taps.inside.is_empty() {
                prop_assert_eq!(taps.first as isize, position(taps.inside.start));
            } else {
                prop_assert_eq!(taps.first, 0);
            }
        }

        #[test]
        fn hostile_windows_do_not_panic(y: usize, s: usize, d: usize, p: usize, k: usize, h: usize) {
            let window = Window { stride_w: s, dilation_w: d, pad_left: p, ..Window::UNIT };
            let taps = window.columns(y, k, h);
            prop_assert!(taps.inside.end <= k);
        }
    }
}
