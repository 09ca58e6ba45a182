//! Cross-layer equalization: channels of wildly different ranges are scaled to be alike, where the
//! next layer can undo it.
//!
//! With `f(s × x) = s × f(x)` for positive `s`, as ReLU has it,
//! `W₂ f(W₁ x + b₁) = (W₂ S) f(S⁻¹ W₁ x + S⁻¹ b₁)` for any diagonal `S`. An activation has one scale
//! for all channels, so a channel that is small beside the others loses most of its bits; `S` makes
//! it as large as they are, and the weights that read it smaller.
//!
//! Which `S`? With the largest activation `M` of a channel on the calibration data and the largest
//! weight `m` that reads it, `s = M^α / m^(1 − α)` moves the difference to the weights, α = 1, or
//! leaves it in the activation, α = 0. The noise that both roundings add to the second layer's sums
//! can be predicted, so several α are tried, and the channels are left alone unless the prediction
//! falls to half. Networks whose channels are alike stay as they are.
//!
//! `s` is rounded to a power of two, so the float network computes the same numbers as before, bit
//! for bit. The same is done to a float input of the model whose channels differ: it is multiplied
//! by `1 / s` before it is quantized.
//!
//! Sources: Nagel, van Baalen, Blankevoort, Welling, "Data-Free Quantization Through Weight
//! Equalization and Bias Correction", ICCV 2019, for the identity; Xiao, Lin, Seznec, Wu, Demouth,
//! Han, "SmoothQuant", ICML 2023, for α.

use systole_core::{DType, ops::reduce::Kind};

use super::{
    linear::{Linear, activation},
    recipe::{PortType, Recipe},
};
use crate::{
    calibrate::{Calibration, Observed},
    error::Result,
    graph::{Graph, Node, Tensor, TensorId},
    ops::{
        Op,
        binary::{Arithmetic, Binary},
        unary::Unary,
    },
    scale::Activation,
};

/// Channels are scaled where that leaves less than this part of the predicted noise.
const WORTH: f64 = 0.5;

/// How much of the difference moves to the weights.
const ALPHAS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];

/// What can be scaled, and the layer that undoes it.
#[derive(Debug)]
struct Pair {
    /// The layer whose output channels are scaled; `None` where that is an input of the model.
    first: Option<usize>,
    second: usize,
    /// The tensors in between, the one that is scaled first.
    between: Vec<TensorId>,
}

/// Equalizes all pairs of layers, and what was seen of the tensors between them; counts the channels
/// that were scaled.
///
/// # Errors
/// None for valid graphs.
pub fn run(graph: &mut Graph, calibration: &mut Calibration, recipe: &Recipe) -> Result<usize> {
    let mut pairs: Vec<Pair> =
        (0..graph.nodes.len()).filter_map(|first| pair(graph, first)).collect();
    if recipe.input_type == PortType::F32 {
        pairs.extend(raw_inputs(graph));
    }
    // From the back: the rows of a layer's weights are scaled before its columns are looked at.
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.second));
    let mut scaled = 0;
    for pair in pairs {
        let powers = powers(graph, calibration, &pair, recipe)?;
        if powers.iter().any(|&power| power != 0) {
            apply(graph, calibration, &pair, &powers)?;
            scaled += powers.iter().filter(|&&power| power != 0).count();
        }
    }
    Ok(scaled)
}

/// The layer behind `first` with which it can be equalized.
fn pair(graph: &Graph, first: usize) -> Option<Pair> {
    let layer = Linear::of(graph, &graph.nodes[first])?;
    // Constants can be changed where nothing else reads them, or be copied; a computed bias cannot.
    let fused = activation(&graph.nodes[first].op);
    let scales = match fused {
        Activation::None | Activation::Relu => true,
        Activation::Relu6 => stays_below(graph, first, &layer, 6.0),
        Activation::ReluN1To1 | Activation::Relu0To1 => false,
    };
    if !scales {
        return None;
    }
    let (second, between) = behind(graph, graph.nodes[first].outputs[0], layer.outputs)?;
    Some(Pair { first: Some(first), second, between })
}

/// The layer that alone reads `start`, through operators that scale with their input, and the tensors
/// on the way.
fn behind(graph: &Graph, start: TensorId, channels: usize) -> Option<(usize, Vec<TensorId>)> {
    let mut between = vec![start];
    loop {
        let at = *between.last()?;
        let mut readers = graph.readers(at);
        let (reader, None) = (readers.next()?, readers.next()) else { return None };
        if graph.outputs.contains(&at) {
            return None;
        }
        let node = &graph.nodes[reader];
        if let Some(second) = Linear::of(graph, node) {
            let whole = second.inputs.is_multiple_of(channels);
            let reads = node.inputs[0] == Some(at);
            return (whole && reads).then_some((reader, between));
        }
        if !scales_along(graph, node) {
            return None;
        }
        between.push(node.outputs[0]);
    }
}

