"""Operators that work element by element: python elementwise.py [PART OF A NAME]"""
import sys

import numpy as np

from model import Cases, Model

cases = Cases(sys.argv[1] if len(sys.argv) > 1 else None)
NONE, RELU, RELU_N1, RELU6 = 0, 1, 2, 3
SHORT = dict(int8="i8", uint8="u8", int16="i16", int32="i32", int64="i64", float32="f32", float16="f16", bool="bool", uint32="u32")
SHAPE = (2, 3, 4, 5)


def quantization(kind, variant=0, which=0):
    """(scale, zero point) of operand `which`: 0 and 1 are inputs, 2 the output."""
    scales = [(0.05, 0.031, 0.07), (0.021, 0.19, 0.012), (0.04, 0.04, 0.04)][variant][which]
    zeros = [(3, -17, 9), (-128, 127, -128), (0, 0, 0)][variant][which]
    if kind == "int8":
        return scales, zeros
    if kind == "uint8":
        return scales, zeros + 128
    if kind == "int16":
        return scales / 256, 0
    return None, 0


def binary(name, op, kind, a, b, options=None, out=None, variant=0, ranges=(None, None), version=4, constant=False, same=False, **fields):
    m = Model()
    v = lambda which: quantization(kind, variant, 0 if same else which)
    x = m.input(kind, a, *v(0), range=ranges[0])
    if constant:
        rng = np.random.default_rng(3)
        info = (-4, 4) if kind == "float32" else (np.iinfo(kind).min, np.iinfo(kind).max)
        y = m.const((rng.uniform(*info, b)).astype(kind), *v(1))
    else:
        y = m.input(kind, b, *v(1), range=ranges[1])
    z = m.output(out or kind, *(v(2) if (out or kind) == kind else (None, 0)))
    m.op(op, [x, y], [z], options, version, **fields)
    cases.add(name, m)


for op, options in (("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions")):
    n = op.lower()
    for kind in ("int8", "uint8", "int16", "int32", "int64", "float32"):
        k = SHORT[kind]
        small = (-1000, 1000) if kind in ("int32", "int64") else None
        r = (small, small)
        binary(f"{n}_{k}", op, kind, SHAPE, SHAPE, options, ranges=r)
        binary(f"{n}_{k}_broadcast", op, kind, (1, 3, 1, 5), (2, 1, 4, 1), options, ranges=r)
        if kind in ("int8", "uint8", "int16", "float32"):
            binary(f"{n}_{k}_relu", op, kind, SHAPE, SHAPE, options, variant=1, fusedActivationFunction=RELU)
            binary(f"{n}_{k}_scalar", op, kind, (1, 4, 5), (), options, variant=1, fusedActivationFunction=RELU6)
            binary(f"{n}_{k}_constant_row", op, kind, (2, 7, 5), (5,), options, variant=2, constant=True)
binary("add_i16_general_scales", "ADD", "int16", SHAPE, SHAPE, "AddOptions", potScaleInt16=False)
binary("sub_i16_general_scales", "SUB", "int16", SHAPE, SHAPE, "SubOptions", potScaleInt16=False)
binary("add_f32_rank_5", "ADD", "float32", (2, 1, 3, 1, 2), (1, 4, 1, 3, 1), "AddOptions")
binary("add_i8_rank_5", "ADD", "int8", (2, 1, 3, 1, 2), (1, 4, 1, 3, 1), "AddOptions")
for kind in ("float32", "int32", "uint8", "int8"):
    r = ((-30, 30), (1, 9)) if kind == "int32" else ((-4.0, 4.0), (0.5, 3.0)) if kind == "float32" else (None, (140, 255)) if kind == "uint8" else (None, (1, 127))
    v = 2 if kind in ("uint8", "int8") else 0
    binary(f"div_{SHORT[kind]}", "DIV", kind, SHAPE, SHAPE, "DivOptions", ranges=r, version=2, variant=v)
    binary(f"div_{SHORT[kind]}_broadcast", "DIV", kind, SHAPE, (5,), "DivOptions", ranges=r, version=2, variant=v)
