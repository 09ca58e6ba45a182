//! SPLIT, SPLIT_V and UNPACK: a slice per output.

use tract_tflite::tflite;

use super::{
    Op,
    movement::{integer, intermediate},
    reduce::normalized_axis,
    reshape::Reshape,
    strided_slice::{Steps, StridedSlice},
};
use crate::{
    error::{Result, bail, error},
    graph::TensorId,
    tflite::Importer,
};

/// Reads SPLIT from TFLite: outputs of one size.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let (axis, x) = (integer(importer, 0)?, importer.input_id(1)?);
    let shape = &importer.tensor(x).shape;
    let axis = normalized_axis(axis, shape.len())?;
    let count = importer.outputs().len();
    if count == 0 || !shape[axis].is_multiple_of(count) {
        bail!(InvalidShape, "axis {axis} of {} cannot be split by {count}", importer.tensor(x));
    }
    split(importer, x, axis, &vec![shape[axis] / count; count])
}

/// Reads SPLIT_V from TFLite: outputs of stated sizes, of which one may be −1, what is left.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_v(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let x = importer.input_id(0)?;
    let (stated, axis) = (importer.input(1)?.integers()?, integer(importer, 2)?);
    let shape = &importer.tensor(x).shape;
    let axis = normalized_axis(axis, shape.len())?;
    let known = stated.iter().filter(|&&size| size != -1);
    let left = known.fold(shape[axis] as i64, |left, &size| left.saturating_sub(size));
    let sizes = stated.iter().map(|&size| if size == -1 { left } else { size });
    let sizes = sizes.map(|size| usize::try_from(size).ok().filter(|&size| size > 0));
    match sizes.collect::<Option<Vec<usize>>>() {
        Some(sizes) if sum(&sizes) == shape[axis] => split(importer, x, axis, &sizes),
        _ => bail!(
            InvalidShape,
            "sizes {stated:?} do not make up axis {axis} of {}",
            importer.tensor(x)
        ),
    }
}

/// Reads UNPACK from TFLite: an output per index of an axis, without the axis.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_unpack(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_unpack_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    let x = importer.input_id(0)?;
    let shape = importer.tensor(x).shape.clone();
    let axis = normalized_axis(options.axis().into(), shape.len())?;
    let outputs = importer.outputs().to_vec();
    if outputs.len() != shape[axis] {
        bail!(InvalidShape, "{} outputs for axis {axis} of {}", outputs.len(), importer.tensor(x));
    }
    for (index, output) in outputs.into_iter().enumerate() {
        let mut slice = shape.clone();
        slice[axis] = 1;
        let slice = intermediate(importer, x, slice)?;
        take(importer, x, axis, Steps::range(index, 1), slice)?;
        if importer.infers_shapes() {
            let mut without = shape.clone();
            without.remove(axis);
            importer.set_shape(output, without)?;
        }
        importer.add_node(Op::Reshape(Reshape), vec![Some(slice)], vec![output])?;
    }
    Ok(())
}

/// A sum of numbers that a file may state.
fn sum(sizes: &[usize]) -> usize {
    sizes.iter().fold(0, |sum, &size| sum.saturating_add(size))
}

fn split(importer: &mut Importer, x: TensorId, axis: usize, sizes: &[usize]) -> Result<()> {
    let outputs = importer.outputs().to_vec();
    if outputs.len() != sizes.len() {
        bail!(InvalidGraph, "{} outputs, {} sizes", outputs.len(), sizes.len());
    }
    let mut begin = 0;
    for (output, size) in outputs.into_iter().zip(sizes.iter().copied()) {
        take(importer, x, axis, Steps::range(begin, size), output)?;
        begin += size;
    }
    Ok(())
}

/// Adds the slice of `x` that `y` is: `steps` along `axis`, whole along the others.
fn take(
    importer: &mut Importer,
    x: TensorId,
    axis: usize,
    steps: Steps,
    y: TensorId,
) -> Result<()> {
    let mut axes: Vec<Steps> =
        importer.tensor(x).shape.iter().map(|&dim| Steps::all(dim)).collect();
    axes[axis] = steps;
    importer.add_node(Op::StridedSlice(StridedSlice { axes }), vec![Some(x)], vec![y])
}
