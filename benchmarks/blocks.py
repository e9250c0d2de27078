"""Where a training step's time goes, block by block, on one thread and half of the batch.

    python benchmarks/blocks.py

Half of the batch on one thread is the share of each of two cores. Rates count the operations of dense matrix
products; Winograd's algorithm and closed ReLUs need fewer, so a rate may exceed the machine's peak.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

os.environ["MINICNN_NUM_THREADS"] = "1"

import report
import turns
from matplotlib.figure import Figure
from peers import LEARNING_RATE, MODELS, MOMENTUM, minicnn_model

import minicnn as mc
from minicnn.engine.cpu.blocks import Block
from minicnn.engine.cpu.engine import FusedEngine
from minicnn.engine.cpu.update import Update


def milliseconds(run: Callable[[], object], times: int) -> float:
    """Return the shortest of several runs, the one that was disturbed least."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds)


def measure(name: str, batch: int, data: mc.data.Dataset, times: int) -> list[dict]:
    """Return the stages of one model's step, in order, after 20 training steps."""
    model = minicnn_model(name)
    engine = FusedEngine(model, mc.SoftmaxCrossEntropy(), mc.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM))
    for i in range(0, 20 * batch, batch):
        engine.train_step(data.images[i : i + batch], data.labels[i : i + batch])
    network, rows = engine.network, []

    def row(block: Block, stage: str, products: int, run: Callable[[], object]) -> None:
        names = " + ".join(layer.name for layer in block.layers)
        work = products * 2 * batch * block.layer.multiply_adds() / 1e6
        rows.append({"block": names, "stage": stage, "mflop": work, "ms": milliseconds(run, times)})

    for block in network.blocks:
        row(block, "pack", 0, partial(block.pack, 0, True))
        row(block, "forward", 1, partial(block.forward(True)[0].run, 0, 0, batch))
    for block in reversed(network.blocks):
        convolution = isinstance(block.layer, mc.layers.Conv2D)
        products = (block.dx is not None) + convolution  # dW of a dense layer belongs to the update
        row(block, "backward", products, partial(block.backward()[0].run, 0, 0, batch))
        update = Update(SimpleNamespace(model=model, parts=1, trained=[block]))
        row(block, "update", int(not convolution), partial(update.step, engine.optimizer, batch))
    return rows


def main() -> None:
    """Measure, print the tables, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batch", type=int, default=64, help="images on the one thread (default: 64)")
    parser.add_argument("--times", type=int, default=15, help="runs of each stage (default: 15)")
    args = parser.parse_args()
    data, _ = mc.data.load("fashion-mnist")
    peak = turns.sgemm_peak()
    results, figure = {}, Figure(figsize=(9, 2.6 * len(args.models)), layout="constrained")
    panels = figure.subplots(len(args.models), 1, squeeze=False)[:, 0]
    for axes, name in zip(panels, args.models, strict=True):
        rows = results[name] = measure(name, args.batch, data, args.times)
        total = sum(row["ms"] for row in rows)
        cells = [
            [row["block"], row["stage"], f"{row['ms']:.2f}", f"{100 * row['ms'] / total:.0f} %", rate(row)]
            for row in rows
            if row["ms"] >= 0.01 * total
        ]
        print(f"\n{name}, {args.batch} images on one thread: {total:.2f} ms, of which")
        print(report.table(["block", "stage", "ms", "share", "GFLOP/s of dense products"], cells))
        axes.barh([f"{block}  {stage}" for block, stage, *_ in cells], [float(c[2]) for c in cells])
        axes.invert_yaxis()
        axes.tick_params(labelsize=7)
        axes.set_title(name, fontsize=9)
    figure.supxlabel("milliseconds, one thread", fontsize=9)
    print(f"\nsgemm 2048³ on one thread: {peak:.0f} GFLOP/s")
    report.write("blocks", {"batch": args.batch, "sgemm_gflops": peak, "stages": results}, figure)


def rate(row: dict) -> str:
    """Return the GFLOP/s of a stage as text, empty if it has no product."""
    return f"{row['mflop'] / row['ms']:.0f}" if row["mflop"] else ""


if __name__ == "__main__":
    main()