for kind in ("int8", "float32", "int32"):
    r = ((-90, 90),) * 2 if kind == "int32" else (None, None)
    binary(f"squared_difference_{SHORT[kind]}", "SQUARED_DIFFERENCE", kind, SHAPE, SHAPE, "SquaredDifferenceOptions", ranges=r, version=2)
    binary(f"squared_difference_{SHORT[kind]}_broadcast", "SQUARED_DIFFERENCE", kind, SHAPE, (4, 1), "SquaredDifferenceOptions", ranges=r, version=2, variant=1)
for op in ("MAXIMUM", "MINIMUM"):
    for kind in ("int8", "uint8", "int16", "int32", "int64", "float32"):
        binary(f"{op.lower()}_{SHORT[kind]}", op, kind, SHAPE, SHAPE, "MaximumMinimumOptions", same=True)
        binary(f"{op.lower()}_{SHORT[kind]}_broadcast", op, kind, SHAPE, (1, 4, 1), "MaximumMinimumOptions", same=True)
for kind in ("int32", "int64", "float32", "int8", "int16"):
    r = ((-50, 50), (1, 9)) if kind != "float32" else ((-9.0, 9.0), (0.5, 3.0))
    binary(f"floor_div_{SHORT[kind]}", "FLOOR_DIV", kind, SHAPE, SHAPE, "FloorDivOptions", ranges=r, version=2)
    binary(f"floor_mod_{SHORT[kind]}", "FLOOR_MOD", kind, SHAPE, SHAPE, "FloorModOptions", ranges=r, version=2)
    if kind != "float32":
        binary(f"floor_div_{SHORT[kind]}_negative", "FLOOR_DIV", kind, SHAPE, (5,), "FloorDivOptions", ranges=((-50, 50), (-9, -1)), version=2)
        binary(f"floor_mod_{SHORT[kind]}_negative", "FLOOR_MOD", kind, SHAPE, (5,), "FloorModOptions", ranges=((-50, 50), (-9, -1)), version=2)
binary("pow_f32", "POW", "float32", SHAPE, SHAPE, "PowOptions", ranges=((0.1, 3.0), (-2.0, 2.0)), version=1)
binary("pow_i32", "POW", "int32", SHAPE, (5,), "PowOptions", ranges=((-5, 5), (0, 4)), version=1)
for op in ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"):
    options = "".join(part.capitalize() for part in op.split("_")) + "Options"
    for kind in ("int8", "uint8", "int32", "int64", "float32", "bool", "int16"):
        n = f"{op.lower()}_{SHORT[kind]}"
        r = ((-3, 3),) * 2 if kind in ("int32", "int64", "int16") else ((0, 9),) * 2 if kind == "uint8" else (None, None)
        binary(n, op, kind, (2, 3, 4), (2, 3, 4), options, "bool", ranges=r, version=3)
        if kind in ("int8", "float32"):
            binary(f"{n}_broadcast", op, kind, (2, 1, 4), (3, 1), options, "bool", variant=2, version=3)
for op in ("LOGICAL_AND", "LOGICAL_OR"):
    options = "".join(part.capitalize() for part in op.split("_")) + "Options"
    binary(op.lower(), op, "bool", (2, 3, 4), (2, 3, 4), options, version=1)
    binary(f"{op.lower()}_broadcast", op, "bool", (2, 3, 4), (3, 1), options, version=1)


def unary(name, op, kind, options=None, out=None, scale=None, out_scale=None, range=None, version=2, shape=SHAPE, **fields):
    m = Model()
    x = m.input(kind, shape, *(scale or (None, 0)), range=range)
    y = m.output(out or kind, *(out_scale or (None, 0)))
    m.op(op, [x], [y], options, version, **fields)
    cases.add(name, m)


