//! Reshape, Flatten, Squeeze, Unsqueeze, Transpose, DepthToSpace, SpaceToDepth.

use super::super::{
    importer::{Importer, NodeOf, axis},
    size,
    value::{Value, channels_last},
};
use crate::{
    error::{Result, bail},
    ops::{Op, depth_to_space::DepthToSpace, space_to_depth::SpaceToDepth},
};

/// A value in another shape. An image whose axes behind the first become one stays as it is stored.
fn reshaped(importer: &mut Importer, x: &Value, shape: Vec<usize>) -> Result<Value> {
    let from = x.unflattened_shape(importer.graph());
    let flattened = match from.split_first() {
        Some((&first, rest)) => shape == [first, rest.iter().product()],
        None => false,
    };
    if flattened && !x.is_plain() && x.stored_axis(0) == 0 {
        let constant = importer.tensor(x).is_constant();
        // Where only axes of extent 1 are moved, the order of elements is that of the value.
        let moved: Vec<usize> = x.order.iter().copied().filter(|&axis| from[axis] != 1).collect();
        if !constant && !moved.is_sorted() {
            return Ok(Value { flattened: true, ..x.clone() });
        }
    }
    let id = importer.stored_plain(x)?;
    let id = importer.reshape(id, shape)?;
    Ok(Value::plain(importer.graph(), id))
}

/// Reshape: 0 keeps a dimension, −1 is what remains.
///
/// # Errors
/// `InvalidShape`.
pub fn reshape(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let from = importer.shape(x);
    let wanted = importer.integers(node.input(1)?)?;
    let keep = !node.attributes.flag("allowzero", false);
    let mut shape = Vec::new();
    let mut open = None;
    for (index, &dim) in wanted.iter().enumerate() {
        shape.push(match dim {
            0 if keep => match from.get(index) {
                Some(&dim) => dim,
                None => bail!(InvalidShape, "shape {wanted:?} keeps a dimension that is not there"),
            },
            -1 if open.is_none() => {
                open = Some(index);
                1
            }
            -1 => bail!(InvalidShape, "shape {wanted:?} leaves two dimensions open"),
            _ => size(dim, "a dimension")?,
        });
    }
    if let Some(index) = open {
        let known: usize =
            shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim)).unwrap_or(0);
        let elements: usize = from.iter().product();
        match elements.checked_div(known) {
            Some(rest) if rest * known == elements => shape[index] = rest,
            _ => bail!(InvalidShape, "{elements} elements do not fit the shape {wanted:?}"),
        }
    }
    Ok(vec![reshaped(importer, x, shape)?])
}

/// Flatten to a matrix: axes before the stated one, and the others.
///
/// # Errors
/// `InvalidShape`.
pub fn flatten(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let shape = importer.shape(x);
    let stated = node.attributes.int("axis", 1);
    let at = if stated == shape.len() as i64 { shape.len() } else { axis(stated, shape.len())? };
    let matrix = vec![shape[..at].iter().product(), shape[at..].iter().product()];
    Ok(vec![reshaped(importer, x, matrix)?])
}

/// The axes that an input or, up to operator set 12, an attribute states.
fn axes(importer: &Importer, node: &NodeOf<'_>) -> Result<Option<Vec<i64>>> {
    Ok(match node.optional(1) {
        Some(input) => Some(importer.integers(input)?),
        None => node.attributes.ints("axes").map(<[i64]>::to_vec),
    })
}

/// Squeeze.
///
/// # Errors
/// `InvalidShape`.
pub fn squeeze(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let shape = importer.shape(x);
    let mut removed = match axes(importer, node)? {
        Some(axes) => {
            axes.iter().map(|&stated| axis(stated, shape.len())).collect::<Result<Vec<usize>>>()?
        }
        None => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
    };
    removed.sort_unstable();
    removed.dedup();
    if let Some(&axis) = removed.iter().find(|&&axis| shape[axis] != 1) {
        bail!(InvalidShape, "axis {axis} of {shape:?} is not 1");
    }
    let left = (0..shape.len()).filter(|axis| !removed.contains(axis));
    let to = left.map(|axis| shape[axis]).collect();
    if x.flattened {
        return Ok(vec![reshaped(importer, x, to)?]);
    }
    // The others stay in the order in which they are stored.
    let kept: Vec<usize> = x.order.iter().copied().filter(|axis| !removed.contains(axis)).collect();
    let stored = kept.iter().map(|&axis| shape[axis]).collect();
    let id = importer.reshape(x.id, stored)?;
    let renamed = |axis: usize| axis - removed.iter().filter(|&&less| less < axis).count();
    Ok(vec![Value::ordered(id, kept.into_iter().map(renamed).collect())])
}

