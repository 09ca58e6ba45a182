"""Small networks in numpy: trained with Adam, quantized to int8 as TFLite specifies, written as .tflite.

Enough for models that fit any microcontroller, so that whoever changes one needs no training framework.
Activations are [samples, height, width, channels]; weights are laid out as TFLite's.
"""
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/operators/make"))
from model import KERNELS, Model, litert  # noqa: E402

PADDING_SAME, RELU = 0, 1


def same(size, kernel, stride):
    """Rows before and after so that ceil(size / stride) windows fit."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Layer:
    """Has `weights` and `bias`, and their gradients after `backward`; `relu` says whether one follows."""

    weights, relu = None, False

    def rectify(self, y):
        self.y = np.maximum(y, 0) if self.relu else y
        return self.y

    def gradient(self, dy):
        return dy * (self.y > 0) if self.relu else dy


class Windows(Layer):
    """What convolutions share: the windows of an input as [n, out_h, out_w, kernel_h, kernel_w, c]."""

    def __init__(self, kernel, stride, relu=True):
        self.kernel, self.stride, self.relu = kernel, stride, relu

    def windows(self, x):
        (kh, kw), s = self.kernel, self.stride
        self.pads = same(x.shape[1], kh, s[0]), same(x.shape[2], kw, s[1])
        self.padded = np.pad(x, ((0, 0), *self.pads, (0, 0)))
        w = np.lib.stride_tricks.sliding_window_view(self.padded, (kh, kw), (1, 2))
        return w[:, :: s[0], :: s[1]].transpose(0, 1, 2, 4, 5, 3)

    def scatter(self, dw):
        """The gradient of the input from that of its windows."""
        dx, s = np.zeros_like(self.padded), self.stride
        _, h, w, kh, kw, _ = dw.shape
        for i in range(kh):
            for j in range(kw):
                dx[:, i : i + s[0] * h : s[0], j : j + s[1] * w : s[1]][:, :h, :w] += dw[:, :, :, i, j]
        (top, bottom), (left, right) = self.pads
        return dx[:, top : dx.shape[1] - bottom, left : dx.shape[2] - right]


class Conv(Windows):
    def __init__(self, rng, kernel, c_in, c_out, stride=(1, 1)):
        super().__init__(kernel, stride)
        self.weights = rng.normal(0, np.sqrt(2 / (kernel[0] * kernel[1] * c_in)), (c_out, *kernel, c_in))
        self.bias = np.zeros(c_out)

    def forward(self, x):
        self.w = self.windows(x)
        return self.rectify(np.tensordot(self.w, self.weights, ((3, 4, 5), (1, 2, 3))) + self.bias)

    def backward(self, dy):
        dy = self.gradient(dy)
        self.grads = np.tensordot(dy, self.w, ((0, 1, 2), (0, 1, 2))), dy.sum((0, 1, 2))
        return self.scatter(np.tensordot(dy, self.weights, (3, 0)))

    def write(self, m, x, y, w, b):
        m.op("CONV_2D", [x, w, b], [y], "Conv2DOptions", padding=PADDING_SAME, strideH=self.stride[0],
             strideW=self.stride[1], dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=RELU, version=3)


class Depthwise(Windows):
    def __init__(self, rng, kernel, c, stride=(1, 1)):
        super().__init__(kernel, stride)
        self.weights = rng.normal(0, np.sqrt(2 / (kernel[0] * kernel[1])), (1, *kernel, c))
        self.bias = np.zeros(c)

    def forward(self, x):
        self.w = self.windows(x)
        return self.rectify((self.w * self.weights[:, None, None]).sum((3, 4)) + self.bias)

    def backward(self, dy):
        dy = self.gradient(dy)
        self.grads = (dy[:, :, :, None, None] * self.w).sum((0, 1, 2))[None], dy.sum((0, 1, 2))
        return self.scatter(dy[:, :, :, None, None] * self.weights[:, None, None])

    def write(self, m, x, y, w, b):
        m.op("DEPTHWISE_CONV_2D", [x, w, b], [y], "DepthwiseConv2DOptions", padding=PADDING_SAME, depthMultiplier=1,
             strideH=self.stride[0], strideW=self.stride[1], dilationHFactor=1, dilationWFactor=1,
             fusedActivationFunction=RELU, version=3)


class Dense(Layer):
    def __init__(self, rng, c_in, c_out, relu=False):
        self.relu = relu
        self.weights = rng.normal(0, np.sqrt(2 / c_in), (c_out, c_in))
        self.bias = np.zeros(c_out)

    def forward(self, x):
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        return self.rectify(self.x @ self.weights.T + self.bias)

    def backward(self, dy):
        dy = self.gradient(dy)
        self.grads = dy.T @ self.x, dy.sum(0)
        return (dy @ self.weights).reshape(self.shape)

    def write(self, m, x, y, w, b):
        m.op("FULLY_CONNECTED", [x, w, b], [y], "FullyConnectedOptions", fusedActivationFunction=RELU * self.relu, version=4)


class Average(Layer):
    """The mean over height and width. In int8 it keeps its input's scale."""

    def forward(self, x):
        self.shape = x.shape
        return x.mean((1, 2), keepdims=True)

    def backward(self, dy):
        return np.broadcast_to(dy / (self.shape[1] * self.shape[2]), self.shape)

    def write(self, m, x, y):
        m.op("AVERAGE_POOL_2D", [x], [y], "Pool2DOptions", padding=1, strideH=self.shape[1], strideW=self.shape[2],
             filterHeight=self.shape[1], filterWidth=self.shape[2], version=2)


