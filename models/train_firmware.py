"""Trains the three models that the firmware in targets/ runs, on data that this script makes up.

    pip install numpy scipy ai-edge-litert flatbuffers
    python train_firmware.py [hello] [vowels] [gesture]          (all three if left out)

hello.tflite    sin(x) for 0 <= x <= 2 pi
vowels.tflite   which sung vowel a second of sound holds, from its log-mel spectrum. The voice is synthetic
                (pulses through three resonators), so it shows how keyword spotting is built in; it is no product.
gesture.tflite  what a hand does with an accelerometer, from 1.28 s at 50 Hz; likewise made up.

Beside each: its .txt with the class names, and what the firmware is fed: vowels.window.bin, one held-out window,
and gesture.trace.bin, a LIS3DH's output registers sample by sample. `systole convert` makes the .systole files.
"""
import pathlib
import sys

import numpy as np
from scipy.signal import lfilter

from small import (Average, Conv, Dense, Depthwise, as_int8, class_loss, fit, forward, quantized, run, scaled,
                   square_loss)

FOLDER = pathlib.Path(__file__).resolve().parent


def hello():
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 2 * np.pi, (4000, 1))
    layers = [Dense(rng, 1, 16, relu=True), Dense(rng, 16, 16, relu=True), Dense(rng, 16, 1)]
    # The kinks begin spread over the turn.
    layers[0].bias = -layers[0].weights[:, 0] * rng.uniform(0, 2 * np.pi, 16)
    fit(layers, x, np.sin(x), square_loss, 200, 64, 6e-3, rng)
    # The 256 bytes are a turn, the next one would be 2 pi; y from -1 to 1, and no more.
    input_scale = np.float32(2 * np.pi / 256), -128
    flat = quantized(layers, (1, 1), x, ("x", "y"), input_scale, (-1, 1))
    given = np.arange(-128, 128).astype(np.int8).reshape(-1, 1)
    scale, zero = scaled(-1, 1)
    angle = input_scale[0] * (given[:, 0].astype(float) + 128)
    error = np.abs(scale * (run(flat, given)[:, 0].astype(float) - zero) - np.sin(angle))
    print(f"hello: {len(flat)} bytes, error {error.mean():.4f} mean, {error.max():.4f} largest")
    (FOLDER / "hello.tflite").write_bytes(flat)


RATE, FRAMES, BANDS, FRAME, HOP = 8000, 32, 16, 256, 248
VOWELS = ["silence", "other", "ah", "ee", "oo", "aye"]
FORMANTS = dict(ah=(730, 1090, 2440), ee=(270, 2290, 3010), oo=(300, 870, 2240))


def resonate(sound, formants):
    for f in formants:
        r = np.exp(-np.pi * (60 + 0.06 * f) / RATE)
        sound = lfilter([1 - r], [1, -2 * r * np.cos(2 * np.pi * f / RATE), r * r], sound)
    return sound / (np.abs(sound).max() + 1e-9)


def sound(rng, label):
    """A second of it, with noise."""
    t = np.arange(RATE) / RATE
    noise = rng.normal(0, 10 ** rng.uniform(-3.5, -2), RATE)
    if label == 0:
        return noise
    start, length = rng.uniform(0, 0.35), rng.uniform(0.4, 0.65)
    envelope = np.clip((t - start) / 0.05, 0, 1) * np.clip((start + length - t) / 0.08, 0, 1)
    pitch = rng.uniform(90, 230) * (1 + rng.uniform(-0.2, 0.2) * t + 0.02 * np.sin(2 * np.pi * rng.uniform(3, 7) * t))
    if label == 1:
        kind = rng.integers(3)
        tone = np.sin(2 * np.pi * np.cumsum(rng.uniform(200, 3000) * (1 + rng.uniform(-0.5, 0.5) * t)) / RATE)
        voice = [rng.normal(0, 0.3, RATE), tone, resonate(rng.normal(0, 1, RATE), [rng.uniform(1500, 3500)])][kind]
    else:
        pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0)
        shape = rng.uniform(0.9, 1.1) * rng.uniform(0.96, 1.04, 3)
        spoken = lambda name: resonate(pulses, FORMANTS[name] * shape)
        if VOWELS[label] == "aye":
            glide = np.clip((t - start - 0.35 * length) / (0.3 * length), 0, 1)
            voice = (1 - glide) * spoken("ah") + glide * spoken("ee")
        else:
            voice = spoken(VOWELS[label])
    return noise + envelope * voice * rng.uniform(0.2, 0.9)


