#!/usr/bin/env python3
"""Writes quantized ONNX models with what ONNX Runtime makes of them, to be reproduced byte for byte.

    pip install onnx==1.23.2 onnxruntime==1.32.0 sympy
    python make.py --trained MODELS [NAME PART]

NAME.onnx is a model, NAME.npz its inputs ("input.X", the first axis counts samples) and the outputs ("output.Y").
Single operators come from a table below, whole models from the trained ones in the folder MODELS, by ONNX Runtime's
own quantize_static and quantize_dynamic. Outputs are those of onnxruntime on x86-64 with AVX2 and VNNI (without VNNI,
products of uint8 and int8 saturate at 16 bits there), with all of its graph optimizations, one sample at a time.
"""
import argparse
import pathlib
import zlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

HERE = pathlib.Path(__file__).parent
MICROSOFT = "com.microsoft"
SAMPLES = 6
KINDS = {"u8": np.uint8, "i8": np.int8}
FLOAT = TensorProto.FLOAT

onnxruntime.set_default_logger_severity(3)


class Builder:
    """One graph: constants, nodes, ports, and random numbers that depend on its name alone."""

    def __init__(self, name):
        self.name = name
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []

    def constant(self, array, name=None):
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def array(self, name):
        return next(numpy_helper.to_array(constant) for constant in self.constants if constant.name == name)

    def node(self, op, inputs, domain="", outputs=1, **attributes):
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def input(self, shape, dtype):
        name = f"x{len(self.inputs)}"
        self.inputs.append((name, shape, np.dtype(dtype)))
        return name

    def output(self, name, dtype):
        self.outputs.append((name, np.dtype(dtype)))

    def scale(self, low=0.01, high=0.1):
        return np.float32(self.random.uniform(low, high))

    def zero(self, kind):
        limits = np.iinfo(KINDS[kind])
        return KINDS[kind](self.random.integers(limits.min // 2 + limits.max // 4, limits.max // 2 + 1))

    def integers(self, kind, shape):
        limits = np.iinfo(KINDS[kind])
        return self.random.integers(limits.min, limits.max + 1, shape).astype(KINDS[kind])

    def quantized(self, shape, kind, scale=None, zero=None):
        """A quantized input: its name, scale and zero point."""
        scale = self.scale() if scale is None else np.float32(scale)
        zero = self.zero(kind) if zero is None else KINDS[kind](zero)
        return self.input(shape, KINDS[kind]), self.constant(scale), self.constant(zero)

    def parameters(self, kind, scale=None, zero=None):
        scale = self.scale() if scale is None else np.float32(scale)
        zero = self.zero(kind) if zero is None else KINDS[kind](zero)
        return self.constant(scale), self.constant(zero)

    def weights(self, shape, kind="i8", channels=None, zero=0):
        """Constant weights, their scales (one, or one per channel) and zero points."""
        count = channels or ()
        scales = self.random.uniform(0.002, 0.02, count).astype(np.float32)
        zeros = np.full(count, zero, KINDS[kind])
        return self.constant(self.integers(kind, shape)), self.constant(scales), self.constant(zeros)

    def bias(self, count):
        return self.constant(self.random.integers(-9000, 9000, count).astype(np.int32))

    def dequantize(self, operands, **attributes):
        return self.node("DequantizeLinear", list(operands), **attributes)

    def quantize(self, value, scale_and_zero):
        return self.node("QuantizeLinear", [value, *scale_and_zero])

    def model(self):
        ports = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(d), s) for n, s, d in self.inputs]
        out = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(d), None) for n, d in self.outputs]
        graph = helper.make_graph(self.nodes, self.name, ports, out, self.constants)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return onnx.shape_inference.infer_shapes(model)

    def samples(self):
        found = {}
        for name, shape, dtype in self.inputs:
            whole = (SAMPLES, *shape)
            if dtype == np.float32:
                # Ranges of different size, all above 0, all below, nothing but 0.
                values = self.random.normal(0, 2, whole)
                values[1], values[2], values[3] = abs(values[1]) * 9, -abs(values[2]), 0
                found[name] = values.astype(dtype)
            else:
                limits = np.iinfo(dtype)
                values = self.random.integers(limits.min, limits.max + 1, whole)
                values[0], values[1] = limits.min, limits.max
                found[name] = values.astype(dtype)
        return found


CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def kinds(function):
    """The case in uint8 and int8."""
    for kind in KINDS:
        CASES[f"{function.__name__}_{kind}"] = lambda b, kind=kind: function(b, kind)
    return function


