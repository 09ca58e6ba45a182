"""Arithmetic at its edges: zero points at both ends, multipliers above 1, ties, ranks, large values.

python extremes.py [PART OF A NAME]
"""
import numpy as np

from rows import RELU, RELU6, RELU_N1_TO_1, SAME, SHORT, VALID, absent, c, cases, ints, q, rng, row, scalar, x, y

# Of linear operators: input, scale of the weights, output. A fine output has multipliers above 1; in
# "tie", weights of 32, 64 and 0 beside powers of two give sums halfway between two outputs.
LINEAR = dict(
    low=((0.05, -128), 0.013, (0.7, 127)),
    high=((0.021, 127), 0.029, (0.31, -128)),
    fine=((0.05, 3), 0.02, (0.0004, -5)),
    tie=((0.5, -3), 0.25, (64.0, 1)),
)
# Which of the variants a type has: int8 all, others those that ask more of them.
VARIANTS = dict(int8=("low", "high", "fine", "tie"), uint8=("low",), int16=("fine", "tie"))


def weights(name, kind, shape, how):
    r = rng(name)
    if kind == "float32":
        return r.standard_normal(shape).astype(np.float32)
    if how == "tie":
        return (r.integers(-2, 3, shape) * 32).astype(kind)
    return r.integers(0 if kind == "uint8" else -127, 256 if kind == "uint8" else 128, shape).astype(kind)


def linear(name, op, kind, how, shape, w_shape, channels, head=(), bias=True, per_channel=False, version=3, **fields):
    """`channels` is the axis of the weights that counts outputs; `head` goes before the operands of TRANSPOSE_CONV."""
    data, w_scale, out = LINEAR[how]
    n = w_shape[channels]
    scales = w_scale * (1 + 0.37 * np.arange(n)) if per_channel else w_scale
    if kind in ("float32", "hybrid"):
        w = c(weights(name, "int8", w_shape, how), scales, 0, channels) if kind == "hybrid" else c(weights(name, kind, w_shape, how))
        given, result = x("float32", shape), y("float32")
        b = c(rng(name).standard_normal(n).astype(np.float32))
    else:
        w = c(weights(name, "uint8" if kind == "uint8" else "int8", w_shape, how), scales, 128 if kind == "uint8" else 0, channels)
        given, result = x(kind, shape, q(kind, *data)), y(kind, q(kind, *out))
        b = c((rng(name).integers(-99, 99, n) * 32).astype(np.int64 if kind == "int16" else np.int32), q(kind, *data)[0] * scales)
    operands = [*head, w, given] if head else [given, w]
    row(name, op, [*operands, *([b] if bias else [])], [result], version, **fields)


