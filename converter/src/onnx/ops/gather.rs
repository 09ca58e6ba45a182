//! Gather, GatherND, and Scatter where it is a choice that constants make.

use systole_core::DType;

use super::super::{
    importer::{Importer, NodeOf, axis},
    value::Value,
};
use crate::{
    error::{Result, bail},
    graph::{Tensor, TensorId},
    ops::{Op, binary::Arithmetic, concatenation::Concatenation, gather, gather_nd},
};

impl Importer {
    /// Indices counted from the start, as int32, which the graph's operators take.
    ///
    /// # Errors
    /// `InvalidShape` for constants beyond the axis.
    fn indices(&mut self, value: &Value, dims: &[usize]) -> Result<TensorId> {
        let id = self.stored_plain(value)?;
        let tensor = &self.graph()[id];
        if !tensor.is_constant() {
            // Modulo the axis, indices from the end are counted from the start.
            let indices = self.cast(id, DType::I32)?;
            let dims: Vec<i32> = dims.iter().map(|&dim| dim as i32).collect();
            let shape = if dims.len() == 1 { vec![] } else { vec![dims.len()] };
            let dims = self.constant(shape, &dims);
            return self.binary(Arithmetic::FloorMod, indices, dims);
        }
        let mut indices = tensor.integers()?;
        for (place, index) in indices.iter_mut().enumerate() {
            let dim = dims[place % dims.len().max(1)];
            if *index < 0 {
                *index += dim as i64;
            }
            if !(0..dim as i64).contains(index) {
                bail!(InvalidShape, "index {index} of an axis of {dim}");
            }
        }
        let indices: Vec<i32> = indices.into_iter().map(|index| index as i32).collect();
        let shape = tensor.shape.clone();
        Ok(self.constant(shape, &indices))
    }
}

impl Importer {
    /// Tuples of indices, each behind the indices of its own place along the first axes.
    fn with_batches(
        &mut self,
        indices: TensorId,
        shape: &[usize],
        batch_dims: usize,
    ) -> Result<TensorId> {
        let Some(outer) = shape.split_last().map(|(_, outer)| outer) else {
            bail!(InvalidShape, "indices without axes");
        };
        let Some(batches) = outer.get(..batch_dims) else {
            bail!(InvalidShape, "batch_dims {batch_dims} of indices {shape:?}");
        };
        let count: usize = outer.iter().product();
        self.spend(count * batch_dims)?;
        let mut places = Vec::with_capacity(count * batch_dims);
        for tuple in 0..count {
            let mut span = count;
            let mut rest = tuple;
            for &dim in batches {
                span /= dim;
                places.push((rest / span) as i32);
                rest %= span;
            }
        }
        let axis = outer.len();
        let places = self.constant([outer, &[batch_dims]].concat(), &places);
        let op = Op::Concatenation(Concatenation { axis });
        self.apply(op, &[places, indices], DType::I32)
    }
}

/// Gather.
///
/// # Errors
/// As [`Importer::apply`].
pub fn gather(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let shape = importer.shape(&x);
    let axis = axis(node.attributes.int("axis", 0), shape.len())?;
    let dtype = importer.tensor(&x).dtype;
    let indices = importer.indices(node.input(1)?, &shape[axis..=axis])?;
    let id = importer.stored_plain(&x)?;
    let op = Op::Gather(gather::Gather { axis, batch_dims: 0 });
    let y = importer.apply(op, &[id, indices], dtype)?;
    Ok(vec![Value::plain(importer.graph(), y)])
}