def qlinear_conv(b, kind, x_shape, w_shape, channels=True, w_kind="i8", w_zero=0, bias=True, **attributes):
    x = b.quantized(x_shape, kind)
    w = b.weights(w_shape, w_kind, w_shape[0] if channels else None, w_zero)
    y = b.parameters(kind, b.scale(0.05, 0.2))
    extra = [b.bias(w_shape[0])] if bias else []
    b.output(b.node("QLinearConv", [*x, *w, *y, *extra], **attributes), KINDS[kind])


@kinds
def conv(b, kind):
    qlinear_conv(b, kind, (1, 3, 7, 6), (5, 3, 3, 3), pads=[1, 0, 1, 2], strides=[2, 1])


@kinds
def conv_depthwise(b, kind):
    qlinear_conv(b, kind, (1, 6, 5, 5), (6, 1, 3, 3), group=6, pads=[1, 1, 1, 1])


@kinds
def conv_groups_dilated(b, kind):
    qlinear_conv(b, kind, (1, 4, 8, 8), (6, 2, 3, 2), group=2, dilations=[2, 1], bias=False)


@kinds
def conv_1d(b, kind):
    qlinear_conv(b, kind, (1, 4, 12), (3, 4, 3), pads=[1, 1], channels=False)


@case
def conv_u8_weights(b):
    qlinear_conv(b, "u8", (1, 3, 5, 5), (4, 3, 3, 3), channels=False, w_kind="u8", w_zero=113)


@case
def conv_i8_weights_with_zero_point(b):
    qlinear_conv(b, "i8", (1, 3, 5, 5), (4, 3, 1, 1), channels=False, w_zero=-17)


def qdq_conv(b, kind, after, y, wrong=np.float32(1)):
    x, w = b.quantized((1, 3, 6, 6), kind), b.weights((4, 3, 3, 3), channels=4)
    x_scale, w_scales = b.array(x[1]), b.array(w[1])
    bias = b.bias(4), b.constant(wrong * x_scale * w_scales), b.constant(np.zeros(4, np.int32))
    value = b.node("Conv", [b.dequantize(x), b.dequantize(w, axis=0), b.dequantize(bias, axis=0)])
    value = after(value) if after else value
    b.output(b.quantize(value, y), KINDS[kind])


@kinds
def qdq_conv_relu_made_redundant(b, kind):
    y = b.parameters(kind, 0.2, np.iinfo(KINDS[kind]).min)
    qdq_conv(b, kind, lambda value: b.node("Relu", [value]), y)


@kinds
def qdq_conv_relu6_made_redundant(b, kind):
    y = b.parameters(kind, 6 / 255, np.iinfo(KINDS[kind]).min)
    bounds = b.constant(np.float32(0)), b.constant(np.float32(6))
    qdq_conv(b, kind, lambda value: b.node("Clip", [value, *bounds]), y)


@case
def qdq_conv_relu(b):
    """The zero point leaves room below 0: float in ONNX Runtime."""
    qdq_conv(b, "u8", lambda value: b.node("Relu", [value]), b.parameters("u8", 0.2, 100))


@case
def qdq_conv_bias_of_another_scale(b):
    """Cannot be added to the sums: float."""
    qdq_conv(b, "u8", None, b.parameters("u8", 0.2), np.float32(1.5))


@kinds
def matmul(b, kind):
    a, w, y = b.quantized((1, 5, 7), kind), b.weights((7, 4), channels=4), b.parameters(kind, 0.15)
    b.output(b.node("QLinearMatMul", [*a, *w, *y]), KINDS[kind])


@kinds
def matmul_of_activations(b, kind):
    a, w, y = b.quantized((1, 2, 3, 5), kind), b.quantized((1, 2, 5, 4), kind, zero=0), b.parameters(kind, 0.5)
    b.output(b.node("QLinearMatMul", [*a, *w, *y]), KINDS[kind])


@kinds
def matmul_to_float(b, kind):
    a, w = b.quantized((1, 5, 7), kind), b.weights((7, 4), channels=4)
    b.output(b.node("MatMul", [b.dequantize(a), b.dequantize(w, axis=1)]), np.float32)


@kinds
def gemm(b, kind):
    a, w, y = b.quantized((1, 9), kind), b.weights((5, 9), channels=5), b.parameters(kind, 0.15)
    b.output(b.node("QGemm", [*a, *w, b.bias(5), *y], MICROSOFT, transB=1), KINDS[kind])


