"""Train one convolution on Fashion-MNIST from Kaggle's CSV files, with a part held out for validation."""

import sys
from pathlib import Path

import minicnn as mc
from minicnn import cli, report
from minicnn import layers as L

NAMES = "fashion-mnist_train.csv", "fashion-mnist_test.csv"  # as Kaggle calls them


def main() -> int:
    """Read the files, train with validation, test, report."""
    parser = cli.options.script_parser(__doc__, "runs/fashion-basic")
    text = f"folder with {' and '.join(NAMES)} (default: runs/csv, where they are made from the IDX files)"
    parser.add_argument("--csv", metavar="FOLDER", help=text)
    cli.options.add_training(parser, epochs=12, batch_size=128, lr=0.05)
    args = parser.parse_args()
    if args.csv and args.data:
        parser.error("--csv holds the images, --data is what the files are made from: give one of them")

    files = [Path(args.csv or "runs/csv", name) for name in NAMES]
    if args.data or not (args.csv or all(file.exists() for file in files)):
        for part, file in zip(mc.data.load("fashion-mnist", args.data), files, strict=True):
            mc.data.write_csv(part, file)
    train_csv, test_csv = map(str, files)
    spec = mc.data.DatasetSpec("fashion-mnist", None, train_csv, test_csv, args.images)
    train, test = spec.load()
    print(train, test, sep="\n")

    network = [
        L.Conv2D(32, 3, padding="same"),
        L.ReLU(),
        L.MaxPool2D(2),
        L.Flatten(),
        L.Dense(100),
        L.ReLU(),
        L.Dense(10, kernel_initializer="glorot_uniform"),
    ]
    model = mc.Sequential(network, train.image_shape, args.seed)  # pixels are scaled to 0…1
    model.summary()

    trainer = mc.Trainer(model, mc.optimizers.SGD(args.lr, momentum=0.9), device=args.device)
    cosine = mc.train.LearningRateSchedule(mc.schedules.Cosine(args.lr))
    with report.run_folder(args.out, "runs/fashion-basic", args.force) as out:
        # A tenth of the training images is held out for the learning curves.
        trainer.fit(train, args.epochs, args.batch_size, validation=0.1, callbacks=[cosine], seed=args.seed)

        evaluation = trainer.evaluate(test)
        run = report.write_run(out, trainer, train, test, evaluation, spec)
        report.page_of(run, train, test).write(out)
    print(f"{evaluation.table()}\n\n{test.name}, test set: {evaluation}\nsee {out}/report.html")
    print(f"the first nine images, with their names: {out}/samples.png")
    return cli.options.status(args, evaluation.accuracy, {train.name: evaluation})


if __name__ == "__main__":
    sys.exit(cli.exit_status(main))
