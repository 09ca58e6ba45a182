"""Malformed and unsupported models: python make.py

Each is a bundled operator case with one thing wrong. Writes *.tflite and expected.json, which says for each file
the class of error that the converter reports and what its message names. The result depends on nothing but this
script and the cases it begins with: making it again gives the same bytes.
"""
import copy
import json
import pathlib

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FOLDER = pathlib.Path(__file__).resolve().parent
OPERATORS = FOLDER.parent / "operators"
EXPECTED = {}


def load(name):
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel((OPERATORS / f"{name}.tflite").read_bytes(), 0))


def pack(model):
    b = flatbuffers.Builder(1 << 12)
    b.Finish(model.Pack(b), b"TFL3")
    return bytes(b.Output())


def put(name, data, kind, *names):
    (FOLDER / f"{name}.tflite").write_bytes(data)
    EXPECTED[f"{name}.tflite"] = {"class": kind, "names": list(names)}


def put_all():
    conv = load("conv_2d_i8_valid")
    flat = (OPERATORS / "conv_2d_i8_valid.tflite").read_bytes()
    pool = load("average_pool_2d_i8_valid")
    reshaped = load("reshape_i8")
    lstm = load("lstm_i8")

    def variant(name, kind, names, change, base=conv):
        m = copy.deepcopy(base)
        change(m, m.subgraphs[0])
        put(name, pack(m), kind, *names)

    def set_(obj, **values):
        for key, value in values.items():
            setattr(obj, key, value)

    def operand(g, index, value):
        inputs = [int(i) for i in g.operators[0].inputs]
        inputs[index] = value
        g.operators[0].inputs = inputs

    def operand_of(g, index):
        return g.tensors[g.operators[0].inputs[index]]

    def two_layers(m, g):
        """A second layer that writes another output and has the first one's state."""
        again = copy.deepcopy(g.operators[0])
        g.tensors.append(copy.deepcopy(result(g)))
        again.outputs = [len(g.tensors) - 1]
        g.operators.append(again)

    def shorten(buffer):
        buffer.data = buffer.data[:-1]

    def result(g):
        return g.tensors[g.operators[0].outputs[0]]

    put("empty", b"", "not_a_model")
    put("magic", flat[:4] + b"TFL9" + flat[8:], "not_a_model", "TFL9")
    put("truncated", flat[: len(flat) * 3 // 4], "corrupt", "damaged")
    put("root_offset", (0xFFFFFFF0).to_bytes(4, "little") + flat[4:], "corrupt", "damaged")

    v = variant
    conv_at = "operator 0 (CONV_2D)"
    v("schema_version", "unsupported_version", ["99"], lambda m, g: set_(m, version=99))
    v("no_subgraph", "invalid_graph", ["no subgraph"], lambda m, g: set_(m, subgraphs=[]))
    v("no_outputs", "invalid_graph", ["no outputs"], lambda m, g: set_(g, outputs=[]))
    v("output_index", "invalid_graph", ["outputs", "5000"], lambda m, g: set_(g, outputs=[5000]))
    v("unwritten_output", "invalid_graph", ["'t", "no operator"], lambda m, g: set_(g, operators=[]))
    v("opcode_index", "invalid_graph", ["operator 0", "99"], lambda m, g: set_(g.operators[0], opcodeIndex=99))
    v("tensor_index", "invalid_graph", [conv_at, "9999"], lambda m, g: operand(g, 0, 9999))
    v("tensor_index_negative", "invalid_graph", [conv_at, "-7"], lambda m, g: operand(g, 0, -7))
    v("reads_own_output", "invalid_graph", [conv_at, "no earlier operator"], lambda m, g: operand(g, 0, int(g.operators[0].outputs[0])))
    v("written_twice", "invalid_graph", ["operator 1 (CONV_2D)", "already written"], lambda m, g: set_(g, operators=g.operators * 2))
    v("weights_missing", "invalid_graph", [conv_at, "input 1"], lambda m, g: operand(g, 1, -1))
    v("buffer_index", "invalid_graph", ["tensor 1", "9999"], lambda m, g: set_(operand_of(g, 1), buffer=9999))
    v("weights_short", "invalid_graph", ["tensor 1", "buffer"], lambda m, g: shorten(m.buffers[operand_of(g, 1).buffer]))
    v("custom_operator", "unsupported_operator", ["NobodyKnowsMe"], lambda m, g: set_(m.operatorCodes[0], builtinCode=schema.BuiltinOperator.CUSTOM, deprecatedBuiltinCode=schema.BuiltinOperator.CUSTOM, customCode=b"NobodyKnowsMe"))
    v("unknown_operator", "unsupported_operator", ["30000"], lambda m, g: set_(m.operatorCodes[0], builtinCode=30000, deprecatedBuiltinCode=127))
    lstm_at = "operator 0 (UNIDIRECTIONAL_SEQUENCE_LSTM)"
    v("variable_tensor", "unsupported_feature", [conv_at, "keeps state between runs"], lambda m, g: (set_(g, inputs=[]), set_(operand_of(g, 0), isVariable=True)))
    v("lstm_peephole", "unsupported_feature", [lstm_at, "peepholes"], lambda m, g: operand(g, 9, int(g.operators[0].inputs[12])), lstm)
    v("lstm_projection", "unsupported_feature", [lstm_at, "a projection"], lambda m, g: operand(g, 16, int(g.operators[0].inputs[1])), lstm)
    v("lstm_layer_norm", "unsupported_feature", [lstm_at, "layer normalization"], lambda m, g: operand(g, 20, int(g.operators[0].inputs[12])), lstm)
    v("lstm_coupled_gates", "unsupported_feature", [lstm_at, "coupled"], lambda m, g: operand(g, 1, -1), lstm)
    v("lstm_relu", "unsupported_feature", [lstm_at, "RELU", "TANH"], lambda m, g: set_(g.operators[0].builtinOptions, fusedActivationFunction=schema.ActivationFunctionType.RELU), lstm)
    v("lstm_state_given", "unsupported_feature", [lstm_at, "variable tensor"], lambda m, g: set_(operand_of(g, 18), isVariable=False, buffer=operand_of(g, 1).buffer, shape=[7, 6]), lstm)
    v("lstm_shared_state", "unsupported_feature", ["operator 1 (UNIDIRECTIONAL_SEQUENCE_LSTM)", "state of another"], two_layers, lstm)
    v("lstm_cell_scale", "invalid_quantization", [lstm_at, "cell state", "power of two"], lambda m, g: set_(operand_of(g, 19).quantization, scale=np.array([0.0003], np.float32)), lstm)
    v("lstm_weights", "invalid_shape", [lstm_at, "[6, 6]"], lambda m, g: operand(g, 6, int(g.operators[0].inputs[1])), lstm)
    v("string_tensor", "unsupported_feature", ["tensor 0", "STRING"], lambda m, g: set_(operand_of(g, 0), type=schema.TensorType.STRING))
    v("dynamic_shape", "unsupported_feature", ["tensor 0", "dimension 1"], lambda m, g: set_(operand_of(g, 0), shapeSignature=[1, -1, 4, 4]))
    v("rank_nine", "unsupported_feature", ["tensor 0", "9 dimensions"], lambda m, g: set_(operand_of(g, 0), shape=[1] * 9))
    v("activation", "unsupported_feature", [conv_at, "TANH"], lambda m, g: set_(g.operators[0].builtinOptions, fusedActivationFunction=schema.ActivationFunctionType.TANH))
    v("bias_type", "unsupported_feature", [conv_at, "float32"], lambda m, g: set_(operand_of(g, 2), type=schema.TensorType.FLOAT32))
    v("zero_dimension", "invalid_shape", ["tensor 0"], lambda m, g: set_(operand_of(g, 0), shape=[1, 0, 4, 4]))
    v("negative_dimension", "invalid_shape", ["tensor 0", "-5"], lambda m, g: set_(operand_of(g, 0), shape=[1, -5, 4, 4]))
    v("output_shape", "invalid_shape", [conv_at, "output"], lambda m, g: set_(result(g), shape=[1, 77, 7, 3]))
    v("stride_zero", "invalid_shape", [conv_at, "strides", "[0, "], lambda m, g: set_(g.operators[0].builtinOptions, strideH=0))
    v("dilation_negative", "invalid_shape", [conv_at, "dilations", "-2"], lambda m, g: set_(g.operators[0].builtinOptions, dilationWFactor=-2))
    v("pool_zero", "invalid_shape", ["operator 0 (AVERAGE_POOL_2D)", "window"], lambda m, g: set_(g.operators[0].builtinOptions, filterHeight=0), pool)
    v("reshape_count", "invalid_shape", ["operator 0 (RESHAPE)", "elements"], lambda m, g: set_(result(g), shape=[1, 1]), reshaped)
    v("scale_nan", "invalid_quantization", ["scale", "NaN"], lambda m, g: set_(result(g).quantization, scale=np.array([np.nan], np.float32)))
    v("scale_zero", "invalid_quantization", ["scale of 0"], lambda m, g: set_(result(g).quantization, scale=np.array([0], np.float32)))
    v("scale_count", "invalid_quantization", ["tensor 1", "scales"], lambda m, g: set_(operand_of(g, 1).quantization, scale=np.array([0.1] * 7, np.float32), zeroPoint=[0] * 7))
    v("zero_point_range", "invalid_quantization", ["300"], lambda m, g: set_(result(g).quantization, zeroPoint=[300]))
    v("no_quantization", "invalid_quantization", [conv_at, "scale"], lambda m, g: set_(result(g), quantization=None))
    v("too_large", "too_large", ["tensor 0"], lambda m, g: set_(operand_of(g, 0), shape=[65536] * 4))
    (FOLDER / "expected.json").write_text(json.dumps(EXPECTED, indent=1) + "\n")


put_all()
