"""The command line: ``minicnn gradcheck`` and ``minicnn info``, also as ``python -m minicnn …``."""

import argparse
import json
import sys
from collections.abc import Sequence

from minicnn import __version__, gradcheck, info, kernels
from minicnn.errors import MiniCNNError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 when a check failed, or 2 for bad input."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args)
    except MiniCNNError as error:
        print(f"minicnn: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("minicnn", description="Convolutional networks from scratch.")
    parser.add_argument("--version", action="version", version=f"minicnn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    check = commands.add_parser(
        "gradcheck",
        help="check every backward pass against numerical gradients",
        description="Check the gradients of every layer, of the loss and of a small model in float64, "
        "and print the worst relative error of each. Exit status 1 if one is 1e-6 or more.",
        epilog="example: minicnn gradcheck --kernels reference",
    )
    check.add_argument("--seed", type=int, default=0, help="of the random numbers (default: 0)")
    check.add_argument("--kernels", choices=kernels.KERNELS, default="cpu", help="default: cpu, Numba")
    check.set_defaults(run=_gradcheck)
    about = commands.add_parser(
        "info",
        help="show versions, processor, threads, BLAS and GPU",
        description="Show what minicnn runs on, and, where a GPU cannot be used, why.",
        epilog="example: minicnn info --json",
    )
    about.add_argument("--json", action="store_true", help="print it for a program to read")
    about.set_defaults(run=_info)
    return parser


def _gradcheck(args: argparse.Namespace) -> int:
    with kernels.use(args.kernels):
        results = gradcheck.check_all(args.seed)
    print(gradcheck.table(results))
    wrong = [r for r in results if not r.ok]
    worst = max(r.error for r in results)
    print(f"\n{len(results)} gradients, {len(wrong)} wrong, worst error {worst:.1e} (seed {args.seed})")
    return 1 if wrong else 0


def _info(args: argparse.Namespace) -> int:
    facts = info.describe()
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        width = max(map(len, facts))
        print("\n".join(f"{name:{width}}  {value}" for name, value in facts.items()))
    return 0
