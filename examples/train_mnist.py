"""Train a CNN on the MNIST digits and show what came of it: in seconds, or in minutes."""

import common


def main() -> int:
    """Train, evaluate, report."""
    parser = common.parser(__doc__)
    parser.add_argument("--recipe", choices=("quick", "best"), default="quick", help="default: quick")
    args = parser.parse_args()
    out = "runs/mnist" if args.recipe == "quick" else f"runs/mnist-{args.recipe}"
    run = common.train_and_report(f"mnist-{args.recipe}", args, out)
    return common.status(args, run)


if __name__ == "__main__":
    common.run(main)