@kinds
def gemm_to_float(b, kind):
    a, w = b.quantized((1, 9), kind), b.weights((9, 5))
    b.output(b.node("QGemm", [*a, *w, b.bias(5)], MICROSOFT), np.float32)


def qlinear_binary(b, op, kind, a_shape, b_shape, constant=False, y_scale=None, **scales):
    a = b.quantized(a_shape, kind)
    if constant:
        other = b.constant(b.integers(kind, b_shape)), *b.parameters(kind)
    else:
        other = b.quantized(b_shape, kind)
    y = b.parameters(kind, y_scale or b.scale(0.05, 0.2))
    b.output(b.node(op, [*a, *other, *y], MICROSOFT), KINDS[kind])


@kinds
def add(b, kind):
    qlinear_binary(b, "QLinearAdd", kind, (1, 3, 40, 7), (1, 3, 40, 7))


@kinds
def add_scalar(b, kind):
    qlinear_binary(b, "QLinearAdd", kind, (1, 3, 40), (), constant=True)


@kinds
def add_to_channels(b, kind):
    qlinear_binary(b, "QLinearAdd", kind, (1, 5, 8, 8), (5, 1, 1), constant=True)


@kinds
def add_rows(b, kind):
    qlinear_binary(b, "QLinearAdd", kind, (1, 6, 33), (33,), constant=True)


@kinds
def add_ties(b, kind):
    a, other = b.quantized((1, 300), kind, 0.25), b.quantized((1, 300), kind, 0.5)
    y = b.parameters(kind, 1.0)
    b.output(b.node("QLinearAdd", [*a, *other, *y], MICROSOFT), KINDS[kind])


@kinds
def mul(b, kind):
    qlinear_binary(b, "QLinearMul", kind, (1, 3, 40, 7), (1, 3, 40, 7), y_scale=0.09)


@kinds
def mul_channels(b, kind):
    qlinear_binary(b, "QLinearMul", kind, (1, 5, 8, 8), (1, 5, 1, 1), y_scale=0.09)


@kinds
def mul_ties(b, kind):
    a, other = b.quantized((1, 300), kind, 0.25), b.quantized((1, 300), kind, 0.5)
    y = b.parameters(kind, 4.0)
    b.output(b.node("QLinearMul", [*a, *other, *y], MICROSOFT), KINDS[kind])


def one(b, op, kind, shape, x_scale=None, y_scale=None, y_zero=None, **attributes):
    x, y = b.quantized(shape, kind, x_scale), b.parameters(kind, y_scale, y_zero)
    b.output(b.node(op, [*x, *y], MICROSOFT, **attributes), KINDS[kind])


@kinds
def average_pool(b, kind):
    one(b, "QLinearAveragePool", kind, (1, 3, 8, 7), 0.05, 0.05, kernel_shape=[2, 2], strides=[2, 1])


@kinds
def average_pool_padded(b, kind):
    one(b, "QLinearAveragePool", kind, (1, 70, 6, 6), kernel_shape=[3, 3], pads=[1, 1, 1, 1])


@kinds
def average_pool_counting_padding(b, kind):
    attributes = {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "count_include_pad": 1}
    one(b, "QLinearAveragePool", kind, (1, 2, 6, 6), **attributes)


@kinds
def global_average_pool(b, kind):
    one(b, "QLinearGlobalAveragePool", kind, (1, 9, 7, 5), y_scale=0.02)


@kinds
def sigmoid(b, kind):
    one(b, "QLinearSigmoid", kind, (1, 400), y_scale=1 / 256, y_zero=np.iinfo(KINDS[kind]).min)


@kinds
def leaky_relu(b, kind):
    one(b, "QLinearLeakyRelu", kind, (1, 400), alpha=0.1)


@kinds
def softmax(b, kind):
    # As int8, a probability of 1 wraps around there: not with this scale.
    scale = 1 / 256 if kind == "u8" else 1 / 200
    one(b, "QLinearSoftmax", kind, (1, 4, 10), y_scale=scale, y_zero=np.iinfo(KINDS[kind]).min, axis=-1, opset=13)


@case
def softmax_outer_axis(b):
    one(b, "QLinearSoftmax", "u8", (1, 6, 5, 2), y_scale=1 / 256, y_zero=0, axis=1, opset=13)


@case
def softmax_of_old_opset(b):
    one(b, "QLinearSoftmax", "u8", (1, 6, 5), y_scale=1 / 256, y_zero=0, axis=1, opset=12)


