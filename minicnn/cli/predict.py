"""``minicnn predict``: what a saved model takes a person's own pictures for."""

import argparse
import sys
from typing import Any

import numpy as np

import minicnn
from minicnn.cli import options
from minicnn.data import read_picture
from minicnn.errors import ConfigError
from minicnn.text import echo

# MNIST's digits fill 20 of 28 pixels, garments all of them.
MARGINS = {"mnist": 4 / 28}
TOP = 3


def add(commands: Any) -> None:
    """Add the command."""
    parser = options.command(
        commands,
        "predict",
        run,
        "Predict what pictures show. Each is made into what the model was trained on: one light object on a "
        "black ground, centred, for mnist with a margin; the three most probable classes are printed.",
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


def run(args: argparse.Namespace) -> int:
    """Read, predict, print."""
    if args.show_input and len(args.images) > 1:
        raise ConfigError(f"--show-input takes what one picture became, got {len(args.images)} pictures")
    model = minicnn.load(args.model)
    model.require_classifier()
    margin = MARGINS.get(model.info.get("dataset", ""), 0.0)
    images = [read_picture(path, model.input_shape, args.invert, margin) for path in args.images]
    for path, image in zip(args.images, images, strict=True):
        if not image.any():
            echo(f"minicnn: nothing stands out in {path}: the answer says nothing", sys.stderr)
    if args.show_input:
        _save(images[0], args.show_input)
    names = model.class_names or tuple(map(str, range(model.output_shape[0])))
    facts, lines = [], []
    for path, probabilities in zip(args.images, model.predict_proba(np.stack(images)), strict=True):
        top = [int(i) for i in np.argsort(-probabilities, kind="stable")[:TOP]]
        answers = [{"class": names[i], "probability": float(probabilities[i])} for i in top]
        facts.append({"image": path, "answers": answers})
        lines.append(f"{path}: " + ", ".join(f"{a['class']} {a['probability']:.1%}" for a in answers))
    options.show(args, facts, "\n".join(lines))
    return 0


def _save(image: np.ndarray, path: str) -> None:
    """Write an image of uint8 as PNG, a pixel for each pixel."""
    from PIL import Image

    from minicnn.files import replacing

    with replacing(path) as temporary:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(temporary, format="PNG")
