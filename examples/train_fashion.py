"""Train a CNN on Fashion-MNIST and show what came of it: in seconds, in minutes, or as far as it goes."""

import common


def main() -> int:
    """Train, evaluate, report."""
    parser = common.parser(__doc__)
    parser.add_argument("--recipe", choices=("quick", "best", "max"), default="quick", help="default: quick")
    parser.add_argument("--strict-data", action="store_true", help="no synthetic data for Fashion-MNIST")
    args = parser.parse_args()
    out = "runs/fashion-mnist" if args.recipe == "quick" else f"runs/fashion-{args.recipe}"
    run = common.train_and_report(f"fashion-{args.recipe}", args, out, stand_in=not args.strict_data)
    return common.status(args, run)


if __name__ == "__main__":
    common.run(main)
