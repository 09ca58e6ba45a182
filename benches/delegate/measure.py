#!/usr/bin/env python3
"""Runs TFLite models in Python with Systole's delegate, beside the interpreter's own kernels.

    measure.py LIBRARY MODELS [FILE ...] [--seconds N] [--json OUT]

LIBRARY is libsystole_delegate.so, MODELS a folder with models and their goldens (NAME.inputs.npz,
NAME.outputs.npz); FILE names some of them, below MODELS. Works with ai-edge-litert and with
tflite_runtime, whichever the environment has; requirements-*.txt hold the versions.

Each model has four interpreters in this process, of one thread each:

    builtin   the interpreter's optimized kernels, no delegate (BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    xnnpack   what an application gets that asks for nothing: XNNPACK
    systole   builtin, with the delegate
    reference the interpreter's reference kernels (BUILTIN_REF), for the bytes alone

The first three take turns, so that whatever else the machine does falls on all of them, and the least
time of each counts. Bytes are compared with the goldens and with the reference interpreter.
Prints a table in Markdown. Ends with status 1 where integers differ.
"""
import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
import tempfile
import time

import numpy as np

try:
    from ai_edge_litert import interpreter as tflite
    RUNTIME = "ai-edge-litert"
except ImportError:
    from tflite_runtime import interpreter as tflite
    RUNTIME = "tflite-runtime"

MODELS = [
    "mlperf_tiny/kws_int8", "mlperf_tiny/ic_int8", "mlperf_tiny/vww_int8", "mlperf_tiny/ad_int8",
    "mlperf_tiny/sww_int8", "vision/mobilenet_v1_0.25_128_quant",
    "vision/mobilenet_v2_1.0_224_quant", "vision/tf2_mobilenet_v2_1.0_224_ptq",
    "mlperf_tiny/kws_float", "mlperf_tiny/ic_float", "mlperf_tiny/vww_float",
    "mlperf_tiny/ad_float",
]


def interpreters(path, library, report):
    """The interpreters of a model by name."""
    resolvers = tflite.OpResolverType
    plain = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES

    def make(resolver, delegates=None):
        made = tflite.Interpreter(
            str(path), num_threads=1, experimental_op_resolver_type=resolver,
            experimental_delegates=delegates)
        made.allocate_tensors()
        return made

    delegate = tflite.load_delegate(str(library), {"report": report})
    return {
        "builtin": make(plain),
        "xnnpack": make(resolvers.AUTO),
        "systole": make(plain, [delegate]),
        "reference": make(resolvers.BUILTIN_REF),
    }


def arrays(path):
    """The arrays of a file, in its order."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def feed(interpreter, inputs, sample):
    for at, detail in enumerate(interpreter.get_input_details()):
        array = inputs.get(detail["name"], list(inputs.values())[at])
        interpreter.set_tensor(detail["index"], array[sample].reshape(detail["shape"]))


def outputs(interpreter):
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def compare(found, inputs, goldens):
    """How outputs of the delegate differ from goldens and from the reference kernels."""
    samples = len(next(iter(inputs.values())))
    worst = {"golden": 0.0, "reference": 0.0, "xnnpack": 0.0}
    for sample in range(samples):
        for name in ("systole", "reference", "xnnpack"):
            feed(found[name], inputs, sample)
            found[name].invoke()
        got = outputs(found["systole"])
        wanted = {
            "reference": outputs(found["reference"]),
            "xnnpack": outputs(found["xnnpack"]),
            "golden": [golden[sample] for golden in goldens.values()],
        }
        for name, those in wanted.items():
            for a, b in zip(got, those):
                a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
                worst[name] = max(worst[name], float(np.abs(a - b).max(initial=0.0)))
    return worst


def measure(found, inputs, seconds):
    """The least time of a run, in milliseconds, by name; the interpreters take turns."""
    names = ["builtin", "xnnpack", "systole"]
    for name in names:
        feed(found[name], inputs, 0)
        found[name].invoke()
    least = dict.fromkeys(names, float("inf"))
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < 5 or time.perf_counter() < end:
        for name in names:
            interpreter = found[name]
            # A few in a row, since the first finds the caches full of another's weights.
            for _ in range(3):
                begin = time.perf_counter()
                interpreter.invoke()
                least[name] = min(least[name], time.perf_counter() - begin)
        rounds += 1
    return {name: 1e3 * time_ for name, time_ in least.items()}, rounds


def machine():
    """What the figures are of: the class of the processor and its vectors."""
    text = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    fields = dict(
        line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = fields.get("flags", fields.get("Features", "")).split()
    known = ["sse4_1", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm"]
    return {
        "architecture": platform.machine(),
        "vendor": fields.get("vendor_id", fields.get("CPU implementer", "unknown")),
        "family": fields.get("cpu family", ""),
        "model": fields.get("model", fields.get("CPU part", "")),
        "vectors": [flag for flag in known if flag in flags],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=pathlib.Path)
    parser.add_argument("models", type=pathlib.Path)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each model")
    parser.add_argument("--json", type=pathlib.Path, metavar="OUT")
    arguments = parser.parse_args()
    version = importlib.metadata.version(RUNTIME)
    rows, wrong = [], []
    for file in arguments.files or MODELS:
        path = arguments.models / file.removesuffix(".tflite")
        model = path.with_name(path.name + ".tflite")
        with tempfile.NamedTemporaryFile(suffix=".json") as report:
            found = interpreters(model, arguments.library.resolve(), report.name)
            claimed = json.loads(pathlib.Path(report.name).read_text().splitlines()[0])
        inputs = arrays(path.with_name(path.name + ".inputs.npz"))
        goldens = arrays(path.with_name(path.name + ".outputs.npz"))
        worst = compare(found, inputs, goldens)
        times, rounds = measure(found, inputs, arguments.seconds)
        exact = np.issubdtype(next(iter(goldens.values())).dtype, np.integer)
        if exact and (worst["golden"] or worst["reference"]):
            wrong.append(file)
        rows.append({
            "model": path.name, "claimed": claimed["claimed"], "operators": claimed["operators"],
            "parts": claimed["parts"], "kernels": claimed["kernels"], "ms": times,
            "rounds": rounds, "difference": worst, "exact": bool(exact),
        })
        print(path.name, "done", file=sys.stderr)
    if arguments.json:
        results = {"runtime": RUNTIME, "version": version, "machine": machine(), "rows": rows}
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{RUNTIME} {version}, one thread, kernels for {rows[0]['kernels']}; milliseconds\n")
    print("| model | operators claimed | built-in | XNNPACK | Systole | built-in / Systole | "
          "XNNPACK / Systole | against the reference kernels | XNNPACK against Systole |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        ms, worst = row["ms"], row["difference"]
        difference = max(worst["golden"], worst["reference"])
        said = "equal" if difference == 0 else f"{difference:.2g}"
        print(f"| {row['model']} | {row['claimed']} of {row['operators']} | {ms['builtin']:.3f} | "
              f"{ms['xnnpack']:.3f} | {ms['systole']:.3f} | {ms['builtin'] / ms['systole']:.2f} | "
              f"{ms['xnnpack'] / ms['systole']:.2f} | {said} | {worst['xnnpack']:.2g} |")
    if wrong:
        print("other bytes than the reference kernels: " + ", ".join(wrong), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
