"""Check every backward pass against numerical gradients.

Checks every layer, the loss and a small model in float64, and prints the worst relative error of
each. Exit status 1 if one is 1e-6 or more. With --engine fused, checks the gradients and updates
of that engine, in float32, against the layers in float64, with a limit of 1e-4.
"""

import argparse
from typing import Any

from minicnn import gradcheck, ops
from minicnn.cli import options


def add(commands: Any) -> None:
    """Add the command."""
    parser = options.command(commands, main, __doc__, "minicnn gradcheck --engine fused")
    parser.add_argument("--engine", choices=["fused"], help="check this engine against the layers")
    parser.add_argument(
        "--seed", type=options.seed, default=0, help="seed of the random numbers (default: 0)"
    )
    parser.add_argument("--kernels", choices=ops.KERNELS, default="cpu", help="default: cpu, Numba")


def main(args: argparse.Namespace) -> int:
    """Check, print."""
    with ops.use(args.kernels):
        if args.engine:
            results = gradcheck.check_engine(args.engine, args.seed)
        else:
            results = gradcheck.check_all(args.seed)
    wrong = sum(not r.ok for r in results)
    worst = max(r.error for r in results)
    facts = {
        "gradients": [{"name": r.name, "error": r.error, "ok": r.ok} for r in results],
        "wrong": wrong,
        "worst": worst,
        "seed": args.seed,
    }
    what = "gradients and updates" if args.engine else "gradients"
    text = f"{len(results)} {what}, {wrong} wrong, worst error {worst:.1e} (seed {args.seed})"
    options.show(args, facts, f"{gradcheck.table(results)}\n\n{text}")
    return 1 if wrong else 0
