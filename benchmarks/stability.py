"""Whether a recipe trains with every seed: how many of 32 seeds diverge, and the lowest accuracy.

    python benchmarks/stability.py                                   # the quick recipes, on the fused engine
    python benchmarks/stability.py --engines layerwise
    python benchmarks/stability.py --variants                        # what makes the quick recipe stable

Evaluated on a sixth of the training images, a different sixth for each seed, never on the test images; for
synthetic garments, on 20,000 others. Earlier results stay in the JSON until the same row is measured again.
"""

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import report
from matplotlib.figure import Figure

import minicnn as mc
from minicnn.zoo import Recipe

QUICK = mc.zoo.recipe("fashion-quick")
AT_CHANCE = 0.2  # with ten classes, a network that has learned anything is better


@dataclass(frozen=True)
class Variant:
    """A recipe, and a factor for the initial weights of the last layer."""

    recipe: Recipe
    last_layer: float = 1.0


def variants() -> dict[str, Variant]:
    """Return the changes that were tried to make the quick recipe stable, and last the recipe itself."""
    free = replace(QUICK, global_clipnorm=None)
    later = replace(free, schedule=lambda rate: mc.schedules.OneCycle(rate, peak=0.5, start=0.01))
    return {
        "no clipping": Variant(free),
        "no clipping, later peak": Variant(later),
        "no clipping, last layer × 0.01": Variant(free, last_layer=0.01),
        "no clipping, rate 0.05": Variant(replace(free, learning_rate=0.05)),
        "gradient norm at most 1": Variant(QUICK),
    }


class FirstLoss(mc.train.Callback):
    """Records the loss of the first batch, before any update."""

    def on_fit_begin(self, trainer: mc.Trainer) -> None:
        """Reset the loss."""
        self.loss = None

    def on_step_end(self, trainer: mc.Trainer, images: int, loss: float, accuracy: float) -> None:
        """Record the first loss."""
        if self.loss is None:
            self.loss = loss


def train_and_evaluate(variant: Variant, data: str, engine: str, seed: int) -> dict[str, Any]:
    """Train with a seed; return the accuracy on held-out images, None where training diverged."""
    recipe, first = variant.recipe, FirstLoss()
    if data == "synthetic":
        train, held_out = mc.data.load(data, sizes=(20_000, 20_000))
    else:
        train, held_out = mc.data.split(mc.data.load(data)[0], 1 / 6, seed)
    made = recipe.trainer(train, seed)
    made.model.layers[-1].params["W"] *= variant.last_layer
    trainer = mc.Trainer(made.model, made.optimizer, made.loss, engine=engine)
    fit = recipe.fit_options()
    try:
        trainer.fit(train, seed=seed, progress=False, **fit | {"callbacks": [*fit["callbacks"], first]})
        accuracy = trainer.evaluate(held_out).accuracy
    except mc.errors.NonFiniteError:
        accuracy = None
    return {"seed": seed, "accuracy": accuracy, "first_loss": first.loss}


def row(name: str, result: dict[str, Any]) -> list[str]:
    """Return a row of the table."""
    runs = result["runs"]
    accuracies = [r["accuracy"] for r in runs if r["accuracy"] is not None]
    mean, deviation = statistics.mean(accuracies), statistics.stdev(accuracies)
    return [
        name,
        result["data"],
        result["engine"],
        f"{len(runs) - len(accuracies)} of {len(runs)}",
        str(sum(accuracy < AT_CHANCE for accuracy in accuracies)),
        report.spread(accuracies),
        f"{100 * min(accuracies):.2f}",
        f"{(mean - min(accuracies)) / deviation:.1f}",
        f"{statistics.median(r['first_loss'] for r in runs):.2f}",
    ]


HEADER = [
    "recipe",
    "data",
    "engine",
    "diverged",
    "at chance",
    "accuracy (%)",
    "lowest (%)",
    "deviations below",
    "first loss",
]


def draw(results: dict[str, dict]) -> Figure:
    """Draw each row's errors, a point for each seed."""
    figure = Figure(figsize=(9, 0.35 * len(results) + 1.4), layout="constrained")
    axes = figure.subplots()
    for y, result in enumerate(results.values()):
        errors = [100 * (1 - r["accuracy"]) for r in result["runs"] if r["accuracy"] is not None]
        axes.plot(errors, [y] * len(errors), "o", color="#1f5fa8", alpha=0.5, ms=4)
        if len(errors) < len(result["runs"]):
            axes.plot(100, y, "x", color="#c8500a", ms=8)
    axes.set_yticks(range(len(results)), list(results))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.invert_yaxis()
    axes.set_xlabel("wrong answers to held-out images (%): a point for each seed, × where one diverged")
    axes.grid(alpha=0.3)
    return figure


def chosen(args: argparse.Namespace) -> Iterator[tuple[str, Variant, str, str]]:
    """Yield name, variant, data and engine of each measurement."""
    found = variants() if args.variants else {name: Variant(mc.zoo.recipe(name)) for name in args.recipes}
    for name, variant in found.items():
        datasets = ("synthetic",) if args.variants else (variant.recipe.dataset, "synthetic")
        for data in args.data or datasets:
            for engine in args.engines:
                yield name, variant, data, engine


def main() -> None:
    """Train with all seeds, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=["fashion-quick", "mnist-quick"])
    parser.add_argument("--variants", action="store_true", help="changes of fashion-quick, on synthetic data")
    parser.add_argument("--data", nargs="+", help="default: synthetic, and for recipes also their own data")
    parser.add_argument("--engines", nargs="+", default=["fused"], choices=("fused", "layerwise"))
    parser.add_argument("--seeds", type=int, default=32, help="how many (default: 32)")
    args = parser.parse_args()
    for name, variant, data, engine in chosen(args):
        runs = [train_and_evaluate(variant, data, engine, seed) for seed in range(args.seeds)]
        entry = f"{name}, {data}, {engine}"
        report.keep("stability", entry, data=data, engine=engine, epochs=variant.recipe.epochs, runs=runs)
        print(report.table(HEADER, [row(name, report.known("stability")[entry])]), flush=True)
    results = report.known("stability")
    rows = [row(entry.split(f", {result['data']},")[0], result) for entry, result in results.items()]
    print(report.table(HEADER, rows))
    report.save_figure("stability", draw(results))


if __name__ == "__main__":
    main()
