//! What operators with a sliding window share: shapes and their checks.

use systole_kernels::window::Window;

use crate::{OperatorError, TensorInfo};

/// The four dimensions of an NHWC tensor; `operand` is what the error names.
pub(crate) fn nhwc(info: &TensorInfo<'_>, operand: usize) -> Result<[usize; 4], OperatorError> {
    match *info.shape().dims() {
        [n, h, w, c] if info.len() > 0 => Ok([n as usize, h as usize, w as usize, c as usize]),
        _ => Err(OperatorError::Shape(operand as u8)),
    }
}

/// The geometry that a parameter record states, with strides and dilations of at least 1.
pub(crate) fn window(
    stride: [u16; 2],
    dilation: [u16; 2],
    padding: [u16; 2],
) -> Result<Window, OperatorError> {
    for (field, value) in stride.into_iter().chain(dilation).enumerate() {
        if value == 0 {
            return Err(OperatorError::Parameter(field as u8));
        }
    }
    Ok(Window {
        stride_h: stride[0].into(),
        stride_w: stride[1].into(),
        dilation_h: dilation[0].into(),
        dilation_w: dilation[1].into(),
        pad_top: padding[0].into(),
        pad_left: padding[1].into(),
    })
}
