//! The quantized graph: every tensor in the precision of the layer that writes it, constants as
//! integers, and conversions where a layer reads another precision than was written.
//!
//! Tensors keep their indices, so a tensor of the float graph and the one that stands for it in the
//! quantized graph have the same: what compares the two relies on it.

use std::collections::HashMap;

use systole_core::DType;

use super::{
    int4,
    linear::Linear,
    parameters::{Affine, dtype},
    recipe::{PortType, Precision, Recipe, WeightType},
    rules::{Rule, rule},
    sharing::Held,
    weights::{self, LayerConstants, Levels},
};
use crate::{
    error::{Result, Within, bail, error},
    graph::{Graph, Node, Tensor, TensorId},
    ops::{Op, dequantize::Dequantize, quantize::Quantize},
};

/// Integers for the weights of a layer: the graph, the layer's index, what integers stand for.
pub type Round<'a> = dyn Fn(&Graph, usize, &Linear, &Levels) -> Result<Rounded> + 'a;

/// Weights as integers, and the float bias that goes with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounded {
    /// In the order of the float weights.
    pub weights: Vec<i8>,
    /// One per output channel, corrected for the rounding.
    pub bias: Vec<f32>,
}

/// Builds the quantized graph from the float one.
///
/// # Errors
/// `InvalidQuantization` and `InvalidData`, naming the operator.
pub fn rewrite(
    graph: &Graph,
    precisions: &[Precision],
    scales: &HashMap<Held, Affine>,
    recipe: &Recipe,
    round: &Round<'_>,
) -> Result<Graph> {
    let mut rewriter = Rewriter {
        float: graph,
        graph: Graph { nodes: Vec::with_capacity(graph.nodes.len()), ..graph.clone() },
        scales,
        written: HashMap::new(),
        converted: HashMap::new(),
    };
    rewriter.graph.nodes.clear();
    rewriter.inputs(precisions, recipe)?;
    for (index, &precision) in precisions.iter().enumerate() {
        let place = || graph.nodes[index].origin.clone();
        rewriter.node(index, precision, recipe, round).within(place)?;
    }
    rewriter.outputs(recipe)?;
    for node in &rewriter.graph.nodes {
        rewriter.graph.check(node)?;
    }
    Ok(rewriter.graph)
}

struct Rewriter<'a> {
    float: &'a Graph,
    graph: Graph,
    scales: &'a HashMap<Held, Affine>,
    /// The precision in which a tensor of the float graph was written.
    written: HashMap<TensorId, Precision>,
    /// Where a tensor is held in another precision than it was written in.
    converted: HashMap<Held, TensorId>,
}

