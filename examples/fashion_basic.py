"""Train a small CNN on Fashion-MNIST from Kaggle's CSV files, the way the first notebook does."""

from pathlib import Path

import common

from minicnn import experiment, report, zoo
from minicnn.cli import options
from minicnn.data import DatasetSpec, write_csv
from minicnn.errors import ConfigError

NAMES = "fashion-mnist_train.csv", "fashion-mnist_test.csv"  # as they are called on Kaggle


def main() -> int:
    """Read the files, split, train with validation, evaluate, report."""
    parser = common.parser(__doc__)
    parser.add_argument(
        "--csv",
        metavar="FOLDER",
        help=f"that holds {' and '.join(NAMES)} (default: runs/csv, where they are made of the IDX files)",
    )
    args = parser.parse_args()
    if args.csv and args.data:
        raise ConfigError("the images come from --csv or are made from --data, got both: leave one out")
    folder = Path(args.csv or "runs/csv")
    if args.csv is None:
        make_files(folder, args.data)
    train_csv, test_csv = (str(folder / name) for name in NAMES)
    spec = DatasetSpec("fashion-mnist", None, train_csv, test_csv, args.images)
    train, test = spec.load()

    recipe = options.changed(zoo.recipe("fashion-basic"), args)
    out = report.prepare_folder(args.out, "runs/fashion-basic", args.force)
    # A tenth of the training images is held out: validation never sees the test images.
    run = experiment.train_recipe(
        recipe,
        train,
        test,
        spec,
        out,
        common.command(),
        common.START,
        args.seed,
        args.device,
        validation=0.1,
    )
    common.tell(run)
    print(f"the first nine images, with their names: {run.folder}/samples.png")
    return common.status(args, run)


def make_files(folder: Path, data: str | None) -> None:
    """Write the data set as Kaggle does, unless that was done before and no other place is named."""
    if data or not all((folder / name).exists() for name in NAMES):
        for part, name in zip(DatasetSpec("fashion-mnist", data).load(), NAMES, strict=True):
            write_csv(part, folder / name)


if __name__ == "__main__":
    common.run(main)
