"""Convolutions, fully connected and matrix products: python linear.py [PART OF A NAME]"""
import sys

import numpy as np

from model import Cases, Model

cases = Cases(sys.argv[1] if len(sys.argv) > 1 else None)
NONE, RELU, RELU_N1, RELU6 = 0, 1, 2, 3
SAME, VALID = 0, 1


def weights(rng, shape, dtype="int8"):
    if dtype == "float32":
        return rng.standard_normal(shape).astype(np.float32)
    info = np.iinfo(dtype)
    return rng.integers(info.min + (dtype == "int8"), info.max + 1, shape).astype(dtype)


INT32 = 2  # the schema's TensorType


def operands(m, rng, kind, x_shape, w_shape, axis, per_channel=True, bias=True, narrow=False, x_scale=0.05, x_zero=3, y_scale=0.9, y_zero=-7):
    """Input, weights, bias and output of a linear operator of type `kind`."""
    outputs = w_shape[axis]
    if kind == "float32":
        x = m.input("float32", x_shape)
        w = m.const(weights(rng, w_shape, "float32"))
        b = m.const(weights(rng, (outputs,), "float32")) if bias else -1
        return x, w, b, m.output("float32")
    if kind == "hybrid":
        x = m.input("float32", x_shape)
        scale = rng.uniform(0.01, 0.03, outputs if per_channel else 1).astype(np.float32)
        w = m.const(weights(rng, w_shape), scale, 0, axis)
        b = m.const(weights(rng, (outputs,), "float32")) if bias else -1
        return x, w, b, m.output("float32")
    if kind == "uint8":
        x = m.input("uint8", x_shape, x_scale, x_zero + 128)
        w = m.const(weights(rng, w_shape, "uint8"), 0.02, 119)
        b = m.const(rng.integers(-3000, 3000, outputs).astype(np.int32), x_scale * 0.02, 0) if bias else -1
        return x, w, b, m.output("uint8", y_scale, y_zero + 128)
    scale = rng.uniform(0.01, 0.03, outputs if per_channel else 1).astype(np.float32)
    if kind == "int16":
        x_scale, y_scale, x_zero, y_zero = x_scale / 256, y_scale / 256, 0, 0
    x = m.input(kind, x_shape, x_scale, x_zero)
    w = m.const(weights(rng, w_shape), scale, 0, axis)
    b = -1
    if bias:
        b_type = np.int64 if kind == "int16" and not narrow else np.int32
        b = m.const(rng.integers(-3000, 3000, outputs).astype(b_type), x_scale * scale, 0, 0)
    return x, w, b, m.output(kind, y_scale, y_zero)


def bias_type(narrow=False, **_):
    """The option that says that sums have 32 bits beside int16."""
    return dict(quantizedBiasType=INT32) if narrow else {}


def conv(name, kind, x, w, padding=VALID, stride=(1, 1), dilation=(1, 1), act=NONE, **more):
    m, rng = Model(), np.random.default_rng(len(name))
    *inputs, y = operands(m, rng, kind, x, w, 0, **more)
    m.op("CONV_2D", [i for i in inputs if i >= 0], [y], "Conv2DOptions", 3, padding=padding, strideH=stride[0], strideW=stride[1],
         dilationHFactor=dilation[0], dilationWFactor=dilation[1], fusedActivationFunction=act, **bias_type(**more))
    cases.add(name, m)


def depthwise(name, kind, x, w, multiplier, padding=VALID, stride=(1, 1), dilation=(1, 1), act=NONE, **more):
    m, rng = Model(), np.random.default_rng(len(name))
    *inputs, y = operands(m, rng, kind, x, w, 3, **more)
    m.op("DEPTHWISE_CONV_2D", [i for i in inputs if i >= 0], [y], "DepthwiseConv2DOptions", 3, padding=padding, strideH=stride[0],
         strideW=stride[1], dilationHFactor=dilation[0], dilationWFactor=dilation[1], fusedActivationFunction=act, depthMultiplier=multiplier)
    cases.add(name, m)