/// Float inputs of the model, and what constants make of them, as first halves of pairs.
fn raw_inputs(graph: &Graph) -> Vec<Pair> {
    let pair = |&input: &TensorId| {
        let mut start = input;
        while let Some((reader, None)) = {
            let mut readers = graph.readers(start);
            readers.next().map(|first| (first, readers.next()))
        } {
            let node = &graph.nodes[reader];
            let constants = |id: &TensorId| *id == start || graph[*id].is_constant();
            let same = graph[node.outputs[0]].shape == graph[start].shape;
            let normalizes =
                matches!(node.op, Op::Binary(_)) && node.inputs.iter().flatten().all(constants);
            if !(normalizes && same) {
                break;
            }
            start = node.outputs[0];
        }
        let channels = *graph[start].shape.last()?;
        let (second, between) = behind(graph, start, channels)?;
        (graph[start].dtype == DType::F32).then_some(Pair { first: None, second, between })
    };
    graph.inputs.iter().filter_map(pair).collect()
}

/// Whether a node gives `s × y` for `s × x` with any positive `s` per channel, the innermost axis.
fn scales_along(graph: &Graph, node: &Node) -> bool {
    let Some(x) = node.inputs.first().copied().flatten() else { return false };
    let (x, y) = (&graph[x].shape, &graph[node.outputs[0]].shape);
    let channels = x.len().saturating_sub(1);
    let unbounded =
        |activation: Activation| matches!(activation, Activation::None | Activation::Relu);
    match &node.op {
        Op::Unary(Unary::Range(range)) => unbounded(*range),
        Op::Unary(Unary::LeakyRelu { alpha }) => *alpha >= 0.0,
        Op::MaxPool2d(op) => unbounded(op.0.activation),
        Op::AveragePool2d(op) => unbounded(op.0.activation),
        Op::Pad(op) => {
            op.value.is_none_or(|value| value as u32 == 0) && op.padding.last() == Some(&[0, 0])
        }
        Op::MirrorPad(_) => x.last() == y.last(),
        Op::Reduce(op) => {
            matches!(op.kind, Kind::Mean | Kind::Sum | Kind::Max | Kind::Min)
                && !op.axes.contains(&channels)
        }
        // Flattening keeps channels innermost; what splits or joins them otherwise does not.
        Op::Reshape(_) => match (x.last(), y.last()) {
            (Some(&from), Some(&to)) => to.is_multiple_of(from),
            _ => false,
        },
        _ => false,
    }
}

/// Whether the sums of a layer provably stay below `bound`, before its activation: its input is the
/// output of an activation that bounds it. Then a ReLU6 is a ReLU, and stays one as long as scaling
/// makes nothing larger.
fn stays_below(graph: &Graph, index: usize, layer: &Linear, bound: f64) -> bool {
    let Some(input) = graph.nodes[index].inputs[0] else { return false };
    let Some(writer) = graph.writer(input) else { return false };
    let (min, max) = match &graph.nodes[writer].op {
        Op::Softmax(_) | Op::Unary(Unary::Logistic) => (0.0, 1.0),
        Op::Unary(Unary::Range(range)) => range.real_range(),
        op => activation(op).real_range(),
    };
    if min < 0.0 || !max.is_finite() {
        return false;
    }
    let (Ok(weights), Ok(mut sums)) = (graph[layer.weights].values::<f32>(), bias(graph, layer))
    else {
        return false;
    };
    for (at, &w) in weights.iter().enumerate() {
        sums[layer.place(at).output] += f64::from(w.max(0.0)) * f64::from(max);
    }
    sums.iter().all(|&sum| sum < bound)
}

fn bias(graph: &Graph, layer: &Linear) -> Result<Vec<f64>> {
    match layer.bias {
        Some(id) => Ok(graph[id].values::<f32>()?.into_iter().map(f64::from).collect()),
        None => Ok(vec![0.0; layer.outputs]),
    }
}

