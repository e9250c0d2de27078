"""A process in which one framework trains or predicts with one model, on command.

``train_step.py`` and ``predict.py`` start one such process for each framework and let them take turns. The
command ``steps K`` runs K steps and prints their seconds, ``memory`` prints the peak memory in MiB, as JSON.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Peer(NamedTuple):
    """A framework's model, ready to train."""

    train: Callable[[np.ndarray, np.ndarray], object]  # images, labels
    predict: Callable[[np.ndarray], np.ndarray]  # images to logits
    set_rate: Callable[[float], None]
    set_weights: Callable[[dict[str, np.ndarray]], None]  # with the names and shapes of minicnn


# Filters, units. Convolutions are 3 × 3 "same", pools 2 × 2, each conv and dense has a ReLU; then 10 logits.
MODELS = {
    "M0": [("conv", 32), ("pool",), ("dense", 100)],
    "M1": [("conv", 32), ("pool",), ("conv", 64), ("pool",), ("dense", 128)],
    "M2": [("conv", 64), ("conv", 64), ("conv", 64), ("pool",), ("dense", 128)],
}
LEARNING_RATE, MOMENTUM = 0.01, 0.9


def minicnn_model(name: str) -> Any:
    """Return the model in minicnn."""
    import minicnn as mc
    from minicnn import layers as L

    stack = []
    flat = False
    for kind, *size in MODELS[name]:
        if kind == "conv":
            stack += [L.Conv2D(size[0], 3, padding="same"), L.ReLU()]
        elif kind == "pool":
            stack.append(L.MaxPool2D(2))
        else:
            stack += [] if flat else [L.Flatten()]
            stack += [L.Dense(size[0]), L.ReLU()]
            flat = True
    return mc.Sequential([*stack, L.Dense(10)], input_shape=(28, 28, 1))


def minicnn(name: str, engine: str) -> Peer:
    """Return the model in minicnn with an engine; it takes uint8 images, as they are stored."""
    import minicnn as mc

    model = minicnn_model(name)
    optimizer = mc.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM)
    trainer = mc.Trainer(model, optimizer, engine=engine)

    def predict(x: np.ndarray) -> np.ndarray:
        if engine == "layerwise":
            return model.forward(model.preprocess(x))
        return model.logits(x, len(x))

    def set_rate(rate: float) -> None:
        optimizer.learning_rate = rate

    return Peer(trainer.engine.train_step, predict, set_rate, model.set_arrays)


def keras_model(name: str) -> Any:
    """Return the model in Keras, compiled as in its documentation."""
    import keras

    stack = [keras.Input((28, 28, 1))]
    for kind, *size in MODELS[name]:
        if kind == "conv":
            stack.append(keras.layers.Conv2D(size[0], 3, padding="same", activation="relu"))
        elif kind == "pool":
            stack.append(keras.layers.MaxPooling2D(2))
        else:
            stack += [keras.layers.Flatten(), keras.layers.Dense(size[0], activation="relu")]
    model = keras.Sequential([*stack, keras.layers.Dense(10)])
    model.compile(
        keras.optimizers.SGD(LEARNING_RATE, MOMENTUM),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def _keras_setters(model: Any) -> tuple[Callable, Callable]:
    """Return ``set_rate`` and ``set_weights``; Keras has the same weight layout as minicnn."""
    rate = model.optimizer.learning_rate
    return rate.assign, lambda arrays: model.set_weights(list(arrays.values()))


def keras(name: str) -> Peer:
    """Return Keras with ``train_on_batch`` and ``predict_on_batch``."""
    _tensorflow()
    model = keras_model(name)
    return Peer(model.train_on_batch, model.predict_on_batch, *_keras_setters(model))


def tf_function(name: str) -> Peer:
    """Return a bare ``tf.function`` step over the Keras model: forward, gradient, update."""
    tf = _tensorflow()
    model = keras_model(name)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits

    @tf.function
    def train(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(y, model(x, training=True)))
        gradients = tape.gradient(value, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return value

    predict = tf.function(lambda x: model(x, training=False))
    numpy_out = (lambda x, y: train(x, y).numpy()), (lambda x: predict(x).numpy())
    return Peer(*numpy_out, *_keras_setters(model))


def _tensorflow() -> Any:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["OMP_NUM_THREADS"]))
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def torch_model(name: str) -> tuple[Any, int, int]:
    """Return the model in PyTorch, and the channels and the height of the image that it flattens."""
    from torch import nn

    stack, channels, size = [], 1, 28
    for kind, *width in MODELS[name]:
        if kind == "conv":
            stack += [nn.Conv2d(channels, width[0], 3, padding=1), nn.ReLU()]
            channels = width[0]
        elif kind == "pool":
            stack.append(nn.MaxPool2d(2))
            size //= 2
        else:
            stack += [nn.Flatten(), nn.Linear(channels * size * size, width[0]), nn.ReLU()]
    return nn.Sequential(*stack, nn.Linear(width[0], 10)), channels, size


