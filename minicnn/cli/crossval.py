"""Cross-validate recipes on the training images.

Trains each k times, on all folds but one, tests it on that one, and compares all others with the
first. The test set is not used. Exit status 1 if a training ends no better than always answering
the most frequent class.
"""

import argparse
import sys
from dataclasses import asdict
from typing import Any

from minicnn.cli import options
from minicnn.errors import ConfigError
from minicnn.text import echo
from minicnn.train import CrossValidation, compare_with


def add(commands: Any) -> None:
    """Add the command."""
    example = "minicnn crossval --recipe fashion-baseline fashion-64 --folds 5"
    parser = options.command(commands, main, __doc__, example)
    parser.add_argument(
        "--recipe",
        type=options.recipe,
        nargs="+",
        required=True,
        help="one or more, see minicnn train --help",
    )
    parser.add_argument("--folds", type=options.count, default=5, help="at least 2 (default: 5)")
    options.add_data(parser, test=False, images="use only this many training images")
    options.add_training(parser)
    options.add_seed(parser)


def main(args: argparse.Namespace) -> int:
    """Cross-validate, compare, print."""
    if args.folds < 2:
        raise ConfigError(f"cross-validation needs at least 2 folds, got {args.folds}")
    recipes = [options.changed(recipe, args) for recipe in args.recipe]
    datasets = sorted({recipe.dataset for recipe in recipes})
    if len(datasets) > 1 and not (args.dataset or args.train_csv):
        raise ConfigError(
            f"the recipes are for {' and '.join(datasets)}, but must be compared on the same images: "
            "choose the data with --dataset"
        )
    train = options.dataset_spec(args, datasets[0]).load_train()
    results = []
    for recipe in recipes:
        echo(f"{recipe.name}: {recipe.about}", sys.stderr)
        results.append(recipe.cross_validate(train, args.folds, args.seed, args.device))
    comparisons = compare_with(results[0], results[1:])
    facts = {
        "dataset": train.name,
        "folds": args.folds,
        "seed": args.seed,
        "recipes": [_facts(result) for result in results],
        "comparisons": [asdict(comparison) | {"text": str(comparison)} for comparison in comparisons],
    }
    options.show(args, facts, "\n".join([*(f"{r.name}: {r}" for r in results), *map(str, comparisons)]))
    folds = {f"{r.name}, fold {i}": e for r in results for i, e in enumerate(r.evaluations, start=1)}
    return 1 if options.warn_of_failures(folds) else 0


def _facts(result: CrossValidation) -> dict[str, Any]:
    """Return the result of one recipe for JSON."""
    return {
        "recipe": result.name,
        "accuracies": result.accuracies.tolist(),
        "learned": [evaluation.learned for evaluation in result.evaluations],
        "mean": result.mean,
        "std": result.std,
    }
