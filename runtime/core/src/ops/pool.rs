//! What the pooling operators share: their parameters and the checks of their windows.
//!
//! Operands: input NHWC; output NHWC with the same batches, channels, scale and zero point.

use systole_kernels::pool::{ActivationRange, Pool2d};

use super::window::nhwc;
use crate::{OperatorError, Record, TensorInfo, format::params};

params! {
    /// Parameters of pooling operators.
    pub struct Params {
        /// Height and width from one window to the next, at least 1.
        pub stride: [u16; 2],
        /// Height and width of the window, at least 1.
        pub kernel: [u16; 2],
        /// Rows and columns of padding at the top and the left.
        pub padding: [u16; 2],
        /// How means are rounded: 0 half away from zero, 1 half up. Only of AVERAGE_POOL_2D on
        /// integers, otherwise 0.
        pub half_up: u8,
        /// Smallest output value of integers.
        pub activation_min: i32,
        /// Largest output value of integers.
        pub activation_max: i32,
        /// Smallest output value of floats.
        pub real_min: f32,
        /// Largest output value of floats.
        pub real_max: f32,
    }
}

/// Every output element looks at its window, as far as that lies inside the input.
pub(super) fn work(record: &Record<'_>) -> u64 {
    let [rows, columns] = record.params::<Params>().kernel.map(u64::from);
    let (height, width) = (record.dims(0, 1..2), record.dims(0, 2..3));
    record.elements_and_steps(rows.min(height).saturating_mul(columns.min(width)))
}

/// A pooling operator whose shapes and windows have been checked.
pub(super) struct Pooling<'m> {
    pub(super) params: Params,
    pub(super) x: TensorInfo<'m>,
    pub(super) y: TensorInfo<'m>,
    pub(super) pool: Pool2d,
}

impl<'m> Pooling<'m> {
    /// Checks operands, shapes and parameters. Input and output have one type; which ones the
    /// operator takes is for the caller to say.
    pub(super) fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let x = record.input(0)?;
        let y = record.output(0)?.expect_type(x.stored_dtype(), 1)?;
        let (input, output) = (nhwc(&x, 0)?, nhwc(&y, 1)?);
        if input[0] != output[0] || input[3] != output[3] {
            return Err(OperatorError::Shape(1));
        }
        let [stride_h, stride_w] = params.stride.map(usize::from);
        let [kernel_h, kernel_w] = params.kernel.map(usize::from);
        if stride_h == 0 || stride_w == 0 {
            return Err(OperatorError::Parameter(0));
        }
        if kernel_h == 0 || kernel_w == 0 {
            return Err(OperatorError::Parameter(1));
        }
        let [pad_top, pad_left] = params.padding.map(usize::from);
        if pad_top >= kernel_h || pad_left >= kernel_w {
            return Err(OperatorError::Parameter(2));
        }
        // Every window has a tap: the first by the padding, the last by where it starts.
        let reaches = |last: usize, stride: usize, end: usize| {
            last.checked_mul(stride).is_some_and(|start| start < end)
        };
        if !reaches(output[1] - 1, stride_h, input[1].saturating_add(pad_top))
            || !reaches(output[2] - 1, stride_w, input[2].saturating_add(pad_left))
        {
            return Err(OperatorError::Shape(1));
        }
        let kernel = [kernel_h, kernel_w];
        let pool = Pool2d { input, output, kernel, stride_h, stride_w, pad_top, pad_left };
        Ok(Self { params, x, y, pool })
    }

    /// The fused activation of an integer type that reaches from `min` to `max`.
    pub(super) fn range<T: TryFrom<i32>>(&self) -> Result<ActivationRange<T>, OperatorError> {
        let convert =
            |value: i32, field| T::try_from(value).map_err(|_| OperatorError::Parameter(field));
        Ok(ActivationRange {
            min: convert(self.params.activation_min, 4)?,
            max: convert(self.params.activation_max, 5)?,
        })
    }

    /// The fused activation of floats.
    pub(super) fn real_range(&self) -> ActivationRange<f32> {
        ActivationRange { min: self.params.real_min, max: self.params.real_max }
    }

    /// The error for a type that the operator does not take.
    pub(super) fn refuse(&self) -> OperatorError {
        OperatorError::Type { operand: 0, found: self.x.stored_dtype() }
    }
}
