"""Train a network by a recipe.

Tests it once, and writes a folder with the model, its numbers and a report. Exit status 1 if a
target is missed, or if the network ends no better than always answering the most frequent
class.
"""

import argparse
from typing import Any

from minicnn import zoo
from minicnn.cli import options


def add(commands: Any) -> None:
    """Add the command."""
    example = "minicnn train --recipe fashion-quick --out runs/fashion --target-accuracy 91.5"
    parser = options.command(commands, main, __doc__, example)
    parser.add_argument(
        "--recipe",
        type=options.recipe,
        default=zoo.recipe("fashion-quick"),
        metavar="NAME",
        help="one of those below (default: fashion-quick)",
    )
    options.add_data(parser)
    options.add_training(parser)
    options.add_seed(parser)
    options.add_out(parser, "runs/ and the recipe's name")
    options.add_target(parser)
    width = max(map(len, zoo.names))
    recipes = "\n".join(f"  {name:{width}}  {zoo.recipe(name).about}" for name in zoo.names)
    parser.epilog = f"recipes:\n{recipes}\n\n{parser.epilog}"


def main(args: argparse.Namespace) -> int:
    """Train, evaluate, report."""
    from minicnn import experiment  # here, because matplotlib takes long to import

    recipe = options.changed(args.recipe, args)
    spec = options.dataset_spec(args, recipe.dataset)
    train, test = spec.load()
    run = experiment.train_recipe(
        recipe, train, test, spec, args.command, args.out, args.force, args.seed, args.device
    )
    summary = f"{test.name}, test set: {run.evaluation}\nsee {run.folder}/report.html"
    if "mirrored_accuracy" in run.metrics:
        summary += f"\nwith mirror images: accuracy {run.metrics['mirrored_accuracy']:.2%}"
    options.show(args, run.metrics, f"{run.evaluation.table()}\n\n{summary}")
    return options.status(args, run.evaluation.accuracy, {recipe.name: run.evaluation})
