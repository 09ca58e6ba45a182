"""Operators that move data: python movement.py [PART OF A NAME]"""
import sys

import numpy as np

from model import Cases, Model

cases = Cases(sys.argv[1] if len(sys.argv) > 1 else None)
SHORT = dict(int8="i8", uint8="u8", int16="i16", int32="i32", int64="i64", float32="f32", bool="bool")
ALL = ("int8", "uint8", "int16", "int32", "int64", "float32", "bool")
MOST = ("int8", "uint8", "int16", "float32", "int32")


def q(kind, scale=0.03, zero=4):
    return {"int8": (scale, zero), "uint8": (scale, zero + 128), "int16": (scale / 256, 0)}.get(kind, (None, 0))


def i32(*values):
    return np.array(values, np.int32)


def move(name, op, kind, shape, extra=(), options=None, version=3, outputs=1, t=None, data_first=True, out=None, **fields):
    """One input of `kind`, constants, and outputs with the input's quantization."""
    m = Model()
    x = m.input(kind, shape, *q(kind))
    more = [e if isinstance(e, int) else m.const(e, *(q(kind) if e.dtype.name == kind and kind in ("int8", "uint8", "int16") else (None, 0))) for e in extra]
    ys = [m.output(out or kind, *(t or q(out or kind))) for _ in range(outputs)]
    m.op(op, [x, *more] if data_first else [*more, x], ys, options, version, **fields)
    cases.add(f"{name}", m)


def each(name, op, kinds, *args, **kwargs):
    for kind in kinds:
        move(f"{name.replace('@', SHORT[kind])}", op, kind, *args, **kwargs)


each("pad_@", "PAD", MOST, (1, 3, 4, 2), [np.array([[0, 0], [1, 2], [3, 0], [0, 1]], np.int32)], "PadOptions")
each("pad_@_rank_2", "PAD", ("int8", "float32"), (3, 4), [np.array([[1, 1], [0, 2]], np.int32)], "PadOptions")
for kind in MOST:
    value = np.array([37], kind) if kind != "float32" else np.array([1.5], kind)
    move(f"padv2_{SHORT[kind]}", "PADV2", kind, (1, 3, 4, 2), [np.array([[0, 0], [1, 2], [3, 0], [0, 1]], np.int32), value], "PadV2Options")
for mode, how in ((0, "reflect"), (1, "symmetric")):
    each(f"mirror_pad_@_{how}", "MIRROR_PAD", MOST, (2, 4, 3), [np.array([[1, 1], [2, 3], [0, 2]], np.int32)], "MirrorPadOptions", mode=mode)
each("reshape_@", "RESHAPE", ALL, (2, 3, 4), [i32(4, 6)], "ReshapeOptions")
each("reshape_@_unknown", "RESHAPE", ("int8", "float32"), (2, 3, 4), [i32(-1, 8)], "ReshapeOptions")
each("squeeze_@", "SQUEEZE", ("int8", "float32", "int32"), (1, 3, 1, 4), [], "SqueezeOptions", squeezeDims=[0, 2])
each("expand_dims_@", "EXPAND_DIMS", ("int8", "float32", "int32"), (3, 4), [i32(-1)], "ExpandDimsOptions")
each("transpose_@", "TRANSPOSE", ALL, (2, 3, 4, 5), [i32(0, 3, 1, 2)], "TransposeOptions")
each("transpose_@_rank_2", "TRANSPOSE", ("int8", "float32"), (7, 5), [i32(1, 0)], "TransposeOptions")
each("transpose_@_rank_6", "TRANSPOSE", ("int8", "float32"), (2, 3, 1, 2, 3, 2), [i32(5, 0, 3, 2, 4, 1)], "TransposeOptions", version=6)
each("transpose_@_identity", "TRANSPOSE", ("int8",), (2, 3, 4), [i32(0, 1, 2)], "TransposeOptions")
each("slice_@", "SLICE", ALL, (4, 5, 6), [i32(1, 0, 2), i32(2, -1, 3)], "SliceOptions", version=5)
each("strided_slice_@", "STRIDED_SLICE", ALL, (5, 6, 7), [i32(1, 0, -1), i32(5, 6, 0), i32(2, 1, -2)], "StridedSliceOptions")
for k, masks in dict(masks=dict(beginMask=1, endMask=4), shrink=dict(shrinkAxisMask=2), ellipsis=dict(ellipsisMask=2), new_axis=dict(newAxisMask=2)).items():
    each(f"strided_slice_@_{k}", "STRIDED_SLICE", ("int8", "float32"), (5, 6, 7), [i32(1, 2, -3), i32(4, 5, 7), i32(1, 1, 2)], "StridedSliceOptions", version=6, **masks)
