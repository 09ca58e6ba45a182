"""Runs a model in TFLite Micro: an .npz with model and samples on stdin, outputs on stdout."""
import io
import sys

import numpy as np
from tflite_micro import runtime

given = np.load(io.BytesIO(sys.stdin.buffer.read()))
flat = given["model"].tobytes()
inputs = [f for f in given.files if f != "model"]
samples = 1 + max((int(f.split(".")[0]) for f in inputs), default=-1)


def run():
    it = runtime.Interpreter.from_bytes(flat, arena_size=4 << 20)
    rows = []
    for s in range(max(samples, 1)):
        it.reset()
        for f in inputs:
            if f.split(".")[0] == str(s):
                it.set_input(given[f], int(f.split(".")[1]))
        it.invoke()
        row, i = [], 0
        while True:
            try:
                row.append(np.array(it.get_output(i)).copy())
            except (IndexError, RuntimeError, ValueError):
                break
            i += 1
        rows.append(row)
    return [np.stack(column) for column in zip(*rows)]


first, second = run(), run()
if all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(first, second)):
    out = io.BytesIO()
    np.savez(out, **{str(i): a for i, a in enumerate(first)})
    sys.stdout.buffer.write(out.getvalue())
