"""``minicnn gradcheck``: every backward pass against numerical gradients."""

import argparse
from typing import Any

from minicnn import gradcheck, kernels
from minicnn.cli import options


def add(commands: Any) -> None:
    """Add the command."""
    parser = options.command(
        commands,
        "gradcheck",
        run,
        "Check every backward pass against numerical gradients. Those of every layer, of the loss and of a "
        "small model, in float64; prints the worst relative error of each. Exit status 1 if one is 1e-6 or "
        "more.",
        "minicnn gradcheck --kernels reference",
    )
    parser.add_argument("--seed", type=options.seed, default=0, help="of the random numbers (default: 0)")
    parser.add_argument("--kernels", choices=kernels.KERNELS, default="cpu", help="default: cpu, Numba")


def run(args: argparse.Namespace) -> int:
    """Check, print."""
    with kernels.use(args.kernels):
        results = gradcheck.check_all(args.seed)
    wrong = [r for r in results if not r.ok]
    worst = max(r.error for r in results)
    facts = {
        "gradients": [{"name": r.name, "error": r.error, "ok": r.ok} for r in results],
        "wrong": len(wrong),
        "worst": worst,
        "seed": args.seed,
    }
    text = f"{len(results)} gradients, {len(wrong)} wrong, worst error {worst:.1e} (seed {args.seed})"
    options.show(args, facts, f"{gradcheck.table(results)}\n\n{text}")
    return 1 if wrong else 0