def spectrum(sound):
    """[32, 16]: frames of 32 ms, decibels / 10 of energy in mel bands from 100 Hz on."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::HOP][:FRAMES] * np.hanning(FRAME)
    energy = np.abs(np.fft.rfft(frames)) ** 2
    mel = lambda f: 2595 * np.log10(1 + f / 700)
    edges = 700 * (10 ** (np.linspace(mel(100), mel(RATE / 2), BANDS + 2) / 2595) - 1)
    f = np.fft.rfftfreq(FRAME, 1 / RATE)
    bank = [np.clip(np.minimum((f - a) / (b - a), (c - f) / (c - b)), 0, 1) for a, b, c in zip(edges, edges[1:], edges[2:])]
    return np.log10(energy @ np.transpose(bank) + 1e-4)


def vowels():
    rng = np.random.default_rng(2)
    labels = np.arange(3600) % len(VOWELS)
    x = np.stack([spectrum(sound(rng, label)) for label in labels])[..., None]
    layers = [Conv(rng, (3, 3), 1, 8, (2, 2)), Depthwise(rng, (3, 3), 8), Conv(rng, (1, 1), 8, 16),
              Depthwise(rng, (3, 3), 16, (2, 2)), Conv(rng, (1, 1), 16, 24), Average(), Dense(rng, 24, len(VOWELS))]
    train = slice(0, 3000)
    fit(layers, x[train], labels[train], class_loss, 25, 32, 4e-3, rng)
    finish("vowels", layers, x, labels, 3000, VOWELS, ("spectrum", "scores"), scaled(x.min(), x.max()))
    flat = (FOLDER / "vowels.tflite").read_bytes()
    given = as_int8(x[3000:], *scaled(x.min(), x.max()))
    aye = next(i for i, s in enumerate(run(flat, given)) if labels[3000 + i] == 5 and s.argmax() == 5)
    (FOLDER / "vowels.window.bin").write_bytes(given[aye].tobytes())


STEPS, HERTZ = 64, 50
GESTURES = ["still", "tap", "shake", "circle"]
# Steps of 0.032 g: a LIS3DH's ±4 g fill the bytes.
G_SCALE = (np.float32(0.032), 0)


def motion(rng, label, steps=STEPS):
    """[steps, 3] in g: gravity in some direction, and what the hand adds."""
    t = np.arange(steps) / HERTZ
    gravity = rng.normal([0, 0, 1], 0.25)
    x = gravity / np.linalg.norm(gravity) + rng.normal(0, rng.uniform(0.01, 0.05), (steps, 3))
    if label == 1:
        at, axis = rng.integers(8, steps - 12), rng.integers(3)
        x[at : at + 4, axis] += np.array([2.4, -1.6, 0.8, -0.4]) * rng.uniform(0.5, 1.2) * rng.choice([-1, 1])
    elif label == 2:
        wave = np.sin(2 * np.pi * rng.uniform(4, 7) * t + rng.uniform(0, 6.28))
        direction = rng.normal(0, 1, 3)
        x += rng.uniform(0.8, 2) * wave[:, None] * direction / np.linalg.norm(direction)
    elif label == 3:
        angle = 2 * np.pi * rng.uniform(0.9, 1.8) * t * rng.choice([-1, 1]) + rng.uniform(0, 6.28)
        x[:, :2] += rng.uniform(0.4, 1.2) * np.stack([np.cos(angle), np.sin(angle)], 1)
    return x


def gesture():
    rng = np.random.default_rng(3)
    labels = np.arange(3600) % len(GESTURES)
    x = np.stack([motion(rng, label) for label in labels])[:, :, None]
    layers = [Conv(rng, (5, 1), 3, 8, (2, 1)), Conv(rng, (5, 1), 8, 16, (2, 1)), Conv(rng, (3, 1), 16, 16), Average(),
              Dense(rng, 16, len(GESTURES))]
    fit(layers, x[:3000], labels[:3000], class_loss, 25, 32, 4e-3, rng)
    finish("gesture", layers, x, labels, 3000, GESTURES, ("acceleration", "scores"), G_SCALE)
    trace = np.concatenate([motion(rng, label) for label in (0, 2, 3, 1, 0)])
    # 12 bits of 2 mg, left-justified in 16, as the sensor gives them at ±4 g in high resolution.
    digits = np.clip(np.round(trace / 0.002), -2048, 2047).astype("<i2") * 16
    (FOLDER / "gesture.trace.bin").write_bytes(digits.tobytes())


def finish(name, layers, x, labels, held_out, classes, names, input_scale):
    flat = quantized(layers, (1, *x.shape[1:]), x[:500], names, input_scale, classes=True)
    given, want = as_int8(x[held_out:], *input_scale), labels[held_out:]
    quant = np.mean(run(flat, given).argmax(1) == want)
    real = np.mean(forward(layers, x[held_out:]).argmax(1) == want)
    print(f"{name}: {len(flat)} bytes, accuracy {quant:.4f} int8, {real:.4f} float, on {len(want)} held-out samples")
    (FOLDER / f"{name}.tflite").write_bytes(flat)
    (FOLDER / f"{name}.txt").write_text("".join(f"{c}\n" for c in classes))


if __name__ == "__main__":
    for chosen in sys.argv[1:] or ["hello", "vowels", "gesture"]:
        globals()[chosen]()
