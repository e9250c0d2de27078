"""Predict what pictures show.

Each is prepared like the training images, such as one light object on black, centered, with
the same margin; the three most probable classes are printed. The exit status is 2 if a picture
cannot be read; the others are still predicted.
"""

import argparse
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

import minicnn
from minicnn.cli import options
from minicnn.data import read_picture
from minicnn.errors import ConfigError, MiniCNNError, PictureWarning
from minicnn.files import replacing
from minicnn.model import Sequential
from minicnn.preparation import Preparation
from minicnn.text import echo

TOP = 3


def add(commands: Any) -> None:
    """Add the command."""
    example = "minicnn predict runs/fashion-quick/model.safetensors shoe.jpg --show-input input.png"
    parser = options.command(commands, main, __doc__, example)
    parser.add_argument("model", help=options.MODEL)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="in any format that Pillow reads")
    parser.add_argument("--show-input", metavar="FILE", help="save the input of the model as PNG")
    parser.add_argument(
        "--invert",
        action=argparse.BooleanOptionalAction,
        help="whether the object is darker than its background (default: judged by the picture's border)",
    )
    parser.add_argument(
        "--margin",
        type=options.margin,
        metavar="SHARE",
        help="share of height and width that stays empty on each side (default: as in the training images)",
    )


def main(args: argparse.Namespace) -> int:
    """Read, predict, print."""
    if args.show_input and len(args.images) > 1:
        raise ConfigError(f"--show-input saves the input for one picture, got {len(args.images)} pictures")
    model = minicnn.load(args.model)
    model.require_classifier()
    preparation = _preparation(model, args)
    facts = [_read(path, model, preparation, args) for path in args.images]
    answered = [found for found in facts if "error" not in found]
    if answered:
        inputs = np.stack([found.pop("input") for found in answered])
        if args.show_input:
            _save(inputs[0], args.show_input)
        for found, probabilities in zip(answered, model.predict_proba(inputs), strict=True):
            found["answers"] = _answers(model, probabilities)
    if answered or args.json:
        options.show(args, facts, "\n".join(map(_line, answered)))
    return 0 if len(answered) == len(facts) else 2


def _preparation(model: Sequential, args: argparse.Namespace) -> Preparation:
    """Return how pictures are prepared: as the model's training images were, but with ``--margin``."""
    preparation = model.preparation
    if preparation is None:
        preparation = Preparation()
        if args.margin is None:
            text = f"{args.model} has no margin of its training images: assuming 0"
            echo(
                f"minicnn: {text}; set it with --margin, such as --margin 0.143 for MNIST's digits",
                sys.stderr,
            )
    return preparation if args.margin is None else replace(preparation, margin=args.margin)


def _read(path: str, model: Sequential, preparation: Preparation, args: argparse.Namespace) -> dict[str, Any]:
    """Return the model's input for a picture with the remarks on it, or the error."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", PictureWarning)
        try:
            x = read_picture(path, model.input_shape, args.invert, preparation.margin, preparation.negative)
        except MiniCNNError as error:
            echo(f"minicnn: {error}", sys.stderr)
            return {"image": path, "error": str(error)}
    remarks = [str(w.message) for w in seen if issubclass(w.category, PictureWarning)]
    remarks += [f"{path}: {remark}" for remark in preparation.remarks(x)]
    for remark in remarks:
        echo(f"minicnn: {remark}", sys.stderr)
    return {"image": path, "remarks": remarks, "input": x}


def _answers(model: Sequential, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Return the most probable classes by name, the most probable first."""
    names = model.class_names or tuple(map(str, range(model.output_shape[0])))
    top = np.argsort(-probabilities, kind="stable")[:TOP].tolist()
    return [{"class": names[i], "probability": float(probabilities[i])} for i in top]


def _line(found: dict[str, Any]) -> str:
    return f"{found['image']}: " + ", ".join(f"{a['class']} {a['probability']:.1%}" for a in found["answers"])


def _save(image: np.ndarray, path: str) -> None:
    """Write a uint8 image as PNG."""
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(temporary, format="PNG")
