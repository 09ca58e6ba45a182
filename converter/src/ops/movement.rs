//! What operators that only move elements share.

use systole_core::MAX_RANK;

use crate::{
    error::{Result, bail, error},
    graph::{NodeView, Tensor, TensorId, check_shape},
    tflite::Importer,
};

/// Fails unless input 0 and output 0 are of one type, any type. Stored values are moved as they
/// are, whatever they are quantized with, as TFLite does.
///
/// # Errors
/// `UnsupportedFeature`.
pub(super) fn same_type<'g>(node: &NodeView<'g>) -> Result<&'g Tensor> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    if x.dtype != y.dtype || x.unsigned != y.unsigned {
        bail!(UnsupportedFeature, "{x} and {y} must be of one type");
    }
    Ok(x)
}

/// Numbers, one per axis, as records hold them.
///
/// # Errors
/// `UnsupportedFeature` for numbers that do not fit.
pub(super) fn per_axis<T, U>(numbers: &[T]) -> Result<[U; MAX_RANK]>
where
    T: Copy + std::fmt::Debug,
    U: TryFrom<T> + Default + Copy,
{
    let mut array = [U::default(); MAX_RANK];
    if numbers.len() > MAX_RANK {
        bail!(UnsupportedFeature, "{} axes; at most {MAX_RANK} are supported", numbers.len());
    }
    for (to, &from) in array.iter_mut().zip(numbers) {
        *to = U::try_from(from)
            .map_err(|_| error!(UnsupportedFeature, "{numbers:?} do not fit a record"))?;
    }
    Ok(array)
}

/// An intermediate tensor of an operator that becomes several nodes: of the type and quantization of
/// `model`, in another shape.
///
/// # Errors
/// Those of [`check_shape`].
pub(super) fn intermediate(
    importer: &mut Importer,
    model: TensorId,
    shape: Vec<usize>,
) -> Result<TensorId> {
    let tensor = importer.tensor(model);
    check_shape(&shape, tensor.dtype)?;
    let tensor = Tensor { data: None, shape, ..tensor.clone() };
    Ok(importer.add_tensor(tensor))
}

/// The integers of a constant input that is a list of sizes: none of them negative.
///
/// # Errors
/// `UnsupportedFeature` where the input is no constant, `InvalidShape` for negative numbers.
pub(super) fn sizes(importer: &Importer, input: usize) -> Result<Vec<usize>> {
    let tensor = importer.input(input)?;
    let size = |size: i64| {
        usize::try_from(size).map_err(|_| error!(InvalidShape, "{tensor} holds {size}, a negative"))
    };
    tensor.integers()?.into_iter().map(size).collect()
}

/// The pairs `[before, after]` of a constant input of shape `[axes, 2]`.
///
/// # Errors
/// As [`sizes`], and `InvalidShape` for another shape.
pub(super) fn pairs(importer: &Importer, input: usize, axes: usize) -> Result<Vec<[usize; 2]>> {
    let tensor = importer.input(input)?;
    if tensor.shape != [axes, 2] {
        bail!(InvalidShape, "{tensor} must have two numbers for each of {axes} axes");
    }
    Ok(sizes(importer, input)?.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect())
}

/// A constant input of one integer.
///
/// # Errors
/// `UnsupportedFeature` where it is no constant, `InvalidShape` where it is none or several.
pub(super) fn integer(importer: &Importer, input: usize) -> Result<i64> {
    let tensor = importer.input(input)?;
    match tensor.integers()?[..] {
        [value] => Ok(value),
        _ => bail!(InvalidShape, "{tensor} must hold one number"),
    }
}