unary("logical_not", "LOGICAL_NOT", "bool", "LogicalNotOptions", version=1)
FIXED = {"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 32768, 0)}
FIXED_TANH = {"int8": (1 / 128, 0), "uint8": (1 / 128, 128), "int16": (1 / 32768, 0)}
for kind, scales in (("int8", [(0.05, 3), (0.13, -90)]), ("uint8", [(0.05, 131)]), ("int16", [(1 / 4096, 0), (0.0007, 0), (0.0002, 0)])):
    for i, s in enumerate(scales):
        unary(f"logistic_{SHORT[kind]}_{i}", "LOGISTIC", kind, scale=s, out_scale=FIXED[kind], version=3)
        unary(f"tanh_{SHORT[kind]}_{i}", "TANH", kind, scale=s, out_scale=FIXED_TANH[kind], version=3)
for kind, s, o in (("int8", (0.05, 3), (0.03, -40)), ("int8", (0.02, -128), (0.05, -128)), ("uint8", (0.05, 131), (0.03, 80)), ("int16", (0.0002, 0), (0.0001, 0))):
    n = f"{SHORT[kind]}_{s[1] & 255}"
    unary(f"relu_{n}", "RELU", kind, scale=s, out_scale=o)
    unary(f"relu6_{n}", "RELU6", kind, scale=s, out_scale=o)
    unary(f"relu_n1_to_1_{n}", "RELU_N1_TO_1", kind, scale=s, out_scale=o, version=1)
    unary(f"relu_0_to_1_{n}", "RELU_0_TO_1", kind, scale=s, out_scale=o, version=1)
    unary(f"leaky_relu_{n}", "LEAKY_RELU", kind, "LeakyReluOptions", scale=s, out_scale=o, alpha=0.13)
    unary(f"hard_swish_{n}", "HARD_SWISH", kind, "HardSwishOptions", scale=s, out_scale=o, version=1)
    unary(f"elu_{n}", "ELU", kind, scale=s, out_scale=o, version=1)
    unary(f"gelu_{n}", "GELU", kind, "GeluOptions", scale=s, out_scale=o, approximate=False)
    unary(f"gelu_approximate_{n}", "GELU", kind, "GeluOptions", scale=s, out_scale=o, approximate=True)
    unary(f"abs_{n}", "ABS", kind, "AbsOptions", scale=s, out_scale=o, version=4)
    unary(f"exp_{n}", "EXP", kind, "ExpOptions", scale=s, out_scale=o)
    unary(f"neg_{n}", "NEG", kind, "NegOptions", scale=s, out_scale=o)
    unary(f"sin_{n}", "SIN", kind, scale=s, out_scale=o)
    unary(f"cos_{n}", "COS", kind, "CosOptions", scale=s, out_scale=o)
    unary(f"square_{n}", "SQUARE", kind, "SquareOptions", scale=s, out_scale=o)
    unary(f"sqrt_{n}", "SQRT", kind, scale=s, out_scale=o)
    unary(f"floor_{n}", "FLOOR", kind, scale=s, out_scale=o)
    unary(f"log_{n}", "LOG", kind, scale=(s[0], -128 if kind == "int8" else 0), out_scale=o)
    unary(f"rsqrt_{n}", "RSQRT", kind, scale=(s[0], -128 if kind == "int8" else 0), out_scale=o, range=(-127, 127) if kind == "int8" else None)
unary("log_i8_wide", "LOG", "int8", scale=(0.02, -128), out_scale=(0.04, 100))
unary("sqrt_i8_wide", "SQRT", "int8", scale=(0.02, -128), out_scale=(0.01, -128))
unary("rsqrt_i8_wide", "RSQRT", "int8", scale=(0.1, -128), out_scale=(0.02, -128), range=(-127, 127))
for op, options, bounds in (("LOGISTIC", None, None), ("TANH", None, None), ("RELU", None, None), ("RELU6", None, (-9.0, 9.0)), ("RELU_N1_TO_1", None, None),
                            ("RELU_0_TO_1", None, None), ("ELU", None, None), ("HARD_SWISH", "HardSwishOptions", None), ("EXP", "ExpOptions", None), ("LOG", None, (0.1, 9.0)),
                            ("SQRT", None, (0.0, 9.0)), ("RSQRT", None, (0.1, 9.0)), ("ABS", "AbsOptions", None), ("NEG", "NegOptions", None), ("SIN", None, (-9.0, 9.0)),
                            ("COS", "CosOptions", (-9.0, 9.0)), ("SQUARE", "SquareOptions", None), ("FLOOR", None, None), ("CEIL", None, None), ("ROUND", None, None)):
    unary(f"{op.lower()}_f32", op, "float32", options, range=bounds, version=1)
unary("leaky_relu_f32", "LEAKY_RELU", "float32", "LeakyReluOptions", alpha=0.2, version=1)
unary("gelu_f32", "GELU", "float32", "GeluOptions", approximate=False, version=1)
unary("gelu_f32_approximate", "GELU", "float32", "GeluOptions", approximate=True, version=1)
unary("neg_i32", "NEG", "int32", "NegOptions", range=(-999, 999), version=1)
unary("neg_i64", "NEG", "int64", "NegOptions", range=(-999, 999), version=1)
unary("abs_i32", "ABS", "int32", "AbsOptions", range=(-999, 999), version=5)


def prelu(name, kind, alpha_shape, variant=0):
    m, rng = Model(), np.random.default_rng(5)
    x = m.input(kind, SHAPE, *quantization(kind, variant, 0))
    a = rng.uniform(-1, 1, alpha_shape).astype(np.float32) if kind == "float32" else rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, alpha_shape).astype(kind)
    alpha = m.const(a, *((None, 0) if kind == "float32" else (0.007, 5)))
    y = m.output(kind, *quantization(kind, variant, 2))
    m.op("PRELU", [x, alpha], [y])
    cases.add(name, m)