def torch(name: str, channels_last: bool, compiled: bool) -> Peer:
    """Return the model in PyTorch, eager or with ``torch.compile``, in NCHW or channels-last."""
    import torch as t
    from torch import nn

    t.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    layout = t.channels_last if channels_last else t.contiguous_format
    model, channels, size = torch_model(name)
    model = model.to(memory_format=layout)
    optimizer = t.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM)
    loss = nn.functional.cross_entropy
    forward = t.compile(model) if compiled else model

    def images(x: np.ndarray) -> Any:
        # With one channel, (N, H, W, 1) is (N, 1, H, W) without a copy; the strides give the layout.
        x = t.from_numpy(x)
        return x.permute(0, 3, 1, 2) if channels_last else x.reshape(-1, 1, 28, 28)

    def train(x: np.ndarray, y: np.ndarray) -> float:
        optimizer.zero_grad(set_to_none=True)
        value = loss(forward(images(x)), t.from_numpy(y))
        value.backward()
        optimizer.step()
        return value.item()

    def predict(x: np.ndarray) -> np.ndarray:
        with t.inference_mode():
            return forward(images(x)).numpy()

    def set_rate(rate: float) -> None:
        optimizer.param_groups[0]["lr"] = rate

    def set_weights(arrays: dict[str, np.ndarray]) -> None:
        with t.no_grad():
            for parameter, array in zip(model.parameters(), arrays.values(), strict=True):
                parameter.copy_(t.from_numpy(as_torch(array, channels, size)))

    return Peer(train, predict, set_rate, set_weights)


def as_torch(array: np.ndarray, channels: int, size: int) -> np.ndarray:
    """Return a parameter of minicnn in PyTorch's layout; ``size`` is the height of the flattened image."""
    if array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    elif array.ndim == 2 and len(array) == channels * size * size:
        # Flatten gives (H, W, C) in minicnn, (C, H, W) in PyTorch.
        array = array.reshape(size, size, channels, -1).transpose(3, 2, 0, 1)
        array = array.reshape(len(array), -1)
    elif array.ndim == 2:
        array = array.T
    return np.ascontiguousarray(array)