/// By channel, the power of two that divides it.
fn powers(
    graph: &Graph,
    calibration: &Calibration,
    pair: &Pair,
    recipe: &Recipe,
) -> Result<Vec<i32>> {
    let last = pair.between.last().and_then(|&id| calibration.tensor(id));
    let second = Linear::of(graph, &graph.nodes[pair.second]);
    let (Some(seen), Some(second)) = (last, second) else { return Ok(Vec::new()) };
    let channels = match pair.first {
        Some(first) => graph[graph.nodes[first].outputs[0]].shape.last(),
        None => graph[pair.between[0]].shape.last(),
    };
    let channels = channels.copied().unwrap_or(1);
    if seen.nans + seen.infinities > 0 || !seen.channels.len().is_multiple_of(channels) {
        return Ok(Vec::new());
    }
    let weights: Vec<f32> = graph[second.weights].values()?;
    let reading = Reading::new(&second, &weights, seen, channels, recipe.per_channel);
    let bounded =
        pair.first.is_some_and(|first| activation(&graph.nodes[first].op) == Activation::Relu6);
    let least = reading.noise(&vec![0; channels]);
    let mut best = (least * WORTH, vec![0; channels]);
    for alpha in ALPHAS {
        let powers = reading.powers(alpha, bounded);
        let noise = reading.noise(&powers);
        if noise < best.0 {
            best = (noise, powers);
        }
    }
    Ok(best.1)
}

/// How a layer reads the channels in front of it.
struct Reading<'a> {
    layer: &'a Linear,
    weights: &'a [f32],
    /// By channel, the largest activation.
    magnitudes: Vec<f64>,
    /// By channel, the mean square of activations.
    squares: Vec<f64>,
    /// By channel, the largest weight that reads it.
    largest: Vec<f64>,
    /// By channel, the sum of squares of all weights that read it.
    energy: Vec<f64>,
    per_channel: bool,
}

impl<'a> Reading<'a> {
    fn new(
        layer: &'a Linear,
        weights: &'a [f32],
        seen: &Observed,
        channels: usize,
        per_channel: bool,
    ) -> Self {
        let rows = (seen.channels.len() / channels) as f64;
        let (mut magnitudes, mut squares) = (vec![0.0_f64; channels], vec![0.0; channels]);
        for (index, (channel, square)) in seen.channels.iter().zip(seen.mean_squares()).enumerate()
        {
            let channel_of = index % channels;
            magnitudes[channel_of] = magnitudes[channel_of].max(channel.magnitude());
            squares[channel_of] += square / rows;
        }
        let (mut largest, mut energy) = (vec![0.0_f64; channels], vec![0.0; channels]);
        for (index, &w) in weights.iter().enumerate() {
            let channel = layer.place(index).input % channels;
            largest[channel] = largest[channel].max(f64::from(w.abs()));
            energy[channel] += f64::from(w) * f64::from(w);
        }
        Self { layer, weights, magnitudes, squares, largest, energy, per_channel }
    }

    /// The powers of two nearest to `M^α / m^(1 − α)`, up to a factor that all channels share: the
    /// largest activation keeps its size.
    fn powers(&self, alpha: f64, bounded: bool) -> Vec<i32> {
        let log = |(magnitude, largest): (&f64, &f64)| {
            // Channels that are always zero, or that nothing reads, have nothing to gain.
            let alive = magnitude.is_normal() && largest.is_normal();
            alive.then(|| alpha * magnitude.log2() - (1.0 - alpha) * largest.log2())
        };
        let logs: Vec<Option<f64>> = self.magnitudes.iter().zip(&self.largest).map(log).collect();
        let mut largest = (f64::NEG_INFINITY, 0.0);
        for (log, magnitude) in logs.iter().zip(&self.magnitudes) {
            if let Some(log) = *log
                && *magnitude > largest.0
            {
                largest = (*magnitude, log);
            }
        }
        let power = |log: Option<f64>| {
            let power = log.map_or(0.0, |log| (log - largest.1).round().clamp(-24.0, 24.0)) as i32;
            if bounded { power.max(0) } else { power }
        };
        let mut powers: Vec<i32> = logs.iter().map(|&log| power(log)).collect();
        // What reads a channel that is always zero must not widen the range of all weights.
        let scaled = |(power, largest): (&i32, &f64)| f64::from(*power).exp2() * largest;
        let live = |(power, (log, largest)): (&i32, (&Option<f64>, &f64))| {
            if log.is_some() { scaled((power, largest)) } else { 0.0 }
        };
        let widest =
            powers.iter().zip(logs.iter().zip(&self.largest)).map(live).fold(0.0, f64::max);
        for (power, (log, &largest)) in powers.iter_mut().zip(logs.iter().zip(&self.largest)) {
            let room = (widest / largest).log2();
            if log.is_none() && room.is_finite() && !bounded {
                *power = room.floor().clamp(-24.0, 0.0) as i32;
            }
        }
        powers
    }

