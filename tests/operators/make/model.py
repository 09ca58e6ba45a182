"""Builds small .tflite models, runs them in LiteRT and TFLite Micro, and writes cases."""
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

FOLDER = pathlib.Path(__file__).resolve().parent.parent
TFLM_PYTHON = os.environ.get("TFLM_PYTHON", sys.executable)
# LiteRT's reference kernels, and the built-in ones for operators that have no others.
KERNELS = (OpResolverType.BUILTIN_REF, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
TYPES = dict(float32=0, float16=1, int32=2, uint8=3, int64=4, bool=6, int16=7, int8=9, uint32=15)


class Model:
    """One subgraph. Tensors are made by `input`, `const` and `output` and named by their index."""

    def __init__(self):
        self.tensors, self.buffers, self.ops, self.codes = [], [schema.BufferT()], [], []
        self.inputs, self.outputs = [], []
        # What each input is fed: (low, high) for floats and plain integers, None for the full range.
        self.ranges = []

    def tensor(self, dtype, shape, scale=None, zero=0, axis=0, data=None, name=None):
        t = schema.TensorT()
        t.shape, t.type, t.name, t.hasRank = list(shape), TYPES[dtype], (name or f"t{len(self.tensors)}").encode(), True
        t.buffer = len(self.buffers)
        b = schema.BufferT()
        if data is not None:
            b.data = list(np.ascontiguousarray(data).tobytes())
        self.buffers.append(b)
        if scale is not None:
            q = schema.QuantizationParametersT()
            q.scale = [float(s) for s in np.atleast_1d(scale)]
            zero = np.atleast_1d(zero)
            q.zeroPoint = [int(z) for z in (zero if len(zero) == len(q.scale) else np.repeat(zero, len(q.scale)))]
            q.quantizedDimension = axis
            t.quantization = q
        self.tensors.append(t)
        return len(self.tensors) - 1

    def input(self, dtype, shape, scale=None, zero=0, range=None):
        i = self.tensor(dtype, shape, scale, zero)
        self.inputs.append(i)
        self.ranges.append(range)
        return i

    def const(self, data, scale=None, zero=0, axis=0):
        data = np.asarray(data)
        return self.tensor(data.dtype.name, data.shape, scale, zero, axis, data)

    def output(self, dtype, scale=None, zero=0):
        """An output; its shape is what LiteRT makes of it."""
        i = self.tensor(dtype, (), scale, zero)
        self.outputs.append(i)
        return i

    def hidden(self, dtype, scale=None, zero=0):
        """A tensor between two operators; its shape is what LiteRT makes of it."""
        return self.tensor(dtype, (), scale, zero)

    def state(self, dtype, shape, scale=None, zero=0):
        """A tensor that lasts from run to run."""
        i = self.tensor(dtype, shape, scale, zero)
        self.tensors[i].isVariable = True
        return i

    def op(self, name, inputs, outputs, options=None, version=1, intermediates=(), **fields):
        """`options` is the schema's name of the options table, `fields` its fields."""
        code = getattr(schema.BuiltinOperator, name)
        c = schema.OperatorCodeT()
        c.builtinCode, c.deprecatedBuiltinCode, c.version = code, min(code, 127), version
        self.codes.append(c)
        o = schema.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs = len(self.codes) - 1, list(inputs), list(outputs)
        o.intermediates = list(intermediates)
        if options:
            table = getattr(schema, options + "T")()
            for field, value in fields.items():
                if not hasattr(table, field):
                    raise AttributeError(f"{options} has no {field}")
                setattr(table, field, value)
            o.builtinOptions = table
            kinds = schema.BuiltinOptions2 if hasattr(schema.BuiltinOptions2, options) else schema.BuiltinOptions
            if kinds is schema.BuiltinOptions:
                o.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            else:
                o.builtinOptions, o.builtinOptions2 = None, table
                o.builtinOptions2Type = getattr(schema.BuiltinOptions2, options)
        self.ops.append(o)

    def pack(self):
        g = schema.SubGraphT()
        g.tensors, g.inputs, g.outputs, g.operators = self.tensors, self.inputs, self.outputs, self.ops
        m = schema.ModelT()
        m.version, m.operatorCodes, m.subgraphs, m.buffers = 3, self.codes, [g], self.buffers
        builder = flatbuffers.Builder(1 << 14)
        builder.Finish(m.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def at_a_known_version(self):
        """As `shaped`, at the highest version not above the stated ones that LiteRT knows.

        A version that the reference kernels know goes before a higher one that only others do.
        """
        stated = [c.version for c in self.codes]
        for kernels in KERNELS:
            for lower in range(max(stated)):
                for c, version in zip(self.codes, stated):
                    c.version = max(version - lower, 1)
                try:
                    return self.shaped(kernels)
                except (RuntimeError, ValueError) as e:
                    if "find op for builtin" not in str(e):
                        raise
                    missing = e
        raise missing

    def shaped(self, kernels):
        """The model's bytes, with the shapes that LiteRT infers written into it."""
        it = interpreter(self.pack(), keep=True, among=(kernels,))
        feed(it, samples(it.get_input_details(), self.ranges, 0)[-1])
        it.invoke()
        written = {i for o in self.ops for i in o.outputs}
        for i, t in enumerate(self.tensors):
            if i in written:
                t.shape = [int(d) for d in it.get_tensor(i).shape]
        return self.pack()


def interpreter(flat, keep=False, among=KERNELS):
    """LiteRT with the first of the sets of kernels that has the model's operators."""
    for kernels in among:
        try:
            it = Interpreter(model_content=flat, num_threads=1, experimental_op_resolver_type=kernels,
                             experimental_preserve_all_tensors=keep)
            it.allocate_tensors()
            return it
        except (RuntimeError, ValueError) as e:
            if "find op for builtin" not in str(e):
                raise
            missing = e
    raise missing


def samples(details, ranges, seed):
    """All at the minimum, all at the maximum, extremes at random, and two random ones."""
    rng = np.random.default_rng(seed)
    out = []
    for kind in range(5):
        sample = []
        for d, bounds in zip(details, ranges):
            shape, dtype = tuple(d["shape"]), d["dtype"]
            if dtype == np.bool_:
                low, high = 0, 1
            elif np.issubdtype(dtype, np.floating):
                low, high = bounds or (-4.0, 4.0)
            else:
                low, high = bounds or (np.iinfo(dtype).min, np.iinfo(dtype).max)
            if np.issubdtype(dtype, np.floating):
                x = rng.uniform(low, high, shape) if kind > 2 else np.choose(rng.integers(0, 2, shape) if kind == 2 else np.full(shape, kind), [low, high])
            else:
                x = rng.integers(low, high + 1, shape) if kind > 2 else np.where(rng.integers(0, 2, shape) if kind == 2 else np.full(shape, kind), high, low)
            sample.append(np.asarray(x, dtype))
        out.append(sample)
    return out


def feed(it, sample):
    for d, x in zip(it.get_input_details(), sample):
        it.set_tensor(d["index"], x)


def litert(flat, given):
    it = interpreter(flat)
    rows = []
    for sample in given:
        it.reset_all_variables()
        feed(it, sample)
        it.invoke()
        rows.append([it.get_tensor(d["index"]).copy() for d in it.get_output_details()])
    return [np.stack(column) for column in zip(*rows)]


def tflm(flat, given):
    """TFLite Micro's outputs, twice the same, or None; in a process of its own, which may abort."""
    payload = io.BytesIO()
    np.savez(payload, model=np.frombuffer(flat, np.uint8), **{f"{s}.{i}": x for s, row in enumerate(given) for i, x in enumerate(row)})
    done = subprocess.run([TFLM_PYTHON, pathlib.Path(__file__).with_name("run_tflm.py")], input=payload.getvalue(), capture_output=True)
    if done.returncode or not done.stdout:
        return None
    arrays = np.load(io.BytesIO(done.stdout))
    return [arrays[str(i)] for i in range(len(arrays.files))]


def difference(a, b):
    """What differs between two outputs, floats by more than 1e-5 of the greater of b and 1; None if nothing does."""
    a = a.astype(b.dtype).reshape(b.shape)
    with np.errstate(invalid="ignore"):
        d = np.abs(a.astype(np.float64) - b.astype(np.float64))
    if np.issubdtype(b.dtype, np.floating):
        same = (a == b) | (np.isnan(a) & np.isnan(b)) | (d <= 1e-5 * np.maximum(np.abs(b), 1))
    else:
        same = a == b
    return None if same.all() else f"{int((~same).sum())} of {d.size} elements, by up to {d[~same].max():g}"


def save(path, arrays):
    """An .npz whose bytes depend on the arrays alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(array))
            z.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), data.getvalue(), zipfile.ZIP_DEFLATED)


class Cases:
    """Collects cases, and what was refused or differs."""

    def __init__(self, only):
        subprocess.run([TFLM_PYTHON, "-c", "import tflite_micro"], check=True)
        self.only, self.refused, self.differences, self.names = only, [], [], []

    def add(self, name, model):
        if self.only and self.only not in name:
            return
        assert name not in self.names, name
        try:
            flat = model.at_a_known_version()
            given = samples(interpreter(flat).get_input_details(), model.ranges, len(name))
            want = litert(flat, given)
        except (RuntimeError, ValueError) as e:
            # LiteRT prints scales as if they were integers, which vary from run to run.
            reason = re.sub(r"(params\.scale) \(-?\d+ != -?\d+\)", r"\1", str(e).splitlines()[0])
            self.refused.append(f"{name}: {reason[-160:]}")
            return
        arrays = {f"in.{i}": np.stack(column) for i, column in enumerate(zip(*given))}
        arrays.update({f"litert.{i}": a for i, a in enumerate(want)})
        micro = tflm(flat, given)
        if micro is not None:
            arrays.update({f"tflm.{i}": a.astype(w.dtype).reshape(w.shape) for i, (a, w) in enumerate(zip(micro, want))})
            self.differences += [f"{name}: output {i}, {d}" for i, d in enumerate(map(difference, micro, want)) if d]
        (FOLDER / f"{name}.tflite").write_bytes(flat)
        save(FOLDER / f"{name}.npz", arrays)
        self.names.append(name)
        print(name, "both" if micro is not None else "LiteRT", flush=True)

    def add_tflm(self, name, model, *shapes):
        """A case that LiteRT refuses or gives no defined answer to: TFLite Micro's alone, outputs of `shapes`."""
        if self.only and self.only not in name:
            return
        assert name not in self.names, name
        for i, shape in zip(model.outputs, shapes, strict=True):
            model.tensors[i].shape = list(shape)
        flat = model.pack()
        numpy_types = {code: np.dtype(kind).type for kind, code in TYPES.items()}
        tensors = [model.tensors[i] for i in model.inputs]
        given = samples([dict(shape=t.shape, dtype=numpy_types[t.type]) for t in tensors], model.ranges, len(name))
        micro = tflm(flat, given)
        if micro is None:
            raise RuntimeError(f"{name}: TFLite Micro does not run it")
        arrays = {f"in.{i}": np.stack(column) for i, column in enumerate(zip(*given))}
        arrays.update({f"tflm.{i}": a.reshape(len(given), *shape) for i, (a, shape) in enumerate(zip(micro, shapes))})
        (FOLDER / f"{name}.tflite").write_bytes(flat)
        save(FOLDER / f"{name}.npz", arrays)
        self.names.append(name)
        print(name, "TFLite Micro", flush=True)

    def finish(self, family):
        if not self.only:
            (FOLDER / f"refused_{family}.txt").write_text("".join(f"{line}\n" for line in self.refused))
            (FOLDER / f"differences_{family}.txt").write_text("".join(f"{line}\n" for line in self.differences))
        for line in self.refused:
            print("refused", line)
        for line in self.differences:
            print("differs", line)
        print(json.dumps(dict(family=family, cases=len(self.names), refused=len(self.refused))))
