//! Folds what is added to channels, or multiplied with them, into the layer with weights in front or
//! behind: batch normalization after convolutions, normalization of inputs.

use systole_core::DType;

use super::linear::{Linear, activation, window};
use crate::{
    error::Result,
    graph::{Graph, Node, Tensor, TensorId},
    ops::{Op, binary::Arithmetic},
    scale::Activation,
};

/// `factor × x + offset` for each channel, the innermost axis.
#[derive(Debug, Clone, PartialEq)]
struct PerChannel {
    factors: Vec<f64>,
    offsets: Vec<f64>,
}

/// The most weights that are multiplied: a model may repeat the same layer, or factors behind one, for
/// ever.
const MOST_WEIGHTS: usize = 1 << 30;

/// What becomes of weights that several layers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// They stay, and nothing is folded into those layers.
    #[cfg_attr(
        not(any(feature = "onnx", test)),
        expect(dead_code, reason = "ONNX models alone are folded so")
    )]
    Stay,
    /// A layer that something is folded into gets its own.
    Copied,
}

/// Folds all that can be; counts the operators that went.
///
/// # Errors
/// None for valid graphs.
pub fn run(graph: &mut Graph, shared: Shared) -> Result<usize> {
    let before = graph.nodes.len();
    let (mut index, mut left) = (0, MOST_WEIGHTS);
    while index < graph.nodes.len() {
        let mut fits = |graph: &Graph, layer: &Linear| {
            let own = graph.readers(layer.weights).count() == 1;
            let rest = left.checked_sub(graph[layer.weights].elements());
            left = rest.unwrap_or(0);
            rest.is_some() && (own || shared == Shared::Copied)
        };
        if fold_into_layer_before(graph, index, &mut fits)?
            || fold_into_layer_behind(graph, index, &mut fits)?
        {
            graph.nodes.remove(index);
            index = index.saturating_sub(1);
        } else {
            index += 1;
        }
    }
    Ok(before - graph.nodes.len())
}

/// A product or sum per channel of one activation and a constant.
#[derive(Debug, Clone, Copy)]
struct Operands {
    x: TensorId,
    constant: TensorId,
    /// Whether the constant comes first.
    reversed: bool,
    channels: usize,
}

impl Operands {
    /// Those of a node, where it is such.
    fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let Op::Binary(_) = &node.op else { return None };
        let (a, b) = (node.inputs[0]?, node.inputs[1]?);
        let (x, constant, reversed) = match (graph[a].is_constant(), graph[b].is_constant()) {
            (false, true) => (a, b, false),
            (true, false) => (b, a, true),
            _ => return None,
        };
        let (tensor, y) = (&graph[x], &graph[node.outputs[0]]);
        let &channels = tensor.shape.last()?;
        let elements = graph[constant].elements();
        let along_channels = elements == 1
            || (elements == channels && graph[constant].shape.last() == Some(&channels));
        let fits = tensor.dtype == DType::F32 && tensor.shape == y.shape && along_channels;
        fits.then_some(Self { x, constant, reversed, channels })
    }

    /// What the node computes; `None` where that is no factor and offset. As many numbers as there are
    /// channels, so a layer that has as many is looked for first.
    fn affine(self, graph: &Graph, node: &Node) -> Result<Option<PerChannel>> {
        let Op::Binary(binary) = &node.op else { return Ok(None) };
        let values: Vec<f32> = graph[self.constant].values()?;
        let of = |operation: &dyn Fn(f64) -> (f64, f64)| {
            let values = values.iter().cycle().take(self.channels);
            let (factors, offsets) = values.map(|&value| operation(value.into())).unzip();
            PerChannel { factors, offsets }
        };
        let affine = match (binary.operation, self.reversed) {
            (Arithmetic::Mul, _) => of(&|c| (c, 0.0)),
            (Arithmetic::Add, _) => of(&|c| (1.0, c)),
            (Arithmetic::Sub, false) => of(&|c| (1.0, -c)),
            (Arithmetic::Sub, true) => of(&|c| (-1.0, c)),
            (Arithmetic::Div, false) => of(&|c| (1.0 / c, 0.0)),
            _ => return Ok(None),
        };
        let finite = affine.factors.iter().chain(&affine.offsets).all(|x| x.is_finite());
        Ok(finite.then_some(affine))
    }
}