CONV = dict(padding=SAME, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
for kind in ("int8", "uint8", "int16"):
    k = SHORT[kind]
    for how in VARIANTS[kind]:
        each = dict(per_channel=kind != "uint8" and how != "tie")
        linear(f"conv_2d_{k}_{how}", "CONV_2D", kind, how, (1, 3, 4, 3), (3, 3, 3, 3), 0, **CONV, **each)
        linear(f"depthwise_conv_2d_{k}_{how}", "DEPTHWISE_CONV_2D", kind, how, (1, 5, 4, 3), (1, 3, 3, 3), 3, depthMultiplier=1, **CONV, **each)
        linear(f"fully_connected_{k}_{how}", "FULLY_CONNECTED", kind, how, (3, 17), (5, 17), 0, version=5)
        if how in ("low", "fine"):
            linear(f"transpose_conv_{k}_{how}", "TRANSPOSE_CONV", kind, how, (1, 3, 2, 3), (2, 3, 3, 3), 0, head=[ints(1, 6, 4, 2)], padding=SAME, strideH=2, strideW=2, **each)
for kind in ("int8", "hybrid"):
    k = SHORT.get(kind, kind)
    linear(f"conv_2d_{k}_window_beyond_input", "CONV_2D", kind, "low", (1, 2, 3, 2), (2, 5, 5, 2), 0, **CONV)
    linear(f"depthwise_conv_2d_{k}_one_channel", "DEPTHWISE_CONV_2D", kind, "low", (1, 5, 6, 1), (1, 4, 3, 7), 3, per_channel=True, depthMultiplier=7, **dict(CONV, strideH=2, strideW=2))
    linear(f"fully_connected_{k}_flattens", "FULLY_CONNECTED", kind, "low", (2, 3, 2, 4), (5, 12), 0, version=5, fusedActivationFunction=RELU6)
linear("conv_2d_i8_relu_n1_to_1", "CONV_2D", "int8", "low", (2, 3, 4, 2), (3, 1, 3, 2), 0, **dict(CONV, fusedActivationFunction=RELU_N1_TO_1))
linear("conv_2d_i8_pointwise_strided", "CONV_2D", "int8", "low", (1, 5, 6, 3), (4, 1, 1, 3), 0, **dict(CONV, strideH=2, strideW=3))
linear("depthwise_conv_2d_i8_batch", "DEPTHWISE_CONV_2D", "int8", "high", (3, 4, 3, 2), (1, 2, 2, 2), 3, depthMultiplier=1, **dict(CONV, padding=VALID, fusedActivationFunction=RELU_N1_TO_1))
linear("depthwise_conv_2d_i8_dilated_valid", "DEPTHWISE_CONV_2D", "int8", "low", (1, 8, 7, 3), (1, 3, 3, 3), 3, depthMultiplier=1, **dict(CONV, padding=VALID, dilationHFactor=3, dilationWFactor=2))
linear("fully_connected_i8_relu_n1_to_1", "FULLY_CONNECTED", "int8", "high", (2, 13), (3, 13), 0, version=5, fusedActivationFunction=RELU_N1_TO_1)
linear("transpose_conv_i8_gaps", "TRANSPOSE_CONV", "int8", "low", (2, 3, 2, 3), (2, 2, 1, 3), 0, head=[ints(2, 9, 6, 2)], padding=SAME, strideH=3, strideW=3)
linear("transpose_conv_i8_overlap", "TRANSPOSE_CONV", "int8", "high", (1, 3, 2, 2), (3, 5, 4, 2), 0, head=[ints(1, 9, 6, 3)], padding=VALID, strideH=2, strideW=2)
for channels in (False, True):
    n = f"fully_connected_hybrid_asymmetric_{'per_channel' if channels else 'per_tensor'}_relu"
    linear(n, "FULLY_CONNECTED", "hybrid", "low", (3, 14), (5, 14), 0, per_channel=channels, version=9, fusedActivationFunction=RELU, asymmetricQuantizeInputs=True)
# LiteRT's CONV_2D wants a bias.
linear("conv_2d_i8_without_bias", "CONV_2D", "int8", "low", (1, 4, 5, 3), (5, 3, 3, 3), 0, bias=False, per_channel=True, tflm_shapes=[(1, 4, 5, 5)], **CONV)
linear("depthwise_conv_2d_i8_no_bias", "DEPTHWISE_CONV_2D", "int8", "low", (1, 4, 5, 3), (1, 2, 3, 3), 3, bias=False, depthMultiplier=1, **CONV)
w = rng("weights").integers(-128, 128, (5, 7)).astype(np.int8)
row("fully_connected_i8_weights_zero_point", "FULLY_CONNECTED", [x("int8", (3, 7), (0.05, 3)), c(w, 0.02, -9), absent], [y("int8", (0.4, 3))], 4)
row("fully_connected_i8_weights_given", "FULLY_CONNECTED", [x("int8", (3, 7), (0.05, 3)), x("int8", (5, 7), (0.02, 0), (-127, 127)), absent], [y("int8", (0.4, 3))], 4)

for kind in ("int8", "int16"):
    k = SHORT[kind]
    shapes = dict(both_adj=((2, 5, 3), (2, 4, 5), "low"), rank_5=((2, 1, 2, 2, 3), (1, 2, 1, 3, 2), "high"), fine=((3, 5), (5, 4), "fine"), tie=((1, 7, 5), (1, 5, 6), "tie"))
    for n, (a, b, how) in shapes.items():
        if kind == "int8" or n in ("both_adj", "fine"):
            s, w_scale, t = LINEAR[how]
            adj = n == "both_adj"
            row(f"batch_matmul_{k}_{n}", "BATCH_MATMUL", [x(kind, a, q(kind, *s)), x(kind, b, q(kind, w_scale, 7))], [y(kind, q(kind, *t))], 4, adjX=adj, adjY=adj)
w = weights("batch_matmul", "int8", (2, 4, 5), "low")
row("batch_matmul_i8_constant_adj_y", "BATCH_MATMUL", [x("int8", (2, 3, 5), (0.04, -9)), c(w, 0.02)], [y("int8", (0.3, 8))], 4, adjY=True)
row("batch_matmul_hybrid_adj_y", "BATCH_MATMUL", [x("float32", (2, 3, 5)), c(w[0], 0.02)], [y("float32")], 4, adjY=True)
row("batch_matmul_hybrid_asymmetric", "BATCH_MATMUL", [x("float32", (2, 3, 5)), c(w[0].T, 0.02)], [y("float32")], 4, asymmetricQuantizeInputs=True)
row("batch_matmul_hybrid_batch", "BATCH_MATMUL", [x("float32", (2, 3, 5)), c(w, 0.02)], [y("float32")], 4, adjY=True)

# Of elementwise operators: both inputs and the output.
BINARY = dict(
    low=((0.0473, -128), (0.0127, 127), (0.0811, -128)),
    high=((0.0183, 127), (0.0721, -128), (0.0549, 127)),
    fine=((0.091, 33), (0.077, -61), (0.0061, 5)),
    tie=((0.5, -3), (0.5, 7), (1.0, 2)),
)
for kind in ("int8", "int16"):
    for how in VARIANTS[kind]:
        a, b, t = BINARY[how]
        for op in ("ADD", "SUB", "MUL", *(["SQUARED_DIFFERENCE"] if how == "fine" else [])):
            general = dict(potScaleInt16=False) if op in ("ADD", "SUB") and kind == "int16" else {}
            row(f"{op.lower()}_{SHORT[kind]}_{how}", op, [x(kind, (2, 19), q(kind, *a)), x(kind, (2, 19), q(kind, *b))], [y(kind, q(kind, *t))], 4, **general)
for op in ("ADD", "MUL"):
    s, t = (0.05, -4), (0.03, 4)
    row(f"{op.lower()}_i8_rank_6", op, [x("int8", (2, 1, 3, 1, 2, 1), s), x("int8", (1, 3, 1, 2, 1, 2), s)], [y("int8", t)], 4)
    row(f"{op.lower()}_i8_relu_n1_to_1", op, [x("int8", (3, 11), s), x("int8", (11,), s)], [y("int8", t)], 2, fusedActivationFunction=RELU_N1_TO_1)
row("sub_i8_constant_first", "SUB", [c(np.array(17, np.int8), 0.05, -4), x("int8", (3, 7), (0.03, 9))], [y("int8", (0.06, 1))], 2)
row("div_f32_constant_first", "DIV", [scalar(1.7, np.float32), x("float32", (3, 7), range=(0.5, 4.0))], [y("float32")], 1)
for how, low in dict(low=-128, fine=-60).items():
    a, b, t = BINARY[how]
    row(f"div_i8_{how}", "DIV", [x("int8", (2, 19), a), x("int8", (2, 19), b, (low, 126))], [y("int8", t)], 2)
for op in ("EQUAL", "LESS"):
    row(f"{op.lower()}_i8_low", op, [x("int8", (2, 19), BINARY["low"][0]), x("int8", (19,), BINARY["low"][1])], [y("bool")], 3)
row("equal_i8_tie", "EQUAL", [x("int8", (7, 1), (0.5, -3), (-9, 9)), x("int8", (11,), (0.25, 7), (-9, 9))], [y("bool")], 3)
row("pow_f32_constant", "POW", [x("float32", (3, 5), range=(0.0, 9.0)), scalar(0.5, np.float32)], [y("float32")], 1)

POOL = dict(filterHeight=3, filterWidth=2, strideH=2, strideW=2, padding=SAME)
for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
    n, s = op.lower(), (0.011, -31)
    row(f"{n}_i8_low", op, [x("int8", (1, 5, 4, 3), (0.05, -128))], [y("int8", (0.05, -128))], 2, **POOL)
    row(f"{n}_i8_relu_n1_to_1", op, [x("int8", (1, 5, 4, 3), s)], [y("int8", s)], 2, **POOL, fusedActivationFunction=RELU_N1_TO_1)
    row(f"{n}_i8_window_beyond_input", op, [x("int8", (2, 2, 3, 3), s)], [y("int8", s)], 2, filterHeight=5, filterWidth=7, strideH=1, strideW=1, padding=SAME)
    row(f"{n}_i8_skips", op, [x("int8", (1, 9, 8, 2), s)], [y("int8", s)], 2, filterHeight=2, filterWidth=1, strideH=4, strideW=3, padding=VALID)

SCALES = dict(low=((0.05, -128), (0.02, 127)), high=((0.013, 127), (0.037, -128)), fine=((0.09, 11), (0.004, -3)), tie=((0.5, -3), (1.0, 2)))
ALPHA = dict(low=0.5, high=-0.3, fine=1.7, tie=0.5)
for kind in ("int8", "uint8", "int16"):
    k = SHORT[kind]
    for how in VARIANTS[kind]:
        if (kind, how) == ("int16", "tie"):
            continue
        s, t = (q(kind, *pair) for pair in SCALES[how])
        row(f"mean_{k}_{how}", "MEAN", [x(kind, (2, 3, 4, 5), s), ints(1, 2)], [y(kind, t)], 2, keepDims=True)
        row(f"leaky_relu_{k}_{how}", "LEAKY_RELU", [x(kind, (2, 29), s)], [y(kind, t)], 2, alpha=ALPHA[how])
        row(f"relu_{k}_{how}", "RELU", [x(kind, (2, 29), s)], [y(kind, t)], 2)
        row(f"quantize_{k}_{k}_{how}", "QUANTIZE", [x(kind, (2, 29), s)], [y(kind, t)], 2)
for how in ("low", "fine", "tie"):
    s, t = SCALES[how]
    for op in ("HARD_SWISH", "RELU6", "ELU"):
        row(f"{op.lower()}_i8_{how}", op, [x("int8", (2, 29), s)], [y("int8", t)], 2)
    row(f"prelu_i8_{how}", "PRELU", [x("int8", (2, 29), s), c(weights(how, "int8", (29,), how), 0.011, 7)], [y("int8", t)], 1)
    row(f"quantize_i16_i8_{how}", "QUANTIZE", [x("int16", (2, 29), q("int16", *s))], [y("int8", t)], 2)
for how in ("low", "fine"):
    s = SCALES[how][0]
    row(f"logistic_i8_{how}", "LOGISTIC", [x("int8", (2, 37), s)], [y("int8", (1 / 256, -128))])
    row(f"tanh_i8_{how}", "TANH", [x("int8", (2, 37), s)], [y("int8", (1 / 128, 0))])
    row(f"softmax_i8_{how}", "SOFTMAX", [x("int8", (3, 19), s)], [y("int8", (1 / 256, -128))], 2, beta=1.0)
row("log_softmax_i8_fine", "LOG_SOFTMAX", [x("int8", (3, 19), (0.004, -128))], [y("int8", (16 / 256, 127))], 2)
for scale, how in ((1 / 32768, "one"), (1 / 2048, "sixteen"), (0.001, "wide"), (3e-6, "narrow")):
    row(f"logistic_i16_{how}", "LOGISTIC", [x("int16", (2, 23), (scale, 0))], [y("int16", (1 / 32768, 0))])
    row(f"tanh_i16_{how}", "TANH", [x("int16", (2, 23), (scale, 0))], [y("int16", (1 / 32768, 0))])
for n, shape in dict(rank_1=(13,), rank_4=(2, 2, 3, 5), single=(5, 1)).items():
    row(f"softmax_i8_{n}", "SOFTMAX", [x("int8", shape, (0.07, 9))], [y("int8", (1 / 256, -128))], 2, beta=2.0)

# Zero vectors: all of the first sample is the zero point, or 0.0.
row("l2_normalization_i8_zero", "L2_NORMALIZATION", [x("int8", (3, 7), (0.05, -128))], [y("int8", (1 / 128, 0))], 2)
row("l2_normalization_f32_zero", "L2_NORMALIZATION", [x("float32", (2, 2, 3, 5), range=(0.0, 4.0))], [y("float32")], 1)
for op, n, axes, shape in (("MEAN", "backwards", (2, 1), (2, 3, 4, 5)), ("MEAN", "mixed", (-2, 1), (2, 5, 3)), ("MEAN", "every_other", (0, 2, 4), (2, 3, 2, 3, 2)), ("REDUCE_MAX", "mixed", (-1, 0), (3, 5, 4))):
    row(f"{op.lower()}_i8_axes_{n}", op, [x("int8", shape, (0.05, 9)), ints(*axes)], [y("int8", (0.05, 9))], 2)
row("mean_f32_axis_scalar", "MEAN", [x("float32", (3, 5)), scalar(1)], [y("float32")], 2)
row("arg_max_bool", "ARG_MAX", [x("bool", (3, 7)), scalar(0)], [y("int32")], 3, outputType=2)
row("arg_min_i8_ties", "ARG_MIN", [x("int8", (2, 29), (0.1, 0), (-2, 2)), scalar(-1)], [y("int32")], 2, outputType=2)

# Floats: large magnitudes.
LARGE = dict(LOGISTIC=(-200.0, 200.0), TANH=(-200.0, 200.0), ELU=(-120.0, 120.0), EXP=(-80.0, 80.0), HARD_SWISH=(-1e6, 1e6), GELU=(-50.0, 50.0), SQRT=(0.0, 1e30), RSQRT=(1e-30, 1e30),
             LOG=(1e-30, 1e30), SIN=(-500.0, 500.0), ROUND=(-1e7, 1e7), SOFTMAX=(-500.0, 500.0))
for op, bounds in LARGE.items():
    row(f"{op.lower()}_f32_large", op, [x("float32", (3, 7), range=bounds)], [y("float32")], 1, **(dict(beta=1.0) if op == "SOFTMAX" else {}))
row("abs_i16_rescaled", "ABS", [x("int16", (2, 19), (0.05, 0))], [y("int16", (0.03, 0))], 3)
row("quantize_f32_i8_low", "QUANTIZE", [x("float32", (2, 19))], [y("int8", (0.05, -128))], 2)
row("quantize_f32_u8_high", "QUANTIZE", [x("float32", (2, 19))], [y("uint8", (0.02, 255))], 2)
for source, target in (("float32", "float16"), ("float16", "float32"), ("uint32", "int32"), ("uint32", "float32")):
    codes = dict(float32=0, float16=1, int32=2, uint32=15)
    row(f"cast_{SHORT[source]}_{SHORT[target]}", "CAST", [x(source, (3, 7))], [y(target)], 6, inDataType=codes[source], outDataType=codes[target])

# Size after, align_corners, half_pixel_centers.
RESIZE = dict(both=((1, 3, 4, 2), (5, 7), True, True), to_one=((1, 3, 4, 2), (1, 1), True, False), from_one=((1, 1, 1, 3), (2, 5), True, False), double=((2, 2, 3, 1), (4, 6), False, True), third=((1, 9, 6, 1), (3, 2), False, False))
for op in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
    for how, (shape, size, corners, half) in RESIZE.items():
        row(f"{op.lower()}_i8_{how}", op, [x("int8", shape, (0.05, -9)), ints(*size)], [y("int8", (0.05, -9))], 3, alignCorners=corners, halfPixelCenters=half)

# What LiteRT refuses beside the other families' refusals.
row("squared_difference_u8", "SQUARED_DIFFERENCE", [x("uint8", (3,), (0.1, 9)), x("uint8", (3,), (0.2, 8))], [y("uint8", (0.3, 1))], 2)
row("log_softmax_i16", "LOG_SOFTMAX", [x("int16", (3, 5), (0.001, 0))], [y("int16", (16 / 65536, 0))], 2)
row("arg_max_i64", "ARG_MAX", [x("int64", (3, 7)), scalar(0)], [y("int32")], 3, outputType=2)
row("pow_i64", "POW", [x("int64", (3,)), scalar(2, np.int64)], [y("int64")], 1)
cases.finish("extremes")
