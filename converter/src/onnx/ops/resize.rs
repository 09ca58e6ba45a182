//! Resize and Upsample.
//!
//! Each element of the output is a weighted sum of elements of the input, axis by axis; ONNX's many
//! attributes only say which and how much. Where the graph's own operators choose the same, they
//! are used: nearest neighbours, and linear interpolation of images. Everything else is written as
//! gathers along an axis, one for each element that is weighted.
//!
//! Source of the formulas: ONNX's operator specification.

use systole_core::DType;

use super::super::{
    importer::{Importer, NodeOf, axis},
    size,
    value::{Value, channels_last},
};
use crate::{
    error::{Result, bail},
    ops::{
        Op,
        binary::Arithmetic::{Add, Mul},
        gather::Gather,
        resize,
        resize_bilinear::ResizeBilinear,
        resize_nearest_neighbor::ResizeNearestNeighbor,
    },
};

/// The largest extent of an axis.
const MAX_EXTENT: usize = 1 << 20;
/// The most elements that one is the sum of: each becomes an operator.
const MAX_TAPS: usize = 1024;

/// Where an output's element is in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
}

/// How elements around a place are weighted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Nearest(Nearest),
    Linear,
    Cubic(f64),
}

/// Which of two neighbours is the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nearest {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
}

/// How one axis is resized.
#[derive(Debug, Clone, Copy)]
struct Axis {
    input: usize,
    output: usize,
    /// Elements of the output per element of the input.
    scale: f64,
    coordinates: Coordinates,
    mode: Mode,
    antialias: bool,
    exclude_outside: bool,
}

/// Elements of the input and their weights.
type Taps = Vec<(usize, f64)>;

impl Axis {
    /// Whether nothing is changed.
    fn is_identity(&self) -> bool {
        self.input == self.output && self.scale == 1.0
    }

    /// Where an element of the output is among those of the input.
    fn place(&self, index: usize) -> f64 {
        let (input, output) = (self.input as f64, self.output as f64);
        let index = index as f64;
        match self.coordinates {
            Coordinates::HalfPixel => (index + 0.5) / self.scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = output / (self.scale * input);
                let offset = input / 2.0 * (1.0 - adjustment);
                offset + (index + 0.5) / self.scale - 0.5
            }
            Coordinates::PytorchHalfPixel if self.output > 1 => (index + 0.5) / self.scale - 0.5,
            Coordinates::PytorchHalfPixel => 0.0,
            // The scale counts, not the whole number of elements that it leaves.
            Coordinates::AlignCorners if self.scale * input > 1.0 => {
                index * (input - 1.0) / (self.scale * input - 1.0)
            }
            Coordinates::AlignCorners => 0.0,
            Coordinates::Asymmetric => index / self.scale,
        }
    }

    /// The distance from an element of the output to those of the input that it is the sum of.
    fn reach(&self) -> f64 {
        let reach = if matches!(self.mode, Mode::Cubic(_)) { 2.0 } else { 1.0 };
        reach / self.narrow()
    }

    /// Smaller images are smoothed: the kernel is as wide as what an element stands for.
    fn narrow(&self) -> f64 {
        if self.antialias { self.scale.min(1.0) } else { 1.0 }
    }

    fn taps(&self, index: usize) -> Taps {
        let last = self.input as i64 - 1;
        let clamped = |at: i64| at.clamp(0, last) as usize;
        let place = self.place(index);
        if let Mode::Nearest(nearest) = self.mode {
            let at = match nearest {
                Nearest::RoundPreferFloor => (place - 0.5).ceil(),
                Nearest::RoundPreferCeil => (place + 0.5).floor(),
                Nearest::Floor => place.floor(),
                Nearest::Ceil => place.ceil(),
            };
            return vec![(clamped(at as i64), 1.0)];
        }
        let narrow = self.narrow();
        let kernel: &dyn Fn(f64) -> f64 = match self.mode {
            Mode::Cubic(a) => &move |x| cubic(x, a),
            _ => &|x: f64| (1.0 - x.abs()).max(0.0),
        };
        let first = (place - self.reach()).floor() as i64 + 1;
        let count = (2.0 * self.reach()).ceil() as i64;
        let mut taps = Taps::new();
        for at in first..first + count {
            let weight = kernel((at as f64 - place) * narrow);
            let outside = !(0..=last).contains(&at);
            let weight = if outside && self.exclude_outside { 0.0 } else { weight };
            taps.push((clamped(at), weight));
        }
        let sum: f64 = taps.iter().map(|&(_, weight)| weight).sum();
        if (self.antialias || self.exclude_outside) && sum != 0.0 {
            for (_, weight) in &mut taps {
                *weight /= sum;
            }
        }
        taps
    }

    /// The nearest elements that TFLite's operator chooses with these attributes.
    fn tflite_nearest(&self, align_corners: bool, half_pixel_centers: bool) -> Vec<usize> {
        let (input, output) = (self.input as f32, self.output as f32);
        let aligned = align_corners && self.output > 1;
        let scale = if aligned { (input - 1.0) / (output - 1.0) } else { input / output };
        let offset = if half_pixel_centers { 0.5 } else { 0.0 };
        let places = (0..self.output).map(|index| (index as f32 + offset) * scale);
        let whole = places.map(|at| if align_corners { at.round() } else { at.floor() });
        whole.map(|at| (at as usize).min(self.input - 1)).collect()
    }
}

