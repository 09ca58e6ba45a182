//! What operators with a sliding window share: strides, dilations and explicit padding.

use tract_tflite::tflite::Padding;

use crate::error::{Result, bail};

/// A window's way over rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Rows and columns from one tap to the next.
    pub dilation: [usize; 2],
    /// Rows added at the top and the bottom, columns at the left and the right.
    pub padding: Padding2d,
}

/// Padding of images, in rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Padding2d {
    /// Rows at the top and the bottom.
    pub rows: [usize; 2],
    /// Columns at the left and the right.
    pub columns: [usize; 2],
}

impl Window {
    /// The window that TFLite states: strides and dilations as signed numbers, padding by scheme.
    ///
    /// # Errors
    /// `InvalidShape` for strides or dilations below 1 and for kernels that do not fit.
    pub fn from_tflite(
        stride: [i32; 2],
        dilation: [i32; 2],
        padding: Padding,
        input: [usize; 2],
        kernel: [usize; 2],
    ) -> Result<Self> {
        let stride = at_least_one(stride, "strides")?;
        let dilation = at_least_one(dilation, "dilations")?;
        at_least_one(kernel.map(|size| size as i32), "the window's sizes")?;
        let both = |axis: usize| match padding {
            Padding::SAME => {
                let wanted = input[axis].div_ceil(stride[axis]);
                let span = (kernel[axis] - 1) * dilation[axis] + 1;
                let total = ((wanted - 1) * stride[axis] + span).saturating_sub(input[axis]);
                [total / 2, total - total / 2]
            }
            _ => [0, 0],
        };
        if padding != Padding::SAME && padding != Padding::VALID {
            bail!(UnsupportedFeature, "padding scheme {}; SAME and VALID are known", padding.0);
        }
        Ok(Self { stride, dilation, padding: Padding2d { rows: both(0), columns: both(1) } })
    }

    /// Height and width of the output.
    ///
    /// # Errors
    /// `InvalidShape` where the window is larger than the padded input.
    pub fn output(&self, input: [usize; 2], kernel: [usize; 2]) -> Result<[usize; 2]> {
        let size = |axis: usize, [before, after]: [usize; 2]| {
            let padded = input[axis] + before + after;
            let span = (kernel[axis] - 1).saturating_mul(self.dilation[axis]).saturating_add(1);
            match padded.checked_sub(span) {
                Some(room) => Ok(room / self.stride[axis] + 1),
                None => bail!(
                    InvalidShape,
                    "a window of {span} does not fit an input of {padded} along axis {}",
                    axis + 1
                ),
            }
        };
        Ok([size(0, self.padding.rows)?, size(1, self.padding.columns)?])
    }

    /// The parameters as records hold them: stride, dilation, padding at the top and the left.
    ///
    /// # Errors
    /// `UnsupportedFeature` for numbers above 65535.
    pub fn record(&self) -> Result<([u16; 2], [u16; 2], [u16; 2])> {
        let before = [self.padding.rows[0], self.padding.columns[0]];
        Ok((small(self.stride)?, small(self.dilation)?, small(before)?))
    }
}

fn at_least_one(numbers: [i32; 2], what: &str) -> Result<[usize; 2]> {
    match numbers.map(usize::try_from) {
        [Ok(rows @ 1..), Ok(columns @ 1..)] => Ok([rows, columns]),
        _ => bail!(InvalidShape, "{what} are {numbers:?}; they must be at least 1"),
    }
}

/// Numbers that a record holds in 16 bits.
pub(super) fn small(numbers: [usize; 2]) -> Result<[u16; 2]> {
    match numbers.map(u16::try_from) {
        [Ok(rows), Ok(columns)] => Ok([rows, columns]),
        _ => bail!(UnsupportedFeature, "{numbers:?} do not fit 16 bits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_gives_the_input_over_the_stride_with_the_odd_row_below() {
        let window = Window::from_tflite([2, 2], [1, 1], Padding::SAME, [49, 10], [10, 4]).unwrap();
        assert_eq!(window.padding.rows, [4, 5]);
        assert_eq!(window.padding.columns, [1, 1]);
        assert_eq!(window.output([49, 10], [10, 4]).unwrap(), [25, 5]);
    }

    #[test]
    fn windows_that_cannot_be_are_refused() {
        assert!(Window::from_tflite([0, 1], [1, 1], Padding::VALID, [4, 4], [2, 2]).is_err());
        assert!(Window::from_tflite([1, 1], [1, -2], Padding::VALID, [4, 4], [2, 2]).is_err());
        assert!(Window::from_tflite([1, 1], [1, 1], Padding::SAME, [4, 4], [0, 2]).is_err());
        let valid = Window::from_tflite([1, 1], [3, 1], Padding::VALID, [4, 4], [3, 2]).unwrap();
        assert!(valid.output([4, 4], [3, 2]).is_err());
    }
}