def jax(name: str) -> Peer:
    """Return the model in JAX, with ``jit``, NHWC, He initialization and hand-written momentum."""
    import jax as j
    import jax.numpy as jnp

    rng, parameters, channels, size = np.random.default_rng(0), [], 1, 28

    def add(*shape: int) -> None:
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        weights = rng.normal(0, scale, shape).astype(np.float32)
        parameters.append((jnp.asarray(weights), jnp.zeros(shape[-1])))

    for kind, *width in MODELS[name]:
        if kind == "conv":
            add(3, 3, channels, width[0])
            channels = width[0]
        elif kind == "pool":
            size //= 2
        else:
            add(channels * size * size, width[0])
    add(width[0], 10)

    def forward(parameters: Any, x: Any) -> Any:
        weights = iter(parameters)
        for kind, *_ in MODELS[name]:
            if kind == "pool":
                x = j.lax.reduce_window(x, -jnp.inf, j.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
                continue
            W, b = next(weights)
            if kind == "conv":
                layout = ("NHWC", "HWIO", "NHWC")
                x = j.lax.conv_general_dilated(x, W, (1, 1), "SAME", dimension_numbers=layout)
            else:
                x = x.reshape(len(x), -1) @ W
            x = j.nn.relu(x + b)
        W, b = next(weights)
        return x @ W + b

    def mean_loss(parameters: Any, x: Any, y: Any) -> Any:
        log_p = j.nn.log_softmax(forward(parameters, x))
        return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

    @j.jit
    def update(parameters: Any, velocity: Any, x: Any, y: Any, rate: float) -> Any:
        value, gradients = j.value_and_grad(mean_loss)(parameters, x, y)
        velocity = j.tree.map(lambda v, g: MOMENTUM * v + g, velocity, gradients)
        parameters = j.tree.map(lambda w, v: w - rate * v, parameters, velocity)
        return parameters, velocity, value

    state = [parameters, j.tree.map(jnp.zeros_like, parameters)]
    rates = [LEARNING_RATE]
    jitted = j.jit(forward)

    def train(x: np.ndarray, y: np.ndarray) -> float:
        *state[:], value = update(*state, x, y, rates[0])
        return float(value)

    def set_rate(rate: float) -> None:
        rates[0] = rate

    def set_weights(arrays: dict[str, np.ndarray]) -> None:
        values = [jnp.asarray(array) for array in arrays.values()]
        state[0] = list(zip(values[::2], values[1::2], strict=True))

    return Peer(train, lambda x: np.asarray(jitted(state[0], x)), set_rate, set_weights)


# By name in the tables: the package it needs, and the function that makes it.
FRAMEWORKS: dict[str, tuple[str, Callable[[str], Peer]]] = {
    "minicnn fused": ("minicnn", lambda name: minicnn(name, "fused")),
    "minicnn layerwise": ("minicnn", lambda name: minicnn(name, "layerwise")),
    "Keras": ("keras", keras),
    "tf.function": ("keras", tf_function),
    "PyTorch NCHW": ("torch", lambda name: torch(name, False, False)),
    "PyTorch channels-last": ("torch", lambda name: torch(name, True, False)),
    "torch.compile": ("torch", lambda name: torch(name, False, True)),
    "JAX jit": ("jax", jax),
}


def as_taken(framework: str, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images and labels in the form that is fastest for the framework: float32 for the peers."""
    if framework.startswith("minicnn"):
        return images, labels.astype(np.int64)
    kind = np.int64 if "torch" in framework.lower() else np.int32
    return images.astype(np.float32) / 255, labels.astype(kind)


def peak_memory() -> float:
    """Return the peak memory of this process, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage includes the process that started this one
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Make the model and answer commands until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("batch", type=int)
    parser.add_argument("data", help="npz file with images (uint8) and labels")
    parser.add_argument("--predict", action="store_true", help="measure prediction, not training")
    args = parser.parse_args()
    with np.load(args.data) as file:
        images, labels = as_taken(args.framework, file["images"], file["labels"])
    batches = [
        (images[i : i + args.batch], labels[i : i + args.batch])
        for i in range(0, len(images) - args.batch + 1, args.batch)
    ]
    peer = FRAMEWORKS[args.framework][1](args.model)
    done = 0
    # Libraries that print to stdout must not disturb the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for command in sys.stdin:
        what, *count = command.split()
        if what == "memory":
            answer = peak_memory()
        else:
            answer = []
            for _ in range(int(count[0])):
                x, y = batches[done % len(batches)]
                start = time.perf_counter()
                peer.predict(x) if args.predict else peer.train(x, y)
                answer.append(time.perf_counter() - start)
                done += 1
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
