//! Small quantized networks made at random: convolutions, depthwise ones, pools and residual sums over
//! an image, in any order and of any shape.

use std::sync::Arc;

use proptest::prelude::*;
use systole_converter::{
    graph::{Graph, Node, Quantization, Tensor, TensorId},
    ops::{
        Op,
        average_pool_2d::AveragePool2d,
        binary::{Arithmetic, Binary},
        conv2d::Conv2d,
        depthwise_conv2d::DepthwiseConv2d,
        max_pool_2d::MaxPool2d,
        pool::Pooling,
        window::{Padding2d, Window},
    },
    scale::Activation,
};
use systole_core::DType;

/// What a layer does.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Conv,
    Depthwise,
    AveragePool,
    MaxPool,
    /// The sum with an earlier tensor of the same shape, so many layers back if there is one.
    Sum(usize),
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
        3 => (1..5_usize).prop_map(Kind::Sum),
    ];
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

/// Networks of int8 of up to `layers` layers.
pub fn networks(layers: usize) -> impl Strategy<Value = Graph> {
    let image = (4..20_usize, 1..16_usize, 1..9_usize, -128..128_i32);
    (image, proptest::collection::vec(layer(), 1..=layers)).prop_map(|(image, layers)| {
        let (height, width, channels, zero_point) = image;
        let mut network = Network::new([1, height, width, channels], zero_point);
        for layer in layers {
            network.add(&layer);
        }
        network.graph.outputs = vec![network.last()];
        network.graph
    })
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
        if let Kind::Sum(back) = layer.kind {
            let before = self.tensors.len().checked_sub(1 + back).map(|at| self.tensors[at]);
            let Some(other) = before.filter(|&id| self.graph[id].shape == self.graph[x].shape)
            else {
                return;
            };
            let op = Binary { operation: Arithmetic::Add, activation, power_of_two: false };
            let shape = [1, height, width, channels];
            return self.push(Op::Binary(op), vec![x, other], &shape, layer.zero_point);
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
                let weights = self.weights(&shape, 0, layer);
                let op = Op::Conv2d(Conv2d { window, activation });
                let inputs = vec![x, weights];
                self.push(op, inputs, &[1, rows, columns, layer.channels], zero_point);
            }
            Kind::Depthwise => {
                let shape = [1, layer.kernel[0], layer.kernel[1], channels];
                let weights = self.weights(&shape, 3, layer);
                let op = Op::DepthwiseConv2d(DepthwiseConv2d { window, activation });
                self.push(op, vec![x, weights], &[1, rows, columns, channels], zero_point);
            }
            _ => {}
        }
    }

    fn push(&mut self, op: Op, inputs: Vec<TensorId>, shape: &[usize], zero_point: i32) {
        let name = format!("t{}", self.tensors.len());
        let y = self.graph.add_tensor(activation(&name, shape, zero_point));
        let inputs = inputs.into_iter().map(Some).collect();
        let node = Node { op, inputs, outputs: vec![y], origin: name };
        self.graph.add_node(node).expect("the layer fits");
        self.tensors.push(y);
    }

    /// Weights, each output channel with a scale of its own.
    fn weights(&mut self, shape: &[usize], axis: usize, layer: &Layer) -> TensorId {
        let mut state = layer.seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let data: Vec<u8> = (0..shape.iter().product()).map(|_| next()).collect();
        let scales: Vec<f32> =
            (0..shape[axis]).map(|_| 0.001 + f32::from(next()) / 30_000.0).collect();
        let quantization = Quantization { zero_points: vec![0; scales.len()], scales, axis };
        self.graph.add_tensor(Tensor {
            quantization: Some(quantization),
            data: Some(Arc::from(data)),
            ..Tensor::new("", DType::I8, shape.to_vec())
        })
    }
}

fn activation(name: &str, shape: &[usize], zero_point: i32) -> Tensor {
    let quantization = Quantization { scales: vec![0.05], zero_points: vec![zero_point], axis: 0 };
    Tensor { quantization: Some(quantization), ..Tensor::new(name, DType::I8, shape.to_vec()) }
}
