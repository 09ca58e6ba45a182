//! Small quantized networks made at random: convolutions, depthwise ones, pools, residual sums, products
//! and functions over an image, in any order and of any shape; and what classifiers have behind them.

use std::sync::Arc;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use systole_converter::{
    graph::{Graph, Node, Quantization, Tensor, TensorId},
    ops::{
        Op,
        average_pool_2d::AveragePool2d,
        binary::{Arithmetic, Binary},
        concatenation::Concatenation,
        conv2d::Conv2d,
        depthwise_conv2d::DepthwiseConv2d,
        fully_connected::FullyConnected,
        max_pool_2d::MaxPool2d,
        pool::Pooling,
        reduce::{self, Reduce},
        softmax::Softmax,
        unary::Unary,
        window::{Padding2d, Window},
    },
    scale::Activation,
};
use systole_core::DType;

/// What a layer does.
#[derive(Debug, Clone)]
enum Kind {
    Conv,
    Depthwise,
    AveragePool,
    MaxPool,
    /// The sum with an earlier tensor of the same shape, so many layers back if there is one; the
    /// difference from it, or the product.
    Combine(Arithmetic, usize),
    /// A convolution of one pixel, and its sum with what it is over; the difference from it, or the
    /// product.
    Residual(Arithmetic),
    /// The channels beside those of an earlier tensor of the same height and width.
    Beside(usize),
    /// A function of each element.
    Function(Unary),
}

/// A layer before it is known what its input is.
#[derive(Debug, Clone)]
struct Layer {
    kind: Kind,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: usize,
    padding: [usize; 2],
    channels: usize,
    relu: bool,
    zero_point: i32,
    seed: u32,
}

fn layer() -> impl Strategy<Value = Layer> {
    let kind = prop_oneof![
        4 => Just(Kind::Conv),
        4 => Just(Kind::Depthwise),
        1 => Just(Kind::AveragePool),
        1 => Just(Kind::MaxPool),
        3 => (1..5_usize).prop_map(|back| Kind::Combine(Arithmetic::Add, back)),
    ];
    layer_of(kind)
}

/// A layer of any kind.
fn any_layer() -> impl Strategy<Value = Layer> {
    let function = prop_oneof![
        Just(Unary::Logistic),
        Just(Unary::Tanh),
        Just(Unary::HardSwish),
        Just(Unary::Abs),
        Just(Unary::Neg),
    ];
    let arithmetic = prop_oneof![
        3 => Just(Arithmetic::Add),
        1 => Just(Arithmetic::Sub),
        1 => Just(Arithmetic::Mul),
    ];
    let kind = prop_oneof![
        2 => arithmetic.prop_map(Kind::Residual),
        1 => (1..5_usize).prop_map(Kind::Beside),
        1 => function.prop_map(Kind::Function),
    ];
    prop_oneof![2 => layer(), 1 => layer_of(kind)]
}

/// A layer of a kind.
fn layer_of(kind: impl Strategy<Value = Kind>) -> impl Strategy<Value = Layer> {
    // Most layers have kernels and strides as in real networks.
    let side = || prop_oneof![2 => Just(1_usize), 3 => Just(3), 1 => 1..6_usize];
    let step = || prop_oneof![4 => Just(1_usize), 1 => Just(2), 1 => 1..4_usize];
    let sizes = (side(), side(), step(), step(), prop_oneof![5 => Just(1_usize), 1 => 1..4_usize]);
    let rest = (0..3_usize, 0..3_usize, 1..10_usize, any::<bool>(), -128..128_i32, any::<u32>());
    (kind, sizes, rest).prop_map(|(kind, (h, w, down, right, dilation), rest)| {
        let (top, left, channels, relu, zero_point, seed) = rest;
        Layer {
            kind,
            kernel: [h, w],
            stride: [down, right],
            dilation,
            padding: [top, left],
            channels,
            relu,
            zero_point,
            seed,
        }
    })
}

