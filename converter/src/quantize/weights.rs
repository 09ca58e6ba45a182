//! Weights and biases of one layer as integers.

use systole_core::DType;

use super::{
    int4,
    linear::Linear,
    recipe::{Precision, Recipe},
};
use crate::{
    error::{Result, bail, error},
    graph::{Graph, Packing, Quantization, Tensor},
};

/// Quantized weights, and the bias that goes with them.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerConstants {
    /// int8 weights, symmetric, with a scale per output channel or one for all.
    pub weights: Tensor,
    /// int32 beside int8 activations, int64 beside int16; scale: input × weights.
    pub bias: Tensor,
}

/// The largest int8 weight: the range is symmetric, as kernels may rely on.
pub const LARGEST: f64 = 127.0;

/// What the integers of a layer's weights stand for: `scale × step × q`.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    /// One per output channel.
    pub scales: Vec<f32>,
    /// Whole numbers that groups of weights are multiplied with, see [`Packing`]; empty where all
    /// are 1.
    pub steps: Vec<i8>,
    /// The largest `q`, and minus the smallest.
    pub largest: f64,
}

impl Levels {
    /// The step of the weight at `index`.
    pub fn step(&self, layer: &Linear, index: usize) -> i8 {
        let weights = layer.outputs * layer.taps() * layer.depth;
        match self.steps.len() {
            0 => 1,
            _ if layer.channels_last => self.steps[layer.place(index).output],
            count => self.steps[index / (weights / count).max(1)],
        }
    }

    /// What one `q` of the weight at `index` is worth.
    pub fn unit(&self, layer: &Linear, index: usize) -> f64 {
        f64::from(self.scales[layer.place(index).output]) * f64::from(self.step(layer, index))
    }

    /// How weights with these levels are stored, where that is not a byte each.
    fn packing(&self) -> Option<Packing> {
        (self.largest < LARGEST).then(|| Packing { steps: self.steps.clone() })
    }
}

/// The levels of a layer's weights.
///
/// The scale of int8 is `max |w| / 127`. A scale is larger where a bias would not fit 32 bits
/// otherwise, and where the product of scales over the output's would be too small for a fixed-point
/// multiplier: that of a channel whose weights are all zero, or nearly so, whose sums then are the
/// bias alone.
///
/// # Errors
/// `InvalidData` for weights or biases that are not finite.
pub fn levels(
    graph: &Graph,
    layer: &Linear,
    input_scale: f32,
    output_scale: f32,
    packed: bool,
    recipe: &Recipe,
) -> Result<Levels> {
    let weights: Vec<f32> = graph[layer.weights].values()?;
    let bias = bias(graph, layer)?;
    let tensors = [Some((layer.weights, &weights)), layer.bias.map(|id| (id, &bias))];
    for (id, values) in tensors.into_iter().flatten() {
        if let Some(odd) = values.iter().find(|x| !x.is_finite()) {
            bail!(InvalidData, "{} holds {odd}, which cannot be quantized", graph[id]);
        }
    }
    let (input, output) = (f64::from(input_scale), f64::from(output_scale));
    let floor = |bias: &f32| {
        let for_bias = f64::from(bias.abs()) / (input * f64::from(1 << 30));
        let for_multiplier = output / input * 2.0_f64.powi(-24);
        for_bias.max(for_multiplier)
    };
    let floors: Vec<f64> = bias.iter().map(floor).collect();
    if packed {
        return Ok(int4::levels(layer, &weights, &floors, recipe));
    }
    let mut scales = floors;
    for (index, &w) in weights.iter().enumerate() {
        let scale = &mut scales[layer.place(index).output];
        *scale = scale.max(f64::from(w.abs()) / LARGEST);
    }
    if !recipe.per_channel {
        let widest = scales.iter().copied().fold(0.0, f64::max);
        scales.fill(widest);
    }
    let scales = scales.into_iter().map(|scale| scale as f32).collect();
    Ok(Levels { scales, steps: Vec::new(), largest: LARGEST })
}

