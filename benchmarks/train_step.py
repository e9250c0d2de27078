"""Milliseconds of one training step: minicnn, Keras, PyTorch and JAX, measured in turns.

    pip install -e ".[bench]"
    python benchmarks/train_step.py

Each framework runs in its own process with the same number of threads, the same model and the same batches
of Fashion-MNIST. Medians of at least 20 steps after a warm-up, or of 5 if they take more than a second.
minicnn gets uint8 images, as they are stored, and converts them in its step; the others get float32.
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
        "--steps", type=int, default=20, help="at least, for each; 5 if they are slow (default: 20)"
    )
    parser.add_argument("--name", default="train_step", help="of the result files in benchmarks/results")
    args = parser.parse_args()
    comparison.run(args.name, args.models, args.batches, args.steps, predict=False)


if __name__ == "__main__":
    main()
