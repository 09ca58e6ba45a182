"""Data movement: masks, negative axes, scalars, and types that movement.py leaves out: python ranks.py [PART OF A NAME]"""
import numpy as np

from rows import SHORT, c, cases, ints, row, scalar, x, y

QUANTIZED = dict(int8=(0.03, 4), int16=(0.03 / 256, 0), uint8=(0.03, 132))


def move(name, op, kind, shape, operands=(), version=3, outputs=1, first=(), **fields):
    """One input of `kind` among constants; outputs with the input's quantization."""
    s = QUANTIZED.get(kind, (None, 0))
    row(name, op, [*first, x(kind, shape, s), *operands], [y(kind, s)] * outputs, version, **fields)


def i8(name, op, shape, *args, **kwargs):
    move(name, op, "int8", shape, *args, **kwargs)


i8("pad_i8_batch", "PAD", (2, 3, 2, 2), [c(np.array([[1, 1], [0, 0], [0, 0], [2, 0]], np.int32))])
i8("padv2_i8_scalar", "PADV2", (2, 3), [c(np.array([[1, 0], [0, 2]], np.int32)), c(np.array(-128, np.int8), 0.03, 4)])
i8("mirror_pad_i8_rank_1", "MIRROR_PAD", (5,), [c(np.array([[4, 4]], np.int32))], mode=0)
i8("mirror_pad_i8_as_wide_as_the_input", "MIRROR_PAD", (1, 3, 4, 2), [c(np.array([[0, 0], [3, 3], [4, 2], [0, 0]], np.int32))], mode=1)
i8("reshape_i8_option", "RESHAPE", (2, 3, 4), newShape=[3, 8])
i8("reshape_i8_to_scalar", "RESHAPE", (1, 1), [c(np.zeros(0, np.int32))])
i8("reshape_i8_to_rank_6", "RESHAPE", (4, 9), [ints(2, 1, 2, 3, 1, 3)])
i8("squeeze_i8_negative", "SQUEEZE", (1, 3, 1, 4, 1), squeezeDims=[-1, -3])
i8("transpose_i8_rank_1", "TRANSPOSE", (7,), [ints(0)], version=2)
i8("transpose_i8_heads", "TRANSPOSE", (2, 5, 3, 4), [ints(0, 2, 1, 3)], version=2)
i8("transpose_i8_negative", "TRANSPOSE", (3, 5, 4), [ints(-1, 0, -2)], version=2)
i8("strided_slice_i8_all_masks", "STRIDED_SLICE", (4, 5, 6), [ints(1, 0, 0, -2), ints(2, 0, 0, -6), ints(1, 1, 1, -1)], 6, beginMask=1, endMask=8, newAxisMask=2, ellipsisMask=4)
i8("strided_slice_i8_shrink_and_new", "STRIDED_SLICE", (4, 5, 6), [ints(-1, 0, 1, 2), ints(0, 0, 5, 6), ints(1, 1, 2, 3)], 6, shrinkAxisMask=1, newAxisMask=2)
i8("strided_slice_i8_beyond_both_ends", "STRIDED_SLICE", (5, 7), [ints(-99, 99), ints(99, -99), ints(3, -2)])
i8("strided_slice_i8_rank_5", "STRIDED_SLICE", (2, 3, 4, 2, 3), [ints(0, 2, 0, 1, 0), ints(2, 0, 4, 2, 3), ints(1, -1, 3, 1, 2)], 4)
i8("strided_slice_i8_offset", "STRIDED_SLICE", (7, 5), [ints(2, -4), ints(4, 2), ints(1, 1)], 8, offset=True)
i8("reverse_v2_i8_negative", "REVERSE_V2", (3, 4, 5), [ints(-1)])
i8("broadcast_to_i8_rank_6", "BROADCAST_TO", (3, 1, 2, 1), [ints(2, 2, 3, 2, 2, 1)])
i8("gather_i8_negative_axis", "GATHER", (3, 5), [ints(4, 1, 1)], axis=-1)
i8("gather_i8_two_batch_dims", "GATHER", (2, 2, 4, 3), [c(np.array([[[1, 3], [0, 2]], [[3, 3], [2, 0]]], np.int32))], version=5, axis=2, batchDims=2)
i8("split_v_i8_negative_axis", "SPLIT_V", (2, 3, 7), [ints(4, 1, 2), scalar(-1)], outputs=3, numSplits=3)
for kind in ("int64", "bool"):
    k = SHORT[kind]
    move(f"pad_{k}", "PAD", kind, (2, 3, 2), [c(np.array([[0, 1], [1, 0], [2, 0]], np.int32))])
    move(f"mirror_pad_{k}", "MIRROR_PAD", kind, (2, 5), [c(np.array([[0, 1], [2, 3]], np.int32))], mode=0)
    move(f"reverse_v2_{k}", "REVERSE_V2", kind, (3, 4), [ints(0)])
    move(f"broadcast_to_{k}", "BROADCAST_TO", kind, (1, 5), [ints(3, 5)])
    move(f"split_{k}", "SPLIT", kind, (2, 6), outputs=2, first=[scalar(1)], numSplits=2)
    move(f"split_v_{k}", "SPLIT_V", kind, (2, 5), [ints(3, 2), scalar(1)], outputs=2, numSplits=2)
    move(f"unpack_{k}", "UNPACK", kind, (3, 2), outputs=2, num=2, axis=-1)
    move(f"space_to_batch_nd_{k}", "SPACE_TO_BATCH_ND", kind, (1, 3, 4, 2), [ints(2, 2), c(np.array([[1, 0], [0, 0]], np.int32))])
    move(f"space_to_depth_{k}", "SPACE_TO_DEPTH", kind, (1, 4, 2, 3), version=2, blockSize=2)
    move(f"depth_to_space_{k}", "DEPTH_TO_SPACE", kind, (1, 2, 1, 12), version=2, blockSize=2)
