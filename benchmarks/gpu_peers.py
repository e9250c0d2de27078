"""Ways to train on a GPU, with the data set on the device; for comparison minicnn on the CPU.

``cpu_vs_gpu.py`` starts one process of this file for each way and lets them take turns: the command
``steps K`` runs K training steps, waits for the device, and prints the seconds per step.
``time_to_accuracy.py --device cuda`` uses the same ways.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from peers import LEARNING_RATE, MODELS, MOMENTUM, as_torch, minicnn_model, torch_model

IMAGES = 8192


class Way(NamedTuple):
    """A model that is trained on rows of a data set."""

    load: Callable[[np.ndarray, np.ndarray], None]  # images (uint8) and labels
    prepare: Callable[[np.ndarray], Any]  # rows as ``step`` takes them
    step: Callable[[Any], object]  # trains on these rows
    wait: Callable[[], object]  # until all steps are done
    predict: Callable[[np.ndarray], np.ndarray]  # images to logits
    set_rate: Callable[[float], None]
    set_weights: Callable[[dict[str, np.ndarray]], None]  # with the names and shapes of minicnn


def minicnn(name: str, device: str, engine: str, precision: str) -> Way:
    """Return the model in minicnn, trained by one of its engines."""
    import minicnn as mc

    model, optimizer = minicnn_model(name), mc.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM)
    trained_by = mc.Trainer(model, optimizer, device=device, engine=engine, precision=precision).engine
    return Way(
        load=trained_by.load,
        prepare=lambda rows: rows,  # copied to the device together with the learning rate
        step=trained_by.step,
        wait=trained_by.finish,
        predict=lambda x: model.logits(x, len(x)),
        set_rate=lambda rate: setattr(optimizer, "learning_rate", rate),
        set_weights=model.set_arrays,
    )


def torch(name: str, graph: bool, tf32: bool) -> Way:
    """Return the model in PyTorch, channels last, eager or with each step captured in a CUDA graph."""
    import torch as t
    from torch import nn

    t.backends.cuda.matmul.allow_tf32 = t.backends.cudnn.allow_tf32 = tf32
    t.backends.cudnn.benchmark = True
    model, channels, size = torch_model(name)
    model = model.cuda().to(memory_format=t.channels_last)
    rate = t.tensor(LEARNING_RATE, device="cuda")
    optimizer = t.optim.SGD(model.parameters(), rate, MOMENTUM, fused=True)
    data, graphs = {}, {}

    def load(images: np.ndarray, labels: np.ndarray) -> None:
        data["images"] = t.from_numpy(images).cuda().permute(0, 3, 1, 2)
        data["labels"] = t.from_numpy(labels.astype(np.int64)).cuda()
        graphs.clear()

    def scaled(images):
        return images.float().mul_(1 / 255).contiguous(memory_format=t.channels_last)

    def train(rows) -> None:
        optimizer.zero_grad(set_to_none=not graph)
        logits = model(scaled(data["images"][rows]))
        nn.functional.cross_entropy(logits, data["labels"][rows]).backward()
        optimizer.step()

    def captured(batch: int):
        rows = t.zeros(batch, dtype=t.int64, device="cuda")
        before = [p.detach().clone() for p in model.parameters()]
        rate_before = rate.clone()
        rate.zero_()  # the warm-up changes only the momentum, which is set to zero below
        side = t.cuda.Stream()
        side.wait_stream(t.cuda.current_stream())
        with t.cuda.stream(side):
            for _ in range(5):
                train(rows)
        t.cuda.current_stream().wait_stream(side)
        made = t.cuda.CUDAGraph()
        with t.cuda.graph(made):
            train(rows)
        with t.no_grad():
            for p, old in zip(model.parameters(), before, strict=True):
                p.copy_(old)
                optimizer.state[p]["momentum_buffer"].zero_()
        rate.copy_(rate_before)
        return made, rows

    def replay(rows) -> None:
        if len(rows) not in graphs:
            graphs[len(rows)] = captured(len(rows))
        made, place = graphs[len(rows)]
        place.copy_(rows)
        made.replay()

    def predict(images: np.ndarray) -> np.ndarray:
        with t.inference_mode():
            return model(scaled(t.from_numpy(images).cuda().permute(0, 3, 1, 2))).cpu().numpy()

    def set_weights(arrays: dict[str, np.ndarray]) -> None:
        with t.no_grad():
            for parameter, array in zip(model.parameters(), arrays.values(), strict=True):
                parameter.copy_(t.from_numpy(as_torch(array, channels, size)))

    return Way(
        load=load,
        prepare=lambda rows: t.from_numpy(rows).cuda(),
        step=replay if graph else train,
        wait=t.cuda.synchronize,
        predict=predict,
        set_rate=rate.fill_,
        set_weights=set_weights,
    )


# Its name in the tables, the package it needs, whether it needs a GPU, and how to make it.
WAYS: dict[str, tuple[str, bool, Callable[[str], Way]]] = {
    "minicnn CPU fused fp32": ("minicnn", False, lambda m: minicnn(m, "cpu", "fused", "fp32")),
    "minicnn GPU layerwise fp32": ("cupy", True, lambda m: minicnn(m, "cuda", "layerwise", "fp32")),
    "minicnn GPU captured fp32": ("cupy", True, lambda m: minicnn(m, "cuda", "cuda_graph", "fp32")),
    "minicnn GPU captured tf32": ("cupy", True, lambda m: minicnn(m, "cuda", "cuda_graph", "tf32")),
    "minicnn GPU captured bf16": ("cupy", True, lambda m: minicnn(m, "cuda", "cuda_graph", "bf16")),
    "PyTorch GPU eager fp32": ("torch", True, lambda m: torch(m, False, False)),
    "PyTorch GPU eager tf32": ("torch", True, lambda m: torch(m, False, True)),
    "PyTorch GPU graph fp32": ("torch", True, lambda m: torch(m, True, False)),
    "PyTorch GPU graph tf32": ("torch", True, lambda m: torch(m, True, True)),
}


def main() -> None:
    """Make the model, then execute commands until the input ends."""
    import minicnn as mc

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("batch", type=int)
    args = parser.parse_args()
    # Results go to the original stdout; what libraries print goes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    data, _ = mc.data.load("fashion-mnist")
    way = WAYS[args.way][2](args.model)
    way.load(data.images[:IMAGES], data.labels[:IMAGES].astype(np.int64))
    order = np.random.default_rng(0).permutation(IMAGES)
    firsts = range(0, IMAGES - args.batch + 1, args.batch)
    batches = [way.prepare(order[first : first + args.batch]) for first in firsts]
    for command in sys.stdin:
        steps = int(command.split()[1])
        start = time.perf_counter()
        for step in range(steps):
            way.step(batches[step % len(batches)])
        way.wait()
        print(json.dumps((time.perf_counter() - start) / steps), file=answers, flush=True)


if __name__ == "__main__":
    main()
