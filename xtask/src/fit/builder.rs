//! Models made for measuring: layers of chosen shapes beside each other, each with an output of its own.

use std::sync::Arc;

use systole_converter::{
    AlignedBytes, Match, Names, Options,
    compile::compile,
    graph::{Graph, Node, Quantization, Tensor, TensorId},
    ops::{
        Op,
        average_pool_2d::AveragePool2d,
        binary::{Arithmetic, Binary},
        concatenation::Concatenation,
        conv2d::Conv2d,
        depthwise_conv2d::DepthwiseConv2d,
        dequantize::Dequantize,
        fully_connected::FullyConnected,
        max_pool_2d::MaxPool2d,
        pad::Pad,
        pool::Pooling,
        quantize::Quantize,
        reduce::{Kind, Reduce},
        reshape::Reshape,
        softmax::Softmax,
        unary::Unary,
        window::{Padding2d, Window},
    },
    scale::Activation,
};
use systole_core::DType;

use crate::error::{Result, failed};

/// The scale of activations.
const SCALE: f32 = 0.05;
/// Their zero point.
const ZERO_POINT: i32 = -5;
/// The standard deviation of int8 that takes all values alike.
const SPREAD: f32 = 74.0;

/// A model in the making. Layers read the model's inputs, or what other layers give.
#[derive(Debug, Default)]
pub struct Builder {
    graph: Graph,
    seed: u32,
    /// Whether all outputs of a layer from now on have one scale.
    pub one_scale: bool,
}

/// Where a window goes, and what is around the image.
#[derive(Debug, Clone, Copy)]
pub struct Moves {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Whether the image has a border, so that strides alone make the output smaller.
    pub same: bool,
}

/// A square kernel that moves by `stride` over an image with a border.
pub fn square(kernel: usize, stride: usize) -> Moves {
    Moves { kernel: [kernel; 2], stride: [stride; 2], same: true }
}

/// The same without a border.
pub fn inside(kernel: [usize; 2], stride: usize) -> Moves {
    Moves { kernel, stride: [stride; 2], same: false }
}

impl Moves {
    /// Padding and size of the output along an axis, as TFLite has them.
    fn axis(&self, axis: usize, size: usize) -> ([usize; 2], usize) {
        let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
        if !self.same {
            return ([0; 2], (size - kernel) / stride + 1);
        }
        let outputs = size.div_ceil(stride);
        let padding = ((outputs - 1) * stride + kernel).saturating_sub(size);
        ([padding / 2, padding - padding / 2], outputs)
    }

    fn over(&self, [height, width]: [usize; 2]) -> (Window, [usize; 2]) {
        let ((rows, out_h), (columns, out_w)) = (self.axis(0, height), self.axis(1, width));
        let padding = Padding2d { rows, columns };
        (Window { stride: self.stride, dilation: [1; 2], padding }, [out_h, out_w])
    }
}

impl Builder {
    /// An input of int8.
    pub fn input(&mut self, shape: &[usize]) -> TensorId {
        self.typed_input(shape, DType::I8)
    }

    /// An input of float32.
    pub fn float_input(&mut self, shape: &[usize]) -> TensorId {
        self.typed_input(shape, DType::F32)
    }

    /// An input of int8 with the spread of what goes into SOFTMAX.
    pub fn logits(&mut self, shape: &[usize]) -> TensorId {
        let id = self.input(shape);
        self.graph[id].quantization.iter_mut().for_each(|q| q.scales = vec![0.15]);
        id
    }

    fn typed_input(&mut self, shape: &[usize], dtype: DType) -> TensorId {
        let name = format!("x{}", self.graph.inputs.len());
        let mut tensor = quantized(&name, shape, SCALE, ZERO_POINT);
        if dtype != DType::I8 {
            tensor = Tensor::new(name, dtype, shape.to_vec());
        }
        let id = self.graph.add_tensor(tensor);
        self.graph.inputs.push(id);
        id
    }

    fn image(&self, x: TensorId) -> [usize; 4] {
        self.graph[x].dims().unwrap_or([1; 4])
    }