def transpose_conv(name, kind, x, w, out, padding=VALID, stride=(1, 1), act=NONE, **more):
    m, rng = Model(), np.random.default_rng(len(name))
    xi, wi, b, y = operands(m, rng, kind, x, w, 0, **more)
    shape = m.const(np.array(out, np.int32))
    m.op("TRANSPOSE_CONV", [i for i in (shape, wi, xi, b) if i >= 0], [y], "TransposeConvOptions", 4 if act else 3, padding=padding,
         strideH=stride[0], strideW=stride[1], fusedActivationFunction=act, **bias_type(**more))
    cases.add(name, m)


def fully(name, kind, x, w, act=NONE, keep=False, asymmetric=False, version=None, **more):
    m, rng = Model(), np.random.default_rng(len(name))
    xi, wi, b, y = operands(m, rng, kind, x, w, 0, **more)
    m.op("FULLY_CONNECTED", [xi, wi, b], [y], "FullyConnectedOptions", version or 5, fusedActivationFunction=act, keepNumDims=keep,
         asymmetricQuantizeInputs=asymmetric, **bias_type(**more))
    cases.add(name, m)


for kind in ("int8", "uint8", "int16", "float32", "hybrid"):
    k = kind.replace("int8", "i8").replace("int16", "i16").replace("float32", "f32").replace("ui8", "u8")
    one = dict(per_channel=False)
    conv(f"conv_2d_{k}_valid", kind, (1, 7, 5, 3), (5, 3, 2, 3))
    conv(f"conv_2d_{k}_same_stride_relu", kind, (1, 8, 7, 4), (6, 3, 3, 4), SAME, (2, 2), act=RELU)
    conv(f"conv_2d_{k}_dilated", kind, (1, 9, 8, 2), (3, 3, 2, 2), SAME, dilation=(2, 3))
    conv(f"conv_2d_{k}_pointwise_batch_relu6", kind, (2, 3, 5, 17), (11, 1, 1, 17), act=RELU6, y_scale=0.05, y_zero=-128)
    conv(f"conv_2d_{k}_no_bias_per_tensor", kind, (1, 5, 5, 3), (4, 2, 2, 3), bias=False, **one)
    depthwise(f"depthwise_conv_2d_{k}_valid", kind, (1, 7, 6, 5), (1, 3, 3, 5), 1)
    depthwise(f"depthwise_conv_2d_{k}_same_stride_relu6", kind, (1, 9, 7, 8), (1, 3, 3, 8), 1, SAME, (2, 2), act=RELU6, y_scale=0.05)
    depthwise(f"depthwise_conv_2d_{k}_multiplier", kind, (1, 6, 5, 3), (1, 2, 3, 6), 2, SAME)
    depthwise(f"depthwise_conv_2d_{k}_dilated", kind, (1, 9, 9, 2), (1, 3, 3, 2), 1, SAME, dilation=(2, 2))
    fully(f"fully_connected_{k}_per_tensor", kind, (3, 19), (7, 19), **one)
    fully(f"fully_connected_{k}_relu", kind, (1, 33), (9, 33), RELU, **one)
    fully(f"fully_connected_{k}_no_bias", kind, (2, 16), (5, 16), bias=False, **one)
    fully(f"fully_connected_{k}_keep_dims", kind, (2, 3, 8), (5, 8), keep=True, **one)
    if kind not in ("uint8", "float32"):
        fully(f"fully_connected_{k}_per_channel", kind, (3, 19), (7, 19))
    if kind != "hybrid":
        transpose_conv(f"transpose_conv_{k}_same", kind, (1, 4, 5, 3), (2, 3, 3, 3), (1, 8, 10, 2), SAME, (2, 2))
        transpose_conv(f"transpose_conv_{k}_valid", kind, (1, 3, 4, 4), (3, 2, 3, 4), (1, 4, 6, 3), VALID)
        transpose_conv(f"transpose_conv_{k}_no_bias", kind, (1, 3, 3, 2), (5, 3, 3, 2), (1, 6, 6, 5), SAME, (2, 2), bias=False)
