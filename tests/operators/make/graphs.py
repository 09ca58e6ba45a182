"""Graphs of several operators: views, folding, branches, ties in requantization: python graphs.py [PART OF A NAME]"""
import numpy as np

from model import Model
from rows import SHORT, cases, options_of, q

SAME, VALID = 0, 1
NONE, RELU, RELU6 = 0, 1, 3


class Graph(Model):
    """A model whose operators return their outputs; `to` is what these are: (type, scale, zero point)."""

    def do(self, op, operands, *to, version=2, last=False, **fields):
        results = [(self.output if last else self.hidden)(*t) for t in to]
        self.op(op, operands, results, options_of(op), version, **fields)
        return results[0] if len(results) == 1 else results

    def ints(self, *values):
        return self.const(np.array(values, np.int32))

    def conv(self, x, kind, channels, outputs, size, to, last=False, depthwise=False, stride=1, padding=SAME, act=NONE, x_scale=0.05):
        """A convolution with weights of its own."""
        r = np.random.default_rng(len(self.tensors))
        shape, axis = ((1, size, size, outputs), 3) if depthwise else ((outputs, size, size, channels), 0)
        if kind == "float32":
            w, b = self.const(r.standard_normal(shape).astype(np.float32)), self.const(r.standard_normal(outputs).astype(np.float32))
        else:
            scale = r.uniform(0.005, 0.02, outputs).astype(np.float32)
            w = self.const(r.integers(-127, 128, shape).astype(np.int8), scale, 0, axis)
            b = self.const(r.integers(-2000, 2000, outputs).astype(np.int64 if kind == "int16" else np.int32), scale * x_scale, 0)
        more = dict(depthMultiplier=outputs // channels) if depthwise else {}
        return self.do("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x, w, b], to, version=3, last=last, padding=padding, strideH=stride, strideW=stride,
                       dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=act, **more)


def of(kind, scale, zero=0):
    return (kind, *q(kind, scale, zero))


for kind in ("int8", "int16"):
    k = SHORT[kind]
    scale = 0.05 if kind == "int8" else 0.05 / 256
    g = Graph()
    a = g.conv(g.input(kind, (1, 7, 6, 3), *q(kind, 0.05, -3)), kind, 3, 4, 3, of(kind, 0.4, -128), stride=2, act=RELU, x_scale=scale)
    b = g.conv(a, kind, 4, 4, 3, of(kind, 0.6, -128), depthwise=True, act=RELU6, x_scale=8 * scale)
    d = g.conv(b, kind, 4, 6, 1, of(kind, 0.5, 7), x_scale=12 * scale)
    e = g.do("MEAN", [d, g.ints(1, 2)], of(kind, 0.5, 7), keepDims=False)
    g.do("SOFTMAX", [e], (kind, *{"int8": (1 / 256, -128), "int16": (1 / 32768, 0)}.get(kind, (None, 0))), beta=1.0, last=True)
    cases.add(f"graph_separable_{k}", g)

    g = Graph()
    a = g.input(kind, (1, 4, 3, 4), *q(kind, 0.05, -3))
    b = g.do("AVERAGE_POOL_2D", [a], of(kind, 0.05, -3), filterHeight=2, filterWidth=2, strideH=1, strideW=1, padding=SAME)
    d = g.conv(a, kind, 4, 3, 1, of(kind, 0.05, -3), x_scale=scale)
    e = g.do("CONCATENATION", [b, d, a], of(kind, 0.05, -3), axis=3)
    g.do("ADD", [e, e], of(kind, 0.11, 5), last=True, **(dict(potScaleInt16=False) if kind == "int16" else {}))
    cases.add(f"graph_branches_{k}", g)

g = Graph()
a = g.input("int8", (2, 3, 4), 0.05, -3)
shape = g.do("SHAPE", [a], ("int32",), outType=2)
parts = [g.do("STRIDED_SLICE", [shape, g.ints(i), g.ints(i + 1), g.ints(1)], ("int32",), shrinkAxisMask=1) for i in range(3)]
rows = g.do("MUL", parts[:2], ("int32",))
g.do("RESHAPE", [a, g.do("PACK", [rows, parts[2]], ("int32",), version=1, valuesCount=2, axis=0)], ("int8", 0.05, -3), last=True)
cases.add("graph_merges_axes_i8", g)

g = Graph()
a = g.input("int8", (2, 6), 0.05, -3)
g.do("RESHAPE", [a, g.ints(3, 4)], ("int8", 0.05, -3), last=True)
g.do("RESHAPE", [a, g.ints(12)], ("int8", 0.05, -3), last=True)
cases.add("graph_two_views_of_the_input_i8", g)

# Dequantized steps of a half, quantized to whole ones: every other value is a tie.
for target, t in (("int8", (1.0, 3)), ("uint8", (1.0, 120)), ("int16", (1.0, 0))):
    g = Graph()
    a = g.do("DEQUANTIZE", [g.input("int8", (1, 43), 0.5, -4)], ("float32",))
    g.do("QUANTIZE", [a], (target, *t), last=True)
    cases.add(f"graph_quantize_ties_{SHORT[target]}", g)

g = Graph()
half = g.do("DEQUANTIZE", [g.input("int8", (1, 43), 0.5, -4)], ("float32",))
g.do("ROUND", [half], ("float32",), version=1, last=True)
g.do("FLOOR", [half], ("float32",), version=1, last=True)
g.do("CEIL", [half], ("float32",), version=1, last=True)
cases.add("graph_round_ties", g)

g = Graph()
a = g.input("float32", (2, 5))
b = g.do("QUANTIZE", [a], ("int8", 0.04, 3))
w = g.const(np.random.default_rng(1).integers(-127, 128, (4, 5)).astype(np.int8), 0.02)
d = g.do("FULLY_CONNECTED", [b, w, -1], ("int8", 0.1, -6), version=4)
e = g.do("LOGISTIC", [d], ("int8", 1 / 256, -128))
g.do("DEQUANTIZE", [e], ("float32",), last=True)
cases.add("graph_float_ends", g)

g = Graph()
a, b = g.input("int8", (3, 5), 0.05, 1), g.input("int8", (3, 5), 0.07, -2)
ones = g.do("ADD", [a, b], ("int8", 0.1, 0), last=True)
twos = g.do("MUL", [ones, ones], ("int8", 0.2, 5), last=True)
g.do("SUB", [ones, twos], ("int8", 0.2, 5), last=True)
cases.add("graph_diamond_of_outputs", g)

# Two halves of int8 attention.
g = Graph()
a, b, v = (g.input("int8", (1, 2, 5, 4), 0.05, z) for z in (1, -2, 4))
s = g.do("BATCH_MATMUL", [a, b], ("int8", 0.1, 3), version=4, adjY=True)
s = g.do("MUL", [s, g.const(np.array(127, np.int8), 0.5 / 127)], ("int8", 0.05, 3))
s = g.do("SOFTMAX", [s], ("int8", 1 / 256, -128), beta=1.0)
g.do("BATCH_MATMUL", [s, v], ("int8", 0.02, -4), version=4, last=True)
cases.add("graph_attention_i8", g)

g = Graph()
a = g.input("float32", (1, 3, 8))
mean = g.do("MEAN", [a, g.ints(-1)], ("float32",), keepDims=True)
d = g.do("SQUARED_DIFFERENCE", [a, mean], ("float32",), version=1)
v = g.do("MEAN", [d, g.ints(-1)], ("float32",), keepDims=True)
r = g.do("RSQRT", [g.do("ADD", [v, g.const(np.float32(1e-3))], ("float32",), version=1)], ("float32",), version=1)
g.do("MUL", [g.do("SUB", [a, mean], ("float32",), version=1), r], ("float32",), version=1, last=True)
cases.add("graph_layer_norm_f32", g)

cases.finish("graphs")