/// The cubic convolution kernel. Keys, "Cubic convolution interpolation for digital image
/// processing", 1981.
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// Resize from operator set 10 on.
///
/// # Errors
/// `UnsupportedFeature` for cropping, and sizes that are no constants.
pub fn resize(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let old = node.opset < 11;
    let [scales, sizes] = if old { [1, usize::MAX] } else { [2, 3] };
    apply(importer, node, scales, sizes, old)
}

/// Upsample, of operator sets 7 to 9, is Resize of that time; in 7, scales are an attribute.
///
/// # Errors
/// As [`resize`].
pub fn upsample(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    apply(importer, node, 1, usize::MAX, true)
}

fn apply(
    importer: &mut Importer,
    node: &NodeOf<'_>,
    scales: usize,
    sizes: usize,
    old: bool,
) -> Result<Vec<Value>> {
    let attributes = node.attributes;
    let mut x = importer.unflattened(node.input(0)?)?;
    let shape = importer.shape(&x);
    let stated = attributes.ints("axes");
    let axes = match stated {
        Some(axes) => axes.iter().map(|&a| axis(a, shape.len())).collect::<Result<Vec<usize>>>()?,
        None => (0..shape.len()).collect(),
    };
    let given =
        |index: usize| node.optional(index).filter(|value| importer.tensor(value).elements() > 0);
    let (mut factors, mut extents) = (vec![1.0; shape.len()], shape.clone());
    if let Some(value) = given(sizes) {
        let wanted = importer.integers(value)?;
        if wanted.len() != axes.len() {
            bail!(InvalidShape, "{} sizes for {} axes", wanted.len(), axes.len());
        }
        let policy = attributes.text("keep_aspect_ratio_policy", "stretch")?;
        let factor = |(&axis, &size): (&usize, &i64)| size as f64 / shape[axis] as f64;
        let each = axes.iter().zip(&wanted).map(factor);
        let common = match policy {
            "stretch" => None,
            "not_larger" => each.reduce(f64::min),
            "not_smaller" => each.reduce(f64::max),
            other => bail!(UnsupportedFeature, "keep_aspect_ratio_policy {other} is not known"),
        };
        for (&axis, &wanted) in axes.iter().zip(&wanted) {
            (extents[axis], factors[axis]) = match common {
                None => {
                    let extent = size(wanted, "a size")?;
                    (extent, extent as f64 / shape[axis] as f64)
                }
                Some(common) => ((common * shape[axis] as f64).round() as usize, common),
            };
        }
    } else {
        let stated = match given(scales) {
            Some(value) => importer.floats(value)?,
            None => attributes.floats("scales").unwrap_or_default().to_vec(),
        };
        if stated.len() != axes.len() || stated.iter().any(|&scale| scale.is_nan() || scale <= 0.0)
        {
            bail!(InvalidShape, "scales {stated:?} for {} axes", axes.len());
        }
        for (&axis, &scale) in axes.iter().zip(&stated) {
            factors[axis] = scale.into();
            extents[axis] = (shape[axis] as f64 * f64::from(scale)).floor() as usize;
        }
    }
    if let Some(extent) = extents.iter().find(|extent| !(1..=MAX_EXTENT).contains(*extent)) {
        bail!(InvalidShape, "{shape:?} is resized to {extent} elements along an axis");
    }
    let coordinates = match attributes.text("coordinate_transformation_mode", "")? {
        "" if old => Coordinates::Asymmetric,
        "" | "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        other => bail!(UnsupportedFeature, "coordinate_transformation_mode {other}"),
    };
    let mode = match attributes.text("mode", "nearest")? {
        "nearest" => Mode::Nearest(match attributes.text("nearest_mode", "")? {
            "" if old => Nearest::Floor,
            "" | "round_prefer_floor" => Nearest::RoundPreferFloor,
            "round_prefer_ceil" => Nearest::RoundPreferCeil,
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            other => bail!(UnsupportedFeature, "nearest_mode {other} is not known"),
        }),
        "linear" => Mode::Linear,
        "cubic" => Mode::Cubic(attributes.float("cubic_coeff_a", -0.75).into()),
        other => bail!(UnsupportedFeature, "mode {other} is not known"),
    };
    let resized: Vec<Axis> = (0..shape.len())
        .map(|axis| Axis {
            input: shape[axis],
            output: extents[axis],
            scale: factors[axis],
            coordinates,
            mode,
            antialias: attributes.flag("antialias", false),
            exclude_outside: attributes.flag("exclude_outside", false),
        })
        .collect();
    for axis in resized.iter().filter(|axis| !axis.is_identity()) {
        let taps = (2.0 * axis.reach()).ceil() as usize;
        if taps > MAX_TAPS {
            bail!(
                TooLarge,
                "{} elements become {} along an axis, each the sum of {taps}; at most {MAX_TAPS}",
                axis.input,
                axis.output
            );
        }
        importer.spend(axis.output.saturating_mul(taps))?;
    }
    if let Some(y) = as_image(importer, &x, &resized)? {
        return Ok(vec![y]);
    }
    for (axis, resized) in resized.iter().enumerate().filter(|(_, axis)| !axis.is_identity()) {
        x = along(importer, &x, axis, resized)?;
    }
    Ok(vec![x])
}

