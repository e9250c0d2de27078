"""How often cross-validation finds a difference between two equal networks, at a nominal 5 %.

    MINICNN_NUM_THREADS=1 python benchmarks/false_alarms.py

Both networks of a comparison are made in the same way and differ only in their random numbers. Each
comparison has its own 250 synthetic garments and 5 folds; the designs differ in what the trainings share. In
the last one the second network has other images of the same classes.
"""

import argparse
import math
from dataclasses import asdict, dataclass

import numpy as np
import report
from scipy import stats

import minicnn as mc
from minicnn import layers as L
from minicnn.data import Dataset, k_folds
from minicnn.data.synthetic import generate
from minicnn.train import CrossValidation, compare

IMAGES, FOLDS, EPOCHS = 250, 5, 10
POOL = 20_000  # images to draw from


@dataclass(frozen=True)
class Design:
    """What is drawn separately for each fold (weights and order), and for each of the two networks."""

    each_fold: bool = True
    own_order: bool = False
    own_images: bool = False


DESIGNS = {
    "one draw of the weights for all folds": Design(each_fold=False),
    "a draw for each fold": Design(),
    "a draw for each fold, and an order for each network": Design(own_order=True),
    "a draw for each fold, and images for each network": Design(own_images=True),
}


def network(seed: int) -> mc.Sequential:
    """Return a network so small that much depends on its initial weights."""
    layers = [L.AvgPool2D(4), L.Flatten(), L.Dense(8), L.ReLU(), L.Dense(10)]
    return mc.Sequential(layers, (28, 28, 1), seed)


def seed(*numbers: int) -> int:
    """Return a different seed for each tuple of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def images(pool: Dataset, comparison: int, design: Design) -> tuple[Dataset, Dataset]:
    """Return the images of both networks, which have the same labels."""
    rng = np.random.default_rng(comparison)
    first = rng.choice(len(pool), IMAGES, replace=False)
    second = first
    if design.own_images:
        members = [np.flatnonzero(pool.labels == label) for label in range(len(pool.class_names))]
        second = np.array([rng.choice(members[label]) for label in pool.labels[first]])
    return pool.subset(first), pool.subset(second)


def cross_validated(data: Dataset, comparison: int, net: int, design: Design) -> CrossValidation:
    """Train one of the two networks, 0 or 1, on the folds of a comparison."""
    evaluations = []
    for place, (rest, held_out) in enumerate(k_folds(data, FOLDS, comparison)):
        fold = place if design.each_fold else 0
        sgd = mc.optimizers.SGD(0.1, momentum=0.9)
        trainer = mc.Trainer(network(seed(0, comparison, fold, net)), sgd)
        order = seed(1, comparison, fold, net * design.own_order)
        trainer.fit(rest, epochs=EPOCHS, batch_size=32, seed=order, progress=False)
        evaluations.append(trainer.evaluate(held_out))
    return CrossValidation("AB"[net], (), tuple(evaluations), comparison)


def share(count: int, total: int) -> str:
    """Return a share in percent, with its standard error."""
    p = count / total
    return f"{100 * p:.1f} ± {100 * math.sqrt(p * (1 - p) / total):.1f} %"


def measure(pool: Dataset, design: Design, comparisons: int) -> dict[str, float]:
    """Return how many comparisons found a difference, and the spread of the differences."""
    alarms, uncorrected, differences = 0, 0, []
    for comparison in range(comparisons):
        both = images(pool, comparison, design)
        first, second = (cross_validated(data, comparison, net, design) for net, data in enumerate(both))
        found = compare(first, second)
        alarms += found.significant
        uncorrected += stats.ttest_rel(first.accuracies, second.accuracies).pvalue < found.level
        differences.append(found.difference)
    return {
        "comparisons": comparisons,
        "alarms": alarms,
        "uncorrected": int(uncorrected),
        "difference": float(np.mean(differences)),
        "deviation": float(np.std(differences, ddof=1)),
    }


def main() -> None:
    """Measure every design, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=1000, help="of each design (default: 1000)")
    args = parser.parse_args()
    pool, found = generate(POOL), {}
    for name, design in DESIGNS.items():
        found[name] = asdict(design) | measure(pool, design, args.comparisons)
        print(f"{name}: {found[name]}", flush=True)
    rows = [
        [
            name,
            *(share(result[test], result["comparisons"]) for test in ("alarms", "uncorrected")),
            f"{100 * result['deviation']:.2f}",
        ]
        for name, result in found.items()
    ]
    header = ["the trainings", "called different", "by the usual paired test", "scatter (points)"]
    print(report.table(header, rows))
    shares = {name: 100 * result["alarms"] / result["comparisons"] for name, result in found.items()}
    result = {"images": IMAGES, "folds": FOLDS, "epochs": EPOCHS, "designs": found}
    report.write("false_alarms", result, report.bars(shares, "equal networks called different (%)"))


if __name__ == "__main__":
    main()