/// Unsqueeze.
///
/// # Errors
/// `InvalidShape`.
pub fn unsqueeze(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = importer.unflattened(node.input(0)?)?;
    let stated = axes(importer, node)?.unwrap_or_default();
    let rank = importer.shape(&x).len() + stated.len();
    let mut added =
        stated.iter().map(|&stated| axis(stated, rank)).collect::<Result<Vec<usize>>>()?;
    added.sort_unstable();
    if added.windows(2).any(|pair| pair[0] == pair[1]) {
        bail!(InvalidShape, "axes {stated:?} name one twice");
    }
    // The others stay in the order in which they are stored, whatever their numbers are now; the
    // new ones are put behind the first, where those of images belong.
    let numbers: Vec<usize> = (0..rank).filter(|axis| !added.contains(axis)).collect();
    let mut order: Vec<usize> = x.order.iter().map(|&axis| numbers[axis]).collect();
    let mut stored = importer.tensor(&x).shape.clone();
    let place = order.len().min(1);
    order.splice(place..place, added.iter().copied());
    stored.splice(place..place, added.iter().map(|_| 1));
    let id = importer.reshape(x.id, stored)?;
    Ok(vec![Value::ordered(id, order)])
}

/// Transpose, which moves nothing: it changes the order that is known of the tensor.
///
/// # Errors
/// `InvalidShape`.
pub fn transpose(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let mut x = node.input(0)?.clone();
    if x.flattened {
        let id = importer.stored_plain(&x)?;
        x = Value::plain(importer.graph(), id);
    }
    let rank = importer.shape(&x).len();
    let permutation = match node.attributes.ints("perm") {
        Some(perm) => perm.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<usize>>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = permutation.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<usize>>() {
        bail!(InvalidShape, "perm {permutation:?} is no order of {rank} axes");
    }
    let of = |&axis: &usize| permutation.iter().position(|&from| from == axis).unwrap_or(axis);
    let order = x.order.iter().map(of).collect();
    Ok(vec![Value::ordered(x.id, order)])
}

/// DepthToSpace.
///
/// # Errors
/// `InvalidShape`.
pub fn depth_to_space(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let block = size(node.attributes.int("blocksize", 0), "blocksize")?;
    let [n, c, h, w] = importer.shape(x)[..] else {
        bail!(InvalidShape, "{} must have 4 dimensions", importer.tensor(x));
    };
    let dtype = importer.tensor(x).dtype;
    let area = block.checked_mul(block).filter(|&area| area > 0 && c.is_multiple_of(area));
    let Some(area) = area else {
        bail!(InvalidShape, "{c} channels do not divide into blocks of {block} × {block}");
    };
    let order = channels_last(4);
    let mut id = importer.stored(x, &order)?;
    if node.attributes.text("mode", "DCR")? == "CRD" {
        // Channels [c, area] to [area, c], the order of the other mode.
        let split = importer.reshape(id, vec![n * h * w, c / area, area])?;
        let moved = importer.transpose(split, vec![0, 2, 1])?;
        id = importer.reshape(moved, vec![n, h, w, c])?;
    }
    let y = importer.apply(Op::DepthToSpace(DepthToSpace { block }), &[id], dtype)?;
    Ok(vec![Value::ordered(y, order)])
}

/// SpaceToDepth.
///
/// # Errors
/// `InvalidShape`.
pub fn space_to_depth(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let block = size(node.attributes.int("blocksize", 0), "blocksize")?;
    if importer.shape(x).len() != 4 || block == 0 {
        bail!(InvalidShape, "{} in blocks of {block}", importer.tensor(x));
    }
    let dtype = importer.tensor(x).dtype;
    let order = channels_last(4);
    let id = importer.stored(x, &order)?;
    let y = importer.apply(Op::SpaceToDepth(SpaceToDepth { block }), &[id], dtype)?;
    Ok(vec![Value::ordered(y, order)])
}