/// GatherND.
///
/// # Errors
/// As [`Importer::apply`].
pub fn gather_nd(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let batch_dims = super::super::size(node.attributes.int("batch_dims", 0), "batch_dims")?;
    let x = node.input(0)?;
    let shape = importer.shape(x);
    let dtype = importer.tensor(x).dtype;
    let tuples = importer.shape(node.input(1)?);
    let depth = tuples.last().copied().unwrap_or(0);
    let named = shape.get(batch_dims..).and_then(|rest| rest.get(..depth));
    let Some(named) = named.filter(|named| !named.is_empty()) else {
        bail!(InvalidShape, "tuples of {depth} for {} axes", shape.len());
    };
    let mut indices = importer.indices(node.input(1)?, named)?;
    if batch_dims > 0 {
        indices = importer.with_batches(indices, &tuples, batch_dims)?;
    }
    let id = importer.stored_plain(x)?;
    let y = importer.apply(Op::GatherNd(gather_nd::GatherNd), &[id, indices], dtype)?;
    Ok(vec![Value::plain(importer.graph(), y)])
}

/// GatherElements with constant indices: a gather of single elements.
///
/// # Errors
/// `UnsupportedFeature` for indices that are no constants.
pub fn gather_elements(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let shape = importer.shape(x);
    let axis = axis(node.attributes.int("axis", 0), shape.len())?;
    let (indices, wanted) = (node.input(1)?, importer.shape(node.input(1)?));
    let along = importer.integers(indices)?;
    if wanted.len() != shape.len() {
        bail!(InvalidShape, "indices of {} axes for {}", wanted.len(), shape.len());
    }
    let mut flat = Vec::with_capacity(along.len());
    for (place, &index) in along.iter().enumerate() {
        let counted = if index < 0 { index + shape[axis] as i64 } else { index };
        flat.push(element(&shape, &wanted, place, axis, counted)?);
    }
    pick(importer, x, &flat, wanted)
}

/// Where in a value of `shape` the element is that is `place` in `wanted`, with another index along
/// one axis.
fn element(
    shape: &[usize],
    wanted: &[usize],
    place: usize,
    along: usize,
    index: i64,
) -> Result<i32> {
    let (mut rest, mut stride, mut at) = (place, 1, 0);
    for axis in (0..shape.len()).rev() {
        let own = rest % wanted[axis];
        rest /= wanted[axis];
        let own = if axis == along { usize::try_from(index).unwrap_or(usize::MAX) } else { own };
        if own >= shape[axis] {
            bail!(InvalidShape, "index {index} of an axis of {}", shape[axis]);
        }
        at += own * stride;
        stride *= shape[axis];
    }
    Ok(at as i32)
}

/// Single elements of a value, by their places.
fn pick(
    importer: &mut Importer,
    x: &Value,
    places: &[i32],
    shape: Vec<usize>,
) -> Result<Vec<Value>> {
    let dtype = importer.tensor(x).dtype;
    let id = importer.stored_plain(x)?;
    let elements = importer.graph()[id].elements();
    let flat = importer.reshape(id, vec![elements])?;
    let places = importer.constant(vec![places.len()], places);
    let op = Op::Gather(gather::Gather { axis: 0, batch_dims: 0 });
    let y = importer.apply(op, &[flat, places], dtype)?;
    let y = importer.reshape(y, shape)?;
    Ok(vec![Value::plain(importer.graph(), y)])
}

/// ScatterElements and ScatterND with constant indices: each element of the result is one of the
/// data or one of the updates, so that it is a gather from both.
fn scattered(
    importer: &mut Importer,
    node: &NodeOf<'_>,
    places: &[(usize, usize)],
) -> Result<Vec<Value>> {
    let reduction = node.attributes.text("reduction", "none")?;
    if reduction != "none" {
        bail!(UnsupportedFeature, "reduction {reduction}; none is supported");
    }
    let (x, updates) = (node.input(0)?, node.input(2)?);
    let shape = importer.shape(x);
    let dtype = importer.tensor(x).dtype;
    let (a, b) = (importer.stored_plain(x)?, importer.stored_plain(updates)?);
    let (count, more) = (importer.graph()[a].elements(), importer.graph()[b].elements());
    importer.spend(count)?;
    let mut sources: Vec<i32> = (0..count as i32).collect();
    for &(to, from) in places {
        match sources.get_mut(to) {
            Some(source) if from < more => *source = (count + from) as i32,
            _ => bail!(InvalidShape, "indices beyond {shape:?}"),
        }
    }
    let a = importer.reshape(a, vec![count])?;
    let b = importer.reshape(b, vec![more])?;
    let op = Op::Concatenation(Concatenation { axis: 0 });
    let both = importer.apply(op, &[a, b], dtype)?;
    let both = Value::plain(importer.graph(), both);
    pick(importer, &both, &sources, shape)
}

