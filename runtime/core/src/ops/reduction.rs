//! What the reducing operators share: which axes disappear.

use systole_kernels::{MAX_RANK, reduction::Reduction};

use crate::{OperatorError, TensorInfo};

/// The reduction of `x` along the axes whose bits are set, which gives as many elements as `y` has.
/// `operand` is what the error names where it does not; the axes are parameter 0.
pub(super) fn reduction(
    x: &TensorInfo<'_>,
    y: &TensorInfo<'_>,
    axes: u8,
    operand: usize,
) -> Result<Reduction, OperatorError> {
    let shape = x.shape();
    if u32::from(axes) >> shape.rank() != 0 {
        return Err(OperatorError::Parameter(0));
    }
    let mut reduction = Reduction { dims: shape.extended(), reduced: [false; MAX_RANK] };
    let ones_in_front = MAX_RANK - shape.rank();
    for (axis, reduced) in reduction.reduced.iter_mut().skip(ones_in_front).enumerate() {
        *reduced = axes >> axis & 1 != 0;
    }
    if reduction.outputs() != Some(y.len()) {
        return Err(OperatorError::Shape(operand as u8));
    }
    Ok(reduction)
}