    /// The noise in the layer's sums that rounding of activations and weights would cause, with
    /// channels divided by `2^powers`: of a step `δ` each rounding has the variance `δ² / 12`.
    fn noise(&self, powers: &[i32]) -> f64 {
        let factor = |channel: usize| f64::from(powers[channel]).exp2();
        let channels = self.magnitudes.len();
        let largest = (0..channels).map(|c| self.magnitudes[c] / factor(c)).fold(0.0, f64::max);
        let energy: f64 = (0..channels).map(|c| self.energy[c] * factor(c).powi(2)).sum();
        let activations = (largest / 127.0).powi(2) * energy;

        let mut widest = vec![0.0_f64; self.layer.outputs];
        let mut power = vec![0.0; self.layer.outputs];
        for (index, &w) in self.weights.iter().enumerate() {
            let place = self.layer.place(index);
            let channel = place.input % channels;
            widest[place.output] = widest[place.output].max(f64::from(w.abs()) * factor(channel));
            power[place.output] += self.squares[channel] / factor(channel).powi(2);
        }
        if !self.per_channel {
            let most = widest.iter().copied().fold(0.0, f64::max);
            widest.fill(most);
        }
        let weights = widest.iter().zip(&power).map(|(w, power)| (w / 127.0).powi(2) * power);
        (activations + weights.sum::<f64>()) / 12.0
    }
}

/// Divides channels by `2^power`, and multiplies the weights that read them.
fn apply(
    graph: &mut Graph,
    calibration: &mut Calibration,
    pair: &Pair,
    powers: &[i32],
) -> Result<()> {
    let factor = |power: i32| f64::from(power).exp2() as f32;
    own_constants(graph, pair.second);
    if let Some(second) = Linear::of(graph, &graph.nodes[pair.second]) {
        let channels = powers.len();
        scale(graph, second.weights, |index| factor(powers[second.place(index).input % channels]))?;
    }
    match pair.first {
        Some(index) => {
            own_constants(graph, index);
            if let Some(first) = Linear::of(graph, &graph.nodes[index]) {
                scale(graph, first.weights, |at| factor(-powers[first.place(at).output]))?;
                if let Some(bias) = first.bias {
                    scale(graph, bias, |index| factor(-powers[index]))?;
                }
            }
        }
        None => multiply_input(graph, calibration, pair, powers),
    }
    let scaled = if pair.first.is_some() { &pair.between[..] } else { &pair.between[1..] };
    for &id in scaled {
        if let Some(seen) = calibration.tensor_mut(id) {
            *seen = seen.scaled(powers);
        }
    }
    Ok(())
}

/// Multiplies the channels of an input by `2^-power`, in float.
fn multiply_input(graph: &mut Graph, calibration: &mut Calibration, pair: &Pair, powers: &[i32]) {
    let x = pair.between[0];
    let factors: Vec<f32> = powers.iter().map(|&power| f64::from(-power).exp2() as f32).collect();
    let name = format!("{}/equalized", graph[x].name);
    let y = Tensor::new(&name[..], DType::F32, graph[x].shape.clone());
    let factors = graph.add_tensor(Tensor::constant("", vec![powers.len()], &factors));
    let y = graph.add_tensor(y);
    graph.replace_uses(x, y);
    let op = Op::Binary(Binary {
        operation: Arithmetic::Mul,
        activation: Activation::None,
        power_of_two: false,
    });
    let origin = format!("equalization of '{}'", graph[x].name);
    let node = Node { op, inputs: vec![Some(x), Some(factors)], outputs: vec![y], origin };
    let position = graph.writer(x).map_or(0, |writer| writer + 1);
    graph.nodes.insert(position, node);
    if let Some(seen) = calibration.tensor(x) {
        let scaled = seen.scaled(powers);
        calibration.insert(y, &name, scaled);
    }
}

fn scale(graph: &mut Graph, id: TensorId, factor: impl Fn(usize) -> f32) -> Result<()> {
    let mut values: Vec<f32> = graph[id].values()?;
    values.iter_mut().enumerate().for_each(|(index, value)| *value *= factor(index));
    graph[id] = Tensor::constant(&graph[id].name[..], graph[id].shape.clone(), &values);
    Ok(())
}