each("reverse_v2_@", "REVERSE_V2", ("int8", "uint8", "int16", "float32", "int32"), (3, 4, 5), [i32(1)], "ReverseV2Options")
each("tile_@", "TILE", ALL, (2, 3), [i32(2, 3)], "TileOptions")
each("broadcast_to_@", "BROADCAST_TO", ("int8", "float32", "int32", "int16"), (3, 1), [i32(2, 3, 4)], "BroadcastToOptions")
each("gather_@", "GATHER", ALL, (5, 3, 2), [i32(4, 0, 2, 2)], "GatherOptions", axis=0)
each("gather_@_axis", "GATHER", ("int8", "float32"), (3, 5, 2), [np.array([[1, 3], [0, 4]], np.int32)], "GatherOptions", axis=1)
each("gather_@_batch", "GATHER", ("int8", "float32"), (2, 5, 3), [np.array([[1, 3], [0, 4]], np.int32)], "GatherOptions", axis=1, batchDims=1, version=5)
each("gather_nd_@", "GATHER_ND", ALL, (4, 3, 5), [np.array([[1, 2], [3, 0], [0, 1]], np.int32)], "GatherNdOptions")
for kind in ("int8", "float32"):
    m = Model()
    x, i = m.input(kind, (5, 3), *q(kind)), m.input("int32", (4,), range=(0, 4))
    y = m.output(kind, *q(kind))
    m.op("GATHER", [x, i], [y], "GatherOptions", 2, axis=0)
    cases.add(f"gather_{SHORT[kind]}_by_input", m)
each("space_to_depth_@", "SPACE_TO_DEPTH", ("int8", "uint8", "float32", "int32"), (1, 4, 6, 3), [], "SpaceToDepthOptions", blockSize=2)
each("depth_to_space_@", "DEPTH_TO_SPACE", ("int8", "uint8", "float32", "int32"), (1, 2, 3, 8), [], "DepthToSpaceOptions", blockSize=2)
each("space_to_batch_nd_@", "SPACE_TO_BATCH_ND", ("int8", "uint8", "float32", "int16"), (1, 3, 5, 2), [i32(2, 3), np.array([[0, 1], [1, 0]], np.int32)], "SpaceToBatchNDOptions", version=4)
each("batch_to_space_nd_@", "BATCH_TO_SPACE_ND", ("int8", "uint8", "float32", "int16"), (6, 2, 2, 2), [i32(2, 3), np.array([[0, 1], [1, 0]], np.int32)], "BatchToSpaceNDOptions", version=4)
each("split_@", "SPLIT", MOST, (2, 6, 3), [i32(1)[0:1].reshape(())], "SplitOptions", outputs=3, data_first=False, numSplits=3)
each("split_v_@", "SPLIT_V", ("int8", "float32", "int16", "int32"), (2, 7, 3), [i32(2, 1, -1), i32(1).reshape(())], "SplitVOptions", outputs=3, numSplits=3)
each("unpack_@", "UNPACK", ("int8", "uint8", "float32", "int32", "int16"), (3, 2, 4), [], "UnpackOptions", outputs=3, num=3, axis=0)
each("unpack_@_last", "UNPACK", ("int8", "float32"), (3, 2, 4), [], "UnpackOptions", outputs=4, num=4, axis=-1)