/// ScatterElements.
///
/// # Errors
/// `UnsupportedFeature` for indices that are no constants, and for reductions.
pub fn scatter_elements(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let shape = importer.shape(node.input(0)?);
    let axis = axis(node.attributes.int("axis", 0), shape.len())?;
    let wanted = importer.shape(node.input(1)?);
    let indices = importer.integers(node.input(1)?)?;
    if wanted.len() != shape.len() {
        bail!(InvalidShape, "indices of {} axes for {}", wanted.len(), shape.len());
    }
    let mut places = Vec::new();
    for (place, &index) in indices.iter().enumerate() {
        let counted = if index < 0 { index + shape[axis] as i64 } else { index };
        places.push((element(&shape, &wanted, place, axis, counted)? as usize, place));
    }
    scattered(importer, node, &places)
}

/// ScatterND.
///
/// # Errors
/// As [`scatter_elements`].
pub fn scatter_nd(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let shape = importer.shape(node.input(0)?);
    let indices = node.input(1)?;
    let depth = importer.shape(indices).last().copied().unwrap_or(0);
    let tuples = importer.integers(indices)?;
    let (Some(named), Some(inner)) = (shape.get(..depth), shape.get(depth..)) else {
        bail!(InvalidShape, "tuples of {depth} for {} axes", shape.len());
    };
    let inner: usize = inner.iter().product();
    let mut places = Vec::new();
    for (number, tuple) in tuples.chunks_exact(depth.max(1)).enumerate() {
        let mut at = 0;
        for (&index, &dim) in tuple.iter().zip(named) {
            let counted = if index < 0 { index + dim as i64 } else { index };
            match usize::try_from(counted) {
                Ok(counted) if counted < dim => at = at * dim + counted,
                _ => bail!(InvalidShape, "index {index} of an axis of {dim}"),
            }
        }
        places.extend((0..inner).map(|i| (at * inner + i, number * inner + i)));
    }
    scattered(importer, node, &places)
}

/// A matrix of ones at and above, or at and below a diagonal, times the value.
///
/// # Errors
/// As [`Importer::apply`].
pub fn trilu(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let shape = importer.shape(x);
    let k = match node.optional(1) {
        Some(value) => importer.integers(value)?.first().copied().unwrap_or(0),
        None => 0,
    };
    let upper = node.attributes.flag("upper", true);
    let &[.., rows, columns] = &shape[..] else {
        bail!(InvalidShape, "{} is no matrix", importer.tensor(x));
    };
    importer.spend(rows.saturating_mul(columns))?;
    let kept = (0..rows as i64).flat_map(|row| {
        (0..columns as i64).map(
            move |column| {
                if upper { column - row >= k } else { column - row <= k }
            },
        )
    });
    let dtype = importer.tensor(x).dtype;
    let mask: Vec<u8> = kept.map(u8::from).collect();
    let mask =
        Tensor { data: Some(mask.into()), ..Tensor::new("", DType::Bool, vec![rows, columns]) };
    let mask = importer.constant_value(mask)?;
    let zero = importer.number(dtype, 0.0)?;
    let zero = Value::plain(importer.graph(), zero);
    let (tensors, like) = importer.aligned(&[&mask, x, &zero])?;
    let op = Op::Select(crate::ops::select::Select);
    Ok(vec![like.like(importer.apply(op, &tensors, dtype)?)])
}