/// Gives a layer constants that no other node reads.
fn own_constants(graph: &mut Graph, index: usize) {
    for position in 1..graph.nodes[index].inputs.len().min(3) {
        let Some(id) = graph.nodes[index].inputs[position] else { continue };
        let uses = graph.nodes.iter().flat_map(|node| &node.inputs).filter(|&&x| x == Some(id));
        if uses.count() > 1 {
            let copy = graph.add_tensor(graph[id].clone());
            graph.nodes[index].inputs[position] = Some(copy);
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;
    use crate::{
        calibrate::calibrate,
        npz::Array,
        ops::fully_connected::FullyConnected,
        passes::testing::{Chain, output},
    };

    fn dense(chain: &mut Chain, weights: &[f32], bias: &[f32], activation: Activation) {
        let (outputs, inputs) = (bias.len(), chain.shape()[1]);
        let weights = Tensor::constant("w", vec![outputs, inputs], weights);
        let bias = Tensor::constant("b", vec![outputs], bias);
        let op = FullyConnected { keep_dims: false, activation, asymmetric: false };
        chain.add_with(Op::FullyConnected(op), &[weights, bias], &[1, outputs]);
    }

    /// Two layers with `factors` on the channels between them, which the second takes back.
    fn layers(factors: [f32; 3], activation: Activation) -> Graph {
        let mut chain = Chain::new(&[1, 2]);
        let [a, b, c] = factors;
        let first = [0.5 * a, 0.25 * a, -0.3 * b, 0.7 * b, 0.6 * c, 0.1 * c];
        dense(&mut chain, &first, &[0.1 * a, 0.2 * b, 0.3 * c], activation);
        dense(&mut chain, &[1.0 / a, 0.8 / b, -0.5 / c], &[0.5], Activation::None);
        chain.finish()
    }

    fn equalized(graph: &mut Graph) -> (usize, Calibration) {
        let values: Vec<f32> = (0..40).map(|i| (i as f32 * 0.77).sin() * 3.0).collect();
        let bytes = values.as_bytes().to_vec();
        let array = Array { name: "x".into(), dtype: DType::F32, shape: vec![20, 2], bytes };
        let mut calibration = calibrate(graph, &[array], &|| {}).unwrap();
        let count = run(graph, &mut calibration, &Recipe::default()).unwrap();
        for node in &graph.nodes {
            graph.check(node).unwrap();
        }
        (count, calibration)
    }

    #[test]
    fn channels_of_different_size_become_alike_and_the_answer_stays_to_the_bit() {
        let mut graph = layers([1.0, 200.0, 0.02], Activation::Relu);
        let before = output(&graph);
        let (count, calibration) = equalized(&mut graph);
        assert!(count >= 2, "{count} channels were scaled");
        assert_eq!(output(&graph), before);
        let seen = calibration.tensor(graph.nodes[0].outputs[0]).unwrap();
        let sizes: Vec<f64> = seen.channels.iter().map(|channel| channel.magnitude()).collect();
        let (least, most) =
            sizes.iter().fold((f64::MAX, 0.0_f64), |ends, &x| (ends.0.min(x), ends.1.max(x)));
        assert!(most < 8.0 * least, "{sizes:?}");
    }

    #[test]
    fn channels_that_are_alike_stay_as_they_are() {
        let mut graph = layers([1.0, 1.5, 0.8], Activation::Relu);
        assert_eq!(equalized(&mut graph).0, 0);
    }

    #[test]
    fn what_does_not_scale_is_left_alone() {
        let mut graph = layers([1.0, 200.0, 0.02], Activation::ReluN1To1);
        assert_eq!(equalized(&mut graph).0, 0);
        // ReLU6 does where it never reaches 6, which nothing proves here.
        let mut graph = layers([1.0, 200.0, 0.02], Activation::Relu6);
        assert_eq!(equalized(&mut graph).0, 0);
        // What others read has to stay.
        let mut graph = layers([1.0, 200.0, 0.02], Activation::Relu);
        let between = graph.nodes[0].outputs[0];
        graph.outputs.push(between);
        assert_eq!(equalized(&mut graph).0, 0);
    }

    #[test]
    fn inputs_of_different_size_are_multiplied_in_float() {
        let mut chain = Chain::new(&[1, 2]);
        dense(&mut chain, &[1e4, 0.5, -2e4, 0.25], &[0.0, 1.0], Activation::None);
        let mut graph = chain.finish();
        let before = output(&graph);
        let bytes: Vec<u8> = (0..20)
            .flat_map(|i| [(i as f32).sin() * 1e-4, (i as f32).cos() * 5.0])
            .flat_map(f32::to_le_bytes)
            .collect();
        let array = Array { name: "x".into(), dtype: DType::F32, shape: vec![20, 2], bytes };
        let mut calibration = calibrate(&graph, &[array], &|| {}).unwrap();
        assert!(run(&mut graph, &mut calibration, &Recipe::default()).unwrap() > 0);
        assert!(matches!(graph.nodes[0].op, Op::Binary(_)));
        assert_eq!(output(&graph), before);
    }
}