def join(name, op, kind, shapes, options, scales=None, t=None, constant=None, **fields):
    m = Model()
    xs = [m.input(kind, shape, *(scales[i] if scales else q(kind))) for i, shape in enumerate(shapes)]
    if constant is not None:
        xs.insert(1, m.const(constant, *q(kind)))
    y = m.output(kind, *(t or q(kind)))
    m.op(op, xs, [y], options, 3, **fields)
    cases.add(name, m)


for kind in ALL:
    k = SHORT[kind]
    join(f"concatenation_{k}", "CONCATENATION", kind, [(2, 3, 4), (2, 1, 4), (2, 2, 4)], "ConcatenationOptions", axis=1)
    join(f"concatenation_{k}_last", "CONCATENATION", kind, [(2, 3, 4), (2, 3, 5)], "ConcatenationOptions", axis=-1)
    join(f"pack_{k}", "PACK", kind, [(3, 4)] * 3, "PackOptions", valuesCount=3, axis=1)
join("pack_i8_last", "PACK", "int8", [(3, 4)] * 2, "PackOptions", valuesCount=2, axis=-1)
join("concatenation_i8_constant", "CONCATENATION", "int8", [(2, 3), (2, 4)], "ConcatenationOptions", constant=np.arange(4, dtype=np.int8).reshape(2, 2), axis=1)
join("concatenation_u8_rescaled", "CONCATENATION", "uint8", [(2, 3), (2, 4)], "ConcatenationOptions", [(0.05, 120), (0.02, 140)], (0.04, 128), axis=1)
join("concatenation_i8_rescaled", "CONCATENATION", "int8", [(2, 3), (2, 4)], "ConcatenationOptions", [(0.05, -8), (0.02, 12)], (0.04, 0), axis=1)


def one_hot(kind):
    m = Model()
    x = m.input("int32", (2, 3), range=(-1, 5))
    value = (lambda v: np.array(bool(v))) if kind == "bool" else (lambda v: np.array(v, kind))
    more = [m.const(np.array(5, np.int32)), m.const(value(7 if kind != "bool" else 1)), m.const(value(-2 if kind not in ("bool", "uint8") else 0))]
    y = m.output(kind)
    m.op("ONE_HOT", [x, *more], [y], "OneHotOptions", 1, axis=-1)
    cases.add(f"one_hot_{SHORT[kind]}", m)


for kind in ("float32", "int32", "int64", "int8", "uint8", "bool"):
    one_hot(kind)


# Graphs: shape arithmetic on constants, padding before a convolution, views, outputs read further on.
m = Model()
x = m.input("float32", (2, 3, 4))
shape, first, target, y = m.hidden("int32"), m.hidden("int32"), m.hidden("int32"), m.output("float32")
m.op("SHAPE", [x], [shape], "ShapeOptions", outType=2)
m.op("STRIDED_SLICE", [shape, m.const(i32(0)), m.const(i32(1)), m.const(i32(1))], [first], "StridedSliceOptions", shrinkAxisMask=1)
m.op("PACK", [first, m.const(i32(12).reshape(()))], [target], "PackOptions", valuesCount=2, axis=0)
m.op("RESHAPE", [x, target], [y], "ReshapeOptions")
cases.add("graph_shape_arithmetic", m)

m = Model()
x = m.input("float32", (6,))
count, filled, y = m.hidden("int32"), m.hidden("float32"), m.output("float32")
m.op("RANGE", [m.const(i32(0).reshape(())), m.const(i32(6).reshape(())), m.const(i32(1).reshape(()))], [count], "RangeOptions")
as_float, z = m.hidden("float32"), m.hidden("float32")
m.op("CAST", [count], [as_float], "CastOptions", inDataType=2, outDataType=0)
m.op("FILL", [m.const(i32(6)), m.const(np.array(2.5, np.float32))], [filled], "FillOptions")
m.op("MUL", [as_float, filled], [z], "MulOptions")
m.op("ADD", [x, z], [y], "AddOptions")
cases.add("graph_range_and_fill", m)


