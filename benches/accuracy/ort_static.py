#!/usr/bin/env python3
"""Quantizes ONNX models with ONNX Runtime's `quantize_static` and runs them.

    ort_static.py JOBS.json OUT

JOBS.json: [{"name", "onnx", "calibration", "test"}]. In OUT: results.json, and answers per setting.
"""
import itertools
import json
import logging
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import (CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType,
                                      quantize_static)
from onnxruntime.quantization.shape_inference import quant_pre_process

from common import Results, onnx_inputs, samples

DEFAULTS = "defaults"
# What is tried beside the defaults; 8-bit weights keep their whole range (`reduce_range` off).
ACTIVATIONS = {"U8S8": QuantType.QUInt8, "S8S8": QuantType.QInt8}
METHODS = {"min-max": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile,
           "entropy": CalibrationMethod.Entropy}
SCALES = {"per tensor": False, "per channel": True}


class Reader(CalibrationDataReader):
    def __init__(self, data):
        self.data = iter(data)

    def get_next(self):
        return next(self.data, None)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def answers(path, data):
    """The first output for every sample, flat."""
    run = session(path)
    name = run.get_outputs()[0].name
    return [np.asarray(run.run([name], sample)[0]).reshape(-1) for sample in data]


def settings():
    for (weights, per_channel), (types, activation), (method, calibrate) in itertools.product(
            SCALES.items(), ACTIVATIONS.items(), METHODS.items()):
        yield f"{types}, {weights}, {method}", {
            "quant_format": QuantFormat.QDQ, "per_channel": per_channel, "reduce_range": False,
            "activation_type": activation, "weight_type": QuantType.QInt8, "calibrate_method": calibrate}


def main():
    jobs = json.loads(pathlib.Path(sys.argv[1]).read_text())
    results = Results(sys.argv[2], {"onnxruntime": ort.__version__, "onnx": onnx.__version__,
                                    "numpy": np.__version__})
    logging.disable(logging.WARNING)
    for job in jobs:
        inputs = onnx_inputs(job["onnx"])
        calibration, test = samples(job["calibration"], inputs), samples(job["test"], inputs)
        with tempfile.TemporaryDirectory() as folder:
            target, prepared = pathlib.Path(folder) / "int8.onnx", pathlib.Path(folder) / "prepared.onnx"
            results.add(job["name"], "float", answers(job["onnx"], test))

            def attempt(setting, source, options):
                try:
                    quantize_static(str(source), str(target), Reader(calibration), **options)
                    results.add(job["name"], setting, answers(target, test))
                except Exception as problem:  # whatever stops a peer is a result
                    results.fail(job["name"], setting, problem)

            attempt(DEFAULTS, job["onnx"], {})
            try:
                quant_pre_process(job["onnx"], str(prepared))
            except Exception as problem:
                results.fail(job["name"], "quant_pre_process", problem)
                prepared = job["onnx"]
            for setting, options in settings():
                attempt(setting, prepared, options)
        results.write()


if __name__ == "__main__":
    main()
