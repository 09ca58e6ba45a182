//! Pad: constant, reflected, or by the border's elements.

use systole_core::DType;

use super::super::{
    importer::{Importer, NodeOf, axis},
    value::Value,
};
use crate::{
    error::{Result, bail, error},
    ops::{Op, concatenation::Concatenation, mirror_pad::MirrorPad, pad, strided_slice::Steps},
};

/// The most elements that an axis may grow by.
const MAX_PADDING: i64 = 1 << 24;

/// Pad. Negative padding crops.
///
/// # Errors
/// As [`Importer::apply`].
pub fn pad(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let mut x = importer.unflattened(node.input(0)?)?;
    let shape = importer.shape(&x);
    let rank = shape.len();
    let stated = match node.optional(1) {
        Some(input) => importer.integers(input)?,
        None => node
            .attributes
            .ints("pads")
            .map(<[i64]>::to_vec)
            .ok_or_else(|| error!(InvalidGraph, "pads are missing"))?,
    };
    let axes = match node.optional(3) {
        Some(axes) => {
            let axes = importer.integers(axes)?;
            axes.iter().map(|&stated| axis(stated, rank)).collect::<Result<Vec<usize>>>()?
        }
        None => (0..rank).collect(),
    };
    if stated.len() != 2 * axes.len()
        || stated.iter().any(|pad| !(-MAX_PADDING..=MAX_PADDING).contains(pad))
    {
        bail!(InvalidShape, "pads {stated:?} for {} axes", axes.len());
    }
    let mut pairs = vec![[0_i64; 2]; rank];
    for (index, &axis) in axes.iter().enumerate() {
        pairs[axis] = [stated[index], stated[axes.len() + index]];
    }
    if pairs.iter().flatten().any(|&pad| pad < 0) {
        let mut steps = Vec::new();
        for (&dim, pair) in shape.iter().zip(&mut pairs) {
            let [before, behind] = pair.map(|pad| usize::try_from(-pad).unwrap_or(0));
            let Some(count @ 1..) = dim.checked_sub(before + behind) else {
                bail!(InvalidShape, "pads {stated:?} leave nothing of {shape:?}");
            };
            steps.push(Steps::range(before, count));
            *pair = pair.map(|pad| pad.max(0));
        }
        x = importer.sliced(&x, &steps)?;
    }
    let padding: Vec<[usize; 2]> =
        x.order.iter().map(|&axis| pairs[axis].map(|pad| pad as usize)).collect();
    if padding.as_flattened().iter().all(|&pad| pad == 0) {
        return Ok(vec![x]);
    }
    match node.attributes.text("mode", "constant")? {
        "constant" => constant(importer, node, &x, padding),
        "reflect" => {
            let dtype = importer.tensor(&x).dtype;
            let op = Op::MirrorPad(MirrorPad { padding, symmetric: false });
            Ok(vec![x.like(importer.apply(op, &[x.id], dtype)?)])
        }
        "edge" => {
            repeated(importer, x, &padding, |_, dim, before| if before { 0 } else { dim - 1 })
        }
        "wrap" => repeated(importer, x, &padding, |place, dim, before| {
            if before { dim - 1 - place % dim } else { place % dim }
        }),
        other => bail!(UnsupportedFeature, "mode {other} is not known"),
    }
}

fn constant(
    importer: &mut Importer,
    node: &NodeOf<'_>,
    x: &Value,
    padding: Vec<[usize; 2]>,
) -> Result<Vec<Value>> {
    let dtype = importer.tensor(x).dtype;
    let value = match node.optional(2) {
        Some(value) if importer.tensor(value).elements() == 1 => {
            let tensor = importer.tensor(value);
            let moved = importer.tensor(x).unsigned && tensor.dtype == DType::U8;
            let fits = tensor.dtype == dtype || moved;
            let Some(data) = tensor.data.as_deref().filter(|_| fits) else {
                bail!(UnsupportedFeature, "{tensor}, the value, must be a constant {dtype}");
            };
            let mut bytes = [0; 8];
            for (to, &from) in bytes.iter_mut().zip(data) {
                *to = from;
            }
            // Quantized uint8 is stored less 128.
            i64::from_le_bytes(bytes) ^ if moved { 0x80 } else { 0 }
        }
        Some(value) if importer.tensor(value).elements() != 0 => {
            bail!(InvalidShape, "{}, the value, must be one element", importer.tensor(value))
        }
        _ if dtype == DType::F32 => node.attributes.float("value", 0.0).to_bits().into(),
        // The number 0, whatever that stands for.
        _ if importer.tensor(x).unsigned => 0x80,
        _ => 0,
    };
    let quantized = importer.tensor(x).quantization.is_some();
    let op = Op::Pad(pad::Pad { padding, value: (quantized || value != 0).then_some(value) });
    Ok(vec![x.like(importer.apply(op, &[x.id], dtype)?)])
}

/// Pads with elements of the value itself, an axis after the other: `source(place, dim, before)`
/// is the index of the element that is `place` beyond the border, counted from it.
fn repeated(
    importer: &mut Importer,
    x: Value,
    padding: &[[usize; 2]],
    source: impl Fn(usize, usize, bool) -> usize,
) -> Result<Vec<Value>> {
    let dtype = importer.tensor(&x).dtype;
    let mut id = x.id;
    for (axis, &[before, behind]) in padding.iter().enumerate() {
        if before + behind == 0 {
            continue;
        }
        importer.spend(before + behind)?;
        let dim = importer.graph()[id].shape[axis];
        let front = (0..before).rev().map(|place| source(place, dim, true));
        let back = (0..behind).map(|place| source(place, dim, false));
        let mut part = |indices: Vec<usize>| {
            let indices: Vec<i32> = indices.into_iter().map(|index| index as i32).collect();
            let places = importer.constant(vec![indices.len()], &indices);
            let op = Op::Gather(crate::ops::gather::Gather { axis, batch_dims: 0 });
            importer.apply(op, &[id, places], dtype)
        };
        let mut parts = Vec::new();
        if before > 0 {
            parts.push(part(front.collect())?);
        }
        parts.push(id);
        if behind > 0 {
            parts.push(part(back.collect())?);
        }
        id = importer.apply(Op::Concatenation(Concatenation { axis }), &parts, dtype)?;
    }
    Ok(vec![x.like(id)])
}