/// Networks of int8 of up to `layers` layers: convolutions, pools and sums.
pub fn networks(layers: usize) -> impl Strategy<Value = Graph> {
    (image(), proptest::collection::vec(layer(), 1..=layers))
        .prop_map(|(image, layers)| Network::over(image, &layers).end())
}

/// Two convolutions of 3×3 over an image of `size` by `size` pixels, `channels` each.
pub fn convolutions(size: usize, channels: usize, seed: u32) -> Graph {
    let layer = |seed| Layer {
        kind: Kind::Conv,
        kernel: [3, 3],
        stride: [1, 1],
        dilation: 1,
        padding: [1, 1],
        channels,
        relu: false,
        zero_point: 7,
        seed,
    };
    Network::over((size, size, channels, -20), &[layer(seed), layer(!seed)]).end()
}

/// Networks of int8 of up to `layers` layers of all kinds, most of which end as classifiers do: with a
/// mean or the whole image, fully connected layers, SOFTMAX.
pub fn classifiers(layers: usize) -> impl Strategy<Value = Graph> {
    let dense = (1..40_usize, any::<bool>(), -128..128_i32, any::<u32>());
    let head = (any::<bool>(), proptest::collection::vec(dense, 0..3), any::<bool>());
    let layers = proptest::collection::vec(any_layer(), 0..=layers);
    (image(), layers, head).prop_map(|(image, layers, (mean, dense, softmax))| {
        let mut network = Network::over(image, &layers);
        if mean {
            network.mean();
        }
        for (outputs, relu, zero_point, seed) in dense {
            network.dense(outputs, relu, zero_point, seed);
        }
        if softmax || network.tensors.len() == 1 {
            network.softmax();
        }
        network.end()
    })
}

/// The network of number `seed` of all [`classifiers`]: always the same one.
pub fn classifier(layers: usize, seed: u64) -> Graph {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let tree = classifiers(layers).new_tree(&mut runner);
    tree.expect("nothing is filtered").current()
}

/// Height, width, channels and zero point.
type Image = (usize, usize, usize, i32);

fn image() -> impl Strategy<Value = Image> {
    (4..20_usize, 1..16_usize, 1..9_usize, -128..128_i32)
}

struct Network {
    graph: Graph,
    /// The input, and the output of each layer.
    tensors: Vec<TensorId>,
}

impl Network {
    fn new(shape: [usize; 4], zero_point: i32) -> Self {
        let mut graph = Graph::default();
        let input = graph.add_tensor(activation("x", &shape, zero_point));
        graph.inputs = vec![input];
        Self { graph, tensors: vec![input] }
    }

    /// The layers that fit, over an image.
    fn over((height, width, channels, zero_point): Image, layers: &[Layer]) -> Self {
        let mut network = Self::new([1, height, width, channels], zero_point);
        for layer in layers {
            network.add(layer);
        }
        network
    }

    /// The network, whose output is that of the last layer.
    fn end(mut self) -> Graph {
        self.graph.outputs = vec![self.last()];
        self.graph
    }

    fn last(&self) -> TensorId {
        *self.tensors.last().expect("there is the input")
    }