def pad_conv(name, kind, depthwise, pads):
    m, rng = Model(), np.random.default_rng(2)
    x = m.input(kind, (1, 6, 5, 3), *q(kind))
    h = m.hidden(kind, *q(kind))
    m.op("PAD", [x, m.const(np.array([[0, 0], *pads, [0, 0]], np.int32))], [h], "PadOptions")
    shape, axis = ((1, 3, 3, 3), 3) if depthwise else ((4, 3, 3, 3), 0)
    n = shape[axis]
    if kind == "float32":
        w, b, y = m.const(rng.standard_normal(shape).astype(np.float32)), m.const(rng.standard_normal(n).astype(np.float32)), m.output(kind)
    else:
        w = m.const(rng.integers(-127, 128, shape).astype(np.int8), np.full(n, 0.02, np.float32), 0, axis)
        b, y = m.const(rng.integers(-900, 900, n).astype(np.int32), np.full(n, 0.0006, np.float32)), m.output(kind, 0.9, 3)
    if depthwise:
        m.op("DEPTHWISE_CONV_2D", [h, w, b], [y], "DepthwiseConv2DOptions", padding=1, strideH=2, strideW=2, depthMultiplier=1, dilationHFactor=1, dilationWFactor=1)
    else:
        m.op("CONV_2D", [h, w, b], [y], "Conv2DOptions", padding=1, strideH=2, strideW=2, dilationHFactor=1, dilationWFactor=1)
    cases.add(name, m)


for kind in ("int8", "float32"):
    pad_conv(f"graph_pad_conv_{SHORT[kind]}", kind, False, ([0, 1], [0, 1]))
    pad_conv(f"graph_pad_depthwise_{SHORT[kind]}", kind, True, ([1, 1], [2, 0]))

m = Model()
x = m.input("int8", (2, 6), *q("int8"))
a, b, y = m.hidden("int8", *q("int8")), m.hidden("int8", *q("int8")), m.output("int8", *q("int8"))
m.op("RESHAPE", [x, m.const(i32(3, 4))], [a], "ReshapeOptions")
m.op("RESHAPE", [a, m.const(i32(12))], [b], "ReshapeOptions")
m.op("RESHAPE", [b, m.const(i32(4, 3))], [y], "ReshapeOptions")
cases.add("graph_reshapes_only", m)

m = Model()
x = m.input("int8", (1, 12), *q("int8"))
a, b, c = m.output("int8", 0.05, -3), m.output("int8", 0.06, 9), m.output("int8", 0.06, 9)
m.op("ADD", [x, x], [a], "AddOptions")
m.op("MUL", [a, x], [b], "MulOptions")
m.op("RESHAPE", [b, m.const(i32(3, 4))], [c], "ReshapeOptions")
cases.add("graph_outputs_read_further_on", m)

m = Model()
x = m.input("int8", (1, 4, 4, 8), 0.05, -3)
rng = np.random.default_rng(4)
h, s, y = m.hidden("int8", 0.4, 5), m.hidden("int8", 0.4, -2), m.output("int8", 0.4, -2)
w = m.const(rng.integers(-127, 128, (8, 3, 3, 8)).astype(np.int8), np.full(8, 0.01, np.float32), 0, 0)
b = m.const(rng.integers(-900, 900, 8).astype(np.int32), np.full(8, 0.0005, np.float32))
m.op("CONV_2D", [x, w, b], [h], "Conv2DOptions", padding=0, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=1)
m.op("ADD", [h, x], [s], "AddOptions")
m.op("RELU", [s], [y])
cases.add("graph_residual_block", m)