for kind, k in (("int8", "i8"), ("int16", "i16"), ("float32", "f32"), ("hybrid", "hybrid")):
    conv(f"conv_2d_{k}_groups", kind, (1, 6, 5, 6), (9, 3, 2, 2), SAME)
    if kind != "float32":
        conv(f"conv_2d_{k}_per_tensor", kind, (2, 6, 5, 3), (5, 3, 2, 3), SAME, per_channel=False)
        depthwise(f"depthwise_conv_2d_{k}_per_tensor", kind, (1, 6, 5, 3), (1, 3, 3, 3), 1, SAME, per_channel=False)
        fully(f"fully_connected_{k}_wide", kind, (2, 530), (5, 530), y_scale=4)
conv("conv_2d_i16_int32_bias", "int16", (1, 7, 5, 3), (5, 3, 2, 3), narrow=True)
fully("fully_connected_i16_int32_bias", "int16", (3, 19), (7, 19), narrow=True, version=11)
fully("fully_connected_i16_int32_bias_per_tensor", "int16", (3, 19), (7, 19), narrow=True, per_channel=False, version=11)
transpose_conv("transpose_conv_i8_relu", "int8", (1, 4, 5, 3), (2, 4, 3, 3), (1, 12, 10, 2), SAME, (3, 2), act=RELU)
transpose_conv("transpose_conv_f32_relu6", "float32", (2, 4, 5, 3), (2, 4, 3, 3), (2, 12, 10, 2), SAME, (3, 2), act=RELU6)
fully("fully_connected_hybrid_asymmetric", "hybrid", (3, 19), (7, 19), asymmetric=True, per_channel=False, version=9)
fully("fully_connected_i8_fine_output", "int8", (2, 31), (6, 31), per_channel=False, y_scale=0.03, y_zero=11)
conv("conv_2d_i8_fine_output", "int8", (1, 5, 5, 7), (6, 3, 3, 7), y_scale=0.04, y_zero=21)


def matmul(name, kind, a, b, adj_x=False, adj_y=False, constant=False):
    m, rng = Model(), np.random.default_rng(len(name))
    if kind == "float32":
        x = m.input(kind, a)
        y = m.const(weights(rng, b, kind)) if constant else m.input(kind, b)
        out = m.output(kind)
    elif kind == "hybrid":
        x = m.input("float32", a)
        y = m.const(weights(rng, b), 0.02, 0)
        out = m.output("float32")
    else:
        step, zero = (1 / 256, 0) if kind == "int16" else (1, 5)
        x = m.input(kind, a, 0.05 * step, zero)
        y = m.const(weights(rng, b, kind), 0.03 * step, -zero) if constant else m.input(kind, b, 0.03 * step, -zero)
        out = m.output(kind, 0.7 * step, zero)
    m.op("BATCH_MATMUL", [x, y], [out], "BatchMatMulOptions", 4, adjX=adj_x, adjY=adj_y)
    cases.add(name, m)


for kind, k in (("int8", "i8"), ("int16", "i16"), ("float32", "f32")):
    matmul(f"batch_matmul_{k}", kind, (2, 3, 5), (2, 5, 4))
    matmul(f"batch_matmul_{k}_adj_y", kind, (2, 3, 5), (2, 4, 5), adj_y=True)
    matmul(f"batch_matmul_{k}_adj_x", kind, (1, 5, 3), (1, 5, 4), adj_x=True)
    matmul(f"batch_matmul_{k}_broadcast", kind, (2, 1, 3, 5), (3, 5, 4))
    matmul(f"batch_matmul_{k}_constant", kind, (1, 3, 5), (1, 5, 4), constant=True)
matmul("batch_matmul_hybrid", "hybrid", (2, 3, 5), (5, 4))
cases.finish("linear")