/// `factor × (W x + b) + offset` is a layer of its own, also where a reshape that leaves channels
/// innermost is in between.
fn fold_into_layer_before(
    graph: &mut Graph,
    index: usize,
    fits: &mut dyn FnMut(&Graph, &Linear) -> bool,
) -> Result<bool> {
    let Some(operands) = Operands::of(graph, &graph.nodes[index]) else { return Ok(false) };
    let x = operands.x;
    let once = |id: TensorId| graph.readers(id).count() == 1 && !graph.outputs.contains(&id);
    let Some(last) = graph.writer(x) else { return Ok(false) };
    let (mut writer, mut only) = (last, once(x));
    if let (Op::Reshape(_), Some(&Some(inner))) =
        (&graph.nodes[last].op, graph.nodes[last].inputs.first())
        && graph[inner].shape.last() == graph[x].shape.last()
    {
        let Some(before) = graph.writer(inner) else { return Ok(false) };
        (writer, only) = (before, only && once(inner));
    }
    let Some(layer) = Linear::of(graph, &graph.nodes[writer]) else { return Ok(false) };
    let bare = activation(&graph.nodes[writer].op) == Activation::None;
    if !only || !bare || operands.channels != layer.outputs || !fits(graph, &layer) {
        return Ok(false);
    }
    let Some(affine) = operands.affine(graph, &graph.nodes[index])? else { return Ok(false) };
    let mut weights: Vec<f32> = graph[layer.weights].values()?;
    for (at, w) in weights.iter_mut().enumerate() {
        *w = (f64::from(*w) * affine.factors[layer.place(at).output]) as f32;
    }
    let pairs = affine.factors.iter().zip(&affine.offsets);
    let bias = super::weights::bias(graph, &layer)?;
    let bias: Vec<f32> =
        bias.iter().zip(pairs).map(|(&b, (m, a))| (f64::from(b) * m + a) as f32).collect();
    if weights.iter().chain(&bias).any(|value| !value.is_finite()) {
        return Ok(false);
    }
    let Op::Binary(binary) = &graph.nodes[index].op else { return Ok(false) };
    let fused = binary.activation;
    let output = graph.nodes[index].outputs.clone();
    replace(graph, writer, &layer, &weights, bias);
    graph.nodes[last].outputs = output;
    match &mut graph.nodes[writer].op {
        Op::Conv2d(op) => op.activation = fused,
        Op::DepthwiseConv2d(op) => op.activation = fused,
        Op::TransposeConv2d(op) => op.activation = fused,
        Op::FullyConnected(op) => op.activation = fused,
        _ => {}
    }
    Ok(true)
}

/// Factors of channels that differ by more than this, and offsets that differ by more than their
/// size, are not folded into the layer behind: they make channels alike that are not, and one scale
/// for all would lose the small ones.
const ALIKE: f64 = 4.0;

