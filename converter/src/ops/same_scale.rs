//! The check of operators that copy or compare stored values.

use crate::{
    error::{Result, bail},
    graph::Tensor,
};

/// Fails unless the two tensors store real numbers alike: the same zero point, and scales no further
/// apart than 10⁻⁶, TFLite's tolerance. Tensors without quantization are alike.
///
/// # Errors
/// `InvalidQuantization`.
pub fn same_scale(x: &Tensor, y: &Tensor) -> Result<()> {
    if x.quantization.is_none() && y.quantization.is_none() {
        return Ok(());
    }
    let (from, to) = (x.scale_and_zero_point()?, y.scale_and_zero_point()?);
    if from.1 != to.1 || (from.0 - to.0).abs() > 1e-6 {
        bail!(
            InvalidQuantization,
            "{x} has scale {} and zero point {}, {y} has {} and {}; this operator needs them equal",
            from.0,
            from.1,
            to.0,
            to.1
        );
    }
    Ok(())
}
