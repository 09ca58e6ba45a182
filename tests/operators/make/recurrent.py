"""Recurrent layers, their state reset before each sample: python recurrent.py [PART OF A NAME]"""
import sys

import numpy as np

from model import Cases, Model

cases = Cases(sys.argv[1] if len(sys.argv) > 1 else None)
TANH = 4  # the schema's ActivationFunctionType


def lstm(name, kind, batches, steps, inputs, cells, x=(0.02, 5), y=(0.0078, -3), cell_bits=4, spread=0.03, flat_state=False, **options):
    """A layer as Keras' becomes one. Cell states have scale 2^(cell_bits - 15), weights scales up to `spread`."""
    m, rng = Model(), np.random.default_rng(len(name))
    shape = (steps, batches, inputs) if options.get("timeMajor") else (batches, steps, inputs)
    quantized = kind == "int8"
    x = m.input(kind, shape, *(x if quantized else (None, 0)))
    scales = []

    def weights(columns):
        if not quantized:
            return m.const(rng.uniform(-1, 1, (cells, columns)).astype(np.float32))
        scales.append(np.float32(rng.uniform(spread / 3, spread)))
        return m.const(rng.integers(-127, 128, (cells, columns)).astype(np.int8), scales[-1], 0)

    def bias(gate):
        if not quantized:
            return m.const(rng.uniform(-1, 1, cells).astype(np.float32))
        scale = scales[gate] * np.float32(m.tensors[x].quantization.scale[0])
        return m.const(np.round(rng.uniform(-1, 1, cells) / scale).astype(np.int32), scale, 0)

    w = [weights(inputs) for _ in range(4)]
    r = [weights(cells) for _ in range(4)]
    b = [bias(gate) for gate in range(4)]
    states = (batches * cells,) if flat_state else (batches, cells)
    hidden = m.state(kind, states, *(y if quantized else (None, 0)))
    cell = m.state("int16" if quantized else kind, states, *((2.0 ** (cell_bits - 15), 0) if quantized else (None, 0)))
    out = m.output(kind, *(y if quantized else (None, 0)))
    intermediates = []
    if quantized:
        intermediates = [m.tensor("int16", (0,), 2.0**-12, 0) for _ in range(4)] + [m.tensor("int8", (0,), *y)]
    none = [-1]
    m.op("UNIDIRECTIONAL_SEQUENCE_LSTM", [x, *w, *r, *none * 3, *b, *none * 2, hidden, cell, *none * 4], [out],
         "UnidirectionalSequenceLSTMOptions", 3, intermediates, fusedActivationFunction=TANH, **options)
    cases.add(name, m)


for kind, k in (("int8", "i8"), ("float32", "f32")):
    lstm(f"lstm_{k}", kind, 2, 5, 7, 6)
    lstm(f"lstm_{k}_one_step", kind, 1, 1, 19, 33)
    lstm(f"lstm_{k}_one_cell", kind, 3, 4, 1, 1)
    lstm(f"lstm_{k}_time_major", kind, 2, 4, 5, 8, timeMajor=True)
    lstm(f"lstm_{k}_cell_clip", kind, 2, 9, 6, 5, cellClip=0.7)
    lstm(f"lstm_{k}_flat_state", kind, 2, 3, 4, 5, flat_state=True)
    lstm(f"lstm_{k}_long", kind, 1, 40, 9, 12)
for bits in range(7):
    lstm(f"lstm_i8_cell_bits_{bits}", "int8", 2, 6, 5, 7, cell_bits=bits)
lstm("lstm_i8_saturated", "int8", 2, 6, 8, 9, x=(0.5, -128), spread=0.5)
lstm("lstm_i8_faint", "int8", 2, 6, 8, 9, x=(0.001, 127), y=(0.0001, 0), spread=0.001)
cases.finish("recurrent")
