//! What RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR share.
//!
//! Operands: input NHWC; output NHWC of the same type, batches, channels, scale and zero point.

use systole_kernels::resize::Resize;

use super::window::nhwc;
use crate::{OperatorError, Record, TensorInfo, format::params};

/// Pixels along an axis: places are computed in 32 bits, ten of them behind the point.
const MAX_SIDE: usize = i32::MAX as usize >> 11;

params! {
    /// Parameters of resizing operators.
    pub struct Params {
        /// 1 where the corner pixels of input and output are at the same place.
        pub align_corners: u8,
        /// 1 where a pixel's place is its centre.
        pub half_pixel_centers: u8,
        /// 1 where int8 is interpolated as uint8 is in TFLite: models that were uint8. Only of
        /// RESIZE_BILINEAR, otherwise 0.
        pub unsigned: u8,
    }
}

/// Checks operands and shapes.
pub(super) fn decode<'m>(
    record: &Record<'m>,
) -> Result<(TensorInfo<'m>, TensorInfo<'m>, Resize, bool), OperatorError> {
    record.expect_operands(1, 1)?;
    let params: Params = record.params();
    let x = record.input(0)?;
    let y = record.output(0)?.expect_type(x.stored_dtype(), 1)?;
    let (input, output) = (nhwc(&x, 0)?, nhwc(&y, 1)?);
    let [batches, height, width, channels] = output;
    if batches != input[0] || channels != input[3] || height.max(width) > MAX_SIDE {
        return Err(OperatorError::Shape(1));
    }
    if input[1].max(input[2]) > MAX_SIDE {
        return Err(OperatorError::Shape(0));
    }
    let flag = |value: u8, field: u8| match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(OperatorError::Parameter(field)),
    };
    let resize = Resize {
        input,
        output: [height, width],
        align_corners: flag(params.align_corners, 0)?,
        half_pixel_centers: flag(params.half_pixel_centers, 1)?,
    };
    Ok((x, y, resize, flag(params.unsigned, 2)?))
}
