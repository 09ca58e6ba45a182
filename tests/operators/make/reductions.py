"""Pooling, reductions, softmax and resizing: python reductions.py [PART OF A NAME]"""
import sys

import numpy as np

from model import Cases, Model

cases = Cases(sys.argv[1] if len(sys.argv) > 1 else None)
NONE, RELU, RELU_N1, RELU6 = 0, 1, 2, 3
SAME, VALID = 0, 1
SHORT = dict(int8="i8", uint8="u8", int16="i16", int32="i32", int64="i64", float32="f32", bool="bool")


def q(kind, scale, zero):
    """(scale, zero point) for a type; zero points are given for int8."""
    return {"int8": (scale, zero), "uint8": (scale, zero + 128), "int16": (scale / 256, 0)}.get(kind, (None, 0))


def simple(name, op, kind, shape, s, t, options=None, out=None, bounds=None, version=2, extra=(), tflm_shape=None, **fields):
    """One operator. With `tflm_shape`, the output's, TFLite Micro alone is asked."""
    m = Model()
    x = m.input(kind, shape, *s, range=bounds)
    more = [m.const(e) for e in extra]
    y = m.output(out or kind, *t)
    m.op(op, [x, *more], [y], options, version, **fields)
    if tflm_shape is None:
        cases.add(name, m)
    else:
        cases.add_tflm(name, m, tflm_shape)


for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"):
    for kind in ("int8", "uint8", "int16", "float32"):
        n, s = f"{op.lower()}_{SHORT[kind]}", q(kind, 0.03, 4)
        pool = dict(filterHeight=3, filterWidth=2, strideH=2, strideW=1)
        pool["version"] = 1 if op == "L2_POOL_2D" else 2
        simple(f"{n}_valid", op, kind, (1, 7, 6, 5), s, s, "Pool2DOptions", padding=VALID, **pool)
        simple(f"{n}_same_relu6", op, kind, (2, 6, 7, 9), s, s, "Pool2DOptions", padding=SAME, fusedActivationFunction=RELU6, **pool)
        simple(f"{n}_global", op, kind, (1, 5, 5, 17), s, s, "Pool2DOptions", padding=VALID, version=pool["version"], filterHeight=5, filterWidth=5, strideH=5, strideW=5)

AXES = {"hw": (1, 2), "last": (-1,), "all": (0, 1, 2, 3), "first": (0,), "hc": (1, 3)}


def reduced(shape, axes, keep):
    axes = [a % len(shape) for a in axes]
    return [1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes]


for op in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL"):
    logic = op in ("REDUCE_ANY", "REDUCE_ALL")
    for kind in ("bool",) if logic else ("int8", "uint8", "int16", "int32", "int64", "float32"):
        for axes, keep in (("hw", True), ("last", False), ("all", False), ("hc", False), ("first", True)):
            for variant in range(2 if kind in ("int8", "uint8", "int16") and op in ("MEAN", "SUM") else 1):
                s = q(kind, 0.03, 4)
                t = q(kind, 0.07 if variant else 0.03, -9 if variant else 4)
                bounds = (-9, 9) if kind in ("int32", "int64") else (-1.5, 1.5) if kind == "float32" and op == "REDUCE_PROD" else None
                n = f"{op.lower()}_{SHORT[kind]}_{axes}{'_keep' if keep else ''}{'_rescaled' if variant else ''}"
                # LiteRT's reference SUM reads half of an int16 input, as uint8, and writes half of the output.
                only_tflm = dict(tflm_shape=reduced((2, 5, 3, 4), AXES[axes], keep)) if (op, kind) == ("SUM", "int16") else {}
                simple(n, op, kind, (2, 5, 3, 4), s, t, "ReducerOptions", bounds=bounds, **only_tflm, extra=[np.array(AXES[axes], np.int32)], keepDims=keep, version=1 if logic else 2)

for kind in ("int8", "uint8", "int16"):
    s, t = q(kind, 0.03, 4), q(kind, 0.012, 20)
    simple(f"mean_{SHORT[kind]}_global", "MEAN", kind, (1, 7, 7, 70), s, t, "ReducerOptions", extra=[np.array((1, 2), np.int32)], keepDims=True)

