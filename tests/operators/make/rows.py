"""Cases as rows: name, operator, operands, results and the operator's attributes."""
import sys
import zlib

import numpy as np

from model import Cases, Model, schema

cases = Cases(sys.argv[1] if len(sys.argv) > 1 else None)
SHORT = dict(int8="i8", uint8="u8", int16="i16", int32="i32", int64="i64", float32="f32", float16="f16", bool="bool", uint32="u32")
NONE, RELU, RELU_N1_TO_1, RELU6 = 0, 1, 2, 3
SAME, VALID = 0, 1
# Options tables whose name does not follow from the operator's.
OPTIONS = dict(
    CONV_2D="Conv2DOptions", DEPTHWISE_CONV_2D="DepthwiseConv2DOptions", BATCH_MATMUL="BatchMatMulOptions",
    AVERAGE_POOL_2D="Pool2DOptions", MAX_POOL_2D="Pool2DOptions", L2_POOL_2D="Pool2DOptions",
    MAXIMUM="MaximumMinimumOptions", MINIMUM="MaximumMinimumOptions", L2_NORMALIZATION="L2NormOptions",
    PADV2="PadV2Options", TOPK_V2="TopKV2Options", SELECT_V2="SelectV2Options", REVERSE_V2="ReverseV2Options",
    SPACE_TO_BATCH_ND="SpaceToBatchNDOptions", BATCH_TO_SPACE_ND="BatchToSpaceNDOptions",
    **{op: "ReducerOptions" for op in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL")},
)


def options_of(op):
    name = OPTIONS.get(op) or "".join(part.capitalize() for part in op.split("_")) + "Options"
    return name if hasattr(schema, name + "T") else None


def q(kind, scale, zero=0):
    """(scale, zero point) for `kind` from int8's; nothing for types that are not quantized."""
    return {"int8": (scale, zero), "uint8": (scale, zero + 128), "int16": (scale / 256, 0)}.get(kind, (None, 0))


def x(kind, shape, quantized=(None, 0), range=None):
    """An input; `range` is what its samples span, everything if not given."""
    return lambda m: m.input(kind, shape, *quantized, range=range)


def c(data, scale=None, zero=0, axis=0):
    """A constant operand."""
    return lambda m: m.const(data, scale, zero, axis)


def ints(*values):
    return c(np.array(values, np.int32))


def scalar(value, kind=np.int32):
    return c(np.array(value, kind))


def absent(_):
    """An optional operand that is left out."""
    return -1


def y(kind, quantized=(None, 0)):
    return lambda m: m.output(kind, *quantized)


def rng(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def row(name, op, operands, results, version=3, tflm_shapes=None, **fields):
    """One operator. With `tflm_shapes`, its outputs', TFLite Micro alone is asked."""
    m = Model()
    inputs = [operand(m) for operand in operands]
    outputs = [result(m) for result in results]
    m.op(op, inputs, outputs, options_of(op), version, **fields)
    if tflm_shapes:
        cases.add_tflm(name, m, *tflm_shapes)
    else:
        cases.add(name, m)