    /// Adds a layer where it fits.
    fn add(&mut self, layer: &Layer) {
        let x = self.last();
        let [_, height, width, channels] = self.graph[x].dims().expect("an image");
        let extent = |axis: usize| (layer.kernel[axis] - 1) * layer.dilation + 1;
        // Padding is less than a window, so that every window sees something.
        let padding = [0, 1].map(|axis| layer.padding[axis].min(extent(axis) - 1));
        let out = |axis: usize, length: usize| {
            let room = (length + 2 * padding[axis]).checked_sub(extent(axis))?;
            Some(room / layer.stride[axis] + 1)
        };
        let activation = if layer.relu { Activation::Relu } else { Activation::None };
        let window = Window {
            stride: layer.stride,
            dilation: [layer.dilation; 2],
            padding: Padding2d { rows: [padding[0]; 2], columns: [padding[1]; 2] },
        };
        let before = |back: usize| {
            let at = self.tensors.len().checked_sub(1 + back)?;
            self.tensors.get(at).copied()
        };
        match &layer.kind {
            Kind::Combine(operation, back) => {
                let fits = |&id: &TensorId| self.graph[id].shape == self.graph[x].shape;
                let Some(other) = before(*back).filter(fits) else { return };
                let op = Binary { operation: *operation, activation, power_of_two: false };
                let shape = [1, height, width, channels];
                return self.push(Op::Binary(op), vec![x, other], &shape, layer.zero_point);
            }
            Kind::Residual(operation) => {
                let inputs = self.with_weights(x, &[channels, 1, 1, channels], 0, layer.seed);
                let shape = [1, height, width, channels];
                let padding = Padding2d::default();
                let point = Window { stride: [1; 2], dilation: [1; 2], padding };
                let conv = Op::Conv2d(Conv2d { window: point, activation });
                self.push(conv, inputs, &shape, layer.zero_point);
                let op = Binary { operation: *operation, activation, power_of_two: false };
                let operands = vec![x, self.last()];
                return self.push(Op::Binary(op), operands, &shape, layer.zero_point);
            }
            Kind::Beside(back) => {
                let fits = |&id: &TensorId| self.graph[id].shape[..3] == self.graph[x].shape[..3];
                let Some(other) = before(*back).filter(fits) else { return };
                let shape = [1, height, width, channels + self.graph[other].shape[3]];
                let op = Op::Concatenation(Concatenation { axis: 3 });
                return self.push(op, vec![x, other], &shape, layer.zero_point);
            }
            Kind::Function(function) => {
                let (scale, zero_point) = match function {
                    Unary::Logistic => (1.0 / 256.0, -128),
                    Unary::Tanh => (1.0 / 128.0, 0),
                    _ => (0.05, layer.zero_point),
                };
                let shape = [1, height, width, channels];
                let y = activation_of("", &shape, scale, zero_point);
                return self.push_to(Op::Unary(*function), vec![x], y);
            }
            _ => {}
        }
        let (Some(rows), Some(columns)) = (out(0, height), out(1, width)) else { return };
        let pool = || Pooling { window, kernel: layer.kernel, activation };
        let zero_point = layer.zero_point;
        match layer.kind {
            Kind::AveragePool | Kind::MaxPool if layer.dilation == 1 => {
                // Pools keep the scale and the zero point.
                let zero_point = self.graph[x].zero_point().expect("it is quantized");
                let op = match layer.kind {
                    Kind::MaxPool => Op::MaxPool2d(MaxPool2d(pool())),
                    _ => Op::AveragePool2d(AveragePool2d(pool())),
                };
                self.push(op, vec![x], &[1, rows, columns, channels], zero_point);
            }
            Kind::Conv => {
                let shape = [layer.channels, layer.kernel[0], layer.kernel[1], channels];
                let inputs = self.with_weights(x, &shape, 0, layer.seed);
                let op = Op::Conv2d(Conv2d { window, activation });
                self.push(op, inputs, &[1, rows, columns, layer.channels], zero_point);
            }
            Kind::Depthwise => {
                let shape = [1, layer.kernel[0], layer.kernel[1], channels];
                let inputs = self.with_weights(x, &shape, 3, layer.seed);
                let op = Op::DepthwiseConv2d(DepthwiseConv2d { window, activation });
                self.push(op, inputs, &[1, rows, columns, channels], zero_point);
            }
            _ => {}
        }
    }

    /// The mean over height and width.
    fn mean(&mut self) {
        let x = self.last();
        let (shape, zero_point) = (self.graph[x].shape.clone(), self.graph[x].zero_point());
        let op = Reduce { kind: reduce::Kind::Mean, axes: vec![1, 2], keep_dims: false };
        let zero_point = zero_point.expect("it is quantized");
        self.push(Op::Reduce(op), vec![x], &[1, shape[3]], zero_point);
    }

    /// A fully connected layer over all elements.
    fn dense(&mut self, outputs: usize, relu: bool, zero_point: i32, seed: u32) {
        let x = self.last();
        let elements = self.graph[x].shape.iter().product();
        let inputs = self.with_weights(x, &[outputs, elements], 0, seed);
        let activation = if relu { Activation::Relu } else { Activation::None };
        let op = FullyConnected { keep_dims: false, activation, asymmetric: false };
        self.push(Op::FullyConnected(op), inputs, &[1, outputs], zero_point);
    }