    /// CONV_2D.
    pub fn conv(&mut self, x: TensorId, outputs: usize, moves: Moves, act: Activation) -> TensorId {
        let [n, h, w, c] = self.image(x);
        let (window, [out_h, out_w]) = moves.over([h, w]);
        let [kernel_h, kernel_w] = moves.kernel;
        let (weights, scale) = self.weights(&[outputs, kernel_h, kernel_w, c], 0);
        let op = Op::Conv2d(Conv2d { window, activation: act });
        let y = quantized("", &[n, out_h, out_w, outputs], scale, zero_point(act));
        self.node(op, &[x, weights], y)
    }

    /// DEPTHWISE_CONV_2D.
    pub fn depthwise(&mut self, x: TensorId, moves: Moves, act: Activation) -> TensorId {
        let [n, h, w, c] = self.image(x);
        let (window, [out_h, out_w]) = moves.over([h, w]);
        let [kernel_h, kernel_w] = moves.kernel;
        let (weights, scale) = self.weights(&[1, kernel_h, kernel_w, c], 3);
        let op = Op::DepthwiseConv2d(DepthwiseConv2d { window, activation: act });
        self.node(op, &[x, weights], quantized("", &[n, out_h, out_w, c], scale, zero_point(act)))
    }

    /// FULLY_CONNECTED of an input of two dimensions.
    pub fn fully_connected(&mut self, x: TensorId, outputs: usize, act: Activation) -> TensorId {
        let [batches, inputs] = self.graph[x].dims().unwrap_or([1; 2]);
        let (weights, scale) = self.weights(&[outputs, inputs], 0);
        let op = FullyConnected { keep_dims: true, activation: act, asymmetric: false };
        let y = quantized("", &[batches, outputs], scale, zero_point(act));
        self.node(Op::FullyConnected(op), &[x, weights], y)
    }

    /// AVERAGE_POOL_2D, or MAX_POOL_2D.
    pub fn pool(&mut self, x: TensorId, moves: Moves, max: bool) -> TensorId {
        let [n, h, w, c] = self.image(x);
        let (window, [out_h, out_w]) = moves.over([h, w]);
        let pooling = Pooling { window, kernel: moves.kernel, activation: Activation::None };
        let op = match max {
            true => Op::MaxPool2d(MaxPool2d(pooling)),
            false => Op::AveragePool2d(AveragePool2d(pooling)),
        };
        let quantization = self.graph[x].quantization.clone();
        let y = Tensor { quantization, ..Tensor::new("", DType::I8, vec![n, out_h, out_w, c]) };
        self.node(op, &[x], y)
    }

    /// ADD or MUL of two tensors, the second of which may be smaller.
    pub fn binary(&mut self, operation: Arithmetic, a: TensorId, b: TensorId) -> TensorId {
        let op = Binary { operation, activation: Activation::None, power_of_two: false };
        let shape = self.graph[a].shape.clone();
        self.node(Op::Binary(op), &[a, b], quantized("", &shape, 0.07, 3))
    }

    /// SOFTMAX.
    pub fn softmax(&mut self, x: TensorId) -> TensorId {
        let shape = self.graph[x].shape.clone();
        let y = quantized("", &shape, 1.0 / 256.0, -128);
        self.node(Op::Softmax(Softmax { beta: 1.0 }), &[x], y)
    }

    /// LOGISTIC, a table of int8.
    pub fn logistic(&mut self, x: TensorId) -> TensorId {
        let shape = self.graph[x].shape.clone();
        let y = quantized("", &shape, 1.0 / 256.0, -128);
        self.node(Op::Unary(Unary::Logistic), &[x], y)
    }

    /// MEAN along axes.
    pub fn mean(&mut self, x: TensorId, axes: &[usize]) -> TensorId {
        let shape = self.graph[x].shape.iter().enumerate();
        let shape: Vec<usize> =
            shape.filter(|(axis, _)| !axes.contains(axis)).map(|(_, &dim)| dim).collect();
        let op = Reduce { kind: Kind::Mean, axes: axes.to_vec(), keep_dims: false };
        self.node(Op::Reduce(op), &[x], quantized("", &shape, 0.01, 7))
    }

    /// CONCATENATION of two tensors.
    pub fn concatenation(&mut self, a: TensorId, b: TensorId, axis: usize) -> TensorId {
        let mut shape = self.graph[a].shape.clone();
        shape[axis] += self.graph[b].shape[axis];
        let y = quantized("", &shape, SCALE, ZERO_POINT);
        self.node(Op::Concatenation(Concatenation { axis }), &[a, b], y)
    }