/// `W (factor × x + offset) + b` is a layer of its own, unless zeros are padded in between.
fn fold_into_layer_behind(
    graph: &mut Graph,
    index: usize,
    fits: &mut dyn FnMut(&Graph, &Linear) -> bool,
) -> Result<bool> {
    let Some(operands) = Operands::of(graph, &graph.nodes[index]) else { return Ok(false) };
    let Op::Binary(binary) = &graph.nodes[index].op else { return Ok(false) };
    let y = graph.nodes[index].outputs[0];
    let bare = binary.activation == Activation::None && !graph.outputs.contains(&y);
    let readers: Vec<usize> = graph.readers(y).collect();
    let (&[reader], true) = (&readers[..], bare) else { return Ok(false) };
    let Some(layer) = Linear::of(graph, &graph.nodes[reader]) else { return Ok(false) };
    let channels = operands.channels;
    if graph.nodes[reader].inputs[0] != Some(y)
        || !layer.inputs.is_multiple_of(channels)
        || !fits(graph, &layer)
    {
        return Ok(false);
    }
    let Some(affine) = operands.affine(graph, &graph.nodes[index])? else { return Ok(false) };
    let padded = match (window(&graph.nodes[reader].op), &graph.nodes[reader].op) {
        (Some(window), _) => window.padding != Default::default(),
        // Which taps meet an output differs from one to the next.
        (None, op) => matches!(op, Op::TransposeConv2d(_)),
    };
    let sizes = || affine.factors.iter().map(|m| m.abs());
    let (least, most) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
    let shifts = affine.offsets.iter().any(|&a| a != 0.0);
    let (low, high) = affine
        .offsets
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |ends, &a| (ends.0.min(a), ends.1.max(a)));
    let alike = most <= ALIKE * least && high - low <= high.abs().max(low.abs());
    if (padded && shifts) || !alike {
        return Ok(false);
    }
    let mut weights: Vec<f32> = graph[layer.weights].values()?;
    let bias = super::weights::bias(graph, &layer)?;
    let mut sums: Vec<f64> = bias.into_iter().map(f64::from).collect();
    for (at, w) in weights.iter_mut().enumerate() {
        let place = layer.place(at);
        let channel = place.input % channels;
        sums[place.output] += f64::from(*w) * affine.offsets[channel];
        *w = (f64::from(*w) * affine.factors[channel]) as f32;
    }
    let bias: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
    if weights.iter().chain(&bias).any(|value| !value.is_finite()) {
        return Ok(false);
    }
    replace(graph, reader, &layer, &weights, bias);
    graph.nodes[reader].inputs[0] = Some(operands.x);
    Ok(true)
}

/// Gives a layer new weights and a new bias; others that read the old ones keep them.
fn replace(graph: &mut Graph, node: usize, layer: &Linear, weights: &[f32], bias: Vec<f32>) {
    let old = &graph[layer.weights];
    let weights = Tensor::constant(&old.name[..], old.shape.clone(), weights);
    let name = layer.bias.map_or(String::new(), |id| graph[id].name.clone());
    let bias = Tensor::constant(name, vec![layer.outputs], &bias);
    let mut put = |old: Option<TensorId>, new: Tensor| match old {
        Some(old) if graph.readers(old).count() == 1 => {
            graph[old] = new;
            old
        }
        _ => graph.add_tensor(new),
    };
    let weights = put(Some(layer.weights), weights);
    let bias = put(layer.bias, bias);
    let inputs = &mut graph.nodes[node].inputs;
    inputs.truncate(1);
    inputs.extend([Some(weights), Some(bias)]);
}

#[cfg(test)]
mod tests {
    use zerocopy::FromBytes;

    use super::*;
    use crate::{
        ops::{
            binary::Binary,
            conv2d::Conv2d,
            fully_connected::FullyConnected,
            reshape::Reshape,
            window::{Padding2d, Window},
        },
        passes::testing::{Chain, output},
    };

    fn binary(operation: Arithmetic, activation: Activation) -> Op {
        Op::Binary(Binary { operation, activation, power_of_two: false })
    }

    fn constant(values: &[f32]) -> Tensor {
        Tensor::constant("c", vec![values.len()], values)
    }

    /// A 2 × 2 convolution from 2 to 3 channels with padding `pad` at the right and below.
    fn convolve(chain: &mut Chain, pad: usize, out: &[usize]) {
        let weights: Vec<f32> = (0..24).map(|i| (i as f32 * 0.9).sin()).collect();
        let weights = Tensor::constant("w", vec![3, 2, 2, 2], &weights);
        let padding = Padding2d { rows: [0, pad], columns: [0, pad] };
        let window = Window { stride: [1, 1], dilation: [1, 1], padding };
        let op = Op::Conv2d(Conv2d { window, activation: Activation::None });
        chain.add_with(op, &[weights, constant(&[0.5, -1.0, 2.0])], out);
    }

    fn floats(graph: &Graph) -> Vec<f32> {
        output(graph).chunks(4).map(|bytes| f32::read_from_bytes(bytes).unwrap()).collect()
    }

    /// Runs the pass; the outputs stay but for rounding.
    fn folded(mut graph: Graph) -> (usize, Graph) {
        let before = floats(&graph);
        let count = run(&mut graph, Shared::Stay).unwrap();
        for node in &graph.nodes {
            graph.check(node).unwrap();
        }
        for (before, after) in before.iter().zip(floats(&graph)) {
            assert!((before - after).abs() <= 1e-4 * before.abs().max(1.0), "{before} {after}");
        }
        (count, graph)
    }