# Axes, ranks and index types beyond the above.
each("transpose_@_rank_5", "TRANSPOSE", ("int8", "int16", "int32"), (2, 3, 2, 4, 3), [i32(2, 4, 0, 1, 3)], "TransposeOptions", version=6)
each("transpose_@_moves_ones", "TRANSPOSE", ("int8",), (1, 3, 1, 4), [i32(1, 2, 0, 3)], "TransposeOptions")
each("slice_@_i64", "SLICE", ("int8", "float32"), (4, 5, 6), [np.array([1, 0, 2], np.int64), np.array([2, -1, 3], np.int64)], "SliceOptions", version=5)
each("slice_@_rank_5", "SLICE", ("int8", "int16"), (2, 3, 2, 4, 3), [i32(1, 0, 1, 1, 0), i32(1, 2, 1, -1, 2)], "SliceOptions", version=5)
each("strided_slice_@_reversed", "STRIDED_SLICE", ("int8", "int16", "float32"), (5, 6, 7), [i32(0, 0, 0), i32(0, 0, 0), i32(-1, 1, -3)], "StridedSliceOptions", beginMask=7, endMask=7)
each("strided_slice_@_shrinks_all", "STRIDED_SLICE", ("int8", "float32"), (5, 6), [i32(-2, 3), i32(0, 0), i32(1, 1)], "StridedSliceOptions", shrinkAxisMask=3)
each("strided_slice_@_fewer", "STRIDED_SLICE", ("int8", "float32"), (5, 6, 7), [i32(1), i32(4), i32(2)], "StridedSliceOptions")
each("strided_slice_@_clamped", "STRIDED_SLICE", ("int8",), (5, 6), [i32(-9, 1), i32(9, 99), i32(2, 3)], "StridedSliceOptions")
each("reverse_v2_@_two_axes", "REVERSE_V2", ("int8", "float32"), (3, 4, 5), [i32(1, 2)], "ReverseV2Options", version=3)
each("pad_@_i64", "PAD", ("int8", "float32"), (2, 3, 4), [np.array([[1, 0], [0, 2], [1, 1]], np.int64)], "PadOptions")
each("pad_@_nothing", "PAD", ("int8",), (2, 3), [np.zeros((2, 2), np.int32)], "PadOptions")
each("pad_@_rank_5", "PAD", ("int8", "float32"), (2, 1, 3, 2, 2), [np.array([[0, 1], [1, 0], [2, 1], [0, 0], [0, 1]], np.int32)], "PadOptions")
each("mirror_pad_@_rank_4", "MIRROR_PAD", ("int8", "float32"), (1, 4, 5, 2), [np.array([[0, 0], [2, 1], [3, 3], [0, 0]], np.int32)], "MirrorPadOptions", mode=0)
each("tile_@_rank_5", "TILE", ("int8", "float32"), (2, 1, 3, 1, 2), [i32(1, 2, 2, 3, 1)], "TileOptions")
each("tile_@_i64", "TILE", ("int8",), (2, 3), [np.array([3, 1], np.int64)], "TileOptions")
each("broadcast_to_@_scalar", "BROADCAST_TO", ("int8", "float32"), (1,), [i32(2, 3)], "BroadcastToOptions")
each("broadcast_to_@_middle", "BROADCAST_TO", ("int8", "float32"), (2, 1, 3), [i32(4, 2, 5, 3)], "BroadcastToOptions")
each("gather_@_i64", "GATHER", ("int8", "float32"), (5, 3), [np.array([4, 0, 2], np.int64)], "GatherOptions", axis=0)
each("gather_@_i16", "GATHER", ("int8",), (5, 3), [np.array([4, 0, 2], np.int16)], "GatherOptions", version=6, axis=0)
each("gather_@_one", "GATHER", ("int8", "float32"), (4, 5), [np.array(3, np.int32)], "GatherOptions", axis=1)
each("gather_nd_@_rows", "GATHER_ND", ("int8", "float32"), (4, 3, 5), [np.array([[2], [0]], np.int32)], "GatherNdOptions")
each("gather_nd_@_elements", "GATHER_ND", ("int8", "float32"), (4, 3), [np.array([[[2, 1], [0, 0]], [[3, 2], [1, 1]]], np.int32)], "GatherNdOptions")
each("gather_nd_@_i64", "GATHER_ND", ("int8",), (4, 3), [np.array([[2, 1], [0, 0]], np.int64)], "GatherNdOptions")
each("space_to_depth_@_3", "SPACE_TO_DEPTH", ("int8", "float32"), (2, 6, 3, 2), [], "SpaceToDepthOptions", blockSize=3)
each("depth_to_space_@_3", "DEPTH_TO_SPACE", ("int8", "float32"), (2, 2, 1, 18), [], "DepthToSpaceOptions", blockSize=3)
each("space_to_batch_nd_@_rank_3", "SPACE_TO_BATCH_ND", ("int8", "float32"), (2, 5, 3), [i32(3), np.array([[0, 1]], np.int32)], "SpaceToBatchNDOptions", version=3)
each("batch_to_space_nd_@_rank_3", "BATCH_TO_SPACE_ND", ("int8", "float32"), (6, 2, 3), [i32(3), np.array([[1, 0]], np.int32)], "BatchToSpaceNDOptions", version=3)
each("batch_to_space_nd_@_whole", "BATCH_TO_SPACE_ND", ("int8", "float32"), (4, 2, 3, 2), [i32(2, 2), np.zeros((2, 2), np.int32)], "BatchToSpaceNDOptions", version=3)
each("split_@_outer", "SPLIT", ("int8", "float32"), (4, 3), [i32(0)[0:1].reshape(())], "SplitOptions", outputs=2, data_first=False, numSplits=2)
each("split_@_negative_axis", "SPLIT", ("int8",), (2, 3, 6), [i32(-1)[0:1].reshape(())], "SplitOptions", outputs=2, data_first=False, numSplits=2)
each("unpack_@_middle", "UNPACK", ("int8", "float32"), (3, 2, 4), [], "UnpackOptions", outputs=2, num=2, axis=1)
each("expand_dims_@_middle", "EXPAND_DIMS", ("int8", "float32"), (3, 4), [i32(1)], "ExpandDimsOptions")
each("squeeze_@_all", "SQUEEZE", ("int8", "float32"), (1, 3, 1, 4), [], "SqueezeOptions")
join("concatenation_i8_many", "CONCATENATION", "int8", [(2, 1 + n % 3, 2) for n in range(9)], "ConcatenationOptions", axis=1)
join("concatenation_i8_outer", "CONCATENATION", "int8", [(2, 3), (1, 3)], "ConcatenationOptions", axis=0)
join("concatenation_u8_saturating", "CONCATENATION", "uint8", [(2, 3), (2, 4)], "ConcatenationOptions", [(0.5, 3), (0.013, 250)], (0.04, 128), axis=1)
join("pack_f32_outer", "PACK", "float32", [(3, 4)] * 3, "PackOptions", valuesCount=3, axis=0)


