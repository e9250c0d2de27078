"""Evaluate a saved model on a test set.

By default on that of the data set it was trained on. Exit status 1 if a target is missed.
"""

import argparse
from typing import Any

import minicnn
from minicnn import data
from minicnn.cli import options
from minicnn.errors import DataError


def add(commands: Any) -> None:
    """Add the command."""
    parser = options.command(commands, main, __doc__, "minicnn evaluate runs/fashion-quick/model.safetensors")
    parser.add_argument("model", help=options.MODEL)
    options.add_data(parser, train=False, images="use only this many test images")
    parser.add_argument(
        "--flip-tta", action="store_true", help="average the logits of each image and its mirror image"
    )
    options.add_target(parser)


def main(args: argparse.Namespace) -> int:
    """Load, evaluate, print."""
    model = minicnn.load(args.model)
    trained_on = model.info.get("dataset")
    if not (args.dataset or args.data or args.test_csv) and trained_on not in data.names:
        known = f"was trained on {trained_on!r}" if trained_on else "does not name its training data"
        raise DataError(f"the model {known}: name a test set with --dataset, --data or --test-csv")
    test = options.dataset_spec(args, trained_on or "").load_test(model.class_names or ())
    result = minicnn.evaluate(model, test, flip_tta=args.flip_tta)
    scores = result.scores()
    facts = {
        "dataset": test.name,
        "images": len(test),
        "loss": result.loss,
        "accuracy": result.accuracy,
        **scores,
        "confusion": result.confusion.tolist(),
        "class_names": list(result.class_names),
    }
    more = [f"{name.replace('_', ' ')} {s:.4f}" for name, s in scores.items() if isinstance(s, float)]
    lines = [result.table(), "", f"{test.name}, {len(test):,} test images: {result}", ", ".join(more)]
    options.show(args, facts, "\n".join(lines))
    return options.status(args, result.accuracy)
