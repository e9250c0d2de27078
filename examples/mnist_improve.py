"""MNIST from a baseline to something better: validate both, choose, train on all images, save and load."""

import argparse
import sys
from collections.abc import Callable

import minicnn as mc
from minicnn import cli, plots, report
from minicnn import layers as L
from minicnn.report.sections import curves_caption


def baseline(
    train: mc.data.Dataset, held_out: mc.data.Dataset | None, args: argparse.Namespace
) -> mc.Trainer:
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


def improved(
    train: mc.data.Dataset, held_out: mc.data.Dataset | None, args: argparse.Namespace
) -> mc.Trainer:
    """Train three convolutions with BatchNorm, a one-cycle learning rate and moved images."""
    network = [
        L.Conv2D(32, 3, padding="same", use_bias=False),  # BatchNorm would take a bias away again
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
    """Do what the module says. The validation chooses; the test images only judge."""
    parser = cli.options.script_parser(__doc__, "runs/mnist-improve")
    parser.add_argument("--epochs", type=int, help="default: 10 for the baseline, 6 for the improved network")
    parser.add_argument("--batch-size", type=int, help="default: 32 and 128")
    parser.add_argument("--lr", type=float, help="highest learning rate (default: 0.01 and 0.1)")
    args = parser.parse_args()
    spec = mc.data.DatasetSpec("mnist", args.data, images=args.images)
    train, test = spec.load()
    print(train, test, sep="\n")

    with report.run_folder(args.out, "runs/mnist-improve", args.force) as out:
        part, held_out = mc.data.split(train, 1 / 6, args.seed)
        trials = {recipe: recipe(part, held_out, args) for recipe in (baseline, improved)}
        for recipe, trainer in trials.items():
            print(f"{recipe.__name__}: validation accuracy {trainer.history['val_accuracy'][-1]:.2%}")
        best = max(trials, key=lambda recipe: trials[recipe].history["val_accuracy"][-1])
        print(f"chosen: {best.__name__}, trained again on all training images")

        trainer = best(train, None, args)
        evaluation, before = trainer.evaluate(test), trials[baseline].evaluate(test)
        notes = {"network": best.__name__, "baseline_test_accuracy": before.accuracy, "custom_sections": True}
        run = report.write_run(out, trainer, train, test, evaluation, spec, **notes)
        page = report.page_of(run, train, test)
        add_comparison(page, trials, run, before.accuracy)
        page.write(out)
    loaded = mc.evaluate(mc.load(out / "model.safetensors"), test)
    print(f"{evaluation.table()}\n\nbaseline, test set: {before}")
    print(f"{best.__name__}, saved and loaded again, test set: {loaded}\nsee {out}/report.html")
    return cli.options.status(args, loaded.accuracy, {train.name: evaluation})


def add_comparison(
    page: report.Page, trials: dict[Callable, mc.Trainer], run: report.Run, before: float
) -> None:
    """Add a table of the trainings with their curves; ``before`` is the baseline's test accuracy."""
    rows = [("network", "parameters", "images trained on", "seconds", "validation accuracy", "test accuracy")]
    figures = {}
    for recipe, trainer in trials.items():
        name, history = recipe.__name__, trainer.history
        images = trainer.total_images // trainer.epochs
        validated = f"{history['val_accuracy'][-1]:.2%}"
        tested = f"{before:.2%}" if recipe is baseline else ""
        rows.append(
            (
                name,
                f"{trainer.model.num_params:,}",
                f"{images:,}",
                f"{history.seconds:.0f}",
                validated,
                tested,
            )
        )
        caption = curves_caption(history, trainer.settings)
        figures[f"mnist-{name}"] = plots.learning_curves(history, name), f"{name}. {caption}"
    name, images, seconds = (
        f"{run.metrics['network']}, again",
        run.metrics["images"]["training"],
        run.history.seconds,
    )
    tested = f"{run.evaluation.accuracy:.2%}"
    rows.append((name, f"{run.model.num_params:,}", f"{images:,}", f"{seconds:.0f}", "", tested))
    text = "Both networks were trained on five sixths of the training images and validated on the rest. "
    text += "The better one was then trained again on all of them, and tested."
    page.section("Comparison", text, figures, rows)


if __name__ == "__main__":
    sys.exit(cli.exit_status(main))
