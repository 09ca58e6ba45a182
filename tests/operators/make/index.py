"""Writes cases.json, an index of all the cases in the folder: python index.py"""
import json

import numpy as np

from model import FOLDER, TYPES, schema

OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
TYPE_NAMES = {code: name for name, code in TYPES.items()}


def entry(path):
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
    graph = model.subgraphs[0]
    codes = [model.operatorCodes[op.opcodeIndex] for op in graph.operators]
    with np.load(path.with_suffix(".npz")) as arrays:
        samples, runtimes = len(arrays[arrays.files[0]]), {name.split(".")[0] for name in arrays.files}
    return dict(
        name=path.stem,
        operators=[OPERATORS[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in codes],
        dtypes=sorted({TYPE_NAMES[graph.tensors[i].type] for i in [*graph.inputs, *graph.outputs]}),
        samples=samples,
        has_litert="litert" in runtimes,
        has_tflm="tflm" in runtimes,
    )


entries = [entry(path) for path in sorted(FOLDER.glob("*.tflite"))]
(FOLDER / "cases.json").write_text("[\n" + ",\n".join(json.dumps(e) for e in entries) + "\n]\n")
print(len(entries), "cases")