for op in ("ARG_MAX", "ARG_MIN"):
    for kind in ("int8", "uint8", "int32", "float32", "int16"):
        for axis, out in ((-1, "int32"), (1, "int64")):
            n = f"{op.lower()}_{SHORT[kind]}_axis_{axis % 4}"
            simple(n, op, kind, (2, 5, 3, 4), q(kind, 0.03, 4), (None, 0), "ArgMaxOptions" if op == "ARG_MAX" else "ArgMinOptions", out, bounds=(-9, 9) if kind == "int32" else None,
                   extra=[np.array(axis, np.int32)], outputType=2 if out == "int32" else 4)

for i, (scale, zero, beta) in enumerate([(0.1, 3, 1.0), (0.02, -128, 1.0), (0.6, 50, 0.5)]):
    for kind, t in (("int8", (1 / 256, -128)), ("uint8", (1 / 256, 0)), ("int16", (1 / 32768, 0))):
        simple(f"softmax_{SHORT[kind]}_{i}", "SOFTMAX", kind, (3, 11), q(kind, scale, zero), t, "SoftmaxOptions", beta=beta)
    simple(f"softmax_i8_i16_{i}", "SOFTMAX", "int8", (2, 3, 7), (scale, zero), (1 / 65536, -32768), "SoftmaxOptions", "int16", beta=beta)
    simple(f"softmax_f32_{i}", "SOFTMAX", "float32", (2, 3, 7), (None, 0), (None, 0), "SoftmaxOptions", beta=beta)
    for kind, t in (("int8", (16 / 256, 127)), ("uint8", (16 / 256, 255))):
        simple(f"log_softmax_{SHORT[kind]}_{i}", "LOG_SOFTMAX", kind, (3, 11), q(kind, scale, zero), t, "LogSoftmaxOptions")
simple("softmax_i8_wide", "SOFTMAX", "int8", (2, 300), (0.15, 3), (1 / 256, -128), "SoftmaxOptions", beta=1.0)
simple("log_softmax_f32", "LOG_SOFTMAX", "float32", (3, 11), (None, 0), (None, 0), "LogSoftmaxOptions")

for kind in ("int8", "uint8", "float32", "int32", "int64", "int16"):
    m = Model()
    x = m.input(kind, (3, 9), *q(kind, 0.03, 4), range=(-5, 5) if kind != "uint8" and kind != "float32" else None)
    k = m.const(np.array(4, np.int32))
    values, indices = m.output(kind, *q(kind, 0.03, 4)), m.output("int32")
    m.op("TOPK_V2", [x, k], [values, indices], "TopKV2Options", 3)
    cases.add(f"topk_v2_{SHORT[kind]}", m)

for kind in ("int32", "int64", "float32", "int8"):
    for exclusive in (False, True):
        for reverse in (False, True):
            n = f"cumsum_{SHORT[kind]}{'_exclusive' if exclusive else ''}{'_reverse' if reverse else ''}"
            simple(n, "CUMSUM", kind, (2, 5, 3), q(kind, 0.03, 4), q(kind, 0.05, -3), "CumsumOptions", bounds=(-99, 99) if kind != "float32" else None,
                   extra=[np.array(1, np.int32)], exclusive=exclusive, reverse=reverse, version=1,
                   tflm_shape=(2, 5, 3) if kind == "int8" else None)

for kind, t in (("int8", (1 / 128, 0)), ("uint8", (1 / 128, 128)), ("float32", (None, 0))):
    simple(f"l2_normalization_{SHORT[kind]}", "L2_NORMALIZATION", kind, (2, 3, 7), q(kind, 0.05, 3), t, "L2NormOptions")

for corners, half in ((False, False), (True, False), (False, True)):
    how = "_align_corners" if corners else "_half_pixel" if half else ""
    for kind in ("int8", "uint8", "int16", "float32"):
        for size in ((7, 9), (2, 3)):
            s = q(kind, 0.03, 4)
            more = dict(extra=[np.array(size, np.int32)], alignCorners=corners, halfPixelCenters=half, version=3)
            simple(f"resize_bilinear_{SHORT[kind]}_{size[0]}{how}", "RESIZE_BILINEAR", kind, (1, 4, 5, 3), s, s, "ResizeBilinearOptions", **more)
            simple(f"resize_nearest_neighbor_{SHORT[kind]}_{size[0]}{how}", "RESIZE_NEAREST_NEIGHBOR", kind, (1, 4, 5, 3), s, s, "ResizeNearestNeighborOptions", **more)
cases.finish("reductions")
