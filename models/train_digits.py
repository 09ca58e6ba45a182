"""Trains the digits classifier that the repository bundles, and quantizes it.

    pip install -r requirements.txt
    python train_digits.py [OUT]          (OUT is this folder if left out)

Writes digits.tflite (int8), digits_float.tflite, and for each NAME.inputs.npz and NAME.outputs.npz:
held-out images as the model takes them and what LiteRT's reference kernels make of them, keyed by
tensor name; digits.labels.npz has the right answers. Prints the accuracy on all held-out images.
"""
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tensorflow import keras
from tensorflow.keras import layers as L
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

SEED = 1
SAMPLES = 60


def data():
    """8x8 images of handwritten digits, 0..1, and their labels: train and held out."""
    digits = load_digits()
    images = (digits.images[..., None] / 16).astype(np.float32)
    return train_test_split(images, digits.target, test_size=0.3, random_state=SEED, stratify=digits.target)


def network():
    return keras.Sequential([
        keras.Input((8, 8, 1), name="image"),
        L.Conv2D(16, 3, padding="same", activation="relu"),
        L.DepthwiseConv2D(3, strides=2, padding="same", activation="relu"),
        L.Conv2D(32, 1, activation="relu"),
        L.DepthwiseConv2D(3, padding="same", activation="relu"),
        L.Conv2D(48, 1, activation="relu"),
        L.AveragePooling2D(2),
        L.Flatten(),
        L.Dense(10, activation="softmax", name="scores"),
    ])


def shifted(images, rng):
    """The images, each moved by up to one pixel: there are few of them."""
    moved = [np.roll(image, rng.integers(-1, 2, 2), (0, 1)) for image in images]
    return np.stack(moved)


def train(images, labels):
    keras.utils.set_random_seed(SEED)
    model, rng, epochs = network(), np.random.default_rng(SEED), 60
    rate = keras.optimizers.schedules.CosineDecay(4e-3, epochs * -(-len(images) // 32))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    for _ in range(epochs):
        model.fit(np.where(rng.random((len(images), 1, 1, 1)) < 0.5, shifted(images, rng), images), labels, 32, verbose=0)
    return model


def converter(model):
    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 1), tf.float32, name="image")])
    def run(image):
        return {"scores": model(image, training=False)}

    # Frozen: the calibrator cannot read variables.
    frozen = convert_variables_to_constants_v2(run.get_concrete_function())
    return tf.lite.TFLiteConverter.from_concrete_functions([frozen])


def named(flat):
    """The same model with its input and output called `image` and `scores`."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flat, 0))
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].name, graph.tensors[graph.outputs[0]].name = b"image", b"scores"
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def quantize(model, images):
    c = converter(model)
    c.optimizations = [tf.lite.Optimize.DEFAULT]
    c.representative_dataset = lambda: ([image[None]] for image in images[:300])
    c.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    c.inference_input_type = c.inference_output_type = tf.int8
    return named(c.convert())


def outputs(flat, images):
    """The model's inputs and outputs, one image at a time, with LiteRT's reference kernels."""
    it = Interpreter(model_content=flat, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1)
    it.allocate_tensors()
    source, target = it.get_input_details()[0], it.get_output_details()[0]
    if source["dtype"] == np.int8:
        scale, zero = source["quantization"]
        images = np.clip(np.round(images / scale) + zero, -128, 127).astype(np.int8)
    scores = []
    for image in images:
        it.set_tensor(source["index"], image[None])
        it.invoke()
        scores.append(it.get_tensor(target["index"])[0].copy())
    return images, np.stack(scores)


def samples(labels):
    """Indices of the held-out images to bundle: 0 to 9 in order, three times, then as they come."""
    of_each = np.stack([np.flatnonzero(labels == digit)[:3] for digit in range(10)], axis=1)
    first = of_each.ravel().tolist()
    rest = [i for i in range(len(labels)) if i not in first]
    return np.array(first + rest[: SAMPLES - len(first)])


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    images, held_out, labels, answers = data()
    model = train(images, labels)
    pick = samples(answers)
    for name, flat in [("digits", quantize(model, images)), ("digits_float", named(converter(model).convert()))]:
        (out / f"{name}.tflite").write_bytes(flat)
        given, scores = outputs(flat, held_out)
        print(f"{name}: {len(flat)} bytes, accuracy {np.mean(scores.argmax(1) == answers):.4f} on {len(answers)} held-out images")
        np.savez_compressed(out / f"{name}.inputs.npz", image=given[pick])
        np.savez_compressed(out / f"{name}.outputs.npz", scores=scores[pick])
    np.savez_compressed(out / "digits.labels.npz", labels=answers[pick])


if __name__ == "__main__":
    main()
