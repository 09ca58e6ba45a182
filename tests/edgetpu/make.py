"""Models of which a part, or which in segments, are compiled for the Edge TPU, with goldens of LiteRT's reference kernels.

    python tests/edgetpu/make.py

needs ai-edge-litert 2.3.0. `mixed` is made as DeepLab is: a part for the device between operators for the CPU. `diagonal` is the same with an
operator that Systole does not have. `chain` is three segments. What stands for compiled code is a package of the right form without instructions: a device would refuse it; the
simulated one runs the twin, `NAME.part.tflite`, in its place.
"""
import pathlib
import sys

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "operators" / "make"))
from model import TYPES, Model, interpreter, litert, samples, save, schema  # noqa: E402

RELU6 = 3
OPERATOR = b"edgetpu-custom-op"


def package(inputs, outputs):
    """A package without instructions, in FlexBuffers' map as compilers write it."""
    b = flatbuffers.Builder(256)

    def layers(names):
        tables = []
        for name in names:
            text = b.CreateString(name)
            b.StartObject(7)
            b.PrependUOffsetTRelativeSlot(0, text, 0)
            tables.append(b.EndObject())
        b.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            b.PrependUOffsetTRelative(table)
        return b.EndVector()

    chip, ins, outs = b.CreateString("beagle"), layers(inputs), layers(outputs)
    b.StartObject(17)
    b.PrependUOffsetTRelativeSlot(8, ins, 0)
    b.PrependUOffsetTRelativeSlot(9, outs, 0)
    b.PrependUOffsetTRelativeSlot(10, chip, 0)
    b.Finish(b.EndObject())
    executable = bytes(b.Output())

    b = flatbuffers.Builder(256)
    text = b.CreateByteVector(executable)
    b.StartVector(4, 1, 4)
    b.PrependUOffsetTRelative(text)
    texts = b.EndVector()
    b.StartObject(1)
    b.PrependUOffsetTRelativeSlot(0, texts, 0)
    b.Finish(b.EndObject())
    all_of_them = bytes(b.Output())

    b = flatbuffers.Builder(256)
    bytes_ = b.CreateByteVector(all_of_them)
    b.StartObject(8)
    b.PrependInt32Slot(0, 14, 0)
    b.PrependUOffsetTRelativeSlot(1, bytes_, 0)
    b.Finish(b.EndObject(), b"DWN1")
    f = flexbuffers.Builder()
    with f.Map():
        f.Key("1")
        f.Int(1)
        f.Key("4")
        f.Blob(bytes(b.Output()))
    return list(f.Finish())


class Named(Model):
    """Tensors that keep their names wherever they are."""

    def __init__(self, of=None):
        super().__init__()
        self.of = of

    def add(self, name, dtype, scale=None, zero=0, shape=()):
        return self.tensor(dtype, shape, scale, zero, name=name)

    def given(self, name, *args, **fields):
        i = self.add(name, *args, **fields)
        self.inputs.append(i)
        self.ranges.append(None)
        return i

    def copied(self, whole, name):
        """A tensor as it is in another model."""
        (t,) = [t for t in whole.tensors if t.name == name.encode()]
        dtype = {v: k for k, v in TYPES.items()}[t.type]
        q = t.quantization
        return self.add(name, dtype, q and q.scale, q and q.zeroPoint, t.shape)

    def conv(self, x, y, weights, x_scale, stride=1, activation=RELU6):
        """A convolution of uint8 with random weights of this shape, the same wherever it stands."""
        rng = np.random.default_rng(list(self.tensors[y].name))
        w = self.const(rng.integers(0, 256, weights, np.uint8), 0.01, 120)
        bias = self.const(rng.integers(-500, 500, weights[:1], np.int32), 0.01 * x_scale)
        self.op("CONV_2D", [x, w, bias], [y], "Conv2DOptions", padding=0, strideW=stride, strideH=stride,
                fusedActivationFunction=activation, dilationWFactor=1, dilationHFactor=1)

    def resize(self, x, y, size):
        self.op("RESIZE_BILINEAR", [x, self.const(np.int32(size))], [y], "ResizeBilinearOptions", version=3, halfPixelCenters=True)

    def compiled(self, inputs, outputs):
        """An operator for the device."""
        c = schema.OperatorCodeT()
        c.builtinCode = c.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        c.customCode, c.version = OPERATOR, 1
        self.codes.append(c)
        o = schema.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs = len(self.codes) - 1, list(inputs), list(outputs)
        names = [[self.tensors[i].name.decode() for i in ids] for ids in (inputs, outputs)]
        o.customOptions = package(*names)
        self.ops.append(o)


def head(m):
    """Operators in front of the compiled part."""
    x = m.given("picture", "int8", 1 / 100, 3, shape=(1, 16, 16, 3))
    y = m.add("unsigned", "uint8", 1 / 128, 128)
    m.op("QUANTIZE", [x], [y])
    return y