def forward(layers, x):
    for layer in layers:
        x = layer.forward(x)
    return x


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def square_loss(y, want):
    return 2 * (y - want) / len(y)


def class_loss(y, labels):
    return (softmax(y) - np.eye(y.shape[1])[labels]) / len(y)


def fit(layers, x, want, loss, epochs, batch, rate, rng):
    """Adam with a rate that falls to zero along half a cosine; `loss` gives the gradient of the output."""
    trained = [layer for layer in layers if layer.weights is not None]
    moments = [[np.zeros_like(p) for p in (l.weights, l.bias, l.weights, l.bias)] for l in trained]
    step, steps = 0, epochs * -(-len(x) // batch)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            pick = order[start : start + batch]
            grad = loss(forward(layers, x[pick]), want[pick])
            for layer in reversed(layers):
                grad = layer.backward(grad)
            now = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            step += 1
            for layer, (mw, mb, vw, vb) in zip(trained, moments):
                for p, g, m, v in ((layer.weights, layer.grads[0], mw, vw), (layer.bias, layer.grads[1], mb, vb)):
                    m += 0.1 * (g - m)
                    v += 0.001 * (g * g - v)
                    p -= now * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)


def scaled(low, high):
    """Scale and zero point of int8 values from `low` to `high`, with 0 among them."""
    low, high = min(low, 0), max(high, 0)
    scale = np.float32((high - low) / 255)
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


def quantized(layers, shape, sample, names, input_scale, output_range=None, classes=False):
    """The .tflite: int8 throughout, weights per channel (per tensor where dense), a softmax for `classes`.

    Ranges of activations are those that `sample` shows.
    """
    m = Model()
    scale, zero = input_scale
    at = m.tensor("int8", shape, scale, zero, name=names[0])
    m.inputs.append(at)
    m.ranges.append(None)
    for i, layer in enumerate(layers):
        sample = layer.forward(sample)
        last = i + 1 == len(layers)
        if layer.weights is None:
            y = m.hidden("int8", scale, zero)
            layer.write(m, at, y)
        else:
            y_scale, y_zero = scaled(*(output_range if last and output_range else (sample.min(), sample.max())))
            y = m.tensor("int8", (), y_scale, y_zero, name=names[1] if last and not classes else None)
            axis = {Conv: 0, Depthwise: 3}.get(type(layer))
            others = tuple(d for d in range(layer.weights.ndim) if d != axis)
            w_scale = np.float32(np.maximum(np.abs(layer.weights).max(others, keepdims=True), 1e-6) / 127)
            w = m.const(np.round(layer.weights / w_scale).astype(np.int8), w_scale.ravel(), 0, axis or 0)
            b_scale = np.float32(scale) * w_scale.ravel()
            b = m.const(np.round(layer.bias / b_scale).astype(np.int32), b_scale, 0, 0)
            layer.write(m, at, y, w, b)
            scale, zero = y_scale, y_zero
        at = y
    if classes:
        y = m.tensor("int8", (), 1 / 256, -128, name=names[1])
        m.op("SOFTMAX", [at], [y], "SoftmaxOptions", beta=1.0, version=2)
        at = y
    m.outputs.append(at)
    return m.shaped(KERNELS[0])


def as_int8(x, scale, zero):
    return np.clip(np.round(x / scale) + zero, -128, 127).astype(np.int8)


def run(flat, x):
    """What LiteRT's reference kernels make of int8 samples, one at a time."""
    return litert(flat, [[sample[None]] for sample in x])[0].reshape(len(x), -1)