for kind in ("int8", "uint8", "float32"):
    prelu(f"prelu_{SHORT[kind]}", kind, (1, 1, 5))
    prelu(f"prelu_{SHORT[kind]}_whole", kind, (3, 4, 5), 2)


def add_n(name, kind, count):
    m = Model()
    r = (-999, 999) if kind == "int32" else None
    xs = [m.input(kind, (3, 7), *quantization(kind, 0, i % 2), range=r) for i in range(count)]
    y = m.output(kind, *quantization(kind, 0, 2))
    m.op("ADD_N", xs, [y], "AddNOptions")
    cases.add(name, m)


for kind in ("float32", "int32", "int8"):
    add_n(f"add_n_{SHORT[kind]}", kind, 3)


def select(name, op, kind, condition, a, b):
    m = Model()
    c = m.input("bool", condition)
    q = quantization(kind, 2, 0)
    x, y = m.input(kind, a, *q), m.input(kind, b, *q)
    z = m.output(kind, *q)
    m.op(op, [c, x, y], [z], "SelectOptions" if op == "SELECT" else "SelectV2Options")
    cases.add(name, m)


for kind in ("float32", "int8", "uint8", "int16", "int32", "int64", "bool"):
    select(f"select_{SHORT[kind]}", "SELECT", kind, (2, 3, 4), (2, 3, 4), (2, 3, 4))
    select(f"select_v2_{SHORT[kind]}_broadcast", "SELECT_V2", kind, (3, 1), (2, 1, 4), (2, 3, 1))
select("select_f32_rows", "SELECT", "float32", (2,), (2, 3), (2, 3))