/// The graph's own operator, where it chooses the same elements and weights.
fn as_image(importer: &mut Importer, x: &Value, axes: &[Axis]) -> Result<Option<Value>> {
    let [batches, channels, rows, columns] = axes else {
        return Ok(None);
    };
    if !batches.is_identity() || !channels.is_identity() || importer.tensor(x).dtype != DType::F32 {
        return Ok(None);
    }
    let size = [rows.output, columns.output];
    let spatial = [rows, columns];
    let candidates = [(false, true), (false, false), (true, false)].map(
        |(align_corners, half_pixel_centers)| resize::Resize {
            size,
            align_corners,
            half_pixel_centers,
        },
    );
    let op = match rows.mode {
        Mode::Nearest(_) => {
            let same = |resize: &&resize::Resize| {
                spatial.iter().all(|axis| {
                    let chosen =
                        axis.tflite_nearest(resize.align_corners, resize.half_pixel_centers);
                    (0..axis.output).all(|index| axis.taps(index)[0].0 == chosen[index])
                })
            };
            candidates
                .iter()
                .find(same)
                .map(|resize| Op::ResizeNearestNeighbor(ResizeNearestNeighbor(resize.clone())))
        }
        Mode::Linear if !spatial.iter().any(|axis| axis.antialias || axis.exclude_outside) => {
            let exact = |axis: &&Axis| axis.scale * axis.input as f64 == axis.output as f64;
            let [half, corner, aligned] = candidates;
            let resize = match rows.coordinates {
                Coordinates::AlignCorners
                    if spatial.iter().all(exact) && size.iter().all(|&size| size > 1) =>
                {
                    Some(aligned)
                }
                Coordinates::HalfPixel if spatial.iter().all(exact) => Some(half),
                Coordinates::PytorchHalfPixel
                    if spatial.iter().all(exact) && size.iter().all(|&size| size > 1) =>
                {
                    Some(half)
                }
                Coordinates::Asymmetric if spatial.iter().all(exact) => Some(corner),
                _ => None,
            };
            resize.map(|resize| Op::ResizeBilinear(ResizeBilinear(resize)))
        }
        _ => None,
    };
    let Some(op) = op else {
        return Ok(None);
    };
    let order = channels_last(4);
    let id = importer.stored(x, &order)?;
    Ok(Some(Value::ordered(importer.apply(op, &[id], DType::F32)?, order)))
}

/// Resizes one axis by gathers, which are weighted and summed.
fn along(importer: &mut Importer, x: &Value, axis: usize, resized: &Axis) -> Result<Value> {
    let axis = x.stored_axis(axis);
    let dtype = importer.tensor(x).dtype;
    let taps: Vec<Taps> = (0..resized.output).map(|index| resized.taps(index)).collect();
    let most = taps.iter().map(Vec::len).max().unwrap_or(0);
    let rank = importer.tensor(x).shape.len();
    let mut shape = vec![1; rank];
    shape[axis] = resized.output;
    let mut sum = None;
    for k in 0..most {
        let tap = |taps: &Taps| taps.get(k).copied().unwrap_or((0, 0.0));
        let indices: Vec<i32> = taps.iter().map(|taps| tap(taps).0 as i32).collect();
        let weights: Vec<f32> = taps.iter().map(|taps| tap(taps).1 as f32).collect();
        if weights.iter().all(|&weight| weight == 0.0) {
            continue;
        }
        let places = importer.constant(vec![resized.output], &indices);
        let op = Op::Gather(Gather { axis, batch_dims: 0 });
        let mut part = importer.apply(op, &[x.id, places], dtype)?;
        if weights.iter().any(|&weight| weight != 1.0) {
            let weights = importer.constant(shape.clone(), &weights);
            part = importer.binary(Mul, part, weights)?;
        }
        sum = Some(match sum {
            None => part,
            Some(sum) => importer.binary(Add, sum, part)?,
        });
    }
    match sum {
        Some(sum) => Ok(x.like(sum)),
        None => bail!(InvalidShape, "all weights are 0"),
    }
}