    #[test]
    fn batch_normalization_goes_into_the_convolution_before_it() {
        let mut chain = Chain::new(&[1, 3, 4, 2]);
        convolve(&mut chain, 1, &[1, 3, 4, 3]);
        let factors = constant(&[0.5, -2.0, 100.0]);
        chain.add_with(binary(Arithmetic::Mul, Activation::None), &[factors], &[1, 3, 4, 3]);
        let offsets = constant(&[1.0, 2.0, -3.0]);
        chain.add_with(binary(Arithmetic::Sub, Activation::Relu), &[offsets], &[1, 3, 4, 3]);
        let (count, graph) = folded(chain.finish());
        assert_eq!((count, graph.nodes.len()), (2, 1));
        assert_eq!(activation(&graph.nodes[0].op), Activation::Relu);
    }

    #[test]
    fn a_bias_behind_a_reshape_goes_into_the_convolution_before_it() {
        for (shape, folds) in [([4, 3, 3], 1), ([3, 3, 4], 0)] {
            let mut chain = Chain::new(&[1, 3, 4, 2]);
            convolve(&mut chain, 1, &[1, 3, 4, 3]);
            chain.add(Op::Reshape(Reshape), &shape);
            let offsets = constant(&[1.0, 2.0, -3.0, 4.0][..shape[2]]);
            chain.add_with(binary(Arithmetic::Add, Activation::Relu), &[offsets], &shape);
            let (count, graph) = folded(chain.finish());
            assert_eq!((count, graph.nodes.len()), (folds, 3 - folds));
        }
    }

    #[test]
    fn weights_that_two_layers_read_stay() {
        let mut chain = Chain::new(&[1, 3, 4, 2]);
        convolve(&mut chain, 1, &[1, 3, 4, 3]);
        let factors = constant(&[0.5, -2.0, 100.0]);
        chain.add_with(binary(Arithmetic::Mul, Activation::None), &[factors], &[1, 3, 4, 3]);
        let mut graph = chain.finish();
        let mut twin = graph.nodes[0].clone();
        let output = graph[twin.outputs[0]].clone();
        twin.outputs = vec![graph.add_tensor(output)];
        graph.outputs.push(twin.outputs[0]);
        graph.nodes.push(twin);
        assert_eq!(run(&mut graph.clone(), Shared::Stay).unwrap(), 0);
        assert_eq!(run(&mut graph, Shared::Copied).unwrap(), 1);
        assert_ne!(graph.nodes[0].inputs[1], graph.nodes[1].inputs[1]);
    }

    #[test]
    fn means_go_into_a_layer_that_does_not_pad_and_factors_into_any() {
        for (pad, out, left) in [(0, [1, 2, 3, 3], 0), (1, [1, 3, 4, 3], 1)] {
            let mut chain = Chain::new(&[1, 3, 4, 2]);
            let means = constant(&[2.0, 3.0]);
            chain.add_with(binary(Arithmetic::Sub, Activation::None), &[means], &[1, 3, 4, 2]);
            let factors = constant(&[0.25, 0.5]);
            chain.add_with(binary(Arithmetic::Mul, Activation::None), &[factors], &[1, 3, 4, 2]);
            convolve(&mut chain, pad, &out);
            let (count, graph) = folded(chain.finish());
            assert_eq!((count, graph.nodes.len()), (2 - left, 1 + left), "padding {pad}");
        }
    }

    #[test]
    fn what_makes_channels_alike_stays_in_front() {
        let mut chain = Chain::new(&[1, 2]);
        let factors = constant(&[1e-4, 1.0]);
        chain.add_with(binary(Arithmetic::Mul, Activation::None), &[factors], &[1, 2]);
        let op = Op::FullyConnected(FullyConnected {
            keep_dims: false,
            activation: Activation::None,
            asymmetric: false,
        });
        let weights = Tensor::constant("w", vec![1, 2], &[3.0_f32, 4.0]);
        chain.add_with(op, &[weights], &[1, 1]);
        assert_eq!(folded(chain.finish()).0, 0);
    }
}