def cast(source, target, bounds):
    m = Model()
    x = m.input(source, (3, 7), range=bounds)
    y = m.output(target)
    codes = dict(float32=0, int32=2, uint8=3, int64=4, bool=6, int16=7, int8=9, uint32=15)
    m.op("CAST", [x], [y], "CastOptions", 1, inDataType=codes[source], outDataType=codes[target])
    cases.add(f"cast_{SHORT[source]}_{SHORT[target]}", m)


for source in ("float32", "int32", "int64", "int16", "int8", "uint8", "bool"):
    for target in ("float32", "int32", "int64", "int16", "int8", "uint8", "bool"):
        if source != target:
            # Floats that fit the target: what else C++ leaves undefined.
            low, high = (0, 100) if target in ("uint8", "bool") else (-100, 100)
            bounds = (float(low), float(high)) if source == "float32" else (low, high) if source == "int8" and low == 0 else None
            cast(source, target, bounds)


def requantize(name, source, target, s, t, bounds=None):
    m = Model()
    x = m.input(source, (5, 7), *s, range=bounds)
    y = m.output(target, *t)
    m.op("QUANTIZE", [x], [y], "QuantizeOptions", 2)
    cases.add(name, m)


BARE = (None, 0)
requantize("quantize_f32_i8", "float32", "int8", BARE, (0.031, 7))
requantize("quantize_f32_u8", "float32", "uint8", BARE, (0.031, 130))
requantize("quantize_f32_i16", "float32", "int16", BARE, (0.00013, 0))
requantize("quantize_f32_i8_saturates", "float32", "int8", BARE, (0.01, -20), (-1000.0, 1000.0))
for i, (s, t) in enumerate([((0.05, 3), (0.031, -7)), ((0.02, -128), (0.07, 100)), ((0.04, 0), (0.04, 0)), ((0.04, 5), (0.04, -90))]):
    u = lambda q: (q[0], q[1] + 128)
    w = lambda q: (q[0] / 256, 0)
    requantize(f"quantize_i8_i8_{i}", "int8", "int8", s, t)
    requantize(f"quantize_u8_u8_{i}", "uint8", "uint8", u(s), u(t))
    requantize(f"quantize_u8_i8_{i}", "uint8", "int8", u(s), t)
    requantize(f"quantize_i8_u8_{i}", "int8", "uint8", s, u(t))
    requantize(f"quantize_i8_i16_{i}", "int8", "int16", s, w(t))
    requantize(f"quantize_i16_i8_{i}", "int16", "int8", w(s), t)
    requantize(f"quantize_i16_i16_{i}", "int16", "int16", w(s), (t[0] / 200, 0))
    requantize(f"quantize_i16_u8_{i}", "int16", "uint8", w(s), u(t))
    requantize(f"quantize_i8_i32_{i}", "int8", "int32", s, (0.0002, 0))
    requantize(f"quantize_i16_i32_{i}", "int16", "int32", w(s), (0.00002, 0))
    requantize(f"quantize_i32_i16_{i}", "int32", "int16", (0.00002, 0), w(t), (-400000, 400000))
    requantize(f"quantize_i32_i8_{i}", "int32", "int8", (0.0002, 0), t, (-40000, 40000))


def dequantize(name, source, s):
    m = Model()
    if source == "float16":
        x = m.const(np.random.default_rng(1).standard_normal((3, 7)).astype(np.float16))
        h = m.hidden("float32")
        m.op("DEQUANTIZE", [x], [h], "DequantizeOptions", 3)
        z, y = m.input("float32", (3, 7)), m.output("float32")
        m.op("ADD", [h, z], [y], "AddOptions")
    else:
        x = m.input(source, (5, 7), *s)
        y = m.output("float32")
        m.op("DEQUANTIZE", [x], [y], "DequantizeOptions", 2)
    cases.add(name, m)


dequantize("dequantize_i8", "int8", (0.037, 11))
dequantize("dequantize_u8", "uint8", (0.037, 99))
dequantize("dequantize_i16", "int16", (0.00037, 0))
dequantize("dequantize_f16", "float16", None)
cases.finish("elementwise")
