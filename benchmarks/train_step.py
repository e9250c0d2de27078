"""One training step, milliseconds: minicnn against Keras, PyTorch and JAX, which take turns.

    pip install -e ".[bench]"
    python benchmarks/train_step.py

Every framework runs in a process of its own on the same threads, with the same model and batches of
Fashion-MNIST; medians of at least 20 steps after a warm-up, of 5 where they take more than a second.
minicnn is given uint8 images, as a data set holds them, and converts them in its step; the others get
float32.
"""

import argparse

import comparison
from peers import MODELS


def main() -> None:
    """Measure, print the tables, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 64, 128, 256])
    parser.add_argument(
        "--steps", type=int, default=20, help="at least, of each; 5 if they are slow (default: 20)"
    )
    parser.add_argument("--name", default="train_step", help="of the files in benchmarks/results")
    args = parser.parse_args()
    comparison.run(args.name, args.models, args.batches, args.steps, predict=False)


if __name__ == "__main__":
    main()
