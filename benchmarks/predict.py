"""Milliseconds to predict one batch: minicnn, Keras, PyTorch and JAX, measured in turns.

    pip install -e ".[bench]"
    python benchmarks/predict.py

As in ``train_step.py``; the result of a prediction is the logits as a NumPy array.
"""

import argparse

import comparison
from peers import MODELS


def main() -> None:
    """Measure, print the tables, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 256])
    parser.add_argument("--steps", type=int, default=20, help="at least, for each (default: 20)")
    parser.add_argument("--name", default="predict", help="of the result files in benchmarks/results")
    args = parser.parse_args()
    comparison.run(args.name, args.models, args.batches, args.steps, predict=True)


if __name__ == "__main__":
    main()