move("space_to_depth_i16", "SPACE_TO_DEPTH", "int16", (1, 4, 2, 3), version=2, blockSize=2)
move("depth_to_space_i16", "DEPTH_TO_SPACE", "int16", (1, 2, 1, 12), version=2, blockSize=2)

s = QUANTIZED["int8"]
row("concatenation_i8_twice_the_same", "CONCATENATION", [lambda m: m.inputs[0] if m.inputs else x("int8", (2, 3), s)(m)] * 2, [y("int8", s)], 2, axis=1)
row("concatenation_i8_rank_5", "CONCATENATION", [x("int8", (2, 1, 3, 2, 2), s), x("int8", (2, 1, 1, 2, 2), s)], [y("int8", s)], 2, axis=-3)
row("pack_i8_scalars", "PACK", [x("int8", (), s)] * 3, [y("int8", s)], 1, valuesCount=3, axis=0)
row("pack_i8_one", "PACK", [x("int8", (3,), s)], [y("int8", s)], 1, valuesCount=1, axis=1)
row("topk_v2_i8_all_with_ties", "TOPK_V2", [x("int8", (2, 3, 5), s, (-2, 2)), scalar(5)], [y("int8", s), y("int32")], 3)
row("topk_v2_f32_rank_1", "TOPK_V2", [x("float32", (7,)), scalar(1)], [y("float32"), y("int32")], 1)
row("select_v2_i8_scalar_condition", "SELECT_V2", [x("bool", ()), x("int8", (3, 5), s), x("int8", (3, 5), s)], [y("int8", s)], 1)
row("select_v2_i8_scalar_choice", "SELECT_V2", [x("bool", (3, 5)), x("int8", (3, 5), s), c(np.array(7, np.int8), *s)], [y("int8", s)], 1)
row("gather_nd_i8_by_input", "GATHER_ND", [x("int8", (4, 3), s), x("int32", (5, 1), range=(0, 3))], [y("int8", s)], 2)
for kind in ("int8", "int64"):
    s, k = QUANTIZED.get(kind, (None, 0)), SHORT[kind]
    row(f"fill_{k}", "FILL", [ints(2, 3), x(kind, (), s)], [y(kind, s)], 3)
row("shape_f32", "SHAPE", [x("float32", (2, 3, 5))], [y("int32")], 1, outType=2)
row("shape_i8_i64", "SHAPE", [x("int8", (7, 1), QUANTIZED["int8"])], [y("int64")], 1, outType=4)
row("cumsum_f32_first_axis", "CUMSUM", [x("float32", (3, 5)), scalar(0)], [y("float32")], 1, exclusive=False, reverse=True)
row("cumsum_i32_negative_axis", "CUMSUM", [x("int32", (2, 3, 2, 3), range=(-9, 9)), scalar(-1)], [y("int32")], 1, exclusive=True, reverse=False)
# Different scales are allowed for uint8 only.
for i, (given, t) in enumerate([([(0.05, 0), (0.02, 255), (0.04, 128)], (0.04, 128)), ([(0.5, 3), (0.25, 200)], (1.0, 9))]):
    row(f"concatenation_u8_scales_{i}", "CONCATENATION", [x("uint8", (2, 13), one) for one in given], [y("uint8", t)], 2, axis=1)
cases.finish("ranks")
