"""Accuracy on pictures: test images as photographs, scans and drawings (``sheets.py``).

    python benchmarks/pictures.py now
    python benchmarks/pictures.py now --recipe fashion-quick

The model is trained first, or loaded from ``--models``. Each picture is saved and read by
``data.read_picture``, with the margin of the training images. The results are added to those of other
versions in the JSON; the table and the plot show all of them.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import report
from matplotlib.figure import Figure
from sheets import KINDS, Kind

import minicnn as mc
from minicnn import plots, zoo

MARGINS = {"mnist-quick": 4 / 28, "fashion-quick": 0.0}  # early versions do not know them


def trained(name: str, folder: Path) -> mc.Sequential:
    """Return the model of a recipe, from ``folder`` if it is there, else trained now and saved there."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        recipe = zoo.recipe(name)
        train, _ = mc.data.load(recipe.dataset)
        trainer = recipe.trainer(train)
        trainer.fit(train, progress=False, **recipe.fit_options())
        trainer.model.save(path)
    return mc.load(path)


def accuracy(
    model: mc.Sequential, kind: Kind, data: mc.data.Dataset, chosen: np.ndarray, margin: float
) -> float:
    """Return the accuracy on pictures of a kind, made from the chosen images."""
    with tempfile.TemporaryDirectory() as folder:
        path, fed = Path(folder) / f"picture{kind.suffix}", []
        for i in chosen:
            kind.draw(data.images[i], np.random.default_rng(int(i))).save(path, **kind.options)
            fed.append(mc.data.read_picture(path, model.input_shape, None, margin))
    return float(np.mean(model.predict(np.stack(fed)) == data.labels[chosen]))


def measure(name: str, count: int, folder: Path) -> dict[str, float]:
    """Return the accuracy of a recipe's model on each kind of picture."""
    model = trained(name, folder)
    _, test = mc.data.load(zoo.recipe(name).dataset)
    chosen = np.random.default_rng(0).permutation(len(test))[:count]
    found = {}
    for kind, how in KINDS.items():
        found[kind] = accuracy(model, how, test, chosen, MARGINS[name])
        print(f"{kind}: {found[kind]:.1%}", flush=True)
    return found


def draw(entries: dict[str, dict[str, float]]) -> Figure:
    """Draw the accuracy on each kind of picture, a bar for each version."""
    kinds = [kind for kind in KINDS if any(kind in found for found in entries.values())]
    figure = Figure(figsize=(8, 0.3 * len(kinds) + 1), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(entries)
    for k, (entry, found) in enumerate(entries.items()):
        places = np.arange(len(kinds)) + (k + 0.5) * height - 0.4
        axes.barh(places, [found.get(kind, 0) for kind in kinds], height, label=entry)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("accuracy")
    axes.grid(axis="x", alpha=0.3)
    axes.invert_yaxis()
    axes.legend()
    return figure


def main() -> None:
    """Measure, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("entry", help="name of this version")
    parser.add_argument(
        "--recipe", choices=tuple(MARGINS), default="mnist-quick", help="default: mnist-quick"
    )
    parser.add_argument("--count", type=int, default=200, help="pictures of each kind (default: 200)")
    parser.add_argument("--models", type=Path, help="folder with the trained models (default: train)")
    args = parser.parse_args()
    name = "pictures" if args.recipe == "mnist-quick" else f"pictures-{args.recipe}"
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args.recipe, args.count, args.models or Path(folder))
    report.keep(name, args.entry, count=args.count, shares=found)
    entries = {entry: result["shares"] for entry, result in report.known(name).items()}
    rows = [
        [kind, *(f"{shares[kind]:.1%}" if kind in shares else "" for shares in entries.values())]
        for kind in KINDS
    ]
    print(report.table(["picture", *entries], rows))
    plots.save(draw(entries), report.RESULTS / f"{name}.png")


if __name__ == "__main__":
    main()