    /// PAD.
    pub fn pad(&mut self, x: TensorId, padding: &[[usize; 2]]) -> TensorId {
        let dims = self.graph[x].shape.iter().zip(padding);
        let shape: Vec<usize> = dims.map(|(dim, [before, behind])| dim + before + behind).collect();
        let op = Op::Pad(Pad { padding: padding.to_vec(), value: None });
        self.node(op, &[x], quantized("", &shape, SCALE, ZERO_POINT))
    }

    /// QUANTIZE, of floats or to another scale.
    pub fn quantize(&mut self, x: TensorId) -> TensorId {
        let shape = self.graph[x].shape.clone();
        self.node(Op::Quantize(Quantize), &[x], quantized("", &shape, 0.06, 11))
    }

    /// DEQUANTIZE.
    pub fn dequantize(&mut self, x: TensorId) -> TensorId {
        let shape = self.graph[x].shape.clone();
        self.node(Op::Dequantize(Dequantize), &[x], Tensor::new("", DType::F32, shape))
    }

    /// RESHAPE, which costs nothing.
    pub fn reshape(&mut self, x: TensorId, shape: &[usize]) -> TensorId {
        let quantization = self.graph[x].quantization.clone();
        let y = Tensor { quantization, ..Tensor::new("", DType::I8, shape.to_vec()) };
        self.node(Op::Reshape(Reshape), &[x], y)
    }

    fn node(&mut self, op: Op, inputs: &[TensorId], mut y: Tensor) -> TensorId {
        y.name = format!("y{}", self.graph.nodes.len());
        let (y, origin) = (self.graph.add_tensor(y), op.name().to_owned());
        let inputs = inputs.iter().copied().map(Some).collect();
        self.graph.nodes.push(Node { op, inputs, outputs: vec![y], origin });
        y
    }

    /// Weights of any values, each output channel with a scale of its own unless there is to be one for all, and
    /// the output's scale with which outputs are as spread as inputs are.
    fn weights(&mut self, shape: &[usize], axis: usize) -> (TensorId, f32) {
        let data: Vec<u8> = (0..shape.iter().product()).map(|_| self.next()).collect();
        let scales = if self.one_scale { 1 } else { shape[axis] };
        let scales: Vec<f32> =
            (0..scales).map(|_| 0.01 + f32::from(self.next()) / 50_000.0).collect();
        let filter = data.len() / shape[axis];
        let scale = SCALE * 0.0125 * SPREAD * (filter as f32).sqrt();
        let quantization = Quantization { zero_points: vec![0; scales.len()], scales, axis };
        let id = self.graph.add_tensor(Tensor {
            quantization: Some(quantization),
            data: Some(Arc::from(data)),
            ..Tensor::new("", DType::I8, shape.to_vec())
        });
        (id, scale)
    }

    /// Weights are not −128, as in models that were quantized.
    fn next(&mut self) -> u8 {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match (self.seed >> 24) as u8 {
            0x80 => 0x81,
            byte => byte,
        }
    }

    /// The file. Outputs that no layer reads are the model's.
    ///
    /// # Errors
    /// Where layers do not fit each other.
    pub fn finish(mut self, matching: Match) -> Result<AlignedBytes> {
        for node in &self.graph.nodes {
            self.graph.check(node)?;
        }
        let written = self.graph.nodes.iter().flat_map(|node| node.outputs.clone());
        self.graph.outputs =
            written.filter(|&id| self.graph.readers(id).next().is_none()).collect();
        let options =
            Options { matching, names: Names::Ports, plan_budget: 20_000, ..Options::default() };
        let compiled = compile(&self.graph, &options).map_err(|problem| failed!("{problem}"))?;
        Ok(AlignedBytes::from(&compiled.written.bytes[..]))
    }
}

/// Networks that are trained with RELU have all of int8 for what it lets pass; those with RELU6 need not.
fn zero_point(activation: Activation) -> i32 {
    if activation == Activation::Relu { -128 } else { ZERO_POINT }
}

fn quantized(name: &str, shape: &[usize], scale: f32, zero_point: i32) -> Tensor {
    let quantization = Quantization { scales: vec![scale], zero_points: vec![zero_point], axis: 0 };
    Tensor { quantization: Some(quantization), ..Tensor::new(name, DType::I8, shape.to_vec()) }
}
