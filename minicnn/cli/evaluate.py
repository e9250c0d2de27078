"""``minicnn evaluate``: how well a saved model does on a test set."""

import argparse
from typing import Any

import minicnn
from minicnn import data
from minicnn.cli import options
from minicnn.errors import DataError


def add(commands: Any) -> None:
    """Add the command."""
    parser = options.command(
        commands,
        "evaluate",
        run,
        "Evaluate a saved model on a test set. By default on that of the data set that it was trained on. "
        "Exit status 1 if a target is missed.",
        "minicnn evaluate runs/fashion-quick/model.safetensors",
    )
    parser.add_argument("model", help="a file that was saved with model.save, or by minicnn train")
    options.add_data(parser, train=False, images="only so many test images")
    parser.add_argument(
        "--flip-tta", action="store_true", help="average the logits of each image and its mirror image"
    )
    options.add_target(parser)


def run(args: argparse.Namespace) -> int:
    """Load, evaluate, print."""
    model = minicnn.load(args.model)
    trained_on = model.info.get("dataset")
    if not (args.dataset or args.data or args.test_csv) and trained_on not in data.names:
        said = f"was trained on {trained_on!r}" if trained_on else "does not say what it was trained on"
        raise DataError(f"the model {said}: name a test set with --dataset, --data or --test-csv")
    spec = options.dataset_spec(args, trained_on or "")
    test = spec.load_test(model.class_names or ())
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
    told = f"{test.name}, {len(test):,} test images: {result}"
    further = ", ".join(
        f"{name.replace('_', ' ')} {score:.4f}" for name, score in scores.items() if isinstance(score, float)
    )
    options.show(args, facts, f"{result.table()}\n\n{told}\n{further}")
    return options.status(args, result.accuracy)