def part(m, x):
    """What is compiled: features, and their mean."""
    features, mean = m.add("features", "uint8", 6 / 255), m.add("mean", "uint8", 6 / 255)
    m.conv(x, features, (8, 3, 3, 3), 1 / 128, stride=2)
    m.op("AVERAGE_POOL_2D", [features], [mean], "Pool2DOptions", padding=1, strideW=1, strideH=1, filterWidth=8, filterHeight=8)
    return features, mean


def tail(m, features, mean):
    """Operators behind the compiled part."""
    wide, same = m.add("wide", "uint8", 6 / 255), m.add("same", "uint8", 0.03, 5)
    m.resize(mean, wide, (8, 8))
    m.op("QUANTIZE", [features], [same])
    other = m.add("other", "uint8", 0.03, 5)
    m.op("QUANTIZE", [wide], [other])
    both = m.add("both", "uint8", 0.03, 5)
    m.op("CONCATENATION", [other, same], [both], "ConcatenationOptions", axis=3)
    mixed, logits = m.add("mixed", "uint8", 6 / 255), m.add("logits", "uint8", 0.2, 100)
    m.conv(both, mixed, (8, 1, 1, 16), 0.03)
    m.conv(mixed, logits, (5, 1, 1, 8), 6 / 255, activation=0)
    large = m.add("large", "uint8", 0.2, 100)
    m.resize(logits, large, (16, 16))
    classes = m.add("classes", "int64")
    m.op("ARG_MAX", [large, m.const(np.int32(3))], [classes], "ArgMaxOptions", outputType=TYPES["int64"])
    m.outputs = [classes, large]


def write(name, model):
    flat = model.pack() if isinstance(model, Model) else model
    (HERE / name).write_bytes(flat)
    return flat


def goldens(name, model):
    """A model with its shapes, and what LiteRT's reference kernels make of samples."""
    flat = write(f"{name}.tflite", model.at_a_known_version())
    details = interpreter(flat).get_input_details()
    given = samples(details, model.ranges, 3)
    save(HERE / f"{name}.inputs.npz", {d["name"]: np.stack(c) for d, c in zip(details, zip(*given))})
    outs = interpreter(flat).get_output_details()
    save(HERE / f"{name}.outputs.npz", {d["name"]: x for d, x in zip(outs, litert(flat, given))})


def diagonal(m):
    """An operator that Systole does not have, behind all others."""
    classes, large = m.outputs
    y = m.add("diagonal", "int64")
    m.op("MATRIX_DIAG", [classes], [y], "MatrixDiagOptions")
    m.outputs = [y, large]


def mixed(name="mixed", last=lambda m: None):
    whole = Named()
    tail(whole, *part(whole, head(whole)))
    last(whole)
    goldens(name, whole)
    # The device's operator has its outputs in another order than the twin.
    twin = Named()
    x = twin.copied(whole, "unsigned")
    twin.inputs, twin.ranges = [x], [None]
    twin.outputs = list(part(twin, x))
    write(f"{name}.part.tflite", twin.at_a_known_version())
    device = Named()
    x = head(device)
    mean, features = device.copied(whole, "mean"), device.copied(whole, "features")
    device.compiled([x], [mean, features])
    tail(device, features, mean)
    last(device)
    shapes = {t.name: t.shape for t in whole.tensors}
    for t in device.tensors:
        t.shape = shapes[t.name] if t.name in shapes and not t.name.startswith(b"t") else t.shape
    write(f"{name}_edgetpu.tflite", device)


def chain():
    """Three segments; the last one takes outputs of both others."""
    def first(m, x):
        a = m.add("a", "uint8", 6 / 255)
        m.conv(x, a, (4, 3, 3, 3), 1 / 128)
        return [a]

    def second(m, a):
        b = m.add("b", "uint8", 6 / 255)
        m.conv(a, b, (4, 3, 3, 4), 6 / 255)
        return [b]

    def third(m, a, b):
        y = m.add("sum", "uint8", 12 / 255)
        m.op("ADD", [a, b], [y], "AddOptions", fusedActivationFunction=0)
        return [y]

    whole = Named()
    x = whole.given("x", "uint8", 1 / 128, 128, shape=(1, 8, 8, 3))
    (a,) = first(whole, x)
    (b,) = second(whole, a)
    whole.outputs = third(whole, a, b)
    goldens("chain", whole)
    for i, (make, names, out) in enumerate([(first, ["x"], "a"), (second, ["a"], "b"), (third, ["a", "b"], "sum")]):
        twin, device = Named(), Named()
        for m in (twin, device):
            m.inputs = [m.copied(whole, name) for name in names]
            m.ranges = [None] * len(names)
        twin.outputs = make(twin, *twin.inputs)
        write(f"chain_segment_{i}_of_3.part.tflite", twin.at_a_known_version())
        device.outputs = [device.copied(whole, out)]
        device.compiled(device.inputs, device.outputs)
        write(f"chain_segment_{i}_of_3_edgetpu.tflite", device)


mixed()
mixed("diagonal", diagonal)
chain()
