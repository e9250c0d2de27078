"""What each ingredient of the best recipe contributes: one is left out or added, nothing else changes.

    python benchmarks/ablation.py

Evaluated on a sixth of the training images, a different sixth for each seed, never on the test images.
Earlier results stay in the JSON until the same variant is measured again.
"""

import argparse
import statistics
from dataclasses import replace

import report
from matplotlib.figure import Figure

import minicnn as mc
from minicnn import layers as L
from minicnn.zoo import Recipe

BEST = mc.zoo.recipe("fashion-best")


def without_norm(classes: int) -> list[L.Layer]:
    """Return the best network with biases instead of BatchNorm."""
    layers = [layer for layer in BEST.network(classes) if not isinstance(layer, L.BatchNorm)]
    return [
        L.Conv2D(layer.filters, 3, padding="same") if isinstance(layer, L.Conv2D) else layer
        for layer in layers
    ]


def variants(epochs: int) -> dict[str, Recipe]:
    """Return the recipe with this number of epochs, and the same with one thing changed."""
    recipe = replace(BEST, epochs=epochs)
    images = recipe.augmentation
    return {
        "the recipe": recipe,
        "no BatchNorm (rate 0.02)": replace(recipe, network=without_norm, learning_rate=0.02),
        "no one-cycle (rate 0.02)": replace(recipe, schedule=None, learning_rate=0.02),
        "no mirror images": replace(recipe, augmentation=replace(images, flip=False)),
        "no shifts": replace(recipe, augmentation=replace(images, shift=0)),
        "no label smoothing": replace(recipe, label_smoothing=0.0),
        "no weight decay": replace(recipe, weight_decay=0.0),
        "with random erasing": replace(recipe, augmentation=replace(images, erase=0.5)),
        "with weight averaging": replace(recipe, ema_decay=0.999),
    }


def train_and_evaluate(recipe: Recipe, seed: int, images: int | None) -> dict[str, float]:
    """Train on five sixths of the training images; return the accuracies on the rest, and the seconds."""
    train, held_out = mc.data.split(mc.data.DatasetSpec(BEST.dataset, images=images).load()[0], 1 / 6, seed)
    trainer = recipe.trainer(train, seed)
    history = trainer.fit(train, seed=seed, **recipe.fit_options())
    accuracy, flipped = (trainer.evaluate(held_out, flip_tta=flip).accuracy for flip in (False, True))
    return {"seed": seed, "accuracy": accuracy, "mirrored": flipped, "seconds": history.seconds}


def table(results: dict[str, dict]) -> str:
    """Return the accuracies of all variants, and the paired differences from the recipe."""
    recipe = results.get("the recipe", {"runs": []})
    base = {r["seed"]: r["accuracy"] for r in recipe["runs"]}
    rows = []
    for name, result in results.items():
        runs = result["runs"]
        comparable = all(result.get(key) == recipe.get(key) for key in ("epochs", "images"))
        differences = [r["accuracy"] - base[r["seed"]] for r in runs if comparable and r["seed"] in base]
        cells = [report.spread([r[key] for r in runs]) for key in ("accuracy", "mirrored")]
        change = "" if name == "the recipe" or not differences else f"{report.spread(differences, '+')}"
        rows.append([name, *cells, change, f"{result['epochs']}", str(len(runs))])
    header = [
        "variant",
        "validation accuracy (%)",
        "with mirror images (%)",
        "change (points)",
        "epochs",
        "seeds",
    ]
    return report.table(header, rows)


def draw(results: dict[str, dict]) -> Figure:
    """Draw each variant's accuracies, a point for each seed, and its mean."""
    figure = Figure(figsize=(8, 0.4 * len(results) + 1.2), layout="constrained")
    axes = figure.subplots()
    for y, result in enumerate(results.values()):
        accuracies = [100 * r["accuracy"] for r in result["runs"]]
        axes.plot(accuracies, [y] * len(accuracies), "o", color="#1f5fa8", alpha=0.7)
        axes.plot(statistics.mean(accuracies), y, "|", color="black", markersize=16)
    axes.set_yticks(range(len(results)), list(results))
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on held-out training images (%): a point for each seed, a bar for their mean")
    axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Train all variants, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", nargs="+", help="only these (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=BEST.epochs, help="default: the recipe's")
    parser.add_argument("--images", type=int, help="use only this many training images")
    args = parser.parse_args()
    every = variants(args.epochs)
    if unknown := set(args.variants or ()) - every.keys():
        parser.error(f"there is no variant {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    for name in args.variants or every:
        runs = [train_and_evaluate(every[name], seed, args.images) for seed in args.seeds]
        report.keep("ablation", name, epochs=args.epochs, images=args.images, runs=runs)
        print(f"{name}: {runs}", flush=True)
    results = report.known("ablation")
    results = {name: results[name] for name in every if name in results}
    print(table(results))
    report.save_figure("ablation", draw(results))


if __name__ == "__main__":
    main()