@kinds
def concat(b, kind):
    y = b.parameters(kind, 0.06)
    parts = [name for channels in (2, 3) for name in b.quantized((1, channels, 4, 4), kind)]
    b.output(b.node("QLinearConcat", [*y, *parts], MICROSOFT, axis=1), KINDS[kind])


@kinds
def qdq_functions(b, kind):
    """Functions that stay float in ONNX Runtime, and tables here."""
    for op, attributes in [
        ("Relu", {}), ("HardSigmoid", {}), ("HardSwish", {}), ("Tanh", {}), ("Elu", {}), ("Erf", {}), ("Neg", {}),
        ("Abs", {}), ("Exp", {}), ("Softplus", {}), ("Selu", {}), ("Gelu", {}),
    ]:
        x, y = b.quantized((1, 300), kind, 0.03), b.parameters(kind, 0.04)
        b.output(b.quantize(b.node(op, [b.dequantize(x)], **attributes), y), KINDS[kind])


@kinds
def qdq_movements(b, kind):
    """Elements that only move, to the same scale and to others."""
    shape = (1, 4, 6, 6)
    dims = b.constant(np.array([1, 8, 18], np.int64))
    for same in (True, False):
        for op, inputs, attributes in [
            ("Reshape", [dims], {}),
            ("Transpose", [], {"perm": [0, 2, 3, 1]}),
            ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("Pad", [b.constant(np.array([0, 0, 1, 1, 0, 0, 1, 0], np.int64)), b.constant(np.float32(0))], {}),
        ]:
            x = b.quantized(shape, kind)
            y = x[1:] if same else b.parameters(kind)
            b.output(b.quantize(b.node(op, [b.dequantize(x), *inputs], **attributes), y), KINDS[kind])


@kinds
def qdq_another_scale(b, kind):
    x, y = b.quantized((1, 300), kind, 0.03), b.parameters(kind, 0.02)
    b.output(b.quantize(b.dequantize(x), y), KINDS[kind])


@kinds
def qdq_left_alone(b, kind):
    """Sin between the two is a table; a subtraction is not known: it stays float."""
    a, other, y = b.quantized((1, 300), kind), b.quantized((1, 300), kind), b.parameters(kind, 0.2)
    b.output(b.quantize(b.node("Sub", [b.dequantize(a), b.dequantize(other)]), y), KINDS[kind])


@kinds
def quantize(b, kind):
    b.output(b.quantize(b.input((1, 300), np.float32), b.parameters(kind, 0.05)), KINDS[kind])


@kinds
def matmul_integer(b, kind):
    a, zero, w = b.input((1, 5, 7), KINDS[kind]), b.constant(b.zero(kind)), b.constant(b.integers("i8", (7, 4)))
    b.output(b.node("MatMulInteger", [a, w, zero, b.constant(np.int8(3))]), np.int32)


@case
def matmul_integer_columns(b):
    a, zero, w = b.input((1, 2, 5, 7), np.uint8), b.constant(b.zero("u8")), b.constant(b.integers("u8", (7, 4)))
    zeros = b.constant(b.integers("u8", 4))
    b.output(b.node("MatMulInteger", [a, w, zero, zeros]), np.int32)


@case
def conv_integer(b):
    x, zero, w = b.input((1, 3, 7, 6), np.uint8), b.constant(b.zero("u8")), b.constant(b.integers("i8", (4, 3, 3, 3)))
    b.output(b.node("ConvInteger", [x, w, zero], pads=[1, 1, 0, 1], strides=[1, 2]), np.int32)


@case
def dynamic_matmul(b):
    x, w = b.input((1, 5, 7), np.float32), b.weights((7, 4), channels=4)
    bias = b.constant(b.random.normal(size=4).astype(np.float32))
    b.output(b.node("DynamicQuantizeMatMul", [x, *w, bias], MICROSOFT), np.float32)


@case
def dynamic_product(b):
    """Both matrices are quantized by their ranges."""
    x, w = b.input((1, 5, 7), np.float32), b.input((1, 7, 6), np.float32)
    a = b.node("DynamicQuantizeLinear", [x], outputs=3)
    c = b.node("DynamicQuantizeLinear", [w], outputs=3)
    b.output(b.node("MatMulInteger", [a[0], c[0], a[2], c[2]]), np.int32)
    for name, dtype in zip(a, [np.uint8, np.float32, np.uint8]):
        b.output(name, dtype)


class Reader(CalibrationDataReader):
    def __init__(self, path):
        arrays = dict(np.load(path))
        self.samples = iter([{name: array[i:i + 1] for name, array in arrays.items()} for i in range(32)])

    def get_next(self):
        return next(self.samples, None)