/// The nearest int8 weights under these levels, in the order of the float ones.
///
/// # Errors
/// None for layers that [`levels`] accepted.
pub fn nearest(graph: &Graph, layer: &Linear, levels: &Levels) -> Result<Vec<i8>> {
    let weights: Vec<f32> = graph[layer.weights].values()?;
    let rounded = |(index, &w): (usize, &f32)| {
        let q = (f64::from(w) / levels.unit(layer, index)).round();
        q.clamp(-levels.largest, levels.largest) as i8 * levels.step(layer, index)
    };
    Ok(weights.iter().enumerate().map(rounded).collect())
}

/// The float bias, zeros where there is none.
///
/// # Errors
/// `InvalidShape` for another number of values than output channels.
pub fn bias(graph: &Graph, layer: &Linear) -> Result<Vec<f32>> {
    let Some(id) = layer.bias else { return Ok(vec![0.0; layer.outputs]) };
    let bias: Vec<f32> = graph[id].values()?;
    if bias.len() != layer.outputs {
        bail!(InvalidShape, "{} must have one value per output channel", graph[id]);
    }
    Ok(bias)
}

/// The tensors of a layer from its integers and its float bias.
pub fn constants(
    graph: &Graph,
    layer: &Linear,
    weights: &[i8],
    bias: &[f32],
    levels: &Levels,
    input_scale: f32,
    precision: Precision,
) -> LayerConstants {
    let scales = &levels.scales;
    let source = &graph[layer.weights];
    let equal = scales.windows(2).all(|pair| pair[0] == pair[1]);
    let kept = if equal { &scales[..1] } else { scales };
    let quantization = |scales: Vec<f32>, axis| {
        let axis = if scales.len() > 1 { axis } else { 0 };
        Some(Quantization { zero_points: vec![0; scales.len()], scales, axis })
    };
    let mut tensor = Tensor::constant(&source.name[..], source.shape.clone(), weights);
    tensor.quantization = quantization(kept.to_vec(), layer.axis());
    tensor.packing = levels.packing();

    let product = |scale: f32| f64::from(input_scale) * f64::from(scale);
    let exact = bias.iter().zip(scales).map(|(&b, &s)| (f64::from(b) / product(s)).round());
    let name = layer.bias.map_or(String::new(), |id| graph[id].name.clone());
    let shape = vec![layer.outputs];
    let mut bias = match precision {
        Precision::Int16 => {
            let exact: Vec<i64> = exact.map(|q| q as i64).collect();
            Tensor::constant(name, shape, &exact)
        }
        Precision::Int8 | Precision::Float => {
            let exact: Vec<i32> = exact.map(|q| q as i32).collect();
            Tensor::constant(name, shape, &exact)
        }
    };
    bias.quantization = quantization(kept.iter().map(|&s| product(s) as f32).collect(), 0);
    LayerConstants { weights: tensor, bias }
}

/// A float constant that is no weight, as a tensor of `dtype` under one scale.
///
/// # Errors
/// `InvalidData` for values that are not finite.
pub fn constant(tensor: &Tensor, affine: super::Affine, precision: Precision) -> Result<Tensor> {
    let values: Vec<f32> = tensor.values()?;
    if let Some(odd) = values.iter().find(|x| x.is_nan()) {
        return Err(error!(InvalidData, "{tensor} holds {odd}, which cannot be quantized"));
    }
    let q = values.iter().map(|&x| affine.quantize(x, precision));
    let shape = tensor.shape.clone();
    let mut quantized = match super::dtype(precision) {
        DType::I16 => {
            let q: Vec<i16> = q.map(|q| q as i16).collect();
            Tensor::constant(&tensor.name[..], shape, &q)
        }
        _ => {
            let q: Vec<i8> = q.map(|q| q as i8).collect();
            Tensor::constant(&tensor.name[..], shape, &q)
        }
    };
    quantized.quantization = Some(affine.into());
    Ok(quantized)
}
