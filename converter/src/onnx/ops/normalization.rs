//! Normalizations, composed of reductions and arithmetic.
//!
//! Source of the formulas: ONNX's operator specification.

use systole_core::DType;

use super::super::{
    importer::{Importer, NodeOf, axis},
    value::Value,
};
use crate::{
    error::{Result, bail},
    graph::TensorId,
    ops::{
        Op,
        binary::Arithmetic::{Add, Div, Mul, Sub},
        reduce::{Kind, Reduce},
        unary::Unary,
    },
};

/// BatchNormalization with constants: `x × scale / √(var + ε) + (bias − mean × …)`, a factor and a
/// term per channel, computed here in double precision.
///
/// # Errors
/// `UnsupportedFeature` for training, and for statistics that are no constants.
pub fn batch(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    if node.attributes.flag("training_mode", false) {
        bail!(UnsupportedFeature, "training_mode 1; export the model for inference");
    }
    node.no_output(1, "the running mean")?;
    let x = node.input(0)?;
    let shape = importer.shape(x);
    let Some(&channels) = shape.get(1) else {
        bail!(InvalidShape, "{} has no channels", importer.tensor(x));
    };
    let read = |index: usize| {
        let value = node.input(index)?;
        let values = importer.floats(value)?;
        if values.len() != channels {
            bail!(InvalidShape, "{} is not of {channels} channels", importer.tensor(value));
        }
        importer.expect_finite(value.id)?;
        Ok(values)
    };
    let (scale, bias, mean, variance) = (read(1)?, read(2)?, read(3)?, read(4)?);
    let epsilon = f64::from(node.attributes.float("epsilon", 1e-5));
    if let Some(i) = variance.iter().position(|&v| f64::from(v) + epsilon <= 0.0) {
        bail!(
            InvalidData,
            "{}, the variance, is {} of channel {i}; with epsilon it must be above 0",
            importer.tensor(node.input(4)?),
            variance[i]
        );
    }
    let factor = |i: usize| f64::from(scale[i]) / (f64::from(variance[i]) + epsilon).sqrt();
    let factors: Vec<f32> = (0..channels).map(|i| factor(i) as f32).collect();
    let terms: Vec<f32> = (0..channels)
        .map(|i| (f64::from(bias[i]) - f64::from(mean[i]) * factor(i)) as f32)
        .collect();
    if let Some(i) = factors.iter().chain(&terms).position(|value| !value.is_finite()) {
        bail!(InvalidData, "channel {}: its factor or term is beyond float32", i % channels);
    }
    per_channel(importer, x, &factors, &terms)
}

/// `x × factor + term` per channel.
fn per_channel(
    importer: &mut Importer,
    x: &Value,
    factors: &[f32],
    terms: &[f32],
) -> Result<Vec<Value>> {
    let rank = importer.shape(x).len();
    let mut shape = vec![1; rank];
    shape[1] = factors.len();
    let factors = importer.constant(shape.clone(), factors);
    let terms = importer.constant(shape, terms);
    let [factors, terms] = [factors, terms].map(|id| Value::plain(importer.graph(), id));
    let scaled = importer.binary_values(Mul, x, &factors)?;
    Ok(vec![importer.binary_values(Add, &scaled, &terms)?])
}

/// A tensor less its mean over `axes` of it, and `1 / √(variance + ε)`, the axes kept.
fn centred(
    importer: &mut Importer,
    x: TensorId,
    axes: Vec<usize>,
    epsilon: f64,
) -> Result<[TensorId; 3]> {
    let reduce = |axes: Vec<usize>| Op::Reduce(Reduce { kind: Kind::Mean, axes, keep_dims: true });
    let mean = importer.apply(reduce(axes.clone()), &[x], DType::F32)?;
    let centred = importer.binary(Sub, x, mean)?;
    let squares = importer.unary(Unary::Square, centred)?;
    let variance = importer.apply(reduce(axes), &[squares], DType::F32)?;
    let variance = importer.with_number(Add, variance, epsilon)?;
    let deviation = importer.unary(Unary::Sqrt, variance)?;
    Ok([centred, deviation, mean])
}

/// LayerNormalization over the axes from the stated one on.
///
/// # Errors
/// As [`Importer::apply`].
pub fn layer(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let rank = importer.shape(&x).len();
    let first = axis(node.attributes.int("axis", -1), rank)?;
    let epsilon = f64::from(node.attributes.float("epsilon", 1e-5));
    let mut axes: Vec<usize> = (first..rank).map(|axis| x.stored_axis(axis)).collect();
    axes.sort_unstable();
    let [centred, deviation, mean] = centred(importer, x.id, axes, epsilon)?;
    let mut y = x.like(importer.binary(Div, centred, deviation)?);
    y = importer.binary_values(Mul, &y, node.input(1)?)?;
    if let Some(bias) = node.optional(2) {
        y = importer.binary_values(Add, &y, bias)?;
    }
    let mut results = vec![y];
    if node.outputs.get(1).copied().unwrap_or(false) {
        results.push(x.like(mean));
    }
    if node.outputs.get(2).copied().unwrap_or(false) {
        let one = importer.number(DType::F32, 1.0)?;
        results.push(x.like(importer.binary(Div, one, deviation)?));
    }
    if results.len() < node.outputs.len() {
        bail!(UnsupportedFeature, "the inverse deviation without the mean as an output");
    }
    Ok(results)
}

