"""``minicnn crossval``: k-fold cross-validation of recipes, compared in pairs."""

import argparse
import sys
from typing import Any

from minicnn.cli import options
from minicnn.errors import ConfigError
from minicnn.train import compare


def add(commands: Any) -> None:
    """Add the command."""
    parser = options.command(
        commands,
        "crossval",
        run,
        "Cross-validate recipes on the training images. Each is trained k times, on all folds but one, and "
        "tested on that one; further recipes are compared with the first. The test set is not touched.",
        "minicnn crossval --recipe fashion-baseline fashion-64 --folds 5",
    )
    parser.add_argument(
        "--recipe",
        type=options.recipe,
        nargs="+",
        required=True,
        help="one or more, see minicnn train --help",
    )
    parser.add_argument("--folds", type=options.count, default=5, help="at least 2 (default: 5)")
    options.add_data(parser, test=False)
    options.add_training(parser)


def run(args: argparse.Namespace) -> int:
    """Cross-validate, compare, print."""
    if args.folds < 2:
        raise ConfigError(f"cross-validation needs at least 2 folds, got {args.folds}")
    recipes = [options.changed(recipe, args) for recipe in args.recipe]
    train = options.chosen_data(args, recipes[0].dataset).load_train()
    results = []
    for recipe in recipes:
        print(f"{recipe.name}: {recipe.about}", file=sys.stderr, flush=True)
        results.append(recipe.cross_validate(train, args.folds, args.seed, args.device))
    comparisons = [compare(other, results[0]) for other in results[1:]]
    facts = {
        "dataset": train.name,
        "folds": args.folds,
        "seed": args.seed,
        "recipes": [
            {"recipe": r.name, "accuracies": list(map(float, r.accuracies)), "mean": r.mean, "std": r.std}
            for r in results
        ],
        "comparisons": [
            {"difference": c.difference, "interval": list(c.interval), "p": c.p, "text": str(c)}
            for c in comparisons
        ],
    }
    options.show(args, facts, "\n".join([*(f"{r.name}: {r}" for r in results), *map(str, comparisons)]))
    return 0
