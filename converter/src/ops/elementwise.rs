//! What elementwise operators share: broadcasting of shapes, and which tensors count as quantized.

use systole_core::DType;

use crate::{
    error::{Result, bail},
    graph::{NodeView, Tensor},
};

/// The shape that two shapes broadcast to.
///
/// # Errors
/// `InvalidShape` where two dimensions differ and neither is 1.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |shape: &[usize], axis: usize| {
        (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis])
    };
    (0..rank)
        .map(|axis| match (dim(a, axis), dim(b, axis)) {
            (1, other) | (other, 1) => Ok(other),
            (first, second) if first == second => Ok(first),
            _ => bail!(InvalidShape, "shapes {a:?} and {b:?} do not broadcast to a common one"),
        })
        .collect()
}

/// Whether a tensor's values stand for others: int8 and int16 with a scale.
pub(super) fn is_quantized(tensor: &Tensor) -> bool {
    matches!(tensor.dtype, DType::I8 | DType::I16) && tensor.quantization.is_some()
}

/// Fails unless the first two inputs, of one of `types`, have one type; returns them.
///
/// # Errors
/// `UnsupportedFeature`.
pub(super) fn expect_pair<'g>(
    node: &NodeView<'g>,
    types: &[DType],
) -> Result<(&'g Tensor, &'g Tensor)> {
    let (a, b) = (node.expect_types(0, types)?, node.input(1)?);
    if a.dtype != b.dtype {
        bail!(UnsupportedFeature, "{a} and {b} must be of one type");
    }
    Ok((a, b))
}

/// Fails unless the output is of type `dtype`.
///
/// # Errors
/// `UnsupportedFeature`.
pub(super) fn expect_output(node: &NodeView<'_>, dtype: DType) -> Result<()> {
    let y = node.output(0)?;
    if y.dtype != dtype {
        bail!(UnsupportedFeature, "{y} must be {dtype} here");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_from_the_last_dimension() {
        assert_eq!(broadcast(&[2, 3, 4], &[3, 1]).unwrap(), [2, 3, 4]);
        assert_eq!(broadcast(&[], &[5]).unwrap(), [5]);
        assert!(broadcast(&[2, 3], &[2]).is_err());
    }
}