/// RMSNormalization: as LayerNormalization, with no mean taken off.
///
/// # Errors
/// As [`Importer::apply`].
pub fn rms(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let rank = importer.shape(&x).len();
    let first = axis(node.attributes.int("axis", -1), rank)?;
    let mut axes: Vec<usize> = (first..rank).map(|axis| x.stored_axis(axis)).collect();
    axes.sort_unstable();
    let squares = importer.unary(Unary::Square, x.id)?;
    let op = Op::Reduce(Reduce { kind: Kind::Mean, axes, keep_dims: true });
    let mean = importer.apply(op, &[squares], DType::F32)?;
    let moved = importer.with_number(Add, mean, node.attributes.float("epsilon", 1e-5).into())?;
    let deviation = importer.unary(Unary::Sqrt, moved)?;
    let y = x.like(importer.binary(Div, x.id, deviation)?);
    Ok(vec![importer.binary_values(Mul, &y, node.input(1)?)?])
}

/// Scale and bias per channel, after a normalization over groups of channels of each element of
/// the batch; each group is a row of a matrix.
fn groups(importer: &mut Importer, node: &NodeOf<'_>, groups: usize) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let shape = importer.shape(&x);
    let epsilon = f64::from(node.attributes.float("epsilon", 1e-5));
    let (Some(&batches), Some(&channels)) = (shape.first(), shape.get(1)) else {
        bail!(InvalidShape, "{} has no channels", importer.tensor(&x));
    };
    if groups == 0 || !channels.is_multiple_of(groups) {
        bail!(InvalidShape, "{channels} channels in {groups} groups");
    }
    let y = if groups == channels {
        let mut axes: Vec<usize> = (2..shape.len()).map(|axis| x.stored_axis(axis)).collect();
        axes.sort_unstable();
        let [centred, deviation, _] = centred(importer, x.id, axes, epsilon)?;
        x.like(importer.binary(Div, centred, deviation)?)
    } else {
        let id = importer.stored_plain(&x)?;
        let elements = importer.graph()[id].elements();
        let rows = importer.reshape(id, vec![batches * groups, elements / (batches * groups)])?;
        let [centred, deviation, _] = centred(importer, rows, vec![1], epsilon)?;
        let y = importer.binary(Div, centred, deviation)?;
        let y = importer.reshape(y, shape.clone())?;
        Value::plain(importer.graph(), y)
    };
    let factors = importer.floats(node.input(1)?)?;
    let terms = importer.floats(node.input(2)?)?;
    // Up to operator set 20 there is a factor for each group.
    let spread = |values: Vec<f32>| -> Result<Vec<f32>> {
        match values.len() {
            len if len == channels => Ok(values),
            len if len == groups => Ok(values
                .iter()
                .flat_map(|&value| std::iter::repeat_n(value, channels / groups))
                .collect()),
            len => bail!(InvalidShape, "{len} scales for {channels} channels"),
        }
    };
    per_channel(importer, &y, &spread(factors)?, &spread(terms)?)
}

/// InstanceNormalization.
///
/// # Errors
/// As [`Importer::apply`].
pub fn instance(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let channels = importer.shape(node.input(0)?).get(1).copied().unwrap_or(0);
    groups(importer, node, channels)
}

/// GroupNormalization.
///
/// # Errors
/// As [`Importer::apply`].
pub fn group(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let count = node.attributes.int("num_groups", 0);
    groups(importer, node, super::super::size(count, "num_groups")?)
}

/// MeanVarianceNormalization: `(x − mean) / (deviation + 1e-9)`.
///
/// # Errors
/// As [`Importer::apply`].
pub fn mean_variance(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let rank = importer.shape(&x).len();
    let stated = node.attributes.ints("axes").unwrap_or(&[0, 2, 3]);
    let mut axes = Vec::new();
    for &stated in stated {
        axes.push(x.stored_axis(axis(stated, rank)?));
    }
    axes.sort_unstable();
    let [centred, deviation, _] = centred(importer, x.id, axes, 0.0)?;
    let divisor = importer.with_number(Add, deviation, 1e-9)?;
    Ok(vec![x.like(importer.binary(Div, centred, divisor)?)])
}

/// LpNormalization along an axis, p = 1 or 2.
///
/// # Errors
/// As [`Importer::apply`].
pub fn lp(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let rank = importer.shape(&x).len();
    let along = x.stored_axis(axis(node.attributes.int("axis", -1), rank)?);
    let (function, root) = match node.attributes.int("p", 2) {
        1 => (Unary::Abs, false),
        2 => (Unary::Square, true),
        other => bail!(UnsupportedFeature, "p = {other}; 1 and 2 are supported"),
    };
    let terms = importer.unary(function, x.id)?;
    let op = Op::Reduce(Reduce { kind: Kind::Sum, axes: vec![along], keep_dims: true });
    let mut norm = importer.apply(op, &[terms], DType::F32)?;
    if root {
        norm = importer.unary(Unary::Sqrt, norm)?;
    }
    Ok(vec![x.like(importer.binary(Div, x.id, norm)?)])
}
