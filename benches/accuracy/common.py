"""What both peers share: the list of models, samples, and files of answers."""
import json
import pathlib

import numpy as np


def samples(path, inputs):
    """Every sample of an .npz file, as a model with these inputs takes it.

    inputs: [(name, shape, dtype)], open dimensions are 1. Arrays belong to inputs by their names; a
    single one belongs to a single input.
    """
    with np.load(path) as arrays:
        files = [file for file in arrays.files if file != "labels"]
        chosen = files if len(files) == 1 == len(inputs) else [name for name, _, _ in inputs]
        data = [arrays[file].astype(dtype) for file, (_, _, dtype) in zip(chosen, inputs)]
    names = [name for name, _, _ in inputs]
    shapes = [shape for _, shape, _ in inputs]
    return [dict(zip(names, (array[i].reshape(shape) for array, shape in zip(data, shapes))))
            for i in range(len(data[0]))]


def onnx_inputs(path):
    """Names, shapes and types of an ONNX model's inputs; open dimensions are 1."""
    import onnx
    from onnx import helper

    model = onnx.load(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    found = []
    for value in model.graph.input:
        if value.name in constants:
            continue
        tensor = value.type.tensor_type
        shape = [dim.dim_value or 1 for dim in tensor.shape.dim]
        found.append((value.name, shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
    return found


def why(problem):
    """The first line of an error, short enough for a table."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    text = lines[0] if lines else type(problem).__name__
    return f"{type(problem).__name__}: {text}"[:300]


class Results:
    """Collects what was made: `results.json` in a folder, and an .npz file of answers for each."""

    def __init__(self, folder, versions):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.versions = versions
        self.rows = []

    def add(self, model, setting, outputs):
        """outputs: [samples, values], of the model's first output."""
        file = f"{model}.{len(self.rows)}.npz"
        np.savez(self.folder / file, outputs=np.asarray(outputs, np.float32))
        self.rows.append({"model": model, "setting": setting, "outputs": file})
        print(f"{model}, {setting}", flush=True)

    def fail(self, model, setting, problem):
        self.rows.append({"model": model, "setting": setting, "problem": why(problem)})
        print(f"{model}, {setting}: {why(problem)}", flush=True)

    def write(self):
        text = json.dumps({"versions": self.versions, "rows": self.rows}, indent=1)
        (self.folder / "results.json").write_text(text + "\n")
