#!/usr/bin/env python3
"""Writes MobileNet v2 1.0 224 in float with random weights, and images to calibrate it with.

    mobilenet_v2.py OUT.onnx SAMPLES OUT.npz

The graph is as PyTorch exports it for training: batch normalization is kept. Weights are drawn as for
training (He), statistics are those of no data, so outputs mean nothing: it is for time and memory.
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEED = 20
# Expansion, channels, repeats, stride: table 2 of Sandler et al., "MobileNetV2", CVPR 2018.
BLOCKS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
          (6, 320, 1, 1)]


class Graph:
    def __init__(self):
        self.random = np.random.default_rng(SEED)
        self.nodes, self.constants = [], []

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind, inputs, **attributes):
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def convolution(self, x, c_in, c_out, size, stride=1, groups=1, clip=True):
        fan_in = size * size * c_in // groups
        label = f"layer_{len(self.nodes)}"
        shape = (c_out, c_in // groups, size, size)
        weights = self.random.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        pad = size // 2
        x = self.node("Conv", [x, self.constant(f"{label}.weight", weights)], group=groups,
                      kernel_shape=[size, size], strides=[stride, stride], pads=[pad] * 4)
        statistics = {"scale": (0.8, 1.2), "bias": (-0.2, 0.2), "mean": (-0.2, 0.2), "var": (0.8, 1.2)}
        names = [self.constant(f"{label}.{name}", self.random.uniform(*ends, c_out).astype(np.float32))
                 for name, ends in statistics.items()]
        x = self.node("BatchNormalization", [x, *names])
        return self.node("Clip", [x, "zero", "six"]) if clip else x


def build():
    graph = Graph()
    graph.constant("zero", np.float32(0))
    graph.constant("six", np.float32(6))
    x, channels = graph.convolution("image", 3, 32, 3, stride=2), 32
    for expansion, c_out, repeats, first_stride in BLOCKS:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            wide = channels * expansion
            y = graph.convolution(x, channels, wide, 1) if expansion > 1 else x
            y = graph.convolution(y, wide, wide, 3, stride=stride, groups=wide)
            y = graph.convolution(y, wide, c_out, 1, clip=False)
            x = graph.node("Add", [x, y]) if stride == 1 and channels == c_out else y
            channels = c_out
    x = graph.convolution(x, channels, 1280, 1)
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x])])
    weights = graph.random.normal(0, np.sqrt(1 / 1280), (1000, 1280)).astype(np.float32)
    graph.nodes.append(helper.make_node(
        "Gemm", [x, graph.constant("classifier", weights)], ["logits"], name="classifier", transB=1))
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
             for name, shape in (("image", [1, 3, 224, 224]), ("logits", [1, 1000]))]
    whole = helper.make_graph(graph.nodes, "mobilenet_v2", ports[:1], ports[1:], graph.constants)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main():
    model, samples, images = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    onnx.save(build(), model)
    noise = np.random.default_rng(SEED + 1).normal(0, 1, (samples, 3, 14, 14)).astype(np.float32)
    np.savez(images, image=noise.repeat(16, axis=2).repeat(16, axis=3))


if __name__ == "__main__":
    main()
