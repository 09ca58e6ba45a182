//! What operators along one axis share.

use systole_kernels::axis::Axis;

use crate::{OperatorError, TensorInfo};

/// The input's shape split at an axis, which is parameter 0.
pub(super) fn axis(x: &TensorInfo<'_>, axis: u8) -> Result<Axis, OperatorError> {
    let (shape, axis) = (x.shape(), usize::from(axis));
    let [len, rest @ ..] = shape.dims().get(axis..).unwrap_or_default() else {
        return Err(OperatorError::Parameter(0));
    };
    let product = |dims: &[u32]| {
        let product = dims.iter().try_fold(1_usize, |all, &dim| all.checked_mul(dim as usize));
        product.ok_or(OperatorError::Shape(0))
    };
    let outer = product(shape.dims().get(..axis).unwrap_or_default())?;
    Ok(Axis { outer, len: *len as usize, inner: product(rest)? })
}
