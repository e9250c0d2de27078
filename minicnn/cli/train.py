"""``minicnn train``: train by a recipe, test once, and write the run with its report."""

import argparse
import time
from typing import Any

from minicnn import zoo
from minicnn.cli import options


def add(commands: Any) -> None:
    """Add the command."""
    parser = options.command(
        commands,
        "train",
        run,
        "Train a network by a recipe. Tests it once, and leaves a folder with the model, its numbers, and a "
        "report to look at. Exit status 1 if a target is missed, or if the network ends no better than "
        "always answering the most frequent class.",
        "minicnn train --recipe fashion-quick --out runs/fashion --target-accuracy 91.5",
    )
    parser.add_argument(
        "--recipe",
        type=options.recipe,
        default=zoo.recipe("fashion-quick"),
        metavar="NAME",
        help="one of those below (default: fashion-quick)",
    )
    options.add_data(parser)
    options.add_training(parser)
    options.add_out(parser, "the recipe's name")
    options.add_target(parser)
    width = max(map(len, zoo.names))
    recipes = "\n".join(f"  {name:{width}}  {zoo.recipe(name).about}" for name in zoo.names)
    parser.epilog = f"recipes:\n{recipes}\n\n{parser.epilog}"


def run(args: argparse.Namespace) -> int:
    """Train, evaluate, report."""
    from minicnn import experiment  # here, because it brings matplotlib, which takes a while to import

    started = time.perf_counter()
    recipe = options.changed(args.recipe, args)
    spec = options.dataset_spec(args, recipe.dataset)
    train, test = spec.load()
    out = experiment.prepare_folder(args.out, f"runs/{recipe.name}", args.force)
    done = experiment.train_recipe(
        recipe, train, test, spec, out, args.command, started, args.seed, args.device
    )
    told = f"{test.name}, test set: {done.evaluation}\nsee {done.folder}/report.html"
    options.show(args, done.metrics, f"{done.evaluation.table()}\n\n{told}")
    return options.status(args, done.evaluation.accuracy, {recipe.name: done.evaluation})
