"""Improve on a baseline for MNIST: validate two networks, train the better one on all images, test it."""

import argparse
import sys

import minicnn as mc
from minicnn import cli, plots, report
from minicnn import layers as L
from minicnn.cli.options import count, rate
from minicnn.data import Dataset


def baseline(train: Dataset, held_out: Dataset | None, args: argparse.Namespace) -> mc.Trainer:
    """Train one convolution at a constant learning rate."""
    network = [
        L.Conv2D(32, 3),
        L.ReLU(),
        L.MaxPool2D(2),
        L.Flatten(),
        L.Dense(100),
        L.ReLU(),
        L.Dense(10, kernel_initializer="glorot_uniform"),
    ]
    model = mc.Sequential(network, train.image_shape, args.seed)  # pixels are scaled to 0…1
    trainer = mc.Trainer(model, mc.optimizers.SGD(args.lr or 0.01, momentum=0.9), device=args.device)
    trainer.fit(train, args.epochs or 10, args.batch_size or 32, validation=held_out, seed=args.seed)
    return trainer


def improved(train: Dataset, held_out: Dataset | None, args: argparse.Namespace) -> mc.Trainer:
    """Train three convolutions with BatchNorm, a one-cycle learning rate and moved images."""
    network = [
        L.Conv2D(32, 3, padding="same", use_bias=False),  # BatchNorm would subtract a bias
        L.MaxPool2D(2),  # before BatchNorm, which then has a quarter of the pixels to normalize
        L.BatchNorm(),
        L.ReLU(),
        L.Conv2D(64, 3, padding="same", use_bias=False),
        L.BatchNorm(),
        L.ReLU(),
        L.Conv2D(64, 3, padding="same", use_bias=False),
        L.MaxPool2D(2),
        L.BatchNorm(),
        L.ReLU(),
        L.Flatten(),
        L.Dense(128, use_bias=False),
        L.BatchNorm(),
        L.ReLU(),
        L.Dense(10, kernel_initializer="glorot_uniform"),
    ]
    standardize = mc.Standardize.fit(train.images)
    model = mc.Sequential(network, train.image_shape, args.seed, preprocessing=standardize)
    rate = args.lr or 0.1
    sgd = mc.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    trainer = mc.Trainer(model, sgd, device=args.device)
    trainer.fit(
        train,
        args.epochs or 6,
        args.batch_size or 128,
        validation=held_out,
        callbacks=[mc.train.LearningRateSchedule(mc.schedules.OneCycle(rate))],
        seed=args.seed,
        augmentation=mc.data.Augmentation(shift=1),
    )
    return trainer


def main() -> int:
    """Train both, choose by validation, train again on all images, test, report."""
    parser = cli.options.script_parser(__doc__, "runs/mnist-improve")
    parser.add_argument("--epochs", type=count, help="default: 10 for the baseline, 6 for the improved one")
    parser.add_argument("--batch-size", type=count, help="default: 32 and 128")
    parser.add_argument("--lr", type=rate, help="highest learning rate (default: 0.01 and 0.1)")
    args = parser.parse_args()
    spec = mc.data.DatasetSpec("mnist", args.data, images=args.images)
    train, test = spec.load()
    print(train, test, sep="\n")

    with report.run_folder(args.out, "runs/mnist-improve", args.force) as out:
        part, held_out = mc.data.split(train, 1 / 6, args.seed)
        trainers = {"baseline": baseline(part, held_out, args), "improved": improved(part, held_out, args)}
        validated = {name: trainer.history["val_accuracy"][-1] for name, trainer in trainers.items()}
        best = max(validated, key=validated.get)
        for name, accuracy in validated.items():
            print(f"{name}: validation accuracy {accuracy:.2%}")
        print(f"chosen: {best}, trained again on all training images")

        final = {"baseline": baseline, "improved": improved}[best](train, None, args)
        evaluation, before = final.evaluate(test), trainers["baseline"].evaluate(test)
        notes = {"network": best, "baseline_test_accuracy": before.accuracy, "custom_sections": True}
        run = report.write_run(out, final, train, test, evaluation, spec, **notes)
        page = report.page_of(run, train, test)
        rows = [row("baseline", trainers["baseline"], before), row("improved", trainers["improved"])]
        add_comparison(page, trainers, [*rows, row(f"{best}, again", final, evaluation)])
        page.write(out)
    loaded = mc.evaluate(mc.load(out / "model.safetensors"), test)
    print(f"{evaluation.table()}\n\nbaseline, test set: {before}")
    print(f"{best}, saved and loaded again, test set: {loaded}\nsee {out}/report.html")
    return cli.options.status(args, loaded.accuracy, {train.name: evaluation})


def row(name: str, trainer: mc.Trainer, tested: mc.metrics.Evaluation | None = None) -> tuple[str, ...]:
    """Return a row of the comparison."""
    history, images = trainer.history, trainer.total_images // trainer.epochs
    validated = f"{history['val_accuracy'][-1]:.2%}" if trainer.held_out else ""
    cells = f"{trainer.model.num_params:,}", f"{images:,}", f"{history.seconds:.0f}"
    return name, *cells, validated, f"{tested.accuracy:.2%}" if tested else ""


def add_comparison(page: report.Page, trainers: dict[str, mc.Trainer], rows: list[tuple[str, ...]]) -> None:
    """Add the table of all trainings, and the curves of those with validation."""
    header = "network", "parameters", "images trained on", "seconds", "validation accuracy", "test accuracy"
    text = (
        "Both networks were trained on five sixths of the training images and validated on the rest. "
        "The better one was then trained again on all of them, and tested."
    )
    figures = {
        f"mnist-{name}": (plots.learning_curves(trainer.history, f"{name}: learning curves"), f"{name}.")
        for name, trainer in trainers.items()
    }
    page.section("Comparison", text, figures, [header, *rows])


if __name__ == "__main__":
    sys.exit(cli.exit_status(main))