# Name: trained model, form (None: dynamic), activations, per channel, and quantized tensors to look at besides.
WHOLE = {
    "digits_cnn_qdq_u8": ("digits_cnn", "QDQ", "QUInt8", True, ["Conv", "Gemm"]),
    "digits_cnn_qoperator_i8": ("digits_cnn", "QOperator", "QInt8", False, ["QLinearConv", "QGemm"]),
    "digits_cnn_dynamic": ("digits_cnn", None, "QUInt8", False, []),
    "dwsep_qdq_i8": ("dwsep", "QDQ", "QInt8", True, []),
    "dwsep_qoperator_u8": ("dwsep", "QOperator", "QUInt8", True, ["QLinearConv", "QGemm"]),
    "resnet_qdq_u8": ("resnet_nchw", "QDQ", "QUInt8", False, ["Add"]),
    "resnet_qoperator_i8": ("resnet_nchw", "QOperator", "QInt8", True, ["QLinearAdd"]),
    "mobilenet_qdq_u8": ("mobilenet_nchw", "QDQ", "QUInt8", True, ["Mul", "HardSwish"]),
    "autoencoder_qdq_i8": ("autoencoder", "QDQ", "QInt8", True, []),
    "autoencoder_dynamic": ("autoencoder", None, "QUInt8", False, []),
    "denoise_qdq_u8": ("denoise_nearest", "QDQ", "QUInt8", True, ["Concat"]),
    "gestures_tcn_qdq_u8": ("gestures_tcn", "QDQ", "QUInt8", False, ["Gemm"]),
    "text_transformer_qoperator_u8": ("text_transformer", "QOperator", "QUInt8", False, ["QLinearSoftmax"]),
}


def look_at(model, operators):
    """The last quantized output of each of these operators becomes an output of the model."""
    graph = model.graph
    types = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    for operator in operators:
        name = [node for node in graph.node if node.op_type == operator][-1].output[0]
        after = [node for node in graph.node if name in node.input]
        while after and after[0].op_type != "QuantizeLinear" and operator[0] != "Q":
            name = after[0].output[0]
            after = [node for node in graph.node if name in node.input]
        name = after[0].output[0] if operator[0] != "Q" else name
        kind = types[name].type.tensor_type.elem_type if name in types else TensorProto.UNDEFINED
        if kind == TensorProto.UNDEFINED:
            zero = next(node for node in graph.node if name in node.output).input[-1]
            kinds_of = {constant.name: constant.data_type for constant in graph.initializer}
            kind = next(kinds_of[z] for node in graph.node if name in node.input for z in node.input
                        if "zero_point" in z) if zero not in kinds_of else kinds_of[zero]
        if name not in [output.name for output in graph.output]:
            graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return model


def whole(name, trained):
    source, form, activations, per_channel, operators = WHOLE[name]
    target, path = HERE / f"{name}.onnx", trained / f"{source}.onnx"
    if form is None:
        quantize_dynamic(str(path), str(target), weight_type=QuantType.QUInt8)
    else:
        quantize_static(
            str(path), str(target), Reader(trained / f"{source}.calibration.npz"), quant_format=QuantFormat[form],
            activation_type=QuantType[activations], weight_type=QuantType.QInt8, per_channel=per_channel)
    model = look_at(onnx.load(target), operators)
    test = dict(np.load(trained / f"{source}.test.npz"))
    inputs = [port.name for port in model.graph.input]
    return model, {port: test[port][:SAMPLES, None] for port in inputs}


def write(name, model, samples):
    """Runs a model on samples, whose arrays have the model's shapes behind the axis of samples."""
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    count = len(next(iter(samples.values())))
    results = [session.run(names, {port: array[i] for port, array in samples.items()}) for i in range(count)]
    arrays = {f"input.{port}": array for port, array in samples.items()}
    arrays |= {f"output.{port}": np.stack([result[i] for result in results]) for i, port in enumerate(names)}
    (HERE / f"{name}.onnx").write_bytes(data)
    np.savez_compressed(HERE / f"{name}.npz", **arrays)
    print(f"{name}: {len(data)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trained", required=True, type=pathlib.Path)
    parser.add_argument("part", nargs="?", default="")
    arguments = parser.parse_args()
    for name, function in CASES.items():
        if arguments.part in name:
            builder = Builder(name)
            function(builder)
            write(name, builder.model(), builder.samples())
    for name in WHOLE:
        if arguments.part in name:
            write(name, *whole(name, arguments.trained))


if __name__ == "__main__":
    main()