    /// SOFTMAX over the last axis.
    fn softmax(&mut self) {
        let x = self.last();
        let y = activation_of("", &self.graph[x].shape.clone(), 1.0 / 256.0, -128);
        self.push_to(Op::Softmax(Softmax { beta: 1.0 }), vec![x], y);
    }

    fn push(&mut self, op: Op, inputs: Vec<TensorId>, shape: &[usize], zero_point: i32) {
        self.push_to(op, inputs, activation("", shape, zero_point));
    }

    /// Adds an operator with the output `y`, which gets a name.
    fn push_to(&mut self, op: Op, inputs: Vec<TensorId>, y: Tensor) {
        let name = format!("t{}", self.tensors.len());
        let y = self.graph.add_tensor(Tensor { name: name.clone(), ..y });
        let inputs = inputs.into_iter().map(Some).collect();
        let node = Node { op, inputs, outputs: vec![y], origin: name };
        self.graph.add_node(node).expect("the layer fits");
        self.tensors.push(y);
    }

    /// `x`, weights, of which each output channel has a scale of its own, and in one of two layers
    /// biases. Sums of many products have smaller scales, so that outputs are not all at an end of
    /// their range.
    fn with_weights(
        &mut self,
        x: TensorId,
        shape: &[usize],
        axis: usize,
        seed: u32,
    ) -> Vec<TensorId> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let data: Vec<u8> = (0..shape.iter().product()).map(|_| next()).collect();
        let channels = shape[axis];
        let root = ((data.len() / channels) as f32).sqrt();
        let scales: Vec<f32> =
            (0..channels).map(|_| (0.003 + f32::from(next()) / 10_000.0) / root).collect();
        let bias = (next() % 2 == 0).then(|| {
            let of = |byte: u8| (i32::from(byte) - 128) * 256;
            (0..channels).flat_map(|_| of(next()).to_le_bytes()).collect::<Vec<u8>>()
        });
        let zero_points = vec![0; channels];
        let quantization = Quantization { zero_points, scales, axis };
        let weights = self.graph.add_tensor(Tensor {
            quantization: Some(quantization),
            data: Some(Arc::from(data)),
            ..Tensor::new("", DType::I8, shape.to_vec())
        });
        let mut inputs = vec![x, weights];
        if let Some(bias) = bias {
            let data = Some(Arc::from(bias));
            let bias = Tensor { data, ..Tensor::new("", DType::I32, vec![channels]) };
            inputs.push(self.graph.add_tensor(bias));
        }
        inputs
    }
}

fn activation(name: &str, shape: &[usize], zero_point: i32) -> Tensor {
    activation_of(name, shape, 0.05, zero_point)
}

fn activation_of(name: &str, shape: &[usize], scale: f32, zero_point: i32) -> Tensor {
    let quantization = Quantization { scales: vec![scale], zero_points: vec![zero_point], axis: 0 };
    Tensor { quantization: Some(quantization), ..Tensor::new(name, DType::I8, shape.to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_always_the_same_network() {
        let [one, again, other] = [7, 7, 8].map(|seed| format!("{:?}", classifier(8, seed)));
        assert_eq!(one, again);
        assert_ne!(one, other);
    }

    #[test]
    fn every_operator_is_met() {
        let mut met = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let graph = classifier(8, seed);
            assert!(!graph.nodes.is_empty());
            met.extend(graph.nodes.iter().map(|node| node.op.name()));
        }
        for name in [
            "CONV_2D",
            "DEPTHWISE_CONV_2D",
            "FULLY_CONNECTED",
            "AVERAGE_POOL_2D",
            "MAX_POOL_2D",
            "BINARY",
            "CONCATENATION",
            "UNARY",
            "REDUCE",
            "SOFTMAX",
        ] {
            assert!(met.contains(name), "{name}");
        }
    }
}