def one_hot_along(name, axis, index, range=(-1, 5)):
    m = Model()
    x = m.input(index, (2, 3), range=range)
    more = [m.const(np.array(4, np.int32)), m.const(np.array(1.5, np.float32)), m.const(np.array(-0.5, np.float32))]
    y = m.output("float32")
    m.op("ONE_HOT", [x, *more], [y], "OneHotOptions", 1, axis=axis)
    cases.add(name, m)


one_hot_along("one_hot_f32_first", 0, "int32")
one_hot_along("one_hot_f32_middle", 1, "int32")
one_hot_along("one_hot_f32_i64", -1, "int64")

m = Model()
x, t, y = m.input("float32", (7,)), m.hidden("float32"), m.output("float32")
m.op("RANGE", [m.const(np.array(v, np.float32)) for v in (0.3, -1.8, -0.3)], [t], "RangeOptions")
m.op("CONCATENATION", [x, t], [y], "ConcatenationOptions", axis=0)
cases.add("graph_range_f32", m)


# Dilation as TensorFlow writes it, and a causal convolution over a sequence.
def dilated(name, kind, zero):
    m, rng = Model(), np.random.default_rng(7)
    of = (0.03, zero) if kind == "int8" else (None, 0)
    x, a, b = m.input(kind, (1, 7, 9, 3), *of), m.hidden(kind, *of), None
    m.op("SPACE_TO_BATCH_ND", [x, m.const(i32(2, 3)), m.const(np.array([[2, 3], [3, 3]], np.int32))], [a], "SpaceToBatchNDOptions", 3)
    if kind == "float32":
        w, bias, b, y = m.const(rng.standard_normal((4, 3, 3, 3)).astype(np.float32)), m.const(rng.standard_normal(4).astype(np.float32)), m.hidden(kind), m.output(kind)
    else:
        w = m.const(rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8), np.full(4, 0.02, np.float32), 0, 0)
        bias, b, y = m.const(rng.integers(-900, 900, 4).astype(np.int32), np.full(4, 0.0006, np.float32)), m.hidden(kind, 0.9, 3), m.output(kind, 0.9, 3)
    m.op("CONV_2D", [a, w, bias], [b], "Conv2DOptions", padding=1, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
    m.op("BATCH_TO_SPACE_ND", [b, m.const(i32(2, 3)), m.const(np.array([[0, 1], [0, 0]], np.int32))], [y], "BatchToSpaceNDOptions", 3)
    cases.add(name, m)


dilated("graph_dilated_i8", "int8", 0)
dilated("graph_dilated_i8_zero_point", "int8", 11)
dilated("graph_dilated_f32", "float32", 0)


def causal(name, kind):
    m, rng = Model(), np.random.default_rng(8)
    of = q(kind)
    x, a, b = m.input(kind, (2, 9, 4), *of), m.hidden(kind, *of), m.hidden(kind, *of)
    m.op("PAD", [x, m.const(np.array([[0, 0], [4, 0], [0, 0]], np.int32))], [a], "PadOptions")
    m.op("EXPAND_DIMS", [a, m.const(i32(1))], [b], "ExpandDimsOptions")
    if kind == "float32":
        w, bias, c, y = m.const(rng.standard_normal((5, 1, 3, 4)).astype(np.float32)), m.const(rng.standard_normal(5).astype(np.float32)), m.hidden(kind), m.output(kind)
    else:
        w = m.const(rng.integers(-127, 128, (5, 1, 3, 4)).astype(np.int8), np.full(5, 0.02, np.float32), 0, 0)
        bias, c, y = m.const(rng.integers(-900, 900, 5).astype(np.int32), np.full(5, 0.0006, np.float32)), m.hidden(kind, 0.7, -6), m.output(kind, 0.7, -6)
    m.op("CONV_2D", [b, w, bias], [c], "Conv2DOptions", padding=1, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=2)
    m.op("SQUEEZE", [c], [y], "SqueezeOptions", squeezeDims=[1])
    cases.add(name, m)


causal("graph_causal_conv_i8", "int8")
causal("graph_causal_conv_f32", "float32")

m = Model()
x = m.input("int8", (2, 3, 4, 5), *q("int8"))
a, b, y = m.hidden("int8", *q("int8")), m.hidden("int8", *q("int8")), m.output("int8", *q("int8"))
m.op("TRANSPOSE", [x, m.const(i32(0, 3, 1, 2))], [a], "TransposeOptions", 2)
m.op("TRANSPOSE", [a, m.const(i32(0, 2, 3, 1))], [b], "TransposeOptions", 2)
m.op("TRANSPOSE", [b, m.const(i32(3, 2, 1, 0))], [y], "TransposeOptions", 2)
cases.add("graph_transposes", m)
cases.finish("movement")
