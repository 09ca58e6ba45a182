#!/usr/bin/env python3
"""Brings ONNX models into TensorFlow, quantizes them with TFLite's converter and runs them.

    tflite.py JOBS.json OUT

JOBS.json: [{"name", "onnx", "calibration", "test"}]. In OUT: results.json, and answers per setting.
onnx2tf writes the SavedModel, in two ways: of the model as it is, and as ONNX Runtime's basic
optimizations leave it, because with open dimensions or batch normalization it makes another network
of some. What it has made is run in float first, to be held against the ONNX model: a network that is
not the same has nothing to say about quantization.
"""
import json
import os
import pathlib
import shutil
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import onnx
import onnx2tf
import onnxruntime as ort
import tensorflow as tf

from common import Results, onnx_inputs, samples


# How a model is brought to TensorFlow.
WAYS = ["as it is", "optimized"]


def prepare(source, target):
    """Fixes open dimensions to 1, folds constants and batch normalization."""
    model = onnx.load(source)
    for value in list(model.graph.input) + list(model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.WhichOneof("value") != "dim_value":
                dim.dim_value = 1
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = target
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def answers(model, data, names):
    """The first output for every sample, flat, by the kernels that applications get.

    Not by the reference kernels: TensorFlow 2.19's of SUM gives int8 another answer.
    """
    interpreter = tf.lite.Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    output = sorted(runner.get_output_details())[0]
    found = []
    for sample in data:
        values = {argument: sample[name] for argument, name in names.items()}
        found.append(np.asarray(runner(**values)[output]).reshape(-1).copy())
    return found


def main():
    jobs = json.loads(pathlib.Path(sys.argv[1]).read_text())
    results = Results(sys.argv[2], {"tensorflow": tf.__version__, "onnx2tf": onnx2tf.__version__,
                                    "onnxruntime": ort.__version__, "numpy": np.__version__})
    for job in jobs:
        inputs = onnx_inputs(job["onnx"])
        calibration, test = samples(job["calibration"], inputs), samples(job["test"], inputs)
        for way in WAYS:
            with tempfile.TemporaryDirectory() as folder:
                made = "float"
                try:
                    names = bring(job["onnx"], way, inputs, folder)
                    model = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
                    results.add(job["name"], f"float, {way}", answers(model, test, names))
                    made = "int8"
                    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
                    converter.optimizations = [tf.lite.Optimize.DEFAULT]
                    converter.representative_dataset = lambda: (
                        {argument: sample[name] for argument, name in names.items()}
                        for sample in calibration)
                    model = converter.convert()
                    results.add(job["name"], f"int8, {way}", answers(model, test, names))
                except (Exception, SystemExit) as problem:  # whatever stops a peer is a result
                    results.fail(job["name"], f"{made}, {way}", problem)
        results.write()


def bring(source, way, inputs, folder):
    """Writes a SavedModel; gives the names of inputs by those of its arguments."""
    # onnx2tf writes the simplified graph over the file that it is given: never give it the original.
    copy = os.path.join(folder, "copy.onnx")
    if way == "optimized":
        prepare(source, copy)
    else:
        shutil.copyfile(source, copy)
    onnx2tf.convert(
        input_onnx_file_path=copy, output_folder_path=folder, batch_size=1,
        replace_to_pseudo_operators=["erf"],  # TFLite has none
        keep_shape_absolutely_input_names=[name for name, _, _ in inputs],
        output_signaturedefs=True, copy_onnx_input_output_names_to_tflite=True,
        non_verbose=True, verbosity="error")
    signature = tf.saved_model.load(folder).signatures["serving_default"]
    return match(sorted(signature.structured_input_signature[1]), [name for name, _, _ in inputs])


def match(arguments, names):
    """Which input an argument of the signature stands for; names are spelt a little differently."""
    if len(arguments) == 1:
        return {arguments[0]: names[0]}
    plain = lambda text: "".join(c for c in text if c.isalnum())
    return {argument: next(name for name in names if plain(argument).endswith(plain(name)))
            for argument in arguments}


if __name__ == "__main__":
    main()
