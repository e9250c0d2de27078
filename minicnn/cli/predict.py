"""``minicnn predict``: what a saved model takes a person's own pictures for."""

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
    parser = options.command(
        commands,
        "predict",
        run,
        "Predict what pictures show. Each is made into what the model was trained on, such as one light "
        "object on a black ground, centered, with the margin of the training images; the three most probable "
        "classes are printed. A picture that cannot be read costs no other its answer, and makes the exit "
        "status 2.",
        "minicnn predict runs/fashion-quick/model.safetensors shoe.jpg --show-input fed.png",
    )
    parser.add_argument("model", help="a file that was saved with model.save, or by minicnn train")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, JPG and whatever else Pillow reads")
    parser.add_argument("--show-input", metavar="FILE", help="save what the model is fed, as PNG")
    parser.add_argument(
        "--invert",
        action=argparse.BooleanOptionalAction,
        help="the object is darker than its ground, or is not (default: as the picture's border says)",
    )
    parser.add_argument(
        "--margin",
        type=options.margin,
        metavar="SHARE",
        help="share of height and width that stays empty on each side (default: as the training images)",
    )


def run(args: argparse.Namespace) -> int:
    """Read, predict, print."""
    if args.show_input and len(args.images) > 1:
        raise ConfigError(f"--show-input takes what one picture became, got {len(args.images)} pictures")
    model = minicnn.load(args.model)
    model.require_classifier()
    preparation = _preparation(model, args)
    facts = [_read(path, model, preparation, args) for path in args.images]
    fed = [found.pop("fed") for found in facts if "fed" in found]
    if args.show_input and fed:
        _save(fed[0], args.show_input)
    answered = [found for found in facts if "error" not in found]
    if fed:
        for found, probabilities in zip(answered, model.predict_proba(np.stack(fed)), strict=True):
            found["answers"] = _answers(model, probabilities)
    if answered or args.json:
        options.show(args, facts, "\n".join(map(_line, answered)))
    return 0 if len(answered) == len(facts) else 2


def _preparation(model: Sequential, args: argparse.Namespace) -> Preparation:
    """Return how pictures are to be prepared: as the model's training images, but for the options."""
    preparation = model.preparation
    if preparation is None:
        preparation = Preparation()
        if args.margin is None:
            text = f"{args.model} does not say how much its training images leave empty: taken for nothing"
            echo(f"minicnn: {text}; say it with --margin, as --margin 0.143 for MNIST's digits", sys.stderr)
    return preparation if args.margin is None else replace(preparation, margin=args.margin)


def _read(path: str, model: Sequential, preparation: Preparation, args: argparse.Namespace) -> dict[str, Any]:
    """Return a picture with what the model is fed of it and what is to be said of it, or with its error."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", PictureWarning)
        try:
            fed = read_picture(path, model.input_shape, args.invert, preparation.margin, preparation.negative)
        except MiniCNNError as error:
            echo(f"minicnn: {error}", sys.stderr)
            return {"image": path, "error": str(error)}
    remarks = [str(w.message) for w in seen if issubclass(w.category, PictureWarning)]
    remarks += [f"{path}: {remark}" for remark in preparation.remarks(fed)]
    for remark in remarks:
        echo(f"minicnn: {remark}", sys.stderr)
    return {"image": path, "remarks": remarks, "fed": fed}


def _answers(model: Sequential, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Return the most probable classes by name, the most probable first."""
    names = model.class_names or tuple(map(str, range(model.output_shape[0])))
    top = [int(i) for i in np.argsort(-probabilities, kind="stable")[:TOP]]
    return [{"class": names[i], "probability": float(probabilities[i])} for i in top]


def _line(found: dict[str, Any]) -> str:
    return f"{found['image']}: " + ", ".join(f"{a['class']} {a['probability']:.1%}" for a in found["answers"])


def _save(image: np.ndarray, path: str) -> None:
    """Write an image of uint8 as PNG, a pixel for each pixel."""
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(temporary, format="PNG")