impl Rewriter<'_> {
    /// Inputs are float, or what their first reader computes in.
    fn inputs(&mut self, precisions: &[Precision], recipe: &Recipe) -> Result<()> {
        for (position, &id) in self.float.inputs.iter().enumerate() {
            if self.float[id].dtype != DType::F32 {
                continue;
            }
            let reader = self.float.readers(id).next();
            let precision = reader.map_or(Precision::Float, |reader| precisions[reader]);
            let precision = match recipe.input_type {
                PortType::F32 => Precision::Float,
                PortType::Int8 => precision,
                PortType::Uint8 if precision == Precision::Int16 => {
                    bail!(UnsupportedFeature, "{} is int16, so it cannot be uint8", self.float[id])
                }
                PortType::Uint8 => precision,
            };
            if precision == Precision::Float && recipe.input_type != PortType::F32 {
                bail!(
                    UnsupportedFeature,
                    "{} is read by a layer that stays float, so its type has to be f32",
                    self.float[id]
                );
            }
            self.write(id, precision)?;
            if recipe.input_type == PortType::Uint8 {
                let seen = self.unsigned(id);
                self.convert(Op::Quantize(Quantize), seen, id);
                self.graph.inputs[position] = seen;
            }
        }
        Ok(())
    }

    fn node(
        &mut self,
        index: usize,
        precision: Precision,
        recipe: &Recipe,
        round: &Round<'_>,
    ) -> Result<()> {
        let source = &self.float.nodes[index];
        let mut node = source.clone();
        let layer = match rule(&source.op, precision) {
            Rule::Weights => Linear::of(self.float, source),
            _ => None,
        };
        for (position, input) in node.inputs.iter_mut().enumerate() {
            let Some(id) = *input else { continue };
            if self.float[id].dtype == DType::F32 && !(layer.is_some() && position > 0) {
                *input = Some(self.held(id, precision)?);
            }
        }
        for &id in &source.outputs {
            if self.float[id].dtype == DType::F32 {
                self.write(id, precision)?;
            }
        }
        if let Some(layer) = layer {
            let constants = self.layer(index, &node, &layer, precision, recipe, round)?;
            let weights = self.graph.add_tensor(constants.weights);
            let bias = self.graph.add_tensor(constants.bias);
            node.inputs.truncate(1);
            node.inputs.extend([Some(weights), Some(bias)]);
        }
        if let (Op::Pad(pad), true) = (&mut node.op, precision != Precision::Float)
            && let Some(value) = &mut pad.value
        {
            let affine = self.affine((source.outputs[0], precision))?;
            *value = affine.quantize(f32::from_bits(*value as u32), precision).into();
        }
        self.graph.nodes.push(node);
        Ok(())
    }

    /// The constants of a layer with weights.
    fn layer(
        &self,
        index: usize,
        node: &Node,
        layer: &Linear,
        precision: Precision,
        recipe: &Recipe,
        round: &Round<'_>,
    ) -> Result<LayerConstants> {
        let input = node.inputs[0].ok_or_else(|| error!(InvalidGraph, "its input is missing"))?;
        let (input, output) = (self.graph[input].scale()?, self.graph[node.outputs[0]].scale()?);
        let packed = recipe.weights == WeightType::Int4
            && precision == Precision::Int8
            && int4::can_pack(&node.op, layer);
        let levels = weights::levels(self.float, layer, input, output, packed, recipe)?;
        let Rounded { weights, bias } = round(self.float, index, layer, &levels)?;
        Ok(weights::constants(self.float, layer, &weights, &bias, &levels, input, precision))
    }

    /// Outputs are float, or what their writer computes in.
    fn outputs(&mut self, recipe: &Recipe) -> Result<()> {
        for position in 0..self.graph.outputs.len() {
            let id = self.graph.outputs[position];
            if self.float[id].dtype != DType::F32 || self.float[id].is_constant() {
                continue;
            }
            if recipe.output_type == PortType::F32 {
                self.graph.outputs[position] = self.held(id, Precision::Float)?;
                continue;
            }
            let precision = self.written.get(&id).copied().unwrap_or(Precision::Float);
            let unsigned = recipe.output_type == PortType::Uint8;
            if precision == Precision::Float || (unsigned && precision == Precision::Int16) {
                bail!(
                    UnsupportedFeature,
                    "{} is {}, so it cannot be an {} output",
                    self.float[id],
                    if precision == Precision::Float { "float" } else { "int16" },
                    if unsigned { "uint8" } else { "int8" }
                );
            }
            if unsigned {
                let seen = self.unsigned(id);
                self.convert(Op::Quantize(Quantize), id, seen);
                self.graph.outputs[position] = seen;
            }
        }
        Ok(())
    }

    /// A uint8 tensor beside an int8 one, for users to see. The bytes are the same with the sign
    /// flipped, so the conversion between the two is a view.
    fn unsigned(&mut self, id: TensorId) -> TensorId {
        let seen = Tensor { unsigned: true, ..self.graph[id].clone() };
        self.graph.add_tensor(seen)
    }

    fn affine(&self, held: Held) -> Result<Affine> {
        let known = self.scales.get(&held).copied();
        known.ok_or_else(|| error!(InvalidQuantization, "{} has no scale", self.float[held.0]))
    }

    /// Records that `id` is written in `precision`.
    fn write(&mut self, id: TensorId, precision: Precision) -> Result<()> {
        self.written.insert(id, precision);
        if precision != Precision::Float {
            let affine = self.affine((id, precision))?;
            let tensor = &mut self.graph[id];
            tensor.dtype = dtype(precision);
            tensor.quantization = Some(affine.into());
        }
        Ok(())
    }

    /// The tensor that holds the float graph's `id` in `precision`, which is made where there is
    /// none yet.
    fn held(&mut self, id: TensorId, precision: Precision) -> Result<TensorId> {
        if let Some(&known) = self.converted.get(&(id, precision)) {
            return Ok(known);
        }
        let source = &self.float[id];
        if source.is_constant() {
            if precision == Precision::Float {
                return Ok(id);
            }
            let quantized = weights::constant(source, self.affine((id, precision))?, precision)?;
            let made = self.graph.add_tensor(quantized);
            self.converted.insert((id, precision), made);
            return Ok(made);
        }
        let written = self.written.get(&id).copied();
        let written = written.ok_or_else(|| error!(InvalidGraph, "{source} is not written"))?;
        if written == precision {
            return Ok(id);
        }
        let mut tensor = Tensor::new(&source.name[..], dtype(precision), source.shape.clone());
        if precision != Precision::Float {
            tensor.quantization = Some(self.affine((id, precision))?.into());
        }
        let made = self.graph.add_tensor(tensor);
        let op = match precision {
            Precision::Float => Op::Dequantize(Dequantize),
            Precision::Int8 | Precision::Int16 => Op::Quantize(Quantize),
        };
        self.convert(op, id, made);
        self.converted.insert((id, precision), made);
        Ok(made)
    }

    fn convert(&mut self, op: Op, from: TensorId, to: TensorId) {
        let origin = format!("conversion of '{}'", self.graph[from].name);
        let node = Node { op, inputs: vec![Some(from)], outputs: vec![to], origin };
        self.graph.nodes.push(node);
    }
}
